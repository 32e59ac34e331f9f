//! Futures and streams that run beside an actor, and come back as messages.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_core::Stream;
use rakt::error::Bound;
use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{DeadLetter, Declined, Event, Events, RestartReason, StopReason, Task};
use tokio::sync::{mpsc, oneshot};

use crate::support::{Gate, begun, event, within};
use crate::system;

/// What an actor runs beside itself when it is told to.
struct Start(Box<Starting>);
type Starting = dyn FnOnce(&mut Context<Sink>) -> Result<Task, Declined> + Send;
struct Item(usize);
struct End;
struct Hold;
struct State;

rakt::messages! { Start => Task, Item, End, Hold, State => usize }

/// Shows the test what it is sent.
struct Sink {
    seen: mpsc::UnboundedSender<String>,
    gate: Gate,
    handled: usize,
}

impl Sink {
    fn show(&self, what: impl ToString) {
        let _ = self.seen.send(what.to_string());
    }
}

impl Actor for Sink {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        if let Some(RestartReason::Failed(fault)) = ctx.restart_reason() {
            self.show(fault);
        }
        Ok(())
    }
}

impl Handler<Start> for Sink {
    async fn handle(&mut self, Start(start): Start, ctx: &mut Context<Self>) -> Result<Task> {
        Ok(start(ctx)?)
    }
}

impl Handler<Item> for Sink {
    async fn handle(&mut self, Item(n): Item, _: &mut Context<Self>) -> Result {
        self.handled += 1;
        self.show(n);
        Ok(())
    }
}

impl Handler<End> for Sink {
    async fn handle(&mut self, _: End, _: &mut Context<Self>) -> Result {
        self.show("end");
        Ok(())
    }
}

impl Handler<Hold> for Sink {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        Ok(())
    }
}

impl Handler<State> for Sink {
    async fn handle(&mut self, _: State, _: &mut Context<Self>) -> Result<usize> {
        Ok(self.handled)
    }
}

struct Seen {
    shown: mpsc::UnboundedReceiver<String>,
    gate: Gate,
}

impl Seen {
    async fn next(&mut self) -> String {
        within(self.shown.recv()).await.expect("the actor lives")
    }
}

fn sink() -> (impl Fn() -> Sink + Send + Sync, Seen) {
    let (seen, shown) = mpsc::unbounded_channel();
    let gate = Gate::default();
    let held = gate.clone();
    let factory = move || Sink { seen: seen.clone(), gate: held.clone(), handled: 0 };
    (factory, Seen { shown, gate })
}

async fn start(
    actor: &ActorRef<Sink>,
    start: impl FnOnce(&mut Context<Sink>) -> Result<Task, Declined> + Send + 'static,
) -> Result<Task, Refusal> {
    let started = within(actor.ask(Start(Box::new(start)))).await;
    started.map_err(|error| error.refusal().cloned().expect("it is refused"))
}

/// A stream that counts what is taken out of it, and tells when it is dropped.
struct Source {
    items: VecDeque<usize>,
    taken: Arc<AtomicUsize>,
    /// Whether it goes on for ever once its items are gone.
    stays: bool,
    _alive: Option<oneshot::Sender<()>>,
}

impl Source {
    fn of(count: usize) -> Self {
        let items = (0..count).collect();
        Self { items, taken: Arc::default(), stays: false, _alive: None }
    }

    fn endless() -> (Self, oneshot::Receiver<()>) {
        let (alive, dropped) = oneshot::channel();
        (Self { stays: true, _alive: Some(alive), ..Self::of(0) }, dropped)
    }
}

impl Stream for Source {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Option<Item>> {
        match self.items.pop_front() {
            None if self.stays => Poll::Pending,
            None => Poll::Ready(None),
            Some(n) => {
                self.taken.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(Some(Item(n)))
            }
        }
    }
}

/// A future that never ends, and what completes once it is dropped.
fn forever() -> (impl Future<Output = Item> + Send + 'static, oneshot::Receiver<()>) {
    let (alive, dropped) = oneshot::channel::<()>();
    let future = async move {
        let _alive = alive;
        std::future::pending().await
    };
    (future, dropped)
}

