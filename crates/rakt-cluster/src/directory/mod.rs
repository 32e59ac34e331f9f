//! The directory: where grains live, as their owners know it, and what hosts promise.
//!
//! | file | holds |
//! | --- | --- |
//! | this | the part of an owner: how it finds and grants, and takes what is said |
//! | `taking` | how slots change hands |
//! | `claims` | what was granted, and is not known to live yet |
//! | `host` | the part of a host: its lives, and below which epoch it refuses |
//! | `word` | what directories say to each other |
//! | `trust` | what can be true of what others say |
//! | `codec` | the bytes of that |
//! | `split` | long words as several |
//! | `guard` | the guards by name, for the model |
//!
//! Every node has one, of both parts. Words and views go in, commands come out.
//!
//! ```text
//!              was its before, never gave
//!        ┌──────────────────────────────────────────┐
//! view ──┤ the owner before is here                 ▼
//! makes  ├──► Pulling ── all of it ──────────────► Held ── pulled by the next ──► Sealed ── next view ──► nothing
//! owner  │       │ not to be had                    ▲
//!        └──► Asking ── all have answered ──────────┘ (what nobody reported waits for the dead)
//! ```
//!
//! - **Asking all** is always safe: who answers drops what it held of the slot, and from then on refuses every grant and
//!   question of older owners.
//! - **Pulling** is the shortcut. Only one that holds gives, once, to one node under one view.
//! - A host's "it ended" is a promise: an epoch serves one life. An entry goes only by that, or by the host's death.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::epoch::{Epoch, Stamp};
use crate::lease::Lease;
use crate::node::Seat;
use crate::slots::Slot;
use crate::takeover::Waits;
use crate::view::{State, View};

mod claims;
mod codec;
#[cfg(test)]
mod codec_tests;
mod guard;
mod host;
mod split;
mod taking;
#[cfg(test)]
mod tests;
mod trust;
mod word;

use claims::Claims;
pub use codec::{MAX_ENTRIES, MAX_GRAIN_LEN, WordError};
pub(crate) use guard::{Guard, Guards};
use host::{Answer, Host};
use trust::could_be;
pub use word::{Behind, Command, Entries, Entry, Grain, Living, Word};

/// The directory of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Directory {
    me: Seat,
    view: Arc<View>,
    waits: Waits,
    /// All slots, but in tests.
    slots: Arc<[Slot]>,
    tenures: BTreeMap<Slot, Tenure>,
    claims: Claims,
    /// The last grant under this view.
    last: Epoch,
    host: Host,
    ended: bool,
    guards: Guards,
}

/// What a node has of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Tenure {
    /// All that is known of it. Beyond that, nothing is granted until these are over.
    Held { entries: Entries, after: BTreeSet<Seat> },
    /// Given away. The same is given again to the same, whose answer may have been lost.
    Sealed { to: Seat, at: Stamp, entries: Entries },
    /// Asked of the owner before.
    Pulling { from: Seat },
    /// Asked of all. Those have answered; the owner before is kept for a guard alone.
    Asking { heard: BTreeSet<Seat>, entries: Entries, before: Option<Seat> },
}

/// What an owner says to one that looks for a grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// It lives there.
    Route(Entry),
    /// Its host was told to activate it, and has not answered yet: wait, or [`Directory::doubt`] it.
    Claimed(Entry),
    /// It lives nowhere: [`Directory::grant`] it.
    Vacant,
    /// Somebody who had it is dead: what was its may be taken then, by this node's clock.
    Until(Duration),
    /// The slot is on its way here.
    Moving,
    /// By the view that is known here the slot is that node's, or nobody's.
    NotOwner(Option<Seat>),
    /// This node has no lease, or not enough of it left to grant: it cannot say.
    NoLease,
}

impl Directory {
    /// The directory of a node that is listed in `view`, the first that it knows, at `now`. It takes part in all `slots`;
    /// those that it owns by this view it asks for, or holds if this view founds the cluster.
    #[must_use]
    pub fn new(
        view: Arc<View>,
        me: Seat,
        slots: Arc<[Slot]>,
        now: Duration,
    ) -> (Self, Vec<Command>) {
        Self::guarded(view, me, slots, now, Guards::default())
    }

