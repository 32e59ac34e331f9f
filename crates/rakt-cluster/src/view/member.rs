//! What a view is made of, and what makes it valid.

use std::collections::BTreeSet;
use std::time::Duration;

use rakt_wire::{DecodeError, validate_host, validate_text};

use crate::node::{Incarnation, NodeId, Seat};
use crate::slots::SlotRule;

/// Most members of a view, the dead included.
pub const MAX_MEMBERS: usize = 4096;
/// Most roles of a member.
pub const MAX_ROLES: usize = 16;
/// Longest role and longest zone, in bytes.
pub const MAX_NAME_LEN: usize = 64;
/// Longest view, in bytes. A member takes about a hundred.
pub const MAX_VIEW_LEN: usize = 1 << 20;
/// Shortest lease.
pub const MIN_LEASE: Duration = Duration::from_secs(1);
/// Longest lease.
pub const MAX_LEASE: Duration = Duration::from_secs(3600);

/// How far a member has come. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Asked to be let in; owns and hosts nothing.
    Joining,
    /// Owns slots, hosts grains.
    Up,
    /// On its way out: owns nothing, hosts what it still has, gets nothing new.
    Leaving,
    /// Removed by others. What was its may be taken 1.2 leases after the taker's own first sight of this.
    Dead {
        /// The version that says so; never a time.
        since: u64,
    },
}

/// An entry of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub id: NodeId,
    /// Which run of its process.
    pub incarnation: Incarnation,
    /// The version of the view that admitted it.
    pub joined: u64,
    /// How far it has come.
    pub state: State,
    /// Where it listens: a DNS name or an IP address, without the port.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// What it may host.
    pub roles: BTreeSet<String>,
    /// Where it stands, such as an availability zone. May be empty.
    pub zone: String,
    /// Its part of the slots, against that of others. With 0 it owns none.
    pub weight: u16,
    /// What its version of rakt can do.
    pub level: u32,
}

/// What a view is made of; [`View::new`](super::View::new) checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The cluster, by 128 random bits from when it was founded.
    pub cluster: u128,
    /// The generation in which this history began: where the cluster was founded, or last recovered from a copy.
    pub origin: u64,
    /// At least the origin. Raised above what a store has seen, by a change like any other.
    pub generation: u64,
    /// Rises by one with every change, also with one of the generation.
    pub version: u64,
    /// How grains are spread.
    pub slots: SlotRule,
    /// How long a confirmed node may host: whole milliseconds, from [`MIN_LEASE`] to [`MAX_LEASE`].
    pub lease: Duration,
    /// What all members can do: features are used from here on.
    pub level: u32,
    /// By ascending id; each id once.
    pub members: Vec<Member>,
}

/// Why something is no view.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The bytes are none of a view.
    #[error("the bytes of a view cannot be read")]
    Decode(#[from] DecodeError),
    /// A number is not in its range.
    #[error("{what} of a view is {value}, and must be from {least} to {most}")]
    Range {
        /// Which number.
        what: &'static str,
        /// The number.
        value: u64,
        /// The lowest allowed.
        least: u64,
        /// The highest allowed.
        most: u64,
    },
    /// The members are not in the order of their ids, or one is there twice.
    #[error("members of a view do not ascend at {id}")]
    Order {
        /// The second of the two.
        id: NodeId,
    },
    /// A text of a member is too long, or has characters that it may not have.
    #[error("{what} of {id} is not valid")]
    Text {
        /// Which text.
        what: &'static str,
        /// Whose.
        id: NodeId,
    },
    /// There is a rule for slots that this version of rakt does not know.
    #[error("the rule {code} for slots is not known here")]
    Rule {
        /// Its number.
        code: u64,
    },
}

impl State {
    /// Whether such a member may host.
    #[must_use]
    pub fn hosts(self) -> bool {
        matches!(self, Self::Up | Self::Leaving)
    }

    /// Its place in the order of states.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::Joining => 0,
            Self::Up => 1,
            Self::Leaving => 2,
            Self::Dead { .. } => 3,
        }
    }
}

impl Member {
    /// What it is called elsewhere.
    #[must_use]
    pub fn seat(&self) -> Seat {
        Seat { id: self.id, incarnation: self.incarnation, joined: self.joined }
    }
}

impl Draft {
    pub(super) fn check(&self) -> Result<(), ViewError> {
        let millis = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        in_range("the generation", self.generation, 1, u64::MAX)?;
        in_range("the origin", self.origin, 1, self.generation)?;
        in_range("the version", self.version, 1, u64::MAX)?;
        in_range("the lease", millis, MIN_LEASE.as_millis() as u64, MAX_LEASE.as_millis() as u64)?;
        let fraction = u64::from(self.lease.subsec_nanos()) % 1_000_000;
        in_range("the part of a millisecond of the lease", fraction, 0, 0)?;
        in_range("the number of members", self.members.len() as u64, 0, MAX_MEMBERS as u64)?;
        let pairs = self.members.iter().zip(self.members.iter().skip(1));
        let (mut pairs, ascend) = (pairs, |(a, b): &(&Member, &Member)| a.id < b.id);
        if let Some((_, second)) = pairs.find(|pair| !ascend(pair)) {
            return Err(ViewError::Order { id: second.id });
        }
        self.members.iter().try_for_each(|member| member.check(self.version))
    }
}

impl Member {
    /// Whether a view of this version may list it.
    pub(crate) fn check(&self, version: u64) -> Result<(), ViewError> {
        in_range("an admission", self.joined, 1, version)?;
        if let State::Dead { since } = self.state {
            in_range("a death", since, self.joined, version)?;
        }
        in_range("a port", u64::from(self.port), 1, u64::from(u16::MAX))?;
        in_range("the number of roles", self.roles.len() as u64, 0, MAX_ROLES as u64)?;
        let text = |what: &'static str, text: &str, least: usize| {
            let good =
                (least..=MAX_NAME_LEN).contains(&text.len()) && validate_text(what, text).is_ok();
            good.then_some(()).ok_or(ViewError::Text { what, id: self.id })
        };
        self.roles.iter().try_for_each(|role| text("a role", role, 1))?;
        text("the zone", &self.zone, 0)?;
        validate_host(&self.host).map_err(|_| ViewError::Text { what: "the host", id: self.id })
    }
}

pub(super) fn in_range(
    what: &'static str,
    value: u64,
    least: u64,
    most: u64,
) -> Result<(), ViewError> {
    let good = (least..=most).contains(&value);
    good.then_some(()).ok_or(ViewError::Range { what, value, least, most })
}
