//! A participant: all that one node decides in a cluster, put together.
//!
//! | file | holds |
//! | --- | --- |
//! | this | how it joins, stays and leaves; its dealings with the register |
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

use crate::directory::{Command, Directory, Grain, Word};
use crate::epoch::Epoch;
use crate::failure::{self, Detector, Evidence};
use crate::lease::{Lease, Look, Next};
use crate::node::{Incarnation, Seat};
use crate::placement::Placement;
use crate::propose::{Change, Newcomer, found, propose};
use crate::register::{Attempt, Confirmed, Swapped, Version};
use crate::slots::Slot;
use crate::view::{State, Step, View};

mod finding;
mod message;
mod searches;

pub use message::{Answer, Envelope, Message, MessageError, Refused};
pub use searches::Found;

use searches::Finding;

/// While something is under way a participant is polled again after this.
const SOON: Duration = Duration::from_millis(50);
/// What is not answered is said again after this.
const AGAIN: Duration = Duration::from_millis(250);
/// A participant that is behind asks for the newest view as often as this.
const CATCH_UP: Duration = Duration::from_millis(100);
/// Changes that are no participant's own are proposed as often as this, so many at once.
const BATCH: Duration = Duration::from_millis(100);
/// How long one that leaves waits for others to take its slots over.
const HAND_OVER: Duration = Duration::from_secs(2);
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
    /// Something is wrong that an operator has to know of: nothing is hosted on the strength of it.
    Alarm(String),
    /// The node has left: it is no member any more, by its own wish.
    Left,
}

/// All that one node decides in a cluster.
#[derive(Clone, Debug)]
pub struct Participant {
    settings: Settings,
    random: u64,
    /// The newest view, and what the register calls it where that is known.
    known: Option<(Arc<View>, Option<Version>)>,
    listed: Option<Listed>,
    register: Register,
    /// Nothing is asked of the register before that, and nothing proposed.
    rest_until: Duration,
    propose_after: Duration,
    conflicts: u32,
    leaving: bool,
    has_left: bool,
    drained_at: Option<Duration>,
    asked_for_view: Option<Duration>,
    again_at: Duration,
    hosts_until: Option<Duration>,
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
    evidence: Evidence,
    /// Who has answered since it is Joining.
    greeted: BTreeSet<Seat>,
    greet_at: Duration,
    since: Duration,
    /// Words of views that are not known yet.
    early: Vec<(Seat, Word)>,
    has_drained: bool,
}

/// What the register was asked.
#[derive(Clone, Debug)]
enum Register {
    Idle,
    Reads(Option<Look>),
    Confirms(Look),
    Swaps(View),
}

impl Participant {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            random: settings.seed,
            settings,
            known: None,
            listed: None,
            register: Register::Idle,
            rest_until: Duration::ZERO,
            propose_after: Duration::ZERO,
            conflicts: 0,
            leaving: false,
            has_left: false,
            drained_at: None,
            asked_for_view: None,
            again_at: Duration::ZERO,
            hosts_until: None,
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

    /// Whether it is Up, and has been confirmed.
    #[must_use]
    pub fn is_ready(&self, now: Duration) -> bool {
        let hosts = self.listed.as_ref().is_some_and(|listed| listed.lease.may_host(now));
        hosts && self.state() == Some(State::Up)
    }

