//! Who may do what: roles, and who has them.
//!
//! - `glob`: patterns for paths, types and identities
//! - `role`: what those who have a role may do
//! - `live`: the policy that holds at the moment, and what it means for one peer

mod glob;
mod live;
mod role;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rakt_wire::Verb;

use super::refuse::refuse;
use crate::system::ConfigError;

pub(crate) use self::glob::Glob;
pub(crate) use live::{Policies, Rights};
pub use role::Role;

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
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it has an effect only as an option of a node"]
pub struct Policy {
    /// What it begins with, for those who read it.
    basis: &'static str,
    everybody: Arc<Role>,
    roles: BTreeMap<String, Arc<Role>>,
    grants: Vec<Grant>,
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
        Self { basis, everybody: Arc::new(everybody), roles, grants }
    }

    /// Adds a role. Given twice, the last one of that name counts.
    pub fn role(mut self, name: &str, role: Role) -> Self {
        self.roles.insert(name.to_owned(), Arc::new(role));
        self
    }

    /// Gives a role to those of whose names one is like `identity`: `spiffe://prod.example/rakt/shop-*`,
    /// `dns:ops.prod.example`, `ip:10.0.0.8`, `anonymous`, `address:10.0.0.*`. A `*` stands for any characters within a
    /// segment of a URI or a label of a host's name, and `**` for one or several of those. Who has several roles may do
    /// what each of them allows.
    pub fn grant(mut self, identity: &str, role: &str) -> Self {
        self.grants.push(Grant { to: Glob::of_identity(identity), role: role.to_owned() });
        self
    }

    /// Checks that it says what it seems to say.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
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
            write!(f, "\nrole {name}: {role}")?;
        }
        for Grant { to, role } in &self.grants {
            write!(f, "\ngrant {to}: {role}")?;
        }
        Ok(())
    }
}
