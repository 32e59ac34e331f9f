//! Talking to an actor on another node: everything that can be said, and how it is answered.

use std::time::Duration;

use bytes::Bytes;
use rakt::message::{Codec, CodecError};
use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{AskError, Metadata, OperationError, Refusal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::memory::Memory;
use crate::messages::{Echo, Unlisted};
use crate::nodes::{self, dead_letter, node, remote};
use crate::probe::{Fail, Hold, LocalOnly, Number, Probe, WhoAsks, echo, number};
use crate::support::within;

#[tokio::test]
async fn a_tell_reaches_an_actor_on_another_node() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    assert!(!probe.is_local());
    within(probe.tell(number(1))).await?;
    within(probe.tell(number(2))).await?;
    assert_eq!(seen.take(2).await, [1, 2]);
    Ok(())
}

#[tokio::test]
async fn a_try_tell_over_an_open_connection_is_taken_at_once() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.ask(echo("opens the connection"))).await?;
    probe.try_tell(number(7))?;
    assert_eq!(seen.next().await, 7);
    Ok(())
}

#[tokio::test]
async fn a_try_tell_without_a_connection_is_refused_and_hands_the_message_back() {
    let (here, there) = (node("here").await, node("there").await);
    Probe::spawn(&there, "probe").await;
    let probe = here.actor(&there.address("probe").expect("valid"));
    let error = probe.try_tell(number(7)).expect_err("there is no connection yet");
    assert!(matches!(error.refusal, Refusal::Unreachable { .. }), "{error}");
    assert!(error.refusal.is_transient());
    assert_eq!(error.message, number(7));
}

#[tokio::test]
async fn a_confirmed_tell_returns_once_the_message_is_in_the_mailbox() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (local, mut seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.tell(Hold {})).await?;
    seen.gate.entered().await;
    within(probe.tell(number(1)).confirmed()).await?;
    assert_eq!(local.queue_len(), Some(1), "it is in the mailbox, and the handler is at the gate");
    assert!(seen.so_far().is_empty());
    seen.gate.open();
    assert_eq!(seen.next().await, 1);
    Ok(())
}

#[tokio::test]
async fn a_confirmed_tell_says_why_it_was_not_delivered() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let nobody = here.actor(&there.address("nobody")?);
    let error = within(nobody.tell(number(1)).confirmed()).await.expect_err("nobody is there");
    assert!(matches!(error, AskError::Refused { refusal: Refusal::NotFound, .. }), "{error}");
    assert!(error.is_safe_to_retry());
    Ok(())
}

#[tokio::test]
async fn an_ask_returns_the_typed_reply() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let reply: Echo = within(probe.ask(echo("hello"))).await?;
    assert_eq!(reply, echo("hello"));
    Ok(())
}

#[tokio::test]
async fn many_asks_are_under_way_together_and_each_gets_its_own_reply() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let mut asks = tokio::task::JoinSet::new();
    for n in 0..500 {
        let probe = probe.clone();
        asks.spawn(async move { (n, within(probe.ask(echo(&n.to_string()))).await) });
    }
    while let Some(done) = asks.join_next().await {
        let (n, reply) = done?;
        assert_eq!(reply?.text, n.to_string());
    }
    Ok(())
}