    /// Whether no slot of its is on its way here.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.listed.as_ref().is_none_or(|listed| !listed.directory.is_moving())
    }

    /// All that lives here, as far as the cluster knows.
    #[must_use]
    pub fn lives(&self) -> usize {
        self.listed.as_ref().map_or(0, |listed| listed.directory.lives().count())
    }

    /// Has it leave: it hands over what it has. [`Do::Left`] says that this is done.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whether it has left, by its own wish.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    /// When to poll it, at the latest.
    #[must_use]
    pub fn deadline(&self, now: Duration) -> Duration {
        let Some(listed) = &self.listed else { return now.saturating_add(SOON) };
        let is_busy = self.leaving
            || self.state() != Some(State::Up)
            || listed.directory.is_moving()
            || listed.directory.waits().droppable(Duration::MAX).next().is_some()
            || self.finding.is_busy();
        if is_busy {
            return now.saturating_add(SOON);
        }
        let look = listed.lease.next_look().unwrap_or(now).max(self.rest_until);
        let look = if matches!(self.register, Register::Idle) { look } else { Duration::MAX };
        look.min(listed.detector.deadline()).max(now)
    }

    /// Does what is due.
    pub fn poll(&mut self, now: Duration) -> Vec<Do> {
        let mut out = Vec::new();
        if self.has_left {
            return out;
        }
        self.probe(now, &mut out);
        self.greet(now, &mut out);
        if now >= self.again_at {
            self.again_at = now.saturating_add(AGAIN);
            if let Some(listed) = &self.listed {
                let commands = listed.directory.again();
                self.carry_out(commands, now, &mut out);
            }
        }
        self.search_on(now, &mut out);
        self.drain(now, &mut out);
        self.use_register(now, &mut out);
        self.note_lease(now, &mut out);
        out
    }

    /// A hint that there is a newer view: the register is read soon.
    pub fn hint(&mut self, now: Duration) {
        if let Some((_, version)) = &mut self.known {
            *version = None;
        }
        self.rest_until = now;
    }

    fn use_register(&mut self, now: Duration, out: &mut Vec<Do>) {
        if !matches!(self.register, Register::Idle) || now < self.rest_until {
            return;
        }
        let Some((view, version)) = self.known.clone() else {
            self.register = Register::Reads(None);
            return out.push(Do::Read);
        };
        let look = self.listed.as_ref().map(|listed| listed.lease.look(now));
        let Some(version) = version else {
            self.register = Register::Reads(look);
            return out.push(Do::Read);
        };
        let next_look = self.listed.as_ref().and_then(|listed| listed.lease.next_look());
        if now >= self.propose_after {
            let changes = self.wants(now);
            if !changes.is_empty()
                && let Some(next) = propose(&view, &changes).view
            {
                let attempt = Attempt { over: version, bytes: next.encode() };
                self.register = Register::Swaps(next);
                return out.push(Do::Swap(attempt));
            }
        }
        match look {
            // One that only leads a view on has nothing to confirm, and one that is not listed looks for its entry.
            None if now >= self.propose_after => {
                self.register = Register::Reads(None);
                out.push(Do::Read);
            }
            Some(look) if next_look.is_none_or(|at| now >= at) => {
                self.register = Register::Confirms(look);
                out.push(Do::Confirm(version));
            }
            _ => {}
        }
    }

    /// What it would have changed in the view that it knows.
    fn wants(&mut self, now: Duration) -> Vec<Change> {
        let Some((view, _)) = self.known.clone() else { return Vec::new() };
        let Some(listed) = &mut self.listed else {
            let (is_wanted, me) = (!self.leaving, &self.settings.me);
            let join = view.node(me.id).is_none() && is_wanted;
            return join.then(|| Change::Join(me.clone(), None)).into_iter().collect();
        };
        let seat = listed.lease.seat();
        let mut wants = Vec::new();
        match view.state(seat) {
            Some(State::Joining) if self.leaving => wants.push(Change::Gone(seat)),
            Some(State::Joining) => {
                let silent: Vec<Seat> = view
                    .up()
                    .map(|member| member.seat())
                    .filter(|up| !listed.greeted.contains(up))
                    .collect();
                let patience = view.lease().saturating_mul(2);
                let nobody = listed.greeted.is_empty() && !silent.is_empty();
                if silent.is_empty() {
                    wants.push(Change::Up(seat));
                } else if nobody && now.saturating_sub(listed.since) >= patience {
                    // Everything was restarted under new names: no member is left that could accuse another.
                    wants.extend(silent.into_iter().map(Change::Dead));
                }
            }
            Some(State::Up) if self.leaving => wants.push(Change::Leave(seat)),
            Some(State::Up) => {
                let above = self.raise_above.filter(|above| view.stamp().generation <= *above);
                wants.extend(above.map(|above| Change::Raise { above }));
                let fresh = self.settings.probe.saturating_mul(4);
                let dead = listed.evidence.verdict(&view, fresh, now);
                let proposer = view.up().map(|member| member.seat()).find(|up| !dead.contains(up));
                if proposer == Some(seat) {
                    wants.extend(dead.into_iter().map(Change::Dead));
                    wants.extend(listed.directory.waits().droppable(now).map(Change::Drop));
                }
            }
            Some(State::Leaving) => {
                let given = !listed.directory.has_to_give()
                    || self.drained_at.is_some_and(|at| now.saturating_sub(at) >= HAND_OVER);
                if self.drained_at.is_some() && given {
                    wants.push(Change::Gone(seat));
                }
            }
            Some(State::Dead { .. }) | None => {}
        }
        wants
    }

    /// The register was read; nothing if it is not known what it holds.
    pub fn read(&mut self, read: Option<(Version, Vec<u8>)>, now: Duration) -> Vec<Do> {
        let mut out = Vec::new();
        let Register::Reads(look) = std::mem::replace(&mut self.register, Register::Idle) else {
            return out;
        };
        let Some((version, bytes)) = read else {
            self.rest(now);
            return out;
        };
        if version == Version(0) {
            self.found(now, &mut out);
            return out;
        }
        let view = match View::decode(&bytes) {
            Ok(view) => Arc::new(view),
            Err(error) => {
                self.rest(now);
                self.sound(format!("the view in the register cannot be read: {error}"), &mut out);
                return out;
            }
        };
        self.conflicts = 0;
        if !self.take(view.clone(), Some(version), true, now, &mut out) {
            self.rest(now);
            return out;
        }
        if let (Some(listed), Some(look)) = (&mut self.listed, look) {
            match listed.lease.read(look, &view) {
                Next::Alarm => {
                    self.rest(now);
                    self.sound("the register has returned an old view".to_owned(), &mut out);
                }
                Next::Ended => self.end_all(now, &mut out),
                _ => self.alarm = None,
            }
        }
        self.note_lease(now, &mut out);
        out
    }

    /// The register has answered a confirmation.
    pub fn confirmed(&mut self, confirmed: Confirmed, now: Duration) -> Vec<Do> {
        let mut out = Vec::new();
        let Register::Confirms(look) = std::mem::replace(&mut self.register, Register::Idle) else {
            return out;
        };
        let Some(listed) = &mut self.listed else { return out };
        match listed.lease.confirmed(look, confirmed) {
            Next::Rest => {}
            Next::Read => {
                if let Some((_, version)) = &mut self.known {
                    *version = None;
                }
            }
            _ => self.rest(now),
        }
        self.note_lease(now, &mut out);
        out
    }

    /// The register has answered a swap.
    pub fn swapped(&mut self, swapped: Swapped, now: Duration) -> Vec<Do> {
        let mut out = Vec::new();
        let Register::Swaps(view) = std::mem::replace(&mut self.register, Register::Idle) else {
            return out;
        };
        match swapped {
            Swapped::Done(version) => {
                self.conflicts = 0;
                self.propose_after = now.saturating_add(BATCH);
                let view = Arc::new(view);
                if self.take(view.clone(), Some(version), true, now, &mut out) {
                    self.spread(&view, version, &mut out);
                }
            }
            // Whatever is newest is read, and what is still wanted is proposed over that.
            Swapped::Conflict | Swapped::Unknown => {
                self.conflicts = self.conflicts.saturating_add(1);
                let most = 50_u64.saturating_mul(1 << self.conflicts.min(5));
                let pause = Duration::from_millis(self.random().checked_rem(most).unwrap_or(0));
                self.propose_after = now.saturating_add(pause);
                if let Some((_, version)) = &mut self.known {
                    *version = None;
                }
                if swapped == Swapped::Unknown {
                    self.rest(now);
                }
            }
        }
        self.note_lease(now, &mut out);
        out
    }

    /// Nobody has a view yet: this one may found the cluster.
    fn found(&mut self, now: Duration, out: &mut Vec<Do>) {
        if self.known.is_some() {
            self.rest(now);
            return self.sound("the register has lost the view".to_owned(), out);
        }
        if self.leaving {
            self.has_left = true;
            return out.push(Do::Left);
        }
        let Settings { cluster, seconds, lease, me, .. } = &self.settings;
        match found(*cluster, *seconds, None, *lease, vec![me.clone()]) {
            Ok(view) => {
                let attempt = Attempt { over: Version(0), bytes: view.encode() };
                self.register = Register::Swaps(view);
                out.push(Do::Swap(attempt));
            }
            Err(error) => {
                self.rest(now);
                self.sound(format!("no cluster can be founded: {error}"), out);
            }
        }
    }

    /// Leaves the register alone for a while.
    fn rest(&mut self, now: Duration) {
        let pause = 100_u64.saturating_add(self.random().checked_rem(200).unwrap_or(0));
        self.rest_until = now.saturating_add(Duration::from_millis(pause));
    }

    fn sound(&mut self, alarm: String, out: &mut Vec<Do>) {
        if self.alarm.as_ref() != Some(&alarm) {
            self.alarm = Some(alarm.clone());
            out.push(Do::Alarm(alarm));
        }
    }

    /// Goes on to a view that the register has, or had. False if it may not be followed.
    fn take(
        &mut self,
        view: Arc<View>,
        version: Option<Version>,
        of_register: bool,
        now: Duration,
        out: &mut Vec<Do>,
    ) -> bool {
        if let Some((known, _)) = &self.known {
            match known.step(&view) {
                Ok(Step::Same) => {
                    if version.is_some() {
                        self.known = Some((view, version));
                    }
                    return true;
                }
                Ok(Step::Older) => {
                    if of_register {
                        self.sound("the register has returned an old view".to_owned(), out);
                    }
                    return false;
                }
                Ok(Step::Newer { .. } | Step::Recovered) => {}
                Err(refused) => {
                    self.sound(format!("a view is refused: {refused}"), out);
                    return false;
                }
            }
        }
        self.known = Some((view.clone(), version));
        self.asked_for_view = None;
        out.push(Do::View(view.clone()));
        if let Some(listed) = &mut self.listed {
            listed.lease.learn(&view);
            let commands = listed.directory.learn(view.clone(), now);
            listed.detector.learn(&view);
            let ended = listed.lease.ended() || listed.directory.ended();
            if ended {
                self.end_all(now, out);
            } else {
                self.carry_out(commands, now, out);
                self.hear_early(now, out);
            }
        }
        if self.listed.is_none() && !self.has_left {
            self.sit_down(&view, now, out);
        }
        self.search_all(now, out);
        true
    }

    /// Takes its seat, if the view has one for it.
    fn sit_down(&mut self, view: &Arc<View>, now: Duration, out: &mut Vec<Do>) {
        let Newcomer { id, incarnation, .. } = self.settings.me;
        let Some(lease) = Lease::new(view, id, incarnation) else {
            // Its own wish, or nobody's.
            if self.leaving && view.node(id).is_none_or(|node| node.incarnation != incarnation) {
                self.has_left = true;
                out.push(Do::Left);
            }
            return;
        };
        let (seat, slots) = (lease.seat(), Slot::all().collect());
        let (directory, commands) = Directory::new(view.clone(), seat, slots, now);
        let mut detector = Detector::new(seat, self.settings.probe, now);
        detector.learn(view);
        self.listed = Some(Listed {
            lease,
            directory,
            detector,
            evidence: Evidence::default(),
            greeted: BTreeSet::new(),
            greet_at: now,
            since: now,
            early: Vec::new(),
            has_drained: false,
        });
        self.carry_out(commands, now, out);
    }

    /// It is no member any more: nothing that lives here may go on.
    fn end_all(&mut self, now: Duration, out: &mut Vec<Do>) {
        if self.listed.take().is_some() {
            (self.hosts_until, self.drained_at) = (None, None);
            self.failures.clear();
            self.finding.forget_waiters();
            out.push(Do::EndAll);
            self.propose_after = now;
        }
        let Newcomer { id, incarnation, .. } = self.settings.me;
        let view = self.view();
        let listed =
            view.and_then(|view| view.node(id)).is_some_and(|n| n.incarnation == incarnation);
        if self.leaving && !listed && !self.has_left {
            self.has_left = true;
            out.push(Do::Left);
        }
    }

    fn note_lease(&mut self, now: Duration, out: &mut Vec<Do>) {
        let Some(listed) = &self.listed else { return };
        if let Some(until) = listed.lease.until()
            && listed.lease.may_host(now)
            && self.hosts_until.is_none_or(|known| known < until)
        {
            self.hosts_until = Some(until);
            out.push(Do::Host(until));
        }
    }

    /// Tells the others of a view that this node has brought about.
    fn spread(&mut self, view: &Arc<View>, version: Version, out: &mut Vec<Do>) {
        let Some(me) = self.seat() else { return };
        let bytes = Arc::<[u8]>::from(view.encode());
        let others = view.members().iter().filter(|member| member.state != State::Joining);
        let others: Vec<Seat> = others.map(|member| member.seat()).filter(|to| *to != me).collect();
        for to in others {
            self.say(to, Message::View { version, bytes: bytes.clone() }, out);
        }
    }

    fn say(&self, to: Seat, message: Message, out: &mut Vec<Do>) {
        let (Some(view), Some(from)) = (self.view(), self.seat()) else { return };
        let Some(member) = view.member(to) else { return };
        let at = (member.host.clone(), member.port);
        let (cluster, stamp) = (view.cluster(), view.stamp());
        let envelope = Box::new(Envelope { cluster, from, to, at: stamp, message });
        out.push(Do::Send { to: at, envelope });
    }

    fn say_word(&self, to: Seat, word: Word, out: &mut Vec<Do>) {
        for word in word.split(LONGEST) {
            self.say(to, Message::Word(word), out);
        }
    }

    fn carry_out(&mut self, commands: Vec<Command>, now: Duration, out: &mut Vec<Do>) {
        for command in commands {
            match command {
                Command::Send { to, word } => self.say_word(to, word, out),
                Command::Start { grain, epoch } => out.push(Do::Start { grain, epoch }),
                Command::EndAll => self.end_all(now, out),
                Command::Duplicate { grain, granted, living } => {
                    let text = format!("{grain:?} was granted as {granted} and lives as {living}");
                    out.push(Do::Alarm(text));
                }
            }
        }
    }

    fn probe(&mut self, now: Duration, out: &mut Vec<Do>) {
        let Some(listed) = &mut self.listed else { return };
        if now < listed.detector.deadline() {
            return;
        }
        let me = listed.lease.seat();
        for wanted in listed.detector.poll(now) {
            match wanted {
                failure::Do::Probe(to) => self.say(to, Message::Probe { back: None }, out),
                failure::Do::Through { via, to } => self.say(via, Message::ProbeFor { to }, out),
                failure::Do::Accuse(seat) => self.testify((me, seat), true, now, out),
                failure::Do::Withdraw(seat) => self.testify((me, seat), false, now, out),
            }
        }
    }

    /// Tells who may propose that this node accuses another, or does so no longer.
    fn testify(
        &mut self,
        (me, accused): (Seat, Seat),
        accuses: bool,
        now: Duration,
        out: &mut Vec<Do>,
    ) {
        let Some(view) = self.view().cloned() else { return };
        // The first that do not stand accused by this node: one of them proposes.
        let up = view.up().map(|member| member.seat()).filter(|up| *up != accused);
        for to in up.take(4) {
            if to != me {
                self.say(to, Message::Accuse { accused, accuses }, out);
            }
        }
        if let Some(listed) = &mut self.listed {
            match accuses {
                true => listed.evidence.accuse(me, accused, now),
                false => listed.evidence.withdraw(me, accused),
            }
        }
    }

    /// Says hello to all that are Up, while this one is Joining.
    fn greet(&mut self, now: Duration, out: &mut Vec<Do>) {
        if self.state() != Some(State::Joining) {
            return;
        }
        let Some(view) = self.view().cloned() else { return };
        let Some(listed) = &mut self.listed else { return };
        if now < listed.greet_at {
            return;
        }
        listed.greet_at = now.saturating_add(AGAIN);
        let silent = view.up().map(|member| member.seat());
        let silent: Vec<Seat> = silent.filter(|up| !listed.greeted.contains(up)).collect();
        for to in silent {
            self.say(to, Message::Greet, out);
        }
    }

    /// Has what lives here end, once this node is Leaving, and notes when all has.
    fn drain(&mut self, now: Duration, out: &mut Vec<Do>) {
        if self.state() != Some(State::Leaving) {
            return;
        }
        let Some(listed) = &mut self.listed else { return };
        if !std::mem::replace(&mut listed.has_drained, true) {
            out.push(Do::Drain);
        }
        if listed.directory.lives().next().is_none() {
            self.drained_at.get_or_insert(now);
        }
    }

    /// Takes what another participant says.
    pub fn heard(&mut self, envelope: Envelope, now: Duration) -> Vec<Do> {
        let Envelope { cluster, from, to, at, message } = envelope;
        let mut out = Vec::new();
        let Some((view, _)) = self.known.clone() else { return out };
        if self.seat() != Some(to) || view.cluster() != cluster {
            return out;
        }
        if at > view.stamp() && !matches!(message, Message::View { .. }) {
            self.catch_up(from, now, &mut out);
        }
        let is_over = match view.state(from) {
            Some(State::Dead { .. }) => true,
            Some(_) => false,
            None => from.joined <= view.stamp().version,
        };
        if is_over && !matches!(message, Message::View { .. }) {
            // It may not know that.
            self.show(from, &mut out);
            return out;
        }
        if let Some(listed) = &mut self.listed {
            listed.evidence.heard(from, now);
        }
        match message {
            Message::Probe { back } => self.say(from, Message::Ack { back }, &mut out),
            Message::ProbeFor { to } => {
                let is_good = self.listed.as_ref().is_some_and(|l| l.detector.health().is_good());
                if is_good {
                    self.say(to, Message::Probe { back: Some(from) }, &mut out);
                }
            }
            Message::Ack { back: Some(asker) } if Some(asker) != self.seat() => {
                self.say(asker, Message::AckOf { whose: from }, &mut out);
            }
            Message::Ack { .. } => self.answered(from, now, &mut out),
            Message::AckOf { whose } => self.answered(whose, now, &mut out),
            Message::Accuse { accused, accuses } => {
                if let Some(listed) = &mut self.listed {
                    match accuses {
                        true => listed.evidence.accuse(from, accused, now),
                        false => listed.evidence.withdraw(from, accused),
                    }
                }
            }
            // Who is greeted answers only whom it can reach itself: over its own link.
            Message::Greet => self.say(from, Message::Greeted, &mut out),
            Message::Greeted => {
                if let Some(listed) = &mut self.listed {
                    listed.greeted.insert(from);
                }
            }
            Message::Want => self.show(from, &mut out),
            Message::View { version, bytes } => match View::decode(&bytes) {
                Ok(view) => {
                    if self.known.as_ref().is_none_or(|(known, _)| known.stamp() < view.stamp()) {
                        self.take(Arc::new(view), Some(version), false, now, &mut out);
                    }
                }
                Err(error) => out.push(Do::Alarm(format!("{from} has sent no view: {error}"))),
            },
            Message::Word(word) => self.hear_word(from, word, now, &mut out),
            Message::Find { .. } | Message::Found { .. } | Message::Failed { .. } => {
                self.hear_of_search(from, message, now, &mut out);
            }
        }
        self.note_lease(now, &mut out);
        out
    }

    fn answered(&mut self, seat: Seat, now: Duration, out: &mut Vec<Do>) {
        let Some(listed) = &mut self.listed else { return };
        let me = listed.lease.seat();
        if let Some(failure::Do::Withdraw(seat)) = listed.detector.answered(seat) {
            self.testify((me, seat), false, now, out);
        }
    }

    fn hear_word(&mut self, from: Seat, word: Word, now: Duration, out: &mut Vec<Do>) {
        let Some(listed) = &mut self.listed else { return };
        let grain = match &word {
            Word::Lives(living) => Some((living.grain.clone(), living.epoch, true)),
            Word::Ended { grain, epoch } => Some((grain.clone(), *epoch, false)),
            _ => None,
        };
        let moves = matches!(word, Word::Given { .. } | Word::Report { .. });
        match listed.directory.handle(from, word.clone(), &listed.lease, now) {
            Ok(commands) => self.carry_out(commands, now, out),
            Err(_) => {
                if listed.early.len() < EARLY {
                    listed.early.push((from, word));
                }
                return self.catch_up(from, now, out);
            }
        }
        if let Some((grain, epoch, lives)) = grain {
            self.hear_of_life(from, (&grain, epoch, lives), now, out);
        }
        if moves {
            self.search_all(now, out);
        }
    }

    /// Takes the words again that spoke of a view which was not known then.
    fn hear_early(&mut self, now: Duration, out: &mut Vec<Do>) {
        let early = self.listed.as_mut().map(|listed| std::mem::take(&mut listed.early));
        for (from, word) in early.unwrap_or_default() {
            self.hear_word(from, word, now, out);
        }
    }

    /// Asks for a newer view, of whom seems to know one.
    fn catch_up(&mut self, from: Seat, now: Duration, out: &mut Vec<Do>) {
        if self.asked_for_view.is_some_and(|at| now.saturating_sub(at) < CATCH_UP) {
            return;
        }
        self.asked_for_view = Some(now);
        // One that has just come is in no view that is known here: then the register has to tell.
        match self.view().is_some_and(|view| view.member(from).is_some()) {
            true => self.say(from, Message::Want, out),
            false => self.hint(now),
        }
    }

    /// Tells of the newest view.
    fn show(&self, to: Seat, out: &mut Vec<Do>) {
        let Some((view, Some(version))) = &self.known else { return };
        self.say(to, Message::View { version: *version, bytes: view.encode().into() }, out);
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

    /// A store has seen epochs of a higher generation than the cluster's: it is raised above that.
    pub fn superseded(&mut self, generation: u64) {
        self.raise_above = self.raise_above.max(Some(generation));
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
