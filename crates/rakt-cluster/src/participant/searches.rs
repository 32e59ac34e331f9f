//! The searches of a participant, and those of others that wait for its answers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::message::Wish;
use crate::directory::Grain;
use crate::epoch::Epoch;
use crate::node::{Incarnation, Seat};

/// How many may wait at an owner; who comes later asks again.
const MOST_WAITING: usize = 100_000;
/// All searches are looked after as often as this, and for each of them so much later.
const SOON: Duration = Duration::from_millis(50);
const EACH: Duration = Duration::from_micros(20);

/// What comes of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// It lives here.
    Here {
        /// What it was granted under.
        epoch: Epoch,
    },
    /// It lives there.
    There {
        /// Where its host listens.
        host: (String, u16),
        /// Which run of it.
        incarnation: Incarnation,
        /// The number of its life.
        uid: u64,
        /// What it was granted under.
        epoch: Epoch,
    },
    /// It did not come to life.
    Failed(String),
    /// It lives nowhere, and was only looked for.
    Nobody,
    /// No member may host it.
    NoHost,
    /// Whoever should know has no lease.
    Fenced,
    /// This node has no lease, and nobody answers who may be asked: it may begin a life of its own of a grain that is
    /// [hosted without a lease](super::Placing::is_available). Nobody else knows of that, and its end has to be told to nobody.
    Alone,
}

/// All searches of a participant, and those of others that it knows the answers to.
#[derive(Clone, Debug, Default)]
pub(super) struct Finding {
    /// Those of this node, by their numbers.
    pub(super) searches: BTreeMap<u64, Search>,
    /// Who waits here, as the owner of the slot.
    pub(super) waiting: BTreeMap<Grain, Waiters>,
    pub(super) count: usize,
    /// When all are looked after next.
    pub(super) walk_at: Duration,
    pub(super) doubted: BTreeMap<Grain, Duration>,
    pub(super) placed: u64,
    pub(super) counts: Counts,
}

/// What a participant has counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// How often an owner was asked again, since no answer had come.
    pub asked_again: u64,
    /// What was granted here, as the owner: grains of which nobody knew an earlier life.
    pub granted_new: u64,
    /// Grains whose earlier life was over: passivated, or ended with its node, which left.
    pub granted_again: u64,
    /// Grains whose host was removed.
    pub granted_over: u64,
}

/// Who waits for a grain, by the numbers of their searches.
pub(super) type Waiters = BTreeMap<(Seat, u64), Waiter>;

#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) grain: Grain,
    pub(super) wish: Wish,
    pub(super) since: Duration,
    /// When its owner was asked last.
    pub(super) asked: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) from: Seat,
    pub(super) ticket: u64,
    pub(super) wish: Wish,
    /// The host has said since that the life which could not be reached is there.
    pub(super) is_vouched: bool,
    pub(super) last: Duration,
}

impl Finding {
    pub(super) fn is_busy(&self) -> bool {
        !self.searches.is_empty() || self.count > 0
    }

    pub(super) fn forget_waiters(&mut self) {
        self.waiting.clear();
        self.doubted.clear();
        self.count = 0;
    }

    /// How long it takes until all are looked after again: the more there are, the longer.
    pub(super) fn pause(&self) -> Duration {
        let count = self.searches.len().saturating_add(self.count);
        SOON.saturating_add(EACH.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)))
    }

    /// One that waits, or has waited already, says so.
    pub(super) fn known(&self, grain: &Grain, new: Waiter) -> Waiter {
        let known = self.waiting.get(grain).and_then(|waiting| waiting.get(&new.key()));
        known.map_or(new.clone(), |known| Waiter { last: new.last, ..known.clone() })
    }

    pub(super) fn wait(&mut self, grain: &Grain, waiter: Waiter) {
        let is_known = self.waiting.get(grain).is_some_and(|all| all.contains_key(&waiter.key()));
        if is_known || self.count < MOST_WAITING {
            self.waiting.entry(grain.clone()).or_default().insert(waiter.key(), waiter);
            self.count = self.count.saturating_add(usize::from(!is_known));
        }
    }

    /// One that waited has its answer.
    pub(super) fn wait_no_more(&mut self, grain: &Grain, waiter: &Waiter) {
        let Some(waiting) = self.waiting.get_mut(grain) else { return };
        if waiting.remove(&waiter.key()).is_some() {
            self.count = self.count.saturating_sub(1);
        }
        if waiting.is_empty() {
            self.waiting.remove(grain);
        }
    }

    pub(super) fn take(&mut self, grain: &Grain) -> Waiters {
        let waiting = self.waiting.remove(grain).unwrap_or_default();
        self.count = self.count.saturating_sub(waiting.len());
        waiting
    }

    pub(super) fn put_back(&mut self, grain: &Grain, waiting: Waiters) {
        if !waiting.is_empty() {
            self.count = self.count.saturating_add(waiting.len());
            self.waiting.insert(grain.clone(), waiting);
        }
    }
}

impl Waiter {
    fn key(&self) -> (Seat, u64) {
        (self.from, self.ticket)
    }
}
