//! Actors, in one process and over a network in memory. All on one thread, so that the same things
//! happen in the same order in every run.

use std::future::Future;
use std::hint::black_box;

use bytes::Bytes;
use rakt::cluster::{self, MemoryRegister};
use rakt::grain::{Grain, GrainKind};
use rakt::message::{Codec, Prost};
use rakt::prelude::*;
use rakt::remote::{Compression, Config, Secret, Tls};
use tokio::sync::{mpsc, oneshot};

use crate::Result;
use crate::memory::Memory;
use crate::wire::expect;

/// 64 opaque bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Note {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: Bytes,
}

/// Comes back as it is.
#[derive(Clone, PartialEq, prost::Message)]
struct Echo {
    #[prost(bytes = "bytes", tag = "1")]
    payload: Bytes,
}

/// Asks how many notes came.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Count {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Counted {
    #[prost(uint64, tag = "1")]
    pub(crate) notes: u64,
}

rakt::messages! {
    Note as "counts.Note",
    Echo as "counts.Echo" => Echo,
    Count as "counts.Count" => Counted,
}

#[derive(Default)]
pub(crate) struct Counter(u64);

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Note>().remote::<Echo>().remote::<Count>();
    }
}

impl Handler<Note> for Counter {
    async fn handle(&mut self, note: Note, _: &mut Context<Self>) -> rakt::Result {
        black_box(note);
        self.0 += 1;
        Ok(())
    }
}

impl Handler<Echo> for Counter {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> rakt::Result<Echo> {
        Ok(echo)
    }
}

impl Handler<Count> for Counter {
    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> rakt::Result<Counted> {
        Ok(Counted { notes: self.0 })
    }
}

const PAYLOAD: Bytes = Bytes::from_static(&[7; 64]);

pub(crate) fn codec(count: u64) -> Result {
    let mut written = Vec::new();
    for _ in 0..count {
        written.clear();
        let note = black_box(Note { payload: PAYLOAD });
        <Prost as Codec<Note>>::encode(&note, &mut written)?;
        let read = Bytes::copy_from_slice(&written);
        black_box(<Prost as Codec<Note>>::decode(read)?);
    }
    Ok(())
}

pub(crate) fn local_tell(count: u64) -> Result {
    on_one_thread(async move {
        let system = ActorSystem::builder("local").start().await?;
        tell(&system.spawn("counter", Counter::default).await?, count).await
    })
}

pub(crate) fn local_ask(count: u64) -> Result {
    on_one_thread(async move {
        let system = ActorSystem::builder("local").start().await?;
        ask(&system.spawn("counter", Counter::default).await?, count).await
    })
}

impl Grain for Counter {
    const KIND: &'static str = "counter";
}

/// Runs a system with grains.
async fn with_grains() -> Result<ActorSystem> {
    Ok(ActorSystem::builder("local").grain(GrainKind::<Counter>::new()).start().await?)
}

pub(crate) fn grain_ask(count: u64) -> Result {
    on_one_thread(async move {
        let grain = with_grains().await?.grain::<Counter>("one");
        for _ in 0..count {
            black_box(grain.ask(Echo { payload: PAYLOAD }).await?);
        }
        Ok(())
    })
}

pub(crate) fn grain_activate(count: u64) -> Result {
    on_one_thread(async move {
        let system = with_grains().await?;
        for n in 0..count {
            let grain = system.grain::<Counter>(format!("grain-{n:08}"));
            black_box(grain.ask(Echo { payload: PAYLOAD }).await?);
        }
        Ok(())
    })
}

/// The task behind a channel that a local ask is measured against.
pub(crate) fn channel_ask(count: u64) -> Result {
    on_one_thread(async move {
        let (sender, mut receiver) = mpsc::channel::<(Echo, oneshot::Sender<Echo>)>(1024);
        tokio::spawn(async move {
            while let Some((echo, reply)) = receiver.recv().await {
                drop(reply.send(echo));
            }
        });
        for _ in 0..count {
            let (reply, answer) = oneshot::channel();
            sender.send((Echo { payload: PAYLOAD }, reply)).await?;
            black_box(answer.await?);
        }
        Ok(())
    })
}

/// The same for a tell.
pub(crate) fn channel_tell(count: u64) -> Result {
    on_one_thread(async move {
        let (sender, mut receiver) = mpsc::channel::<Note>(1024);
        let counting = tokio::spawn(async move {
            let mut notes = 0;
            while let Some(note) = receiver.recv().await {
                black_box(note);
                notes += 1;
            }
            notes
        });
        for _ in 0..count {
            sender.send(Note { payload: PAYLOAD }).await?;
        }
        drop(sender);
        expect(counting.await?, count)
    })
}

pub(crate) fn spawn(count: u64) -> Result {
    on_one_thread(async move {
        let system = ActorSystem::builder("local").start().await?;
        for n in 0..count {
            system.spawn(format!("counter-{n}"), Counter::default).await?;
        }
        expect(system.actor_count() as u64, count)
    })
}

pub(crate) fn remote_tell(count: u64, compression: Compression) -> Result {
    on_one_thread(async move {
        let counter = counter_over(&Memory::default(), compression).await?;
        tell(&counter, count).await
    })
}

pub(crate) fn remote_tell_tls(count: u64) -> Result {
    on_one_thread(async move { tell(&counter_over_tls().await?, count).await })
}

