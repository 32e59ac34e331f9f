//! A system becomes a node of a cluster.

use std::sync::Arc;

use super::config::Config;
use super::members::Members;
use super::node::Node;
use crate::error::Refusal;
use crate::system::core::ActorSystem;
use crate::system::{Connecting, RemotingConfig, StartError, SystemBuilder};

impl SystemBuilder {
    /// Has the system be a node of a cluster: its grains live on any node of it, each once. Default: it is alone.
    pub fn cluster(mut self, config: Config) -> Self {
        self.cluster = Some(Box::new(config));
        self
    }
}

impl RemotingConfig for Config {
    fn start(self: Box<Self>, system: ActorSystem) -> Connecting {
        Box::pin(async move {
            self.check()?;
            let joined = Node::join(&system, *self).await;
            joined.map_err(|source| StartError::Cluster { source })
        })
    }
}

impl ActorSystem {
    /// The members of the cluster that this node is in, as far as it knows; `None` if it is in none.
    pub fn members(&self) -> Option<Members> {
        let members = self.member()?.progress.borrow().members.clone();
        Some(members)
    }

    /// Whether this node does its part at the moment, for a readiness probe. In a cluster: it is
    /// [`Up`](super::MemberState::Up), has the lease under which its grains run, and was handed all that it keeps track of when
    /// it became a member. So it is not while it is cut off, or was removed and has not joined again. A system that is in
    /// no cluster does its part all the time. Whoever shuts down does none any more.
    ///
    /// It looks at what the node knows, and asks nobody.
    pub fn is_ready(&self) -> bool {
        let does_its_part = match self.0.is_clustered {
            true => self.member().is_some_and(|node| node.is_ready()),
            false => true,
        };
        does_its_part && !self.is_shutting_down()
    }

    /// Waits until the node [does its part](Self::is_ready), for as long as that takes: give it a limit of your own.
    /// [`start`](SystemBuilder::start) has waited for it once.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] if the system shuts down, before or meanwhile.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn ready(&self) -> Result<(), Refusal> {
        if let Some(node) = self.member() {
            tokio::select! {
                () = node.ready() => {}
                () = self.shutdown_begun() => {}
            }
        }
        match self.is_shutting_down() {
            true => Err(Refusal::ShuttingDown),
            false => Ok(()),
        }
    }

    /// What it is in its cluster.
    pub(super) fn member(&self) -> Option<Arc<Node>> {
        self.cluster()?.clone().as_any().downcast::<Node>().ok()
    }
}
