//! A verified certificate of a peer, and the connections that it is good for.

use std::fmt;
use std::sync::{Arc, Weak};

use rustls_pki_types::{CertificateDer, ServerName};

use crate::peer::Identity;
use crate::sync::Mutex;

/// A connection that is to end, or to be replaced, with the certificate of its peer.
pub(crate) trait Guarded: Send + Sync {
    /// The certificate is not accepted any more.
    fn forbid(&self, why: &str);

    /// It soon will not be: a new connection is to take the place of this one.
    fn retire(&self);
}

/// The chain that a peer has shown.
pub(crate) struct Credential {
    pub(crate) chain: Box<[CertificateDer<'static>]>,
    pub(crate) identity: Identity,
    links: Mutex<Vec<Link>>,
}

/// A connection over which it was shown.
pub(crate) struct Link {
    /// By which name the peer was dialed; `None` if it has connected here.
    pub(crate) dialed: Option<ServerName<'static>>,
    pub(crate) guarded: Weak<dyn Guarded>,
}

impl Credential {
    pub(super) fn new(chain: &[CertificateDer<'static>], identity: Identity) -> Arc<Self> {
        Arc::new(Self { chain: chain.into(), identity, links: Mutex::default() })
    }

    /// Has a connection be told when the certificate is not good any more.
    pub(super) fn guard(&self, dialed: Option<ServerName<'static>>, guarded: Weak<dyn Guarded>) {
        let mut links = self.links.lock();
        if links.len() == links.capacity() {
            links.retain(|link| link.guarded.strong_count() > 0);
        }
        links.push(Link { dialed, guarded });
    }

    /// The connections that are there.
    pub(super) fn links(&self) -> Vec<(Option<ServerName<'static>>, Arc<dyn Guarded>)> {
        let mut links = self.links.lock();
        links.retain(|link| link.guarded.strong_count() > 0);
        let alive = |link: &Link| Some((link.dialed.clone(), link.guarded.upgrade()?));
        links.iter().filter_map(alive).collect()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credential").field(&self.identity).finish()
    }
}
