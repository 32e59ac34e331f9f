//! Nodes of a cluster in one process, each with its own remoting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rakt::cluster::{Config, MemberState, MemoryRegister, Register};
use rakt::grain::{Grain, GrainKind, MemoryStore};
use rakt::prelude::*;

use crate::support::within;

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Add", reply = u64)]
pub(crate) struct Add {
    #[prost(uint64, tag = "1")]
    pub(crate) n: u64,
}

/// Which node a grain lives on.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Where", reply = u64)]
pub(crate) struct Where {}

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Total")]
pub(crate) struct Total {
    #[prost(uint64, tag = "1")]
    pub(crate) n: u64,
}

/// Counts, and keeps what it has counted.
pub(crate) struct Counter {
    total: u64,
    node: u64,
    activations: Arc<AtomicU64>,
}

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Add>().remote::<Where>();
    }
}

impl Grain for Counter {
    const KIND: &'static str = "counter";

    async fn activate(&mut self, ctx: &mut Context<Self>) -> Result {
        self.activations.fetch_add(1, Ordering::Relaxed);
        self.total = ctx.state::<Total>()?.unwrap_or_default().n;
        Ok(())
    }
}

impl Handler<Add> for Counter {
    async fn handle(&mut self, Add { n }: Add, ctx: &mut Context<Self>) -> Result<u64> {
        self.total += n;
        ctx.save(&Total { n: self.total }).await?;
        Ok(self.total)
    }
}

impl Handler<Where> for Counter {
    async fn handle(&mut self, _: Where, _: &mut Context<Self>) -> Result<u64> {
        Ok(self.node)
    }
}

/// What the nodes of a test have in common.
#[derive(Clone, Default)]
pub(crate) struct Common {
    pub(crate) register: MemoryRegister,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) activations: Arc<AtomicU64>,
}

impl Counter {
    pub(crate) fn at(node: u64, activations: &Arc<AtomicU64>) -> Self {
        Self { total: 0, node, activations: activations.clone() }
    }
}

impl Common {
    pub(crate) fn config(&self) -> Config {
        self.configured(self.register.clone())
    }

    pub(crate) fn configured(&self, register: impl Register) -> Config {
        let lease = Duration::from_secs(1);
        Config::on(register).lease(lease).probe_interval(Duration::from_millis(50))
    }

    pub(crate) async fn node(&self, node: u64) -> Result<ActorSystem> {
        let activations = self.activations.clone();
        let kind = GrainKind::built_by(move || Counter::at(node, &activations));
        let system = ActorSystem::builder("cluster")
            .remoting(remote::Config::new("127.0.0.1", 0))
            .cluster(self.config())
            .grain(kind.store(self.store.clone()))
            .start()
            .await?;
        Ok(system)
    }

