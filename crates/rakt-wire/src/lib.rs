//! The rakt protocol without I/O.
//!
//! Everything that can be said about bytes without a socket lives here. Bytes and time go in; events,
//! bytes and deadlines come out. There is no runtime, no clock and no randomness in this crate, so a
//! whole conversation between two nodes can be replayed in a test.
//!
//! | module | holds |
//! | --- | --- |
//! | the root | addresses, metadata, failures, operations, compression: what every dialect has |
//! | [`native`] | rakt's own protocol: handshake, frames, both directions of a link |
//! | `goakt` | the protocol of GoAkt v3, with the feature of that name |
//!
//! Inside, an import goes down these floors and never up, and floors side by side know nothing of each
//! other: `native` and `goakt`; `operation`; `verb`; `address`, `metadata`, `failure` and `compress`; `base`.
//!
//! # What is stable
//! This crate is the inside of `rakt`, and its version is rakt's. Only what rakt re-exports follows semantic
//! versioning ([`Address`], [`Dialect`], [`Metadata`], [`Compression`], [`Code`], [`Verb`], [`EncodeError`] and
//! the [`Encode`] trait); everything else may change with every release. What crosses the wire does not: see
//! `docs/PROTOCOL.md`.
//!
//! What a peer sends is data. It may end its own connection, but it never makes this crate panic, and
//! a length it claims reserves no memory: buffers grow as bytes arrive.
#![forbid(unsafe_code)]
#![warn(missing_debug_implementations, unnameable_types)]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![warn(clippy::option_option, clippy::return_self_not_must_use)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, which is fine")
)]

mod address;
#[cfg(feature = "serde")]
mod address_serde;
mod base;
mod compress;
mod failure;
#[cfg(feature = "goakt")]
pub mod goakt;
mod metadata;
pub mod native;
mod operation;
mod verb;

pub use address::{
    ANONYMOUS_PREFIX, Address, AddressError, Dialect, MAX_ADDRESS_LEN, MAX_NAME_LEN, MAX_PATH_LEN,
    RESERVED_PREFIXES, is_reserved, validate_host, validate_name, validate_path,
    validate_system_name, validate_text,
};
pub use base::cause::{Cause, Chain, MAX_CAUSES};
pub use base::encode::{Encode, EncodeError, MESSAGE_OVERHEAD, cost};
pub use base::text::{MAX_SHOWN_LEN, Shown, controls_at};
pub use base::varint::DecodeError;
/// For tests that speak a protocol badly.
#[doc(hidden)]
pub use base::varint::{Reader, put_bytes, put_string, put_varint};
pub use compress::{
    CompressError, Compression, Compressor, DecompressError, Unavailable, UnknownCompression,
};
pub use failure::{Bound, Code, Failure, MAX_DETAIL_LEN, OtherBound, Terminated};
pub use metadata::{MAX_METADATA_LEN, MAX_PAIRS, Metadata, MetadataError};
pub use operation::{MAX_KINDS, MAX_TYPE_LEN, Operation, Outcome, SpawnArgument, Wish};
pub use verb::Verb;
