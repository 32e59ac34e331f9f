//! A rakt node with the actors of the contract.

use rakt::prelude::*;
use rakt::remote::{Config, GoAkt, Policy};

use crate::{actors, trace};

/// Where all nodes listen: addresses name it as text, and it must be the same text everywhere.
pub const ADDRESS: &str = "127.0.0.1";

/// The options of a node; port 0 takes a free one.
pub fn config(port: u16, goakt: GoAkt) -> Config {
    // Go nodes stop what others have spawned, as they may among themselves.
    Config::new(ADDRESS, port).goakt(goakt).policy(Policy::open())
}

/// Starts a node.
pub async fn start(system: &str, config: Config) -> Result<ActorSystem> {
    let builder =
        ActorSystem::builder(system).context_propagator(trace::Propagator).remoting(config);
    let system = actors::register(builder).start().await?;
    actors::spawn_all(&system).await?;
    Ok(system)
}
