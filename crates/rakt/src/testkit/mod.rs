//! For the tests of your own code: actors that a test plays, one actor alone, and networks that misbehave.
//!
//! It is there with the feature `testkit`, which belongs below `[dev-dependencies]`:
//! `rakt = { .., features = ["testkit"] }`.
//!
//! - [`Probe`]: an actor whose messages the test receives, and answers
//! - [`Solo`]: one actor without its surroundings, whose state and faults the test can see
#![cfg_attr(
    feature = "remote",
    doc = "- [`Network`]: a network in memory that is cut, delayed, held up, or loses what it carries"
)]
#![cfg_attr(
    feature = "remote",
    doc = "- [`simulate`]: several nodes on such a network, repeated by a seed"
)]
//! - [`Gate`]: holds a handler still until the test lets it go on
//! - [`within`]: a limit for what is waited for
//! - [`store`]: whether a store of grains keeps its promises; [`FaultyStore`]: one that fails when the test says so
#![cfg_attr(
    feature = "cluster",
    doc = "- [`register`]: whether a register of a cluster keeps its promises; [`FaultyRegister`]: one that fails when the test says so"
)]
//!
//! All of it works on tokio's paused clock (`#[tokio::test(start_paused = true)]`), on which time passes only
//! when everybody has done what can be done. There a wait that is in vain ends at once, and not after its limit.

mod gate;
#[cfg(feature = "remote")]
mod network;
mod plan;
mod probe;
#[cfg(feature = "cluster")]
pub mod register;
mod rules;
#[cfg(feature = "remote")]
mod simulation;
mod solo;
pub mod store;
mod violation;
mod wait;

pub use gate::Gate;
#[cfg(feature = "remote")]
pub use network::{Connection, Host, Network};
pub use probe::{Probe, Request};
#[cfg(feature = "cluster")]
pub use register::faulty::FaultyRegister;
#[cfg(feature = "remote")]
pub use simulation::{Simulation, simulate, simulate_seed};
pub use solo::{Failure, Solo};
pub use store::faulty::FaultyStore;
pub use wait::{LIMIT, within};
