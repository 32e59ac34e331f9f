//! What a node knows as a host: its lives, and the floors below which it refuses.

use std::collections::BTreeMap;

use super::guard::{Guard, Guards};
use super::word::{Grain, Living};
use crate::epoch::{Epoch, Stamp};
use crate::slots::Slot;

/// The lives and the floors of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Host {
    /// Where a slot's floor is that nobody has raised: the admission of the node.
    lowest: Epoch,
    floors: BTreeMap<Slot, Epoch>,
    lives: BTreeMap<Slot, BTreeMap<Grain, Life>>,
    guards: Guards,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Life {
    epoch: Epoch,
    uid: Option<u64>,
}

/// What a host says to one that grants or asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It lives.
    Lives(Option<u64>),
    /// It does not, and never will.
    Ended,
    /// Nothing is said: a newer owner has asked, and to it alone the host answers.
    Overtaken,
    /// It is to be activated.
    Start,
    /// Another life of it is here.
    Other(Epoch),
}

impl Host {
    pub(super) fn new(admission: Stamp, guards: Guards) -> Self {
        Self { lowest: admission.floor(), floors: BTreeMap::new(), lives: BTreeMap::new(), guards }
    }

    pub(super) fn floor(&self, slot: Slot) -> Epoch {
        self.floors.get(&slot).copied().unwrap_or(self.lowest).max(self.lowest)
    }

    pub(super) fn raise(&mut self, slot: Slot, to: Epoch) {
        if to > self.floor(slot) {
            self.floors.insert(slot, to);
        }
    }

    fn life(&self, slot: Slot, grain: &Grain) -> Option<Life> {
        self.lives.get(&slot)?.get(grain).copied()
    }

    /// An owner grants; `serves` if this node may host now.
    pub(super) fn activate(
        &mut self,
        slot: Slot,
        grain: &Grain,
        epoch: Epoch,
        serves: bool,
    ) -> Answer {
        match self.life(slot, grain) {
            Some(life) if life.epoch == epoch => return Answer::Lives(life.uid),
            _ if epoch.stamp < self.floor(slot).stamp => return Answer::Overtaken,
            _ if epoch < self.floor(slot) => return Answer::Ended,
            Some(life) => return Answer::Other(life.epoch),
            None => {}
        }
        if !serves {
            self.raise(slot, epoch.above());
            return Answer::Ended;
        }
        let life = Life { epoch, uid: None };
        self.lives.entry(slot).or_default().insert(grain.clone(), life);
        Answer::Start
    }

    /// An owner that knows the view `at` asks.
    pub(super) fn question(
        &mut self,
        slot: Slot,
        grain: &Grain,
        epoch: Epoch,
        at: Stamp,
    ) -> Answer {
        if at < self.floor(slot).stamp && self.guards.hold(Guard::FloorOnQuestion) {
            return Answer::Overtaken;
        }
        match self.life(slot, grain) {
            Some(life) if life.epoch == epoch => Answer::Lives(life.uid),
            _ => {
                if self.guards.hold(Guard::FloorOnNo) {
                    self.raise(slot, epoch.above());
                }
                Answer::Ended
            }
        }
    }

    /// A life has been activated. False if it is not there.
    pub(super) fn started(&mut self, slot: Slot, grain: &Grain, epoch: Epoch, uid: u64) -> bool {
        let life = self.lives.get_mut(&slot).and_then(|lives| lives.get_mut(grain));
        let life = life.filter(|life| life.epoch == epoch);
        life.map(|life| life.uid = Some(uid)).is_some()
    }

    /// A life is over. False if it is not there.
    pub(super) fn ended(&mut self, slot: Slot, grain: &Grain, epoch: Epoch) -> bool {
        if self.life(slot, grain).is_none_or(|life| life.epoch != epoch) {
            return false;
        }
        if let Some(lives) = self.lives.get_mut(&slot) {
            lives.remove(grain);
            if lives.is_empty() {
                self.lives.remove(&slot);
            }
        }
        self.raise(slot, epoch.above());
        true
    }

    /// Whether this life is not here; then it never will be.
    pub(super) fn disclaim(&mut self, slot: Slot, grain: &Grain, epoch: Epoch) -> bool {
        let is_here = self.life(slot, grain).is_some_and(|life| life.epoch == epoch);
        if !is_here {
            self.raise(slot, epoch.above());
        }
        !is_here
    }

    /// All that lives in a slot.
    pub(super) fn report(&self, slot: Slot) -> impl Iterator<Item = Living> {
        self.lives.get(&slot).into_iter().flatten().map(|(grain, life)| Living {
            grain: grain.clone(),
            epoch: life.epoch,
            uid: life.uid,
        })
    }

    /// All that lives.
    pub(super) fn all(&self) -> impl Iterator<Item = Living> {
        self.lives.keys().flat_map(|slot| self.report(*slot))
    }

    pub(super) fn end_all(&mut self) {
        self.lives.clear();
        self.floors.clear();
    }
}
