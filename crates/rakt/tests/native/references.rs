//! References that travel: in messages and replies, as data, and back.

use bytes::Bytes;
use rakt::error::Chain;
use rakt::message::{Codec, MAX_REFERENCES, Serde};
use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig};
use rakt::{AskError, PortableRef, Recipient};
use tokio::sync::mpsc;

use crate::memory::Memory;
use crate::nodes::{config, node_with, open, remote};
use crate::probe::number;
use crate::support::within;

/// Has a worker do something, and another actor told of it.
#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.references.Work", codec = "serde")]
struct Work {
    n: u64,
    done: Recipient<Done>,
}

#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.references.Done", codec = "postcard")]
struct Done {
    n: u64,
    by: ActorRef<Worker>,
}

#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.references.Introduce", reply = ActorRef<Worker>, codec = "serde")]
struct Introduce;

#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.references.Many", reply = u64, codec = "serde")]
struct Many(Vec<ActorRef>);

#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.references.Place", reply = Address, codec = "serde")]
struct Place(Address);

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.references.ByText")]
struct ByText {
    #[prost(string, tag = "1")]
    done: String,
}

struct Worker;

impl Actor for Worker {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Work>().remote::<Introduce>().remote::<Many>().remote::<Place>();
        accepts.remote::<ByText>();
    }
}

impl Handler<Work> for Worker {
    async fn handle(&mut self, work: Work, ctx: &mut Context<Self>) -> Result {
        work.done.tell(Done { n: work.n, by: ctx.me() }).await?;
        Ok(())
    }
}

impl Handler<Introduce> for Worker {
    async fn handle(&mut self, _: Introduce, ctx: &mut Context<Self>) -> Result<ActorRef<Self>> {
        Ok(ctx.me())
    }
}

impl Handler<Many> for Worker {
    async fn handle(&mut self, Many(all): Many, _: &mut Context<Self>) -> Result<u64> {
        Ok(all.len() as u64)
    }
}

impl Handler<Place> for Worker {
    async fn handle(&mut self, place: Place, _: &mut Context<Self>) -> Result<Address> {
        Ok(place.0)
    }
}

impl Handler<ByText> for Worker {
    async fn handle(&mut self, message: ByText, ctx: &mut Context<Self>) -> Result {
        let done = ctx.system().resolve(&message.done.parse()?).recipient();
        done.tell(Done { n: 7, by: ctx.me() }).await?;
        Ok(())
    }
}

/// Passes on what it is told of.
struct Watcher(mpsc::UnboundedSender<Done>);

impl Actor for Watcher {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Done>();
    }
}

impl Handler<Done> for Watcher {
    async fn handle(&mut self, done: Done, _: &mut Context<Self>) -> Result {
        Ok(self.0.send(done)?)
    }
}

/// Two nodes, a worker on the second, and a watcher on the first.
struct Nodes {
    here: ActorSystem,
    there: ActorSystem,
    worker: ActorRef<Worker>,
    watcher: ActorRef<Watcher>,
    told: mpsc::UnboundedReceiver<Done>,
    network: Memory,
}

async fn nodes() -> Nodes {
    let network = Memory::default();
    let here = node_with("here", config().transport(network.clone())).await;
    let there = node_with("there", open().transport(network.clone())).await;
    there.spawn("worker", || Worker).await.expect("it starts");
    let worker = remote(&here, &there, "worker").await;
    let (tell, told) = mpsc::unbounded_channel();
    let watcher = here.spawn("watcher", move || Watcher(tell.clone())).await.expect("it starts");
    Nodes { here, there, worker, watcher, told, network }
}

