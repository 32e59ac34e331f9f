//! Failure detection: evidence, and what it is enough for. It decides nothing, the view does.
//!
//! Each node probes the next six members of a ring. Who misses three probes in a row, and a last one through another that
//! calls itself healthy, is accused. One accuser is not enough, and one whose own timers are late accuses nobody: a sick node
//! must not take the others down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::node::Seat;
use crate::view::{State, View};

/// How many members each one probes.
pub const RING: usize = 6;
/// How many have to accuse a member; all, where there are fewer.
pub const ACCUSERS: usize = 2;
/// How many probes in a row are missed before the last one.
pub const MISSED: u32 = 3;
/// The highest number of a node's own health; probes are so many times slower, and one more.
pub const WORST: u32 = 8;
/// How long a link has to be bad until one member is evicted for it.
pub const PERSISTENT: Duration = Duration::from_secs(30);
/// At most one member is evicted for bad links in this time.
pub const PAUSE: Duration = Duration::from_secs(60);

/// Whom `me` probes: the members after it on a ring by id.
#[must_use]
pub fn probed_by(view: &View, me: Seat) -> Vec<Seat> {
    let living = |seat: &Seat| *seat != me && view.state(*seat).is_some_and(|state| state.hosts());
    let (before, after): (Vec<_>, Vec<_>) = view
        .members()
        .iter()
        .map(|member| member.seat())
        .filter(living)
        .partition(|seat| seat.id < me.id);
    after.into_iter().chain(before).take(RING).collect()
}

/// How far behind a node itself is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Health(u32);

impl Health {
    /// A timer came by this much too late, where the probes are so far apart.
    pub fn lag(&mut self, late: Duration, interval: Duration) {
        let worse = late.saturating_mul(2) > interval;
        self.0 = if worse { self.0.saturating_add(1).min(WORST) } else { self.0.saturating_sub(1) };
    }

    /// Whether it may accuse, and pass on the probes of others.
    #[must_use]
    pub fn is_good(self) -> bool {
        self.0 == 0
    }

    /// How far apart its probes are.
    #[must_use]
    pub fn interval(self, interval: Duration) -> Duration {
        interval.saturating_mul(self.0.saturating_add(1))
    }
}

/// What a detector wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Do {
    /// Probe it; an answer is [`Detector::answered`].
    Probe(Seat),
    /// Have `via` probe it, if that calls itself healthy.
    Through {
        /// Who is asked to.
        via: Seat,
        /// Who is probed.
        to: Seat,
    },
    /// Tell who proposes that this one does not answer. Again in every round while that is so.
    Accuse(Seat),
    /// It answers again.
    Withdraw(Seat),
    /// Tell who proposes that this one answers through others at best. Again in every round while that is so.
    Bad(Seat),
}

/// The probes of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detector {
    me: Seat,
    interval: Duration,
    next: Duration,
    round: usize,
    health: Health,
    targets: BTreeMap<Seat, Target>,
    helpers: Vec<Seat>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Target {
    waits: bool,
    missed: u32,
    accused: bool,
    /// The same of its own answers alone.
    waits_itself: bool,
    missed_itself: u32,
}

impl Detector {
    /// A detector of this node, with so long from one probe to the next (by default a second), from `now` on.
    #[must_use]
    pub fn new(me: Seat, interval: Duration, now: Duration) -> Self {
        let (health, targets, helpers) = (Health::default(), BTreeMap::new(), Vec::new());
        Self { me, interval, next: now, round: 0, health, targets, helpers }
    }

    /// Takes note of who there is. Who stays keeps what is known of it.
    pub fn learn(&mut self, view: &View) {
        let new = probed_by(view, self.me).into_iter();
        let old = std::mem::take(&mut self.targets);
        self.targets =
            new.map(|seat| (seat, old.get(&seat).copied().unwrap_or_default())).collect();
        self.helpers = view.hosts().filter(|seat| *seat != self.me).collect();
    }

