//! When a wait is over: at its limit, whoever waits and wherever the actor runs.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{AskError, Refusal};
use tokio::time::Instant;

use crate::support::{Gate, within};
use crate::system;

#[derive(Debug)]
struct Echo(u64);
#[derive(Debug)]
struct Never;
struct Hold;

/// Passes on what it is asked, as a message of its own.
struct Ask(u64);
struct Tell(u64);

rakt::messages! {
    Echo => u64,
    Never,
    Hold,
    Ask => u64,
    Tell,
}

#[derive(Default)]
struct Wall(Gate);

impl Actor for Wall {}

impl Handler<Echo> for Wall {
    async fn handle(&mut self, Echo(n): Echo, _: &mut Context<Self>) -> Result<u64> {
        Ok(n)
    }
}

impl Handler<Never> for Wall {
    async fn handle(&mut self, _: Never, _: &mut Context<Self>) -> Result {
        std::future::pending().await
    }
}

impl Handler<Hold> for Wall {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.0.pass().await;
        Ok(())
    }
}

/// Whether the limit was kept to; a timer may be late by a millisecond.
fn on_time(began: Instant, limit: Duration) -> bool {
    began.elapsed() >= limit && began.elapsed() <= limit + Duration::from_millis(2)
}

fn timed_out<T, M>(outcome: std::result::Result<T, AskError<M>>) -> bool {
    matches!(outcome, Err(AskError::Timeout { .. }))
}

#[tokio::test(start_paused = true)]
async fn asks_time_out_on_time() -> Result {
    let wall = system().await.spawn("wall", Wall::default).await?;
    for millis in [1, 19, 20, 21, 39, 40, 41, 42, 60, 777, 5000] {
        let (began, limit) = (Instant::now(), Duration::from_millis(millis));
        assert!(timed_out(wall.ask(Never).timeout(limit).await));
        assert!(on_time(began, limit), "{limit:?} took {:?}", began.elapsed());
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn sends_to_a_full_mailbox_time_out_on_time() -> Result {
    let gate = Gate::default();
    let of_wall = gate.clone();
    let mailbox = Mailbox::bounded(1);
    let wall = system().await.spawn("wall", move || Wall(of_wall.clone())).mailbox(mailbox).await?;
    wall.tell(Hold).await?;
    gate.entered().await;
    wall.tell(Echo(0)).await?;
    for millis in [5, 40, 41, 1234] {
        let (began, limit) = (Instant::now(), Duration::from_millis(millis));
        let error = wall.tell(Echo(1)).timeout(limit).await.expect_err("full");
        assert_eq!(error.refusal, Refusal::MailboxFull { capacity: 1 });
        assert!(on_time(began, limit), "tell {limit:?} took {:?}", began.elapsed());
        let began = Instant::now();
        let error = wall.ask(Echo(1)).timeout(limit).await.expect_err("full");
        assert!(matches!(error, AskError::NotSent { refusal: Refusal::MailboxFull { .. }, .. }));
        assert!(on_time(began, limit), "ask {limit:?} took {:?}", began.elapsed());
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn asks_that_began_together_time_out_together() -> Result {
    let wall = system().await.spawn("wall", Wall::default).await?;
    for millis in [30, 1000] {
        let (began, limit) = (Instant::now(), Duration::from_millis(millis));
        let outcomes = wall.ask_all((0..100).map(|_| Never)).timeout(limit).await;
        assert_eq!(outcomes.len(), 100);
        assert!(outcomes.into_iter().all(timed_out));
        assert!(on_time(began, limit), "{limit:?} took {:?}", began.elapsed());
    }
    Ok(())
}

/// Wakes a task, and is another waker than all before.
struct Relay(Waker);

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }
}

/// Polls `future` with another waker each time, as a combinator may.
async fn relayed<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    // All are kept, so that none has the place in memory of another.
    let mut wakers = Vec::new();
    std::future::poll_fn(|cx| {
        wakers.push(Waker::from(Arc::new(Relay(cx.waker().clone()))));
        let waker = wakers.last().expect("just pushed");
        future.as_mut().poll(&mut TaskContext::from_waker(waker))
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_changes_hands_times_out_on_time() -> Result {
    let wall = system().await.spawn("wall", Wall::default).await?;
    let (began, limit) = (Instant::now(), Duration::from_secs(1));
    let ask = relayed(wall.ask(Never).timeout(limit));
    let outcome = tokio::time::timeout(10 * limit, ask).await.expect("it ends at all");
    assert!(timed_out(outcome));
    assert!(on_time(began, limit), "took {:?}", began.elapsed());
    Ok(())
}

/// Sent by one task, awaited by another: whoever polled last is woken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ask_that_changes_hands_gets_its_answer() -> Result {
    let wall = system().await.spawn("wall", Wall::default).await?;
    for n in 0..2000 {
        let wall = wall.clone();
        let (moved, awaited) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut ask = Box::pin(async move { wall.ask(Echo(n)).await });
            let first = std::future::poll_fn(|cx| Poll::Ready(ask.as_mut().poll(cx))).await;
            match first {
                Poll::Ready(answer) => drop(moved.send(Err(answer))),
                Poll::Pending => drop(moved.send(Ok(ask))),
            }
        });
        let answer = match within(awaited).await? {
            Ok(ask) => within(tokio::spawn(ask)).await?,
            Err(answer) => answer,
        };
        assert_eq!(answer?, n);
    }
    Ok(())
}

/// The runtime of the actors may be held up when that of the asker is not.
#[test]
fn an_ask_from_another_runtime_times_out_while_nobody_drives_that_of_the_actor() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (theirs, ours) = (runtime(), runtime());
    let wall = theirs
        .block_on(async { system().await.spawn("wall", Wall::default).await.expect("it starts") });
    let (limit, began) = (Duration::from_millis(100), Instant::now());
    ours.block_on(async {
        assert!(timed_out(within(wall.ask(Echo(1)).timeout(limit)).await));
        assert!(began.elapsed() >= limit);
    });
    drop(theirs);
}