async fn dead_letter(events: &mut Events) -> DeadLetter {
    event(events, |event| match event {
        Event::DeadLetter(letter) => Some(letter),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_future_comes_back_as_a_message_and_the_actor_goes_on_meanwhile() -> Result {
    let system = system().await;
    let (factory, mut seen) = sink();
    let actor = system.spawn("a", factory).await?;
    let (done, future) = oneshot::channel();
    let task =
        start(&actor, |ctx| ctx.pipe(async { Item(future.await.expect("it is sent")) })).await?;
    assert_eq!(within(actor.ask(State)).await?, 0);
    assert!(!task.is_done());
    done.send(7).expect("it waits");
    assert_eq!(seen.next().await, "7");
    Ok(())
}

#[tokio::test]
async fn a_panic_beside_an_actor_is_a_fault_of_it() -> Result {
    let system = system().await;
    let (factory, mut seen) = sink();
    let actor = system.spawn("a", factory).await?;
    within(actor.tell(Item(1))).await?;
    assert_eq!(seen.next().await, "1");
    start(&actor, |ctx| ctx.pipe::<Item>(async { panic!("beside") })).await?;
    assert_eq!(seen.next().await, "panicked: beside");
    assert_eq!(within(actor.ask(State)).await?, 0, "it is a new one");
    let stream = Source::of(3);
    let panics = futures_panic(stream);
    start(&actor, |ctx| ctx.attach_stream(panics)).await?;
    // The fault comes ahead of messages that wait: the item may be handled by the next one.
    let mut both = [seen.next().await, seen.next().await];
    both.sort();
    assert_eq!(both, ["0", "panicked: in the stream"]);
    Ok(())
}

/// A stream that panics at its second item.
fn futures_panic(mut stream: Source) -> impl Stream<Item = Item> + Send {
    let mut polled = 0;
    PollFn(move |cx: &mut TaskContext<'_>| {
        polled += 1;
        assert!(polled < 2, "in the stream");
        Pin::new(&mut stream).poll_next(cx)
    })
}

struct PollFn<F>(F);

impl<T, F: FnMut(&mut TaskContext<'_>) -> Poll<Option<T>> + Unpin> Stream for PollFn<F> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<T>> {
        (self.0)(cx)
    }
}

/// Whatever an actor has set up ends with it, be it an end or a restart; what goes on after that is set up anew.
#[tokio::test]
async fn what_runs_beside_an_actor_ends_with_it() -> Result {
    let system = system().await;
    let (factory, _seen) = sink();
    let actor = system.spawn("a", factory).await?;
    for restarts in [true, false] {
        let (future, dropped) = forever();
        let task = start(&actor, |ctx| ctx.pipe(future)).await?;
        let (stream, gone) = Source::endless();
        start(&actor, |ctx| ctx.attach_stream_then(stream, End)).await?;
        assert!(!task.is_done());
        match restarts {
            true => within(actor.respawn()).await?,
            false => within(actor.stop()).await?,
        }
        within(dropped).await.expect_err("it is dropped");
        within(gone).await.expect_err("it is dropped");
    }
    assert_eq!(system.dead_letter_count(), 0, "a stream that is dropped has not ended");
    Ok(())
}

/// An actor that finishes what it has takes nothing more in, so it empties no source into dead letters.
#[tokio::test]
async fn a_stream_ends_when_its_actor_begins_to_stop() -> Result {
    let system = system().await;
    let (factory, seen) = sink();
    let actor = system.spawn("a", factory).await?;
    let (stream, gone) = Source::endless();
    start(&actor, |ctx| ctx.attach_stream(stream)).await?;
    within(actor.tell(Hold)).await?;
    let (alive, ended) = oneshot::channel();
    let late = Source { _alive: Some(alive), ..Source::of(1000) };
    let taken = late.taken.clone();
    let start = Start(Box::new(|ctx| ctx.attach_stream_then(late, End)));
    within(actor.tell(start)).await.map_err(|error| error.refusal)?;
    within(actor.tell(Hold)).await?;
    seen.gate.entered().await;
    let stop = begun(actor.stop()).await;
    seen.gate.open();
    seen.gate.entered().await;
    within(gone).await.expect_err("it is dropped while the actor still works");
    // One that is attached while the actor finishes loses the item that it offers, and no more.
    within(ended).await.expect_err("it is dropped");
    seen.gate.open();
    within(stop).await?;
    assert_eq!(taken.load(Ordering::Relaxed), 1);
    assert_eq!(system.dead_letter_count(), 1);
    Ok(())
}

/// While an actor waits for its restart, nothing runs beside it that could fail it once more.
#[tokio::test(start_paused = true)]
async fn many_tasks_that_panic_are_one_restart() -> Result {
    let system = system().await;
    let (factory, mut seen) = sink();
    let second = Duration::from_secs(1);
    let supervision = Supervision::default().max_restarts(3, 60 * second).backoff(second, second);
    let actor = system.spawn("a", factory).supervision(supervision).await?;
    for _ in 0..5 {
        start(&actor, |ctx| {
            ctx.pipe::<Item>(async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                panic!("beside")
            })
        })
        .await?;
    }
    assert_eq!(seen.next().await, "panicked: beside");
    assert_eq!(within(actor.ask(State)).await?, 0);
    assert!(seen.shown.try_recv().is_err(), "it was restarted once");
    Ok(())
}