    pub(crate) fn guarded(
        view: Arc<View>,
        me: Seat,
        slots: Arc<[Slot]>,
        now: Duration,
        guards: Guards,
    ) -> (Self, Vec<Command>) {
        let joined = if guards.hold(Guard::FloorAtJoin) { me.joined } else { 0 };
        let admission = Stamp { version: joined, ..view.stamp() };
        let mut new = Self {
            me,
            waits: Waits::default(),
            slots,
            tenures: BTreeMap::new(),
            claims: Claims::default(),
            last: view.stamp().floor(),
            host: Host::new(admission, guards),
            ended: view.state(me).is_none_or(|state| matches!(state, State::Dead { .. })),
            guards,
            view,
        };
        new.waits.learn(&new.view, now);
        let mut out = Vec::new();
        if !new.ended {
            let (founds, mut asks) = (new.view.stamp().version == 1, Vec::new());
            for slot in new.owned() {
                if founds {
                    new.tenures.insert(slot, Tenure::held(Entries::new()));
                } else {
                    asks.push((slot, None));
                }
            }
            new.ask(asks, &mut out);
        }
        (new, out)
    }

    /// Whose it is.
    #[must_use]
    pub fn seat(&self) -> Seat {
        self.me
    }

    /// The view that it knows.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The waits of this node.
    #[must_use]
    pub fn waits(&self) -> &Waits {
        &self.waits
    }

    /// All that lives here.
    pub fn lives(&self) -> impl Iterator<Item = Living> {
        self.host.all()
    }

    /// Whether this node has seen that it is no member any more.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Where a grain lives, for one that asks at `now`.
    #[must_use]
    pub fn find(&self, grain: &Grain, lease: &Lease, now: Duration) -> Found {
        let slot = grain.slot(self.view.slots());
        let owner = self.view.owner(slot);
        if owner != Some(self.me) || self.ended {
            return Found::NotOwner(owner);
        }
        if !lease.may_host(now) && self.guards.hold(Guard::LeaseToGrant) {
            return Found::NoLease;
        }
        let Some(Tenure::Held { entries, after }) = self.tenures.get(&slot) else {
            return Found::Moving;
        };
        if let Some(entry) = entries.get(grain).filter(|entry| !self.is_over(entry.host, now)) {
            return match self.waits.until(entry.host) {
                Some(until) => Found::Until(until),
                None if entry.uid.is_some() => Found::Route(*entry),
                None => Found::Claimed(*entry),
            };
        }
        // Also for what was reported and has ended since: an owner that is dead may know of the end, and have a lease.
        let mut open =
            after.iter().filter(|seat| !self.waits.over(&self.view, **seat, now)).peekable();
        if open.peek().is_some() {
            let until = open.filter_map(|seat| self.waits.until(*seat)).max();
            return until.map_or(Found::Moving, Found::Until);
        }
        let grants = lease.may_grant(now)
            || (!self.guards.hold(Guard::Half) && lease.may_host(now))
            || !self.guards.hold(Guard::LeaseToGrant);
        if grants { Found::Vacant } else { Found::NoLease }
    }

    fn is_over(&self, seat: Seat, now: Duration) -> bool {
        let dead = matches!(self.view.state(seat), Some(State::Dead { .. }));
        self.waits.over(&self.view, seat, now) || (dead && !self.guards.hold(Guard::OwnFirstSight))
    }

    /// Grants a grain that is vacant to a host that is Up.
    ///
    /// # Errors
    /// Says what was found instead of a vacancy. That the host is not Up, or the counter used up, is [`Found::Moving`]: try
    /// again with the next view.
    pub fn grant(
        &mut self,
        grain: &Grain,
        host: Seat,
        lease: &Lease,
        now: Duration,
    ) -> Result<Vec<Command>, Found> {
        match self.find(grain, lease, now) {
            Found::Vacant => {}
            found => return Err(found),
        }
        if self.view.state(host) != Some(State::Up) {
            return Err(Found::Moving);
        }
        let epoch = self.last.next().ok_or(Found::Moving)?;
        let slot = grain.slot(self.view.slots());
        let Some(Tenure::Held { entries, after }) = self.tenures.get_mut(&slot) else {
            return Err(Found::Moving);
        };
        let (waits, view) = (&self.waits, &self.view);
        after.retain(|seat| !waits.over(view, *seat, now));
        self.last = epoch;
        entries.insert(grain.clone(), Entry { host, epoch, uid: None });
        self.claims.add(slot, grain);
        let word = Word::Activate { grain: grain.clone(), epoch, host };
        if host != self.me {
            return Ok(vec![Command::Send { to: host, word }]);
        }
        let answer = self.host.activate(slot, grain, epoch, self.serves(lease, now));
        Ok(self.answered(grain, epoch, &answer))
    }