    /// When to call [`poll`](Self::poll).
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.next
    }

    /// The health of this node.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// One round, if it is time.
    pub fn poll(&mut self, now: Duration) -> Vec<Do> {
        if now < self.next {
            return Vec::new();
        }
        self.health.lag(now.saturating_sub(self.next), self.interval);
        self.next = now.saturating_add(self.health.interval(self.interval));
        self.round = self.round.wrapping_add(1);
        let mut out = Vec::new();
        for (seat, target) in &mut self.targets {
            target.missed = if target.waits { target.missed.saturating_add(1) } else { 0 };
            target.missed_itself =
                if target.waits_itself { target.missed_itself.saturating_add(1) } else { 0 };
            (target.waits, target.waits_itself) = (true, true);
            out.push(Do::Probe(*seat));
            let others = || self.helpers.iter().filter(|helper| *helper != seat);
            if target.missed >= MISSED {
                // Another one each time.
                let at = self.round.checked_rem(others().count()).unwrap_or_default();
                let via = others().nth(at);
                out.extend(via.map(|via| Do::Through { via: *via, to: *seat }));
            }
            // Where nobody else can try, nobody is asked to.
            if target.missed > MISSED && self.health.is_good() {
                target.accused = true;
                out.push(Do::Accuse(*seat));
            } else if target.missed_itself > MISSED && self.health.is_good() {
                out.push(Do::Bad(*seat));
            }
        }
        out
    }

    /// Nothing listens at its place any more: that is no proof of its end, and worth as much as the probes that it would miss
    /// next. What follows from it is for the next [`poll`](Self::poll), which is due at once. Says whether that is news.
    pub fn refused(&mut self, seat: Seat, now: Duration) -> bool {
        let Some(target) = self.targets.get_mut(&seat) else { return false };
        if target.missed >= MISSED {
            return false;
        }
        (target.waits, target.missed) = (true, MISSED);
        self.next = self.next.min(now);
        true
    }

    /// It has answered.
    pub fn answered(&mut self, seat: Seat) -> Option<Do> {
        if let Some(target) = self.targets.get_mut(&seat) {
            (target.waits_itself, target.missed_itself) = (false, 0);
        }
        self.answered_through(seat)
    }

    /// It has answered through another: it lives, and the link to it may be bad.
    pub fn answered_through(&mut self, seat: Seat) -> Option<Do> {
        let target = self.targets.get_mut(&seat)?;
        (target.waits, target.missed) = (false, 0);
        let accused = std::mem::take(&mut target.accused);
        accused.then_some(Do::Withdraw(seat))
    }
}

/// What a node that may propose has heard: who accuses whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// By accused and accuser: since when, and the last time.
    bad: BTreeMap<(Seat, Seat), (Duration, Duration)>,
    /// The same of links that are bad, whether or not that is an accusation.
    links: BTreeMap<(Seat, Seat), (Duration, Duration)>,
    heard: BTreeMap<Seat, Duration>,
    /// Who has answered this node itself, and when.
    answered: BTreeMap<Seat, Duration>,
    /// The last one, and when it was named first.
    evicted: Option<(Seat, Duration)>,
}

impl Evidence {
    /// A word of a member was heard at `now`, whatever it says.
    pub fn heard(&mut self, from: Seat, now: Duration) {
        self.heard.insert(from, now);
    }

    /// When that was last.
    pub fn last_heard(&self, seat: Seat) -> Option<Duration> {
        self.heard.get(&seat).copied()
    }

    /// What was said so far counts no more, such as after an outage for all.
    pub fn forget(&mut self) {
        self.bad.clear();
        self.links.clear();
    }

    /// A member has answered a probe of this node.
    pub fn answered(&mut self, from: Seat, now: Duration) {
        self.answered.insert(from, now);
    }

    /// Nothing listens at its place any more: that it has answered a while ago says nothing.
    pub fn refused(&mut self, seat: Seat) {
        self.answered.remove(&seat);
    }

    /// A member accuses another.
    pub fn accuse(&mut self, accuser: Seat, accused: Seat, now: Duration) {
        note(&mut self.bad, (accused, accuser), now);
        self.bad_link(accuser, accused, now);
    }

    /// A member reaches another through others at best.
    pub fn bad_link(&mut self, from: Seat, to: Seat, now: Duration) {
        note(&mut self.links, (to, from), now);
    }

    /// It does so no longer.
    pub fn withdraw(&mut self, accuser: Seat, accused: Seat) {
        self.bad.remove(&(accused, accuser));
    }

