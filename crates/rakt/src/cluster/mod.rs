//! Nodes that live together: grains on any of them, each once.
//!
//! - `config`: how a node takes part; `members`: who does; `join`: a system becomes a node
//! - `node`: a node, which does what its participant ([`rakt_cluster::participant`]) decides; `grains`: what it
//!   brings to life, ends and looks for; `clustering`: what it does for its system
//! - `reports`: what it tells operators
//! - `names`: actors that are there once in the whole cluster
//! - `message`, `ear`: what members say to each other, and the actor that hears it
//! - `register`: where the cluster keeps who is a member; `memory_register`: one that is gone with the process
//! - `discovery`: whom a node that knows nobody asks; `dns`: whom a name server knows
//! - `clock`: the time by which leases go

mod admission;
mod clock;
mod clustering;
mod config;
mod discovery;
mod dns;
mod ear;
mod grains;
mod join;
mod members;
mod memory_register;
mod message;
mod names;
mod node;
mod register;
mod reports;

pub use config::Config;
pub use discovery::{Discovery, DiscoveryError, Seed, Static};
pub use dns::Dns;
pub use members::{Member, MemberState, Members};
pub use memory_register::MemoryRegister;
pub use names::SpawnClusterWide;
pub use rakt_cluster::register::Version;
pub use register::{Register, RegisterError, Starting, SwapError};
