//! The policy that holds at the moment, and what it means for one peer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rakt_wire::{Shown, Verb};

use super::changes::{Changes, Counts};
use super::role::is_for_nobody;
use super::{Policy, Role};
use crate::error::policy::PolicyError;
use crate::peer::Identity;
use crate::sync::Mutex;

/// The policy of a node, which can be replaced while peers are connected.
pub(crate) struct Policies {
    current: Mutex<Current>,
    /// How often it was replaced.
    epoch: AtomicU64,
    /// Held while a file is read: what was read first does not take the place of what came after.
    loading: Mutex<()>,
}

struct Current {
    policy: Arc<Policy>,
    /// How many were given before it. One that was read again is still the same one.
    nth: u64,
}

/// The file of the policy says something else than before.
pub(crate) struct Reloaded {
    path: String,
    says: String,
    changed: String,
}

impl Reloaded {
    pub(crate) fn log(&self) {
        let Self { path, says, changed } = self;
        tracing::info!(%path, %says, %changed, "the file of the policy has changed: what it says holds from now on");
    }
}

/// What one identity may do, as of some moment.
pub(crate) struct Rights {
    epoch: u64,
    roles: Box<[Arc<Role>]>,
    limits_senders: bool,
}

impl Policies {
    pub(crate) fn new(policy: Policy) -> Self {
        let current = Mutex::new(Current { policy: Arc::new(policy), nth: 0 });
        Self { current, epoch: AtomicU64::new(0), loading: Mutex::default() }
    }

    pub(crate) fn current(&self) -> Arc<Policy> {
        self.current.lock().policy.clone()
    }

    /// From now on another policy holds: for what is read next, of every peer.
    pub(crate) fn set(&self, policy: Policy) {
        let mut current = self.current.lock();
        current.nth += 1;
        self.replace(&mut current, policy);
    }

    fn replace(&self, current: &mut Current, policy: Policy) {
        current.policy = Arc::new(policy);
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Which one was given last, if that stands in a file.
    pub(crate) fn nth_file(&self) -> Option<u64> {
        let current = self.current.lock();
        current.policy.source.as_ref().map(|_| current.nth)
    }

    /// Whether that is still the one that was given last.
    pub(crate) fn is_nth(&self, nth: u64) -> bool {
        self.current.lock().nth == nth
    }

    /// Looks at the file of the policy, if there is one, and takes what it says if that has changed. Blocks.
    ///
    /// # Errors
    /// It cannot be used; the old policy stays.
    pub(crate) fn reload(&self) -> Result<Option<Reloaded>, PolicyError> {
        let _loading = self.loading.lock();
        let before = self.current();
        let Some(source) = &before.source else { return Ok(None) };
        let Some(policy) = source.changed()? else { return Ok(None) };
        let mut current = self.current.lock();
        // Whoever gave another one meanwhile does not want this one any more.
        if !Arc::ptr_eq(&current.policy, &before) {
            return Ok(None);
        }
        let reloaded = Reloaded {
            path: Shown(source.path.display()).to_string(),
            says: Counts(&policy).to_string(),
            changed: Changes(&before, &policy).to_string(),
        };
        self.replace(&mut current, policy);
        Ok(Some(reloaded))
    }

    /// What holds for an identity.
    pub(crate) fn rights(&self, identity: &Identity) -> Rights {
        let current = self.current.lock();
        // Under the lock, under which it is counted up.
        let epoch = self.epoch.load(Ordering::Relaxed);
        let policy = current.policy.clone();
        drop(current);
        let roles = policy.roles_of(identity);
        let limits_senders = roles.iter().any(|role| role.limits_senders());
        Rights { epoch, roles, limits_senders }
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

    /// Whether there are messages that may be sent in the name of the peer's own actors alone.
    pub(crate) fn limit_senders(&self) -> bool {
        self.limits_senders
    }

    /// Whether there is a rule that allows a message in anybody's name.
    pub(crate) fn allow_as_anybody(&self, verb: Verb, path: &str, name: &str) -> bool {
        let mut roles = self.roles.iter().filter(|role| !role.limits_senders());
        !is_for_nobody(path) && roles.any(|role| role.allows(verb, path, name))
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