    /// Who is to be proposed as Dead. An accusation is worth something for `fresh` after it was last said, if its accuser is a
    /// member that probes the accused.
    ///
    /// Two accusers are enough, or all that there can be, unless the accused has answered this node in the last half of that
    /// time: they may have withdrawn what they said, and that is on its way or lost. Where a link stays bad without that, as with a cut that goes one way or
    /// when those who would accuse are silent themselves, one member goes after [`PERSISTENT`], and not more than one in a
    /// [`PAUSE`]: one that this node has not heard in all that time, else the one with most bad links, else the younger.
    pub fn verdict(&mut self, view: &View, fresh: Duration, now: Duration) -> Vec<Seat> {
        let living =
            |seat: Seat| view.state(seat).is_some_and(|state| !matches!(state, State::Dead { .. }));
        let recent = |last: Duration| now.saturating_sub(last) <= fresh;
        for words in [&mut self.bad, &mut self.links] {
            words.retain(|(accused, accuser), (_, last)| {
                living(*accused) && living(*accuser) && recent(*last)
            });
        }
        self.heard.retain(|seat, _| living(*seat));
        let half = fresh.checked_div(2).unwrap_or_default();
        self.answered.retain(|seat, at| living(*seat) && now.saturating_sub(*at) <= half);
        let mut accusers: BTreeMap<Seat, BTreeSet<Seat>> = BTreeMap::new();
        for (accused, accuser) in self.bad.keys() {
            if probed_by(view, *accuser).contains(accused) {
                accusers.entry(*accused).or_default().insert(*accuser);
            }
        }
        let others = |seat: Seat| view.hosts().filter(|other| *other != seat).count();
        let enough =
            |seat: &Seat, by: &BTreeSet<Seat>| by.len() >= ACCUSERS.min(others(*seat)).max(1);
        let dead: Vec<_> = accusers
            .iter()
            .filter(|(seat, by)| enough(seat, by) && !self.answered.contains_key(seat))
            .map(|(seat, _)| *seat)
            .collect();
        if !dead.is_empty() {
            return dead;
        }
        self.evict(now).into_iter().collect()
    }

    fn evict(&mut self, now: Duration) -> Option<Seat> {
        let long = |since: Duration| now.saturating_sub(since) >= PERSISTENT;
        let mut links: BTreeMap<Seat, BTreeSet<Seat>> = BTreeMap::new();
        let mut accused = BTreeSet::new();
        for ((one, other), _) in self.links.iter().filter(|(_, (since, _))| long(*since)) {
            accused.insert(*one);
            links.entry(*one).or_default().insert(*other);
            links.entry(*other).or_default().insert(*one);
        }
        if let Some((last, at)) = self.evicted
            && now.saturating_sub(at) < PAUSE
        {
            // Again, until a view says so: who proposed it may have been overtaken.
            return links.contains_key(&last).then_some(last);
        }
        let silent = |seat: &Seat| {
            accused.contains(seat) && self.heard.get(seat).is_none_or(|last| long(*last))
        };
        let rank = |(seat, bad): &(&Seat, &BTreeSet<Seat>)| {
            (silent(seat), bad.len(), seat.joined, seat.id)
        };
        let worst = *links.iter().max_by_key(rank)?.0;
        self.evicted = Some((worst, now));
        Some(worst)
    }
}

