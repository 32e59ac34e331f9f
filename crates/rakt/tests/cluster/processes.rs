//! Nodes that are real processes: what a cluster promises where they are killed, stand still, and start again.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rakt::error::Chain;
use rakt::prelude::*;
use tokio::task::JoinSet;

use crate::fleet::{Cluster, Count, Crowd, Hosted, LATE, LEASE, PATIENCE, SAVING, ask_all};
use crate::nodes::Add;
use crate::support::within;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_first_asks_from_all_nodes_are_one_activation() -> Result {
    let cluster = Cluster::start().await?;
    let mut asking = JoinSet::new();
    for node in cluster.nodes.values() {
        let host = cluster.host(node.port).await?;
        asking.spawn(async move {
            host.ask(Crowd { key: "one".into(), count: 334 }).timeout(PATIENCE).await
        });
    }
    let mut lives = Vec::new();
    while let Some(answered) = within(asking.join_next()).await {
        lives.extend(answered??.lives);
    }
    let epochs: BTreeSet<_> = lives.iter().map(|life| (&life.epoch, life.node)).collect();
    assert_eq!(epochs.len(), 1, "{epochs:?}");
    let totals: BTreeSet<_> = lives.iter().map(|life| life.total).collect();
    assert!(totals.into_iter().eq(1..=3 * 334), "each was handled once");
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn grains_of_a_killed_node_answer_again_at_a_higher_epoch_with_all_they_saved() -> Result {
    let mut cluster = Cluster::start().await?;
    let grains = cluster.grains(2_000);
    let before = ask_all(&grains, 1).await?;
    let of_two = before.iter().filter(|life| life.node == 2).count();
    assert!(of_two > 100, "{of_two} live there");

    // Some are counted on meanwhile: what is confirmed is not lost, what is not may be there or not.
    let is_over = Arc::new(AtomicBool::new(false));
    let counting: JoinSet<(usize, u64, u64)> = (0..8)
        .map(|at| {
            let (grain, is_over) = (grains[at].clone(), is_over.clone());
            async move {
                let (mut confirmed, mut unknown) = (1, 0);
                while !is_over.load(Ordering::Relaxed) {
                    match grain.ask(Count { add: 1 }).timeout(PATIENCE).await {
                        Ok(_) => confirmed += 1,
                        Err(error) if error.is_safe_to_retry() => {}
                        Err(_) => unknown += 1,
                    }
                }
                (at, confirmed, unknown)
            }
        })
        .collect();
    let killed = cluster.take(2);
    killed.signal("-KILL");
    let after = ask_all(&grains, 0).await?;
    is_over.store(true, Ordering::Relaxed);
    let counted = within(counting.join_all()).await;

    for (before, after) in before.iter().zip(&after) {
        assert_ne!(after.node, 2);
        match before.node {
            2 => assert!(after.epoch > before.epoch, "{after:?} after {before:?}"),
            // Those of the others have lived on.
            _ => assert_eq!((after.node, &after.epoch), (before.node, &before.epoch)),
        }
    }
    assert!(after[8..].iter().all(|life| life.total == 1), "nothing was lost or handled twice");
    for (at, confirmed, unknown) in counted {
        let total = ask_all(&grains[at..=at], 0).await?[0].total;
        assert!((confirmed..=confirmed + unknown).contains(&total), "{total}, not {confirmed}");
    }
    assert!(!killed.ended().await?);
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_again_at_its_address_is_reached_as_a_new_one() -> Result {
    let mut cluster = Cluster::start().await?;
    let grains = cluster.grains(300);
    let before = ask_all(&grains, 1).await?;
    let killed = cluster.take(2);
    let port = killed.port;
    killed.signal("-KILL");
    killed.ended().await?;
    // At once: the others still take the old one for a member.
    cluster.start_node(2, port).await?;
    let after = ask_all(&grains, 1).await?;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.total, 2);
        assert!(before.node != 2 || after.epoch > before.epoch, "{after:?} after {before:?}");
    }
    let members = cluster.members(|members| members.members.len() == 4).await;
    assert_eq!(members.up().filter(|member| member.port == port).count(), 1, "{members}");
    // New ones come to life there as well, by the routes of all.
    let new: Vec<_> = (0..300).map(|key| cluster.system.grain(format!("new-{key}"))).collect();
    assert!(ask_all(&new, 1).await?.iter().any(|life| life.node == 2));
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stood_still_has_lost_its_grains_and_joins_again() -> Result {
    let mut cluster = Cluster::start().await?;
    let grains = cluster.grains(200);
    let before = ask_all(&grains, 1).await?;
    let mut still = cluster.take(2);
    let at = before.iter().position(|life| life.node == 2).ok_or("some live there")?;
    // A write of it is about to reach the store as the process stops.
    let late = grains[at].clone();
    let late = tokio::spawn(async move { late.ask(Add { n: LATE }).await.is_ok() });
    still.said(SAVING)?;
    still.signal("-STOP");

    // Once the others take it for dead nothing more is sent to it, where it would be lost after a long time.
    cluster.members(|members| members.up().count() == 3).await;
    let taken = ask_all(&grains, 1).await?;
    assert!(taken.iter().all(|life| life.node != 2));
    assert!(!within(late).await?, "nobody answers for it");
    assert!(taken[at].epoch > before[at].epoch);
    assert!(taken.iter().all(|life| life.total == 2), "the late one has not been written");

    let fenced = cluster.counts.fenced.load(Ordering::Relaxed);
    still.signal("-CONT");
    writeln!(still.input)?;
    let members = cluster.members(|members| members.up().count() == 4).await;
    assert!(members.up().any(|member| member.port == still.port), "{members}");
    within(async {
        while cluster.counts.fenced.load(Ordering::Relaxed) == fenced {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let host = cluster.host(still.port).await?;
    within(async {
        while host.ask(Hosted {}).await.ok() != Some(0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Where the others have them they stay.
    for (before, after) in taken.iter().zip(ask_all(&grains, 0).await?) {
        assert_eq!(*before, after);
    }
    let new: Vec<_> = (0..300).map(|key| cluster.system.grain(format!("new-{key}"))).collect();
    assert!(ask_all(&new, 1).await?.iter().any(|life| life.node == 2), "it hosts again");
    cluster.nodes.insert(2, still);
    cluster.end().await
}

/// How often all nodes are restarted. Default: once.
const ROUNDS: &str = "RAKT_ROLLING_ROUNDS";

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_restarted_under_load_without_a_failed_ask() -> Result {
    let rounds = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    // No ask is sent again here, so nobody is to be late with the lease, however busy the machine is.
    let mut cluster = Cluster::start_with(10 * LEASE).await?;
    let grains = cluster.grains(400);
    let before = ask_all(&grains, 1).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let asking: JoinSet<Result<(), String>> = (0..8)
        .map(|asker| {
            let grains: Vec<_> = grains.iter().skip(asker * 50).take(50).cloned().collect();
            let is_over = is_over.clone();
            async move {
                for total in 2.. {
                    for grain in &grains {
                        let life = grain.ask(Count { add: 1 }).await;
                        let life = life.map_err(|error| Chain(&error).to_string())?;
                        if life.total != total {
                            return Err(format!("{} and not {total}", life.total));
                        }
                    }
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
                Ok(())
            }
        })
        .collect();
    for _ in 0..rounds {
        for node in 1..=3 {
            let ends = cluster.take(node);
            let port = ends.port;
            ends.signal("-TERM");
            assert!(ends.ended().await?, "it ends in order");
            cluster.start_node(node, port).await?;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for asked in within(asking.join_all()).await {
        asked?;
    }
    for (before, after) in before.iter().zip(ask_all(&grains, 0).await?) {
        assert!(after.epoch > before.epoch, "{after:?} after {before:?}");
    }
    cluster.end().await
}
