//! Dealings with the register: what it is asked, and what its answers mean.

use std::sync::Arc;
use std::time::Duration;

use rakt_wire::Chain;

use super::membership::patience;
use super::rumours::Rumours;
use super::{AGAIN, BATCH, CONSIDER, Do, Participant, Register, Settings};
use crate::epoch::Stamp;
use crate::lease::{Look, Next};
use crate::node::Seat;
use crate::propose::{found, propose};
use crate::register::{Attempt, Confirmed, Swapped, Version};
use crate::view::{State, Step, View};

/// Who was told what is not so believes nothing for this long.
const PAUSE: Duration = Duration::from_millis(100);
/// What was not so is told of as often as this, whoever has said it.
const TELL: Duration = Duration::from_secs(60);

impl Participant {
    /// A hint that there is a newer view: the register is read soon.
    pub fn hint(&mut self, now: Duration) {
        if let Some((_, version)) = &mut self.known {
            *version = None;
        }
        self.rest_until = now;
    }

    pub(super) fn use_register(&mut self, now: Duration, out: &mut Vec<Do>) {
        if !matches!(self.register, Register::Idle) || now < self.rest_until {
            return;
        }
        let look = self.listed.as_ref().map(|listed| listed.lease.look(now));
        let is_told = self.rumours.due().is_some_and(|at| now >= at);
        let known = self.known.clone().filter(|_| !is_told);
        let Some((view, Some(version))) = known else { return self.ask(look, out) };
        let next_look = self.listed.as_ref().and_then(|listed| listed.lease.next_look());
        if now >= self.propose_after.max(self.consider_at) {
            self.consider_at = now.saturating_add(CONSIDER);
            let changes = self.wants(now);
            let level = self.settings.me.level;
            if self.listed.is_none() && level < view.level() {
                let needed = view.level();
                let text = format!(
                    "all members are of level {needed} by now, and this node is of level {level}: it needs a newer version of rakt"
                );
                self.sound(text, out);
            }
            if self.ask_for(&changes, &view, now, out) {
                return;
            }
            if changes.is_empty() {
                self.conflicts = 0;
            }
            if !changes.is_empty()
                && let Some(next) = propose(&view, &changes).view
            {
                let attempt = Attempt { over: version, bytes: next.encode() };
                self.register = Register::Swaps(next);
                return out.push(Do::Swap(attempt));
            }
        }
        match look {
            // One that is not listed has nothing to confirm, and looks for its entry.
            None if now >= self.look_after => {
                self.look_after = now.saturating_add(AGAIN);
                self.ask(None, out);
            }
            Some(look) if next_look.is_none_or(|at| now >= at) => {
                if self.state() == Some(State::Joining) {
                    if now < self.look_after {
                        return;
                    }
                    self.look_after = now.saturating_add(AGAIN);
                }
                self.register = Register::Confirms(look);
                out.push(Do::Confirm(version));
            }
            _ => {}
        }
    }

    /// Reads the register, which also tells what there is in what was said of it until now.
    fn ask(&mut self, look: Option<Look>, out: &mut Vec<Do>) {
        self.register = Register::Reads(look, self.rumours.clone());
        out.push(Do::Read);
    }

