//! Nodes that live together: grains on any of them, each once.
//!
//! - `config`: how a node takes part; `members`: who does; `join`: a system becomes a node
//! - `node`: a node, which does what its participant (of the crate rakt-cluster) decides; `grains`: what it
//!   brings to life, ends and looks for; `clustering`: what it does for its system
//! - `strays`: grains that live here while it is cut off, of which the cluster does not know
//! - `reports`: what it tells operators
//! - `names`: actors that are there once in the whole cluster
//! - `message`, `ear`: what members say to each other, and the actor that hears it
//! - `register`: where the cluster keeps who is a member; `memory_register`: one that is gone with the process
//! - `discovery`: whom a node that knows nobody asks; `dns`: whom a name server knows
//! - `clock`: the time by which leases go
//! - [`cluster_ref`](ClusterRef): a cluster for those who are no members of it; `nodes`: whom they ask; `distant`: a grain
//!   there, and the way of a message to it
//!
//! Without the feature `cluster` there is what those need who are no members.

#[cfg(feature = "cluster")]
mod admission;
#[cfg(feature = "cluster")]
mod clock;
mod cluster_ref;
#[cfg(feature = "cluster")]
mod clustering;
#[cfg(feature = "cluster")]
mod config;
mod discovery;
mod distant;
mod dns;
#[cfg(feature = "cluster")]
mod ear;
#[cfg(feature = "cluster")]
mod grains;
#[cfg(feature = "cluster")]
mod join;
#[cfg(feature = "cluster")]
mod members;
#[cfg(feature = "cluster")]
mod memory_register;
#[cfg(feature = "cluster")]
mod message;
#[cfg(feature = "cluster")]
mod names;
#[cfg(feature = "cluster")]
mod node;
mod nodes;
#[cfg(feature = "cluster")]
mod register;
#[cfg(feature = "cluster")]
mod reports;
#[cfg(feature = "cluster")]
mod strays;

pub use cluster_ref::ClusterRef;
#[cfg(feature = "cluster")]
pub use config::Config;
pub use discovery::{Discovery, DiscoveryError, Seed, Static};
pub use dns::Dns;
#[cfg(feature = "cluster")]
pub use members::{Member, MemberState, Members};
#[cfg(feature = "cluster")]
pub use memory_register::MemoryRegister;
#[cfg(feature = "cluster")]
pub use names::SpawnClusterWide;
#[cfg(feature = "cluster")]
pub use rakt_cluster::register::Version;
#[cfg(feature = "cluster")]
pub use register::{Register, RegisterError, Starting, SwapError};