    /// Somebody was refused by the host that this directory names under this epoch, or waits for it: the host is asked, and
    /// who complains is never believed.
    pub fn doubt(&mut self, grain: &Grain, epoch: Epoch) -> Vec<Command> {
        let (slot, at) = (grain.slot(self.view.slots()), self.view.stamp());
        let Some(Tenure::Held { entries, .. }) = self.tenures.get(&slot) else { return Vec::new() };
        let entry = entries.get(grain).filter(|entry| entry.epoch == epoch).copied();
        match entry {
            Some(_) if self.view.owner(slot) != Some(self.me) => Vec::new(),
            Some(entry) if entry.host == self.me => {
                let answer = self.host.question(slot, grain, epoch, at);
                self.answered(grain, epoch, &answer)
            }
            Some(entry) => vec![entry.question(grain, at)],
            None => Vec::new(),
        }
    }

    /// A grain that was to be started lives, as this life of the node.
    pub fn started(&mut self, grain: &Grain, epoch: Epoch, uid: u64) -> Vec<Command> {
        let slot = grain.slot(self.view.slots());
        if !self.host.started(slot, grain, epoch, uid) {
            return Vec::new();
        }
        self.tell(slot, Word::Lives(Living { grain: grain.clone(), epoch, uid: Some(uid) }))
    }

    /// A life is over, with its last save; or could not be started.
    pub fn finished(&mut self, grain: &Grain, epoch: Epoch) -> Vec<Command> {
        let slot = grain.slot(self.view.slots());
        if !self.host.ended(slot, grain, epoch) {
            return Vec::new();
        }
        self.tell(slot, Word::Ended { grain: grain.clone(), epoch })
    }

    /// Somebody was sent here to a life. Nothing if that is here; else its owner is told again that it is over.
    pub fn disclaim(&mut self, grain: &Grain, epoch: Epoch) -> Option<Vec<Command>> {
        if !could_be(epoch, self.view.stamp()) {
            return Some(Vec::new());
        }
        let slot = grain.slot(self.view.slots());
        self.host
            .disclaim(slot, grain, epoch)
            .then(|| self.tell(slot, Word::Ended { grain: grain.clone(), epoch }))
    }

    /// Tells the newest owner that is known.
    fn tell(&mut self, slot: Slot, word: Word) -> Vec<Command> {
        match self.view.owner(slot) {
            Some(to) if to == self.me => {
                self.hear(self.me, word);
                Vec::new()
            }
            owner => owner.map(|to| Command::Send { to, word }).into_iter().collect(),
        }
    }

    /// Takes what another node says, at `now`.
    ///
    /// # Errors
    /// Asks for a view that is not known here yet; the word is to be handed in again after that.
    pub fn handle(
        &mut self,
        from: Seat,
        word: Word,
        lease: &Lease,
        now: Duration,
    ) -> Result<Vec<Command>, Behind> {
        if self.ended {
            return Ok(Vec::new());
        }
        let (mine, send) = (self.view.stamp(), |word| vec![Command::Send { to: from, word }]);
        let at = match &word {
            Word::Activate { epoch, .. } => epoch.stamp,
            Word::Question { epoch, at, .. } => epoch.stamp.max(*at),
            Word::Pull { at, .. } | Word::Ask { at, .. } => *at,
            Word::Newer { at } => *at,
            Word::Lives(_) | Word::Ended { .. } | Word::Given { .. } | Word::Report { .. } => mine,
        };
        if at > mine {
            return Err(Behind(at));
        }
        let overtaken = || send(Word::Newer { at: mine });
        Ok(match word {
            Word::Activate { ref grain, epoch, .. } | Word::Question { ref grain, epoch, .. }
                if !self.may_speak_of(from, grain, epoch) =>
            {
                overtaken()
            }
            Word::Activate { host, .. }
                if host != self.me && self.guards.hold(Guard::NamedHost) =>
            {
                Vec::new()
            }
            Word::Activate { grain, epoch, .. } => {
                let slot = grain.slot(self.view.slots());
                let answer = self.host.activate(slot, &grain, epoch, self.serves(lease, now));
                self.reply(from, &grain, epoch, &answer)
            }
            Word::Question { grain, epoch, at } => {
                let slot = grain.slot(self.view.slots());
                let answer = self.host.question(slot, &grain, epoch, at);
                self.reply(from, &grain, epoch, &answer)
            }
            Word::Pull { at, .. } | Word::Ask { at, .. } if at < mine => overtaken(),
            Word::Pull { at, slots } => {
                let slots = self.mine_to_answer(from, slots);
                let give = |slot| (slot, self.give(from, slot, now));
                send(Word::Given { at, slots: slots.into_iter().map(give).collect() })
            }
            Word::Ask { at, slots } => {
                let slots = self.mine_to_answer(from, slots);
                for slot in &slots {
                    self.tenures.remove(slot);
                    if self.guards.hold(Guard::FloorOnAsk) {
                        self.host.raise(*slot, at.floor());
                    }
                }
                let report = |slot| (slot, self.host.report(slot).collect());
                send(Word::Report { at, slots: slots.into_iter().map(report).collect() })
            }
            word => {
                let mut asks = self.hear(from, word);
                let mut out = Vec::new();
                asks.retain(|(slot, _)| self.view.owner(*slot) == Some(self.me));
                self.ask(asks, &mut out);
                out
            }
        })
    }