#[tokio::test]
async fn batches_keep_their_order_and_give_one_outcome_a_message() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let outcomes = within(probe.tell_all((0..100).map(number))).await;
    assert_eq!(outcomes.len(), 100);
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(seen.take(100).await, (0..100).collect::<Vec<_>>());
    let replies = within(probe.ask_all((0..100).map(|n| echo(&n.to_string())))).await;
    let texts: Result<Vec<String>, _> = replies.into_iter().map(|r| r.map(|e| e.text)).collect();
    assert_eq!(texts?, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_lookup_finds_who_is_there_and_nothing_where_nobody_is() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    Probe::spawn(&there, "probe").await;
    let (host, port) = there.advertised();
    let found = within(here.node(host, port).lookup::<Probe>("probe")).await?;
    let found = found.expect("it is there");
    assert_eq!(found.address(), there.address("probe")?);
    assert!(within(here.node(host, port).lookup::<Probe>("absent")).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_lookup_on_a_node_that_is_not_there_is_an_error_and_not_absence() {
    let (here, there) = (node("here").await, node("there").await);
    let (host, port) = (there.advertised().0.to_owned(), there.advertised().1);
    within(there.shutdown()).await;
    let error = within(here.node(&host, port).lookup::<Probe>("probe")).await.expect_err("no node");
    assert!(
        matches!(&error, OperationError::NotSent { refusal: Refusal::Unreachable { .. }, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn messages_can_be_sent_to_a_bare_address() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let address = there.address("probe")?;
    within(here.tell(&address, number(3))).await?;
    assert_eq!(seen.next().await, 3);
    assert_eq!(within(here.ask(&address, echo("hi"))).await?, echo("hi"));
    let parsed: Address = address.to_string().parse()?;
    assert_eq!(within(here.ask(&parsed, echo("parsed"))).await?, echo("parsed"));
    Ok(())
}

#[tokio::test]
async fn an_address_of_another_system_reaches_no_stranger() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let (host, port) = there.advertised();
    let elsewhere = Address::new("probe", "elsewhere", host, port)?;
    let error = within(here.ask(&elsewhere, echo("hi"))).await.expect_err("not that system");
    assert!(error.is_safe_to_retry());
    assert_eq!(error.refusal(), Some(&Refusal::WrongSystem { found: "there".to_owned() }));
    let error = within(here.tell(&elsewhere, number(1))).await.expect_err("not that system");
    assert_eq!(error.message, number(1));
    let error = within(here.actor(&elsewhere).stop()).await.expect_err("not that system");
    assert!(matches!(error.refusal(), Some(Refusal::WrongSystem { .. })), "{error}");
    within(here.tell(&there.address("probe")?, number(2))).await?;
    assert_eq!(seen.next().await, 2, "and nothing before it");
    Ok(())
}

#[tokio::test]
async fn a_child_is_reached_by_its_path() -> Result {
    struct Parent(Probe);
    impl Actor for Parent {
        async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
            let probe = self.0.clone();
            ctx.spawn("child", move || probe.clone()).await?;
            Ok(())
        }
    }
    let (here, there) = (node("here").await, node("there").await);
    let (probe, mut seen) = Probe::new();
    there.spawn("parent", move || Parent(probe.clone())).await?;
    let child: ActorRef<Probe> = remote(&here, &there, "parent/child").await;
    within(child.tell(number(5))).await?;
    assert_eq!(seen.next().await, 5);
    Ok(())
}

#[tokio::test]
async fn a_message_without_a_codec_does_not_leave_the_process() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let error = within(probe.ask(LocalOnly)).await.expect_err("it has no codec");
    assert!(
        matches!(&error, AskError::NotSent { refusal: Refusal::NoCodec { .. }, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("LocalOnly"), "{error}");
    let error = within(probe.tell(LocalOnly)).await.expect_err("it has no codec");
    assert!(matches!(error.refusal, Refusal::NoCodec { .. }), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_type_that_the_actor_does_not_list_is_refused_by_name() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    // There is a handler, but peers are not allowed to use it.
    let error = within(probe.ask(Unlisted {})).await.expect_err("it is not listed");
    let message = "tests.Unlisted".to_owned();
    assert_eq!(error.refusal(), Some(&Refusal::NotAccepted { message }));
    assert!(matches!(error, AskError::Refused { .. }));
    assert_eq!(within(probe.ask(echo("still there"))).await?, echo("still there"));
    Ok(())
}

/// The numbers above 99 are written as something else.
struct Doubtful(u64);
/// Has a reply that cannot be read.
struct Misread;
#[derive(Debug)]
struct Unreadable;
enum Odd {}

impl Codec<Doubtful> for Odd {
    fn encoded_len(_: &Doubtful) -> Option<usize> {
        None
    }
    fn encode(value: &Doubtful, out: &mut Vec<u8>) -> Result<(), CodecError> {
        match value.0 {
            200.. => return Err(CodecError::new("too odd to write")),
            100.. => out.extend_from_slice(&[0xff; 3]),
            n => prost::Message::encode(&number(n), out).expect("a vec has room"),
        }
        Ok(())
    }
    fn decode(bytes: Bytes) -> Result<Doubtful, CodecError> {
        let number: Number = prost::Message::decode(bytes).map_err(CodecError::new)?;
        Ok(Doubtful(number.n))
    }
}

impl Codec<Misread> for Odd {
    fn encoded_len(_: &Misread) -> Option<usize> {
        None
    }
    fn encode(_: &Misread, _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }
    fn decode(_: Bytes) -> Result<Misread, CodecError> {
        Ok(Misread)
    }
}

impl Codec<Unreadable> for Odd {
    fn encoded_len(_: &Unreadable) -> Option<usize> {
        None
    }
    fn encode(_: &Unreadable, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.push(0);
        Ok(())
    }
    fn decode(bytes: Bytes) -> Result<Unreadable, CodecError> {
        if bytes.is_empty() { Ok(Unreadable) } else { Err(CodecError::new("not empty")) }
    }
}

impl Codec<()> for Odd {
    fn encoded_len(_: &()) -> Option<usize> {
        Some(0)
    }
    fn encode(_: &(), _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }
    fn decode(_: Bytes) -> Result<(), CodecError> {
        Ok(())
    }
}

rakt::messages! {
    Doubtful as "tests.Doubtful" with Odd,
    Misread as "tests.Misread" with Odd => Unreadable,
}

/// Tells of the numbers that it can read.
struct Reader(mpsc::UnboundedSender<u64>);

impl Actor for Reader {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Doubtful>().remote::<Misread>();
    }
}

impl Handler<Doubtful> for Reader {
    async fn handle(&mut self, Doubtful(n): Doubtful, _: &mut Context<Self>) -> Result {
        self.0.send(n)?;
        Ok(())
    }
}

impl Handler<Misread> for Reader {
    async fn handle(&mut self, _: Misread, _: &mut Context<Self>) -> Result<Unreadable> {
        Ok(Unreadable)
    }
}

/// A reader on another node, and what it has read.
async fn reader(
    here: &ActorSystem,
    there: &ActorSystem,
) -> Result<(ActorRef, mpsc::UnboundedReceiver<u64>)> {
    let (tell, read) = mpsc::unbounded_channel();
    there.spawn("reader", move || Reader(tell.clone())).await?;
    Ok((remote(here, there, "reader").await, read))
}

#[tokio::test]
async fn a_payload_that_cannot_be_read_is_refused_however_it_was_sent() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (probe, mut seen) = reader(&here, &there).await?;
    let mut events = here.events();

    let error = within(probe.ask(Doubtful(100))).await.expect_err("unreadable");
    assert!(matches!(error.refusal(), Some(Refusal::Undecodable { .. })), "{error}");
    let error = within(probe.tell(Doubtful(100)).confirmed()).await.expect_err("unreadable");
    assert!(matches!(error.refusal(), Some(Refusal::Undecodable { .. })), "{error}");
    within(probe.tell(Doubtful(100))).await?;
    let letter = dead_letter(&mut events).await;
    assert!(matches!(letter.reason, Refusal::Undecodable { .. }), "{letter:?}");
    assert_eq!(letter.message, "tests.Doubtful");

    within(probe.tell(Doubtful(1))).await?;
    assert_eq!(within(seen.recv()).await, Some(1), "the actor lives, and saw none of them");
    Ok(())
}

#[tokio::test]
async fn a_message_that_cannot_be_written_is_not_sent_and_comes_back() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (probe, mut seen) = reader(&here, &there).await?;
    let error = within(probe.tell(Doubtful(200))).await.expect_err("it cannot be written");
    let source = "too odd to write".into();
    assert_eq!(error.refusal, Refusal::Unencodable { source });
    assert_eq!(error.message.0, 200);
    within(probe.tell(Doubtful(1))).await?;
    assert_eq!(within(seen.recv()).await, Some(1));
    Ok(())
}

#[tokio::test]
async fn a_reply_that_cannot_be_read_is_its_own_error() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (probe, _seen) = reader(&here, &there).await?;
    let error = within(probe.ask(Misread)).await.expect_err("it cannot be read");
    assert!(
        matches!(&error, AskError::BadReply { source, .. } if source.to_string() == "not empty"),
        "{error}"
    );
    assert!(!error.is_safe_to_retry());
    Ok(())
}

#[tokio::test]
async fn a_bad_message_in_a_batch_has_its_own_outcome_and_the_others_are_delivered() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (probe, mut seen) = reader(&here, &there).await?;
    for batch in [
        within(probe.tell_all([1, 100, 2, 200, 3].map(Doubtful))).await,
        within(probe.ask_all([1, 100, 2, 200, 3].map(Doubtful))).await,
    ] {
        assert!(batch[0].is_ok() && batch[2].is_ok() && batch[4].is_ok(), "{batch:?}");
        let refusal = |at: usize| batch[at].as_ref().expect_err("bad").refusal();
        assert!(matches!(refusal(1), Some(Refusal::Undecodable { .. })), "{batch:?}");
        assert!(matches!(refusal(3), Some(Refusal::Unencodable { .. })), "{batch:?}");
        for n in [1, 2, 3] {
            assert_eq!(within(seen.recv()).await, Some(n));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_handler_that_fails_tells_the_asker_why() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (probe, _seen) = Probe::new();
    there
        .spawn("probe", move || probe.clone())
        .supervision(Supervision::always(Directive::Resume))
        .await?;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let error = within(probe.ask(Fail { why: "no luck".into() })).await.expect_err("it fails");
    assert_eq!(error.refusal(), Some(&Refusal::HandlerFailed { source: "no luck".into() }));
    assert!(!error.is_safe_to_retry());
    assert_eq!(within(probe.ask(echo("next"))).await?, echo("next"));
    Ok(())
}

/// Tells or asks another actor when it is told to, and hears what comes back.
struct Caller {
    other: ActorRef,
    heard: mpsc::UnboundedSender<String>,
}

/// Has a [`Caller`] speak.
enum Speak {
    Tell,
    Ask,
}

rakt::messages! {
    Speak => Option<Echo>,
}

impl Actor for Caller {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>();
    }
}

impl Handler<Speak> for Caller {
    async fn handle(&mut self, speak: Speak, ctx: &mut Context<Self>) -> Result<Option<Echo>> {
        Ok(match speak {
            Speak::Tell => {
                ctx.tell(&self.other, echo("ping")).await?;
                None
            }
            Speak::Ask => Some(ctx.ask(&self.other, WhoAsks {}).await?),
        })
    }
}

impl Handler<Echo> for Caller {
    async fn handle(&mut self, Echo { text }: Echo, _: &mut Context<Self>) -> Result<Echo> {
        self.heard.send(text.clone())?;
        Ok(Echo { text })
    }
}

/// Tells its sender what it was told.
struct Answerer;

impl Actor for Answerer {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>();
    }
}

