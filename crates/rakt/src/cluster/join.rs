//! A system becomes a node of a cluster.

use super::config::Config;
use super::members::Members;
use super::node::Node;
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
        let node = self.cluster()?.clone().as_any().downcast::<Node>().ok()?;
        let members = node.progress.borrow().members.clone();
        Some(members)
    }
}