    /// The register was read; nothing if it is not known what it holds.
    pub fn read(&mut self, read: Option<(Version, Vec<u8>)>, now: Duration) -> Vec<Do> {
        let mut out = Vec::new();
        let Register::Reads(look, said) = std::mem::replace(&mut self.register, Register::Idle)
        else {
            return out;
        };
        let Some((version, bytes)) = read else {
            self.rest(now);
            return out;
        };
        self.note_answer(now);
        if version == Version(0) {
            self.found(now, &mut out);
            return out;
        }
        let view = match View::decode(&bytes) {
            Ok(view) => Arc::new(view),
            Err(error) => {
                self.rest(now);
                let why = Chain(&error);
                self.sound(format!("the view in the register cannot be read: {why}"), &mut out);
                return out;
            }
        };
        if self.view().is_some_and(|known| view.stamp() < known.stamp()) {
            self.rest(now);
            self.sound("the register has returned an old view".to_owned(), &mut out);
            return out;
        }
        self.settle(&said, view.stamp(), now, &mut out);
        if !self.take(view.clone(), Some(version), now, &mut out) {
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
        self.note_place(now, &mut out);
        out
    }

    /// The register has answered a confirmation.
    pub fn confirmed(&mut self, confirmed: Confirmed, now: Duration) -> Vec<Do> {
        let mut out = Vec::new();
        let Register::Confirms(look) = std::mem::replace(&mut self.register, Register::Idle) else {
            return out;
        };
        if confirmed != Confirmed::Unknown {
            self.note_answer(now);
        }
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
        self.note_place(now, &mut out);
        out
    }

    /// The register has answered a swap.
    pub fn swapped(&mut self, swapped: Swapped, now: Duration) -> Vec<Do> {
        let mut out = Vec::new();
        let Register::Swaps(view) = std::mem::replace(&mut self.register, Register::Idle) else {
            return out;
        };
        if swapped != Swapped::Unknown {
            self.note_answer(now);
        }
        match swapped {
            Swapped::Done(version) => {
                self.conflicts = 0;
                let view = Arc::new(view);
                let before = self.view().cloned();
                if before.as_ref().is_none_or(|before| before.stamp() < view.stamp()) {
                    self.spread(before.as_deref(), &view, &mut out);
                }
                self.take(view, Some(version), now, &mut out);
                self.propose_after = now.saturating_add(BATCH);
            }
            // Whatever is newest is read, and what is still wanted is proposed over that.
            Swapped::Conflict | Swapped::Unknown => {
                self.conflicts = self.conflicts.saturating_add(1);
                self.asks = true;
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
        self.note_place(now, &mut out);
        out
    }

    /// Nobody has a view yet: this one may found the cluster.
    pub(super) fn found(&mut self, now: Duration, out: &mut Vec<Do>) {
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

    /// The register answers. After an outage everybody is behind, and all that was not heard in it says nothing.
    fn note_answer(&mut self, now: Duration) {
        let lease = self.view().map_or(self.settings.lease, |view| view.lease());
        if now.saturating_sub(self.reached) >= lease {
            self.steady = now;
            if let Some(listed) = &mut self.listed {
                listed.evidence.forget();
            }
        }
        self.reached = now;
    }

    /// Whether its lease is over for so long that others had better take its place.
    pub(super) fn is_lost(&self, now: Duration) -> bool {
        let Some(view) = self.view() else { return false };
        let patience = view.lease().saturating_add(patience(&self.settings, view));
        now.saturating_sub(self.reached) >= patience
    }

    /// Leaves the register alone for a while.
    pub(super) fn rest(&mut self, now: Duration) {
        let pause = 100_u64.saturating_add(self.random().checked_rem(200).unwrap_or(0));
        self.rest_until = now.saturating_add(Duration::from_millis(pause));
    }

    /// Goes on to a view that the register has, or had, unless it knows a newer one. False if it may not be followed.
    pub(super) fn take(
        &mut self,
        view: Arc<View>,
        version: Option<Version>,
        now: Duration,
        out: &mut Vec<Do>,
    ) -> bool {
        if let Some((known, _)) = &self.known {
            match known.step(&view) {
                Ok(Step::Same) => {
                    if version.is_some() {
                        self.known = Some((view, version));
                    }
                    self.note_gone(out);
                    return true;
                }
                Ok(Step::Older) => return true,
                Ok(Step::Newer { .. } | Step::Recovered) => {}
                Err(refused) => {
                    self.sound(format!("a view is refused: {refused}"), out);
                    return false;
                }
            }
        }
        let state = self.state();
        let before = self.known.replace((view.clone(), version)).map(|(before, _)| before);
        self.rumours.learn(view.stamp());
        self.consider_at = Duration::ZERO;
        let (from, to) = (before.as_ref().map(|before| before.stamp()), view.stamp());
        let raised = from.filter(|from| from.generation < to.generation);
        out.extend(raised.map(|from| Do::Raised { from: from.generation, to: to.generation }));
        out.push(Do::View(view.clone()));
        if let Some(listed) = &mut self.listed {
            listed.lease.learn(&view);
            let commands = listed.directory.learn(view.clone(), now);
            listed.detector.learn(&view);
            listed.rates.learn(&view);
            listed.loads.retain(|seat, _| view.state(*seat).is_some());
            let ended = listed.lease.ended() || listed.directory.ended();
            if ended {
                self.end_all(now, out);
            } else {
                self.note_members(before.as_deref(), &view, now);
                self.note_deaths(before.as_deref(), &view);
                self.note_moves();
                self.carry_out(commands, now, out);
                self.hear_early(now, out);
            }
        }
        if self.listed.is_none() && !self.has_left {
            self.sit_down(&view, now, out);
        }
        if self.state().is_some() && self.state() != state {
            self.come_further(&view);
        }
        self.ask_another(&view);
        self.search_all(now, out);
        true
    }

    /// Somebody speaks by this view.
    pub(super) fn hear_of_view(&mut self, from: Seat, of: Stamp) {
        if self.view().is_some_and(|view| view.stamp() < of) {
            self.rumours.said = Some((from, of));
        }
    }

    /// A store has seen an epoch of this view. If the register has no such view, epochs are to begin with a generation above it:
    /// no grain that was claimed for it would come to life again.
    pub fn superseded(&mut self, of: Stamp) {
        if self.view().is_some_and(|view| view.stamp() < of) {
            self.rumours.stored = self.rumours.stored.max(Some(of));
        }
    }

    /// The register holds that view, as was read after all this had been said.
    pub(super) fn settle(
        &mut self,
        said: &Rumours,
        holds: Stamp,
        now: Duration,
        out: &mut Vec<Do>,
    ) {
        if let Some((from, of)) = said.said.filter(|(_, of)| *of > holds) {
            self.rumours.after = now.saturating_add(PAUSE);
            self.rumours.said = self.rumours.said.filter(|last| *last != (from, of));
            if let Some(listed) = &mut self.listed {
                listed.early.clear();
            }
            if now >= self.rumours.tell_after {
                self.rumours.tell_after = now.saturating_add(TELL);
                let member = self.view().and_then(|view| view.member(from));
                let who = member.map_or("which is in no view".to_owned(), |member| {
                    format!("at {}:{}", member.host, member.port)
                });
                out.push(Do::Alarm(format!(
                    "{from}, {who}, speaks by view {of}, and the register has {holds}: it is not believed"
                )));
            }
        }
        if let Some(of) = said.stored.filter(|of| *of > holds) {
            self.raise_above = self.raise_above.max(Some(of.generation));
            self.rumours.stored = self.rumours.stored.filter(|last| *last != of);
            self.consider_at = Duration::ZERO;
        }
    }
}
