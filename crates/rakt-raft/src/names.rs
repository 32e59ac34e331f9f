//! Who a voter is, where it listens, which cluster it belongs to.

use std::collections::BTreeMap;
use std::fmt;

use rakt::cluster::Seed;
use serde::{Deserialize, Serialize};

/// The id of a voter: random, made with its directory, and kept there. A node with a new directory is another one.
pub(crate) type Id = u64;

/// A cluster, from its founding on: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ClusterId(pub(crate) [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}

/// Where a node listens.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl From<Seed> for Place {
    fn from(Seed { host, port }: Seed) -> Self {
        Self { host, port }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Seed { host: self.host.clone(), port: self.port }.fmt(f)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Nodes by id.
pub(crate) type Places = BTreeMap<Id, Place>;

/// As text in errors: sixteen hexadecimal digits.
pub(crate) struct Shown(pub(crate) Id);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// # Panics
/// If the system has no randomness.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}
