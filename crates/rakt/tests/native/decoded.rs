//! What may a message become when it is decoded?

use std::sync::Arc;

use rakt::error::{Bound, Chain};
use rakt::message::DecodedTooLarge;
use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Config};
use rakt::{AskError, Kind, OperationError, Refusal};
use tokio::sync::{Notify, mpsc};

use crate::memory::Memory;
use crate::nodes::{config, dead_letter, node_with, remote};
use crate::support::{LIMIT, within};

const MIB: u64 = 1024 * 1024;

/// Two bytes without content, and much more in memory.
#[derive(Clone, PartialEq, prost::Message)]
struct Item {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    place: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Item>,
    #[prost(string, repeated, tag = "2")]
    texts: Vec<String>,
    #[prost(bytes = "vec", tag = "3")]
    blob: Vec<u8>,
}

/// Asks for a list of so many items.
#[derive(Clone, PartialEq, prost::Message)]
struct Fill {
    #[prost(uint32, tag = "1")]
    items: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Open {}

rakt::messages! {
    List as "tests.List",
    Fill as "tests.Fill" => List,
    Open as "tests.Open",
}

impl List {
    fn of_items(items: usize) -> Self {
        Self { items: vec![Item::default(); items], ..Self::default() }
    }

    /// A megabyte that becomes four, as it counts.
    fn of_texts() -> Self {
        let text = |n| format!("{n:08}");
        Self { texts: (0..100_000).map(text).collect(), ..Self::default() }
    }
}

#[derive(Default)]
struct Lists;

impl Actor for Lists {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<List>().remote::<Fill>();
    }
}

