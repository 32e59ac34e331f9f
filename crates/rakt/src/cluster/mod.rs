//! Nodes that live together: grains on any of them, each once.
//!
//! - `register`: where the cluster keeps who is a member; `memory_register`: one that is gone with the process
//! - `discovery`: whom a node that knows nobody asks

mod discovery;
mod memory_register;
mod register;

pub use discovery::{Discovery, DiscoveryError, Seed, Static};
pub use memory_register::MemoryRegister;
pub use rakt_cluster::register::Version;
pub use register::{Register, RegisterError, Starting, SwapError};

pub(crate) use register::AnyRegister;
