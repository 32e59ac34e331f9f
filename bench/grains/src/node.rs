//! A node of rakt, written as a user would: the register is kept by the three nodes themselves, everything by defaults.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rakt::cluster::{Config, Static};
use rakt::grain::{Grain, GrainKind, Placement};
use rakt::prelude::*;
use rakt_raft::Embedded;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Result;
use crate::cluster::{NODES, PORTS};

const HOST: &str = "127.0.0.1";
/// Of so many actors, and grains, those that live are asked in turn.
const WARM: usize = 64;
/// So many grains are woken at once.
const WAKERS: usize = 64;
/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long whoever waits for a grain that was lost waits for one answer, and then until the next question.
const SOON: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// Comes back as it is.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "grains.Echo", reply = Echo)]
struct Echo {
    #[prost(bytes = "bytes", tag = "1")]
    payload: Bytes,
}

/// An actor, or a grain; of two kinds, for two ways to say where they live.
#[derive(Default)]
struct Echoer<const SPREAD: bool>;

impl<const SPREAD: bool> Actor for Echoer<SPREAD> {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>();
    }
}

impl<const SPREAD: bool> Grain for Echoer<SPREAD> {
    const KIND: &'static str = if SPREAD { "spread" } else { "here" };
}

impl<const SPREAD: bool> Handler<Echo> for Echoer<SPREAD> {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> rakt::Result<Echo> {
        Ok(echo)
    }
}

/// Prints `ready` once it is a member. Then it takes commands, a line each, and answers each with one line of JSON, as
/// `goakt/common/node.go` says.
pub(crate) fn run(index: usize, ports: &[u16], dir: &Path) -> Result {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let node = Node::start(index, ports, dir).await?;
        println!("ready");
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            // On a task of its own: the thread of `block_on` is no worker, and waits for lines.
            let doing = tokio::spawn(node.clone().obey(line));
            let answer = doing.await?.unwrap_or_else(|error| json!({ "error": error.to_string() }));
            println!("{answer}");
        }
        Ok(())
    })
}

#[derive(Clone)]
struct Node {
    system: ActorSystem,
    /// Where node 1 listens.
    other: u16,
    /// Grains that are asked again and again: whoever lets go of one forgets where it lives.
    warm: Arc<[GrainRef<Echoer<false>>]>,
    echo: Echo,
}

impl Node {
    async fn start(index: usize, ports: &[u16], dir: &Path) -> Result<Self> {
        if ports.len() != NODES * PORTS || index >= NODES {
            return Err("a cluster has three nodes with three ports each".into());
        }
        let port = |index: usize| ports[PORTS * index];
        let register = Embedded::at(dir.join(index.to_string())).expect(NODES as u32);
        let nodes = Static::new([0, 1, 2].map(|index| (HOST, port(index))));
        let system = ActorSystem::builder("grains")
            .remoting(remote::Config::new(HOST, port(index)))
            .cluster(Config::on(register).discover(nodes))
            .grain(GrainKind::<Echoer<false>>::new().placement(Placement::Local))
            .grain(GrainKind::<Echoer<true>>::new())
            .start()
            .await?;
        for n in 0..WARM {
            system.spawn(echoer(n), Echoer::<false>::default).await?;
        }
        let payload = (0..64).map(|n: u8| n.wrapping_mul(151)).collect();
        let warm = (0..WARM).map(|n| system.grain(n.to_string())).collect();
        Ok(Self { system, other: port(1), warm, echo: Echo { payload } })
    }

    async fn obey(self, command: String) -> Result<serde_json::Value> {
        let words: Vec<&str> = command.split(' ').collect();
        if words == ["rest"] {
            return Ok(json!({ "seconds": 0.0, "p50": 0.0, "p99": 0.0, "most": 0.0 }));
        }
        let [words @ .., first, count] = &*words else { return Err("a number is missing".into()) };
        let (first, count): (usize, usize) = (first.parse()?, count.parse()?);
        let echo = self.echo.clone();
        match words {
            ["ask", "actors"] => {
                let node = self.system.node(HOST, self.other);
                let mut actors: Vec<ActorRef<Echoer<false>>> = Vec::new();
                for n in 0..WARM {
                    actors.push(node.lookup(&echoer(n)).await?.ok_or("it is not there")?);
                }
                each(first, count, move |n| {
                    let (actor, echo) = (actors[n % WARM].clone(), echo.clone());
                    async move {
                        actor.ask(echo).timeout(PATIENCE).await?;
                        Ok(())
                    }
                })
                .await
            }
            ["ask", "grains"] => {
                each(first, count, move |n| {
                    let (grain, echo) = (self.warm[n % WARM].clone(), echo.clone());
                    async move {
                        grain.ask(echo).timeout(PATIENCE).await?;
                        Ok(())
                    }
                })
                .await
            }
            ["wake", "here"] => self.wake::<false>(first, count).await,
            ["wake", "random"] => self.wake::<true>(first, count).await,
            ["back"] => {
                each(count, count, move |n| {
                    let (grain, echo) = (self.grain::<false>(first + n), echo.clone());
                    async move {
                        while grain.ask(echo.clone()).timeout(SOON).await.is_err() {
                            tokio::time::sleep(PAUSE).await;
                        }
                        Ok(())
                    }
                })
                .await
            }
            _ => Err("that is no command".into()),
        }
    }

    fn grain<const SPREAD: bool>(&self, n: usize) -> GrainRef<Echoer<SPREAD>> {
        self.system.grain(n.to_string())
    }

    async fn wake<const SPREAD: bool>(
        self,
        first: usize,
        count: usize,
    ) -> Result<serde_json::Value> {
        each(WAKERS, count, move |n| {
            let (grain, echo) = (self.grain::<SPREAD>(first + n), self.echo.clone());
            async move {
                grain.ask(echo).timeout(PATIENCE).await?;
                Ok(())
            }
        })
        .await
    }
}

fn echoer(n: usize) -> String {
    format!("echoer-{n}")
}

/// Does so much work, so many at once.
async fn each<F>(
    at_once: usize,
    count: usize,
    work: impl Fn(usize) -> F + Send + Sync + 'static,
) -> Result<serde_json::Value>
where
    F: Future<Output = Result> + Send + 'static,
{
    let (work, began) = (Arc::new(work), Instant::now());
    let mut working: JoinSet<Result<Vec<f64>>> = JoinSet::new();
    for first in 0..at_once {
        let work = work.clone();
        working.spawn(async move {
            let mut times = Vec::new();
            for n in (first..count).step_by(at_once) {
                let began = Instant::now();
                work(n).await?;
                times.push(began.elapsed().as_secs_f64());
            }
            Ok(times)
        });
    }
    let mut times = Vec::with_capacity(count);
    while let Some(worked) = working.join_next().await {
        times.extend(worked??);
    }
    let seconds = began.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((count as f64 * part).ceil() as usize).max(1) - 1];
    Ok(json!({ "seconds": seconds, "p50": at(0.5), "p99": at(0.99), "most": at(1.0) }))
}
