//! Who owns each slot by a view: worked out once, when it is first asked for, and from those of a view before where these are
//! known. Whichever way, the same comes out.
//!
//! A member that came or gained weight can only win slots, one that left or lost weight can only lose those that it had. So of
//! a thousand members one that comes draws 4,096 numbers against one holder each, and for one that goes only what it had is
//! drawn anew.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::sync::OnceLock;

use super::member::{Draft, MAX_MEMBERS, Member, State};
use crate::node::NodeId;
use crate::slots::{Draw, SLOTS, Slot, seed};

/// The place among the members of none.
const NOBODY: u16 = u16::MAX;
const _: () = assert!(MAX_MEMBERS < NOBODY as usize);

/// For each slot the place of its owner among the members.
type Places = Box<[u16]>;

/// The owners of all slots, as soon as they are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners(OnceLock<Places>);

/// One that may own slots, and its place among the members.
#[derive(Clone, Copy)]
struct Candidate {
    at: u16,
    weight: u16,
    seed: u64,
    id: NodeId,
}

impl Owners {
    /// The owner of a slot by this draft, of which these are the owners.
    pub(super) fn of<'a>(&self, draft: &'a Draft, slot: Slot) -> Option<&'a Member> {
        let places = self.0.get_or_init(|| all(draft));
        let at = places.get(usize::from(slot.number())).copied().unwrap_or(NOBODY);
        // Nobody's place is behind the last.
        draft.members.get(usize::from(at))
    }

    /// Works them out from those of a draft before, if these are known.
    pub(super) fn after(&self, draft: &Draft, before: &Draft, known: &Self) {
        if let Some(known) = known.0.get().filter(|_| draft.slots == before.slots) {
            let _ = self.0.get_or_init(|| next(draft, before, known));
        }
    }
}

fn candidates(draft: &Draft) -> impl Iterator<Item = Candidate> {
    let may = |(_, member): &(u16, &Member)| member.state == State::Up && member.weight > 0;
    let all = (0..NOBODY).zip(&draft.members).filter(may);
    all.map(|(at, &Member { id, weight, .. })| Candidate { at, weight, seed: seed(id), id })
}

impl Candidate {
    fn draw(&self, draft: &Draft, slot: Slot) -> Draw {
        draft.slots.draw(slot, self.seed, self.id, self.weight)
    }
}

/// The best of a holder, if there is one, and of these.
fn best(draft: &Draft, slot: Slot, holder: Option<Candidate>, others: &[Candidate]) -> u16 {
    let mut best: Option<(Draw, u16)> = None;
    for candidate in holder.iter().chain(others) {
        let draw = candidate.draw(draft, slot);
        if best.is_none_or(|(least, _)| draw.beats(&least)) {
            best = Some((draw, candidate.at));
        }
    }
    best.map_or(NOBODY, |(_, at)| at)
}

fn all(draft: &Draft) -> Places {
    let candidates: Vec<_> = candidates(draft).collect();
    Slot::all().map(|slot| best(draft, slot, None, &candidates)).collect()
}

fn next(draft: &Draft, before: &Draft, known: &[u16]) -> Places {
    let all: Vec<_> = candidates(draft).collect();
    // Those that were there and have not lost weight, by their place before; and those that may win.
    let mut stayed = vec![None; before.members.len()];
    let mut winning = Vec::new();
    let mut old = candidates(before).peekable();
    for new in all.iter().copied() {
        match same(&mut old, new) {
            None => winning.push(new),
            Some(was) => {
                let kept = new.weight >= was.weight;
                if let Some(place) = stayed.get_mut(usize::from(was.at)).filter(|_| kept) {
                    *place = Some(new);
                }
                if new.weight > was.weight {
                    winning.push(new);
                }
            }
        }
    }
    debug_assert_eq!(known.len(), usize::from(SLOTS));
    let owner = |(slot, place): (Slot, &u16)| match stayed.get(usize::from(*place)) {
        Some(Some(holder)) if winning.is_empty() => holder.at,
        Some(Some(holder)) => best(draft, slot, Some(*holder), &winning),
        // It is gone, or has less weight: any other may be better.
        Some(None) => best(draft, slot, None, &all),
        // There was no candidate at all.
        None => best(draft, slot, None, &winning),
    };
    Slot::all().zip(known).map(owner).collect()
}

/// The one of the same id, of those that ascend.
fn same(old: &mut Peekable<impl Iterator<Item = Candidate>>, new: Candidate) -> Option<Candidate> {
    loop {
        match old.peek()?.id.cmp(&new.id) {
            Ordering::Less => old.next(),
            Ordering::Equal => return old.next(),
            Ordering::Greater => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::view::testing::{draft, member};

    type Members = BTreeMap<u128, (State, u16)>;

    /// What becomes of some members: they may also go.
    fn changes() -> impl Strategy<Value = BTreeMap<u128, Option<(State, u16)>>> {
        let states =
            [State::Joining, State::Up, State::Up, State::Leaving, State::Dead { since: 1 }];
        let weight = prop_oneof![Just(0), Just(1), Just(100), 90..110_u16];
        let one = proptest::option::weighted(0.8, (prop::sample::select(states.to_vec()), weight));
        btree_map(0..9_u128, one, 0..5)
    }

    fn of(members: &Members) -> Draft {
        let member = |(id, (state, weight)): (&u128, &(State, u16))| Member {
            weight: *weight,
            ..member(*id, 1, *state)
        };
        draft(1, members.iter().map(member).collect())
    }

    fn by_the_rule(draft: &Draft, slot: Slot) -> Option<NodeId> {
        let up = draft.members.iter().filter(|member| member.state == State::Up);
        draft.slots.owner(slot, up.map(|member| (member.id, member.weight)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn from_those_before_comes_what_the_rule_says(history in vec(changes(), 1..12)) {
            let mut members = Members::new();
            let (mut before, mut known) = (of(&members), Owners::default());
            prop_assert!(Slot::all().all(|slot| known.of(&before, slot).is_none()));
            for changes in history {
                for (id, change) in changes {
                    match change {
                        Some(change) => drop(members.insert(id, change)),
                        None => drop(members.remove(&id)),
                    }
                }
                let (draft, owners) = (of(&members), Owners::default());
                owners.after(&draft, &before, &known);
                prop_assert!(owners.0.get().is_some(), "not worked out from those before");
                for slot in Slot::all() {
                    let owner = owners.of(&draft, slot).map(|member| member.id);
                    prop_assert_eq!(owner, by_the_rule(&draft, slot));
                }
                (before, known) = (draft, owners);
            }
        }
    }

    #[test]
    fn from_owners_that_nobody_knows_nothing_is_worked_out() {
        let members = Members::from([(1, (State::Up, 100)), (2, (State::Up, 100))]);
        let (draft, owners, known) = (of(&members), Owners::default(), Owners::default());
        owners.after(&draft, &draft, &known);
        assert!(owners.0.get().is_none() && known.0.get().is_none());
        let slot = Slot::new(9).expect("a slot");
        let owner = owners.of(&draft, slot).map(|member| member.id);
        assert_eq!(owner, by_the_rule(&draft, slot));
    }
}
