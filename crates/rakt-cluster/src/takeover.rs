//! Takeover: when what a removed node had may be taken.
//!
//! Whoever takes something of a node that a view lists as Dead waits 1.2 leases, on its own clock, from its own first sight
//! of that, and from anew after a restart. A node that is not listed any more is over: it has left by itself, or somebody has
//! waited. The wait is of each taker; that another has waited shows only in the entry being dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::node::Seat;
use crate::view::{State, View};

/// The waits of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Waits {
    /// Until when, for each that the newest view lists as Dead.
    until: BTreeMap<Seat, Duration>,
}

/// That a node is over: its lease, if it still has one by its clock, has run out by anyone's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Over(Seat);

/// What proves the end of a process at once, without a wait. That it does not answer, or refuses a connection, is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Who proposes holds the exclusive lock on the node's data directory, on a local disk, and took it before.
    Lock,
    /// The exit code of its process, from whoever ran it.
    ExitCode,
}

impl Over {
    /// A node that is proven to be over.
    #[must_use]
    pub fn proven(seat: Seat, _proof: Proof) -> Self {
        Self(seat)
    }

    /// Which one.
    #[must_use]
    pub fn seat(self) -> Seat {
        self.0
    }
}

/// How long a taker waits for a lease of this length.
#[must_use]
pub fn wait(lease: Duration) -> Duration {
    // Rounded up to a nanosecond.
    let fifth = lease.saturating_add(Duration::from_nanos(4)).checked_div(5);
    lease.saturating_add(fifth.unwrap_or(lease))
}

impl Waits {
    /// Takes note of a view that the node goes on to at `now`.
    pub fn learn(&mut self, view: &View, now: Duration) {
        // They ascend by their ids, and so in the order of seats.
        let dead: Vec<Seat> = view.dead().collect();
        self.until.retain(|seat, _| dead.binary_search(seat).is_ok());
        for seat in dead {
            // The lease never gets shorter, so the dead one had at most this.
            self.until.entry(seat).or_insert_with(|| now.saturating_add(wait(view.lease())));
        }
    }

    /// Whether what this seat had may be taken at `now`, by one that knows `view` and has learned it.
    #[must_use]
    pub fn over(&self, view: &View, seat: Seat, now: Duration) -> bool {
        match view.state(seat) {
            Some(State::Dead { .. }) => self.until.get(&seat).is_some_and(|until| now >= *until),
            Some(_) => false,
            // One that was admitted later than this view is yet to come.
            None => seat.joined <= view.stamp().version,
        }
    }

    /// Until when the wait for this seat lasts, if it is listed as Dead.
    #[must_use]
    pub fn until(&self, seat: Seat) -> Option<Duration> {
        self.until.get(&seat).copied()
    }

    /// Those that may be dropped from the view at `now`: their wait is over.
    pub fn droppable(&self, now: Duration) -> impl Iterator<Item = Over> {
        self.until.iter().filter(move |(_, until)| now >= **until).map(|(seat, _)| Over(*seat))
    }

    /// As [`Lease::shift`](crate::lease::Lease::shift).
    #[doc(hidden)]
    pub fn shift(&mut self, by: Duration, now: Duration) {
        for until in self.until.values_mut() {
            *until = until.saturating_sub(by).max(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::testing::{seconds, view};

    #[test]
    fn the_wait_is_a_fifth_longer_than_the_lease() {
        assert_eq!(wait(seconds(10)), seconds(12));
        assert_eq!(wait(Duration::from_nanos(11)), Duration::from_nanos(14));
        assert_eq!(wait(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn a_taker_waits_from_its_own_first_sight() {
        let dead = view(5, &[State::Up, State::Dead { since: 4 }]);
        let later = view(6, &[State::Up, State::Dead { since: 4 }]);
        let seat = dead.members()[1].seat();
        let mut waits = Waits::default();
        assert!(!waits.over(&dead, seat, seconds(1000)), "not learned yet");
        waits.learn(&dead, seconds(100));
        waits.learn(&later, seconds(105));
        let until = seconds(100) + wait(seconds(8));
        assert_eq!(waits.until(seat), Some(until));
        assert!(!waits.over(&later, seat, until - Duration::from_nanos(1)));
        assert_eq!(waits.droppable(until - Duration::from_nanos(1)).count(), 0);
        assert!(waits.over(&later, seat, until));
        assert_eq!(waits.droppable(until).map(Over::seat).collect::<Vec<_>>(), [seat]);
    }

    #[test]
    fn the_living_are_not_over_and_the_gone_are() {
        let view = view(5, &[State::Up, State::Leaving, State::Joining]);
        let mut waits = Waits::default();
        waits.learn(&view, seconds(1));
        assert!(view.members().iter().all(|m| !waits.over(&view, m.seat(), seconds(1000))));
        let gone = Seat { joined: 3, ..view.members()[0].seat() };
        assert!(waits.over(&view, gone, seconds(1)));
        let to_come = Seat { joined: 6, ..gone };
        assert!(!waits.over(&view, to_come, seconds(1000)));
    }
}
