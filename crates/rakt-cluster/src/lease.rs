//! The lease: how long a node may act as a member, by its own clock, after it has read that it is one.
//!
//! A node may host for one lease from the *start* of its last confirmed read of the view, and grant activations for half of
//! it. It holds because a good read is linearized after its start and before the removal that it did not see; whoever takes
//! something waits 1.2 leases from when it sees the removal ([`crate::takeover`]). So clocks may differ in rate by a fifth, and
//! need not agree in anything else. No expiry of the register is trusted.
//!
//! Times are since an origin of the caller's choice, on a clock that also counts while the machine sleeps.

use std::time::Duration;

use crate::epoch::Stamp;
use crate::node::{Incarnation, NodeId, Seat};
use crate::register::Confirmed;
use crate::view::{State, View};

/// The lease of one seat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    seat: Seat,
    origin: u64,
    stamp: Stamp,
    length: Duration,
    /// Nothing once the node has seen that it is no member: for ever.
    state: Option<State>,
    /// The start of the best confirmed read, and the lease that the view of then gave.
    held: Option<(Duration, Duration)>,
}

/// A look at the register that is under way. Its start is what counts, never the time of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a look at the register gives nothing until its outcome is told"]
pub struct Look {
    started: Duration,
    seen: Stamp,
    length: Duration,
    hosts: bool,
}

/// What to do after a look at the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Look again a quarter of a lease after the start of this look.
    Rest,
    /// Read the view now; a read that lists this node counts as its confirmation.
    Read,
    /// Look again, with a pause: nothing is known, and the lease runs on.
    Again,
    /// The register has returned a view from before the one that was known at the start: an alarm. Nothing is renewed.
    Alarm,
    /// This node is no member any more: it ends all it hosts, and joins as a new incarnation.
    Ended,
}

impl Lease {
    /// The lease of the node that this view lists; nothing if it does not, or lists it as Dead. Nothing may be hosted
    /// before the first confirmed look.
    #[must_use]
    pub fn new(view: &View, id: NodeId, incarnation: Incarnation) -> Option<Self> {
        let seat = view.node(id).filter(|member| member.incarnation == incarnation)?.seat();
        let mut lease = Self {
            seat,
            origin: view.origin(),
            stamp: view.stamp(),
            length: view.lease(),
            state: view.state(seat),
            held: None,
        };
        lease.learn(view);
        lease.state.map(|_| lease)
    }

    /// Whose it is.
    #[must_use]
    pub fn seat(&self) -> Seat {
        self.seat
    }

