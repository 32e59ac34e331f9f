//! What holds for all grains of a kind.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Grain;
use super::consistency::Consistency;
use super::placement::Placement;
use super::store::{AnyStore, GrainStore};
use crate::cell::Setup;
use crate::mailbox::Mailbox;
use crate::supervision::Supervision;

/// A kind of grains, and how they are run: for [`SystemBuilder::grain`](crate::SystemBuilder::grain).
#[must_use = "it has an effect only where it is registered"]
pub struct GrainKind<G> {
    pub(super) factory: Arc<dyn Fn() -> G + Send + Sync>,
    pub(super) setup: Setup,
    pub(super) limit: usize,
    pub(super) terms: Terms,
}

/// What an activation has to know of its kind.
pub(super) struct Terms {
    pub(super) activation_timeout: Duration,
    pub(super) max_state_len: usize,
    pub(super) store: Option<Arc<dyn AnyStore>>,
    pub(super) reminder_interval: Duration,
    pub(super) placement: Placement,
    pub(super) role: Option<String>,
    pub(super) consistency: Consistency,
    pub(super) kept: Vec<String>,
}

impl Terms {
    /// Whether such grains live on without a lease.
    pub(super) fn are_available(&self) -> bool {
        self.consistency == Consistency::Available
    }
}

/// An idle grain ends after this time unless its kind says otherwise.
const PASSIVATE_AFTER: Duration = Duration::from_secs(600);

impl<G> fmt::Debug for GrainKind<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrainKind")
            .field("limit", &self.limit)
            .field("has_store", &self.terms.store.is_some())
            .finish_non_exhaustive()
    }
}

impl<G: Grain + Default> Default for GrainKind<G> {
    fn default() -> Self {
        Self::new()
    }
}

impl<G: Grain> GrainKind<G> {
    /// Grains that begin as `G::default` before they are activated.
    pub fn new() -> Self
    where
        G: Default,
    {
        Self::built_by(G::default)
    }

    /// Grains that `factory` builds, before each activation and on every restart.
    pub fn built_by(factory: impl Fn() -> G + Send + Sync + 'static) -> Self {
        let terms = Terms {
            activation_timeout: Duration::from_secs(10),
            max_state_len: 4 << 20,
            store: None,
            reminder_interval: Duration::from_secs(1),
            placement: Placement::default(),
            role: None,
            consistency: Consistency::default(),
            kept: Vec::new(),
        };
        let kind =
            Self { factory: Arc::new(factory), setup: Setup::default(), limit: 100_000, terms };
        kind.passivate_after(PASSIVATE_AFTER)
    }

    /// Ends a grain that has had no message for this long, give or take a quarter of it. Default: 10 minutes; at least
    /// 1 ms. What keeps it is what keeps [any actor](crate::Spawn::passivate_after).
    pub fn passivate_after(mut self, idle: Duration) -> Self {
        self.setup.options().passivate_after = Some(idle.max(Duration::from_millis(1)));
        self
    }

    /// How many grains of the kind live at once in this process. Default: 100,000; at least 1. A living grain takes up
    /// some 1 KiB besides its own state.
    ///
    /// Where so many live, one that is idle ends for the next one, of a few the one that is idle longest; and messages
    /// that would bring a grain to life wait until one has ended, as for room in a mailbox.
    pub fn limit(mut self, grains: usize) -> Self {
        self.limit = grains.max(1);
        self
    }

    /// How long a grain may take to come to life: to claim and read what is stored, and [`activate`](Grain::activate).
    /// Default: 10 s.
    pub fn activation_timeout(mut self, limit: Duration) -> Self {
        self.terms.activation_timeout = limit;
        self
    }

    /// Where the grains keep their state and reminders. Default: nowhere; then their state is what `activate` makes of
    /// it, and nothing can be saved. Kinds may share a store, as an [`Arc`] of it.
    pub fn store(mut self, store: impl GrainStore) -> Self {
        self.terms.store = Some(Arc::new(store));
        self
    }

    /// The longest state that a grain may save, in bytes as it is encoded. Default: 4 MiB.
    pub fn max_state_len(mut self, bytes: usize) -> Self {
        self.terms.max_state_len = bytes;
        self
    }

    /// How often the store is asked for reminders that are due, so how late one may be. Default: 1 s; at least 1 ms.
    pub fn reminder_interval(mut self, interval: Duration) -> Self {
        self.terms.reminder_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How the node is chosen on which a grain is brought to life, in a cluster. Default: [`Placement::Owner`]. Only what the
    /// node says counts that keeps track of the grain, so all nodes are to say the same.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.terms.placement = placement;
        self
    }

    /// Has such grains live only on nodes of a cluster that have this role. Default: on all. Nodes without it register the
    /// kind as well where they send messages to such grains.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.terms.role = Some(role.into());
        self
    }

    /// What such grains do while their node is cut off from its cluster. Default: [`Consistency::Consistent`], they stand still. All
    /// nodes are to say the same.
    ///
    /// With [`Consistency::Available`] they serve on, and may be brought to life where they live elsewhere already. Once the node
    /// is back, each life there that the cluster does not know of ends as one that is stopped: what it has is handled,
    /// [`passivate`](Grain::passivate) runs, and may tell [`grain_ref`](crate::Context::grain_ref) what the one that is left
    /// should know. A life that the cluster has not granted has an [epoch](super::Epoch) of the generation 0, below all others.
    ///
    /// Such a kind has no [`store`](Self::store), or the system does not start: of two lives one would be refused all that it
    /// writes.
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.terms.consistency = consistency;
        self
    }

    /// Keeps the grain with this key alive: it is brought to life without a message, again wherever its life ends, and is not
    /// ended for being idle. May be called for several. Default: none.
    ///
    /// In a cluster it lives on one node at a time, and another one brings it to life when that leaves or dies: a
    /// *singleton*.
    pub fn keep_alive(mut self, key: impl Into<String>) -> Self {
        self.terms.kept.push(key.into());
        self
    }

    /// The mailbox of such a grain. See [`Spawn::mailbox`](crate::Spawn::mailbox).
    pub fn mailbox(mut self, mailbox: Mailbox) -> Self {
        self.setup.mailbox = mailbox;
        self
    }

    /// The supervision of such a grain. See [`Spawn::supervision`](crate::Spawn::supervision).
    pub fn supervision(mut self, supervision: Supervision) -> Self {
        self.setup.options().supervision = Some(Arc::new(supervision));
        self
    }

    /// How long a handler of such a grain may take. See [`Spawn::handler_timeout`](crate::Spawn::handler_timeout).
    pub fn handler_timeout(mut self, limit: Duration) -> Self {
        self.setup.options().handler_timeout = Some(limit);
        self
    }
}