#[tokio::test(start_paused = true)]
async fn an_answer_goes_to_a_third_actor_whose_reference_came_in_the_message() -> Result {
    let Nodes { worker, watcher, mut told, .. } = nodes().await;
    worker.tell(Work { n: 3, done: watcher.recipient() }).await?;
    let done = within(told.recv()).await.ok_or("it is told")?;
    assert_eq!(done.n, 3);
    assert_eq!(done.by, worker, "what arrives is the reference that is known here");
    let text = watcher.portable().to_string();
    worker.tell(ByText { done: text }).await?;
    assert_eq!(within(told.recv()).await.ok_or("it is told")?.n, 7);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_reference_that_comes_home_is_the_actor_itself() -> Result {
    let Nodes { here, watcher, .. } = nodes().await;
    let home = here.resolve(&watcher.portable());
    assert!(home.is_local());
    assert_eq!(home, watcher);
    assert_eq!(here.resolve(&watcher.address().into()), watcher, "whoever has the address");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_reference_means_the_life_that_it_meant_where_it_was_sent() -> Result {
    let Nodes { here, there, worker, .. } = nodes().await;
    let (life, address) = (worker.portable(), PortableRef::from(worker.address()));
    assert!(life.is_one_life() && !address.is_one_life());
    worker.stop().await?;
    there.spawn("worker", || Worker).await?;
    for system in [&here, &there] {
        let error = within(system.resolve(&life).ask(Introduce)).await.expect_err("it has ended");
        assert!(error.refusal().is_some_and(Refusal::is_gone), "{error:?}");
        within(system.resolve(&address).ask(Introduce)).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_reference_of_an_earlier_start_of_the_node_is_stale_there_too() -> Result {
    let Nodes { there, network, .. } = nodes().await;
    let portable = there.find("worker").ok_or("it is there")?.portable();
    let (_, port) = there.advertised();
    there.shutdown().await;
    let again = remote::Config::new("127.0.0.1", port).transport(network);
    let there = node_with("there", again).await;
    there.spawn("worker", || Worker).await?;
    let refused = there.resolve(&portable).tell(number(1)).await.expect_err("another start");
    assert!(matches!(refused.refusal, Refusal::StaleIncarnation), "{refused:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_system_is_given_references_in_replies() -> Result {
    let Nodes { worker, network, .. } = nodes().await;
    let client = Client::new("client", ClientConfig::new().transport(network))?;
    let introduced = within(client.ask(&worker.address(), Introduce)).await;
    // The reply of an untyped question has the type that the message says.
    let introduced: ActorRef<Worker> = introduced?;
    assert_eq!(introduced.portable(), worker.portable());
    let place = Place(worker.address());
    assert_eq!(within(introduced.ask(place)).await?, worker.address());
    let resolved = client.resolve(&worker.portable()).typed::<Worker>().ok_or("its type")?;
    within(resolved.ask(Introduce)).await?;
    client.close().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_message_holds_only_so_many_references() -> Result {
    let Nodes { worker, watcher, .. } = nodes().await;
    let many = |count: u32| Many(vec![watcher.untyped(); count as usize]);
    assert_eq!(within(worker.ask(many(MAX_REFERENCES))).await?, u64::from(MAX_REFERENCES));
    let error = within(worker.ask(many(MAX_REFERENCES + 1))).await.expect_err("one too many");
    let text = Chain(&error).to_string();
    assert!(text.contains("4096 references at most"), "{text}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn references_count_for_what_they_take_up_in_memory() -> Result {
    let network = Memory::default();
    let small = config().max_decoded(2 * 1024 * 1024).transport(network.clone());
    let there = node_with("there", small).await;
    let here = node_with("here", config().transport(network)).await;
    there.spawn("worker", || Worker).await?;
    let worker = remote::<Worker>(&here, &there, "worker").await;
    within(worker.ask(Many(vec![worker.untyped(); 1000]))).await?;
    let error = within(worker.ask(Many(vec![worker.untyped(); 4096]))).await;
    let error = error.expect_err("more than two megabytes");
    assert!(matches!(&error, AskError::Refused { .. }), "{error:?}");
    let text = Chain(&error).to_string();
    assert!(text.contains("max_decoded"), "{text}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn elsewhere_references_are_read_for_a_system_that_is_named() -> Result {
    let Nodes { here, worker, watcher, .. } = nodes().await;
    let mut written = Vec::new();
    <Serde as Codec<ActorRef<Worker>>>::encode(&worker, &mut written)?;
    let written = Bytes::from(written);
    let read = || <Serde as Codec<ActorRef<Worker>>>::decode(written.clone());
    let error = read().expect_err("nobody would send to it");
    assert!(Chain(&error).to_string().contains("resolving"), "{}", Chain(&error));
    assert_eq!(here.resolving(read)?, worker);

    let mut written = Vec::new();
    <Serde as Codec<ActorRef<Watcher>>>::encode(&watcher, &mut written)?;
    let as_worker = || <Serde as Codec<ActorRef<Worker>>>::decode(written.clone().into());
    let error = here.resolving(as_worker).expect_err("it is a watcher");
    assert!(Chain(&error).to_string().contains("another type"), "{}", Chain(&error));
    Ok(())
}

#[tokio::test]
async fn an_actor_that_nobody_can_reach_is_not_written() -> Result {
    let alone = ActorSystem::builder("alone").start().await?;
    let worker = alone.spawn("worker", || Worker).await?;
    let error = <Serde as Codec<ActorRef<Worker>>>::encode(&worker, &mut Vec::new());
    let error = error.expect_err("the system has no remoting");
    assert!(Chain(&error).to_string().contains("no remoting"), "{}", Chain(&error));
    alone.shutdown().await;
    Ok(())
}
