//! Whom a node asks that knows nobody yet, and whom a client asks.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::contained::contain;
use crate::error::Cause;
use crate::supervision::Fault;

/// Finds addresses of nodes to ask, for a node that knows nobody yet and for [clients](super::ClusterRef). They are no members for
/// that: who is one only the register says. A cluster that runs needs none of it.
pub trait Discovery: Send + Sync + 'static {
    /// Addresses to ask, in any order; the node's own may be one of them.
    ///
    /// # Errors
    /// What the place said that knows them. It is asked again later.
    fn find(&self) -> impl Future<Output = Result<Vec<Seed>, DiscoveryError>> + Send;
}

/// Where a node may listen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "whoever finds one makes it, and it is all there is")]
pub struct Seed {
    /// A DNS name or an IP address; an IPv6 address without brackets.
    pub host: String,
    /// The port of its remoting.
    pub port: u16,
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// No addresses were found.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no nodes were found to ask")]
#[non_exhaustive]
pub struct DiscoveryError {
    /// What went wrong.
    pub source: Cause,
}

impl DiscoveryError {
    /// With what went wrong.
    pub fn new(source: impl Into<crate::BoxError>) -> Self {
        Self { source: Cause::new(source) }
    }
}

/// The same addresses always.
#[derive(Clone, Debug, Default)]
pub struct Static(Vec<Seed>);

impl Static {
    /// These nodes, by host and port.
    pub fn new<H: Into<String>>(seeds: impl IntoIterator<Item = (H, u16)>) -> Self {
        Self(seeds.into_iter().map(|(host, port)| Seed { host: host.into(), port }).collect())
    }
}

impl Discovery for Static {
    async fn find(&self) -> Result<Vec<Seed>, DiscoveryError> {
        Ok(self.0.clone())
    }
}

pub(crate) type Finding<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<Seed>, DiscoveryError>> + Send + 'a>>;

/// A discovery whose type is not known any more.
pub(crate) trait AnyDiscovery: Send + Sync {
    fn find(&self) -> Finding<'_>;
}

impl<D: Discovery> AnyDiscovery for D {
    /// One that panics has failed.
    fn find(&self) -> Finding<'_> {
        let failed = |fault: Fault| DiscoveryError::new(fault.to_string());
        Box::pin(async move {
            let mut finding = pin!(contain(|| Discovery::find(self)).map_err(failed)?);
            poll_fn(|cx| match contain(|| finding.as_mut().poll(cx)) {
                Ok(found) => found,
                Err(fault) => Poll::Ready(Err(failed(fault))),
            })
            .await
        })
    }
}
