//! Actors on other nodes.
//!
//! - [`config`], [`transport`]: what a user sets
//! - [`client`]: calls to other nodes, from a system or standalone
//! - `node`: the listening side of a system; `net`: what it shares with a standalone client
//! - `endpoint`: one peer address and its connections; `target`: a reference to an actor there
//! - `conn`: one open connection; `driver`: what it does with its bytes; `io`: how they move; `compact`:
//!   how what waits lets go of those
//! - `receive`: messages on their way to actors here; `answers`: replies on their way to askers here
//! - `serve`: what peers may ask of this node, and the one place that decides it
//! - `goakt`: the same with nodes of GoAkt, with the feature of that name
//! - `watch`: the ends of actors on other nodes
//!
//! A connection carries messages and requests from the node that dialed it, and answers back. Two
//! nodes that send to each other have connections in both directions.

mod answers;
mod budget;
pub mod client;
mod compact;
mod compressors;
pub mod config;
mod conn;
mod driver;
mod endpoint;
#[cfg(feature = "goakt")]
mod goakt;
mod io;
mod net;
mod node;
mod receive;
mod serve;
mod target;
pub mod transport;
mod watch;

pub use client::{Client, SpawnOn};
pub use config::{Config, ConfigError};
#[cfg(feature = "goakt")]
pub use goakt::GoAkt;
pub use rakt_wire::Compression;
pub use transport::{Listener, Stream, Transport};

pub(crate) use conn::{Fate, Outgoing, Place, RemoteAnswer};
pub(crate) use node::Node;
pub(crate) use target::RemoteTarget;