impl Handler<Echo> for Answerer {
    async fn handle(&mut self, echo: Echo, ctx: &mut Context<Self>) -> Result<Echo> {
        let sender = ctx.sender().cloned().ok_or("nobody to answer")?;
        let text = format!("{} answered", echo.text);
        ctx.tell(&sender, Echo { text }).await?;
        Ok(echo)
    }
}

async fn caller(
    system: &ActorSystem,
    other: ActorRef,
) -> (ActorRef<Caller>, mpsc::UnboundedReceiver<String>) {
    let (heard, hears) = mpsc::unbounded_channel();
    let make = move || Caller { other: other.clone(), heard: heard.clone() };
    (system.spawn("caller", make).await.expect("it starts"), hears)
}

#[tokio::test]
async fn a_sender_can_be_answered_from_the_other_node() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    there.spawn("answerer", || Answerer).await?;
    let (caller, mut hears) = caller(&here, remote(&here, &there, "answerer").await).await;
    within(caller.tell(Speak::Tell)).await?;
    assert_eq!(within(hears.recv()).await.as_deref(), Some("ping answered"));
    Ok(())
}

#[tokio::test]
async fn an_actor_asks_across_nodes_under_its_own_name() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    Probe::spawn(&there, "probe").await;
    let (caller, _hears) = caller(&here, remote(&here, &there, "probe").await).await;
    let reply = within(caller.ask(Speak::Ask)).await?.expect("it asked");
    assert_eq!(reply.text, caller.to_string());
    assert!(reply.text.starts_with("rakt://here@127.0.0.1:"), "{}", reply.text);
    Ok(())
}

