//! What all connections of a node, or of a client, share.

use std::hash::Hash;
use std::sync::Arc;

use rakt_wire::Compression;

use super::admission::Source;
use super::budget::Budget;
use super::compressors::Compressors;
use super::config::Options;
use super::for_members::ForMembers;
use super::io::Pumps;
use super::links::{LinkOf, Links};
use super::policy::Policies;
use super::quota::Spawned;
use crate::error::{Cause, Chain};
use crate::events::{Event, Outlet};
use crate::log::LogLimit;

/// Logs a line that a peer can cause, as far as the limit for such lines allows. The peer is where it comes
/// from, not what it calls itself: it could be another for each line.
macro_rules! log_peer {
    ($resources:expr, $peer:expr, $level:ident, $topic:literal $(, $($field:tt)+)?) => {
        if $resources.may_log($topic, $peer) {
            tracing::$level!($($($field)+,)? $topic);
        }
    };
}
pub(crate) use log_peer;

pub(crate) struct Resources {
    pub(crate) options: Options,
    pub(crate) budget: Budget,
    pub(crate) compressors: Compressors,
    pub(crate) outlet: Arc<Outlet>,
    /// The actors that peers have spawned.
    pub(crate) spawned: Arc<Spawned>,
    /// The connections that run.
    pub(crate) pumps: Pumps,
    /// What peers may do.
    pub(crate) policies: Policies,
    /// What only members of the node's cluster reach.
    pub(crate) for_members: ForMembers,
    links: Links,
}

impl Resources {
    pub(crate) fn new(mut options: Options, outlet: Arc<Outlet>) -> Arc<Self> {
        let budget = Budget::new(options.memory_budget);
        let compressors = Compressors::new(options.compress_from);
        let spawned = Spawned::new(options.quota);
        let policies = Policies::new(std::mem::take(&mut options.policy));
        let (pumps, for_members, links) = Default::default();
        Arc::new(Self {
            options,
            budget,
            compressors,
            outlet,
            spawned,
            pumps,
            policies,
            for_members,
            links,
        })
    }

    /// Whether a line on this topic may be logged that `peer` has caused.
    pub(crate) fn may_log(&self, topic: &'static str, peer: &str) -> bool {
        self.may_log_of(topic, peer, ())
    }

    /// The same, where there are several causes for one topic.
    pub(crate) fn may_log_of(&self, topic: &'static str, peer: &str, cause: impl Hash) -> bool {
        let log: &Arc<LogLimit> = &self.outlet.peer_log;
        // Who has many ports has one address.
        let source = Source::of(peer);
        match source.is_known() {
            true => log.allows(topic, (source, cause)),
            false => log.allows(topic, (peer, cause)),
        }
    }

    /// A connection is open.
    pub(crate) fn link_up(&self, of: &LinkOf, compression: Compression) {
        crate::metrics::link_up();
        let mut is_first = false;
        self.links.up(of, || {
            is_first = true;
            self.outlet.publish(|| Event::LinkUp { peer: of.peer.to_string() });
        });
        if is_first {
            let LinkOf { peer, from, .. } = of;
            log_peer!(self, from, info, "link up", %peer, %compression);
        }
    }

    /// A connection has ended. So many plain tells were written to it of which nobody knows whether the peer has
    /// taken them.
    pub(crate) fn link_down(&self, of: &LinkOf, reason: Cause, unconfirmed: u64) {
        crate::metrics::link_down(unconfirmed);
        let mut sum = None;
        self.links.down(of, unconfirmed, |unconfirmed| {
            sum = Some(unconfirmed);
            let (peer, reason) = (of.peer.to_string(), reason.clone());
            self.outlet.publish(|| Event::LinkDown { peer, reason, unconfirmed });
        });
        if let Some(unconfirmed) = sum {
            let LinkOf { peer, from, .. } = of;
            log_peer!(self, from, info, "link down", %peer, reason = %Chain(&reason), unconfirmed);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::remote::{ClientConfig, Policy};

    /// Those of a client with the default options, whose peers may do everything.
    pub(crate) fn resources() -> Arc<Resources> {
        let (mut options, _) = ClientConfig::new().check().expect("the defaults are valid");
        options.policy = Policy::open();
        Resources::new(options, Arc::default())
    }
}
