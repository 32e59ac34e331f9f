//! What becomes of grains while the register of their cluster is out of reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rakt::cluster::{MemoryRegister, Register, RegisterError, SwapError, Version};
use rakt::grain::{GrainId, GrainKind};
use rakt::prelude::*;
use rakt::{AskError, Event, Refusal};
use tokio::task::JoinSet;

use crate::nodes::{Add, Common, Counter, Where};
use crate::support::{LIMIT, event, within};

/// A register that a node can be cut off from.
struct CutOff {
    register: MemoryRegister,
    is_cut: Arc<AtomicBool>,
}

impl CutOff {
    fn check(&self) -> Result<(), RegisterError> {
        match self.is_cut.load(Ordering::Relaxed) {
            true => Err(RegisterError::new("it is out of reach")),
            false => Ok(()),
        }
    }
}

impl Register for CutOff {
    async fn read(&self) -> Result<(Version, Bytes), RegisterError> {
        self.check()?;
        self.register.read().await
    }

    async fn swap(&self, over: Version, view: Bytes) -> Result<Version, SwapError> {
        self.check().map_err(SwapError::Unknown)?;
        self.register.swap(over, view).await
    }
}

/// A node that can be cut off from the register.
pub(crate) async fn node(
    common: &Common,
    at: u64,
    is_cut: &Arc<AtomicBool>,
) -> Result<ActorSystem> {
    let activations = common.activations.clone();
    let kind = GrainKind::built_by(move || Counter::at(at, &activations));
    let register = CutOff { register: common.register.clone(), is_cut: is_cut.clone() };
    let system = ActorSystem::builder("cluster")
        .remoting(remote::Config::new("127.0.0.1", 0))
        .cluster(common.configured(register))
        .grain(kind.store(common.store.clone()));
    Ok(within(system.start()).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn grains_stand_still_without_the_register_and_go_on_with_it() -> Result {
    let (common, is_cut) = (Common::default(), Arc::new(AtomicBool::new(false)));
    let nodes = [node(&common, 0, &is_cut).await?, node(&common, 1, &is_cut).await?];
    let grains: Vec<_> = (0..20).map(|key| nodes[0].grain::<Counter>(key.to_string())).collect();
    for grain in &grains {
        assert_eq!(within(grain.ask(Add { n: 1 })).await?, 1);
    }
    let before = common.activations.load(Ordering::Relaxed);
    is_cut.store(true, Ordering::Relaxed);
    // It serves as long as its lease lasts, then refuses: nobody knows whether it is a member.
    let (mut totals, mut unknown) = (vec![1; grains.len()], vec![0; grains.len()]);
    for round in 0.. {
        let at = round % grains.len();
        match within(grains[at].ask(Add { n: 1 })).await {
            Ok(total) => {
                totals[at] += 1;
                assert_eq!(total, totals[at], "each once");
            }
            Err(AskError::NotSent { refusal: Refusal::Fenced, .. }) => break,
            // It lives on the other node, and stood still when this came: it may be handled yet.
            Err(AskError::Timeout { .. }) => {
                unknown[at] += 1;
                break;
            }
            Err(AskError::Refused { refusal: Refusal::Fenced, .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    is_cut.store(false, Ordering::Relaxed);
    for (at, grain) in grains.iter().enumerate() {
        let found = within(async {
            loop {
                match grain.ask(Add { n: 0 }).await {
                    Ok(found) => return found,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        let (found, least) = (found.await, totals[at]);
        assert!((least..=least + unknown[at]).contains(&found), "{found} of {least}: what it had");
    }
    assert_eq!(common.activations.load(Ordering::Relaxed), before, "they live on as they were");
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

/// So many are looked for; half of them live on the one node.
const GRAINS: usize = 4_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_stood_still_as_its_node_was_removed_is_found_where_it_lives_then() -> Result {
    let (common, is_cut) = (Common::default(), Arc::new(AtomicBool::new(false)));
    let (stays, goes) = (common.node(0).await?, node(&common, 1, &is_cut).await?);
    // By a connection that knows them, and by nobody else on their node. More than are ended at once.
    let client = remote::Client::new("client", remote::ClientConfig::new())?;
    let mut asking = JoinSet::new();
    for key in 0..GRAINS {
        let path = GrainId::new("counter", &key.to_string())?.path();
        let grain = client.actor(&goes.address(&path)?);
        asking.spawn(async move {
            loop {
                // A node that has so much to do may be without its lease for a moment.
                match grain.ask(Where {}).timeout(LIMIT).await {
                    Err(AskError::Refused { refusal: Refusal::Fenced, .. }) => {}
                    asked => return (asked, grain),
                }
            }
        });
    }
    let mut grains = Vec::new();
    while let Some(asked) = within(asking.join_next()).await {
        let (at, grain) = asked?;
        if at? == 1 {
            grains.push(grain);
        }
    }
    let mut events = goes.events();
    is_cut.store(true, Ordering::Relaxed);
    // Each has something to do as the lease is over.
    let stand_still = grains.iter().cloned().map(|grain| async move {
        while grain.ask(Where {}).timeout(Duration::from_millis(200)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    within(stand_still.collect::<JoinSet<_>>().join_all()).await;
    within(async {
        while stays.members().is_none_or(|members| members.up().count() > 1) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    is_cut.store(false, Ordering::Relaxed);
    event(&mut events, |event| matches!(event, Event::Fenced).then_some(())).await;
    let come_back = grains.into_iter().map(|grain| async move {
        while grain.ask(Where {}).timeout(Duration::from_secs(1)).await.is_err() {}
    });
    within(come_back.collect::<JoinSet<_>>().join_all()).await;
    client.close().await;
    for node in [stays, goes] {
        within(node.shutdown()).await;
    }
    Ok(())
}
