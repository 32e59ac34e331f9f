//! Clocks: whether that of this node runs as fast as those of others.
//!
//! Leases hold as long as no two clocks differ by more than a fifth in rate. Each node compares its own with those that it
//! probes, and one that is a twentieth off fences itself, long before that. This is for a clock that runs wrong; one that
//! stood still for a while and goes on as before is not found by it.
//!
//! ```text
//!            asked                  answered
//! this node ───┬───────────────────────┬────►     "theirs" was read at some moment between the two, on this
//!               ╲                     ╱            node's clock. Between two readings of a peer its clock and
//! peer ──────────┴──── theirs ───────┴──────►      this one have gone so far; the round trips are what is not known
//! ```
//! A rate that is bounded like that holds whatever the network does: with a longer round trip less is known, and never
//! something wrong. Of each [`WINDOW`] the reading counts that bounds it best, with the one that counted before.
//!
//! A node is off if by more than half of those that were measured, itself included, it is, and all to the same side. So one
//! that lies fences nobody, and where half of the clocks differ from the other half nobody fences itself; nor does one of two nodes,
//! which cannot know which of them is wrong.
//!
//! A service that sets the time by letting a clock run faster or slower moves its rate as well. What it may do is to stay
//! below a twentieth.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::node::Seat;
use crate::view::View;

/// Of so much time one reading of each peer counts.
pub const WINDOW: Duration = Duration::from_secs(10);
/// In so many windows in a row a clock is off until it counts as that, or not until it does not any more: half a minute.
pub const WINDOWS: u32 = 3;
/// How far a rate may be from another, in hundredths: both ways, 105 to 100.
const MOST: u128 = 105;

/// The answer to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// When this node asked, on its own clock.
    pub asked: Duration,
    /// When it had the answer, on its own clock.
    pub answered: Duration,
    /// What the clock of the peer showed in between, from whatever origin its process has.
    pub theirs: Duration,
}

/// That the clock of this node is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Off {
    /// It runs faster than those of most.
    Fast,
    /// It runs slower.
    Slow,
}

/// What is said of this node's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// Nothing against it.
    Well,
    Off(Off),
}

/// What a node knows of its clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// When the window ends.
    ends: Duration,
    peers: BTreeMap<Seat, Peer>,
    /// What the last windows say, and how many in a row.
    last: (Said, u32),
    off: Option<Off>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Peer {
    /// The reading of the window before.
    before: Option<Reading>,
    /// That of this one, so far.
    best: Option<Reading>,
}

impl Reading {
    fn round_trip(&self) -> Duration {
        self.answered.saturating_sub(self.asked)
    }

    /// Whether it bounds the rate since `before` as well as another one does: whether its round trips are as small a part of the
    /// time since then.
    fn is_as_good(&self, other: &Self, before: Option<&Self>) -> bool {
        let Some(before) = before else { return self.round_trip() <= other.round_trip() };
        let time = |of: &Self| of.asked.saturating_sub(before.answered).as_nanos();
        let unknown = |of: &Self| of.round_trip().saturating_add(before.round_trip()).as_nanos();
        unknown(self).saturating_mul(time(other)) <= unknown(other).saturating_mul(time(self))
    }

    /// What is certain of this node's clock by this reading and one before of the same peer, if they can be of one clock.
    fn since(&self, before: &Self) -> Option<Said> {
        let theirs = self.theirs.checked_sub(before.theirs)?.as_nanos();
        let least = self.asked.checked_sub(before.answered)?.as_nanos();
        let most = self.answered.checked_sub(before.asked)?.as_nanos();
        let exceeds = |a: u128, b: u128| a.saturating_mul(100) > b.saturating_mul(MOST);
        Some(if exceeds(least, theirs) {
            Said::Off(Off::Fast)
        } else if exceeds(theirs, most) {
            Said::Off(Off::Slow)
        } else {
            Said::Well
        })
    }
}