    /// Those slots that are `from`'s by the view that both know.
    fn mine_to_answer(&self, from: Seat, mut slots: Vec<Slot>) -> Vec<Slot> {
        slots.retain(|slot| self.view.owner(*slot) == Some(from) && from != self.me);
        slots
    }

    fn reply(&self, to: Seat, grain: &Grain, epoch: Epoch, answer: &Answer) -> Vec<Command> {
        let grain = grain.clone();
        let word = match *answer {
            Answer::Lives(uid) => Word::Lives(Living { grain, epoch, uid }),
            Answer::Ended => Word::Ended { grain, epoch },
            Answer::Overtaken => Word::Newer { at: self.view.stamp() },
            Answer::Start => return vec![Command::Start { grain, epoch }],
            Answer::Other(living) => {
                return vec![Command::Duplicate { grain, granted: epoch, living }];
            }
        };
        vec![Command::Send { to, word }]
    }

    /// What a host answers to its own node. What is left of it is to be done.
    fn answered(&mut self, grain: &Grain, epoch: Epoch, answer: &Answer) -> Vec<Command> {
        let mut commands = self.reply(self.me, grain, epoch, answer);
        commands.retain(|command| {
            let Command::Send { word, .. } = command else { return true };
            self.hear(self.me, word.clone());
            false
        });
        commands
    }

    /// Whether this node takes a grain on. One that leaves does not: it may be gone by the next view, and nobody waits then.
    fn serves(&self, lease: &Lease, now: Duration) -> bool {
        let is_up = self.view.state(self.me) == Some(State::Up);
        is_up && (lease.may_host(now) || !self.guards.hold(Guard::LeaseToHost))
    }

    /// Takes an answer. Returns the slots that are to be asked of all now.
    fn hear(&mut self, from: Seat, word: Word) -> Vec<(Slot, Option<Seat>)> {
        let (mine, rule) = (self.view.stamp(), self.view.slots());
        let mut asks = Vec::new();
        match word {
            Word::Lives(living) => {
                let slot = living.grain.slot(rule);
                let entry = self.entry(slot, &living.grain);
                if let Some(entry) = entry.filter(|entry| entry.is(from, living.epoch)) {
                    entry.uid = living.uid.or(entry.uid);
                    if entry.uid.is_some() {
                        self.claims.remove(slot, &living.grain);
                    }
                }
            }
            Word::Ended { grain, epoch } => {
                let slot = grain.slot(rule);
                if self.entry(slot, &grain).is_some_and(|entry| entry.is(from, epoch)) {
                    if let Some(entries) = self.entries(slot) {
                        entries.remove(&grain);
                        if entries.is_empty() {
                            // One that was emptied keeps room for eleven.
                            *entries = Entries::new();
                        }
                    }
                    self.claims.remove(slot, &grain);
                }
            }
            Word::Given { at, slots } if at == mine => {
                for (slot, entries) in slots {
                    let pulled = matches!(self.tenures.get(&slot), Some(Tenure::Pulling { from: of }) if *of == from);
                    match entries {
                        _ if !pulled => {}
                        Some(mut entries) => {
                            entries.retain(|grain, entry| {
                                grain.slot(rule) == slot && entry.could_be(mine)
                            });
                            self.claims.add_all(slot, &entries);
                            self.tenures.insert(slot, Tenure::held(entries));
                        }
                        None => {
                            self.tenures.remove(&slot);
                            asks.push((slot, Some(from)));
                        }
                    }
                }
            }
            Word::Report { at, slots } if at == mine => {
                for (slot, lives) in slots {
                    let Some(Tenure::Asking { heard, entries, .. }) = self.tenures.get_mut(&slot)
                    else {
                        continue;
                    };
                    if heard.insert(from) {
                        let could = |life: &&Living| {
                            life.grain.slot(rule) == slot && could_be(life.epoch, mine)
                        };
                        for living in lives.iter().filter(could) {
                            let entry = living.entry(from);
                            let known = entries.entry(living.grain.clone()).or_insert(entry);
                            // One may have ended since its host has answered: the later one counts.
                            *known = if known.epoch < entry.epoch { entry } else { *known };
                        }
                    }
                    self.settle(slot);
                }
            }
            _ => {}
        }
        asks
    }

