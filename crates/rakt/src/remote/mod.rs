//! Actors on other nodes.
//!
//! - [`config`], [`transport`]: what a user sets
//! - [`client`]: calls to other nodes, from a system or standalone; `node_ref`: operations on one
//! - `node`: the listening side of a system
//! - `caller`: the peers that are known here; `request`: an operation one of them is asked for
//! - `endpoint`: one peer address and its connections; `target`: a reference to an actor there
//! - `dialer`: what endpoints share; `handshake`: how a connection begins; `random`: randomness
//! - `resources`: what connections share; `budget`, `compressors`: their budgets and codecs
//! - `conn`: one open connection; `driver`: what it does with its bytes; `io`: how they move; `compact`:
//!   how what waits lets go of those
//! - `receive`: messages on their way to actors here; `answers`: replies on their way to askers here
//! - `serve`: what peers may ask of this node, and the one place that decides it
//! - `goakt`: the same with nodes of GoAkt, with the feature of that name
//! - `watch`: the ends of actors on other nodes
//!
//! A connection carries messages and requests from the node that dialed it, and answers back. Two
//! nodes that send to each other have connections in both directions.

mod account;
mod budget;
mod caller;
pub mod client;
mod compact;
mod compressors;
pub mod config;
mod dialer;
#[cfg(feature = "goakt")]
mod goakt;
mod handshake;
mod io;
mod latch;
mod native;
mod node;
mod node_ref;
mod random;
#[cfg(feature = "goakt")]
mod redial;
mod refuse;
mod request;
mod resources;
mod serve;
mod target;
pub mod transport;
mod weak_map;

pub use crate::system::ConfigError;
pub use client::Client;
pub use config::{ClientConfig, Config};
#[cfg(feature = "goakt")]
pub use goakt::GoAkt;
pub use node_ref::{NodeRef, SpawnOn};
pub use rakt_wire::Compression;
pub use transport::{Listener, Stream, Transport};
