//! A kind of grains that live here, as the place of each of them needs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::Grain;
use super::epoch::{Epoch, Writer};
use super::kind::{GrainKind, Terms};
use super::table::Table;
use crate::cell::Setup;

/// A kind of grains that live here, each in a place (`P`).
pub(super) struct Hosted<G, P> {
    pub(super) name: Arc<str>,
    pub(super) factory: Arc<dyn Fn() -> G + Send + Sync>,
    pub(super) setup: Setup,
    pub(super) terms: Arc<Terms>,
    /// The places of those that live, or that somebody has a reference to. In the row are those that live.
    pub(super) places: Table<P>,
    /// A permit for each that lives.
    pub(super) room: Arc<Semaphore>,
    pub(super) limit: usize,
    /// How many wait for room, and whether a task sees to it that there is some.
    pub(super) waiting: AtomicUsize,
    pub(super) is_making_room: AtomicBool,
    pub(super) is_asked: Notify,
    pub(super) activations: AtomicU64,
    pub(super) failures: AtomicU64,
    generation: AtomicU64,
    incarnation: [u8; 16],
}

/// What a grain has for itself while it lives.
pub(super) struct Seat {
    pub(super) number: u32,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl<G: Grain, P> Hosted<G, P> {
    pub(super) fn new(kind: GrainKind<G>) -> Self {
        let GrainKind { factory, setup, limit, terms } = kind;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            name: G::KIND.into(),
            factory,
            setup,
            terms: Arc::new(terms),
            places: Table::new(),
            room: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            limit,
            waiting: AtomicUsize::new(0),
            is_making_room: AtomicBool::new(false),
            is_asked: Notify::new(),
            activations: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            generation: AtomicU64::new(since_epoch.as_secs()),
            incarnation: fastrand::u128(..).to_be_bytes(),
        }
    }

    /// Room for one more, if there is some.
    pub(super) fn try_room(&self) -> Option<OwnedSemaphorePermit> {
        self.room.clone().try_acquire_owned().ok()
    }

    /// What the next activation goes by.
    pub(super) fn next_epoch(&self, uid: u64) -> (Epoch, Writer) {
        let counter = self.activations.fetch_add(1, Ordering::Relaxed);
        let generation = self.generation.load(Ordering::Relaxed);
        let writer = Writer { incarnation: self.incarnation, uid };
        (Epoch { generation, view: 0, counter }, writer)
    }

    /// A store has seen a later epoch: the clock was ahead, or the store is older than this node.
    pub(super) fn raise_above(&self, seen: Epoch) -> Epoch {
        let above = seen.generation.saturating_add(1);
        let generation = self.generation.fetch_max(above, Ordering::Relaxed).max(above);
        // Before all that `next_epoch` gives out in this generation.
        Epoch { generation, view: 0, counter: 0 }
    }
}
