//! How a node takes part in a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rakt_cluster::participant::{Placing, Settings};
use rakt_cluster::placement;
use rakt_cluster::propose::Newcomer;
use rakt_cluster::view::{MAX_LEASE, MAX_NAME_LEN, MAX_ROLES, MIN_LEASE};
use rakt_cluster::{Incarnation, NodeId};

use super::clock::clock;
use super::discovery::{AnyDiscovery, Discovery, Static};
use super::memory_register::MemoryRegister;
use super::register::{AnyRegister, Register};
use crate::grain::Placement;
use crate::hosting::Clock;
use crate::remote::policy::Glob;
use crate::system::ConfigError;
use crate::system::core::{ActorSystem, GrainHost};

/// What this version of rakt can do in a cluster.
const LEVEL: u32 = 1;

/// The kind of the grains that stand for names of the cluster.
pub(super) const NAME: &str = "rakt.name";

/// How a node takes part in a cluster: for [`SystemBuilder::cluster`](crate::SystemBuilder::cluster).
///
/// All nodes of a cluster have the same system name, and the same register.
#[derive(Clone)]
#[must_use = "it has an effect only where it is given to a system"]
pub struct Config {
    pub(super) register: Arc<dyn AnyRegister>,
    pub(super) discovery: Arc<dyn AnyDiscovery>,
    pub(super) members: Option<Glob>,
    pub(super) join_timeout: Option<Duration>,
    pub(super) clock: Clock,
    level: u32,
    lease: Duration,
    probe: Duration,
    roles: BTreeSet<String>,
    zone: String,
    weight: u16,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("lease", &self.lease)
            .field("probe", &self.probe)
            .field("roles", &self.roles)
            .field("zone", &self.zone)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}

/// A cluster of one node.
impl Default for Config {
    fn default() -> Self {
        Self::alone()
    }
}

impl Config {
    /// A cluster of this node alone, which keeps its view in memory: with neither network nor disk.
    pub fn alone() -> Self {
        Self::on(MemoryRegister::new())
    }

    /// A cluster whose view is kept in this register, which all its nodes share.
    pub fn on(register: impl Register) -> Self {
        Self {
            register: Arc::new(register),
            discovery: Arc::new(Static::default()),
            members: None,
            join_timeout: None,
            clock: clock(),
            level: LEVEL,
            lease: Duration::from_secs(8),
            probe: Duration::from_secs(1),
            roles: BTreeSet::new(),
            zone: String::new(),
            weight: 100,
        }
    }

    /// Whom a node asks that knows nobody. Default: nobody. Only a register that lives in the nodes needs it.
    pub fn discover(mut self, discovery: impl Discovery) -> Self {
        self.discovery = Arc::new(discovery);
        self
    }

