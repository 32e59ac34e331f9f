//! Who is heard as a member.

use std::sync::{Arc, Weak};

use crate::peer::Peer;
use crate::remote::policy::Glob;
use crate::system::core::{ActorSystem, Inner};

/// Tells peers that are members of a cluster from those that are none.
pub(super) struct Admission {
    system: Weak<Inner>,
    /// What a name of theirs is like, if that was said.
    named: Option<Glob>,
}

impl Admission {
    pub(super) fn new(system: &ActorSystem, named: Option<Glob>) -> Self {
        Self { system: Arc::downgrade(&system.0), named }
    }

    /// Whether a peer is one: by a name that was said, else if it has proven what this node is known by.
    /// Without proofs, in plain text, whoever can connect is one.
    pub(super) fn admits(&self, peer: &Peer) -> bool {
        let peer = peer.identity();
        if let Some(named) = &self.named {
            return peer.names().any(|name| named.matches(name));
        }
        let Some(system) = self.system.upgrade().map(ActorSystem) else { return false };
        let Some(own) = system.remoting().and_then(|remoting| remoting.known_as()) else {
            return true;
        };
        peer.is_proven() && peer.names().any(|name| own.names().any(|own| own == name))
    }
}
