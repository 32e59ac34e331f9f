//! The register of three nodes keeps what every register promises.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rakt::cluster::{Register, RegisterError, Starting, Static, SwapError, Version};
use rakt::prelude::*;
use rakt::testkit::register;
use rakt_raft::Embedded;
use tokio::sync::Mutex;

/// One of the registers of a cluster, which others have as well.
struct Shared(Arc<Embedded>);

impl Register for Shared {
    async fn read(&self) -> std::result::Result<(Version, Bytes), RegisterError> {
        self.0.read().await
    }

    async fn confirm(&self, seen: Version) -> std::result::Result<bool, RegisterError> {
        self.0.confirm(seen).await
    }

    async fn swap(&self, over: Version, view: Bytes) -> std::result::Result<Version, SwapError> {
        self.0.swap(over, view).await
    }

    async fn changed(&self, seen: Version) {
        self.0.changed(seen).await
    }
}

struct Cluster {
    nodes: Vec<Arc<Embedded>>,
    systems: Vec<ActorSystem>,
}

impl Cluster {
    /// `voters` found it, and the others join.
    async fn start(dir: &Path, voters: usize, nodes: usize) -> Result<Self> {
        let mut systems = Vec::new();
        for _ in 0..nodes {
            let config = remote::Config::new("127.0.0.1", 0);
            systems.push(ActorSystem::builder("cluster").remoting(config).start().await?);
        }
        let seeds: Vec<_> = systems[..voters].iter().map(|system| system.advertised()).collect();
        let seeds = Static::new(seeds);
        let mut registers = Vec::new();
        let mut starting = Vec::new();
        for (n, system) in systems.iter().enumerate() {
            let register = Embedded::at(dir.join(n.to_string()))
                .settle(Duration::from_millis(100))
                .request_timeout(Duration::from_secs(20));
            let register = if n < voters { register.expect(voters as u32) } else { register };
            let register = Arc::new(register);
            registers.push(register.clone());
            let with = Starting::new(system.clone(), seeds.clone());
            starting.push(tokio::spawn(async move { register.start(with).await }));
        }
        for starting in starting {
            starting.await??;
        }
        Ok(Self { nodes: registers, systems })
    }
}

async fn check(voters: usize, nodes: usize) -> Result {
    let dir = tempfile::tempdir()?;
    let clusters: Mutex<HashMap<String, Cluster>> = Mutex::default();
    let open = async |name: String| {
        // Whoever asks for the second node waits for the first one's cluster.
        let mut clusters = clusters.lock().await;
        if !clusters.contains_key(&name) {
            let cluster = Cluster::start(&dir.path().join(&name), voters, nodes).await;
            clusters.insert(name.clone(), cluster.expect("it starts"));
        }
        let cluster = clusters.get_mut(&name).expect("it is there");
        Shared(cluster.nodes.pop().expect("there are three"))
    };
    register::check(open).await;
    for cluster in clusters.into_inner().into_values() {
        for system in cluster.systems {
            system.shutdown().await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes half a minute: `.ci/run register`"]
async fn three_voters_are_one_register() -> Result {
    check(3, 3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes half a minute: `.ci/run register`"]
async fn two_that_ask_one_voter_are_one_register() -> Result {
    check(1, 3).await
}
