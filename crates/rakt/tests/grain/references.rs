//! What can be done with a reference to a grain: all that can be with one to an actor.

use std::future::Future as _;
use std::task::{Context as TaskContext, Waker};

use rakt::routing::{Router, Strategy};
use rakt::topic::Topic;

use super::*;
use crate::support::{begun, within};

/// Passes on what it is asked, or tells who has sent it.
struct Front(GrainRef<Counter>);

impl Actor for Front {}

impl Handler<Count> for Front {
    async fn handle(&mut self, count: Count, ctx: &mut Context<Self>) -> Result<u64> {
        ctx.forward(&self.0, count).await
    }
}

/// Something that everybody hears.
#[derive(Clone, Message)]
struct Word(tokio::sync::mpsc::UnboundedSender<()>);

impl Handler<Word> for Counter {
    async fn handle(&mut self, Word(hears): Word, _: &mut Context<Self>) -> Result {
        Ok(hears.send(())?)
    }
}

#[derive(Message)]
#[rakt(reply = Option<String>)]
struct WhoSent;

impl Handler<WhoSent> for Counter {
    async fn handle(&mut self, _: WhoSent, ctx: &mut Context<Self>) -> Result<Option<String>> {
        Ok(ctx.sender().map(|sender| sender.path().to_owned()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_recipient_reaches_each_life_of_a_grain() {
    let seen = Seen::default();
    let system = system(counters(&seen)).await;
    let grain = system.grain::<Counter>("a");
    let recipient: Recipient<Count> = grain.recipient();
    assert_eq!(seen.take(), [""; 0], "nobody has sent anything");
    assert_eq!(recipient.path(), "grains/counter/a");
    for _ in 0..3 {
        recipient.tell(Count).await.expect("it is accepted");
        recipient.tell(Count).confirmed().await.expect("it is accepted");
        recipient.try_tell(Count).expect("there is room");
        assert_eq!(recipient.ask(Count).await.expect("it counts"), 4);
        assert_eq!((grain.is_active(), recipient.is_alive()), (true, Some(true)));
        within(recipient.stop()).await.expect("it ends");
        assert_eq!((grain.is_active(), recipient.is_alive()), (false, None));
    }
    assert_eq!(seen.take(), ["activate a", "passivate a at 4"].repeat(3));
    assert!(recipient.untyped().typed::<Front>().is_none(), "it is none of those");
    let same = recipient.untyped().typed::<Counter>().expect("it is one");
    assert_eq!((same == recipient, same == *system.grain::<Counter>("b")), (true, false));
    assert_eq!(same.ask(Count).await.expect("it counts"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_untyped_reference_is_asked_for_what_a_grain_accepts() {
    let system = system(counters(&Seen::default())).await;
    let grain = system.grain::<Counter>("a").untyped();
    let error = grain.ask(Count).await.expect_err("it is not on the list");
    assert!(matches!(error.refusal(), Some(Refusal::NotAccepted { .. })), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_its_outcomes_in_order() {
    let system = system(counters(&Seen::default())).await;
    let grain = system.grain::<Counter>("a");
    let told = grain.tell_all((0..50).map(|_| Count)).await;
    assert!(told.len() == 50 && told.iter().all(Result::is_ok), "{told:?}");
    let asked = grain.ask_all((0..50).map(|_| Count)).await;
    let asked: Result<Vec<_>, _> = asked.into_iter().collect();
    assert_eq!(asked.expect("all are answered"), (51..=100).collect::<Vec<u64>>());

    let bad = system.grain::<Counter>("bad").ask_all([Count, Count]).await;
    for outcome in bad {
        let error = outcome.expect_err("it does not come to life");
        assert!(matches!(error.refusal(), Some(Refusal::ActivationFailed { .. })), "{error}");
    }
    let none = system.grain::<Counter>("").tell_all([Count]).await;
    let error = none.into_iter().next().expect("there is one").expect_err("that is no key");
    assert!(matches!(error.refusal(), Some(Refusal::InvalidArgument { .. })), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_tells_is_for_whichever_life_there_is() {
    let system = system(counters(&Seen::default())).await;
    let grain = system.grain::<Counter>("a");
    let mut sink = grain.sink();
    for _ in 0..10 {
        sink.feed(Count).await.expect("it is taken");
    }
    sink.flush().await.expect("all are");
    within(grain.deactivate()).await.expect("it ends");
    sink.feed(Count).await.expect("it is taken");
    sink.flush().await.expect("it is");
    assert_eq!((sink.accepted(), grain.ask(Count).await.expect("it counts")), (11, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_forwarded_is_answered_by_the_grain() {
    let system = system(counters(&Seen::default())).await;
    let grain = system.grain::<Counter>("a");
    let front = grain.clone();
    let front = system.spawn("front", move || Front(front.clone())).await.expect("it starts");
    for _ in 0..3 {
        assert_eq!(front.ask(Count).await.expect("the grain answers"), 1);
        front.tell(Count).await.expect("it is accepted");
        // Behind what was told.
        assert_eq!(front.ask(Count).await.expect("the grain answers"), 3);
        within(grain.deactivate()).await.expect("it ends");
    }
    let bad = system.grain::<Counter>("bad");
    let bad = system.spawn("bad", move || Front(bad.clone())).await.expect("it starts");
    let error = bad.ask(Count).await.expect_err("the grain does not come to life");
    assert!(matches!(error.refusal(), Some(Refusal::ActivationFailed { .. })), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_told_in_a_handler_has_its_sender() {
    #[derive(Message)]
    #[rakt(reply = Vec<Option<String>>)]
    struct Ask;
    impl Handler<Ask> for Front {
        async fn handle(&mut self, _: Ask, ctx: &mut Context<Self>) -> Result<Vec<Option<String>>> {
            let mut seen = vec![ctx.ask(&self.0, WhoSent).await?, self.0.ask(WhoSent).await?];
            for asked in ctx.ask_all(&self.0, [WhoSent, WhoSent]).await {
                seen.push(asked?);
            }
            Ok(seen)
        }
    }
    let system = system(counters(&Seen::default())).await;
    let grain = system.grain::<Counter>("a");
    let front = system.spawn("front", move || Front(grain.clone())).await.expect("it starts");
    let front_path = Some("front".to_owned());
    let seen = front.ask(Ask).await.expect("it is answered");
    assert_eq!(seen, [front_path.clone(), None, front_path.clone(), front_path]);
}

/// A grain is a member of a router and a subscriber of a topic for good.
#[tokio::test(start_paused = true)]
async fn routers_and_topics_have_grains() {
    let system = system(counters(&Seen::default())).await;
    let [a, b] = ["a", "b"].map(|key| system.grain::<Counter>(key));
    let members = [a.recipient(), b.recipient()];
    let router = move || Router::<Count>::new(Strategy::round_robin(), members.clone());
    let router = system.spawn("router", router).await.expect("it starts");
    let topic = system.spawn("topic", Topic::<Word>::new).await.expect("it starts");
    let (hears, mut heard) = tokio::sync::mpsc::unbounded_channel();
    topic.subscribe(&a).await.expect("it subscribes");
    topic.subscribe(&b).await.expect("it subscribes");
    for _ in 0..3 {
        let mut counts = Vec::new();
        for _ in 0..4 {
            counts.push(router.ask(Count).await.expect("a grain answers"));
        }
        assert_eq!(counts, [1, 1, 2, 2]);
        topic.tell(Word(hears.clone())).await.expect("it is accepted");
        // It comes by another way than what this test sends.
        for _ in 0..2 {
            heard.recv().await.expect("both hear it");
        }
        for grain in [&a, &b] {
            within(grain.deactivate()).await.expect("it ends");
        }
    }
    assert_eq!(topic.ask(rakt::topic::Subscribers).await.expect("it counts"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_grain_never_ends_for_those_who_wait_for_it() {
    let system = system(counters(&Seen::default())).await;
    let grain = system.grain::<Counter>("a");
    grain.ask(Count).await.expect("it counts");
    let mut ended = begun(grain.ended()).await;
    within(grain.deactivate()).await.expect("it ends");
    within(grain.deactivate()).await.expect("it has ended");
    within(grain.kill()).await.expect("there is nothing to kill");
    within(grain.respawn()).await.expect("there is nothing to build anew");
    assert!(ended.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_pending());
    grain.ask(Count).await.expect("it counts");
    within(grain.respawn()).await.expect("it is built anew");
    assert_eq!(grain.ask(Count).await.expect("it counts"), 1);
    within(grain.kill()).await.expect("it ends");
    assert_eq!(grain.ask(Count).await.expect("it counts"), 1);
    assert!(ended.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_pending());
}
