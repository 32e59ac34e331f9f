//! Nodes that found a cluster, whenever each of them starts.

use std::time::Duration;

use rakt::prelude::*;

use crate::fleet::{Fleet, LEASE};
use crate::history::Observer;
use crate::world::inside;

/// How often a cluster is founded. Default: 3 times.
const ROUNDS: &str = "RAKT_FOUNDINGS";

#[test]
#[ignore = "needs root"]
fn nodes_that_start_at_odd_times_found_one_cluster() -> Result {
    inside("founding::nodes_that_start_at_odd_times_found_one_cluster", async || {
        let rounds = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
        for round in 0..rounds {
            let seed = fastrand::u64(..);
            fastrand::seed(seed);
            let count = fastrand::u64(2..=5);
            let mut fleet = Fleet::new(count, LEASE)?;
            let mut order: Vec<u64> = (1..=count).collect();
            fastrand::shuffle(&mut order);
            // One of them is killed in the middle of it, or soon after, and starts again.
            let victim = fastrand::choice(order.clone()).ok_or("there are some")?;
            let kill_after = fastrand::u64(0..3_000);
            for node in order {
                fleet.launch(node)?;
                // About as long as all have to see each other.
                tokio::time::sleep(Duration::from_millis(fastrand::u64(0..600))).await;
            }
            tokio::time::sleep(Duration::from_millis(kill_after)).await;
            fleet.kill(victim);
            fleet.launch(victim)?;
            let started = tokio::task::spawn_blocking(move || {
                fleet.ready().map(|()| fleet).map_err(|error| error.to_string())
            });
            let fleet = started.await?.map_err(|error| format!("seed {seed}: {error}"))?;
            let observer = Observer::idle(1..=count)?;
            // Were there two clusters, none of them would have all.
            let all = observer.members(observer.nodes(), observer.nodes()).await;
            all.map_err(|error| format!("seed {seed}: {error}"))?;
            println!("round {round}: {count} nodes, of which {victim} was killed");
            drop(fleet);
        }
        Ok(())
    })
}
