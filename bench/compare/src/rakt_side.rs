//! rakt, as a user would write it, with its defaults; and either half of it with GoAkt as the other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rakt::prelude::*;
use rakt::remote::{Config, GoAkt, Tls};

use crate::contestant::{Contestant, EVERYWHERE, Halves, Ready, SAME};
use crate::external::{GOAKT3, REMOTE, goakt3};
use crate::measured::Measured;
use crate::message::Note;
use crate::workload::{Job, TARGETS, Workload};
use crate::{Result, drive, secret};

/// The answer to a count waits behind every note sent before.
const COUNT_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) const CONTESTANT: Contestant = Contestant {
    name: "rakt",
    about: "rakt's native protocol, the defaults",
    marks: "told when a message is turned down; bounded by credit and mailbox; zstd from 1 KiB",
    workloads: &Workload::ALL,
    scale: SAME,
    check: EVERYWHERE,
    halves: Halves::Rust {
        serve: |ready| Box::pin(serve(ready, remoting())),
        run: |job| Box::pin(run(job, remoting())),
    },
};

pub(crate) const SINK: Contestant = Contestant {
    name: "rakt-sink",
    about: "rakt whose tells are fed to a sink for each receiver, which is flushed at the end",
    marks: "as rakt; what is fed waits for 16 KiB of it, or for a flush",
    workloads: &[Workload::Tell, Workload::Fan],
    halves: Halves::Rust {
        serve: |ready| Box::pin(serve(ready, remoting())),
        run: |job| Box::pin(run_by_sinks(job)),
    },
    ..CONTESTANT
};

pub(crate) const TLS: Contestant = Contestant {
    name: "rakt-tls",
    about: "rakt over mutual TLS 1.3, by a shared secret",
    marks: "as rakt; each side has verified the other",
    workloads: REMOTE,
    halves: Halves::Rust {
        serve: |ready| Box::pin(async { serve(ready, encrypted()?).await }),
        run: |job| Box::pin(async { run(job, encrypted()?).await }),
    },
    ..CONTESTANT
};

pub(crate) const GOAKT3_TO_RAKT: Contestant = Contestant {
    name: "goakt3-to-rakt",
    about: "the client of goakt3, served by rakt",
    marks: "each tell acked by the mailbox before the next; zstd; mailbox bounded",
    workloads: REMOTE,
    halves: Halves::RustServer {
        serve: |ready| Box::pin(serve(ready, remoting().goakt(GoAkt::new()))),
        client: goakt3,
    },
    ..GOAKT3
};

pub(crate) const RAKT_TO_GOAKT3: Contestant = Contestant {
    name: "rakt-to-goakt3",
    about: "the client of rakt, served by goakt3",
    marks: "told when a batch is turned down; sender waits for a full queue, mailbox unbounded; zstd",
    workloads: REMOTE,
    scale: |workload| match workload {
        Workload::Tell => 0.2,
        Workload::Fan => 0.1,
        _ => 1.0,
    },
    halves: Halves::RustClient {
        server: goakt3,
        run: |job| {
            let peer = GoAkt::new().peer(HOST, job.port);
            Box::pin(run(job, remoting().goakt(peer)))
        },
    },
    ..GOAKT3
};

const HOST: &str = "127.0.0.1";
/// GoAkt's messages name the system that they are for.
const SYSTEM: &str = "bench";

fn remoting() -> Config {
    Config::new(HOST, 0)
}

fn encrypted() -> Result<Config> {
    Ok(remoting().tls(Tls::from_secret(secret::shared()?)))
}

/// A message to answer with the same payload.
#[derive(Clone, PartialEq, prost::Message)]
struct Echo {
    #[prost(bytes = "bytes", tag = "1")]
    payload: Bytes,
}

/// Asks how many notes came.
#[derive(Clone, PartialEq, prost::Message)]
struct Count {}

#[derive(Clone, PartialEq, prost::Message)]
struct Counted {
    #[prost(uint64, tag = "1")]
    notes: u64,
}

rakt::messages! {
    Note as "compare.Note",
    Echo as "compare.Echo" => Echo as "compare.Echo",
    Count as "compare.Count" => Counted as "compare.Counted",
}

#[derive(Default)]
struct Counter {
    notes: u64,
}

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Note>().remote::<Echo>().remote::<Count>();
    }
}

impl Handler<Note> for Counter {
    async fn handle(&mut self, _: Note, _: &mut Context<Self>) -> Result {
        self.notes += 1;
        Ok(())
    }
}

