//! Actors on other nodes.
//!
//! Imports run downward in this table.
//!
//! | files | what is in them |
//! | --- | --- |
//! | `node` | the listening side of a system |
//! | [`client`](Client), [`node_ref`](NodeRef) | calls to other nodes; operations on one of them |
//! | `caller`, `target` | the peers that are known here; a reference to an actor there |
//! | `native`, `goakt` | the two dialects: connections, and what they mean here |
//! | `admission`, `handshakes`, `quota` | how many connections, handshakes and spawned actors peers may have |
//! | [`tls`](Tls) | encryption, between the transport and a dialect |
//! | `opened`, `known` | a connection, and what is known of its peer, before it has said a word |
//! | `lanes` | which connection of a peer is the newest |
//! | `access` | what the peer of a connection may do here: the one place that decides it |
//! | `for_members` | actors that only members of the node's cluster reach |
//! | `serve` | what peers ask of this node about its actors |
//! | `io` | one connection, whatever is spoken over it: its bytes, its turns and its time |
//! | `dialer`, `redial` | what it takes to dial peers; when that is done again |
//! | `handshake`, `request` | how a native connection begins; an operation that a node is asked for |
//! | `account` | what one connection holds of the node's memory budget |
//! | `resources` | what connections share: `budget`, `compressors` |
//! | `memory` | how much memory there is, for the default of the budget |
//! | `certificate` | issuing certificates; the shared secret |
//! | [`policy`](Policy) | roles, and who has them |
//! | `watched` | files that are looked at now and then |
//! | [`config`](Config), [`transport`](Transport) | what a user sets |
//! | `compact`, `latch`, `random`, `refuse`, `ticket`, `weak_map` | tools |
//!
//! A connection carries messages and requests from the node that dialed it, and answers back. Two
//! nodes that send to each other have connections in both directions.

mod access;
mod account;
mod admission;
mod budget;
pub(crate) mod caller;
mod cancel_wakers;
#[cfg(feature = "_tls")]
pub mod certificate;
mod client;
mod compact;
mod compressors;
mod config;
mod dialer;
mod for_members;
#[cfg(feature = "goakt")]
mod goakt;
mod handshake;
mod handshakes;
mod io;
mod known;
mod lanes;
mod latch;
mod links;
mod memory;
mod native;
mod node;
mod node_ref;
mod opened;
pub(crate) mod policy;
mod quota;
mod random;
mod redial;
mod refuse;
mod request;
mod resources;
mod serve;
mod target;
mod ticket;
#[cfg(feature = "_tls")]
mod tls;
mod transport;
mod watched;
mod weak_map;

pub use crate::error::policy::PolicyError;
#[cfg(feature = "_tls")]
pub use certificate::secret::{Secret, SecretError, SecretVariableError};
pub use client::Client;
pub use config::{ClientConfig, Config};
#[cfg(feature = "goakt")]
pub use goakt::GoAkt;
pub use node_ref::{NodeRef, SpawnOn};
pub use policy::{Policy, Role};
pub use rakt_wire::{Compression, Verb};
#[cfg(feature = "_tls")]
pub use tls::{ClaimError, Tls, TlsError, Verify, check_claims};
pub use transport::{Listener, Opening, Stream, Transport};
