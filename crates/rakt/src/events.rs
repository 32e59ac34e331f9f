//! What happens inside a system, for whoever subscribes: dead letters, actors that come and go, links.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rakt_wire::Address;
use tokio::sync::broadcast;

use crate::error::{Cause, Chain, Destination, Refusal};
use crate::log::LogLimit;

/// Something that happened in an actor system.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message was accepted and then not handled.
    DeadLetter(DeadLetter),
    /// An actor has started.
    ActorStarted {
        /// Its path.
        path: String,
    },
    /// An actor has ended.
    ActorStopped {
        /// Its path.
        path: String,
        /// Why.
        reason: StopReason,
    },
    /// A failed or respawned actor was built anew and has started.
    ActorRestarted {
        /// Its path.
        path: String,
    },
    /// A failed actor refuses messages until it is reinstated.
    ActorSuspended {
        /// Its path.
        path: String,
        /// The fault that suspended it.
        reason: Cause,
    },
    /// A suspended actor takes messages again.
    ActorReinstated {
        /// Its path.
        path: String,
    },
    /// The code of an actor has kept a thread of the runtime to itself for a long time, without an `await`
    /// that gives it back: it blocks, or computes. Told after 5 s, and again each time that has doubled.
    ActorBlocks {
        /// The path of the actor.
        path: String,
        /// For how long so far.
        blocked_for: Duration,
        /// No other thread of the runtime is free: nothing on this node goes on until the actor does.
        stands_still: bool,
    },
    /// A handler has not come to its end for a long time: it waits for something. Told after 10 s, or up to 2 s later,
    /// once for each message; [`handler_timeout`](crate::Spawn::handler_timeout) or
    /// [`kill`](crate::ActorRef::kill) end it. For one that blocks its thread see [`ActorBlocks`](Self::ActorBlocks).
    ActorStuck {
        /// The path of the actor.
        path: String,
        /// The type of the message: its wire name, or else its Rust name.
        message: String,
        /// For how long so far, at least.
        stuck_for: Duration,
    },
    /// A peer wanted what the [policy](crate::remote::Policy) does not allow.
    #[cfg(feature = "remote")]
    Denied {
        /// Who it is, and where it comes from.
        peer: crate::Peer,
        /// What it wanted to do.
        verb: crate::remote::Verb,
        /// The path of the actor that it wanted to do it to, whether there is one or not; empty for the node itself.
        path: String,
        /// The name of the message, or of the kind to be spawned; empty for all else.
        what: String,
    },
    /// The file of the [policy](crate::remote::Policy::from_file) has changed and cannot be used; the old policy stays. Told
    /// once a minute as long as that is so.
    #[cfg(feature = "remote")]
    PolicyReloadFailed {
        /// Why: a [`PolicyError`](crate::remote::PolicyError).
        reason: Cause,
    },
    /// The first connection to a peer is open, or the first from it: the two directions are told apart. A node has
    /// several connections to a peer, which together are one link. A peer that has no address, and a GoAkt node that
    /// connects, cannot be known again: each of their connections is a link.
    LinkUp {
        /// The peer: `system@host:port`, or `system` where it has no address.
        peer: String,
    },
    /// The last connection to a peer has ended, or the last from it.
    LinkDown {
        /// The peer: `system@host:port`, or `system` where it has no address.
        peer: String,
        /// Why the last one ended.
        reason: Cause,
        /// Plain tells that were written to the peer since the `LinkUp`, over connections that have ended, without a proof that it has taken or refused them: as many
        /// may be lost, and none beside them. It may have taken any of them, so this is an upper bound.
        ///
        /// Whoever asked for a confirmation or a reply hears of its own message. What was never written is a dead
        /// letter; so is whatever the peer refused. A peer proves what it has taken by its answer to a ping: each
        /// 4096 tells, when either side has heard nothing for its `read_idle_timeout` (10 s), and before a connection
        /// ends in order. So the number is exact if nothing was told since such an answer, and 0 for connections
        /// that the peer opened. Of a GoAkt node, which acknowledges every message, it is 0 as well: what it has
        /// not acknowledged is a dead letter.
        unconfirmed: u64,
    },
    /// The members of the cluster have changed, as far as this node knows.
    #[cfg(feature = "cluster")]
    ClusterChanged {
        /// All of them, with their states.
        members: String,
    },
    /// This node is no member of its cluster any more: all grains that lived here have ended. It joins again by itself.
    #[cfg(feature = "cluster")]
    Fenced,
    /// Another member was removed, and all it hosted is over by now: what it had is this node's, as far as it comes here. The
    /// grains that lived there come to life with their next message. Each node tells of its own part, 1.2 leases after it has
    /// heard of the removal, or when the last of it is here; of nothing there is no event.
    #[cfg(feature = "cluster")]
    TookOver {
        /// The one that was removed: `host:port`.
        node: String,
        /// So many of the 4,096 slots it kept track of are this node's now.
        slots: usize,
        /// Of the grains that this node kept track of so many lived there, or were about to. What lived there of the slots
        /// above nobody can tell.
        grains: usize,
    },
    /// The epochs of grains begin with a higher generation from now on, which all nodes tell that see it: a store had seen one
    /// as high as the cluster's that is not of this cluster's history, or the register was recovered from a copy. If
    /// nobody did the latter, a store is shared with another cluster, or outlived the one whose epochs it has.
    #[cfg(feature = "cluster")]
    GenerationRaised {
        /// The generation before that.
        from: u64,
        /// The one from now on.
        to: u64,
    },
    /// A grain has two lives. Of a kind that is [available](crate::grain::Consistency::Available) it has lived here, while this node
    /// was cut off, and on another one: the life here ends. Of any other it was granted to this node where another life of it is,
    /// which cannot be: that one goes on, and the other does not begin. If both had come to life on different nodes, nobody could
    /// tell; their [store](crate::grain::GrainStore) could.
    #[cfg(feature = "cluster")]
    DuplicateSeen {
        /// The kind of the grain and its key: `cart/42`.
        grain: String,
        /// The life that is left: of a kind that is available on another node, else what was granted here, and refused.
        granted: crate::grain::Epoch,
        /// The life that is here.
        living: crate::grain::Epoch,
    },
    /// Something is wrong with the cluster that an operator has to know of, such as a register that has lost what it had. Nothing
    /// is hosted on the strength of it.
    #[cfg(feature = "cluster")]
    ClusterAlarm {
        /// What.
        what: String,
    },
    /// The certificate of this node ends soon and has not been renewed: told when a third of its life is left, then each
    /// day, and at its end.
    #[cfg(feature = "_tls")]
    CertificateEnds {
        /// The names in it.
        names: String,
        /// For how long it is still good; zero if it is not.
        left: Duration,
    },
    /// A new certificate of this node, or what it trusts, cannot be used; the old ones stay. Told once a minute as long as
    /// that is so.
    #[cfg(feature = "_tls")]
    TlsReloadFailed {
        /// Why.
        reason: Cause,
    },
}