/// What still runs beside a suspended actor does not decide about it: whoever reinstates it does.
#[tokio::test]
async fn a_panic_beside_a_suspended_actor_does_not_restart_it() -> Result {
    let system = system().await;
    let mut events = system.events();
    let (factory, mut seen) = sink();
    let supervision = Supervision::by(|fault| match fault.to_string() {
        first if first.ends_with("first") => Directive::Suspend,
        _ => Directive::Restart,
    });
    let actor = system.spawn("a", factory).supervision(supervision).await?;
    within(actor.tell(Item(1))).await?;
    assert_eq!(seen.next().await, "1");
    let (go, wait) = oneshot::channel::<()>();
    let stray = start(&actor, |ctx| {
        ctx.pipe::<Item>(async {
            let _ = wait.await;
            panic!("stray")
        })
    })
    .await?;
    start(&actor, |ctx| ctx.pipe::<Item>(async { panic!("first") })).await?;
    let suspended = |event| matches!(event, Event::ActorSuspended { .. }).then_some(());
    event(&mut events, suspended).await;
    drop(go);
    within(async {
        while !stray.is_done() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(actor.reinstate()).await?;
    assert_eq!(within(actor.ask(State)).await?, 1, "it is the same actor");
    Ok(())
}

/// A poll that another thread is in the middle of cannot be dropped; what it brings is for an actor that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_comes_of_an_earlier_life_is_a_dead_letter() -> Result {
    let system = system().await;
    let mut events = system.events();
    let (factory, _seen) = sink();
    let actor = system.spawn("a", factory).await?;
    let (entered, is_in) = oneshot::channel::<()>();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    start(&actor, |ctx| {
        ctx.pipe(async move {
            let _ = entered.send(());
            let _ = wait.recv_timeout(crate::support::LIMIT);
            Item(1)
        })
    })
    .await?;
    within(is_in).await?;
    within(actor.respawn()).await?;
    go.send(())?;
    let letter = dead_letter(&mut events).await;
    assert!(letter.message.ends_with("Item") && letter.reason == Refusal::Stopped, "{letter:?}");
    assert_eq!(within(actor.ask(State)).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_task_can_be_cancelled() -> Result {
    let system = system().await;
    let (factory, _seen) = sink();
    let actor = system.spawn("a", factory).await?;
    let (future, dropped) = forever();
    let task = start(&actor, |ctx| ctx.pipe(future)).await?;
    task.cancel();
    within(dropped).await.expect_err("it is dropped");
    Ok(())
}

#[tokio::test]
async fn more_than_so_many_are_turned_down_until_one_is_done() -> Result {
    let system = system().await;
    let (factory, mut seen) = sink();
    let actor = system.spawn("a", factory).await?;
    within(actor.tell(Item(0))).await?;
    let mut tasks = Vec::new();
    for _ in 0..Context::<Sink>::TASK_CAPACITY {
        let (future, _) = forever();
        tasks.push(start(&actor, |ctx| ctx.pipe(future)).await?);
    }
    let refused = start(&actor, |ctx| ctx.pipe(async { Item(1) })).await.expect_err("too many");
    let limit = Context::<Sink>::TASK_CAPACITY as u64;
    assert_eq!(refused, Refusal::ResourceExhausted { bound: Bound::Tasks, limit });
    assert_eq!(within(actor.ask(State)).await?, 1, "it is the same actor");
    tasks[500].cancel();
    within(async {
        while !tasks[500].is_done() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    start(&actor, |ctx| ctx.pipe(async { Item(2) })).await?;
    assert_eq!((seen.next().await, seen.next().await), ("0".to_owned(), "2".to_owned()));
    Ok(())
}

/// It waits for room longer than a tell does, and is not lost.
#[tokio::test(start_paused = true)]
async fn a_full_mailbox_is_waited_for() -> Result {
    let system = system().await;
    let (factory, mut seen) = sink();
    let actor = system.spawn("a", factory).mailbox(Mailbox::bounded(1)).await?;
    let task = start(&actor, |ctx| {
        ctx.pipe(async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Item(2)
        })
    })
    .await?;
    within(actor.tell(Hold)).await?;
    seen.gate.entered().await;
    within(actor.tell(Item(1))).await?;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!task.is_done(), "it waits");
    seen.gate.open();
    assert_eq!((seen.next().await, seen.next().await), ("1".to_owned(), "2".to_owned()));
    assert_eq!(system.dead_letter_count(), 0);
    Ok(())
}

/// What had come out and was not taken is a dead letter, whatever the reason.
#[tokio::test]
async fn an_output_that_is_not_taken_is_a_dead_letter() -> Result {
    let system = system().await;
    let mut events = system.events();
    let (factory, seen) = sink();
    let full = Mailbox::bounded(1).overflow(Overflow::Refuse);
    let refuses = system.spawn("refuses", factory).mailbox(full).await?;
    let (done, future) = oneshot::channel();
    start(&refuses, |ctx| ctx.pipe(async { Item(future.await.expect("it is sent")) })).await?;
    within(refuses.tell(Hold)).await?;
    seen.gate.entered().await;
    within(refuses.tell(Item(1))).await?;
    done.send(7).expect("it waits");
    let letter = dead_letter(&mut events).await;
    assert_eq!(letter.reason, Refusal::MailboxFull { capacity: 1 });
    assert!(letter.message.ends_with("Item"), "{letter:?}");

    let (factory, seen) = sink();
    let waits = system.spawn("waits", factory).mailbox(Mailbox::bounded(1)).await?;
    let source = Source::of(10);
    let taken = source.taken.clone();
    let (done, future) = oneshot::channel::<()>();
    start(&waits, |ctx| {
        ctx.pipe(async {
            future.await.expect("it is sent");
            End
        })
    })
    .await?;
    within(waits.tell(Hold)).await?;
    seen.gate.entered().await;
    within(waits.tell(Item(1))).await?;
    done.send(()).expect("it waits");
    // It waits for room, and the actor is killed meanwhile.
    tokio::task::yield_now().await;
    within(waits.kill()).await?;
    let mut lost = vec![dead_letter(&mut events).await, dead_letter(&mut events).await];
    lost.sort_by(|a, b| a.message.cmp(&b.message));
    assert!(lost[0].message.ends_with("End") && lost[1].message.ends_with("Item"), "{lost:?}");
    assert!(lost.iter().all(|letter| letter.reason == Refusal::Stopped), "{lost:?}");
    assert_eq!(taken.load(Ordering::Relaxed), 0);
    Ok(())
}

#[tokio::test]
async fn a_stream_arrives_in_order_and_then_its_end() -> Result {
    let system = system().await;
    let (factory, mut seen) = sink();
    let actor = system.spawn("a", factory).mailbox(Mailbox::bounded(3)).await?;
    start(&actor, |ctx| ctx.attach_stream_then(Source::of(1000), End)).await?;
    for n in 0..1000 {
        assert_eq!(seen.next().await, n.to_string());
    }
    assert_eq!(seen.next().await, "end");
    Ok(())
}

/// Of an endless source no more is taken than there is room for, but for the one item that waits.
#[tokio::test(start_paused = true)]
async fn a_slow_actor_holds_its_stream_back() -> Result {
    let system = system().await;
    let (factory, seen) = sink();
    let actor = system.spawn("a", factory).mailbox(Mailbox::bounded(8)).await?;
    let source = Source::of(100_000);
    let taken = source.taken.clone();
    let (go, wait) = oneshot::channel::<()>();
    let mut wait = Box::pin(wait);
    let mut source = Box::pin(source);
    let mut is_open = false;
    let gated = PollFn(move |cx: &mut TaskContext<'_>| {
        if !is_open && wait.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        is_open = true;
        source.as_mut().poll_next(cx)
    });
    start(&actor, |ctx| ctx.attach_stream(gated)).await?;
    within(actor.tell(Hold)).await?;
    seen.gate.entered().await;
    go.send(()).expect("the stream waits");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(taken.load(Ordering::Relaxed), 8 + 1);
    within(actor.kill()).await?;
    Ok(())
}

/// On one thread, a source that always has an item leaves the actor and others their turns.
#[tokio::test]
async fn a_source_that_never_waits_starves_nobody() -> Result {
    let system = system().await;
    let (factory, mut seen) = sink();
    let actor = system.spawn("a", factory).mailbox(Mailbox::unbounded()).await?;
    let mut n = 0;
    let endless = PollFn(move |_: &mut TaskContext<'_>| {
        n += 1;
        Poll::Ready(Some(Item(n)))
    });
    let task = start(&actor, |ctx| ctx.attach_stream(endless)).await?;
    assert_eq!(seen.next().await, "1");
    task.cancel();
    within(actor.stop()).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_with_something_beside_it_is_not_passivated() -> Result {
    let system = system().await;
    let (factory, mut seen) = sink();
    let idle = Duration::from_secs(10);
    let actor = system.spawn("a", factory).passivate_after(idle).await?;
    let hour = Duration::from_secs(3600);
    start(&actor, move |ctx| {
        ctx.pipe(async move {
            tokio::time::sleep(hour).await;
            Item(1)
        })
    })
    .await?;
    let (stream, _gone) = Source::endless();
    let task = start(&actor, |ctx| ctx.attach_stream(stream)).await?;
    tokio::time::sleep(hour / 2).await;
    task.cancel();
    assert_eq!(tokio::time::timeout(hour, seen.shown.recv()).await?, Some("1".to_owned()));
    let began = tokio::time::Instant::now();
    assert_eq!(within(actor.ended()).await, StopReason::Passivated);
    assert!(began.elapsed() < 3 * idle);
    Ok(())
}
