//! The searches of a participant, and those of others that wait for its answers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::message::Wish;
use crate::directory::Grain;
use crate::epoch::Epoch;
use crate::node::{Incarnation, Seat};

/// How many may wait at an owner; who comes later asks again.
const MOST_WAITING: usize = 100_000;

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
    },
    /// It did not come to life.
    Failed(String),
    /// It lives nowhere, and was only looked for.
    Nobody,
    /// No member may host it.
    NoHost,
    /// Whoever should know has no lease.
    Fenced,
}

/// All searches of a participant, and those of others that it knows the answers to.
#[derive(Clone, Debug, Default)]
pub(super) struct Finding {
    /// Those of this node, by their numbers.
    pub(super) searches: BTreeMap<u64, Search>,
    /// Who waits here, as the owner of the slot.
    pub(super) waiting: BTreeMap<Grain, Vec<Waiter>>,
    pub(super) count: usize,
    pub(super) doubted: BTreeMap<Grain, Duration>,
    pub(super) placed: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) grain: Grain,
    pub(super) wish: Wish,
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

    pub(super) fn wait(&mut self, grain: &Grain, waiter: Waiter) {
        let waiting = self.waiting.entry(grain.clone()).or_default();
        let known = waiting
            .iter_mut()
            .find(|known| (known.from, known.ticket) == (waiter.from, waiter.ticket));
        match known {
            Some(known) => known.last = waiter.last,
            None if self.count < MOST_WAITING => {
                waiting.push(waiter);
                self.count = self.count.saturating_add(1);
            }
            None => {}
        }
        if self.waiting.get(grain).is_some_and(Vec::is_empty) {
            self.waiting.remove(grain);
        }
    }

    pub(super) fn take(&mut self, grain: &Grain) -> Vec<Waiter> {
        let waiting = self.waiting.remove(grain).unwrap_or_default();
        self.count = self.count.saturating_sub(waiting.len());
        waiting
    }

    pub(super) fn put_back(&mut self, grain: &Grain, waiting: Vec<Waiter>) {
        if !waiting.is_empty() {
            self.count = self.count.saturating_add(waiting.len());
            self.waiting.insert(grain.clone(), waiting);
        }
    }
}