impl Rates {
    /// Knows nothing, from `now` on.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        let ends = now.saturating_add(WINDOW);
        Self { ends, peers: BTreeMap::new(), last: (Said::Well, 0), off: None }
    }

    /// Takes note of who there is. Another run of a node has another clock.
    pub fn learn(&mut self, view: &View) {
        self.peers.retain(|seat, _| view.state(*seat).is_some_and(|state| state.hosts()));
    }

    /// A member has answered a probe.
    pub fn answered(&mut self, peer: Seat, reading: Reading) {
        let peer = self.peers.entry(peer).or_default();
        let before = peer.before.as_ref();
        let good = reading.answered >= reading.asked;
        if good && peer.best.is_none_or(|best| reading.is_as_good(&best, before)) {
            peer.best = Some(reading);
        }
    }

    /// When to call [`poll`](Self::poll).
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.ends
    }

    /// Whether the clock of this node is off, as it has been for [`WINDOWS`]. Such a node fences itself, by deciding so: it
    /// hosts and grants nothing. It goes on to measure, and is told when it is well again for as long.
    pub fn poll(&mut self, now: Duration) -> Option<Off> {
        if now >= self.ends {
            self.ends = now.saturating_add(WINDOW);
            match self.window() {
                // Nobody was measured: that says nothing, neither way.
                None => self.last = (Said::Well, 0),
                Some(said) => {
                    let (last, row) = self.last;
                    let row = if said == last { row.saturating_add(1) } else { 1 };
                    self.last = (said, row);
                    match said {
                        _ if row < WINDOWS => {}
                        Said::Well => self.off = None,
                        Said::Off(off) => self.off = Some(off),
                    }
                }
            }
        }
        self.off
    }

    /// What a window says, if anybody was measured in it.
    fn window(&mut self) -> Option<Said> {
        let mut votes = Vec::new();
        for peer in self.peers.values_mut() {
            let before = std::mem::replace(&mut peer.before, peer.best.take());
            if let (Some(before), Some(after)) = (before, peer.before) {
                votes.extend(after.since(&before));
            }
        }
        self.peers.retain(|_, peer| peer.before.is_some());
        let all = votes.len().saturating_add(1);
        let most = |said: &Said| {
            let say = votes.iter().filter(|vote| *vote == said).count();
            say.saturating_mul(2) > all
        };
        let off = [Said::Off(Off::Fast), Said::Off(Off::Slow)].into_iter().find(most);
        (!votes.is_empty()).then_some(off.unwrap_or(Said::Well))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::node::{Incarnation, NodeId};
    use crate::view::State;
    use crate::view::testing::{seconds, view};

    /// A peer as it is, in a world whose time is in milliseconds.
    #[derive(Clone, Debug)]
    struct Clock {
        /// In thousandths of the world's.
        rate: u64,
        /// What it shows is made up.
        lies: bool,
        /// It starts anew every so many milliseconds, with another clock.
        restarts: Option<u64>,
    }

    impl Clock {
        fn right(rate: u64) -> Self {
            Self { rate, lies: false, restarts: None }
        }

        fn run(&self, now: u64) -> u64 {
            self.restarts.map_or(0, |every| now / every)
        }

        fn shows(&self, now: u64, noise: u64) -> Duration {
            match self.lies {
                true => Duration::from_micros(noise.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                false => Duration::from_micros(now.saturating_sub(self.since(now)) * self.rate),
            }
        }

        fn since(&self, now: u64) -> u64 {
            self.restarts.map_or(0, |every| self.run(now) * every)
        }
    }

    /// What a node whose clock has this rate says after each second, which probes these once a second. Delays are in
    /// milliseconds, there and back.
    fn said(rate: u64, peers: &[Clock], delays: &[(u64, u64)], until: u64) -> Vec<Option<Off>> {
        let mine = |now: u64| Duration::from_micros(now * rate);
        let (mut rates, mut said) = (Rates::new(mine(0)), Vec::new());
        let mut delays = delays.iter().cycle();
        for second in 1..=until {
            for (id, peer) in (1..).zip(peers) {
                let (there, back) = *delays.next().expect("endless");
                let (asked, read) = (second * 1000, second * 1000 + there);
                let incarnation = Incarnation(peer.run(read).into());
                let seat = Seat { id: NodeId(id), incarnation, joined: 1 };
                let theirs = peer.shows(read, second * 31 + there);
                let (asked, answered) = (mine(asked), mine(read + back));
                rates.answered(seat, Reading { asked, answered, theirs });
            }
            said.push(rates.poll(mine(second * 1000 + 999)));
        }
        said
    }

    fn delays(most: u64) -> impl Strategy<Value = Vec<(u64, u64)>> {
        vec((0..most, 0..most), 1..50)
    }

    /// At most half of those that a node measures are not as they should be.
    fn mostly(good: impl Strategy<Value = Clock>) -> impl Strategy<Value = Vec<Clock>> {
        let bad = prop_oneof![
            (900..1100_u64).prop_map(|rate| Clock { lies: true, ..Clock::right(rate) }),
            (200..5000_u64).prop_map(Clock::right),
        ];
        (vec(good, 3..6), vec(bad, 0..2)).prop_map(|(good, bad)| [bad, good].concat())
    }

    proptest! {
        #[test]
        fn a_clock_that_is_right_is_never_off(
            rate in 980..1020_u64, delays in delays(5000),
            peers in mostly((980..1020_u64, proptest::option::of(5000..50_000_u64))
                .prop_map(|(rate, restarts)| Clock { restarts, ..Clock::right(rate) })),
        ) {
            prop_assert!(said(rate, &peers, &delays, 150).iter().all(Option::is_none));
        }

        #[test]
        fn a_clock_that_is_a_tenth_off_is_found_in_time(
            fast in any::<bool>(), delays in delays(150),
            peers in mostly((990..1010_u64).prop_map(Clock::right)),
        ) {
            let (rate, off) = if fast { (1100, Off::Fast) } else { (900, Off::Slow) };
            let said = said(rate, &peers, &delays, 80);
            let at = said.iter().position(|said| said.is_some()).expect("found");
            // A window until the first reading counts, and three more, by its own clock.
            prop_assert!((30..50).contains(&at), "{}", at);
            prop_assert!(said[at..].iter().all(|said| *said == Some(off)));
        }

        #[test]
        fn whatever_is_said_there_is_an_answer(
            readings in vec((0..3_u128, any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()), 0..60),
        ) {
            let mut rates = Rates::new(seconds(0));
            for (id, asked, answered, theirs, now) in readings {
                let seat = Seat { id: NodeId(id), incarnation: Incarnation(0), joined: 1 };
                let [asked, answered, theirs] = [asked, answered, theirs].map(seconds);
                rates.answered(seat, Reading { asked, answered, theirs });
                rates.poll(seconds(now));
            }
        }
    }

    #[test]
    fn a_twentieth_is_the_limit() {
        let peers = vec![Clock::right(1000); 4];
        let last = |rate| *said(rate, &peers, &[(0, 0)], 60).last().expect("some");
        assert_eq!([last(1050), last(1052)], [None, Some(Off::Fast)]);
        assert_eq!([last(953), last(951)], [None, Some(Off::Slow)]);
    }

    #[test]
    fn where_clocks_are_in_two_halves_nobody_is_off() {
        let (one, other) = (Clock::right(1000), Clock::right(1150));
        let last = |rate, peers: &[&Clock]| {
            let peers: Vec<_> = peers.iter().copied().cloned().collect();
            *said(rate, &peers, &[(1, 1)], 60).last().expect("some")
        };
        assert_eq!(last(1000, &[&one, &other, &other]), None);
        assert_eq!(last(1150, &[&other, &one, &one]), None);
        // Of two nodes neither knows, of three one does.
        assert_eq!([last(1000, &[&other]), last(1150, &[&one])], [None, None]);
        assert_eq!(last(1150, &[&one, &one]), Some(Off::Fast));
        assert_eq!(last(1000, &[&one, &other]), None);
    }

    #[test]
    fn what_lasts_for_a_moment_is_nothing_and_what_is_over_is_over() {
        let seats: Vec<_> = view(1, &[State::Up; 4]).members().iter().map(|m| m.seat()).collect();
        let mut rates = Rates::new(seconds(0));
        let mut theirs = 0;
        let mut window = |rates: &mut Rates, windows: u64, speed: u64| {
            let mut off = None;
            for _ in 0..windows {
                theirs += speed;
                let now = rates.deadline();
                for seat in &seats[1..] {
                    let theirs = Duration::from_millis(theirs);
                    rates.answered(*seat, Reading { asked: now, answered: now, theirs });
                }
                off = rates.poll(now);
            }
            off
        };
        assert_eq!(window(&mut rates, 5, 10_000), None);
        // The clock of this node stands still for two windows of three, and for three of four.
        assert_eq!(window(&mut rates, 2, 20_000), None);
        assert_eq!(window(&mut rates, 1, 10_000), None);
        assert_eq!(window(&mut rates, 2, 20_000), None);
        assert_eq!(window(&mut rates, 1, 20_000), Some(Off::Slow));
        // It is well again: for as long, if anybody says so.
        assert_eq!(window(&mut rates, 2, 10_000), Some(Off::Slow));
        for _ in 0..9 {
            let now = rates.deadline();
            assert_eq!(rates.poll(now), Some(Off::Slow));
        }
        assert_eq!(window(&mut rates, 3, 10_000), Some(Off::Slow));
        assert_eq!(window(&mut rates, 1, 10_000), None);
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let (old, mut rates) = (view(1, &[State::Up; 3]), Rates::new(seconds(0)));
        for seat in old.members().iter().map(|member| member.seat()) {
            let now = seconds(1);
            rates.answered(seat, Reading { asked: now, answered: now, theirs: now });
        }
        rates.learn(&view(2, &[State::Up, State::Dead { since: 2 }]));
        assert_eq!(rates.peers.len(), 1);
        rates.poll(seconds(10));
        rates.poll(seconds(20));
        assert_eq!(rates.peers.len(), 0);
    }
}