pub(crate) fn remote_ask_tls(count: u64) -> Result {
    on_one_thread(async move { ask(&counter_over_tls().await?, count).await })
}

/// A reference to a counter on another node, over mutual TLS.
async fn counter_over_tls() -> Result<ActorRef<Counter>> {
    let tls = Tls::from_secret(Secret::generate());
    counter_with(&Memory::default(), |config| config.tls(tls.clone())).await
}

pub(crate) fn remote_fan(count: u64) -> Result {
    const TELLERS: usize = 20;
    const COUNTERS: usize = 2000;
    on_one_thread(async move {
        let (near, far) = nodes(&Memory::default(), |config| config).await?;
        let (host, port) = far.advertised();
        let mut counters = Vec::with_capacity(COUNTERS);
        for n in 0..COUNTERS {
            let name = format!("counter-{n}");
            far.spawn(&*name, Counter::default).await?;
            counters.push(near.node(host, port).lookup(&name).await?.ok_or("it is not there")?);
        }
        let mut tellers = Vec::new();
        for teller in 0..TELLERS {
            let own: Vec<ActorRef<Counter>> =
                counters.iter().skip(teller).step_by(TELLERS).cloned().collect();
            tellers.push(tokio::spawn(async move {
                let share = count as usize / TELLERS;
                for counter in own.iter().cycle().take(share) {
                    counter.tell(Note { payload: PAYLOAD }).await?;
                }
                let mut notes = 0;
                for counter in &own {
                    notes += counter.ask(Count {}).await?.notes;
                }
                expect(notes, share as u64)
            }));
        }
        for teller in tellers {
            teller.await??;
        }
        Ok(())
    })
}

pub(crate) fn remote_ask(count: u64) -> Result {
    on_one_thread(async move {
        let counter = counter_over(&Memory::default(), Compression::default()).await?;
        ask(&counter, count).await
    })
}

pub(crate) fn remote_ask_64(count: u64) -> Result {
    on_one_thread(async move {
        const ASKERS: u64 = 64;
        let counter = counter_over(&Memory::default(), Compression::default()).await?;
        let askers: Vec<_> = (0..ASKERS)
            .map(|_| {
                let counter = counter.clone();
                tokio::spawn(async move { ask(&counter, count / ASKERS).await })
            })
            .collect();
        for asker in askers {
            asker.await??;
        }
        Ok(())
    })
}

/// The same as `remote_ask_64`, to a grain that lives on the other node of a cluster.
pub(crate) fn remote_grain_ask_64(count: u64) -> Result {
    on_one_thread(async move {
        const ASKERS: u64 = 64;
        let (network, register) = (Memory::default(), MemoryRegister::new());
        let node = |seed| {
            let config = Config::new("127.0.0.1", 0).transport(network.clone()).seed(seed);
            let member = cluster::Config::on(register.clone()).role(format!("role-{seed}"));
            let kind = GrainKind::<Counter>::new().role("role-2");
            ActorSystem::builder("cluster").remoting(config).cluster(member).grain(kind).start()
        };
        let (near, _far) = (node(1).await?, node(2).await?);
        let grain = near.grain::<Counter>("one");
        grain.ask(Count {}).await?;
        let askers: Vec<tokio::task::JoinHandle<Result>> = (0..ASKERS)
            .map(|_| {
                let grain = grain.clone();
                tokio::spawn(async move {
                    for _ in 0..count / ASKERS {
                        black_box(grain.ask(Echo { payload: PAYLOAD }).await?);
                    }
                    Ok(())
                })
            })
            .collect();
        for asker in askers {
            asker.await??;
        }
        Ok(())
    })
}

/// A reference to a counter on another node.
pub(crate) async fn counter_over(
    network: &Memory,
    compression: Compression,
) -> Result<ActorRef<Counter>> {
    counter_with(network, |config| config.compression(compression)).await
}

/// The same, as both nodes are configured.
async fn counter_with(
    network: &Memory,
    configured: impl Fn(Config) -> Config,
) -> Result<ActorRef<Counter>> {
    let (near, far) = nodes(network, configured).await?;
    far.spawn("counter", Counter::default).await?;
    let (host, port) = far.advertised();
    Ok(near.node(host, port).lookup("counter").await?.ok_or("the far node has no counter")?)
}

/// The near node and the far one.
async fn nodes(
    network: &Memory,
    configured: impl Fn(Config) -> Config,
) -> Result<(ActorSystem, ActorSystem)> {
    let start = |name: &str, seed| {
        let config = Config::new("127.0.0.1", 0).transport(network.clone());
        ActorSystem::builder(name).remoting(configured(config).seed(seed)).start()
    };
    Ok((start("near", 1).await?, start("far", 2).await?))
}

async fn tell(counter: &ActorRef<Counter>, count: u64) -> Result {
    for _ in 0..count {
        counter.tell(Note { payload: PAYLOAD }).await?;
    }
    expect(counter.ask(Count {}).await?.notes, count)
}

async fn ask(counter: &ActorRef<Counter>, count: u64) -> Result {
    for _ in 0..count {
        black_box(counter.ask(Echo { payload: PAYLOAD }).await?);
    }
    Ok(())
}

pub(crate) fn on_one_thread(work: impl Future<Output = Result> + Send + 'static) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let done = runtime.block_on(async { tokio::spawn(work).await? });
    // Tearing down is no part of what is counted, and the process ends in a moment.
    std::mem::forget(runtime);
    done
}