/// Messages that come when an actor is about to rest are handled all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_that_come_to_rest_hear_the_next_message() -> Result {
    let system = system().await;
    let mut askers = Vec::new();
    for n in 0..100_u64 {
        let wall = system.spawn(format!("wall-{n}"), Wall::default).await?;
        askers.push(tokio::spawn(async move {
            for round in 0..20 {
                // From well within a doze to well after it.
                tokio::time::sleep(Duration::from_micros(15_000 + (n * 20 + round) * 17 % 35_000))
                    .await;
                assert_eq!(within(wall.ask(Echo(round))).await.expect("an answer"), round);
            }
        }));
    }
    for asker in askers {
        within(asker).await?;
    }
    Ok(())
}

/// Asks and tells a wall.
struct Middle(ActorRef<Wall>);

impl Actor for Middle {}

impl Handler<Ask> for Middle {
    async fn handle(&mut self, Ask(n): Ask, ctx: &mut Context<Self>) -> Result<u64> {
        Ok(ctx.ask(&self.0, Echo(n)).await?)
    }
}

impl Handler<Tell> for Middle {
    async fn handle(&mut self, Tell(n): Tell, ctx: &mut Context<Self>) -> Result {
        Ok(ctx.tell(&self.0, Echo(n)).await?)
    }
}

/// What an actor waits for in the name of its asker ends with the asker's patience.
#[tokio::test(start_paused = true)]
async fn a_handler_waits_no_longer_than_its_asker() -> Result {
    let gate = Gate::default();
    let of_wall = gate.clone();
    let system = system().await;
    let wall = system.spawn("wall", move || Wall(of_wall.clone()));
    let wall = wall.mailbox(Mailbox::bounded(1)).await?;
    wall.tell(Hold).await?;
    gate.entered().await;
    wall.tell(Echo(0)).await?;
    let middle = system.spawn("middle", move || Middle(wall.clone()));
    let middle = middle.supervision(Supervision::always(Directive::Resume)).await?;
    let second = Duration::from_secs(1);
    for _ in 0..3 {
        let began = Instant::now();
        assert!(middle.ask(Ask(1)).timeout(second).await.is_err());
        assert!(middle.ask(Tell(1)).timeout(second).await.is_err());
        assert!(began.elapsed() <= 2 * second + Duration::from_millis(50), "{:?}", began.elapsed());
    }
    // Nobody waits for this one: it has the usual time.
    let began = Instant::now();
    middle.tell(Tell(1)).await?;
    let error = middle.ask(Ask(1)).timeout(100 * second).await.expect_err("the wall is full");
    assert!(matches!(error.refusal(), Some(Refusal::HandlerFailed { .. })), "{error:?}");
    assert!(began.elapsed() >= 30 * second);
    Ok(())
}
