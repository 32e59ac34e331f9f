//! Who may do what: roles, and who has them.
//!
//! - `glob`: patterns for paths, types and identities
//! - `role`: what those who have a role may do
//! - `parse`, `file`, `source`: a policy as text; the file that it stands in
//! - `live`: the policy that holds at the moment, and what it means for one peer
//! - `watch`, `changes`: its file is looked at now and then; what has changed in it

mod changes;
mod file;
mod glob;
mod live;
mod parse;
mod role;
mod source;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rakt_wire::{Shown, Verb};

use self::source::Source;
use super::refuse::refuse;
use crate::system::ConfigError;

pub(crate) use self::glob::Glob;
#[cfg(feature = "_tls")]
pub(crate) use self::glob::KINDS;
pub(crate) use live::{Policies, Rights};
pub use role::Role;
pub(crate) use watch::look_after;

/// Patterns in all roles of a policy together: each is looked at for each thing that a peer does for the first time.
const MAX_PATTERNS: usize = 10_000;
/// Grants of a policy: each is looked at for each connection, and each time that the policy is replaced.
const MAX_GRANTS: usize = 10_000;

/// What peers may do here: roles, and the identities that have them.
///
/// There are only rules that allow something, and they have no order: a peer may do what one of its roles allows, and
/// nothing else. It is decided before an actor is looked up, so that nobody learns of an actor that it may not reach.
/// Actors of the system itself, whose names are [reserved](rakt_wire::is_reserved), are for no peer.
///
/// ```
/// use rakt::remote::{Config, Policy, Role, Verb};
///
/// let policy = Policy::new()
///     .role("shop", Role::new().may([Verb::Tell, Verb::Ask], "orders/**").messages("shop.*"))
///     .role("ops", Role::new().may(Verb::ALL.iter().copied(), "**"))
///     .grant("spiffe://prod.example/rakt/shop-*", "shop")
///     .grant("dns:ops.prod.example", "ops");
/// let config = Config::new("127.0.0.1", 3321).policy(policy);
/// ```
///
/// What a peer is, says its [`Identity`](crate::Identity). Without encryption that is the address that its connection
/// comes from, which nobody has proven: `address:10.0.0.8`.
///
/// All roles of a policy together may have 10,000 patterns, and there may be 10,000 grants. Two policies are equal if they
/// say the same, wherever they come from.
#[derive(Clone, Debug)]
#[must_use = "it has an effect only as an option of a node"]
pub struct Policy {
    /// What it begins with, for those who read it.
    basis: &'static str,
    everybody: Arc<Role>,
    roles: BTreeMap<String, Arc<Role>>,
    grants: Vec<Grant>,
    /// Where it was read.
    source: Option<Source>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    to: Glob,
    role: String,
}

impl Policy {
    /// Nobody may do anything, but for what [roles](Self::role) that are [granted](Self::grant) allow.
    pub fn new() -> Self {
        Self::of("nobody", Role::new())
    }

    /// The default. Every peer may tell, ask, look up and watch every actor, ping the node, ask for its kinds, and spawn
    /// those that are registered; it may stop, respawn and reinstate the actors that it has spawned itself, and no
    /// others. Roles that are granted allow more.
    pub fn exposed() -> Self {
        use Verb::{Ask, Kinds, Lookup, Ping, Spawn, Tell, Watch};
        let role = Role::new().may([Tell, Ask, Lookup, Watch, Ping, Kinds, Spawn], "**");
        Self::of("exposed", role.may_manage_own())
    }

    /// Every peer may do everything with every actor, as if all nodes were one: also stop each other's actors. For
    /// networks that nobody else reaches.
    pub fn open() -> Self {
        Self::of("open", Role::new().may(Verb::ALL.iter().copied(), "**"))
    }

    fn of(basis: &'static str, everybody: Role) -> Self {
        let (roles, grants) = Default::default();
        Self { basis, everybody: Arc::new(everybody), roles, grants, source: None }
    }

    /// Adds a role. Given twice, the last one of that name counts.
    pub fn role(mut self, name: &str, role: Role) -> Self {
        self.roles.insert(name.to_owned(), Arc::new(role));
        self.note_changed();
        self
    }

    /// Gives a role to those of whose names one is like `identity`: `spiffe://prod.example/rakt/shop-*`,
    /// `dns:ops.prod.example`, `ip:10.0.0.8`, `sha256:` and a fingerprint, `anonymous`, `address:10.0.0.*`. A `*` stands for any characters within a
    /// segment of a URI or a label of a host's name, and `**` for one or several of those. Who has several roles may do
    /// what each of them allows.
    pub fn grant(mut self, identity: &str, role: &str) -> Self {
        self.grants.push(Grant { to: Glob::of_identity(identity), role: role.to_owned() });
        self.note_changed();
        self
    }

    /// What is added to a policy from a file would be gone when that is read again.
    fn note_changed(&mut self) {
        if let Some(source) = &mut self.source {
            source.is_changed = true;
        }
    }

    /// Checks that it says what it seems to say.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if let Some(source) = self.source.as_ref().filter(|source| source.is_changed) {
            let allowed = "what the file says and no more: roles and grants are added there";
            return refuse("policy", &source.path, allowed);
        }
        let patterns = self.roles.values().map(|role| role.pattern_count()).sum();
        for (count, most, allowed) in [
            (patterns, MAX_PATTERNS, "one whose roles have at most 10000 patterns together"),
            (self.grants.len(), MAX_GRANTS, "one with at most 10000 grants"),
        ] {
            if count > most {
                return refuse("policy", &format_args!("one with {count}"), allowed);
            }
        }
        for role in self.roles.values() {
            if let Some((value, allowed)) = role.fault() {
                return refuse("policy", &value, allowed);
            }
        }
        for Grant { to, role } in &self.grants {
            if let Some(allowed) = to.fault() {
                return refuse("policy", &to, allowed);
            }
            if !self.roles.contains_key(role) {
                return refuse("policy", role, "a role of the policy where it is granted");
            }
        }
        Ok(())
    }
}

/// Wherever they were read.
impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        let all = |policy: &Self| (policy.basis, policy.everybody.clone());
        all(self) == all(other) && self.roles == other.roles && self.grants == other.grants
    }
}

impl Eq for Policy {}

impl Default for Policy {
    fn default() -> Self {
        Self::exposed()
    }
}

/// All of it, a line for what everybody may, for each role, and for each grant.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "everybody ({}): {}", self.basis, self.everybody)?;
        for (name, role) in &self.roles {
            write!(f, "\nrole {}: {role}", Shown(name))?;
        }
        for Grant { to, role } in &self.grants {
            write!(f, "\ngrant {to}: {}", Shown(role))?;
        }
        Ok(())
    }
}
