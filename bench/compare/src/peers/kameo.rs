//! kameo: local actors, and actors of another node through its libp2p swarm.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use kameo::prelude::*;
use kameo::remote::registry::Event::RoutingUpdated;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, SwarmBuilder, noise, tcp, yamux};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::contestant::{Contestant, EVERYWHERE, Halves, Ready};
use crate::drive::Client as _;
use crate::measured::Measured;
use crate::workload::{Job, TARGETS, Workload};
use crate::{Result, drive};

pub(crate) const CONTESTANT: Contestant = Contestant {
    name: "kameo",
    about: "kameo over libp2p: tell with send_ack, ask; its own serde codec",
    marks: "bounded at 64; remote: acked, unordered, encrypted",
    workloads: &[
        Workload::Ask1,
        Workload::Ask64,
        Workload::Tell,
        Workload::Fan,
        Workload::Bulk,
        Workload::Mixed,
        Workload::LocalTell,
        Workload::LocalTell8,
        Workload::LocalAsk,
        Workload::Spawn,
    ],
    scale: |workload| match workload {
        Workload::Ask1 | Workload::Ask64 => 0.2,
        Workload::Tell | Workload::Fan => 0.01,
        Workload::Bulk | Workload::Spawn => 0.25,
        _ => 1.0,
    },
    check: EVERYWHERE,
    halves: Halves::Rust { serve: |ready| Box::pin(serve(ready)), run: |job| Box::pin(run(job)) },
};

/// Tells and counts at once: each is a libp2p stream of its own, and a node drops those beyond 100.
const WINDOW: usize = 64;

/// The name under which the server registers its actor.
const NAME: &str = "counter";

/// Room for 1 MiB and what surrounds it: the default is exactly 1 MiB.
const MAX_MESSAGE: u64 = 8 << 20;

#[derive(Serialize, Deserialize)]
struct Note {
    payload: Bytes,
}

#[derive(Serialize, Deserialize, Reply)]
struct Echo {
    payload: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Count;

/// Asks for this many more actors of its kind.
#[derive(Serialize, Deserialize)]
struct Start(usize);

#[derive(Actor, RemoteActor, Default)]
struct Counter {
    notes: u64,
    /// Those that it started, which would stop with their last reference.
    others: Vec<ActorRef<Self>>,
}

#[remote_message]
impl Message<Note> for Counter {
    type Reply = ();

    async fn handle(&mut self, _: Note, _: &mut Context<Self, ()>) {
        self.notes += 1;
    }
}

#[remote_message]
impl Message<Echo> for Counter {
    type Reply = Echo;

    async fn handle(&mut self, echo: Echo, _: &mut Context<Self, Echo>) -> Echo {
        echo
    }
}

#[remote_message]
impl Message<Count> for Counter {
    type Reply = u64;

    async fn handle(&mut self, _: Count, _: &mut Context<Self, u64>) -> u64 {
        self.notes
    }
}

#[remote_message]
impl Message<Start> for Counter {
    type Reply = Vec<RemoteActorRef<Self>>;

