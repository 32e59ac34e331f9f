//! Placement: where a grain is activated. A number that is random has to be brought along.

use crate::node::Seat;
use crate::view::{Member, State, View};

/// How a host is chosen. All choose among members that are Up, have the role, and are not overloaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placement {
    /// The owner of the slot, which saves a step. Else as `Random`.
    #[default]
    Owner,
    /// The node that asks first. Else as `Owner`.
    Local,
    /// Any, of the owner's zone if there is one.
    Random,
    /// One after the other, in the owner's zone if there is one there.
    RoundRobin,
    /// The less loaded of two that are drawn. That never sends all to a member that has just come, as the least loaded of all does.
    LeastLoad,
}

/// What is known when a grain is to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The view of the owner.
    pub view: &'a View,
    /// The owner of the slot.
    pub owner: Seat,
    /// The node that asked for the grain.
    pub caller: Option<Seat>,
    /// The role that a host needs, if any.
    pub role: Option<&'a str>,
    /// For `Random` and `LeastLoad` a random number, for `RoundRobin` how many were placed before.
    pub number: u64,
}

/// How much a member has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Load {
    /// Compared with that of others; what it counts is for the caller to say.
    At(u64),
    /// It takes no more.
    Full,
}

impl Placement {
    /// The host, or nothing if no member may host it. `load` tells what is known of a member, and not for too long: a load that
    /// is not known is nothing, and then the first that is drawn is taken.
    pub fn choose(self, request: Request<'_>, load: impl Fn(Seat) -> Option<Load>) -> Option<Seat> {
        let may = |member: &&Member| {
            let role = request.role.is_none_or(|role| member.roles.contains(role));
            member.state == State::Up && role && load(member.seat()) != Some(Load::Full)
        };
        let all: Vec<&Member> = request.view.members().iter().filter(may).collect();
        let has = |seat: &Seat| all.iter().any(|member| member.seat() == *seat);
        let zone = request.view.member(request.owner).map_or("", |owner| owner.zone.as_str());
        let near: Vec<_> = all.iter().copied().filter(|member| member.zone == zone).collect();
        let among = if near.is_empty() { &all } else { &near };
        let any = |number: u64| Some(among.get(below(number, among.len())?)?.seat());
        let owner = Some(request.owner).filter(has).or_else(|| any(request.number));
        match self {
            Self::Owner => owner,
            Self::Local => request.caller.filter(has).or(owner),
            Self::Random => any(request.number),
            Self::RoundRobin => {
                let at = request.number.checked_rem(among.len() as u64)?;
                among.get(at as usize).map(|member| member.seat())
            }
            Self::LeastLoad => {
                let first = below(request.number, among.len())?;
                // The second of those that are left, by other bits of the number.
                let others = among.len().saturating_sub(1);
                let second = below(request.number.rotate_left(32), others)
                    .map(|at| if at < first { at } else { at.saturating_add(1) });
                let seat = |at: usize| among.get(at).map(|member| member.seat());
                let (first, second) = (seat(first)?, second.and_then(seat));
                let lower = second.filter(
                    |second| matches!((load(first), load(*second)), (Some(a), Some(b)) if b < a),
                );
                lower.or(Some(first))
            }
        }
    }
}

