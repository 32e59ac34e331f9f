//! The register over real nodes on loopback.

mod alone;
mod support;
mod three;
