//! The rakt protocol without I/O.
//!
//! Everything that can be said about bytes without a socket lives here. Bytes and time go in; events,
//! bytes and deadlines come out. There is no runtime, no clock and no randomness in this crate, so a
//! whole conversation between two nodes can be replayed in a test.
//!
//! | module | holds |
//! | --- | --- |
//! | [`address`] | where an actor is, and which names are valid |
//! | [`metadata`] | the string pairs that travel with a message |
//! | [`failure`] | why a request failed, and how an actor ended |
//! | [`operation`] | what one node may ask of another, independent of how it is written |
//! | [`compress`] | zstd, gzip and brotli behind one type |
//! | [`native`] | rakt's own protocol: handshake, frames, both directions of a link |
//! | `goakt` | the protocol of GoAkt v3, with the feature of that name |
//!
//! What a peer sends is data. It may end its own connection, but it never makes this crate panic, and
//! a length it claims reserves no memory: buffers grow as bytes arrive.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, which is fine")
)]

pub mod address;
pub mod compress;
pub mod failure;
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "goakt")]
pub mod goakt;
pub mod metadata;
pub mod native;
pub mod operation;

pub use address::{Address, Dialect};
pub use compress::Compression;
pub use failure::{Code, Failure, Terminated};
pub use metadata::Metadata;
pub use operation::{Operation, Outcome, SpawnArgument};