/// A random number of 64 bits as one below `len`, each as often as the others.
fn below(number: u64, len: usize) -> Option<usize> {
    let high = u128::from(number).checked_mul(len as u128)?.checked_shr(64)?;
    usize::try_from(high).ok().filter(|at| *at < len)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::view::testing::{draft, member};

    const ALL: [Placement; 5] = [
        Placement::Owner,
        Placement::Local,
        Placement::Random,
        Placement::RoundRobin,
        Placement::LeastLoad,
    ];

    /// Members 1 to 6: the last two are not Up, 3 and 4 are in another zone, 2 and 4 have a role.
    fn view() -> View {
        let mut members: Vec<_> = (1..=6).map(|id| member(id, 1, State::Up)).collect();
        (members[4].state, members[5].state) = (State::Joining, State::Leaving);
        [2, 3].into_iter().for_each(|at: usize| members[at].zone = "b".into());
        [1, 3, 4, 5].into_iter().for_each(|at: usize| members[at].roles = ["db".to_owned()].into());
        View::new(draft(1, members)).expect("a view")
    }

    fn seat(view: &View, id: usize) -> Seat {
        view.members()[id - 1].seat()
    }

    fn choose(
        placement: Placement,
        owner: usize,
        caller: usize,
        role: Option<&str>,
        number: u64,
    ) -> Option<u128> {
        let view = view();
        let (owner, caller) = (seat(&view, owner), Some(seat(&view, caller)));
        let request = Request { view: &view, owner, caller, role, number };
        placement.choose(request, |_| None).map(|seat| seat.id.0)
    }

    #[test]
    fn the_owner_or_the_caller_hosts_if_it_may() {
        assert_eq!(choose(Placement::Owner, 3, 1, None, 0), Some(3));
        assert_eq!(choose(Placement::Local, 3, 1, None, 0), Some(1));
        assert_eq!(choose(Placement::Local, 3, 6, None, 0), Some(3));
        assert_eq!(choose(Placement::Owner, 3, 1, Some("db"), u64::MAX), Some(4), "of its zone");
        assert_eq!(choose(Placement::Local, 1, 3, Some("db"), u64::MAX), Some(2));
    }

    #[test]
    fn one_after_the_other_in_the_zone() {
        let round = |number| choose(Placement::RoundRobin, 3, 1, None, number);
        assert_eq!([0, 1, 2, u64::MAX].map(round), [Some(3), Some(4), Some(3), Some(4)]);
        assert_eq!(choose(Placement::RoundRobin, 3, 1, Some("none"), 7), None);
    }

    #[test]
    fn of_two_the_less_loaded_and_never_one_that_is_full() {
        let view = view();
        let owner = seat(&view, 1);
        let hosts = |loads: [Option<Load>; 2], number| {
            let load = |seat: Seat| loads.get(seat.id.0 as usize - 1).copied().flatten();
            let request = Request { view: &view, owner, caller: None, role: None, number };
            Placement::LeastLoad.choose(request, load).map(|seat| seat.id.0)
        };
        let (low, high) = (Some(Load::At(1)), Some(Load::At(9)));
        for number in [0, 1, u64::MAX, 1 << 63, u64::MAX >> 32] {
            assert_eq!(hosts([low, high], number), Some(1));
            assert_eq!(hosts([high, low], number), Some(2));
            assert_eq!(hosts([Some(Load::Full), high], number), Some(2));
            let first = if number >> 63 == 0 { 1 } else { 2 };
            assert_eq!(hosts([None, low], number), Some(first), "not known");
        }
    }

    #[test]
    fn a_random_number_reaches_all_alike() {
        let mut counts = BTreeMap::new();
        for number in 0..2000_u64 {
            let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            *counts.entry(below(number, 7).expect("below")).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 7);
        assert!(counts.values().all(|count| (250..320).contains(count)), "{counts:?}");
        assert_eq!(below(9, 0), None);
    }

    proptest! {
        #[test]
        fn a_host_is_up_has_the_role_and_room(
            which in 0..5_usize, owner in 1..7_usize, caller in 1..7_usize, number: u64, full in 0..64_u8, needs: bool,
        ) {
            let view = view();
            let (owner, caller) = (seat(&view, owner), Some(seat(&view, caller)));
            let role = needs.then_some("db");
            let is_full = |seat: Seat| full >> (seat.id.0 - 1) & 1 == 1;
            let load = |seat: Seat| is_full(seat).then_some(Load::Full);
            let request = Request { view: &view, owner, caller, role, number };
            let may = |member: &Member| {
                member.state == State::Up && !is_full(member.seat()) && (!needs || member.roles.contains("db"))
            };
            match ALL[which].choose(request, load) {
                Some(host) => prop_assert!(may(view.member(host).expect("listed"))),
                None => prop_assert!(!view.members().iter().any(may)),
            }
        }
    }
}
