//! A cluster that keeps its view in its own nodes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rakt::cluster::{
    Config, Discovery, DiscoveryError, Register, RegisterError, Seed, Starting, SwapError, Version,
};
use rakt::grain::{Grain, GrainKind};
use rakt::prelude::*;
use rakt_raft::Embedded;

/// After this the test is hung.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.Count", codec = "postcard", reply = u64)]
struct Count;

#[derive(Default)]
struct Counter(u64);

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Count>();
    }
}

impl Grain for Counter {
    const KIND: &'static str = "counter";
}

impl Handler<Count> for Counter {
    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Result<u64> {
        self.0 += 1;
        Ok(self.0)
    }
}

/// Where the nodes are that have begun to start.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<Vec<Seed>>>);

impl Discovery for Known {
    async fn find(&self) -> std::result::Result<Vec<Seed>, DiscoveryError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// A register that tells the others where its node is, whose port was free.
struct Telling(Embedded, Known);

impl Register for Telling {
    async fn start(&self, starting: Starting) -> std::result::Result<(), RegisterError> {
        let (host, port) = starting.system.advertised();
        let seed = Seed { host: host.to_owned(), port };
        self.1.0.lock().unwrap_or_else(PoisonError::into_inner).push(seed);
        self.0.start(starting).await
    }

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

    async fn stop(&self) {
        self.0.stop().await
    }
}

async fn start(dir: &Path, known: Known, expect: Option<u32>) -> Result<ActorSystem> {
    let register =
        Embedded::at(dir).settle(Duration::from_millis(200)).heartbeat(Duration::from_millis(100));
    let register = match expect {
        Some(n) => register.expect(n),
        None => register,
    };
    let config = Config::on(Telling(register, known.clone()))
        .discover(known)
        .lease(Duration::from_secs(2))
        .probe_interval(Duration::from_millis(100));
    let system = ActorSystem::builder("cluster")
        .remoting(remote::Config::new("127.0.0.1", 0))
        .cluster(config)
        .grain(GrainKind::built_by(Counter::default))
        .start();
    Ok(tokio::time::timeout(LIMIT, system).await??)
}

async fn count(system: &ActorSystem, key: &str) -> Result<u64> {
    let since = tokio::time::Instant::now();
    loop {
        match system.grain::<Counter>(key).ask(Count).await {
            Ok(n) => return Ok(n),
            // While one is missed that hosted it.
            Err(error) if error.is_safe_to_retry() && since.elapsed() < LIMIT => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_found_a_cluster_without_anybody_else_and_go_on_without_one() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Known::default());
    let starting: Vec<_> = (0..3)
        .map(|n| {
            let (dir, known) = (dir.path().join(n.to_string()), known.clone());
            tokio::spawn(async move {
                start(&dir, known, Some(3)).await.map_err(|error| error.to_string())
            })
        })
        .collect();
    let mut nodes = Vec::new();
    for starting in starting {
        nodes.push(starting.await??);
    }
    for key in ["a", "b", "c", "d", "e", "f"] {
        for (n, node) in (1..).zip(&nodes) {
            assert_eq!(count(node, key).await?, n, "one life of {key}, wherever it is asked from");
        }
    }
    let late = start(&dir.path().join("late"), known, None).await?;
    assert_eq!(count(&late, "a").await?, 4);
    assert_eq!(late.members().ok_or("it is in one")?.up().count(), 4);
    // It may be the leader.
    nodes.remove(0).shutdown().await;
    for key in ["a", "b", "c", "d", "e", "f"] {
        let before = count(&nodes[0], key).await?;
        assert_eq!(count(&late, key).await?, before + 1);
    }
    // One after the other they could not leave: those that are left are no majority of the voters.
    Ok(())
}
