//! A rakt node with the actors of the contract.

use rakt::prelude::*;
use rakt::remote::{Compression, Config, GoAkt, Policy};

use crate::{actors, trace};

/// Where all nodes listen: addresses name it as text, and it must be the same text everywhere.
pub const ADDRESS: &str = "127.0.0.1";

/// Starts a node; port 0 takes a free one. `compression` is for the Go nodes that it dials.
pub async fn start(system: &str, port: u16, compression: Compression) -> Result<ActorSystem> {
    start_with(system, port, GoAkt::new().compression(compression)).await
}

/// Starts a node with options of its own.
pub async fn start_with(system: &str, port: u16, goakt: GoAkt) -> Result<ActorSystem> {
    let builder = ActorSystem::builder(system)
        .context_propagator(trace::Propagator)
        // Go nodes stop what others have spawned, as they may among themselves.
        .remoting(Config::new(ADDRESS, port).goakt(goakt).policy(Policy::open()));
    let system = actors::register(builder).start().await?;
    actors::spawn_all(&system).await?;
    Ok(system)
}
