//! A participant: all that one node decides in a cluster, put together.
//!
//! | file | holds |
//! | --- | --- |
//! | this | what goes in and comes out |
//! | `membership` | how it comes, stays and goes |
//! | `asking` | how those that come or leave have others say so in the view |
//! | `takeovers` | what it takes over from those that were removed |
//! | `register` | its dealings with the register |
//! | `hearing` | what it says to others, and takes from them |
//! | `rumours` | what is said of views that it does not know |
//! | `message` | what participants say to each other |
//! | `finding` | how a grain is found, and brought to life where it is not; `searches`: those that are under way |
//!
//! Messages, answers of the register and time go in, and [`Do`] comes out. Any message may be lost, come late or twice;
//! what matters is said again until it is answered.
//!
//! ```text
//!            listed         all that are Up have answered          leave        all has ended
//! outside ──────────► Joining ───────────────────────────► Up ─────────► Leaving ─────────► gone
//!    ▲                                                     │                │
//!    └────────── the entry is dropped ◄── Dead ◄───────────┴────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Rates;
use crate::directory::{Command, Directory, Grain, Guards, Living, Word};
use crate::epoch::Epoch;
use crate::failure::{Detector, Evidence};
use crate::lease::{Lease, Look};
use crate::node::{Incarnation, NodeId, Seat};
use crate::placement::Placement;
use crate::propose::{Change, Newcomer};
use crate::register::{Attempt, Version};
use crate::slots::Slot;
use crate::takeover::Waits;
use crate::view::{State, View};

mod asking;
mod finding;
mod hearing;
#[cfg(test)]
mod liars_tests;
mod membership;
mod message;
#[cfg(test)]
mod message_tests;
mod register;
mod rumours;
mod searches;
#[cfg(test)]
mod simulation;
mod takeovers;

pub use message::{Answer, Envelope, Message, MessageError, Refused, Wish};
pub use searches::{Counts, Found};

use rumours::Rumours;
use searches::Finding;

/// While something is under way a participant is polled again after this.
const SOON: Duration = Duration::from_millis(50);
/// How long a node stays outside whose clock runs wrong.
const OUTSIDE: Duration = Duration::from_secs(600);
/// What is not answered is said again after this.
const AGAIN: Duration = Duration::from_millis(250);
/// Changes that are no participant's own are proposed as often as this, so many at once.
const BATCH: Duration = Duration::from_millis(100);
/// What a participant would have changed it thinks about as often as this, or when something has happened.
const CONSIDER: Duration = Duration::from_millis(25);
/// How long one that leaves waits for others to take its slots over.
const HAND_OVER: Duration = Duration::from_secs(2);
/// So many, who may propose, hear of accusations.
const PROPOSERS: usize = 8;
/// A member that wants another gone leaves that to each one before it for so many probes.
const TURN: u32 = 2;
/// Who cannot be let in is turned away after a lease, or so many probes if those take longer.
const PATIENCE: u32 = 5;
/// How many words are kept that speak of a view which is not known yet.
const EARLY: usize = 256;
/// The longest message, in bytes: one slot alone may take more.
const LONGEST: usize = 256 * 1024;

/// What is decided for a participant before it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// As what it joins.
    pub me: Newcomer,
    /// How far apart its probes are.
    pub probe: Duration,
    /// The lease of a cluster that it founds.
    pub lease: Duration,
    /// The number of a cluster that it founds: random.
    pub cluster: u128,
    /// Unix time at its start, in seconds, from which the epochs of a cluster begin that it founds.
    pub seconds: u64,
    /// Where grains of these kinds are placed; others are with the owners of their slots.
    pub kinds: BTreeMap<Arc<str>, Placing>,
    /// Random, for pauses and placement.
    pub seed: u64,
}

/// Where the grains of a kind are placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placing {
    /// How a host is chosen.
    pub placement: Placement,
    /// The role that it needs.
    pub role: Option<String>,
    /// They are hosted without a lease as well, and may live several times then.
    pub is_available: bool,
}

