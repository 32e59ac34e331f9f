//! Ending a whole system.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rakt::prelude::*;
use rakt::{AskError, Event, Refusal, ShutdownReport, SpawnError};
use tokio::time::Instant;

use crate::support::{self, Gate, begun, within};
use crate::system;

type Log = Arc<Mutex<Vec<String>>>;

struct Note(u32);
struct Hold;
struct Stuck;

rakt::messages! { Note, Hold, Stuck }

struct Diarist {
    log: Log,
    gate: Gate,
    depth: u32,
}

impl Actor for Diarist {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        if self.depth > 0 {
            let (log, depth) = (self.log.clone(), self.depth - 1);
            let child = move || Self { log: log.clone(), gate: Gate::default(), depth };
            // Boxed by being awaited as a value; the child has children in turn.
            ctx.spawn("child", child).into_future().await?;
        }
        Ok(())
    }

    async fn stopped(&mut self, ctx: &mut Context<Self>) -> Result {
        self.log.lock().expect("not poisoned").push(format!("{} stopped", ctx.path()));
        Ok(())
    }
}

impl Handler<Note> for Diarist {
    async fn handle(&mut self, Note(n): Note, ctx: &mut Context<Self>) -> Result {
        self.log.lock().expect("not poisoned").push(format!("{} handled {n}", ctx.path()));
        Ok(())
    }
}

impl Handler<Hold> for Diarist {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        Ok(())
    }
}

impl Handler<Stuck> for Diarist {
    async fn handle(&mut self, _: Stuck, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        std::future::pending().await
    }
}

fn diary(log: &Log) -> Vec<String> {
    log.lock().expect("not poisoned").clone()
}

