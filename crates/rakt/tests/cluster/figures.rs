//! Figures of three processes, to be read and not to be passed:
//! `cargo test --release -p rakt --features cluster --test cluster -- --ignored --nocapture --test-threads 1 figures::`

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rakt::prelude::*;
use tokio::task::JoinSet;

use crate::fleet::{Bare, Cluster, Host, Wake};
use crate::nodes::Where;

/// So many asks are under way at once.
const AT_ONCE: usize = 64;
const ASKS: usize = 200_000;

/// Asks a second.
async fn rate<F>(ask: impl Fn() -> F) -> Result<f64>
where
    F: Future<Output = Result> + Send + 'static,
{
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..AT_ONCE {
        asking.spawn(ask());
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    Ok(ASKS as f64 / begun.elapsed().as_secs_f64())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "it measures"]
async fn a_warm_ask_of_a_grain_against_one_of_an_actor() -> Result {
    let cluster = Cluster::start_with(Duration::from_secs(8)).await?;
    let mut keys = (0..).map(|key: u32| cluster.system.grain::<Bare>(key.to_string()));
    let grain = loop {
        let grain = keys.next().ok_or("there are more")?;
        if grain.ask(Where {}).await? == 1 {
            break grain;
        }
    };
    let host: ActorRef<Host> = cluster.host(cluster.nodes[&1].port).await?;
    let (mut plain, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let host = host.clone();
        plain.push(
            rate(move || {
                let host = host.clone();
                async move {
                    for _ in 0..ASKS / AT_ONCE {
                        host.ask(Where {}).await?;
                    }
                    Ok(())
                }
            })
            .await?,
        );
        let grain = grain.clone();
        warm.push(
            rate(move || {
                let grain = grain.clone();
                async move {
                    for _ in 0..ASKS / AT_ONCE {
                        grain.ask(Where {}).await?;
                    }
                    Ok(())
                }
            })
            .await?,
        );
    }
    let ratio = median(warm.iter().zip(&plain).map(|(warm, plain)| warm / plain).collect());
    let (plain, warm) = (median(plain), median(warm));
    println!(
        "FIGURE asks a second, 64 under way: {plain:.0} of an actor, {warm:.0} of a grain, ratio {ratio:.3}"
    );
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn grains_that_come_to_life_without_a_store() -> Result {
    const EACH: u64 = 30_000;
    let cluster = Cluster::start_with(Duration::from_secs(8)).await?;
    let memory = |cluster: &Cluster| -> u64 {
        cluster.nodes.values().map(|node| node.resident()).sum::<u64>()
    };
    let before = memory(&cluster);
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    for (node, from) in cluster.nodes.values().zip((0..).step_by(EACH as usize)) {
        let host = cluster.host(node.port).await?;
        asking.spawn(async move {
            host.ask(Wake { from, count: EACH }).timeout(Duration::from_secs(100)).await
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    let (count, took) = (3 * EACH, begun.elapsed().as_secs_f64());
    let grew = (memory(&cluster) - before) / count;
    println!(
        "FIGURE {:.0} activations a second, of {count}, asked by the three",
        count as f64 / took
    );
    println!(
        "FIGURE {grew} bytes resident in all processes for one that lives, references and routes included"
    );
    cluster.end().await
}

/// How long it takes until all grains answer again, each asked again after a second without an answer.
async fn until_all_answer(lease: u64, signal: &str) -> Result {
    const GRAINS: usize = 3_000;
    let mut cluster = Cluster::start_probing(Duration::from_secs(lease), 1_000).await?;
    let grains: Vec<GrainRef<Bare>> =
        (0..GRAINS).map(|key| cluster.system.grain(key.to_string())).collect();
    for grain in &grains {
        grain.ask(Where {}).await?;
    }
    // One that has just come does not call others dead before they had time to be there.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let node = cluster.take(2);
    node.signal(signal);
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    for grain in grains {
        asking.spawn(async move {
            while grain.ask(Where {}).timeout(Duration::from_secs(1)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            begun.elapsed().as_secs_f64()
        });
    }
    let mut times = asking.join_all().await;
    times.sort_by(f64::total_cmp);
    let (p99, all) = (times[GRAINS * 99 / 100], times[GRAINS - 1]);
    println!("FIGURE {signal}, lease {lease} s, probes 1 s: p99 {p99:.2} s, all {all:.2} s");
    drop(node);
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn until_grains_of_a_lost_node_answer() -> Result {
    for (lease, signal) in [(8, "-KILL"), (3, "-KILL"), (8, "-STOP"), (3, "-STOP")] {
        until_all_answer(lease, signal).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn what_is_written_to_the_register_at_rest() -> Result {
    let cluster = Cluster::start_with(Duration::from_secs(8)).await?;
    let swaps = || cluster.counts.swaps.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = swaps();
    tokio::time::sleep(Duration::from_secs(60)).await;
    println!("FIGURE {} writes to the register in 60 s at rest", swaps() - before);
    cluster.end().await
}