    pub(crate) async fn nodes(&self, count: u64) -> Result<Vec<ActorSystem>> {
        let mut nodes = Vec::new();
        for node in 0..count {
            nodes.push(self.node(node).await?);
        }
        Ok(nodes)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_is_a_cluster_without_network() -> Result {
    let kind = GrainKind::built_by(|| Counter { total: 0, node: 0, activations: Arc::default() });
    let kind = kind.store(MemoryStore::new());
    let builder = ActorSystem::builder("alone").cluster(Config::alone()).grain(kind);
    let system = within(builder.start()).await?;
    assert_eq!(within(system.grain::<Counter>("a").ask(Add { n: 2 })).await?, 2);
    let members = system.members().ok_or("it is in one")?;
    assert_eq!(members.up().count(), 1);
    within(system.shutdown()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grain_lives_once_wherever_it_is_asked_from() -> Result {
    let common = Common::default();
    let nodes = common.nodes(3).await?;
    let mut at = [0; 3];
    for key in 0..30 {
        let key = key.to_string();
        for (n, node) in (1..).zip(&nodes) {
            assert_eq!(within(node.grain::<Counter>(&key).ask(Add { n: 1 })).await?, n);
        }
        at[within(nodes[0].grain::<Counter>(&key).ask(Where {})).await? as usize] += 1;
    }
    assert_eq!(common.activations.load(Ordering::Relaxed), 30);
    assert!(at.iter().all(|grains| *grains > 0), "they are spread: {at:?}");
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_leaves_hands_over_without_a_failed_ask() -> Result {
    let common = Common::default();
    let mut nodes = common.nodes(3).await?;
    let keys: Vec<String> = (0..50).map(|key| key.to_string()).collect();
    for key in &keys {
        within(nodes[0].grain::<Counter>(key).ask(Add { n: 1 })).await?;
    }
    let asking: tokio::task::JoinHandle<Result> = {
        let (node, keys) = (nodes[0].clone(), keys.clone());
        tokio::spawn(async move {
            let mut totals = vec![1; keys.len()];
            for round in 0..200 {
                let at = round % keys.len();
                let total = node.grain::<Counter>(&keys[at]).ask(Add { n: 1 }).await?;
                totals[at] += 1;
                assert_eq!(total, totals[at], "each once, and none lost");
                tokio::task::yield_now().await;
            }
            Ok(())
        })
    };
    let leaves = nodes.remove(1);
    let report = within(leaves.shutdown()).await;
    assert_eq!(report.unfinished, Vec::<String>::new());
    within(asking).await??;
    let members = nodes[0].members().ok_or("it is in one")?;
    assert_eq!(members.members.len(), 2, "{members}");
    assert!(members.members.iter().all(|member| member.state == MemberState::Up));
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_leave_at_once_hand_over_without_a_failed_ask() -> Result {
    let common = Common::default();
    let mut nodes = common.nodes(10).await?;
    let leaving = nodes.split_off(2);
    let keys: Vec<String> = (0..50).map(|key| key.to_string()).collect();
    for key in &keys {
        within(nodes[0].grain::<Counter>(key).ask(Add { n: 1 })).await?;
    }
    let have_left = Arc::new(AtomicBool::new(false));
    let asking: tokio::task::JoinHandle<Result> = {
        let (node, keys, have_left) = (nodes[0].clone(), keys.clone(), have_left.clone());
        tokio::spawn(async move {
            let mut total = 1;
            while !have_left.load(Ordering::Relaxed) {
                total += 1;
                for key in &keys {
                    let grain = node.grain::<Counter>(key);
                    assert_eq!(grain.ask(Add { n: 1 }).await?, total, "each once, and none lost");
                }
            }
            Ok(())
        })
    };
    let shutting: Vec<_> = leaving
        .into_iter()
        .map(|node| tokio::spawn(async move { node.shutdown().await }))
        .collect();
    for shuts in shutting {
        assert_eq!(within(shuts).await?.unfinished, Vec::<String>::new());
    }
    have_left.store(true, Ordering::Relaxed);
    within(asking).await??;
    let members = nodes[0].members().ok_or("it is in one")?;
    assert_eq!(members.members.len(), 2, "{members}");
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_while_nodes_leave_is_counted_once() -> Result {
    let common = Common::default();
    let mut nodes = common.nodes(3).await?;
    let node = nodes[0].clone();
    let letters = nodes[0].dead_letter_count();
    let told: tokio::task::JoinHandle<Result<Vec<_>>> = tokio::spawn(async move {
        let grains: Vec<_> = (0..20).map(|key| node.grain::<Counter>(key.to_string())).collect();
        for round in 0..50 {
            for grain in &grains {
                grain.tell(Add { n: 1 }).await?;
            }
            if round % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(grains)
    });
    let leaves = nodes.remove(1);
    within(leaves.shutdown()).await;
    let grains = within(told).await??;
    for grain in &grains {
        // Those that take a detour may come a little later.
        let total = within(async {
            loop {
                match grain.ask(Add { n: 0 }).await {
                    Ok(50) => return Ok(50),
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) => return Err(error),
                }
            }
        });
        assert_eq!(total.await?, 50);
    }
    assert_eq!(nodes[0].dead_letter_count(), letters);
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grain_is_reached_by_address_through_any_node() -> Result {
    let common = Common::default();
    let nodes = common.nodes(3).await?;
    let client = remote::Client::new("client", remote::ClientConfig::new())?;
    for key in 0..10 {
        let path = nodes[0].grain::<Counter>(key.to_string()).id()?.path();
        for (n, node) in (1..).zip(&nodes) {
            let address = node.address(&path)?;
            assert_eq!(within(client.ask(&address, Add { n: 1 })).await?, n);
        }
    }
    assert_eq!(common.activations.load(Ordering::Relaxed), 10);
    client.close().await;
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_to_a_grain_that_ends_is_for_its_next_life() -> Result {
    let common = Common::default();
    let nodes = common.nodes(2).await?;
    let mut keys = (0..).map(|key: u32| key.to_string());
    let key = loop {
        let key = keys.next().ok_or("there are more")?;
        if within(nodes[0].grain::<Counter>(&key).ask(Where {})).await? == 1 {
            break key;
        }
    };
    let (told, host) = (nodes[0].grain::<Counter>(&key), nodes[1].grain::<Counter>(&key));
    let before = common.activations.load(Ordering::Relaxed);
    let ending = tokio::spawn(async move {
        for _ in 0..50 {
            host.deactivate().await.expect("it ends");
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..1000 {
        told.tell(Add { n: 1 }).await?;
        tokio::task::yield_now().await;
    }
    within(ending).await?;
    let total = within(async {
        loop {
            match told.ask(Add { n: 0 }).await {
                Ok(1000) => return Ok(1000),
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return Err(error),
            }
        }
    });
    assert_eq!(total.await?, 1000);
    assert!(common.activations.load(Ordering::Relaxed) > before, "it has ended now and then");
    assert_eq!(nodes[0].dead_letter_count() + nodes[1].dead_letter_count(), 0);
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_a_node_that_was_shut_down() -> Result {
    let common = Common::default();
    let nodes = common.nodes(2).await?;
    for key in 0..10 {
        within(nodes[0].grain::<Counter>(key.to_string()).ask(Add { n: 1 })).await?;
    }
    for node in &nodes {
        within(node.shutdown()).await;
        within(node.shutdown()).await;
    }
    drop(nodes);
    within(async {
        while Arc::strong_count(&common.store) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Ok(())
}