impl Handler<Echo> for Counter {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Result<Echo> {
        Ok(echo)
    }
}

impl Handler<Count> for Counter {
    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Result<Counted> {
        Ok(Counted { notes: self.notes })
    }
}

async fn serve(ready: Ready, config: Config) -> Result {
    let system = listening(config).await?;
    let _counter = system.spawn(COUNTER, Counter::default).await?;
    let mut targets = Vec::with_capacity(TARGETS);
    for index in 0..TARGETS {
        targets.push(system.spawn(target(index), Counter::default).await?);
    }
    ready(system.advertised().1, &[])?;
    std::future::pending().await
}

const COUNTER: &str = "counter";

fn target(index: usize) -> String {
    format!("target-{index}")
}

async fn run(job: Job, config: Config) -> Result<Measured> {
    let port = job.port;
    match job.workload {
        Workload::LocalTell | Workload::LocalTell8 | Workload::LocalAsk => {
            let system = ActorSystem::builder("local").start().await?;
            let counter = system.spawn(COUNTER, Counter::default).await?;
            drive::run(Client(counter), job).await
        }
        Workload::Spawn => drive::spawn(spawn, job).await,
        Workload::Links => drive::links(|| connect(config.clone(), port), job).await,
        Workload::Fan => drive::fan(targets(config, port).await?, job).await,
        Workload::Mixed => {
            let system = listening(config).await?;
            let asked = find(&system, port, COUNTER).await?;
            let told = find(&system, port, &target(0)).await?;
            drive::mixed(asked, told, job).await
        }
        _ => drive::run(connect(config, port).await?, job).await,
    }
}

async fn run_by_sinks(job: Job) -> Result<Measured> {
    if job.workload == Workload::Fan {
        return drive::fan_by(feed_in_turn, targets(remoting(), job.port).await?, job).await;
    }
    drive::tell_by(feed, connect(remoting(), job.port).await?, job).await
}

async fn feed(target: Client, count: u64, payload: Bytes) -> Result {
    let mut sink = target.0.sink();
    for _ in 0..count {
        sink.feed(Note { payload: payload.clone() }).await?;
    }
    Ok(sink.flush().await?)
}

async fn feed_in_turn(targets: Arc<[Client]>, count: u64, payload: Bytes) -> Result {
    let mut sinks: Vec<_> = targets.iter().map(|target| target.0.sink()).collect();
    for index in (0..sinks.len()).cycle().take(count as usize) {
        sinks[index].feed(Note { payload: payload.clone() }).await?;
    }
    for sink in &mut sinks {
        sink.flush().await?;
    }
    Ok(())
}

async fn spawn(count: u64) -> Result<Vec<ActorRef<Counter>>> {
    let system = ActorSystem::builder("local").start().await?;
    let mut actors = Vec::with_capacity(count as usize);
    for index in 0..count {
        actors.push(system.spawn(index.to_string(), Counter::default).await?);
    }
    Ok(actors)
}

/// A system of its own that has found the counter.
async fn connect(config: Config, port: u16) -> Result<Client> {
    find(&listening(config).await?, port, COUNTER).await
}

/// Those of [`Workload::Fan`], seen from one system.
async fn targets(config: Config, port: u16) -> Result<Vec<Client>> {
    let system = listening(config).await?;
    let mut targets = Vec::with_capacity(TARGETS);
    for index in 0..TARGETS {
        targets.push(find(&system, port, &target(index)).await?);
    }
    Ok(targets)
}

async fn find(system: &ActorSystem, port: u16, name: &str) -> Result<Client> {
    let counter = system.node(HOST, port).lookup::<Counter>(name).await?;
    Ok(Client(counter.ok_or_else(|| format!("the server has no {name}"))?))
}

async fn listening(config: Config) -> Result<ActorSystem> {
    Ok(ActorSystem::builder(SYSTEM).remoting(config).start().await?)
}

#[derive(Clone)]
struct Client(ActorRef<Counter>);

impl drive::Client for Client {
    async fn tell(&self, payload: Bytes) -> Result {
        Ok(self.0.tell(Note { payload }).await?)
    }

    async fn echo(&self, payload: Bytes) -> Result<Bytes> {
        Ok(self.0.ask(Echo { payload }).await?.payload)
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.0.ask(Count {}).timeout(COUNT_TIMEOUT).await?.notes)
    }
}