/// By whom it was said of whom: since when, and the last time.
fn note(words: &mut BTreeMap<(Seat, Seat), (Duration, Duration)>, of: (Seat, Seat), now: Duration) {
    words.entry(of).and_modify(|(_, last)| *last = now).or_insert((now, now));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::testing::{seconds, view};

    fn seats(view: &View) -> Vec<Seat> {
        view.members().iter().map(|member| member.seat()).collect()
    }

    const FRESH: Duration = Duration::from_secs(5);

    #[test]
    fn one_whose_place_is_refused_is_accused_in_the_next_round_unless_it_answers() {
        let view = view(5, &[State::Up, State::Up, State::Up]);
        let seat = |at: usize| view.members()[at].seat();
        let mut detector = Detector::new(seat(0), seconds(1), seconds(0));
        detector.learn(&view);
        detector.poll(seconds(0));
        assert!(detector.refused(seat(1), seconds(0)));
        assert!(!detector.refused(seat(1), seconds(0)), "that is known");
        let wanted = detector.poll(detector.deadline());
        assert!(wanted.contains(&Do::Accuse(seat(1))) && !wanted.contains(&Do::Accuse(seat(2))));
        assert_eq!(detector.answered(seat(1)), Some(Do::Withdraw(seat(1))));
        assert!(!detector.poll(detector.deadline()).contains(&Do::Accuse(seat(1))));
        assert!(!detector.refused(seat(0), seconds(2)), "nobody accuses itself");
    }

    #[test]
    fn each_probes_the_next_six_of_those_that_host() {
        let mut states = [State::Up; 10];
        (states[3], states[4], states[5]) =
            (State::Dead { since: 2 }, State::Joining, State::Leaving);
        let view = view(5, &states);
        let ids = |me: usize| -> Vec<_> {
            probed_by(&view, seats(&view)[me]).into_iter().map(|seat| seat.id.0 - 1).collect()
        };
        assert_eq!(ids(0), [1, 2, 5, 6, 7, 8]);
        assert_eq!(ids(8), [9, 0, 1, 2, 5, 6]);
        assert!((0..10).filter(|at| ![3, 4].contains(at)).all(|target| {
            (0..10)
                .filter(|at| ![3, 4].contains(at))
                .filter(|at| ids(*at).contains(&target))
                .count()
                == RING
        }));
    }

    #[test]
    fn a_silent_member_is_accused_after_a_last_try_through_another() {
        let view = view(1, &[State::Up; 3]);
        let [me, silent, other] = seats(&view)[..] else { panic!("three") };
        let mut detector = Detector::new(me, seconds(1), seconds(0));
        detector.learn(&view);
        let mut said: Vec<Vec<Do>> = Vec::new();
        for now in 0..6 {
            said.push(
                detector
                    .poll(seconds(now))
                    .into_iter()
                    .filter(|step| *step != Do::Probe(other))
                    .collect(),
            );
            assert_eq!(detector.answered(other), None);
        }
        let (probe, through) = (Do::Probe(silent), Do::Through { via: other, to: silent });
        let all = vec![probe, through, Do::Accuse(silent)];
        assert_eq!(
            said,
            [vec![probe], vec![probe], vec![probe], vec![probe, through], all.clone(), all]
        );
        assert_eq!(detector.answered(silent), Some(Do::Withdraw(silent)));
        assert!(!detector.poll(seconds(6)).contains(&Do::Accuse(silent)));
        assert_eq!(detector.poll(seconds(6)), []);
    }

    #[test]
    fn who_answers_through_another_alone_has_a_bad_link() {
        let view = view(1, &[State::Up; 3]);
        let [me, far, other] = seats(&view)[..] else { panic!("three") };
        let mut detector = Detector::new(me, seconds(1), seconds(0));
        detector.learn(&view);
        let mut said = Vec::new();
        for now in 0..8 {
            said.extend(detector.poll(seconds(now)).into_iter().map(|step| (now, step)));
            let _ = (detector.answered(other), detector.answered_through(far));
        }
        said.retain(|(_, step)| !matches!(step, Do::Probe(_)));
        let bad = |now| (now, Do::Bad(far));
        assert_eq!(said, [4, 5, 6, 7].map(bad));
        let _ = detector.answered(far);
        assert!(!detector.poll(seconds(8)).contains(&Do::Bad(far)));
    }

    #[test]
    fn who_is_late_itself_probes_slower_and_accuses_nobody() {
        let view = view(1, &[State::Up; 3]);
        let me = seats(&view)[0];
        let mut detector = Detector::new(me, seconds(1), seconds(0));
        detector.learn(&view);
        let mut now = seconds(0);
        for _ in 0..20 {
            now = detector.deadline() + seconds(1);
            assert!(!detector.poll(now).iter().any(|step| matches!(step, Do::Accuse(_))));
        }
        assert_eq!(detector.deadline(), now + seconds(9));
        assert!(!detector.health().is_good());
        for _ in 0..8 {
            now = detector.deadline();
            detector.poll(now);
        }
        assert!(detector.health().is_good());
        assert!(
            detector.poll(detector.deadline()).iter().any(|step| matches!(step, Do::Accuse(_)))
        );
    }

    #[test]
    fn one_accuser_is_not_enough_but_where_there_is_no_other() {
        let three = view(1, &[State::Up; 3]);
        let [a, b, c] = seats(&three)[..] else { panic!("three") };
        let mut evidence = Evidence::default();
        [b, c].into_iter().for_each(|sick| evidence.accuse(a, sick, seconds(1)));
        assert_eq!(evidence.verdict(&three, FRESH, seconds(1)), []);
        evidence.accuse(c, b, seconds(2));
        assert_eq!(evidence.verdict(&three, FRESH, seconds(2)), [b]);
        evidence.withdraw(c, b);
        assert_eq!(evidence.verdict(&three, FRESH, seconds(2)), []);
        evidence.accuse(c, b, seconds(20));
        assert_eq!(
            evidence.verdict(&three, FRESH, seconds(20)),
            [],
            "the word of the other is old"
        );
        let two = view(2, &[State::Up, State::Up, State::Dead { since: 2 }]);
        evidence.accuse(a, b, seconds(21));
        assert_eq!(evidence.verdict(&two, FRESH, seconds(21)), [b]);
    }

    #[test]
    fn who_has_just_answered_is_not_dead_whatever_is_said() {
        let view = view(1, &[State::Up; 3]);
        let [a, b, c] = seats(&view)[..] else { panic!("three") };
        let mut evidence = Evidence::default();
        for now in [1, 2, 3, 4] {
            evidence.accuse(a, b, seconds(now));
            evidence.accuse(c, b, seconds(now));
        }
        evidence.answered(b, seconds(2));
        assert_eq!(evidence.verdict(&view, FRESH, seconds(4)), []);
        assert_eq!(evidence.verdict(&view, FRESH, seconds(5)), [b]);
    }

    #[test]
    fn who_does_not_probe_a_member_cannot_accuse_it() {
        let view = view(1, &[State::Up; 10]);
        let seats = seats(&view);
        let mut evidence = Evidence::default();
        // 0 probes 1 to 6, and 9 probes 0 to 5.
        evidence.accuse(seats[0], seats[7], seconds(1));
        evidence.accuse(seats[6], seats[7], seconds(1));
        assert_eq!(evidence.verdict(&view, FRESH, seconds(1)), []);
        evidence.accuse(seats[5], seats[7], seconds(1));
        assert_eq!(evidence.verdict(&view, FRESH, seconds(1)), [seats[7]]);
    }

    /// Says the same every second; who is evicted, and when that is said first.
    fn persistent(
        view: &View,
        accusations: &[(usize, usize)],
        heard: &[usize],
        until: u64,
    ) -> Vec<(u64, Seat)> {
        let (seats, mut evidence, mut out) = (seats(view), Evidence::default(), Vec::new());
        for now in 0..=until {
            heard.iter().for_each(|at| evidence.heard(seats[*at], seconds(now)));
            for (accuser, accused) in accusations {
                evidence.accuse(seats[*accuser], seats[*accused], seconds(now));
            }
            let named = evidence.verdict(view, FRESH, seconds(now));
            let last: Option<&(u64, Seat)> = out.last();
            let is_new = |seat: &Seat| last.is_none_or(|(at, of)| of != seat || now >= at + 60);
            out.extend(
                named.into_iter().filter(is_new).map(|seat| (now, seat)).collect::<Vec<_>>(),
            );
        }
        out
    }

    #[test]
    fn a_link_that_stays_bad_costs_the_younger_and_more_bad_links_cost_more() {
        let view = view(1, &[State::Up; 4]);
        let seats = seats(&view);
        assert_eq!(persistent(&view, &[(0, 1)], &[0, 1, 2, 3], 29), []);
        assert_eq!(persistent(&view, &[(0, 1)], &[0, 1, 2, 3], 89), [(30, seats[1])]);
        assert_eq!(persistent(&view, &[(0, 1), (0, 2)], &[0, 1, 2, 3], 30), [(30, seats[0])]);
        // One a minute.
        assert_eq!(persistent(&view, &[(0, 1)], &[0, 1, 2, 3], 90).len(), 2);
    }

    #[test]
    fn the_last_one_left_is_not_stuck_and_does_not_evict_itself() {
        let view = view(1, &[State::Up; 3]);
        let seats = seats(&view);
        assert_eq!(persistent(&view, &[(0, 1), (0, 2)], &[0], 31), [(30, seats[2])]);
    }
}
