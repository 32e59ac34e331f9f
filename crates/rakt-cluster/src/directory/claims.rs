//! The grains that were granted and of which the host has not said yet that they live.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use super::word::{Entries, Grain};
use crate::slots::Slot;

/// All claims are in here, and some that are none any more: so that nobody has to look for them among all entries.
///
/// It follows from the entries, so that two directories which differ in this alone are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(BTreeSet<(Slot, Grain)>);

impl PartialEq for Claims {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Claims {}

impl Hash for Claims {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Claims {
    pub(super) fn add(&mut self, slot: Slot, grain: &Grain) {
        self.0.insert((slot, grain.clone()));
    }

    /// Takes note of the claims among all that is known of a slot.
    pub(super) fn add_all(&mut self, slot: Slot, entries: &Entries) {
        let claims = entries.iter().filter(|(_, entry)| entry.uid.is_none());
        self.0.extend(claims.map(|(grain, _)| (slot, grain.clone())));
    }

    /// It is none any more.
    pub(super) fn remove(&mut self, slot: Slot, grain: &Grain) {
        self.0.remove(&(slot, grain.clone()));
    }

    /// Those of which that is so; the others are forgotten.
    pub(super) fn keep(
        &mut self,
        mut is_one: impl FnMut(Slot, &Grain) -> bool,
    ) -> impl Iterator<Item = (Slot, &Grain)> {
        self.0.retain(|(slot, grain)| is_one(*slot, grain));
        self.0.iter().map(|(slot, grain)| (*slot, grain))
    }
}
