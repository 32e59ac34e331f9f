//! A cluster that keeps its view in its own nodes.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rakt::Event;
use rakt::cluster::{
    Config, Discovery, DiscoveryError, Register, RegisterError, Seed, Starting, SwapError, Version,
};
use rakt::error::Chain;
use rakt::grain::{Grain, GrainKind};
use rakt::prelude::*;
use rakt::remote::Verb;
use rakt_raft::Embedded;

/// After this the test is hung.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.Count", codec = "postcard", reply = u64)]
struct Count;

/// How often it was asked, and how many have ended as they should.
#[derive(Default)]
struct Counter(u64, Arc<AtomicU64>);

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Count>();
    }
}

impl Grain for Counter {
    const KIND: &'static str = "counter";

    async fn passivate(&mut self, _: &mut Context<Self>) -> Result {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Handler<Count> for Counter {
    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Result<u64> {
        self.0 += 1;
        Ok(self.0)
    }
}

/// Where the nodes are that have begun to start, and how many of their grains have ended as they should.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<Vec<Seed>>>, Arc<AtomicU64>);

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
    let ended = known.1.clone();
    let config = Config::on(Telling(register, known.clone()))
        .discover(known)
        .lease(Duration::from_secs(3))
        .probe_interval(Duration::from_millis(100));
    let system = ActorSystem::builder("cluster")
        .remoting(remote::Config::new("127.0.0.1", 0))
        .cluster(config)
        .grain(GrainKind::built_by(move || Counter(0, ended.clone())))
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

/// Three that have founded a cluster.
async fn three(dir: &Path, known: &Known) -> Result<Vec<ActorSystem>> {
    let start = |n: u32| {
        let (dir, known) = (dir.join(n.to_string()), known.clone());
        tokio::spawn(
            async move { start(&dir, known, Some(3)).await.map_err(|error| error.to_string()) },
        )
    };
    let starting: Vec<_> = (0..3).map(start).collect();
    let mut nodes = Vec::new();
    for starting in starting {
        nodes.push(starting.await??);
    }
    Ok(nodes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_found_a_cluster_without_anybody_else_and_go_on_without_one() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Known::default());
    let mut nodes = three(dir.path(), &known).await?;
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
    Ok(())
}

/// Brings grains to life, and shuts nodes down at once; every life is to end as it should.
async fn end_together(nodes: &[ActorSystem], ended: &AtomicU64) -> Result {
    let keys: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    for key in &keys {
        count(&nodes[0], key).await?;
    }
    let before = ended.load(Ordering::Relaxed);
    let ending: Vec<_> = nodes
        .iter()
        .cloned()
        .map(|node| tokio::spawn(async move { node.shutdown().await }))
        .collect();
    for ending in ending {
        let report = tokio::time::timeout(LIMIT, ending).await??;
        assert_eq!(report.unfinished, Vec::<String>::new());
    }
    assert_eq!(ended.load(Ordering::Relaxed) - before, keys.len() as u64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_end_together_leave_together() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Known::default());
    let nodes = three(dir.path(), &known).await?;
    end_together(&nodes, &known.1).await?;
    // Had one not left, those who begin would find it dead first.
    drop(nodes);
    let again = three(dir.path(), &known).await?;
    let shown = again[0].members().ok_or("it is in one")?.to_string();
    assert!(!shown.contains("Dead"), "{shown}");
    Ok(())
}

/// The others have left before, and two of three voters with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lives_on_the_last_node_ends_as_it_should() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Known::default());
    let mut nodes = three(dir.path(), &known).await?;
    nodes.remove(0).shutdown().await;
    let last = nodes.remove(0);
    let keys: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    for key in &keys {
        count(&last, key).await?;
    }
    nodes.remove(0).shutdown().await;
    let (system, before) = (last.clone(), known.1.load(Ordering::Relaxed));
    let lives = system.grains().iter().map(|kind| kind.active).sum::<usize>();
    let report = tokio::time::timeout(LIMIT, last.shutdown()).await?;
    assert_eq!(report.unfinished, Vec::<String>::new());
    assert!(lives > 0);
    assert_eq!(known.1.load(Ordering::Relaxed) - before, lives as u64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_finds_no_cluster_in_time_says_what_it_has_waited_for() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Known::default());
    let _other = start(&dir.path().join("other"), known.clone(), Some(1)).await?;
    let register = Embedded::at(dir.path().join("late")).settle(Duration::from_millis(200));
    let late = ActorSystem::builder("shop")
        .remoting(remote::Config::new("127.0.0.1", 0))
        .cluster(Config::on(register).discover(known).join_timeout(Duration::from_secs(1)))
        .start();
    let error = tokio::time::timeout(LIMIT, late).await?.expect_err("it is of another system");
    let said = Chain(&error).to_string();
    assert!(said.contains("no cluster within 1s") && said.contains("\"cluster\""), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_member_is_not_heard_by_the_register() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Known::default());
    let node = |name: &str| Embedded::at(dir.path().join(name)).settle(Duration::from_millis(200));
    let start = |config: Config| {
        let config = config.discover(known.clone()).join_timeout(Duration::from_secs(2));
        let remoting = remote::Config::new("127.0.0.1", 0);
        ActorSystem::builder("cluster").remoting(remoting).cluster(config).start()
    };
    let strict = Config::on(Telling(node("first").expect(1), known.clone()));
    let first = start(strict.members("spiffe://prod.example/shop")).await?;
    let mut events = first.events();
    let late = tokio::time::timeout(LIMIT, start(Config::on(node("late")))).await?;
    let said = Chain(&late.expect_err("nobody answers it")).to_string();
    assert!(said.contains("which is no member of this cluster"), "{said}");
    let denied = events.find(|event| match event {
        Event::Denied { verb, path, .. } => Some((verb, path)),
        _ => None,
    });
    let denied = tokio::time::timeout(LIMIT, denied).await?;
    assert_eq!(denied, Some((Verb::Ask, "rakt-raft".to_owned())));
    Ok(())
}