/// What a participant wants done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Do {
    /// Read the register; then tell [`Participant::read`].
    Read,
    /// Confirm; then tell [`Participant::confirmed`].
    Confirm(Version),
    /// Swap; then tell [`Participant::swapped`].
    Swap(Attempt),
    /// Say this to that node, which listens there.
    Send {
        /// Host and port.
        to: (String, u16),
        /// What.
        envelope: Box<Envelope>,
    },
    /// Grains may run here until then.
    Host(Duration),
    /// The node does its part from now on, as far as [it depends on others](Participant::is_in_place), or does so no longer.
    InPlace(bool),
    /// Bring a grain to life; then tell [`Participant::started`] or [`Participant::finished`].
    Start {
        /// The grain.
        grain: Grain,
        /// What its store is to be claimed with.
        epoch: Epoch,
    },
    /// End all that lives here, at once and without a word.
    EndAll,
    /// Have all grains that live here end in order, some at a time.
    Drain,
    /// A grain was looked for.
    Found {
        /// The number of the search.
        ticket: u64,
        /// What was found.
        found: Found,
    },
    /// There is a newer view.
    View(Arc<View>),
    /// A member was removed, and its time is over by the clock of this node: what it had is this node's from now on, as far as
    /// it comes here. Told where that is anything.
    TookOver {
        /// Where it listened.
        node: (String, u16),
        /// So many of its slots are this node's by now, with all that is known of them.
        slots: usize,
        /// Of the grains that this node kept track of so many lived there.
        grains: usize,
    },
    /// Epochs begin with a higher generation from now on.
    Raised {
        /// Before that.
        from: u64,
        /// From now on.
        to: u64,
    },
    /// See [`Command::Duplicate`].
    Duplicate {
        /// The grain.
        grain: Grain,
        /// What was granted, and refused.
        granted: Epoch,
        /// What lives here.
        living: Epoch,
    },
    /// Something is wrong that an operator has to know of: nothing is hosted on the strength of it.
    Alarm(String),
    /// The node has left: it is no member any more, by its own wish.
    Left,
}

/// All that one node decides in a cluster.
#[derive(Clone, Debug)]
pub struct Participant {
    settings: Settings,
    guards: Guards,
    /// All, but in tests.
    slots: Arc<[Slot]>,
    random: u64,
    /// The newest view, and what the register calls it where that is known.
    known: Option<(Arc<View>, Option<Version>)>,
    listed: Option<Listed>,
    register: Register,
    /// Nothing is asked of the register before that, and nothing proposed.
    rest_until: Duration,
    propose_after: Duration,
    /// What it would have changed is thought about then.
    consider_at: Duration,
    /// One that hosts nothing does not look again before that.
    look_after: Duration,
    /// When the register has answered last, and since when it does without a gap as long as a lease.
    reached: Duration,
    steady: Duration,
    /// It joins no cluster before that.
    outside_until: Duration,
    /// How much this node has to do.
    load: u64,
    /// For what is left of an earlier seat of this node, while it has none.
    waits: Waits,
    /// Since when it has no seat, and another run of this node has one.
    ousted: Option<Duration>,
    /// So many swaps were lost since it has come as far as it has.
    conflicts: u32,
    /// It asks a member for what it would have changed before it swaps again, and has asked these, since it has come that far.
    asks: bool,
    asked: Vec<Seat>,
    leaving: bool,
    has_left: bool,
    drained_at: Option<Duration>,
    /// How much is passed on from here to others.
    passing_on: usize,
    rumours: Rumours,
    again_at: Duration,
    hosts_until: Option<Duration>,
    /// It has been a member that may host.
    has_hosted: bool,
    /// What was said last of that.
    was_in_place: bool,
    finding: Finding,
    /// Why grains did not come to life here, until their end is told.
    failures: BTreeMap<Grain, (Epoch, String)>,
    alarm: Option<String>,
    /// A generation that a store has seen.
    raise_above: Option<u64>,
}

