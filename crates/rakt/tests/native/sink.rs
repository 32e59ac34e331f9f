//! What becomes of messages that are fed to a sink, or taken from a stream?

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures_core::Stream;
use rakt::Refusal;
use rakt::message::{Codec, CodecError};
use rakt::prelude::*;
use tokio::sync::mpsc;

use crate::cable::Cable;
use crate::nodes::{config, node, node_with, remote};
use crate::probe::{Blob, Hold, Number, Probe, Seen, echo, number};
use crate::support::{begun, within};

/// Two nodes on a cable, and a probe on the far one.
struct Scene {
    cable: Cable,
    here: ActorSystem,
    there: ActorSystem,
    probe: ActorRef<Probe>,
    seen: Seen,
}

impl Scene {
    async fn new(options: impl Fn() -> remote::Config) -> Self {
        let cable = Cable::default();
        let one = || options().max_idle_conns(1);
        let here = node_with("here", one().transport(cable.clone())).await;
        let there = node_with("there", one().transport(cable.memory())).await;
        let (_, seen) = Probe::spawn(&there, "probe").await;
        let probe = remote(&here, &there, "probe").await;
        Self { cable, here, there, probe, seen }
    }
}

#[tokio::test]
async fn all_that_is_fed_arrives_in_order_however_little_credit_there_is() -> Result {
    for window in [1024, 32 * 1024, 4 * 1024 * 1024] {
        let mut scene = Scene::new(|| config().receiver_window(window)).await;
        let mut sink = scene.probe.sink();
        for n in 0..20_000 {
            within(sink.feed(number(n))).await?;
        }
        within(sink.flush()).await?;
        assert_eq!((sink.accepted(), sink.staged()), (20_000, 0));
        assert_eq!(scene.seen.take(20_000).await, (0..20_000).collect::<Vec<_>>());
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_fed_is_sent_by_a_flush_and_dropped_with_the_sink() -> Result {
    let mut scene = Scene::new(config).await;
    let mut sink = scene.probe.sink();
    within(sink.feed(number(1))).await?;
    assert_eq!((sink.accepted(), sink.staged()), (0, 1));
    within(scene.probe.ask(echo("?"))).await?;
    assert_eq!(scene.seen.so_far(), Vec::<u64>::new(), "it is not flushed");
    within(sink.flush()).await?;
    within(sink.feed(number(2))).await?;
    drop(sink);
    within(scene.probe.tell(number(3))).await?;
    assert_eq!(scene.seen.take(2).await, [1, 3]);
    Ok(())
}

#[tokio::test]
async fn messages_of_any_size_keep_their_order() -> Result {
    let scene = Scene::new(config).await;
    let (sizes, mut seen) = mpsc::unbounded_channel();
    scene.there.spawn("sizes", move || Sizes(sizes.clone())).await?;
    let to: ActorRef<Sizes> = remote(&scene.here, &scene.there, "sizes").await;
    let lens = [10, 3_000_000, 20, 30, 70_000, 2_000, 40, 1_000_000];
    let mut sink = to.sink();
    for len in lens {
        within(sink.feed(Blob { bytes: vec![7; len], back: false })).await?;
    }
    within(sink.flush()).await?;
    for len in lens {
        assert_eq!(within(seen.recv()).await, Some(len));
    }
    Ok(())
}

#[tokio::test]
async fn a_sink_waits_for_a_slow_receiver_and_holds_no_more_than_its_buffer() -> Result {
    let mut scene = Scene::new(|| config().receiver_window(32 * 1024)).await;
    within(scene.probe.tell(Hold {})).await?;
    scene.seen.gate.entered().await;
    let mut sink = scene.probe.sink();
    let mut fed = 0;
    loop {
        let mut feeding = Box::pin(sink.feed(number(fed)));
        let first = std::future::poll_fn(|cx| Poll::Ready(feeding.as_mut().poll(cx))).await;
        drop(feeding);
        match first {
            Poll::Ready(taken) => taken?,
            Poll::Pending => break,
        }
        fed += 1;
        assert!(fed < 10_000, "nothing held it back");
    }
    // A frame of a number has at least ten bytes.
    assert!(sink.staged() <= 16 * 1024 / 10 + 1, "{}", sink.staged());
    let staged = sink.staged();
    assert!(staged > 0 && sink.accepted() + staged == fed, "{staged} of {fed}");
    scene.seen.gate.open();
    within(sink.flush()).await?;
    assert_eq!(scene.seen.take(fed as usize).await, (0..fed).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_fed_goes_on_over_another_connection() -> Result {
    let mut scene = Scene::new(config).await;
    let mut sink = scene.probe.sink();
    for n in 0..10 {
        within(sink.feed(number(n))).await?;
    }
    within(sink.flush()).await?;
    within(scene.probe.ask(echo("all came"))).await?;
    for n in 10..20 {
        within(sink.feed(number(n))).await?;
    }
    // On the next connection other names have the numbers that were written down.
    scene.cable.cut();
    within(scene.probe.ask(echo("?"))).await.expect_err("the connection is lost");
    let (_, mut others) = Probe::spawn(&scene.there, "other").await;
    let other: ActorRef<Probe> = remote(&scene.here, &scene.there, "other").await;
    within(other.tell(Hold {})).await?;
    others.gate.open();
    within(other.tell(number(0))).await?;
    within(sink.flush()).await?;
    assert_eq!(scene.seen.take(20).await, (0..20).collect::<Vec<_>>());
    assert_eq!(others.take(1).await, [0]);
    assert_eq!(sink.accepted(), 20);
    Ok(())
}

#[tokio::test]
async fn receivers_with_high_numbers_are_fed_as_well() -> Result {
    let mut scene = Scene::new(config).await;
    // As many names come before it on the one connection.
    for n in 0..300 {
        let address = scene.there.address(&format!("nobody-{n}"))?;
        within(scene.here.tell(&address, number(n))).await?;
    }
    let mut sink = scene.probe.sink();
    for n in 0..5000 {
        within(sink.feed(number(n))).await?;
    }
    within(sink.flush()).await?;
    assert_eq!(scene.seen.take(5000).await, (0..5000).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_error_says_how_many_were_accepted_and_how_many_are_dropped() -> Result {
    let scene = Scene::new(config).await;
    let mut sink = scene.probe.sink();
    within(sink.feed(number(0))).await?;
    within(sink.flush()).await?;
    for n in 1..4 {
        within(sink.feed(number(n))).await?;
    }
    scene.cable.unplug();
    scene.cable.cut();
    within(scene.probe.ask(echo("?"))).await.expect_err("the connection is lost");
    let error = within(sink.flush()).await.expect_err("nobody can be reached");
    assert!(matches!(error.refusal, Refusal::Unreachable { .. }), "{error:?}");
    assert_eq!((error.accepted, error.dropped), (1, 3));
    assert!(error.is_worth_retrying());
    let text = format!("of the messages to {} 1 were accepted and 3 were not sent: ", error.target);
    assert!(error.to_string().starts_with(&text), "{error}");
    assert_eq!((sink.accepted(), sink.staged()), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_message_that_cannot_be_written_is_told_of_and_the_others_go() -> Result {
    let mut scene = Scene::new(config).await;
    let anybody: ActorRef = scene.probe.untyped();
    let mut sink = anybody.sink();
    for n in 0..6 {
        let fed = within(sink.feed(Odd(n))).await;
        match n % 3 {
            0 => fed?,
            _ => {
                let error = fed.expect_err("it cannot be written");
                assert!(matches!(error.refusal, Refusal::Unencodable { .. }), "{error:?}");
                assert_eq!(error.dropped, 1);
            }
        }
    }
    within(sink.flush()).await?;
    assert_eq!(sink.accepted(), 2);
    // Nobody takes an `Odd`, so they become dead letters, as tells do.
    within(scene.probe.tell(number(1))).await?;
    assert_eq!(scene.seen.take(1).await, [1]);
    within(async {
        while scene.here.dead_letter_count() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn an_actor_of_this_process_is_fed_as_fast_as_its_mailbox_takes() -> Result {
    let system = node("here").await;
    let (probe, mut seen) = Probe::with_mailbox(&system, "probe", Mailbox::bounded(4)).await;
    probe.tell(Hold {}).await?;
    seen.gate.entered().await;
    let mut sink = probe.sink();
    let feeding = begun(async {
        for n in 0..100 {
            sink.feed(number(n)).await?;
        }
        sink.flush().await
    });
    let feeding = feeding.await;
    seen.gate.open();
    within(feeding).await?;
    assert_eq!(seen.take(100).await, (0..100).collect::<Vec<_>>());
    system.shutdown().await;
    let error = within(async {
        sink.feed(number(0)).await?;
        sink.flush().await
    });
    let error = error.await.expect_err("it has ended");
    assert_eq!((error.accepted, error.dropped), (100, 1));
    Ok(())
}

#[tokio::test]
async fn a_stream_is_told_whole_and_what_came_of_it_while_it_has_nothing_more() -> Result {
    let mut scene = Scene::new(config).await;
    let (sender, receiver) = mpsc::unbounded_channel();
    let telling = tokio::spawn({
        let probe = scene.probe.clone();
        async move { probe.tell_stream(Received(receiver)).await }
    });
    for n in 0..3 {
        sender.send(number(n))?;
        assert_eq!(scene.seen.take(1).await, [n], "it does not wait for more");
    }
    for n in 3..5000 {
        sender.send(number(n))?;
    }
    drop(sender);
    assert_eq!(within(telling).await??, 5000);
    assert_eq!(scene.seen.take(4997).await, (3..5000).collect::<Vec<_>>());
    Ok(())
}

/// What a channel has.
struct Received(mpsc::UnboundedReceiver<Number>);

impl Stream for Received {
    type Item = Number;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Number>> {
        self.0.poll_recv(cx)
    }
}

/// Tells the test how long blobs are.
struct Sizes(mpsc::UnboundedSender<usize>);

impl Actor for Sizes {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Blob>();
    }
}

impl Handler<Blob> for Sizes {
    async fn handle(&mut self, blob: Blob, _: &mut Context<Self>) -> Result<crate::probe::Size> {
        let _ = self.0.send(blob.bytes.len());
        Ok(crate::probe::Size::default())
    }
}

/// Two of three cannot be written: one is refused by its codec, one has it panic.
struct Odd(u64);

enum OddCodec {}

impl Codec<Odd> for OddCodec {
    fn encoded_len(_: &Odd) -> Option<usize> {
        Some(8)
    }

    fn encode(value: &Odd, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(&value.0.to_be_bytes());
        match value.0 % 3 {
            0 => Ok(()),
            1 => Err(CodecError::new("it is odd")),
            _ => panic!("it is very odd"),
        }
    }

    fn decode(_: bytes::Bytes) -> Result<Odd, CodecError> {
        Err(CodecError::new("nobody reads it"))
    }
}

impl Codec<()> for OddCodec {
    fn encoded_len((): &()) -> Option<usize> {
        Some(0)
    }

    fn encode((): &(), _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode(_: bytes::Bytes) -> Result<(), CodecError> {
        Ok(())
    }
}

rakt::messages! { Odd as "tests.Odd" with OddCodec }

/// A sink is `Send`, and can be kept in an actor.
#[test]
fn a_sink_can_be_kept_in_an_actor() {
    fn is_send<T: Send + 'static>() {}
    is_send::<rakt::send::TellSink<Probe, Number>>();
}
