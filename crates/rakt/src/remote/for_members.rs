//! Actors that only members of the node's cluster reach.

use std::sync::OnceLock;

use crate::peer::Peer;
use crate::sync::Mutex;
use crate::system::core::{MEMBER, Members};

/// Which actors those are, and who the members.
#[derive(Default)]
pub(crate) struct ForMembers {
    /// All peers, until that is said.
    are: OnceLock<Members>,
    /// Besides [`MEMBER`].
    paths: Mutex<Vec<Box<str>>>,
}

impl ForMembers {
    /// Says who is a member.
    pub(crate) fn tell(&self, are: Members) {
        // A system joins one cluster.
        let _ = self.are.set(are);
    }

    /// From now on this actor, and all below it, is for members.
    pub(crate) fn add(&self, path: &str) {
        let mut paths = self.paths.lock();
        if !paths.iter().any(|known| **known == *path) {
            paths.push(path.into());
        }
    }

    /// Whether an actor is for members.
    pub(crate) fn has(&self, path: &str) -> bool {
        let is_below = |whole: &str| {
            path.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        is_below(MEMBER) || self.paths.lock().iter().any(|whole| is_below(whole))
    }

    /// Whether a peer may reach an actor, as far as that is for members.
    pub(crate) fn admit(&self, peer: &Peer, path: &str) -> bool {
        self.are.get().is_none_or(|members| !self.has(path) || members(peer))
    }
}