impl Handler<List> for Lists {
    async fn handle(&mut self, _: List, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

impl Handler<Fill> for Lists {
    async fn handle(&mut self, fill: Fill, _: &mut Context<Self>) -> Result<List> {
        Ok(List::of_items(fill.items as usize))
    }
}

/// Two nodes on a network in memory, and an actor on the second one.
async fn pair<A: Actor>(
    config: Config,
    factory: impl Fn() -> A + Send + Sync + 'static,
) -> Result<(ActorSystem, ActorSystem, ActorRef<A>)> {
    let memory = Memory::default();
    let near = node_with("near", config.clone().transport(memory.clone())).await;
    let far = node_with("far", config.transport(memory)).await;
    far.spawn("lists", factory).await?;
    let lists = remote(&near, &far, "lists").await;
    Ok((near, far, lists))
}

fn too_large(refusal: Refusal) -> String {
    match refusal {
        Refusal::Undecodable { source } => Chain(&source).to_string(),
        other => panic!("{other:?}"),
    }
}

/// Both are said of the list of a million items: how large it would be at least, and how large it may be.
fn assert_says_why(text: &str) {
    let limit = 8 * 2_000_000 + MIB;
    for part in ["tests.List takes up ", &format!("max_decoded is {limit}")] {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

#[tokio::test]
async fn a_message_that_becomes_too_large_is_refused_by_name() -> Result {
    let (near, far, lists) = pair(config(), || Lists).await?;
    let mut letters = near.events();
    let list = || List::of_items(1_000_000);
    match within(lists.ask(list()).timeout(LIMIT)).await {
        Err(AskError::Refused { refusal, .. }) => assert_says_why(&too_large(refusal)),
        other => panic!("{:?}", other.map_err(|error| error.to_string())),
    }
    let confirmed =
        within(lists.tell(list()).confirmed().timeout(LIMIT)).await.expect_err("it is too large");
    assert!(confirmed.to_string().contains("lists"), "{confirmed}");
    within(lists.tell(list())).await?;
    assert_says_why(&too_large(dead_letter(&mut letters).await.reason));
    within(lists.ask(List::of_items(1000)).timeout(LIMIT)).await?;
    within(near.shutdown()).await;
    within(far.shutdown()).await;
    Ok(())
}

#[tokio::test]
async fn the_option_allows_more_and_less() -> Result {
    for (bytes, allowed) in [(64 * MIB, 1_000_000), (MIB, 20_000)] {
        let (near, far, lists) = pair(config().max_decoded(bytes), || Lists).await?;
        within(lists.ask(List::of_items(allowed)).timeout(LIMIT)).await?;
        let refused = within(lists.ask(List::of_items(allowed * 3)).timeout(LIMIT)).await;
        assert!(matches!(refused, Err(AskError::Refused { .. })), "{bytes}");
        within(near.shutdown()).await;
        within(far.shutdown()).await;
    }
    Ok(())
}

#[tokio::test]
async fn large_messages_that_stay_what_they_are_go_through() -> Result {
    let (near, far, lists) = pair(config(), || Lists).await?;
    for byte in [0, 1, b'x'] {
        let blob = vec![byte; 8 * MIB as usize];
        within(lists.ask(List { blob, ..List::default() }).timeout(LIMIT)).await?;
    }
    within(lists.ask(List::of_texts()).timeout(LIMIT)).await?;
    within(near.shutdown()).await;
    within(far.shutdown()).await;
    Ok(())
}

/// Keeps each message until it may go on.
struct Keeper(mpsc::UnboundedSender<()>, Arc<Notify>);

impl Actor for Keeper {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<List>();
    }
}

impl Handler<List> for Keeper {
    async fn handle(&mut self, _: List, _: &mut Context<Self>) -> Result {
        self.0.send(())?;
        self.1.notified().await;
        Ok(())
    }
}

/// A connection may have a third of the budget for messages, 10 MiB, so two or three of these lists.
fn narrow() -> Config {
    config().memory_budget(32 * MIB).max_idle_conns(1)
}

fn assert_no_room(refused: Result<(), AskError<List>>) {
    match refused {
        Err(AskError::Refused { refusal: Refusal::ResourceExhausted { bound, .. }, .. }) => {
            assert_eq!(bound, Bound::MessageMemory);
        }
        other => panic!("{:?}", other.map_err(|error| error.to_string())),
    }
}

#[tokio::test]
async fn what_a_message_becomes_counts_while_it_is_handled() -> Result {
    let (started, mut starts) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let factory = {
        let (started, go_on) = (started, go_on.clone());
        move || Keeper(started.clone(), go_on.clone())
    };
    let (near, far, _) = pair(narrow(), factory.clone()).await?;
    let (mut asks, mut refused) = (Vec::new(), None);
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        far.spawn(name, factory.clone()).await?;
        let keeper = remote::<Keeper>(&near, &far, name).await;
        let asked = keeper.clone();
        let mut ask = tokio::spawn(async move { asked.ask(List::of_texts()).timeout(LIMIT).await });
        tokio::select! {
            _ = within(starts.recv()) => asks.push(ask),
            outcome = &mut ask => {
                assert_no_room(outcome?);
                refused = Some(keeper);
                break;
            }
        }
    }
    let refused = refused.expect("eight encoded lists have room, and eight lists do not");
    assert!(asks.len() >= 2);
    go_on.notify_waiters();
    for ask in asks {
        within(ask).await??;
    }
    go_on.notify_one();
    within(refused.ask(List::of_texts()).timeout(LIMIT)).await?;
    within(near.shutdown()).await;
    within(far.shutdown()).await;
    Ok(())
}

/// Puts messages aside until it is opened.
struct Stasher(bool);

impl Actor for Stasher {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<List>().remote::<Open>();
    }
}

impl Handler<List> for Stasher {
    async fn handle(&mut self, list: List, ctx: &mut Context<Self>) -> Result {
        if self.0 { Ok(()) } else { ctx.stash(list) }
    }
}

impl Handler<Open> for Stasher {
    async fn handle(&mut self, _: Open, ctx: &mut Context<Self>) -> Result {
        self.0 = true;
        ctx.unstash_all();
        Ok(())
    }
}

#[tokio::test]
async fn what_a_message_becomes_counts_while_it_is_put_aside() -> Result {
    let (near, far, stasher) = pair(narrow(), || Stasher(false)).await?;
    for _ in 0..2 {
        within(stasher.tell(List::of_texts()).confirmed().timeout(LIMIT)).await?;
    }
    assert_no_room(within(stasher.ask(List::of_texts()).timeout(LIMIT)).await);
    within(stasher.ask(Open {}).timeout(LIMIT)).await?;
    for _ in 0..5 {
        within(stasher.ask(List::of_texts()).timeout(LIMIT)).await?;
    }
    within(near.shutdown()).await;
    within(far.shutdown()).await;
    Ok(())
}

/// Hands lists on to an actor that does not look at them for now.
struct Forwarder {
    to: ActorRef<Holder>,
}

/// Is held up from the start, until it is let go.
struct Holder(Arc<Notify>);

impl Actor for Forwarder {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<List>();
    }
}

