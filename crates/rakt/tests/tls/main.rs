//! Encrypted connections: who gets one, who does not, and what both ends are told.

mod certificates;
mod handshake;
mod renewal;
mod sources;
#[allow(dead_code, reason = "not every test program needs each of them")]
#[path = "../support/mod.rs"]
mod support;