    /// Whether the node has seen that it is no member any more.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.state.is_none()
    }

    /// Takes note of a view that the node goes on to. One that does not list it, lists it as Dead, or is of a history that
    /// was recovered from a copy, ends the lease for ever.
    pub fn learn(&mut self, view: &View) {
        if view.stamp() < self.stamp {
            return;
        }
        self.stamp = view.stamp();
        self.length = view.lease();
        let listed = view.state(self.seat).filter(|state| !matches!(state, State::Dead { .. }));
        self.state = self.state.and(listed).filter(|_| view.origin() == self.origin);
        if self.state.is_none() {
            self.held = None;
        }
    }

    /// Starts a look at the register at `now`: a confirmation of the view that is known, or a read.
    pub fn look(&self, now: Duration) -> Look {
        let hosts = self.state.is_some_and(State::hosts);
        Look { started: now, seen: self.stamp, length: self.length, hosts }
    }

    /// Takes the outcome of a confirmation. When it comes does not matter: an old one renews nothing.
    pub fn confirmed(&mut self, look: Look, outcome: Confirmed) -> Next {
        match outcome {
            _ if self.ended() => Next::Ended,
            Confirmed::Newest => {
                self.renew(look.started, look.length, look.hosts);
                Next::Rest
            }
            Confirmed::Older => Next::Read,
            Confirmed::Unknown => Next::Again,
        }
    }

    /// Takes a view that was read, and learns it.
    pub fn read(&mut self, look: Look, view: &View) -> Next {
        if view.stamp() < look.seen {
            return Next::Alarm;
        }
        self.learn(view);
        if self.ended() {
            return Next::Ended;
        }
        let listed = view.state(self.seat).is_some_and(State::hosts);
        self.renew(look.started, view.lease(), listed && view.origin() == self.origin);
        Next::Rest
    }

    fn renew(&mut self, started: Duration, length: Duration, hosts: bool) {
        let until = |(started, length): (Duration, Duration)| started.saturating_add(length);
        let better = self.held.is_none_or(|held| until(held) < until((started, length)));
        if hosts && better {
            self.held = Some((started, length));
        }
    }

    /// Until when the node may host and reply, and own slots.
    #[must_use]
    pub fn until(&self) -> Option<Duration> {
        self.held.map(|(started, length)| started.saturating_add(length))
    }

    /// Whether the node may host, reply and own slots at `now`.
    #[must_use]
    pub fn may_host(&self, now: Duration) -> bool {
        self.state.is_some_and(State::hosts) && self.until().is_some_and(|until| now < until)
    }

    /// Whether the node may grant activations at `now`: what it grants has at least half of the lease to arrive in.
    #[must_use]
    pub fn may_grant(&self, now: Duration) -> bool {
        let half = self.held.map(|(started, length)| started.saturating_add(part(length, 2)));
        self.state == Some(State::Up) && half.is_some_and(|until| now < until)
    }

    /// As if it had been confirmed at `now`: for what may be hosted without that.
    #[must_use]
    pub fn as_confirmed(&self, now: Duration) -> Self {
        let held = self.state.filter(|state| state.hosts()).map(|_| (now, self.length));
        Self { held, ..self.clone() }
    }

    /// When to look again, if nothing else asks for it: a quarter of the lease after the start of the best look.
    #[must_use]
    pub fn next_look(&self) -> Option<Duration> {
        self.held.map(|(started, length)| started.saturating_add(part(length, 4)))
    }

    /// Puts everything `by` earlier, and forgets what is over at `now`: to all questions from then on the answers are those
    /// of a clock that is `by` later. A model that calls each moment `now` has few states.
    #[doc(hidden)]
    pub fn shift(&mut self, by: Duration, now: Duration) {
        let over = |(started, length): &(Duration, Duration)| now < started.saturating_add(*length);
        let earlier =
            |(started, length): (Duration, Duration)| (started.saturating_sub(by), length);
        self.held = self.held.map(earlier).filter(over);
    }
}

fn part(length: Duration, of: u32) -> Duration {
    length.checked_div(of).unwrap_or_default()
}

impl Look {
    /// When it was started.
    #[must_use]
    pub fn started(&self) -> Duration {
        self.started
    }

