//! How slots change hands: what an owner takes as a view makes it one, and what it gives to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::guard::Guard;
use super::trust::could_be;
use super::word::{Command, Entries, Grain, Word};
use super::{Directory, Tenure};
use crate::epoch::Epoch;
use crate::node::Seat;
use crate::slots::Slot;
use crate::view::{State, View};

impl Directory {
    /// Whether `from` may say something of a life under that epoch: it owns the slot by the newest view, and could have granted
    /// that. Who owned it before is told, and hands over what it knows of the grain.
    pub(super) fn may_speak_of(&self, from: Seat, grain: &Grain, epoch: Epoch) -> bool {
        let owns = self.view.owner(grain.slot(self.view.slots())) == Some(from);
        (owns || !self.guards.hold(Guard::OwnerOnly)) && could_be(epoch, self.view.stamp())
    }

    /// The slots that are this node's by the view that it knows.
    pub(crate) fn owned(&self) -> Vec<Slot> {
        let mine = |slot: &Slot| self.view.owner(*slot) == Some(self.me);
        self.slots.iter().copied().filter(mine).collect()
    }

    /// Goes on to a later view, which [`View::step`] has allowed, at `now`. One that ends this node ends all that lives here.
    pub fn learn(&mut self, view: Arc<View>, now: Duration) -> Vec<Command> {
        if self.ended || view.stamp() <= self.view.stamp() {
            return Vec::new();
        }
        view.owners_after(&self.view);
        let before = std::mem::replace(&mut self.view, view);
        let same_history = before.origin() == self.view.origin();
        let listed = self.view.state(self.me).filter(|state| !matches!(state, State::Dead { .. }));
        if listed.is_none() || !same_history {
            self.ended = true;
            self.tenures.clear();
            self.host.end_all();
            return vec![Command::EndAll];
        }
        self.waits.learn(&self.view, now);
        self.last = self.view.stamp().floor();
        if before.members().iter().any(|member| self.view.state(member.seat()).is_none()) {
            self.forget_gone();
        }
        let next = before.stamp().version.checked_add(1);
        let in_row = next == Some(self.view.stamp().version) || !self.guards.hold(Guard::KeepInRow);
        let (mut pulls, mut asks, mut out) = (BTreeMap::new(), Vec::new(), Vec::new());
        let owned = self.owned();
        let owns = |slot: &Slot| owned.binary_search(slot).is_ok();
        let guards = self.guards;
        self.tenures.retain(|slot, tenure| match tenure {
            Tenure::Held { .. } => true,
            // A pull under the view of before is refused from now on, so nobody can ask for it again.
            Tenure::Sealed { .. } => !guards.hold(Guard::GiveOnce),
            Tenure::Pulling { .. } => owns(slot),
            Tenure::Asking { .. } => owns(slot) || !guards.hold(Guard::OnlyWhole),
        });
        for slot in owned {
            let from = match self.tenures.remove(&slot) {
                Some(held @ Tenure::Held { .. }) => {
                    self.tenures.insert(slot, held);
                    continue;
                }
                Some(Tenure::Asking { heard, entries, before }) if in_row => {
                    let tenure = Tenure::Asking { heard, entries, before };
                    self.tenures.insert(slot, tenure);
                    asks.push((slot, before));
                    continue;
                }
                Some(Tenure::Asking { .. }) => None,
                Some(Tenure::Pulling { from }) => Some(from),
                Some(Tenure::Sealed { .. }) | None => before.owner(slot),
            };
            let here = |seat: &Seat| self.view.state(*seat).is_some_and(State::hosts);
            match from.filter(|from| *from != self.me && here(from)) {
                Some(from) => {
                    self.tenures.insert(slot, Tenure::Pulling { from });
                    pulls.entry(from).or_insert_with(Vec::new).push(slot);
                }
                None => asks.push((slot, from)),
            }
        }
        let at = self.view.stamp();
        let pull = |(to, slots)| Command::Send { to, word: Word::Pull { at, slots } };
        out.extend(pulls.into_iter().map(pull));
        self.ask(asks, &mut out);
        out
    }

    /// Drops what says of grains that they live on nodes that are over, and that nobody may ever ask for again.
    fn forget_gone(&mut self) {
        let (waits, view) = (&self.waits, &self.view);
        let is_gone =
            |seat: Seat| view.state(seat).is_none() && waits.over(view, seat, Duration::ZERO);
        for tenure in self.tenures.values_mut() {
            if let Tenure::Held { entries, .. } | Tenure::Asking { entries, .. } = tenure {
                entries.retain(|_, entry| !is_gone(entry.host));
            }
        }
    }