#[tokio::test]
async fn a_sender_that_is_named_is_seen_and_one_that_is_not_is_absent() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    Probe::spawn(&there, "probe").await;
    let (mine, _) = Probe::spawn(&here, "mine").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    assert_eq!(within(probe.ask(WhoAsks {})).await?.text, "");
    assert_eq!(within(probe.ask(WhoAsks {}).sender(&mine)).await?.text, mine.to_string());
    let all = within(probe.ask_all([WhoAsks {}, WhoAsks {}]).sender(&mine)).await;
    for reply in all {
        assert_eq!(reply?.text, mine.to_string());
    }
    Ok(())
}

/// Passes on what it is sent.
struct Front(ActorRef);

impl Actor for Front {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<WhoAsks>().remote::<Number>().remote::<Hold>();
    }
}

impl Handler<WhoAsks> for Front {
    async fn handle(&mut self, message: WhoAsks, ctx: &mut Context<Self>) -> Result<Echo> {
        ctx.forward(&self.0, message).await
    }
}

impl Handler<Number> for Front {
    async fn handle(&mut self, message: Number, ctx: &mut Context<Self>) -> Result {
        ctx.forward(&self.0, message).await
    }
}

impl Handler<Hold> for Front {
    async fn handle(&mut self, message: Hold, ctx: &mut Context<Self>) -> Result {
        ctx.forward(&self.0, message).await
    }
}

