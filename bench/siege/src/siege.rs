//! The siege: a node in 512 MiB with default limits, and everything said to it at once.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::generated::Sampler;
use crate::honest::Honest;
use crate::judge::{self, Outcome, SETTLE, mib};
use crate::limits::{Limits, MIB, Scale};
use crate::over::Over;
use crate::peer::Line;
use crate::phrase::Phrase;
use crate::process::Node;
use crate::strangers::Strangers;
use crate::{Result, catalogue};

/// Bytes that the node may use.
pub(crate) const MEMORY: u64 = 512 * MIB;
/// How long the honest client is alone.
const ALONE: Duration = Duration::from_secs(3);
/// How long a stranger keeps to one phrase and one way of saying it, at least and at most.
const AT_LEAST: Duration = Duration::from_millis(300);
const AT_MOST: Duration = Duration::from_secs(5);
/// Between two reports.
const REPORT: Duration = Duration::from_secs(5);
/// How long the slow actors stand still, and how long they then go on.
const HELD: Duration = Duration::from_secs(4);
const RELEASED: Duration = Duration::from_secs(1);

/// Besieges a node from `connections` connections for `time`.
pub(crate) async fn run(
    over: &'static Over,
    time: Duration,
    connections: u64,
    seed: u64,
) -> Result<Outcome> {
    let strangers = Strangers::gather()?;
    let limits = Limits { budget: None, scale: Scale::One };
    let mut node = Node::start(limits, over, Some(MEMORY)).await?;
    let honest = Honest::start(node.port, over)?;
    sleep(ALONE / 2).await;
    honest.take();
    sleep(ALONE).await;
    let p99_alone = honest.take().p99();
    let idle = node.status().await?;
    let sampler = Sampler::start(node.pid);
    println!("idle: {} MiB, {} tasks, p99 {p99_alone:?}", mib(idle.resident), idle.tasks);

    let until = Instant::now() + time;
    let phrases = Arc::new(catalogue::phrases(node.port));
    let attack = strangers.attack(besiege((node.port, over), phrases, connections, seed, until));
    let watched = tokio::select! {
        ended = attack => ended,
        failed = report(&mut node, &sampler) => failed,
    };
    if let Err(error) = &watched {
        println!("the siege is over: {error}");
    }
    let mut seen = honest.take();
    let after = async {
        node.hold(false).await?;
        node.settled(SETTLE, |now| judge::is_back(&idle, now)).await
    };
    let after = after.await.ok().filter(|_| node.is_alive());
    Ok(Outcome {
        before: Vec::new(),
        kind: "everything".to_owned(),
        phrase: format!("everything, seed {seed}"),
        strategy: "siege",
        most: sampler.most(),
        allowed: MEMORY,
        idle,
        after: after.map(|(status, _)| status),
        back_after: after.map(|(_, waited)| waited).unwrap_or_default(),
        p99_alone,
        p99: seen.p99(),
        asks: seen.asks(),
        refusals: seen.refusals,
    })
}

/// Has the slow actors stand still and go on by turns, and tells how it goes. Ends when the node does.
async fn report(node: &mut Node, sampler: &Sampler) -> Result {
    let started = Instant::now();
    let mut told = started;
    loop {
        node.hold(true).await?;
        sleep(HELD).await;
        node.hold(false).await?;
        sleep(RELEASED).await;
        let status = node.status().await?;
        if told.elapsed() >= REPORT {
            told = Instant::now();
            println!(
                "{:>4} s: {} MiB, {} at most, {} tasks, {} actors",
                started.elapsed().as_secs(),
                mib(status.resident),
                mib(sampler.most()),
                status.tasks,
                status.actors,
            );
        }
    }
}

/// Each connection says one thing in one way for a while, and then another.
async fn besiege(
    (port, over): (u16, &'static Over),
    phrases: Arc<Vec<Arc<Phrase>>>,
    connections: u64,
    seed: u64,
    until: Instant,
) {
    let mut strangers = JoinSet::new();
    for n in 0..connections {
        let mut dice = fastrand::Rng::with_seed(seed.wrapping_add(n));
        let phrases = phrases.clone();
        let source = Ipv4Addr::new(127, 0, 1, (n % 8 + 1) as u8);
        strangers.spawn(async move {
            while Instant::now() < until {
                let Some(phrase) = dice.choice(phrases.iter()) else { return };
                let Some(strategy) = dice.choice(catalogue::strategies(phrase)) else { return };
                let span = dice.u128(AT_LEAST.as_millis()..AT_MOST.as_millis());
                let enough = Instant::now() + Duration::from_millis(span as u64);
                let line = Line { port, over, source };
                let _ = timeout_at(enough.min(until), strategy.besiege(line, phrase)).await;
                // The catalogue has phrases that end a connection at once.
                tokio::task::yield_now().await;
            }
            sleep_until(until).await;
        });
    }
    strangers.join_all().await;
}