    /// What is known of a slot that is held or being asked for.
    fn entries(&mut self, slot: Slot) -> Option<&mut Entries> {
        match self.tenures.get_mut(&slot)? {
            Tenure::Held { entries, .. } | Tenure::Asking { entries, .. } => Some(entries),
            Tenure::Sealed { .. } | Tenure::Pulling { .. } => None,
        }
    }

    fn entry(&mut self, slot: Slot, grain: &Grain) -> Option<&mut Entry> {
        self.entries(slot)?.get_mut(grain)
    }

    #[cfg(test)]
    pub(crate) fn floor(&self, grain: &Grain) -> Epoch {
        self.host.floor(grain.slot(self.view.slots()))
    }

    /// What it knows of a grain, as the owner of its slot.
    #[must_use]
    pub fn entry_of(&self, grain: &Grain) -> Option<Entry> {
        match self.tenures.get(&grain.slot(self.view.slots()))? {
            Tenure::Held { entries, .. } => entries.get(grain).copied(),
            _ => None,
        }
    }

    /// Whether it holds a slot that is another's by now, and has not pulled it yet.
    #[must_use]
    pub fn has_to_give(&self) -> bool {
        let is_given = |(slot, tenure): (&Slot, &Tenure)| {
            let owner = self.view.owner(*slot);
            matches!(tenure, Tenure::Held { .. }) && owner.is_some() && owner != Some(self.me)
        };
        self.tenures.iter().any(is_given)
    }

    /// Whether all that is to be known of this slot is here, which is this node's.
    #[must_use]
    pub fn holds(&self, slot: Slot) -> bool {
        let is_held = matches!(self.tenures.get(&slot), Some(Tenure::Held { .. }));
        is_held && self.view.owner(slot) == Some(self.me)
    }

    /// How many slots it holds.
    #[must_use]
    pub fn held(&self) -> usize {
        self.tenures.keys().filter(|slot| self.holds(**slot)).count()
    }

    /// Where the grains live that it keeps track of, or are to: a host for each.
    pub fn hosts(&self) -> impl Iterator<Item = Seat> {
        let held = self.tenures.iter().filter(|(slot, _)| self.holds(**slot));
        let entries = held.filter_map(|(_, tenure)| match tenure {
            Tenure::Held { entries, .. } => Some(entries),
            _ => None,
        });
        entries.flat_map(|entries| entries.values()).map(|entry| entry.host)
    }

    /// Whether a slot is on its way here.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        let moves = |t: &Tenure| matches!(t, Tenure::Pulling { .. } | Tenure::Asking { .. });
        self.tenures.values().any(moves)
    }

    /// As [`Lease::shift`].
    #[doc(hidden)]
    pub fn shift(&mut self, by: Duration, now: Duration) {
        self.waits.shift(by, now);
    }
}

impl Tenure {
    fn held(entries: Entries) -> Self {
        Self::Held { entries, after: BTreeSet::new() }
    }
}

impl Living {
    fn entry(&self, host: Seat) -> Entry {
        Entry { host, epoch: self.epoch, uid: self.uid }
    }
}

impl Entry {
    fn is(&self, host: Seat, epoch: Epoch) -> bool {
        self.host == host && self.epoch == epoch
    }

    fn question(&self, grain: &Grain, at: Stamp) -> Command {
        let word = Word::Question { grain: grain.clone(), epoch: self.epoch, at };
        Command::Send { to: self.host, word }
    }
}
