//! The node that is besieged, as a process of its own, and what its actors do.
//!
//! Its parent speaks to it by lines: `status` is answered with the number of tasks and of actors, `hold` makes
//! the slow actors stand still, `release` lets them go on.

use std::io::BufRead;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rakt::prelude::*;
use rakt::remote::{Config, GoAkt, Policy};
use rakt::{Kind, Mailbox, ReplyLater};
use tokio::sync::watch;

use crate::Result;
use crate::limits::Limits;
use crate::over::Over;

/// The name of the node's actor system.
pub(crate) const SYSTEM: &str = "besieged";
/// The kind that peers may spawn, and the one that takes an argument.
pub(crate) const KIND: &str = "Worker";
pub(crate) const KIND_WITH_ARGUMENT: &str = "Keeper";
/// Answers the honest, at once; no stranger has anything to say to it.
pub(crate) const CALM: &str = "calm";
/// Answers at once.
pub(crate) const FAST: &str = "fast";
/// Has a small mailbox, and stands still while the node is told to hold.
pub(crate) const SLOW: &str = "slow";
/// Has the default mailbox, and stands still while the node is told to hold.
pub(crate) const STUCK: &str = "stuck";
/// Takes what it is asked and puts its answers off for ever.
pub(crate) const SILENT: &str = "silent";
/// How long an actor that a peer has spawned lives without a message.
const IDLE_LIFE: Duration = Duration::from_millis(400);
/// Answers that the silent actor still owes; beyond that it gives up the oldest.
const OWED: usize = 1_000;

/// Comes back as it is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Echo {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: bytes::Bytes,
}

/// Asks for so many bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Want {
    #[prost(uint32, tag = "1")]
    pub(crate) len: u32,
}

/// Takes far more room once it is decoded: two bytes become one of these, which is forty-eight.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Item {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// A list of them.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Many {
    #[prost(message, repeated, tag = "1")]
    pub(crate) items: Vec<Item>,
}

rakt::messages! {
    Echo as "siege.Echo" => Echo as "siege.Echo",
    Want as "siege.Want" => Echo as "siege.Echo",
    Many as "siege.Many",
}

/// How many actors are alive.
static ALIVE: AtomicI64 = AtomicI64::new(0);

/// Counts its actor while that lives.
struct Alive;

impl Alive {
    fn new() -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All actors are of this type, and differ in how they answer.
struct Worker {
    manner: Manner,
    _alive: Alive,
}

enum Manner {
    Fast,
    Held(watch::Receiver<bool>),
    Silent(std::collections::VecDeque<ReplyLater<Echo>>),
}

impl Worker {
    fn new(manner: Manner) -> Self {
        Self { manner, _alive: Alive::new() }
    }

    async fn stand_still(&mut self) {
        if let Manner::Held(held) = &mut self.manner {
            // The node's `main` keeps the other end.
            let _ = held.wait_for(|held| !held).await;
        }
    }
}

impl Actor for Worker {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>().remote::<Want>().remote::<Many>();
    }
}

impl Handler<Echo> for Worker {
    async fn handle(&mut self, echo: Echo, ctx: &mut Context<Self>) -> rakt::Result<Echo> {
        self.stand_still().await;
        if let Manner::Silent(owed) = &mut self.manner {
            let (later, deferred) = ctx.defer();
            if owed.len() >= OWED {
                owed.pop_front();
            }
            owed.push_back(later);
            return deferred;
        }
        Ok(echo)
    }
}

impl Handler<Want> for Worker {
    async fn handle(&mut self, want: Want, _: &mut Context<Self>) -> rakt::Result<Echo> {
        self.stand_still().await;
        Ok(Echo { payload: vec![7; want.len as usize].into() })
    }
}

impl Handler<Many> for Worker {
    async fn handle(&mut self, many: Many, _: &mut Context<Self>) -> rakt::Result {
        // What has been decoded is there for as long.
        self.stand_still().await;
        drop(many);
        Ok(())
    }
}

/// Runs until the parent closes its end.
pub(crate) async fn run(limits: Limits) -> Result {
    let config = Over::apply_told(Config::new("127.0.0.1", 0))?;
    let (hold, held) = watch::channel(false);
    let system = ActorSystem::builder(SYSTEM)
        .register(KIND, Kind::new(|| Worker::new(Manner::Fast)).passivate_after(IDLE_LIFE))
        .register(
            KIND_WITH_ARGUMENT,
            Kind::with_argument(|_: &Echo| Worker::new(Manner::Fast)).passivate_after(IDLE_LIFE),
        )
        // Whatever a stranger asks for is to cost what it can cost.
        .remoting(limits.apply(config.policy(Policy::open()), GoAkt::new()))
        .start()
        .await?;
    system.spawn(CALM, || Worker::new(Manner::Fast)).await?;
    system.spawn(FAST, || Worker::new(Manner::Fast)).await?;
    let (slow, stuck) = (held.clone(), held);
    let small = Mailbox::bounded(100);
    system.spawn(SLOW, move || Worker::new(Manner::Held(slow.clone()))).mailbox(small).await?;
    system.spawn(STUCK, move || Worker::new(Manner::Held(stuck.clone()))).await?;
    system.spawn(SILENT, || Worker::new(Manner::Silent(Default::default()))).await?;
    println!("ready {}", system.advertised().1);
    let metrics = tokio::runtime::Handle::current().metrics();
    let obeying = move || {
        for line in std::io::stdin().lock().lines() {
            match line?.as_str() {
                "hold" => hold.send_replace(true),
                "release" => hold.send_replace(false),
                _ => false,
            };
            println!("{} {}", metrics.num_alive_tasks(), ALIVE.load(Ordering::Relaxed));
        }
        Ok::<(), std::io::Error>(())
    };
    Ok(tokio::task::spawn_blocking(obeying).await??)
}