    /// Asks all that have not answered yet for these slots; the answer of this node is at hand.
    pub(super) fn ask(&mut self, slots: Vec<(Slot, Option<Seat>)>, out: &mut Vec<Command>) {
        let (me, at) = (self.me, self.view.stamp());
        let mut silent: BTreeMap<Seat, Vec<Slot>> = BTreeMap::new();
        for (slot, before) in slots {
            if self.guards.hold(Guard::FloorOnAsk) {
                self.host.raise(slot, at.floor());
            }
            let new = Tenure::Asking { heard: BTreeSet::new(), entries: Entries::new(), before };
            let tenure = self.tenures.entry(slot).or_insert(new);
            let Tenure::Asking { heard, entries, .. } = tenure else { continue };
            if heard.insert(me) {
                entries.extend(
                    self.host.report(slot).map(|living| (living.grain.clone(), living.entry(me))),
                );
            }
            heard.retain(|seat| self.view.state(*seat).is_some_and(State::hosts));
            for seat in self.view.hosts().filter(|seat| !heard.contains(seat)) {
                silent.entry(seat).or_default().push(slot);
            }
            self.settle(slot);
        }
        let ask = |(to, slots)| Command::Send { to, word: Word::Ask { at, slots } };
        out.extend(silent.into_iter().map(ask));
    }

    /// Holds a slot if all have answered.
    pub(super) fn settle(&mut self, slot: Slot) {
        let Some(Tenure::Asking { heard, entries, before }) = self.tenures.get_mut(&slot) else {
            return;
        };
        if self.view.hosts().any(|seat| !heard.contains(&seat)) {
            return;
        }
        let mut after: BTreeSet<Seat> = self.view.dead().collect();
        if !self.guards.hold(Guard::WaitForAll) {
            after.retain(|seat| Some(*seat) == *before);
        }
        let entries = std::mem::take(entries);
        self.claims.add_all(slot, &entries);
        self.tenures.insert(slot, Tenure::Held { entries, after });
    }

    /// Says again what has not been answered: pulls, questions to all, and questions after claims.
    #[must_use]
    pub fn again(&mut self) -> Vec<Command> {
        let (mut pulls, mut asks) =
            (BTreeMap::<Seat, Vec<Slot>>::new(), BTreeMap::<Seat, Vec<Slot>>::new());
        let (at, mut out) = (self.view.stamp(), Vec::new());
        for (slot, tenure) in &self.tenures {
            match tenure {
                Tenure::Pulling { from } => pulls.entry(*from).or_default().push(*slot),
                Tenure::Asking { heard, .. } => {
                    for seat in self.view.hosts().filter(|seat| !heard.contains(seat)) {
                        asks.entry(seat).or_default().push(*slot);
                    }
                }
                Tenure::Held { .. } | Tenure::Sealed { .. } => {}
            }
        }
        let (tenures, view, me) = (&self.tenures, &self.view, self.me);
        let claim = |slot: Slot, grain: &Grain| {
            let Some(Tenure::Held { entries, .. }) = tenures.get(&slot) else { return None };
            let entry = entries.get(grain).filter(|entry| entry.uid.is_none())?;
            Some(entry.question(grain, at))
        };
        let claims = self.claims.keep(|slot, grain| claim(slot, grain).is_some());
        // One that is held for the next owner may be this node's again.
        let mine = claims.filter(|(slot, _)| view.owner(*slot) == Some(me));
        out.extend(mine.filter_map(|(slot, grain)| claim(slot, grain)));
        #[cfg(test)]
        assert_eq!(out.len(), self.claimed(), "those are all");
        out.extend(
            pulls
                .into_iter()
                .map(|(to, slots)| Command::Send { to, word: Word::Pull { at, slots } }),
        );
        out.extend(
            asks.into_iter().map(|(to, slots)| Command::Send { to, word: Word::Ask { at, slots } }),
        );
        out
    }

    /// How many claims there are, by a look at all entries.
    #[cfg(test)]
    fn claimed(&self) -> usize {
        let held = self.tenures.iter().filter(|(slot, _)| self.holds(**slot));
        let entries = held.filter_map(|(_, tenure)| match tenure {
            Tenure::Held { entries, .. } => Some(entries),
            _ => None,
        });
        entries.flat_map(Entries::values).filter(|entry| entry.uid.is_none()).count()
    }

    /// Gives a slot away, if it is there to be given.
    pub(super) fn give(&mut self, to: Seat, slot: Slot, now: Duration) -> Option<Entries> {
        let at = self.view.stamp();
        if self.guards.hold(Guard::FloorOnPull) {
            self.host.raise(slot, at.floor());
        }
        let (waits, view, guards) = (&self.waits, &self.view, self.guards);
        let entries = match self.tenures.get(&slot)? {
            Tenure::Held { entries, after }
                if after.iter().all(|seat| waits.over(view, *seat, now))
                    || !guards.hold(Guard::OnlyWhole) =>
            {
                entries.clone()
            }
            Tenure::Sealed { to: who, at: when, entries }
                if (*who, *when) == (to, at) || !guards.hold(Guard::GiveOnce) =>
            {
                entries.clone()
            }
            Tenure::Asking { entries, .. } if !guards.hold(Guard::OnlyWhole) => entries.clone(),
            _ => return None,
        };
        self.tenures.insert(slot, Tenure::Sealed { to, at, entries: entries.clone() });
        Some(entries)
    }
}
