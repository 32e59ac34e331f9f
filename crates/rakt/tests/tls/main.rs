//! Encrypted connections: who gets one, who does not, and what both ends are told.

#[cfg(feature = "goakt")]
#[path = "../support/breaking.rs"]
mod breaking;
mod certificates;
#[cfg(all(feature = "tls", feature = "goakt"))]
mod corpus;
mod flood;
#[cfg(feature = "goakt")]
mod goakt;
mod handshake;
mod injection;
mod limits;
#[allow(dead_code, reason = "not every test program needs each of them")]
#[path = "../support/memory.rs"]
mod memory;
mod mixed;
mod protocol;
mod renewal;
mod revoked;
mod secrets;
mod sources;
mod spiffe;
mod strangers;
#[allow(dead_code, reason = "not every test program needs each of them")]
#[path = "../support/mod.rs"]
mod support;
mod table;
mod told;
