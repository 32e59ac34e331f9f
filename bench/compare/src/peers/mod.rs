//! Other libraries, each used as its documentation recommends.

use crate::contestant::Contestant;

#[cfg(feature = "actix")]
mod actix;
#[cfg(feature = "kameo")]
mod kameo;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "ractor")]
mod ractor;
#[cfg(feature = "tonic")]
mod tonic;

/// A line for each, behind the feature that builds it.
pub(crate) const ALL: &[Contestant] = &[
    #[cfg(feature = "tonic")]
    tonic::CONTESTANT,
    #[cfg(feature = "tonic")]
    tonic::CHANNEL,
    #[cfg(all(feature = "tonic", feature = "rakt"))]
    tonic::TLS,
    #[cfg(feature = "ractor")]
    ractor::CONTESTANT,
    #[cfg(feature = "kameo")]
    kameo::CONTESTANT,
    #[cfg(feature = "nats")]
    nats::CONTESTANT,
    #[cfg(all(feature = "nats", feature = "rakt"))]
    nats::TLS,
    #[cfg(feature = "actix")]
    actix::ONE_THREAD,
    #[cfg(feature = "actix")]
    actix::TWO_THREADS,
];
