//! Topics: who hears what, and whom a slow subscriber holds up.

use rakt::error::Bound;
use rakt::topic::{Subscribers, Topic};
use rakt::{Event, Metadata, Refusal, prelude::*};
use tokio::sync::mpsc;

use crate::support::{Gate, event, within};
use crate::system;

#[derive(Clone, Debug, PartialEq, Message)]
struct News(u64);

/// Passes on what it hears, with who said it and what came with it.
struct Listener {
    heard: mpsc::UnboundedSender<(u64, Option<String>, Option<String>)>,
}

impl Actor for Listener {}

impl Handler<News> for Listener {
    async fn handle(&mut self, News(n): News, ctx: &mut Context<Self>) -> Result {
        let sender = ctx.sender().map(|sender| sender.path().to_owned());
        let trace = ctx.metadata().and_then(|metadata| metadata.get("trace")).map(str::to_owned);
        Ok(self.heard.send((n, sender, trace))?)
    }
}

type Heard = mpsc::UnboundedReceiver<(u64, Option<String>, Option<String>)>;

async fn listener(system: &ActorSystem, name: &str) -> (ActorRef<Listener>, Heard) {
    let (heard, hears) = mpsc::unbounded_channel();
    let listener = move || Listener { heard: heard.clone() };
    (system.spawn(name, listener).await.expect("it starts"), hears)
}

async fn topic(system: &ActorSystem, name: &str) -> ActorRef<Topic<News>> {
    system.spawn(name, Topic::new).await.expect("it starts")
}

async fn numbers(heard: &mut Heard, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(within(heard.recv()).await.expect("the listener lives").0);
    }
    numbers
}

#[tokio::test]
async fn all_subscribers_hear_all_in_order_until_they_unsubscribe() -> Result {
    let system = system().await;
    let topic = topic(&system, "news").await;
    let (first, mut heard_first) = listener(&system, "first").await;
    let (second, mut heard_second) = listener(&system, "second").await;
    topic.tell(News(0)).await?;
    topic.subscribe(&first).await?;
    topic.subscribe(&second).await?;
    topic.subscribe(&second.recipient::<News>()).await?;
    assert_eq!(topic.ask(Subscribers).await?, 2, "the second subscription of one is none");
    for n in 1..=100 {
        topic.tell(News(n)).await?;
    }
    let all: Vec<_> = (1..=100).collect();
    assert_eq!(numbers(&mut heard_first, 100).await, all);
    assert_eq!(numbers(&mut heard_second, 100).await, all);
    topic.unsubscribe(&first).await?;
    topic.ask(News(101)).await?;
    assert_eq!(numbers(&mut heard_second, 1).await, [101]);
    first.stop().await?;
    assert_eq!(heard_first.recv().await, None, "it heard nothing more");
    system.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn the_sender_and_the_metadata_arrive() -> Result {
    let system = system().await;
    let topic = topic(&system, "news").await;
    let (listener, mut heard) = listener(&system, "listener").await;
    topic.subscribe(&listener).await?;
    let mut metadata = Metadata::new();
    metadata.insert("trace", "17")?;
    topic.tell(News(1)).sender(&listener).metadata(metadata).await?;
    let heard = within(heard.recv()).await.ok_or("it lives")?;
    assert_eq!(heard, (1, Some("listener".into()), Some("17".into())));
    system.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_subscriber_ends_its_subscription() -> Result {
    let system = system().await;
    let topic = topic(&system, "news").await;
    let (listener, _heard) = listener(&system, "listener").await;
    topic.subscribe(&listener).await?;
    listener.stop().await?;
    // The topic hears of the end ahead of this.
    assert_eq!(topic.ask(Subscribers).await?, 0);
    topic.subscribe(&listener).await?;
    assert_eq!(topic.ask(Subscribers).await?, 0, "one that has ended is not kept");
    system.shutdown().await;
    Ok(())
}

/// Handles nothing until it is let.
struct Slow(Gate);

impl Actor for Slow {}

impl Handler<News> for Slow {
    async fn handle(&mut self, _: News, _: &mut Context<Self>) -> Result {
        self.0.pass().await;
        Ok(())
    }
}

#[tokio::test]
async fn a_slow_subscriber_holds_up_nobody_and_what_it_misses_is_a_dead_letter() -> Result {
    let system = system().await;
    let topic = topic(&system, "news").await;
    let gate = Gate::default();
    let slow = {
        let gate = gate.clone();
        system.spawn("slow", move || Slow(gate.clone())).mailbox(Mailbox::bounded(4)).await?
    };
    let (listener, mut heard) = listener(&system, "listener").await;
    topic.subscribe(&slow).await?;
    topic.subscribe(&listener).await?;
    let mut events = system.events();
    topic.tell(News(0)).await?;
    within(gate.entered()).await;
    for n in 1..=10 {
        topic.tell(News(n)).await?;
    }
    assert_eq!(numbers(&mut heard, 11).await, (0..=10).collect::<Vec<_>>());
    for _ in 0..6 {
        let letter = event(&mut events, |event| match event {
            Event::DeadLetter(letter) => Some(letter),
            _ => None,
        });
        let letter = letter.await;
        assert!(letter.target.to_string().ends_with("/slow"), "{letter:?}");
        assert!(matches!(letter.reason, Refusal::MailboxFull { .. }), "{letter:?}");
    }
    slow.kill().await?;
    system.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_topic_has_so_many_subscribers_and_no_more() -> Result {
    let system = system().await;
    let topic = system.spawn("news", || Topic::<News>::new().max_subscribers(1)).await?;
    let (first, _heard) = listener(&system, "first").await;
    let (second, _heard) = listener(&system, "second").await;
    topic.subscribe(&first).await?;
    let error = topic.subscribe(&second).await.expect_err("there is one already");
    let limit = Refusal::ResourceExhausted { bound: Bound::Subscribers, limit: 1 };
    assert_eq!(error.refusal(), Some(&limit));
    topic.unsubscribe(&first).await?;
    topic.subscribe(&second).await?;
    system.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_topic_can_subscribe_to_another() -> Result {
    let system = system().await;
    let (upper, lower) = (topic(&system, "upper").await, topic(&system, "lower").await);
    let (listener, mut heard) = listener(&system, "listener").await;
    upper.subscribe(&lower).await?;
    lower.subscribe(&listener).await?;
    let publisher: Recipient<News> = upper.recipient();
    publisher.tell(News(5)).await?;
    assert_eq!(numbers(&mut heard, 1).await, [5]);
    system.shutdown().await;
    Ok(())
}
