//! All actors of a system by their paths.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use crate::cell::AnyCell;
use crate::sync::Lock;

/// The set is cut in pieces so that spawning and looking up on many threads seldom meet.
const SHARDS: usize = 16;

#[derive(Default)]
pub(crate) struct Registry {
    shards: [Mutex<HashSet<ByPath>>; SHARDS],
}

/// A cell that is found by its path.
struct ByPath(Arc<dyn AnyCell>);

impl Borrow<str> for ByPath {
    fn borrow(&self) -> &str {
        self.0.path()
    }
}

impl Hash for ByPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.path().hash(state);
    }
}

impl PartialEq for ByPath {
    fn eq(&self, other: &Self) -> bool {
        self.0.path() == other.0.path()
    }
}

impl Eq for ByPath {}

impl Registry {
    fn shard(&self, path: &str) -> &Mutex<HashSet<ByPath>> {
        // Which names meet at a lock is of no importance; the sets have a hash of their own.
        let sum = path
            .bytes()
            .fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        &self.shards[(sum ^ (sum >> 16)) as usize % SHARDS]
    }

    /// Adds an actor; false if its path is taken.
    pub(crate) fn add(&self, cell: Arc<dyn AnyCell>) -> bool {
        let mut shard = self.shard(cell.path()).hold();
        shard.insert(ByPath(cell))
    }

    pub(crate) fn find(&self, path: &str) -> Option<Arc<dyn AnyCell>> {
        self.shard(path).hold().get(path).map(|known| known.0.clone())
    }

    /// Removes this life of an actor, and no later one of the same name; says whether it was there.
    pub(crate) fn remove(&self, cell: &dyn AnyCell) -> bool {
        let mut shard = self.shard(cell.path()).hold();
        let known = shard.get(&**cell.path()).filter(|known| known.0.uid() == cell.uid());
        let is_known = known.is_some();
        if is_known {
            shard.remove(&**cell.path());
        }
        is_known
    }

    pub(crate) fn all(&self) -> Vec<Arc<dyn AnyCell>> {
        let of_shard = |shard: &Mutex<HashSet<ByPath>>| {
            shard.hold().iter().map(|known| known.0.clone()).collect::<Vec<_>>()
        };
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