/// A message that was accepted and then not handled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Whom it was for.
    pub target: Destination,
    /// The sending actor, if there was one.
    pub sender: Option<Address>,
    /// The type of the message: its wire name, or else its Rust name.
    pub message: String,
    /// Why it was not handled.
    pub reason: Refusal,
    /// How many messages this stands for: alike messages that a peer refused together count as one.
    pub count: u64,
}

/// Why an actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// It was told to stop, or stopped itself.
    Stopped,
    /// Supervision stopped it, for the fault given.
    Failed(Cause),
    /// It was idle for as long as it was allowed to be.
    Passivated,
    /// Its system shut down.
    Shutdown,
    /// There was no such actor when the watch began.
    NotFound,
    /// The watched life of the actor is over, says its node; when and how is not known.
    Gone,
    /// Its node cannot be reached any more, or another run of it has its address by now. One that stands still or is cut off
    /// may still be alive, and the actor there.
    NodeLost,
}

/// Why an actor was built anew.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartReason {
    /// [`respawn`](crate::ActorRef::respawn) was called, here or by a peer.
    Respawned,
    /// Supervision restarted it for this fault: its own, or that of a sibling under
    /// [`Strategy::OneForAll`](crate::supervision::Strategy::OneForAll).
    Failed(Cause),
}

impl fmt::Display for RestartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Respawned => f.write_str("respawned"),
            Self::Failed(fault) => write!(f, "failed: {}", Chain(fault)),
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Failed(fault) => write!(f, "failed: {}", Chain(fault)),
            Self::Passivated => f.write_str("passivated"),
            Self::Shutdown => f.write_str("system shut down"),
            Self::NotFound => f.write_str("not found"),
            Self::Gone => f.write_str("its earlier life is over"),
            Self::NodeLost => f.write_str("node lost"),
        }
    }
}

/// The end of an actor that was watched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terminated {
    /// The actor: its address in full.
    pub address: Address,
    /// Why it ended.
    pub reason: StopReason,
    /// What [`Context::watch`](crate::Context::watch) returned.
    pub watch: WatchId,
}

/// Which watch: one call of [`Context::watch`](crate::Context::watch) in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(pub(crate) u64);

impl WatchId {
    /// One that nobody has.
    pub(crate) fn next() -> Self {
        static WATCHES: AtomicU64 = AtomicU64::new(1);
        Self(WATCHES.fetch_add(1, Ordering::Relaxed))
    }
}