    /// How long a node may go on hosting after it has last been confirmed as a member. Default: 8 s; from 1 s to 1 h, in
    /// whole milliseconds. Others take over what a dead node hosted 1.2 times that after it was declared dead. What counts
    /// is what the node said that founded the cluster.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// From one probe of another member to the next. Default: 1 s; at least 10 ms. A member that misses four in a row is
    /// accused.
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.probe = interval;
        self
    }

    /// Gives this node a role: see [`GrainKind::role`](crate::grain::GrainKind::role). Default: none; at most 16 of 64
    /// bytes.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.roles.insert(role.into());
        self
    }

    /// Where this node stands, such as an availability zone. Default: nowhere; at most 64 bytes.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = zone.into();
        self
    }

    /// The part of the grains that this node keeps track of, against that of others. Default: 100.
    pub fn weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }

    /// Hears as members only peers of which a name is like that: see [`Policy::grant`](crate::remote::Policy::grant), as in
    /// `spiffe://prod.example/rakt/shop-*`. Default: with TLS, peers whose certificate has the first name of the one of this
    /// node (`rakt cert show` tells them), or that hold one of its secrets; in plain text, whoever can connect.
    ///
    /// A member is trusted: it may say that others do not answer, and where grains live. This holds for what members say to each
    /// other, and for a register that lives in the nodes. Who is none is denied what members hear, as by the policy:
    /// with `Event::Denied`. The policy of the node has to let members tell `cluster/member`, as it does by default.
    pub fn members(mut self, identity: &str) -> Self {
        self.members = Some(Glob::of_identity(identity));
        self
    }

    /// How long [`start`](crate::SystemBuilder::start) waits until the node is a member, its register included. Default: 60 s
    /// from when that has started, for which it has a limit of its own.
    pub fn join_timeout(mut self, limit: Duration) -> Self {
        self.join_timeout = Some(limit);
        self
    }

    /// Another clock for leases, for tests with a clock of their own.
    #[doc(hidden)]
    pub fn clock(mut self, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// As what another version of rakt it takes part, for tests of versions side by side.
    #[doc(hidden)]
    pub fn level(mut self, level: u32) -> Self {
        self.level = level;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |option, value: String, allowed| Err(ConfigError { option, value, allowed });
        let is_whole = self.lease.subsec_nanos().is_multiple_of(1_000_000);
        if !(MIN_LEASE..=MAX_LEASE).contains(&self.lease) || !is_whole {
            let allowed = "1 s to 1 h, in whole milliseconds";
            return refuse("lease", format!("{:?}", self.lease), allowed);
        }
        if self.probe < Duration::from_millis(10) {
            return refuse("probe_interval", format!("{:?}", self.probe), "at least 10 ms");
        }
        if self.roles.len() > MAX_ROLES {
            return refuse("role", self.roles.len().to_string(), "at most 16 roles");
        }
        let is_name =
            |text: &str| text.len() <= MAX_NAME_LEN && !text.chars().any(char::is_control);
        if let Some(role) = self.roles.iter().find(|role| role.is_empty() || !is_name(role)) {
            return refuse("role", format!("{role:?}"), "1 to 64 bytes without control characters");
        }
        if !is_name(&self.zone) {
            let value = format!("{:?}", self.zone);
            return refuse("zone", value, "at most 64 bytes without control characters");
        }
        if let Some(fault) = self.members.as_ref().and_then(Glob::fault) {
            return refuse("members", fault.to_owned(), "a pattern of an identity");
        }
        Ok(())
    }

    /// What the participant of that system goes by.
    pub(super) fn settings(&self, system: &ActorSystem) -> Settings {
        let (host, port) = system.advertised();
        let me = Newcomer {
            id: NodeId(fastrand::u128(..)),
            incarnation: Incarnation(u128::from_be_bytes(system.incarnation())),
            host: host.to_owned(),
            // Nobody connects to a node without remoting.
            port: port.max(1),
            roles: self.roles.clone(),
            zone: self.zone.clone(),
            weight: self.weight,
            level: self.level,
        };
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let placing = |(name, host): (&&'static str, &Arc<dyn GrainHost>)| {
            let ((placement, role), is_available) = (host.placing(), host.are_available());
            (Arc::from(*name), Placing { placement: of(placement), role, is_available })
        };
        let mut kinds: BTreeMap<Arc<str>, Placing> = system.0.grains.iter().map(placing).collect();
        // A name stays with whoever claims it.
        let placement = placement::Placement::Local;
        let of_names = Placing { placement, ..Placing::default() };
        kinds.insert(NAME.into(), of_names);
        Settings {
            me,
            probe: self.probe,
            lease: self.lease,
            cluster: fastrand::u128(..),
            seconds: seconds.as_secs().max(1),
            kinds,
            seed: fastrand::u64(..),
        }
    }
}

fn of(placement: Placement) -> placement::Placement {
    match placement {
        Placement::Owner => placement::Placement::Owner,
        Placement::Local => placement::Placement::Local,
        Placement::Random => placement::Placement::Random,
        Placement::RoundRobin => placement::Placement::RoundRobin,
        Placement::LeastLoad => placement::Placement::LeastLoad,
    }
}
