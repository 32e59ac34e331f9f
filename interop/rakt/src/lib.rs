//! What the programs are made of: the messages and actors of the contract in `interop/goakt/README.md`,
//! and the node that offers them.
//!
//! - [`messages`]: what travels
//! - [`actors`]: who takes it
//! - [`trace`]: the context propagator
//! - [`host`]: a node with all of these
//! - [`keeper`]: what nodes of a cluster share
//! - [`secure`]: its certificates, where it has some
//! - [`flags`]: reading a command line

pub mod actors;
pub mod flags;
pub mod host;
#[path = "../../../crates/rakt/examples/cluster/keeper.rs"]
mod keeper;
pub mod messages;
pub mod secure;
pub mod trace;