/// Lines about peers that are logged in a second, all together.
const PEER_LINES: usize = 18;
/// Lines about actors that fail, likewise.
const ACTOR_LINES: usize = 100;

/// Where a system, or a client without one, tells what happens.
pub(crate) struct Outlet {
    /// What peers can cause in the log.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) peer_log: Arc<LogLimit>,
    /// What actors can cause there, and peers by the messages that they fail at.
    pub(crate) actor_log: Arc<LogLimit>,
    /// There once somebody has subscribed: it is a ring with room for all that a subscriber may lag behind,
    /// more than half a megabyte.
    ///
    /// After the last event there is a `None`.
    events: OnceLock<broadcast::Sender<Option<Event>>>,
    is_closed: AtomicBool,
    dead_letters: AtomicU64,
}

impl Default for Outlet {
    fn default() -> Self {
        Self {
            peer_log: LogLimit::new(PEER_LINES),
            actor_log: LogLimit::new(ACTOR_LINES),
            events: OnceLock::new(),
            is_closed: AtomicBool::new(false),
            dead_letters: AtomicU64::new(0),
        }
    }
}

impl Outlet {
    pub(crate) fn subscribe(&self) -> Events {
        let new = || broadcast::Sender::new(Events::CAPACITY);
        let receiver = self.events.get_or_init(new).subscribe();
        // Looked at last: whoever closes this meanwhile tells the new subscriber so.
        let is_over = self.is_closed.load(Ordering::SeqCst);
        Events { receiver, is_over, log: self.actor_log.clone() }
    }

    /// Nothing more is going to be told.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        if let Some(events) = self.events.get() {
            let _ = events.send(None);
        }
    }

    /// Publishes an event, which is made only if somebody listens.
    pub(crate) fn publish(&self, event: impl FnOnce() -> Event) {
        if let Some(events) = self.events.get()
            && events.receiver_count() > 0
            && !self.is_closed.load(Ordering::Relaxed)
        {
            // Fails only if the last subscriber has just gone.
            let _ = events.send(Some(event()));
        }
    }

    pub(crate) fn dead_letters(&self, count: u64, letter: impl FnOnce() -> DeadLetter) {
        // A peer may claim any number of refused messages.
        let add = |sum: u64| Some(sum.saturating_add(count));
        let _ = self.dead_letters.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        crate::metrics::dead_letters(count);
        self.publish(|| Event::DeadLetter(letter()));
    }

    pub(crate) fn dead_letter_count(&self) -> u64 {
        self.dead_letters.load(Ordering::Relaxed)
    }
}

/// A subscription to a system's events.
///
/// ```
/// use rakt::prelude::*;
/// use rakt::{Event, StopReason};
///
/// # #[derive(Default)] struct Worker; impl Actor for Worker {}
/// # #[tokio::main] async fn main() -> Result {
/// # let system = ActorSystem::builder("doc").start().await?;
/// let mut events = system.events();
/// system.spawn("worker", Worker::default).await?.stop().await?;
///
/// let reason = events.find(|event| match event {
///     Event::ActorStopped { path, reason } if path == "worker" => Some(reason),
///     _ => None,
/// });
/// assert_eq!(reason.await, Some(StopReason::Stopped));
///
/// system.shutdown().await;
/// assert!(events.next().await.is_none());
/// # Ok(()) }
/// ```
pub struct Events {
    receiver: broadcast::Receiver<Option<Event>>,
    is_over: bool,
    log: Arc<LogLimit>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("waiting", &self.receiver.len()).finish_non_exhaustive()
    }
}

impl Events {
    /// Events that a subscriber may lag behind before it loses the oldest: 4096.
    pub const CAPACITY: usize = 4096;

    /// The next event; `None` once the system has shut down, after its last event.
    ///
    /// A subscriber that lags more than [`CAPACITY`](Self::CAPACITY) events behind loses the oldest of them;
    /// that is logged and nothing else waits for it.
    ///
    /// # Cancel safety
    /// No event is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        while !self.is_over {
            match self.receiver.recv().await {
                Ok(Some(event)) => return Some(event),
                Ok(None) => self.is_over = true,
                Err(broadcast::error::RecvError::Closed) => return None,
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    if self.log.allows("a subscriber lags behind", ()) {
                        tracing::warn!(lost, "a subscriber lags behind and has lost events");
                    }
                }
            }
        }
        None
    }

    /// The next event that `choose` makes something of; `None` once the system has shut down.
    ///
    /// # Cancel safety
    /// Events that were looked at are gone; no others are lost.
    pub async fn find<T>(&mut self, mut choose: impl FnMut(Event) -> Option<T>) -> Option<T> {
        while let Some(event) = self.next().await {
            if let Some(found) = choose(event) {
                return Some(found);
            }
        }
        None
    }
}
