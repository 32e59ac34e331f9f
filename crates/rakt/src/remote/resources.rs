//! What all connections of a node, or of a client, share.

use std::sync::Arc;

use rakt_wire::Compression;

use super::budget::Budget;
use super::compressors::Compressors;
use super::config::Options;
use super::io::Pumps;
use crate::error::{Cause, Chain};
use crate::events::{Event, Outlet};

pub(crate) struct Resources {
    pub(crate) options: Options,
    pub(crate) budget: Budget,
    pub(crate) compressors: Compressors,
    pub(crate) outlet: Arc<Outlet>,
    /// The connections that run.
    pub(crate) pumps: Pumps,
}

impl Resources {
    pub(crate) fn new(options: Options, outlet: Arc<Outlet>) -> Arc<Self> {
        let budget = Budget::new(options.memory_budget);
        let compressors = Compressors::new(options.compress_from);
        Arc::new(Self { options, budget, compressors, outlet, pumps: Pumps::default() })
    }

    /// A connection with `peer` is open.
    pub(crate) fn link_up(&self, peer: &str, compression: Compression) {
        crate::metrics::link_up();
        tracing::info!(peer, %compression, "link up");
        self.outlet.publish(|| Event::LinkUp { peer: peer.to_owned() });
    }

    /// A connection with `peer` has ended.
    pub(crate) fn link_down(&self, peer: &str, reason: Cause) {
        crate::metrics::link_down();
        tracing::info!(peer, reason = %Chain(&reason), "link down");
        self.outlet.publish(|| Event::LinkDown { peer: peer.to_owned(), reason });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::remote::ClientConfig;

    /// Those of a client with the default options.
    pub(crate) fn resources() -> Arc<Resources> {
        let options = ClientConfig::new().check().expect("the defaults are valid");
        Resources::new(options.0, Arc::default())
    }
}
