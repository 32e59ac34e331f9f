//! The register over real nodes on loopback.

mod alone;
mod lost;
mod support;
mod three;
