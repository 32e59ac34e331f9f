//! What can be done with a reference to a grain, wherever in the cluster that lives.

use rakt::grain::{GrainKind, GrainRef};
use rakt::prelude::*;
use rakt::remote::{Policy, Role};

use crate::nodes::{Add, Common, Counter, Where};
use crate::support::within;

/// A grain that lives on the second node, as the first refers to it.
async fn living_there(nodes: &[ActorSystem]) -> Result<GrainRef<Counter>> {
    for key in 0_u32.. {
        let grain = nodes[0].grain::<Counter>(key.to_string());
        if within(grain.ask(Where {})).await? == 1 {
            return Ok(grain);
        }
    }
    Err("there are more keys".into())
}

async fn end(nodes: &[ActorSystem]) {
    for node in nodes {
        within(node.shutdown()).await;
    }
}

/// Passes on what it is asked.
struct Front(GrainRef<Counter>);

impl Actor for Front {}

impl Handler<Add> for Front {
    async fn handle(&mut self, add: Add, ctx: &mut Context<Self>) -> Result<u64> {
        ctx.forward(&self.0, add).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grain_on_another_node_is_reached_in_every_way() -> Result {
    let common = Common::default();
    let nodes = common.nodes(2).await?;
    let grain = living_there(&nodes).await?;
    assert!(!grain.is_active());
    let one = || Add { n: 1 };
    let recipient: Recipient<Add> = grain.recipient();
    let front = grain.clone();
    let front = nodes[0].spawn("front", move || Front(front.clone())).await?;

    within(grain.tell(one()).confirmed()).await?;
    within(recipient.tell(one())).await?;
    within(recipient.tell(one()).confirmed()).await?;
    recipient.try_tell(one())?;
    let mut sink = recipient.sink();
    within(sink.feed(one())).await?;
    within(sink.flush()).await?;
    assert_eq!(within(recipient.ask(one())).await?, 6);
    for told in within(grain.tell_all([one(), one()])).await {
        told?;
    }
    let asked = within(recipient.ask_all([one(), one()])).await;
    assert_eq!(asked.into_iter().collect::<Result<Vec<_>, _>>()?, [9, 10]);
    within(front.tell(one())).await?;
    assert_eq!(within(front.ask(one())).await?, 12);

    // By its address, through either node.
    for node in &nodes {
        let by_address = node.resolve(&recipient.portable());
        assert_eq!(within(by_address.ask(Add { n: 0 })).await?, 12);
    }
    end(&nodes).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_go_on_where_a_grain_has_moved_to() -> Result {
    const BATCH: u64 = 20;
    let common = Common::default();
    let mut nodes = common.nodes(3).await?;
    let grain = living_there(&nodes).await?;
    let front = grain.clone();
    let front = nodes[0].spawn("front", move || Front(front.clone())).await?;
    let (left, mut has_left) = tokio::sync::watch::channel(false);
    let sending: tokio::task::JoinHandle<Result<u64>> = tokio::spawn(async move {
        let (mut total, mut rounds_after) = (0, 0);
        while rounds_after < 5 {
            rounds_after += u64::from(*has_left.borrow_and_update());
            let batch = || (0..BATCH).map(|_| Add { n: 1 });
            for told in grain.tell_all(batch()).await {
                told?;
            }
            let asked = grain.ask_all(batch()).await.into_iter();
            let mut totals = asked.collect::<Result<Vec<_>, _>>()?;
            totals.sort_unstable();
            let all: Vec<u64> = (total + BATCH + 1..=total + 2 * BATCH).collect();
            assert_eq!(totals, all, "each once, and none lost");
            total += 2 * BATCH + 1;
            assert_eq!(front.ask(Add { n: 1 }).await?, total);
        }
        Ok(total)
    });
    let leaves = nodes.remove(1);
    let report = within(leaves.shutdown()).await;
    left.send_replace(true);
    assert_eq!(report.unfinished, Vec::<String>::new());
    within(sending).await??;
    assert_eq!(nodes[0].dead_letter_count(), 0);
    end(&nodes).await;
    Ok(())
}

/// A node that lets peers of this machine do what the policy says.
async fn node(common: &Common, node: u64, policy: Policy) -> Result<ActorSystem> {
    let activations = common.activations.clone();
    let kind = GrainKind::built_by(move || Counter::at(node, &activations));
    let system = ActorSystem::builder("cluster")
        .remoting(remote::Config::new("127.0.0.1", 0).policy(policy))
        .cluster(common.config())
        .grain(kind.store(common.store.clone()))
        .start()
        .await?;
    Ok(system)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grain_is_ended_from_another_node_that_may() -> Result {
    let policy = Policy::exposed().role("gardener", Role::new().may_manage("grains/**"));
    let policy = policy.grant("address:127.0.0.1", "gardener");
    let common = Common::default();
    let nodes = [
        node(&common, 0, policy.clone()).await?,
        node(&common, 1, policy.clone()).await?,
        node(&common, 2, policy).await?,
    ];
    let grain = living_there(&nodes).await?;
    let here = nodes[1].grain::<Counter>(grain.key());
    for total in 1..5 {
        assert_eq!(within(grain.ask(Add { n: 1 })).await?, total, "it has saved");
        assert!(here.is_active());
        match total {
            1 => within(grain.deactivate()).await?,
            2 => within(here.deactivate()).await?,
            3 => within(grain.stop()).await?,
            // By its address, through a node on which it does not live.
            _ => within(nodes[0].actor(&nodes[2].address(grain.path())?).stop()).await?,
        }
        assert!(!here.is_active());
    }
    let before = common.activations.load(std::sync::atomic::Ordering::Relaxed);
    within(grain.deactivate()).await?;
    within(nodes[0].grain::<Counter>("nobody").deactivate()).await?;
    let after = common.activations.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(before, after, "what does not live is not brought to life for it");
    end(&nodes).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grain_is_not_ended_from_a_node_that_may_not() -> Result {
    let common = Common::default();
    let nodes = common.nodes(2).await?;
    let grain = living_there(&nodes).await?;
    let error = within(grain.deactivate()).await.expect_err("the default lets nobody");
    assert!(matches!(error.refusal(), Some(Refusal::Denied { .. })), "{error}");
    let here = nodes[1].grain::<Counter>(grain.key());
    assert!(here.is_active());
    within(here.deactivate()).await?;
    assert!(!here.is_active());
    end(&nodes).await;
    Ok(())
}
