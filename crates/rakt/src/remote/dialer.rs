//! What it takes to dial peers: shared by all endpoints of a node, or of a client.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rakt_wire::native::{HandshakeError, Hello, Lane, RefuseReason};

use super::policy::Policy;
use super::random::Random;
use super::redial::{Place, Unreached};
use super::resources::{Resources, log_peer};
#[cfg(feature = "_tls")]
use super::tls::Fault;
use crate::error::policy::PolicyError;
#[cfg(feature = "_tls")]
use crate::error::tls::TlsError;
use crate::error::{Chain, Refusal};
use crate::sync::Mutex;
use crate::timers::now;

pub(crate) struct Dialer {
    pub(crate) resources: Arc<Resources>,
    /// What this side says of itself.
    pub(crate) hello: Hello,
    pub(crate) random: Random,
    /// Runs the connections.
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) unreached: Mutex<Unreached>,
    /// Makes the numbers of lanes, which only the peer that they are for can know.
    lanes: RandomState,
    /// Connections dialed so far.
    turns: AtomicU64,
    is_closed: AtomicBool,
}

impl Dialer {
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn new(resources: Arc<Resources>, hello: Hello, random: Random) -> Arc<Self> {
        let runtime = tokio::runtime::Handle::current();
        let dialer = Arc::new(Self {
            resources,
            hello,
            random,
            runtime,
            unreached: Mutex::default(),
            lanes: RandomState::new(),
            turns: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        });
        #[cfg(feature = "_tls")]
        if let Some(layer) = &dialer.resources.options.layer {
            let weak = Arc::downgrade(&dialer);
            let outlet = move || {
                let dialer = weak.upgrade().filter(|dialer| !dialer.is_closed())?;
                Some(dialer.resources.outlet.clone())
            };
            dialer.runtime.spawn(super::tls::look_after(layer.clone(), outlet));
        }
        dialer.watch_policy();
        dialer
    }

    /// From now on another policy holds, and its file is looked after if it has one.
    pub(crate) fn set_policy(self: &Arc<Self>, policy: Policy) {
        self.resources.policies.set(policy);
        self.watch_policy();
    }

    fn watch_policy(self: &Arc<Self>) {
        let Some(nth) = self.resources.policies.nth_file() else { return };
        let weak = Arc::downgrade(self);
        let resources = move || {
            let dialer = weak.upgrade().filter(|dialer| !dialer.is_closed())?;
            Some(dialer.resources.clone())
        };
        self.runtime.spawn(super::policy::look_after(nth, resources));
    }

    /// See [`ActorSystem::reload_policy`](crate::ActorSystem::reload_policy).
    pub(crate) async fn reload_policy(&self) -> Result<bool, PolicyError> {
        let resources = self.resources.clone();
        let reloaded = self.runtime.spawn_blocking(move || resources.policies.reload()).await;
        // The runtime is shutting down.
        let reloaded = reloaded.unwrap_or(Ok(None))?;
        reloaded.iter().for_each(|reloaded| reloaded.log());
        Ok(reloaded.is_some())
    }

    /// See [`ActorSystem::reload_tls`](crate::ActorSystem::reload_tls).
    #[cfg(feature = "_tls")]
    pub(crate) async fn reload_tls(&self) -> Result<bool, TlsError> {
        let Some(layer) = self.resources.options.layer.clone() else { return Ok(false) };
        let reloaded = self.runtime.spawn_blocking(move || layer.reload()).await;
        // The runtime is shutting down.
        let renewed = reloaded.unwrap_or(Ok(None))?;
        renewed.iter().for_each(|renewed| renewed.log());
        Ok(renewed.is_some())
    }

    /// The lane of the `n`th connection to a place, after so many of them have retired, and the turn of the next in it. A lane is the same for the
    /// whole life of this: what an earlier connection of it left in the network is not taken once a later one
    /// is there, whoever dials it.
    pub(crate) fn next_in_lane(&self, place: &Place, n: (usize, u64)) -> Lane {
        let half = |half: u8| u128::from(self.lanes.hash_one((place, n, half)));
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) + 1;
        Lane { id: (half(0) << 64 | half(1)).to_be_bytes(), turn }
    }

    /// A place cannot be reached, or does not understand what is sent. A pause precedes the next try. What fails
    /// together is told of once.
    pub(crate) fn failed(&self, place: &Place, why: Refusal) {
        let jitter = |pause| self.random.jittered(pause);
        let pause = self.unreached.lock().failed(place, now(), why.clone(), &jitter);
        if let Some(pause) = pause {
            let (resources, peer) = (&self.resources, place.to_string());
            match is_refused(&why) {
                // That does not pass by itself.
                true => log_peer!(resources, &peer, warn, "no link", why = %Chain(&why), ?pause),
                false => log_peer!(resources, &peer, info, "no link", why = %Chain(&why), ?pause),
            }
        }
    }

    /// Dials no more.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

/// Whether there is no connection because one of both ends does not accept who the other is.
fn is_refused(why: &Refusal) -> bool {
    let (Refusal::Unreachable { source, .. } | Refusal::Incompatible { source, .. }) = why else {
        return false;
    };
    let source = source.get_ref();
    #[cfg(feature = "_tls")]
    if let Some(fault) = source.downcast_ref() {
        return matches!(fault, Fault::Refused(_) | Fault::RefusedByPeer(_));
    }
    use HandshakeError::{Refused, RefusedByPeer};
    matches!(
        source.downcast_ref(),
        Some(Refused(RefuseReason::Denied(_)) | RefusedByPeer(RefuseReason::Denied(_)))
    )
}
