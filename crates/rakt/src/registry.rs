//! All actors of a system by their paths.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::Arc;

use crate::mailbox::arrivals::Reachable;
use crate::reference::AnyCell;
use crate::sync::Mutex;

/// The set is cut in pieces: spawning and looking up on many threads seldom meet, and a piece that
/// grows is small enough to be moved within a cache, to memory that was used before.
const SHARDS: usize = 256;

type Shard = HashSet<Known, BuildHasherDefault<Made>>;

pub(crate) struct Registry {
    /// Peers choose names, so nobody else is to know how they are hashed.
    random: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

impl Default for Registry {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { random: RandomState::new(), shards }
    }
}

/// A cell that is found by its path. With the hash of that at hand a set can grow without a look at
/// each of its cells and their paths, which are anywhere in memory.
struct Known {
    hash: u64,
    cell: Arc<dyn Reachable>,
}

/// A path with its hash.
trait Hashed {
    fn hash(&self) -> u64;
    fn path(&self) -> &str;
}

impl Hashed for Known {
    fn hash(&self) -> u64 {
        self.hash
    }

    fn path(&self) -> &str {
        self.cell.path()
    }
}

impl Hashed for (u64, &str) {
    fn hash(&self) -> u64 {
        self.0
    }

    fn path(&self) -> &str {
        self.1
    }
}

impl<'a> Borrow<dyn Hashed + 'a> for Known {
    fn borrow(&self) -> &(dyn Hashed + 'a) {
        self
    }
}

impl Hash for dyn Hashed + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(Hashed::hash(self));
    }
}

impl PartialEq for dyn Hashed + '_ {
    fn eq(&self, other: &Self) -> bool {
        Hashed::hash(self) == Hashed::hash(other) && self.path() == other.path()
    }
}

impl Eq for dyn Hashed + '_ {}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.cell.path() == other.cell.path()
    }
}

impl Eq for Known {}

/// Takes a hash that has been made as it is.
#[derive(Default)]
struct Made(u64);

impl Hasher for Made {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("what is hashed here is one hash");
    }
}

impl Registry {
    /// The hash of a path, and where it belongs by that.
    fn place(&self, path: &str) -> (u64, &Mutex<Shard>) {
        let hash = self.random.hash_one(path);
        // The sets go by the bits at both ends.
        (hash, &self.shards[(hash >> 40) as usize % SHARDS])
    }

    /// Adds an actor; false if its path is taken.
    pub(crate) fn add(&self, cell: Arc<dyn Reachable>) -> bool {
        let (hash, shard) = self.place(cell.path());
        shard.lock().insert(Known { hash, cell })
    }

    pub(crate) fn find(&self, path: &str) -> Option<Arc<dyn Reachable>> {
        let (hash, shard) = self.place(path);
        let shard = shard.lock();
        shard.get(&(hash, path) as &dyn Hashed).map(|known| known.cell.clone())
    }

    /// Removes this life of an actor, and no later one of the same name; says whether it was there.
    pub(crate) fn remove(&self, cell: &dyn AnyCell) -> bool {
        let (hash, shard) = self.place(cell.path());
        let mut shard = shard.lock();
        let path = &(hash, cell.path()) as &dyn Hashed;
        shard.get(path).is_some_and(|known| known.cell.uid() == cell.uid()) && shard.remove(path)
    }

    pub(crate) fn all(&self) -> Vec<Arc<dyn Reachable>> {
        let of_shard = |shard: &Mutex<Shard>| {
            shard.lock().iter().map(|known| known.cell.clone()).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }

    /// The actor of this number, which is looked for.
    pub(crate) fn find_uid(&self, uid: u64) -> Option<Arc<dyn Reachable>> {
        let in_shard = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            let found = shard.iter().find(|known| known.cell.uid() == uid);
            found.map(|known| known.cell.clone())
        };
        self.shards.iter().find_map(in_shard)
    }

    /// The actors without a parent.
    pub(crate) fn top_level(&self) -> Vec<Arc<dyn Reachable>> {
        let mut actors = self.all();
        actors.retain(|cell| !cell.path().contains('/'));
        actors
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}