    async fn handle(
        &mut self,
        start: Start,
        _: &mut Context<Self, Self::Reply>,
    ) -> Vec<RemoteActorRef<Self>> {
        self.others.extend((0..start.0).map(|_| Self::spawn(Self::default())));
        let mut remote = Vec::with_capacity(self.others.len());
        for other in &self.others {
            remote.push(other.into_remote_ref().await);
        }
        remote
    }
}

type Swarm = libp2p::Swarm<remote::Behaviour>;

async fn serve(ready: Ready) -> Result {
    let mut swarm = swarm()?;
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let port = until(&mut swarm, |event| match event {
        SwarmEvent::NewListenAddr { address, .. } => tcp_port(address),
        _ => None,
    })
    .await;
    tokio::spawn(work(swarm));
    let counter = Counter::spawn(Counter::default());
    counter.register(NAME).await?;
    ready(port, &[])?;
    std::future::pending().await
}

async fn run(job: Job) -> Result<Measured> {
    match job.workload {
        Workload::Spawn => drive::spawn(start, job).await,
        Workload::LocalTell | Workload::LocalTell8 | Workload::LocalAsk => {
            drive::run(Local(Counter::spawn(Counter::default())), job).await
        }
        Workload::Tell | Workload::Bulk => {
            drive::tell_by(tell_in_window, connect(job.port).await?, job).await
        }
        Workload::Fan => {
            let others = others(&connect(job.port).await?, TARGETS).await?;
            drive::fan(others, job).await
        }
        Workload::Mixed => {
            let first = connect(job.port).await?;
            let second = others(&first, 1).await?.pop().ok_or("the server has no other actor")?;
            drive::mixed(first, second, job).await
        }
        _ => drive::run(connect(job.port).await?, job).await,
    }
}

async fn start(count: u64) -> Result<Vec<ActorRef<Counter>>> {
    Ok((0..count).map(|_| Counter::spawn(Counter::default())).collect())
}

/// Joins the server's swarm; gives its first actor.
async fn connect(port: u16) -> Result<Remote> {
    let mut swarm = swarm()?;
    swarm.dial(format!("/ip4/127.0.0.1/tcp/{port}").parse::<Multiaddr>()?)?;
    let (server, address) = until(&mut swarm, |event| match event {
        SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
            Some((peer_id, endpoint.get_remote_address().clone()))
        }
        _ => None,
    })
    .await;
    // As the library does with peers that it finds by itself.
    swarm.add_peer_address(server, address);
    until(&mut swarm, |event| match event {
        SwarmEvent::Behaviour(remote::Event::Registry(RoutingUpdated { .. })) => Some(()),
        _ => None,
    })
    .await;
    tokio::spawn(work(swarm));
    let first = RemoteActorRef::lookup(NAME).await?.ok_or("the server has no actor")?;
    Ok(Remote { actor: first, turns: Arc::new(Semaphore::new(WINDOW)) })
}

async fn others(first: &Remote, count: usize) -> Result<Vec<Remote>> {
    let others = first.actor.ask(&Start(count)).await?;
    Ok(others.into_iter().map(|actor| Remote { actor, turns: first.turns.clone() }).collect())
}

/// A node as the documentation builds one, without the search for peers by multicast.
fn swarm() -> Result<Swarm> {
    let messaging = remote::messaging::Config::default()
        .with_request_size_maximum(MAX_MESSAGE)
        .with_response_size_maximum(MAX_MESSAGE);
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| remote::Behaviour::new(key.public().to_peer_id(), messaging))?
        .build();
    swarm.behaviour().try_init_global()?;
    Ok(swarm)
}

/// Drives the swarm until an event has what is looked for.
async fn until<T>(
    swarm: &mut Swarm,
    mut find: impl FnMut(SwarmEvent<remote::Event>) -> Option<T>,
) -> T {
    loop {
        if let Some(found) = find(swarm.select_next_some().await) {
            return found;
        }
    }
}

async fn work(mut swarm: Swarm) {
    loop {
        swarm.select_next_some().await;
    }
}

fn tcp_port(address: Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    })
}

#[derive(Clone)]
struct Local(ActorRef<Counter>);

impl drive::Client for Local {
    async fn tell(&self, payload: Bytes) -> Result {
        Ok(self.0.tell(Note { payload }).await?)
    }

    async fn echo(&self, payload: Bytes) -> Result<Bytes> {
        Ok(self.0.ask(Echo { payload }).await?.payload)
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.0.ask(Count).await?)
    }
}

#[derive(Clone)]
struct Remote {
    actor: RemoteActorRef<Counter>,
    /// As many as [`WINDOW`].
    turns: Arc<Semaphore>,
}

impl drive::Client for Remote {
    /// `send` alone would lose what comes beyond 100 at once, see [`WINDOW`].
    async fn tell(&self, payload: Bytes) -> Result {
        Ok(self.actor.tell(&Note { payload }).send_ack().await?)
    }

    async fn echo(&self, payload: Bytes) -> Result<Bytes> {
        Ok(self.actor.ask(&Echo { payload }).await?.payload)
    }

    async fn count(&self) -> Result<u64> {
        let _turn = self.turns.acquire().await?;
        Ok(self.actor.ask(&Count).await?)
    }
}

/// Keeps a window of tells under way, each acknowledged.
async fn tell_in_window(actor: Remote, count: u64, payload: Bytes) -> Result {
    let tells = (0..count).map(|_| actor.tell(payload.clone()));
    stream::iter(tells).buffer_unordered(WINDOW).try_for_each(|()| future::ready(Ok(()))).await
}
