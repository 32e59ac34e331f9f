//! Topics across nodes.

use std::time::Duration;

use rakt::prelude::*;
use rakt::topic::{Subscribers, Topic};
use tokio::sync::mpsc;

use crate::memory::Memory;
use crate::nodes::{config, node_with, remote};
use crate::support::within;

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.topic.News")]
struct News {
    #[prost(uint64, tag = "1")]
    n: u64,
}

struct Listener(mpsc::UnboundedSender<u64>);

impl Actor for Listener {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<News>();
    }
}

impl Handler<News> for Listener {
    async fn handle(&mut self, news: News, _: &mut Context<Self>) -> Result {
        Ok(self.0.send(news.n)?)
    }
}

struct Nodes {
    here: ActorSystem,
    there: ActorSystem,
    /// On the other node.
    topic: ActorRef<Topic<News>>,
    /// On this one.
    listener: ActorRef<Listener>,
    heard: mpsc::UnboundedReceiver<u64>,
}

async fn nodes() -> Nodes {
    let network = Memory::default();
    let here = node_with("here", config().transport(network.clone())).await;
    let there = node_with("there", config().transport(network)).await;
    there.spawn("news", Topic::<News>::new).await.expect("it starts");
    let topic = remote(&here, &there, "news").await;
    let (tell, heard) = mpsc::unbounded_channel();
    let listener = here.spawn("listener", move || Listener(tell.clone())).await.expect("it starts");
    Nodes { here, there, topic, listener, heard }
}

async fn subscribers(nodes: &Nodes) -> usize {
    let topic = nodes.there.find("news").and_then(|topic| topic.typed::<Topic<News>>());
    topic.expect("it is there").ask(Subscribers).await.expect("it answers")
}