/// What there is while a node is listed.
#[derive(Clone, Debug)]
struct Listed {
    lease: Lease,
    directory: Directory,
    detector: Detector,
    rates: Rates,
    /// How much those have to do that were probed, and when they said so.
    loads: BTreeMap<Seat, (u64, Duration)>,
    /// The clock of this node is not to be relied on.
    is_off: bool,
    evidence: Evidence,
    /// Who has answered since it is Joining.
    greeted: BTreeSet<Seat>,
    /// When those are greeted who have not, and how long after that again.
    greet_at: Duration,
    greet_pause: Duration,
    /// Since when no member has been heard of: it has said nothing, and done nothing that shows in the view.
    since: Duration,
    /// Whom it accuses itself, and since when that is all others.
    accused: BTreeSet<Seat>,
    alone: Option<Duration>,
    /// Since when each is wanted gone that this node would have gone.
    wanted: BTreeMap<Seat, Duration>,
    /// Who is Joining, and since when this node, as one that is Up, knows that.
    joiners: BTreeMap<Seat, Duration>,
    /// What others have asked for, each for itself, and when.
    asked: BTreeMap<NodeId, (Change, Duration)>,
    /// Words of views that are not known yet.
    early: Vec<(Seat, Word)>,
    has_drained: bool,
    /// All that it owned was here, since it is Up.
    has_settled: bool,
    /// Whether a slot is on its way here, or a Dead one is listed.
    is_moving: bool,
    /// How many slots it holds.
    held: usize,
    /// What is taken over from whom, once it may be.
    taking: BTreeMap<Seat, Taking>,
}

/// What is taken over from a member that was removed, once its time is over.
#[derive(Clone, Debug)]
struct Taking {
    /// Where it listened.
    node: (String, u16),
    /// Its slots that are this node's by the view that removed it.
    slots: Vec<Slot>,
    /// How many grains lived there of which this node kept track.
    grains: usize,
}

/// What the register was asked.
#[derive(Clone, Debug)]
enum Register {
    Idle,
    /// With what had been said until then.
    Reads(Option<Look>, Rumours),
    Confirms(Look),
    Swaps(View),
}