    /// As [`Lease::shift`]; a look that is older than a lease stays as old as that.
    #[doc(hidden)]
    pub fn shift(&mut self, by: Duration, now: Duration) {
        self.started = self.started.saturating_sub(by).max(now.saturating_sub(self.length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Draft;
    use crate::view::testing::{seconds, view};

    fn lease(states: &[State]) -> (View, Lease) {
        let view = view(5, states);
        let me = view.members()[0].clone();
        let lease = Lease::new(&view, me.id, me.incarnation).expect("listed");
        (view, lease)
    }

    fn later(view: &View, by: u64, change: impl FnOnce(&mut Draft)) -> View {
        let mut draft = view.draft();
        draft.version += by;
        change(&mut draft);
        View::new(draft).expect("a view")
    }

    #[test]
    fn a_lease_counts_from_the_start_of_the_look() {
        let (_, mut lease) = lease(&[State::Up]);
        assert!(!lease.may_host(seconds(0)));
        let look = lease.look(seconds(10));
        assert_eq!(lease.confirmed(look, Confirmed::Newest), Next::Rest);
        assert_eq!(lease.next_look(), Some(seconds(12)));
        for (now, hosts, grants) in [
            (10, true, true),
            (13, true, true),
            (14, true, false),
            (17, true, false),
            (18, false, false),
        ] {
            assert_eq!(
                (lease.may_host(seconds(now)), lease.may_grant(seconds(now))),
                (hosts, grants),
                "{now}"
            );
        }
    }

    #[test]
    fn an_old_reply_renews_nothing_and_takes_nothing() {
        let (_, mut lease) = lease(&[State::Up]);
        let (old, new) = (lease.look(seconds(1)), lease.look(seconds(5)));
        let _ = lease.confirmed(new, Confirmed::Newest);
        let _ = lease.confirmed(old, Confirmed::Newest);
        assert_eq!(lease.until(), Some(seconds(13)));
        let late = lease.look(seconds(14));
        let _ = lease.confirmed(late, Confirmed::Newest);
        assert!(!lease.may_host(seconds(30)));
    }

    #[test]
    fn only_a_good_outcome_renews() {
        let (_, mut lease) = lease(&[State::Up]);
        let look = lease.look(seconds(1));
        assert_eq!(lease.confirmed(look, Confirmed::Older), Next::Read);
        assert_eq!(lease.confirmed(look, Confirmed::Unknown), Next::Again);
        assert_eq!(lease.until(), None);
    }

    #[test]
    fn a_read_that_lists_the_node_counts_as_its_confirmation() {
        let (view, mut lease) = lease(&[State::Up]);
        let look = lease.look(seconds(1));
        let newer = later(&view, 3, |_| ());
        assert_eq!(lease.read(look, &newer), Next::Rest);
        assert_eq!(lease.until(), Some(seconds(9)));
    }

    #[test]
    fn a_register_that_goes_back_renews_nothing() {
        let (view, mut lease) = lease(&[State::Up]);
        lease.learn(&later(&view, 3, |_| ()));
        let look = lease.look(seconds(1));
        assert_eq!(lease.read(look, &view), Next::Alarm);
        assert_eq!(lease.until(), None);
    }

    #[test]
    fn a_view_that_was_overtaken_while_it_was_read_still_counts() {
        let (view, mut lease) = lease(&[State::Up]);
        let look = lease.look(seconds(1));
        lease.learn(&later(&view, 3, |_| ()));
        assert_eq!(lease.read(look, &view), Next::Rest);
        assert_eq!(lease.until(), Some(seconds(9)));
    }

    #[test]
    fn a_node_that_saw_itself_gone_is_gone_for_ever() {
        let (view, first) = lease(&[State::Up, State::Up]);
        let dead = |draft: &mut Draft| draft.members[0].state = State::Dead { since: 6 };
        let gone = |draft: &mut Draft| drop(draft.members.remove(0));
        let again = |draft: &mut Draft| draft.members[0].joined = 6;
        let other = |draft: &mut Draft| draft.members[0].incarnation = Incarnation(9);
        let recovered = |draft: &mut Draft| (draft.origin, draft.generation) = (2, 2);
        let ends: [fn(&mut Draft); 5] = [dead, gone, again, other, recovered];
        for end in ends {
            let mut lease = first.clone();
            let look = lease.look(seconds(1));
            let _ = lease.confirmed(look, Confirmed::Newest);
            let late = lease.look(seconds(2));
            lease.learn(&later(&view, 1, end));
            assert!(lease.ended() && !lease.may_host(seconds(2)));
            // Neither a late reply nor a view that lists it again brings it back.
            assert_eq!(lease.confirmed(late, Confirmed::Newest), Next::Ended);
            assert_eq!(lease.read(late, &later(&view, 2, |_| ())), Next::Ended);
            assert!(!lease.may_host(seconds(2)));
        }
    }

    #[test]
    fn who_is_not_up_yet_hosts_nothing_and_who_leaves_grants_nothing() {
        let (view, mut lease) = lease(&[State::Joining, State::Up]);
        let look = lease.look(seconds(1));
        let _ = lease.confirmed(look, Confirmed::Newest);
        assert!(!lease.may_host(seconds(1)));
        lease.learn(&later(&view, 1, |draft| draft.members[0].state = State::Up));
        assert!(!lease.may_host(seconds(1)), "what it looked at did not list it as Up");
        let look = lease.look(seconds(1));
        let _ = lease.confirmed(look, Confirmed::Newest);
        assert!(lease.may_grant(seconds(1)));
        lease.learn(&later(&view, 2, |draft| draft.members[0].state = State::Leaving));
        assert!(lease.may_host(seconds(1)) && !lease.may_grant(seconds(1)));
    }

    #[test]
    fn a_longer_lease_counts_from_the_view_that_gave_it() {
        let (view, mut lease) = lease(&[State::Up]);
        let look = lease.look(seconds(1));
        lease.learn(&later(&view, 1, |draft| draft.lease = seconds(60)));
        let _ = lease.confirmed(look, Confirmed::Newest);
        assert_eq!(lease.until(), Some(seconds(9)));
        assert!(Lease::new(&view, NodeId(1), Incarnation(0)).is_none());
    }
}
