//! ractor: local actors, and actors of another node through ractor_cluster.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr, call, cast, pg};
use ractor_cluster::node::{NodeConnectionMode, NodeServerSessionInformation};
use ractor_cluster::{
    NetworkStream, NodeEventSubscription, NodeServer, NodeServerMessage, RactorClusterMessage,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::contestant::{Contestant, EVERYWHERE, Halves, Ready};
use crate::measured::Measured;
use crate::message::Note;
use crate::workload::{Job, TARGETS, Workload};
use crate::{Result, drive};

pub(crate) const CONTESTANT: Contestant = Contestant {
    name: "ractor",
    about: "ractor and ractor_cluster: cast for tells, call for asks; prost messages",
    marks: "unbounded, unacked",
    workloads: &[
        Workload::Ask1,
        Workload::Ask64,
        Workload::Tell,
        Workload::Fan,
        Workload::Bulk,
        Workload::LocalTell,
        Workload::LocalTell8,
        Workload::LocalAsk,
        Workload::Spawn,
    ],
    scale: |workload| match workload {
        Workload::Tell | Workload::Fan | Workload::Spawn => 0.25,
        _ => 1.0,
    },
    check: EVERYWHERE,
    halves: Halves::Rust { serve: |ready| Box::pin(serve(ready)), run: |job| Box::pin(run(job)) },
};

/// The process group of the server's first actor.
const FIRST: &str = "first";
/// The process group of those that it started.
const OTHERS: &str = "others";

ractor_cluster::derive_serialization_for_prost_type! { Note }

#[derive(RactorClusterMessage)]
enum CounterMessage {
    Note(Note),
    #[rpc]
    Echo(Note, RpcReplyPort<Note>),
    #[rpc]
    Count(RpcReplyPort<u64>),
    /// Starts more of its kind, and gives back how many.
    #[rpc]
    Start(u64, RpcReplyPort<u64>),
}

struct Counter;

impl Actor for Counter {
    type Msg = CounterMessage;
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<CounterMessage>,
        (): (),
    ) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<CounterMessage>,
        message: CounterMessage,
        notes: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CounterMessage::Note(_) => *notes += 1,
            CounterMessage::Echo(note, reply) => reply.send(note)?,
            CounterMessage::Count(reply) => reply.send(*notes)?,
            CounterMessage::Start(count, reply) => {
                // Boxed: the rare case should not be part of every actor's future.
                let others = Box::pin(start(count)).await?;
                pg::join(OTHERS.to_owned(), others.iter().map(|other| other.get_cell()).collect());
                reply.send(count)?;
            }
        }
        Ok(())
    }
}

async fn start(count: u64) -> Result<Vec<ActorRef<CounterMessage>>, SpawnErr> {
    let mut counters = Vec::with_capacity(count as usize);
    for _ in 0..count {
        counters.push(Actor::spawn(None, Counter, ()).await?.0);
    }
    Ok(counters)
}

async fn serve(ready: Ready) -> Result {
    let (first, _) = Actor::spawn(None, Counter, ()).await?;
    pg::join(FIRST.to_owned(), vec![first.get_cell()]);
    let node = start_node("server").await?;
    // The node's own listener does the same, but does not say on which free port it listens.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    ready(listener.local_addr()?.port(), &[])?;
    loop {
        accept(&node, listener.accept().await?.0)?;
    }
}

async fn run(job: Job) -> Result<Measured> {
    match job.workload {
        Workload::Spawn => drive::spawn(async |count| Ok(start(count).await?), job).await,
        Workload::LocalTell | Workload::LocalTell8 | Workload::LocalAsk => {
            let (counter, _) = Actor::spawn(None, Counter, ()).await?;
            drive::run(Client(counter), job).await
        }
        Workload::Fan => {
            let first = connect(job.port).await?;
            drive::fan(others(&first).await?, job).await
        }
        _ => drive::run(connect(job.port).await?, job).await,
    }
}

/// Joins the server's cluster; gives its first actor.
async fn connect(port: u16) -> Result<Client> {
    let node = start_node("client").await?;
    let ready = Arc::new(Notify::new());
    node.cast(NodeServerMessage::SubscribeToEvents {
        id: "ready".to_owned(),
        subscription: Box::new(WhenReady(Arc::clone(&ready))),
    })?;
    ractor_cluster::client_connect(&node, (Ipv4Addr::LOCALHOST, port)).await?;
    ready.notified().await;
    let first = pg::get_members(&FIRST.to_owned()).pop().ok_or("the server has no actor")?;
    Ok(Client(first.into()))
}

/// Has the server start actors; their node tells of them before it passes on the answer.
async fn others(first: &Client) -> Result<Vec<Client>> {
    call!(first.0, CounterMessage::Start, TARGETS as u64)?;
    let others = pg::get_members(&OTHERS.to_owned());
    Ok(others.into_iter().map(|other| Client(other.into())).collect())
}

async fn start_node(name: &str) -> Result<ActorRef<NodeServerMessage>> {
    let server = NodeServer::new(
        0,
        "cookie".to_owned(),
        name.to_owned(),
        "localhost".to_owned(),
        None,
        Some(NodeConnectionMode::Isolated),
    );
    let (node, _) =
        Actor::spawn(None, server.with_listen_addr(Ipv4Addr::LOCALHOST.into()), ()).await?;
    Ok(node)
}

fn accept(node: &ActorRef<NodeServerMessage>, stream: TcpStream) -> Result {
    stream.set_nodelay(true)?;
    let (peer_addr, local_addr) = (stream.peer_addr()?, stream.local_addr()?);
    let stream = Box::new(NetworkStream::Raw { peer_addr, local_addr, stream });
    Ok(node.cast(NodeServerMessage::ConnectionOpened { stream, is_server: true })?)
}

/// Says when the nodes know each other's actors and groups.
struct WhenReady(Arc<Notify>);

impl NodeEventSubscription for WhenReady {
    fn node_session_opened(&self, _: NodeServerSessionInformation) {}
    fn node_session_authenticated(&self, _: NodeServerSessionInformation) {}
    fn node_session_disconnected(&self, _: NodeServerSessionInformation) {}

    fn node_session_ready(&self, _: NodeServerSessionInformation) {
        self.0.notify_one();
    }
}

#[derive(Clone)]
struct Client(ActorRef<CounterMessage>);

impl drive::Client for Client {
    /// Lets others have their turn now and then, as `cast` never waits.
    async fn tell(&self, payload: Bytes) -> Result {
        cast!(self.0, CounterMessage::Note(Note { payload }))?;
        tokio::task::consume_budget().await;
        Ok(())
    }

    async fn echo(&self, payload: Bytes) -> Result<Bytes> {
        Ok(call!(self.0, CounterMessage::Echo, Note { payload })?.payload)
    }

    async fn count(&self) -> Result<u64> {
        Ok(call!(self.0, CounterMessage::Count)?)
    }
}