impl Handler<List> for Forwarder {
    async fn handle(&mut self, list: List, ctx: &mut Context<Self>) -> Result {
        ctx.forward(&self.to, list).await
    }
}

impl Actor for Holder {}

impl Handler<Open> for Holder {
    async fn handle(&mut self, _: Open, _: &mut Context<Self>) -> Result {
        self.0.notified().await;
        Ok(())
    }
}

impl Handler<List> for Holder {
    async fn handle(&mut self, _: List, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

#[tokio::test]
async fn what_a_message_becomes_counts_where_it_is_passed_on() -> Result {
    let (let_go, system) =
        (Arc::new(Notify::new()), ActorSystem::builder("holders").start().await?);
    let held = let_go.clone();
    let to = system.spawn("holder", move || Holder(held.clone())).await?;
    to.tell(Open {}).await?;
    let forwarding = to.clone();
    let forwarder = move || Forwarder { to: forwarding.clone() };
    let (near, far, forwarder) = pair(narrow(), forwarder).await?;
    for _ in 0..2 {
        within(forwarder.tell(List::of_texts()).confirmed().timeout(LIMIT)).await?;
    }
    assert_no_room(within(forwarder.ask(List::of_texts()).timeout(LIMIT)).await);
    let_go.notify_one();
    for _ in 0..5 {
        within(forwarder.ask(List::of_texts()).timeout(LIMIT)).await?;
    }
    within(near.shutdown()).await;
    within(far.shutdown()).await;
    within(system.shutdown()).await;
    Ok(())
}

#[tokio::test]
async fn a_reply_that_becomes_too_large_is_no_reply() -> Result {
    let memory = Memory::default();
    let far = node_with("far", config().transport(memory.clone())).await;
    far.spawn("lists", || Lists).await?;
    let (host, port) = far.advertised();
    let address = Address::new("lists", "far", host, port)?;
    let client = Client::new("asker", ClientConfig::new().transport(memory.clone()))?;
    match within(client.ask(&address, Fill { items: 1_000_000 }).timeout(LIMIT)).await {
        Err(AskError::BadReply { source, .. }) => {
            let error = source.get_ref().downcast_ref::<DecodedTooLarge>();
            let error = error.expect("the reason is there as it is");
            assert!(error.size > error.limit && error.limit == 8 * 2_000_000 + MIB, "{error}");
        }
        other => panic!("{:?}", other.map(drop).map_err(|error| error.to_string())),
    }
    assert_eq!(within(client.ask(&address, Fill { items: 9000 })).await?.items.len(), 9000);
    let generous = ClientConfig::new().max_decoded(64 * MIB).transport(memory);
    let generous = Client::new("asker", generous)?;
    within(generous.ask(&address, Fill { items: 1_000_000 }).timeout(LIMIT)).await?;
    client.close().await;
    generous.close().await;
    within(far.shutdown()).await;
    Ok(())
}

#[tokio::test]
async fn the_argument_of_a_spawn_that_becomes_too_large_is_refused() -> Result {
    let memory = Memory::default();
    let far = ActorSystem::builder("far")
        .register("Lists", Kind::with_argument(|_: &List| Lists))
        .remoting(config().transport(memory.clone()))
        .start()
        .await?;
    let (host, port) = far.advertised();
    let client = Client::new("asker", ClientConfig::new().transport(memory))?;
    let node = client.node(host, port);
    let spawn = |name, items| node.spawn::<Lists>(name, "Lists").argument(&List::of_items(items));
    match within(async { spawn("a", 1_000_000).await }).await {
        Err(OperationError::Refused { refusal, .. }) => assert_says_why(&too_large(refusal)),
        other => panic!("{:?}", other.map(drop)),
    }
    within(async { spawn("b", 1000).await }).await?;
    client.close().await;
    within(far.shutdown()).await;
    Ok(())
}