#[tokio::test]
async fn what_is_forwarded_across_three_nodes_is_answered_to_the_asker() -> Result {
    let (here, front, back) = (node("here").await, node("front").await, node("back").await);
    let (_, mut seen) = Probe::spawn(&back, "probe").await;
    let behind: ActorRef = remote(&front, &back, "probe").await;
    front.spawn("front", move || Front(behind.clone())).await?;
    let (mine, _) = Probe::spawn(&here, "mine").await;
    let front: ActorRef<Front> = remote(&here, &front, "front").await;
    let reply = within(front.ask(WhoAsks {}).sender(&mine)).await?;
    assert_eq!(reply.text, mine.to_string(), "the sender is the asker, not the one between");
    for n in 0..100 {
        within(front.tell(number(n))).await?;
    }
    assert_eq!(seen.take(100).await, (0..100).collect::<Vec<_>>());
    // The one between forwards the next message while this one is not answered.
    let held = tokio::spawn({
        let front = front.clone();
        async move { within(front.ask(Hold {})).await }
    });
    seen.gate.entered().await;
    within(front.tell(number(9)).confirmed()).await?;
    seen.gate.open();
    assert!(held.await?.is_ok());
    assert_eq!(seen.next().await, 9);
    Ok(())
}

/// Says what a handler knows of time, and whether it hears that its asker has gone.
struct Clock {
    left: mpsc::UnboundedSender<Option<Duration>>,
    cancelled: mpsc::UnboundedSender<bool>,
}

impl Actor for Clock {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Hold>().remote::<Echo>();
    }
}

/// Waits until the asker gives up.
impl Handler<Hold> for Clock {
    async fn handle(&mut self, _: Hold, ctx: &mut Context<Self>) -> Result {
        self.left.send(left(ctx))?;
        ctx.cancelled().await;
        self.cancelled.send(ctx.is_cancelled())?;
        Ok(())
    }
}

impl Handler<Echo> for Clock {
    async fn handle(&mut self, echo: Echo, ctx: &mut Context<Self>) -> Result<Echo> {
        self.left.send(left(ctx))?;
        Ok(echo)
    }
}

fn left<A: Actor>(ctx: &Context<A>) -> Option<Duration> {
    ctx.deadline().map(|at| at.saturating_duration_since(Instant::now().into_std()))
}

type Clocked =
    (ActorRef<Clock>, mpsc::UnboundedReceiver<Option<Duration>>, mpsc::UnboundedReceiver<bool>);

/// A clock on `there`, referred to from `here`.
async fn clock(here: &ActorSystem, there: &ActorSystem) -> Clocked {
    let (left, lefts) = mpsc::unbounded_channel();
    let (cancelled, ends) = mpsc::unbounded_channel();
    let make = move || Clock { left: left.clone(), cancelled: cancelled.clone() };
    there.spawn("clock", make).await.expect("it starts");
    (remote(here, there, "clock").await, lefts, ends)
}

/// Two nodes on a network in memory: no time passes while either has something to do.
async fn on_a_paused_clock() -> (ActorSystem, ActorSystem) {
    let network = Memory::default();
    let node = |name| nodes::node_with(name, nodes::config().transport(network.clone()));
    (node("here").await, node("there").await)
}

#[tokio::test(start_paused = true)]
async fn the_deadline_travels_as_the_time_that_remains() -> Result {
    let (here, there) = on_a_paused_clock().await;
    let (clock, mut lefts, _) = clock(&here, &there).await;
    within(clock.ask(echo("x")).timeout(Duration::from_secs(77))).await?;
    let left = within(lefts.recv()).await.flatten().expect("an ask has a deadline");
    // It travels in whole milliseconds.
    assert!(left <= Duration::from_secs(77) && left > Duration::from_millis(76_990), "{left:?}");
    within(clock.tell(echo("x"))).await?;
    assert_eq!(within(lefts.recv()).await, Some(None), "a tell has none");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_ask_times_out_and_the_handler_hears_of_it() -> Result {
    let (here, there) = on_a_paused_clock().await;
    let (clock, _lefts, mut ends) = clock(&here, &there).await;
    let limit = Duration::from_millis(50);
    let error = within(clock.ask(Hold {}).timeout(limit)).await.expect_err("it never answers");
    match &error {
        AskError::Timeout { limit: told, target } => {
            assert_eq!((*told, target), (limit, &clock.address()));
        }
        other => panic!("{other}"),
    }
    assert!(!error.is_safe_to_retry(), "it may have been handled");
    assert_eq!(within(ends.recv()).await, Some(true));
    Ok(())
}

#[tokio::test]
async fn dropping_an_ask_cancels_it_over_there() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (clock, mut lefts, mut ends) = clock(&here, &there).await;
    let asking = tokio::spawn({
        let clock = clock.clone();
        async move { clock.ask(Hold {}).timeout(Duration::from_secs(600)).await }
    });
    within(lefts.recv()).await.expect("the handler runs");
    asking.abort();
    assert_eq!(within(ends.recv()).await, Some(true));
    within(clock.ask(echo("the actor goes on"))).await?;
    Ok(())
}

