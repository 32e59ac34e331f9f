//! Connections of the native protocol: a session of `rakt_wire::native` behind a lock, and what moves it.
//!
//! | file | holds |
//! | --- | --- |
//! | `conn.rs` | one open connection, as everybody but its driver sees it |
//! | `dialed.rs`, `accepted.rs` | what a side adds: senders that wait; answers and cancellations |
//! | `driver.rs` | a connection as a session of the pump: turns, heartbeats, the end |
//! | `later.rs` | waking that lets others go first |
//! | `replies.rs`, `arrivals.rs` | what each side does with what arrives |
//! | `batch.rs` | the messages for one actor that one read brought |
//! | `serve.rs` | operations and watches of a peer |
//! | `leaving.rs` | the end of connections when this side shuts down |
//! | `endpoint.rs` | one peer address and its connections |
//! | `replacing.rs` | a connection that takes the place of another while that is up |
//! | `watches.rs`, `watching.rs` | the ends of actors on other nodes: the table, and how it is brought to the peer |
//!
//! No rule of the protocol is in here: those are in the sessions.

mod accepted;
#[cfg(test)]
mod alone;
mod arrivals;
mod batch;
mod block;
mod conn;
mod dialed;
mod driver;
mod endpoint;
mod later;
mod leaving;
#[cfg(feature = "_tls")]
mod replacing;
mod replies;
mod serve;
#[cfg(test)]
pub(crate) mod tests;
mod watches;
mod watching;

pub(crate) use accepted::Accepted;
pub(crate) use arrivals::ArrivalsReader;
pub(crate) use conn::{Conn, Expected};
pub(crate) use dialed::{Dialed, NotTaken, SendState, Sent, ToWake};
pub(crate) use driver::drive;
pub(crate) use endpoint::{CONTROL, Endpoint};
#[cfg(feature = "goakt")]
pub(crate) use leaving::LEAVE_TIMEOUT;
pub(crate) use leaving::leave;
pub(crate) use watches::Watched;
