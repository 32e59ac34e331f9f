//! A rakt node with the actors of the contract.

use std::time::Duration;

use rakt::cluster;
use rakt::prelude::*;
use rakt::remote::{Config, GoAkt, Policy};

use crate::keeper::{Shared, keep};
use crate::{actors, trace};

/// Where all nodes listen: addresses name it as text, and it must be the same text everywhere.
pub const ADDRESS: &str = "127.0.0.1";

/// The options of a node; port 0 takes a free one.
pub fn config(port: u16, goakt: GoAkt) -> Config {
    // Go nodes stop what others have spawned, as they may among themselves.
    Config::new(ADDRESS, port).goakt(goakt).policy(Policy::open())
}

/// Starts a node; of a cluster, if it is told on which port what its nodes share is kept.
pub async fn start(system: &str, config: Config, keeper: Option<u16>) -> Result<ActorSystem> {
    let mut builder =
        ActorSystem::builder(system).context_propagator(trace::Propagator).remoting(config);
    if let Some(port) = keeper {
        let config = cluster::Config::on(Shared::at(port).await?);
        let (lease, probe) = (Duration::from_secs(3), Duration::from_millis(200));
        builder = builder.cluster(config.lease(lease).probe_interval(probe));
    }
    let system = actors::register(builder).start().await?;
    actors::spawn_all(&system).await?;
    Ok(system)
}

/// Keeps what the nodes of a cluster share.
pub async fn keep_register() -> Result<ActorSystem> {
    Ok(keep().await?.0)
}