#[tokio::test]
async fn an_ask_that_was_dropped_while_it_waited_is_not_handled() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (local, mut seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.tell(Hold {})).await?;
    seen.gate.entered().await;
    let dropped = tokio::spawn({
        let probe = probe.clone();
        async move { probe.ask(number(1)).await }
    });
    within(async {
        while local.queue_len() != Some(1) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    dropped.abort();
    assert!(dropped.await.is_err_and(|error| error.is_cancelled()));
    // Sent after the cancellation and over the same connection, so it arrives after it.
    within(probe.tell(number(2)).confirmed()).await?;
    seen.gate.open();
    assert_eq!(seen.next().await, 2);
    Ok(())
}

/// Answers later, from a task.
struct Later(mpsc::UnboundedSender<rakt::ReplyLater<Echo>>);

impl Actor for Later {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>();
    }
}

impl Handler<Echo> for Later {
    async fn handle(&mut self, _: Echo, ctx: &mut Context<Self>) -> Result<Echo> {
        let (later, deferred) = ctx.defer();
        self.0.send(later)?;
        deferred
    }
}

#[tokio::test]
async fn a_deferred_reply_reaches_the_asker_on_the_other_node() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (sender, mut replies) = mpsc::unbounded_channel();
    there.spawn("later", move || Later(sender.clone())).await?;
    let later: ActorRef<Later> = remote(&here, &there, "later").await;
    let ask = |text: &'static str| {
        let later = later.clone();
        tokio::spawn(async move { within(later.ask(echo(text))).await })
    };
    let first = ask("first");
    let one = within(replies.recv()).await.expect("asked");
    let second = ask("second");
    let two = within(replies.recv()).await.expect("asked, while the first has no answer");
    let third = ask("third");
    let three = within(replies.recv()).await.expect("asked");
    two.send(echo("two"));
    assert_eq!(second.await??, echo("two"));
    one.fail("changed my mind");
    let error = first.await?.expect_err("it failed");
    assert_eq!(error.refusal(), Some(&Refusal::HandlerFailed { source: "changed my mind".into() }));
    drop(three);
    let error = third.await?.expect_err("no reply was given");
    assert_eq!(error.refusal(), Some(&Refusal::NoReply));
    Ok(())
}

/// Answers with the tenant in the metadata.
struct Tenant;

impl Actor for Tenant {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>();
    }
}

impl Handler<Echo> for Tenant {
    async fn handle(&mut self, _: Echo, ctx: &mut Context<Self>) -> Result<Echo> {
        let tenant = ctx.metadata().and_then(|metadata| metadata.get("tenant"));
        Ok(echo(tenant.unwrap_or("none")))
    }
}

#[tokio::test]
async fn metadata_travels_with_the_message() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    there.spawn("tenant", || Tenant).await?;
    let tenant: ActorRef<Tenant> = remote(&here, &there, "tenant").await;
    let mut metadata = Metadata::new();
    metadata.insert("tenant", "blue")?;
    assert_eq!(within(tenant.ask(echo("?")).metadata(metadata)).await?, echo("blue"));
    assert_eq!(within(tenant.ask(echo("?"))).await?, echo("none"), "and with no other");
    Ok(())
}

#[tokio::test]
async fn a_client_without_a_system_can_do_all_of_it() -> Result {
    let there = nodes::node_with("there", nodes::open()).await;
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let (host, port) = there.advertised();
    let client = remote::Client::new("client", remote::ClientConfig::new())?;
    let mut events = client.events();

    within(client.node(host, port).ping()).await?;
    let probe =
        within(client.node(host, port).lookup::<Probe>("probe")).await?.expect("it is there");
    within(probe.tell(number(1))).await?;
    within(probe.tell(number(2)).confirmed()).await?;
    assert_eq!(seen.take(2).await, [1, 2]);
    assert_eq!(within(probe.ask(echo("hi"))).await?, echo("hi"));
    assert_eq!(within(probe.ask(WhoAsks {})).await?.text, "", "it is no actor");
    assert_eq!(within(probe.ask_all([echo("a"), echo("b")])).await.len(), 2);
    let address = there.address("probe")?;
    let clone = client.clone();
    within(clone.tell(&address, number(3))).await?;
    assert_eq!(seen.next().await, 3);

    within(client.tell(&there.address("nobody")?, number(4))).await?;
    let letter = dead_letter(&mut events).await;
    assert_eq!((letter.reason, letter.count), (Refusal::NotFound, 1));
    assert_eq!(client.dead_letter_count(), 1);

    within(client.actor(&address).stop()).await?;
    assert!(within(client.node(host, port).lookup::<Probe>("probe")).await?.is_none());

    within(client.close()).await;
    let error = within(client.ask(&address, echo("late"))).await.expect_err("it is closed");
    assert_eq!(error.refusal(), Some(&Refusal::Closed));
    assert!(!error.is_worth_retrying(), "it stays closed");
    Ok(())
}

