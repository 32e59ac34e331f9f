//! A verified certificate of a peer, and the connections that it is good for.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, ServerName};

use crate::peer::Identity;
use crate::remote::certificate::read::Certificate;
use crate::sync::Mutex;

/// A connection that is to end, or to be replaced, with the certificate of its peer.
pub(crate) trait Guarded: Send + Sync {
    /// The certificate is not accepted any more.
    fn forbid(&self, why: &str);

    /// It soon will not be: a new connection is to take the place of this one.
    fn retire(&self, why: &str);
}

/// The chain that a peer has shown.
pub(crate) struct Credential {
    pub(super) chain: Box<[CertificateDer<'static>]>,
    pub(super) identity: Identity,
    pub(super) first_seen: SystemTime,
    /// When the first certificate of it expires.
    pub(super) ends: SystemTime,
    /// When it is to be verified again, if nothing is loaded before.
    next_look: Mutex<SystemTime>,
    links: Mutex<Vec<Link<Weak<dyn Guarded>>>>,
    state: AtomicU8,
}

/// Connections are replaced since it ends soon.
const RETIRED: u8 = 1;
/// It was shown again over one of their successors: the peer has no other.
const STAYS: u8 = 2;

/// How long before its end a certificate is not used any more, at most: a third of what was left of it is enough.
const AHEAD: Duration = Duration::from_secs(600);

fn ahead(since: SystemTime, until: SystemTime) -> Duration {
    AHEAD.min(until.duration_since(since).unwrap_or_default() / 3)
}

/// A connection over which it was shown.
#[derive(Clone)]
pub(super) struct Link<G> {
    /// By which name the peer was dialed; `None` if it has connected here.
    pub(super) dialed: Option<ServerName<'static>>,
    /// The certificate that this node has shown.
    pub(super) own: Arc<CertificateDer<'static>>,
    /// When it was opened.
    pub(super) since: SystemTime,
    pub(super) guarded: G,
}

impl<G> Link<G> {
    pub(super) fn is_dialed(&self) -> bool {
        self.dialed.is_some()
    }
}

impl Credential {
    pub(super) fn new(chain: &[CertificateDer<'static>], identity: Identity) -> Arc<Self> {
        let ends = chain.iter().filter_map(|der| Some(Certificate::read(der)?.not_after.into()));
        let ends = ends.min().unwrap_or_else(SystemTime::now);
        let (first_seen, links, state) = (SystemTime::now(), Mutex::default(), AtomicU8::new(0));
        let next_look = Mutex::new(ends - ahead(first_seen, ends));
        Arc::new(Self { chain: chain.into(), identity, first_seen, ends, next_look, links, state })
    }

    /// How long before its end the connections are replaced.
    pub(super) fn ahead(&self) -> Duration {
        ahead(self.first_seen, self.ends)
    }

    /// Whether it is time to verify it again.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        now >= *self.next_look.lock()
    }

    /// It has been verified, and is to be again by then.
    pub(super) fn look_again(&self, at: SystemTime) {
        *self.next_look.lock() = at;
    }

    /// Has a connection be told when the certificate is not good any more.
    pub(super) fn guard(&self, link: Link<Weak<dyn Guarded>>) {
        let mut links = self.links.lock();
        if links.len() == links.capacity() {
            links.retain(|link| link.guarded.strong_count() > 0);
            // Most peers have one: room for four would be as much as half of what is kept of them here.
            let more = (links.len() / 2).max(1);
            links.reserve_exact(more);
        }
        links.push(link);
    }

    /// The connections that are there.
    pub(super) fn links(&self) -> Vec<Link<Arc<dyn Guarded>>> {
        let mut links = self.links.lock();
        links.retain(|link| link.guarded.strong_count() > 0);
        let alive = |link: &Link<Weak<dyn Guarded>>| {
            let (dialed, own) = (link.dialed.clone(), link.own.clone());
            Some(Link { dialed, own, since: link.since, guarded: link.guarded.upgrade()? })
        };
        links.iter().filter_map(alive).collect()
    }

    /// Connections are replaced from now on.
    pub(super) fn note_retired(&self) {
        self.state.fetch_max(RETIRED, Ordering::Relaxed);
    }

    /// It was shown over a new connection.
    pub(super) fn note_shown(&self) {
        let (before, after) = (RETIRED, STAYS);
        let _ = self.state.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether the peer has no other: there is no use in replacing connections until it is over.
    pub(super) fn stays(&self) -> bool {
        self.state.load(Ordering::Relaxed) == STAYS
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credential").field(&self.identity).finish()
    }
}