async fn nobody_left(nodes: &Nodes) {
    while subscribers(nodes).await > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_hears_what_is_published_on_another_node() -> Result {
    let mut nodes = nodes().await;
    within(nodes.topic.subscribe(&nodes.listener)).await?;
    within(nodes.topic.subscribe(&nodes.listener)).await?;
    assert_eq!(subscribers(&nodes).await, 1);
    for n in 0..100 {
        nodes.topic.tell(News { n }).await?;
    }
    for n in 0..100 {
        assert_eq!(within(nodes.heard.recv()).await, Some(n));
    }
    within(nodes.topic.unsubscribe(&nodes.listener)).await?;
    assert_eq!(subscribers(&nodes).await, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_with_the_subscriber_and_with_its_node() -> Result {
    let nodes = nodes().await;
    within(nodes.topic.subscribe(&nodes.listener)).await?;
    within(nodes.listener.stop()).await?;
    within(nobody_left(&nodes)).await;
    let (tell, _heard) = mpsc::unbounded_channel();
    let again = nodes.here.spawn("listener", move || Listener(tell.clone())).await?;
    within(nodes.topic.subscribe(&again)).await?;
    assert_eq!(subscribers(&nodes).await, 1);
    nodes.here.shutdown().await;
    within(nobody_left(&nodes)).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_topic_of_ones_own_spares_the_wire_one_message_for_each_subscriber() -> Result {
    let mut nodes = nodes().await;
    let own = nodes.here.spawn("own", Topic::<News>::new).await?;
    within(nodes.topic.subscribe(&own)).await?;
    own.subscribe(&nodes.listener).await?;
    nodes.topic.tell(News { n: 4 }).await?;
    assert_eq!(within(nodes.heard.recv()).await, Some(4));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_peer_does_not_subscribe_actors_of_the_system() -> Result {
    let nodes = nodes().await;
    let (host, port) = nodes.there.advertised();
    let name = format!("rakt://there@{host}:{port}/rakt.hidden");
    let hidden: ActorRef = nodes.here.resolve(&name.parse()?);
    let error = within(nodes.topic.subscribe(&hidden)).await.expect_err("a reserved name");
    assert!(matches!(error.refusal(), Some(Refusal::Declined { .. })), "{error:?}");
    assert_eq!(subscribers(&nodes).await, 0);
    Ok(())
}

/// Asks who is heard by what a peer says, and is nobody in particular itself.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.topic.Return")]
struct Return {}

struct Mirror;

impl Actor for Mirror {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Return>();
    }
}

impl Handler<Return> for Mirror {
    async fn handle(&mut self, _: Return, ctx: &mut Context<Self>) -> Result {
        let sender = ctx.sender().ok_or("somebody sent it")?;
        Ok(sender.tell(News { n: 8 }).await?)
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_without_a_name_is_answered_and_subscribes_as_others() -> Result {
    let mut nodes = nodes().await;
    let (tell, mut heard) = mpsc::unbounded_channel();
    let anonymous = nodes.here.spawn_anonymous(move || Listener(tell.clone())).await?;
    nodes.there.spawn("mirror", || Mirror).await?;
    let mirror = remote::<Mirror>(&nodes.here, &nodes.there, "mirror").await;
    mirror.tell(Return {}).sender(&anonymous).await?;
    assert_eq!(within(heard.recv()).await, Some(8));
    within(nodes.topic.subscribe(&anonymous)).await?;
    nodes.topic.tell(News { n: 9 }).await?;
    assert_eq!(within(heard.recv()).await, Some(9));
    within(nodes.topic.subscribe(&nodes.listener)).await?;
    nodes.topic.tell(News { n: 10 }).await?;
    assert_eq!(within(nodes.heard.recv()).await, Some(10));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_peer_subscribes_and_unsubscribes_actors_of_its_own_alone() -> Result {
    let nodes = nodes().await;
    let (tell, _heard) = mpsc::unbounded_channel();
    let audit = nodes.there.spawn("audit", move || Listener(tell.clone())).await?;
    let topic = nodes.there.find("news").and_then(|topic| topic.typed::<Topic<News>>());
    topic.ok_or("it is there")?.subscribe(&audit).await?;
    let from_here = remote::<Listener>(&nodes.here, &nodes.there, "audit").await;
    for named in [from_here.untyped(), nodes.here.actor(&audit.address())] {
        let error = within(nodes.topic.unsubscribe(&named)).await.expect_err("not its own");
        assert!(matches!(error.refusal(), Some(Refusal::Declined { .. })), "{error:?}");
    }
    within(nodes.topic.subscribe(&from_here)).await.expect_err("not its own");
    assert_eq!(subscribers(&nodes).await, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_reference_by_address_is_the_same_subscriber() -> Result {
    let mut nodes = nodes().await;
    within(nodes.topic.subscribe(&nodes.listener)).await?;
    let by_address: ActorRef = nodes.there.actor(&nodes.listener.address());
    let topic = nodes.there.find("news").and_then(|topic| topic.typed::<Topic<News>>());
    let topic = topic.ok_or("it is there")?;
    topic.subscribe(&by_address).await?;
    nodes.topic.tell(News { n: 1 }).await?;
    nodes.topic.tell(News { n: 2 }).await?;
    assert_eq!(within(nodes.heard.recv()).await, Some(1));
    assert_eq!(within(nodes.heard.recv()).await, Some(2), "each once");
    topic.unsubscribe(&by_address).await?;
    assert_eq!(subscribers(&nodes).await, 0);
    Ok(())
}

/// Takes nothing, so that what it is sent fills its window and then the line before it.
struct Stuck;

impl Actor for Stuck {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<News>();
    }
}

impl Handler<News> for Stuck {
    async fn handle(&mut self, _: News, _: &mut Context<Self>) -> Result {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_takes_nothing_holds_up_neither_the_others_nor_the_end() -> Result {
    let network = Memory::default();
    let here = node_with("here", config().receiver_window(64 * 1024).transport(network.clone()));
    let (here, there) = (here.await, node_with("there", config().transport(network)).await);
    let topic = there.spawn("news", Topic::<News>::new).await?;
    here.spawn("stuck", || Stuck).await?;
    let (tell, mut heard) = mpsc::unbounded_channel();
    let listener = there.spawn("listener", move || Listener(tell.clone())).await?;
    topic.subscribe(&remote::<Stuck>(&there, &here, "stuck").await).await?;
    topic.subscribe(&listener).await?;
    for n in 0..5000 {
        topic.tell(News { n }).await?;
        assert_eq!(within(heard.recv()).await, Some(n));
    }
    let before = tokio::time::Instant::now();
    within(topic.stop()).await?;
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    assert!(there.dead_letter_count() > 1000, "{}", there.dead_letter_count());
    Ok(())
}

/// However many actors a peer subscribes that take nothing: what is published is not kept for each of them.
#[tokio::test(start_paused = true)]
async fn what_waits_for_all_subscribers_has_a_bound_too() -> Result {
    let network = Memory::default();
    let here = node_with("here", config().receiver_window(64 * 1024).transport(network.clone()));
    let (here, there) = (here.await, node_with("there", config().transport(network)).await);
    let topic = there.spawn("news", Topic::<News>::new).await?;
    for n in 0..70 {
        let name = format!("stuck-{n}");
        here.spawn(&name, || Stuck).await?;
        topic.subscribe(&remote::<Stuck>(&there, &here, &name).await).await?;
    }
    let mut events = there.events();
    for n in 0..3000 {
        topic.ask(News { n }).await?;
    }
    let of_all = |event| match event {
        rakt::Event::DeadLetter(letter) => match letter.reason {
            Refusal::ResourceExhausted { limit: 65_536, .. } => Some(()),
            _ => None,
        },
        _ => None,
    };
    within(events.find(of_all)).await.ok_or("the node lives")?;
    Ok(())
}