#[tokio::test]
async fn closing_a_client_first_writes_what_it_was_given() -> Result {
    let there = node("there").await;
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let client = remote::Client::new("client", remote::ClientConfig::new())?;
    let probe = client.actor(&there.address("probe")?);
    for n in 0..10_000 {
        within(probe.tell(number(n))).await?;
    }
    within(client.close()).await;
    assert_eq!(seen.take(10_000).await, (0..10_000).collect::<Vec<_>>());
    Ok(())
}

#[cfg(feature = "serde")]
#[tokio::test]
async fn serde_types_are_messages_like_protobuf_ones() -> Result {
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    enum Move {
        Step { x: i32, y: i32 },
        Castle(BTreeMap<String, Vec<u8>>),
    }
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Position(Option<(i32, i32)>);
    rakt::messages! {
        Move as "tests.Move" with "serde" => Position,
    }
    struct Board;
    impl Actor for Board {
        fn accepts(accepts: &mut Accepts<Self>) {
            accepts.remote::<Move>();
        }
    }
    impl Handler<Move> for Board {
        async fn handle(&mut self, step: Move, _: &mut Context<Self>) -> Result<Position> {
            Ok(match step {
                Move::Step { x, y } => Position(Some((x, y))),
                Move::Castle(map) if map["king"] == [1, 2, 3] => Position(None),
                Move::Castle(_) => return Err("no king".into()),
            })
        }
    }

    let (here, there) = (node("here").await, node("there").await);
    there.spawn("board", || Board).await?;
    let board: ActorRef<Board> = remote(&here, &there, "board").await;
    let reply = within(board.ask(Move::Step { x: -1, y: i32::MAX })).await?;
    assert_eq!(reply, Position(Some((-1, i32::MAX))));
    let castle = Move::Castle(BTreeMap::from([("king".to_owned(), vec![1, 2, 3])]));
    assert_eq!(within(board.ask(castle)).await?, Position(None));
    Ok(())
}

#[tokio::test]
async fn a_system_reaches_its_own_actors_by_address_without_a_connection() -> Result {
    let here = node("here").await;
    let (_, mut seen) = Probe::spawn(&here, "probe").await;
    let own = here.actor(&here.address("probe")?);
    assert!(own.is_local());
    within(own.tell(Number { n: 4 })).await?;
    assert_eq!(seen.next().await, 4);
    Ok(())
}

/// A message whose codec panics where it is told to.
struct Bomb {
    explodes_when_written: bool,
}

enum Fuse {}

impl Codec<Bomb> for Fuse {
    fn encoded_len(_: &Bomb) -> Option<usize> {
        Some(1)
    }
    fn encode(bomb: &Bomb, out: &mut Vec<u8>) -> Result<(), CodecError> {
        assert!(!bomb.explodes_when_written, "written");
        out.push(0);
        Ok(())
    }
    fn decode(_: Bytes) -> Result<Bomb, CodecError> {
        panic!("read")
    }
}

impl Codec<()> for Fuse {
    fn encoded_len(_: &()) -> Option<usize> {
        Some(0)
    }
    fn encode(_: &(), _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }
    fn decode(_: Bytes) -> Result<(), CodecError> {
        Ok(())
    }
}

rakt::messages! { Bomb as "tests.Bomb" with Fuse }

/// Would handle a [`Bomb`], if one could be read.
struct Sapper;

impl Actor for Sapper {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Bomb>().remote::<Echo>();
    }
}