async fn diarist(system: &ActorSystem, name: &str, depth: u32) -> (ActorRef<Diarist>, Log, Gate) {
    let (log, gate) = (Log::default(), Gate::default());
    let (its_log, its_gate) = (log.clone(), gate.clone());
    let factory = move || Diarist { log: its_log.clone(), gate: its_gate.clone(), depth };
    (system.spawn(name, factory).await.expect("it starts"), log, gate)
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_actors_finish_what_is_queued() -> Result {
    let system = system().await;
    let (actor, log, gate) = diarist(&system, "a", 0).await;
    actor.tell(Hold).await?;
    gate.entered().await;
    for n in 0..3 {
        actor.tell(Note(n)).await?;
    }
    let all = system.clone();
    let stopping = tokio::spawn(async move { all.shutdown().await });
    // The clock moves only when all have done what they can.
    tokio::time::sleep(Duration::from_secs(1)).await;
    gate.open();
    assert_eq!(within(stopping).await?, ShutdownReport::default());
    assert_eq!(diary(&log), ["a handled 0", "a handled 1", "a handled 2", "a stopped"]);
    assert_eq!(system.actor_count(), 0);
    actor.tell(Note(3)).await.expect_err("it has stopped");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn children_end_before_their_parents() -> Result {
    let system = system().await;
    let (_, log, _) = diarist(&system, "a", 2).await;
    assert_eq!(system.actor_count(), 3);
    within(system.shutdown()).await;
    assert_eq!(diary(&log), ["a/child/child stopped", "a/child stopped", "a stopped"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn stuck_actors_are_named_and_their_messages_counted_when_the_time_is_up() -> Result {
    let limit = Duration::from_secs(3);
    let system = ActorSystem::builder("tests").shutdown_timeout(limit).start().await?;
    let (stuck, log, gate) = diarist(&system, "stuck", 1).await;
    let (_, other_log, _) = diarist(&system, "other", 0).await;
    let child = system.find("stuck/child").and_then(|found| found.typed()).ok_or("it is there")?;
    let child: ActorRef<Diarist> = child;
    stuck.tell(Stuck).await?;
    gate.entered().await;
    stuck.tell(Note(1)).await?;
    let me = stuck.clone();
    let asking = begun(async move { me.ask(Note(2)).timeout(10 * limit).await }).await;
    let began = Instant::now();
    let report = within(system.shutdown()).await;
    assert_eq!(began.elapsed(), limit);
    assert_eq!(report.unfinished, ["stuck", "stuck/child"]);
    assert_eq!(report.dropped_messages, 2);
    let error = within(asking).await.expect_err("abandoned");
    assert!(matches!(error, AskError::Refused { refusal: Refusal::ShuttingDown, .. }), "{error:?}");
    assert_eq!(diary(&other_log), ["other stopped"], "the others have ended properly");
    assert!(diary(&log).is_empty());
    child.tell(Note(3)).await.expect_err("abandoned too");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn dropped_messages_are_counted() -> Result {
    let system = system().await;
    let (actor, _, gate) = diarist(&system, "a", 0).await;
    actor.tell(Hold).await?;
    gate.entered().await;
    actor.tell(Quit).await?;
    for n in 0..5 {
        actor.tell(Note(n)).await?;
    }
    let all = system.clone();
    let stopping = begun(async move { all.shutdown().await }).await;
    gate.open();
    let report = within(stopping).await;
    assert_eq!((report.dropped_messages, report.unfinished.len()), (5, 0));
    Ok(())
}

struct Quit;
rakt::messages! { Quit }

impl Handler<Quit> for Diarist {
    async fn handle(&mut self, _: Quit, ctx: &mut Context<Self>) -> Result {
        ctx.stop();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_can_be_spawned_once_a_shutdown_has_begun() -> Result {
    let system = system().await;
    let (actor, _, gate) = diarist(&system, "a", 0).await;
    actor.tell(Hold).await?;
    gate.entered().await;
    let all = system.clone();
    let stopping = begun(async move { all.shutdown().await }).await;
    let spawn = || {
        let spawn =
            system.spawn("b", || Diarist { log: Log::default(), gate: Gate::default(), depth: 0 });
        spawn.into_future()
    };
    let error = within(spawn()).await.expect_err("shutting down");
    assert!(matches!(error, SpawnError::ShuttingDown { .. }), "{error:?}");
    assert!(system.find("b").is_none());
    gate.open();
    within(stopping).await;
    let error = within(spawn()).await.expect_err("shut down");
    assert!(matches!(error, SpawnError::ShuttingDown { .. }), "{error:?}");
    assert_eq!(within(system.shutdown()).await, ShutdownReport::default(), "once is enough");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn suspended_actors_do_not_hold_up_a_shutdown() -> Result {
    let system = system().await;
    let fragile = system
        .spawn("fragile", || Fragile)
        .supervision(Supervision::always(rakt::supervision::Directive::Suspend))
        .await?;
    let mut events = system.events();
    fragile.tell(Quit).await?;
    support::event(&mut events, |event| {
        matches!(event, Event::ActorSuspended { .. }).then_some(())
    })
    .await;
    let began = Instant::now();
    let report = within(system.shutdown()).await;
    assert!(report.unfinished.is_empty());
    assert_eq!(began.elapsed(), Duration::ZERO);
    Ok(())
}

struct Fragile;

impl Actor for Fragile {}

impl Handler<Quit> for Fragile {
    async fn handle(&mut self, _: Quit, _: &mut Context<Self>) -> Result {
        Err("on purpose".into())
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_signal_hears_of_a_shutdown_that_somebody_else_asked_for() -> Result {
    let limit = Duration::from_secs(3);
    let system = ActorSystem::builder("tests").shutdown_timeout(limit).start().await?;
    let (stuck, _, gate) = diarist(&system, "stuck", 0).await;
    stuck.tell(Stuck).await?;
    gate.entered().await;
    let waiting = begun(system.until_shutdown_signal()).await;
    let mut beginning = begun(system.shutdown_begun()).await;
    let report = within(system.shutdown()).await;
    assert_eq!(report.unfinished, ["stuck"]);
    within(&mut beginning).await;
    assert_eq!(within(waiting).await, report);
    within(system.shutdown_begun()).await;
    assert_eq!(within(system.until_shutdown_signal()).await, report);
    Ok(())
}

/// Also where nobody waits for the end of the shutdown any more.
#[tokio::test(start_paused = true)]
async fn a_shutdown_that_is_dropped_keeps_nobody_waiting() -> Result {
    let system = system().await;
    let (stuck, _, gate) = diarist(&system, "stuck", 0).await;
    stuck.tell(Stuck).await?;
    gate.entered().await;
    drop(begun(system.shutdown()).await);
    assert_eq!(within(system.until_shutdown_signal()).await, ShutdownReport::default());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_events_end_with_the_shutdown_after_the_last_of_them() -> Result {
    let system = system().await;
    let mut events = system.events();
    let (_actor, _, _) = diarist(&system, "a", 0).await;
    within(system.shutdown()).await;
    let mut seen = Vec::new();
    while let Some(event) = within(events.next()).await {
        seen.push(event);
    }
    assert!(matches!(seen.last(), Some(Event::ActorStopped { .. })), "{seen:?}");
    assert!(within(events.next()).await.is_none(), "and stay so");
    assert!(within(system.events().next()).await.is_none(), "for late subscribers too");
    Ok(())
}
