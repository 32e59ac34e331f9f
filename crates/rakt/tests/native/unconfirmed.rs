//! How many plain tells may be lost with a connection, as its end says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rakt::prelude::*;
use rakt::{Event, Events};

use crate::cable::Cable;
use crate::memory::Memory;
use crate::messages::Echo;
use crate::nodes::{config, node_with, remote};
use crate::probe::{Number, echo, number};
use crate::support::{event, within};

/// Longer than a peer may be silent before it is asked for a sign of life (10 s), and shorter than an idle
/// connection stays (30 s).
const ASKED: Duration = Duration::from_secs(11);

/// Counts what it is told.
struct Counter(Arc<AtomicU64>);

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Number>().remote::<Echo>();
    }
}

impl Handler<Number> for Counter {
    async fn handle(&mut self, _: Number, _: &mut Context<Self>) -> Result {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Handler<Echo> for Counter {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Result<Echo> {
        Ok(echo)
    }
}

/// Two nodes on a cable, with one connection, and a counter on the far one.
struct Scene {
    cable: Cable,
    here: ActorSystem,
    there: ActorSystem,
    events: Events,
    counter: ActorRef<Counter>,
    handled: Arc<AtomicU64>,
    told: u64,
}

impl Scene {
    async fn new() -> Self {
        let cable = Cable::over(&Memory::default());
        let one = || config().max_idle_conns(1).transport(cable.clone());
        let (here, there) = (node_with("here", one()).await, node_with("there", one()).await);
        let handled = Arc::new(AtomicU64::new(0));
        let count = handled.clone();
        there.spawn("counter", move || Counter(count.clone())).await.expect("it starts");
        let counter = remote(&here, &there, "counter").await;
        let events = here.events();
        Self { cable, here, there, events, counter, handled, told: 0 }
    }

    async fn tell(&mut self, count: u64) {
        for n in 0..count {
            within(self.counter.tell(number(n))).await.expect("it is accepted");
        }
        self.told += count;
    }

    /// Waits until all that was told is handled.
    async fn settle(&self) {
        within(self.counter.ask(echo("?"))).await.expect("it answers");
        assert_eq!(self.handled(), self.told);
    }

    fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// How many the end of the connection leaves unconfirmed.
    async fn unconfirmed(&mut self) -> u64 {
        event(&mut self.events, |event| match event {
            Event::LinkDown { unconfirmed, .. } => Some(unconfirmed),
            _ => None,
        })
        .await
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_told_after_a_ping_was_answered_is_counted_exactly() {
    let mut scene = Scene::new().await;
    scene.tell(500).await;
    scene.settle().await;
    tokio::time::sleep(ASKED).await;
    scene.cable.hold();
    scene.tell(70).await;
    assert_eq!(scene.unconfirmed().await, 70);
    assert_eq!((scene.handled(), scene.here.dead_letter_count()), (500, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_handled_without_a_proof_is_counted_too() {
    let mut scene = Scene::new().await;
    scene.tell(500).await;
    scene.settle().await;
    scene.cable.hold();
    scene.tell(70).await;
    let unconfirmed = scene.unconfirmed().await;
    assert_eq!(unconfirmed, 570, "it is an upper bound");
}

#[tokio::test(start_paused = true)]
async fn few_are_unconfirmed_of_many_that_were_handled() {
    let mut scene = Scene::new().await;
    scene.tell(50_000).await;
    scene.settle().await;
    scene.cable.hold();
    scene.tell(10).await;
    let unconfirmed = scene.unconfirmed().await;
    assert!((10..=10 + 4096).contains(&unconfirmed), "{unconfirmed}");
}

#[tokio::test(start_paused = true)]
async fn what_was_never_written_is_a_dead_letter_and_no_tell_is_both() {
    let mut scene = Scene::new().await;
    scene.tell(100).await;
    scene.settle().await;
    tokio::time::sleep(ASKED).await;
    scene.cable.freeze();
    // The first is given out, and waits for the line; the others wait behind it.
    scene.tell(1).await;
    tokio::task::yield_now().await;
    scene.tell(900).await;
    scene.cable.cut();
    let unconfirmed = scene.unconfirmed().await;
    let dead = scene.here.dead_letter_count();
    assert!(unconfirmed > 0 && dead > 0, "{unconfirmed} and {dead}");
    assert_eq!(scene.handled() + unconfirmed + dead, scene.told);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_in_order_leaves_nothing_unconfirmed() {
    for closes_here in [true, false] {
        let mut scene = Scene::new().await;
        scene.tell(100).await;
        let closing = match closes_here {
            true => scene.here.clone(),
            false => scene.there.clone(),
        };
        let shutdown = tokio::spawn(async move { closing.shutdown().await });
        assert_eq!(scene.unconfirmed().await, 0);
        within(shutdown).await.expect("it does not panic");
        assert_eq!(scene.handled() + scene.here.dead_letter_count(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_leaves_nothing_unconfirmed() {
    let mut scene = Scene::new().await;
    scene.tell(100).await;
    assert_eq!(scene.unconfirmed().await, 0);
    assert_eq!(scene.handled(), 100);
}

/// Tells that wait for an answer of their own are not among them.
#[tokio::test(start_paused = true)]
async fn confirmed_tells_and_asks_are_told_themselves() {
    let mut scene = Scene::new().await;
    scene.cable.hold();
    let counter = scene.counter.clone();
    let confirmed = tokio::spawn(async move { counter.tell(number(1)).confirmed().await });
    let counter = scene.counter.clone();
    let asked = tokio::spawn(async move { counter.ask(echo("?")).await });
    assert_eq!(scene.unconfirmed().await, 0);
    within(confirmed).await.expect("it does not panic").expect_err("nobody hears");
    within(asked).await.expect("it does not panic").expect_err("nobody hears");
}
