//! What has a name of the cluster stands still while its node has no lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rakt::prelude::*;
use rakt::{Event, StopReason};
use tokio::sync::{Notify, mpsc};

use crate::nodes::Common;
use crate::readiness::{node, until_not_ready};
use crate::support::{begun, event, within};

/// Waits to be let on, and counts.
struct Pass;
rakt::messages! { Pass => u64 }

struct Counts {
    passed: u64,
    enters: mpsc::UnboundedSender<()>,
    lets_on: Arc<Notify>,
    all: Arc<AtomicU64>,
}

impl Actor for Counts {
    async fn stopped(&mut self, _: &mut Context<Self>) -> Result {
        self.all.fetch_add(1000, Ordering::Relaxed);
        Ok(())
    }
}

impl Handler<Pass> for Counts {
    async fn handle(&mut self, _: Pass, _: &mut Context<Self>) -> Result<u64> {
        self.enters.send(())?;
        self.lets_on.notified().await;
        self.all.fetch_add(1, Ordering::Relaxed);
        self.passed += 1;
        Ok(self.passed)
    }
}

/// What a test has of such actors.
struct Held {
    enters: mpsc::UnboundedSender<()>,
    entered: mpsc::UnboundedReceiver<()>,
    lets_on: Arc<Notify>,
    all: Arc<AtomicU64>,
}

impl Held {
    fn new() -> Self {
        let (enters, entered) = mpsc::unbounded_channel();
        Self { enters, entered, lets_on: Arc::default(), all: Arc::default() }
    }

    fn counts(&self) -> impl Fn() -> Counts + Send + Sync + 'static {
        let (enters, lets_on, all) = (self.enters.clone(), self.lets_on.clone(), self.all.clone());
        move || Counts {
            passed: 0,
            enters: enters.clone(),
            lets_on: lets_on.clone(),
            all: all.clone(),
        }
    }

    fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_a_name_goes_on_with_the_lease_of_its_node() -> Result {
    let (alone, register) = node(&Common::default(), 0).await?;
    let mut held = Held::new();
    let spawned = alone.spawn("counts", held.counts()).cluster_wide();
    let counts = within(spawned.into_future()).await?;
    for round in 1..3 {
        let hour = std::time::Duration::from_secs(3600);
        let asked = begun(counts.ask(Pass).timeout(hour).into_future()).await;
        within(held.entered.recv()).await;
        register.set_down(true);
        until_not_ready(&alone).await;
        held.lets_on.notify_one();
        // Whoever comes now waits as well.
        let next = begun(counts.ask(Pass).timeout(hour).into_future()).await;
        assert_eq!(held.all(), 2 * round - 2, "it stands still");
        register.set_down(false);
        assert_eq!(within(asked).await?, 2 * round - 1);
        within(held.entered.recv()).await;
        held.lets_on.notify_one();
        assert_eq!(within(next).await?, 2 * round, "it is the same one");
    }
    // A shutdown does not wait for a lease.
    register.set_down(true);
    until_not_ready(&alone).await;
    let report = within(alone.shutdown()).await;
    assert_eq!((report.unfinished, held.all()), (Vec::new(), 4));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_a_name_ends_without_a_word_where_its_node_was_removed() -> Result {
    let (common, mut held) = (Common::default(), Held::new());
    let (first, register) = node(&common, 0).await?;
    let (second, _) = node(&common, 1).await?;
    let counts = within(first.spawn("counts", held.counts()).cluster_wide().into_future()).await?;
    let asked = begun(counts.ask(Pass).into_future()).await;
    within(held.entered.recv()).await;
    let mut events = first.events();
    register.set_down(true);
    until_not_ready(&first).await;
    held.lets_on.notify_one();
    let there = within(async {
        loop {
            let spawned = second.spawn("counts", held.counts()).cluster_wide().await;
            match spawned {
                Ok(there) => return there,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let there = there.await;
    // Only the register can tell the node that it was removed.
    register.set_down(false);
    let reason = event(&mut events, |event| match event {
        Event::ActorStopped { path, reason } if path == "counts" => Some(reason),
        _ => None,
    });
    let reason = reason.await;
    assert!(matches!(reason, StopReason::Failed(_)), "{reason}");
    within(asked).await.expect_err("nobody has answered");
    within(counts.ended()).await;
    assert_eq!(held.all(), 0, "neither its handler nor its last hook went on");
    held.lets_on.notify_one();
    assert_eq!(within(there.ask(Pass)).await?, 1);
    within(first.ready()).await?;
    assert!(first.find("counts").is_none(), "the name is free here");
    for node in [first, second] {
        within(node.shutdown()).await;
    }
    Ok(())
}