impl Participant {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::guarded(settings, Guards::default(), Slot::all().collect())
    }

    /// One that takes part in these slots alone, and may be without a guard: for tests.
    pub(crate) fn guarded(settings: Settings, guards: Guards, slots: Arc<[Slot]>) -> Self {
        Self {
            guards,
            slots,
            random: settings.seed,
            settings,
            known: None,
            listed: None,
            register: Register::Idle,
            rest_until: Duration::ZERO,
            propose_after: Duration::ZERO,
            look_after: Duration::ZERO,
            consider_at: Duration::ZERO,
            reached: Duration::ZERO,
            steady: Duration::ZERO,
            outside_until: Duration::ZERO,
            load: 0,
            waits: Waits::default(),
            ousted: None,
            conflicts: 0,
            asks: false,
            asked: Vec::new(),
            leaving: false,
            has_left: false,
            drained_at: None,
            passing_on: 0,
            rumours: Rumours::default(),
            again_at: Duration::ZERO,
            hosts_until: None,
            has_hosted: false,
            was_in_place: false,
            finding: Finding::default(),
            failures: BTreeMap::new(),
            alarm: None,
            raise_above: None,
        }
    }

    /// The newest view that it knows.
    #[must_use]
    pub fn view(&self) -> Option<&Arc<View>> {
        self.known.as_ref().map(|(view, _)| view)
    }

    /// What the register calls that view, where it is known.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.known.as_ref()?.1
    }

    /// Its seat, while it has one.
    #[must_use]
    pub fn seat(&self) -> Option<Seat> {
        self.listed.as_ref().map(|listed| listed.lease.seat())
    }

    /// How far it has come.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        self.view()?.state(self.seat()?)
    }

    /// Whether it does its part: it is in place, and has a lease.
    #[must_use]
    pub fn is_ready(&self, now: Duration) -> bool {
        self.may_host(now) && self.is_in_place()
    }

    /// Whether it is Up, does not leave, and has had all slots that it owned. Those that come its way later do not count: a
    /// view may move some to every node at once, and only what is asked of these waits.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let has_settled = self.listed.as_ref().is_some_and(|listed| listed.has_settled);
        has_settled && !self.leaving && self.state() == Some(State::Up)
    }

    /// Whether it has a lease.
    fn may_host(&self, now: Duration) -> bool {
        self.listed.as_ref().is_some_and(|listed| listed.lease.may_host(now))
    }

    /// Whether the slot of a grain is this node's, which may grant it.
    #[must_use]
    pub fn is_owner(&self, grain: &Grain, now: Duration) -> bool {
        let owner = self.view().and_then(|view| view.owner(grain.slot(view.slots())));
        let is_up = self.state() == Some(State::Up);
        let may_grant = self.may_host(now) || self.settings.is_available(grain);
        owner.is_some() && owner == self.seat() && is_up && may_grant
    }

    /// What lives here, as far as it was granted to this node under the seat that it has.
    pub fn granted(&self) -> impl Iterator<Item = Living> {
        self.listed.iter().flat_map(|listed| listed.directory.lives())
    }

    /// Whether no slot of its is on its way here.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.listed.as_ref().is_none_or(|listed| !listed.directory.is_moving())
    }

    /// How many slots it holds: of all grains in these it keeps track.
    #[must_use]
    pub fn slots_held(&self) -> usize {
        self.listed.as_ref().map_or(0, |listed| listed.held)
    }

    /// What it has counted since it began.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.finding.counts
    }

    /// All that lives here, as far as the cluster knows.
    #[must_use]
    pub fn lives(&self) -> usize {
        self.granted().count()
    }

    /// What a life here has left is passed on to the next one: until that is over, this one does not leave.
    pub fn begin_passing_on(&mut self) {
        self.passing_on = self.passing_on.saturating_add(1);
    }

    /// It is over.
    pub fn end_passing_on(&mut self, now: Duration) -> Vec<Do> {
        self.passing_on = self.passing_on.saturating_sub(1);
        self.poll(now)
    }

    /// Has it leave: it hands over what it has. [`Do::Left`] says that this is done.
    pub fn leave(&mut self) {
        self.leaving = true;
        self.consider_at = Duration::ZERO;
    }

    /// Whether it has left, by its own wish.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    /// How much this node has to do, to be compared with others: how many grains live here, for example.
    pub fn set_load(&mut self, load: u64) {
        self.load = load;
    }

    /// When to poll it, at the latest.
    #[must_use]
    pub fn deadline(&self, now: Duration) -> Duration {
        if self.has_left {
            return Duration::MAX;
        }
        let Some(listed) = &self.listed else { return now.saturating_add(SOON) };
        let waits = listed.is_moving || !listed.asked.is_empty();
        if self.leaving || self.state() != Some(State::Up) || waits {
            return now.saturating_add(SOON);
        }
        let is_known = self.known.as_ref().is_some_and(|(_, version)| version.is_some());
        let look = listed.lease.next_look().filter(|_| is_known).unwrap_or(now);
        let look = self.rumours.due().map_or(look, |at| look.min(at)).max(self.rest_until);
        let look = if matches!(self.register, Register::Idle) { look } else { Duration::MAX };
        let walk = if self.finding.is_busy() { self.finding.walk_at } else { Duration::MAX };
        look.min(listed.detector.deadline()).min(walk).max(now)
    }

    /// Does what is due.
    pub fn poll(&mut self, now: Duration) -> Vec<Do> {
        let mut out = Vec::new();
        if self.has_left {
            return out;
        }
        self.probe(now, &mut out);
        self.measure(now, &mut out);
        self.greet(now, &mut out);
        if now >= self.again_at {
            self.again_at = now.saturating_add(AGAIN);
            if let Some(listed) = &mut self.listed {
                let commands = listed.directory.again();
                self.carry_out(commands, now, &mut out);
            }
        }
        self.search_on(now, &mut out);
        self.tell_takeovers(now, &mut out);
        self.drain(now, &mut out);
        self.use_register(now, &mut out);
        self.note_place(now, &mut out);
        out
    }

    fn sound(&mut self, alarm: String, out: &mut Vec<Do>) {
        if self.alarm.as_ref() != Some(&alarm) {
            self.alarm = Some(alarm.clone());
            out.push(Do::Alarm(alarm));
        }
    }

    /// Says what has become of the node's place and lease.
    fn note_place(&mut self, now: Duration, out: &mut Vec<Do>) {
        let is_in_place = self.is_in_place();
        if std::mem::replace(&mut self.was_in_place, is_in_place) != is_in_place {
            out.push(Do::InPlace(is_in_place));
        }
        let Some(listed) = &self.listed else { return };
        if let Some(until) = listed.lease.until()
            && listed.lease.may_host(now)
            && !listed.is_off
            && self.hosts_until.is_none_or(|known| known < until)
        {
            (self.hosts_until, self.has_hosted) = (Some(until), true);
            out.push(Do::Host(until));
        }
    }

    fn carry_out(&mut self, commands: Vec<Command>, now: Duration, out: &mut Vec<Do>) {
        for command in commands {
            match command {
                // What it says to itself takes no way where somebody else could speak.
                Command::Send { to, word } if Some(to) == self.seat() => {
                    self.hear_word(to, word, now, out);
                }
                Command::Send { to, word } => self.say_word(to, word, out),
                Command::Start { grain, epoch } => out.push(Do::Start { grain, epoch }),
                Command::EndAll => self.end_all(now, out),
                Command::Duplicate { grain, granted, living } => {
                    out.push(Do::Duplicate { grain, granted, living });
                }
            }
        }
    }

    /// A grain lives here that was to be started, as the life of that number.
    pub fn started(&mut self, grain: &Grain, epoch: Epoch, uid: u64, now: Duration) -> Vec<Do> {
        let mut out = Vec::new();
        let Some(listed) = &mut self.listed else { return out };
        let (me, commands) = (listed.lease.seat(), listed.directory.started(grain, epoch, uid));
        self.carry_out(commands, now, &mut out);
        self.hear_of_life(me, (grain, epoch, true), now, &mut out);
        out
    }

    /// A grain did not come to life. Its end has to be told besides, by [`finished`](Self::finished).
    pub fn failed(&mut self, grain: &Grain, epoch: Epoch, why: String) {
        if self.listed.is_some() {
            self.failures.insert(grain.clone(), (epoch, why));
        }
    }

    /// A life is over, with its last save.
    pub fn finished(&mut self, grain: &Grain, epoch: Epoch, now: Duration) -> Vec<Do> {
        let mut out = Vec::new();
        if self.listed.is_none() {
            return out;
        }
        if let Some((failed, why)) = self.failures.remove(grain)
            && failed == epoch
        {
            self.tell_failure(grain, epoch, why, &mut out);
        }
        let Some(listed) = &mut self.listed else { return out };
        let (me, commands) = (listed.lease.seat(), listed.directory.finished(grain, epoch));
        self.carry_out(commands, now, &mut out);
        self.hear_of_life(me, (grain, epoch, false), now, &mut out);
        out
    }

    /// The incarnation by which references tell this start of the node from others.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.settings.me.incarnation
    }

    /// A random number.
    fn random(&mut self) -> u64 {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
