//! Does a node say truly whether it does its part?

use rakt::Event;
use rakt::cluster::{Config, MemberState, MemoryRegister};
use rakt::grain::GrainKind;
use rakt::prelude::*;
use rakt::testkit::FaultyRegister;

use crate::nodes::{Add, Common, Counter};
use crate::support::{begun, event, within};

pub(crate) type Faulty = FaultyRegister<MemoryRegister>;

/// A node with a way of its own to the register.
pub(crate) async fn node(common: &Common, at: u64) -> Result<(ActorSystem, Faulty)> {
    let register = FaultyRegister::new(common.register.clone());
    let activations = common.activations.clone();
    let kind = GrainKind::built_by(move || Counter::at(at, &activations));
    let system = ActorSystem::builder("cluster")
        .remoting(remote::Config::new("127.0.0.1", 0))
        .cluster(common.configured(register.clone()))
        .grain(kind.store(common.store.clone()))
        .start();
    Ok((within(system).await?, register))
}

/// Waits until a node is ready no more.
pub(crate) async fn until_not_ready(node: &ActorSystem) {
    within(async {
        while node.is_ready() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_removed_is_not_ready_until_it_is_back() -> Result {
    let common = Common::default();
    let mut nodes = Vec::new();
    for at in 0..3 {
        nodes.push(node(&common, at).await?);
    }
    assert!(nodes.iter().all(|(node, _)| node.is_ready()), "they have started");
    let (cut, register) = &nodes[2];
    let (mut events, mut changes) = (cut.events(), nodes[0].0.events());
    register.set_down(true);
    let is_removal =
        |event| matches!(event, Event::ClusterChanged { members } if members.contains("Dead"));
    event(&mut changes, |event| is_removal(event).then_some(())).await;
    until_not_ready(cut).await;
    let waits = begun(cut.ready()).await;
    assert!(nodes[..2].iter().all(|(node, _)| node.is_ready()), "the others go on");
    // Only the register can tell it that it was removed.
    register.set_down(false);
    event(&mut events, |event| matches!(event, Event::Fenced).then_some(())).await;
    within(waits).await?;
    let members = cut.members().ok_or("it is in one")?;
    let port = cut.advertised().1;
    let is_up = |state| state == MemberState::Up;
    assert!(members.members.iter().any(|it| it.port == port && is_up(it.state)), "{members}");
    assert_eq!(within(cut.grain::<Counter>("a").ask(Add { n: 1 })).await?, 1);
    for (node, _) in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_ready_as_long_as_it_has_a_lease() -> Result {
    let (alone, register) = node(&Common::default(), 0).await?;
    for _ in 0..2 {
        assert!(alone.is_ready());
        within(alone.ready()).await?;
        register.set_down(true);
        until_not_ready(&alone).await;
        // One that gives up takes nothing from one that waits on.
        let (waits, gives_up) = (begun(alone.ready()).await, begun(alone.ready()).await);
        drop(gives_up);
        register.set_down(false);
        within(waits).await?;
    }
    register.set_down(true);
    until_not_ready(&alone).await;
    let waits = begun(alone.ready()).await;
    let (waited, _) = tokio::join!(within(waits), within(alone.shutdown()));
    assert!(matches!(waited, Err(Refusal::ShuttingDown)), "{waited:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shuts_down_is_not_ready_in_a_cluster_or_without_one() -> Result {
    for cluster in [None, Some(Config::alone())] {
        let builder = ActorSystem::builder("alone");
        let builder = match cluster {
            Some(cluster) => builder.cluster(cluster),
            None => builder,
        };
        let system = within(builder.start()).await?;
        assert!(system.is_ready());
        within(system.ready()).await?;
        within(system.shutdown()).await;
        assert!(!system.is_ready());
        assert!(matches!(within(system.ready()).await, Err(Refusal::ShuttingDown)));
    }
    Ok(())
}