impl Handler<Bomb> for Sapper {
    async fn handle(&mut self, _: Bomb, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

impl Handler<Echo> for Sapper {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Result<Echo> {
        Ok(echo)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codec_that_panics_harms_its_own_message_alone() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    there.spawn("sapper", || Sapper).await?;
    let sapper: ActorRef<Sapper> = remote(&here, &there, "sapper").await;
    for explodes_when_written in [true, false] {
        let bomb = || Bomb { explodes_when_written };
        let asked = within(sapper.ask(bomb())).await.expect_err("it explodes");
        let confirmed = within(sapper.tell(bomb()).confirmed()).await.expect_err("it explodes");
        for error in [asked, confirmed] {
            match explodes_when_written {
                true => assert!(matches!(error.refusal(), Some(Refusal::Unencodable { .. }))),
                false => assert!(matches!(error.refusal(), Some(Refusal::Undecodable { .. }))),
            }
        }
        // The connection is the same, and so are the others on it.
        assert_eq!(within(sapper.ask(echo("still here"))).await?, echo("still here"));
    }
    Ok(())
}

#[tokio::test]
async fn requests_that_were_given_up_do_not_count_as_in_flight() -> Result {
    let config = || nodes::config().max_in_flight(4);
    let here = nodes::node_with("here", config()).await;
    let there = nodes::node_with("there", config()).await;
    let (_, seen) = Probe::spawn(&there, "stuck").await;
    Probe::spawn(&there, "probe").await;
    let stuck: ActorRef<Probe> = remote(&here, &there, "stuck").await;
    within(stuck.tell(Hold {})).await?;
    seen.gate.entered().await;
    for _ in 0..3 {
        let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
        for _ in 0..4 {
            let asked = stuck.ask(echo("?")).timeout(Duration::from_millis(1));
            within(asked).await.expect_err("it is stuck");
        }
        assert_eq!(within(probe.ask(echo("!"))).await?, echo("!"));
        assert_eq!(within(stuck.tell(number(1))).await.map_err(|e| e.refusal), Ok(()));
    }
    seen.gate.open();
    Ok(())
}

#[cfg(feature = "serde")]
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum Unsold {
    SoldOut,
    TooMany { at_most: u32 },
}

#[cfg(feature = "serde")]
#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.Buy", codec = "serde", reply = std::result::Result<u32, Unsold>)]
struct Buy(u32);

/// Sells ten.
#[cfg(feature = "serde")]
struct Shop(u32);

#[cfg(feature = "serde")]
impl Actor for Shop {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Buy>();
    }
}

#[cfg(feature = "serde")]
impl Handler<Buy> for Shop {
    async fn handle(
        &mut self,
        Buy(n): Buy,
        _: &mut Context<Self>,
    ) -> Result<std::result::Result<u32, Unsold>> {
        if self.0 == 0 {
            return Ok(Err(Unsold::SoldOut));
        }
        Ok(match self.0.checked_sub(n) {
            None => Err(Unsold::TooMany { at_most: self.0 }),
            Some(left) => {
                self.0 = left;
                Ok(left)
            }
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Missing {
    #[prost(uint32, tag = "1")]
    left: u32,
}

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Take", reply = std::result::Result<u32, Missing> as "tests.Taken")]
struct Take {
    #[prost(uint32, tag = "1")]
    n: u32,
}

/// Holds ten.
struct Shelf(u32);

impl Actor for Shelf {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Take>();
    }
}

impl Handler<Take> for Shelf {
    async fn handle(
        &mut self,
        Take { n }: Take,
        _: &mut Context<Self>,
    ) -> Result<std::result::Result<u32, Missing>> {
        let Some(left) = self.0.checked_sub(n) else { return Ok(Err(Missing { left: self.0 })) };
        self.0 = left;
        Ok(Ok(left))
    }
}

#[tokio::test]
async fn a_reply_of_prost_may_be_a_result_as_well() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    there.spawn("shelf", || Shelf(10)).supervision(Supervision::always(Directive::Stop)).await?;
    let shelf: ActorRef<Shelf> = remote(&here, &there, "shelf").await;
    assert_eq!(within(shelf.ask(Take { n: 7 })).await?, Ok(3));
    assert_eq!(within(shelf.ask(Take { n: 7 })).await?, Err(Missing { left: 3 }));
    assert_eq!(within(shelf.ask(Take { n: 3 })).await?, Ok(0), "zero is a value too");
    Ok(())
}

/// An expected failure is a reply of its own type, also from another node: supervision never sees it.
#[cfg(feature = "serde")]
#[tokio::test]
async fn a_reply_may_be_a_result_with_an_error_of_its_own() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    there.spawn("shop", || Shop(10)).supervision(Supervision::always(Directive::Stop)).await?;
    let shop: ActorRef<Shop> = remote(&here, &there, "shop").await;
    assert_eq!(within(shop.ask(Buy(7))).await?, Ok(3));
    assert_eq!(within(shop.ask(Buy(7))).await?, Err(Unsold::TooMany { at_most: 3 }));
    assert_eq!(within(shop.ask(Buy(3))).await?, Ok(0));
    assert_eq!(within(shop.ask(Buy(1))).await?, Err(Unsold::SoldOut));
    Ok(())
}
