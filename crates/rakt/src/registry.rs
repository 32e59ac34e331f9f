//! All actors of a system by their paths.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex};

use crate::cell::AnyCell;
use crate::sync::Lock;

/// The map is cut in pieces so that spawning and looking up on many threads seldom meet.
const SHARDS: usize = 16;

type Shard = Mutex<HashMap<Arc<str>, Arc<dyn AnyCell>>>;

pub(crate) struct Registry {
    shards: [Shard; SHARDS],
    hasher: std::hash::RandomState,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self { shards: Default::default(), hasher: std::hash::RandomState::new() }
    }

    fn shard(&self, path: &str) -> &Shard {
        let hash = self.hasher.hash_one(path) as usize;
        &self.shards[hash % SHARDS]
    }

    /// Adds an actor; false if its path is taken.
    pub(crate) fn add(&self, cell: Arc<dyn AnyCell>) -> bool {
        match self.shard(cell.path()).hold().entry(cell.path().clone()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(cell);
                true
            }
        }
    }

    pub(crate) fn find(&self, path: &str) -> Option<Arc<dyn AnyCell>> {
        self.shard(path).hold().get(path).cloned()
    }

    /// Removes this life of an actor, and no later one of the same name; says whether it was there.
    pub(crate) fn remove(&self, cell: &dyn AnyCell) -> bool {
        let mut shard = self.shard(cell.path()).hold();
        let is_known = shard.get(cell.path()).is_some_and(|known| known.uid() == cell.uid());
        if is_known {
            shard.remove(cell.path());
        }
        is_known
    }

    pub(crate) fn all(&self) -> Vec<Arc<dyn AnyCell>> {
        let of_shard = |shard: &Shard| shard.hold().values().cloned().collect::<Vec<_>>();
        self.shards.iter().flat_map(of_shard).collect()
    }

    /// The actors without a parent.
    pub(crate) fn top_level(&self) -> Vec<Arc<dyn AnyCell>> {
        let mut actors = self.all();
        actors.retain(|cell| !cell.path().contains('/'));
        actors
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.hold().len()).sum()
    }
}
