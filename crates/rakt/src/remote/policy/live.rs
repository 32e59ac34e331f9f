//! The policy that holds at the moment, and what it means for one peer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rakt_wire::Verb;

use super::role::is_for_nobody;
use super::{Policy, Role};
use crate::peer::Identity;
use crate::sync::Mutex;

/// The policy of a node, which can be replaced while peers are connected.
pub(crate) struct Policies {
    current: Mutex<Arc<Policy>>,
    /// How often it was replaced.
    epoch: AtomicU64,
}

/// What one identity may do, as of some moment.
pub(crate) struct Rights {
    epoch: u64,
    roles: Box<[Arc<Role>]>,
}

impl Policies {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { current: Mutex::new(Arc::new(policy)), epoch: AtomicU64::new(0) }
    }

    pub(crate) fn current(&self) -> Arc<Policy> {
        self.current.lock().clone()
    }

    /// From now on another policy holds: for what is read next, of every peer.
    pub(crate) fn set(&self, policy: Policy) {
        let mut current = self.current.lock();
        *current = Arc::new(policy);
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// What holds for an identity.
    pub(crate) fn rights(&self, identity: &Identity) -> Rights {
        let policy = self.current.lock();
        // Under the lock, under which it is counted up.
        let epoch = self.epoch.load(Ordering::Relaxed);
        Rights { epoch, roles: policy.roles_of(identity) }
    }

    /// Whether another policy holds than the one of which these are.
    pub(crate) fn is_newer(&self, rights: &Rights) -> bool {
        self.epoch.load(Ordering::Relaxed) != rights.epoch
    }
}

impl Policy {
    fn roles_of(&self, identity: &Identity) -> Box<[Arc<Role>]> {
        let has = |pattern: &super::Glob| identity.names().any(|name| pattern.matches(name));
        let granted = self.grants.iter().filter(|grant| has(&grant.to));
        let granted = granted.filter_map(|grant| self.roles.get(&grant.role));
        std::iter::once(&self.everybody).chain(granted).cloned().collect()
    }
}

impl Rights {
    /// Whether there is a rule that allows this.
    pub(crate) fn allow(&self, verb: Verb, path: &str, what: &str) -> bool {
        !(verb.has_path() && is_for_nobody(path))
            && self.roles.iter().any(|role| role.allows(verb, path, what))
    }

    /// Whether actors of a kind may be spawned, by whatever name.
    pub(crate) fn allow_kind(&self, kind: &str) -> bool {
        self.roles.iter().any(|role| role.allows_kind(kind))
    }

    /// Whether what the same peer has spawned may be stopped, respawned and reinstated.
    pub(crate) fn allow_own(&self, path: &str) -> bool {
        !is_for_nobody(path) && self.roles.iter().any(|role| role.manages_own())
    }
}
