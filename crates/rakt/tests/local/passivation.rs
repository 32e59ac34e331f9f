//! When an actor goes idle, and what keeps it.

use std::time::Duration;

use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{Event, StopReason};

use crate::support::{Gate, stopped, within};
use crate::system;

const IDLE: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

struct Hold;
struct Note;
struct Fail;
struct Spawn;
struct Every(Duration);

rakt::messages! { Hold, Note => u32, Fail, Spawn => ActorRef<Sleeper>, Every }

/// Counts its notes.
#[derive(Default)]
struct Sleeper {
    gate: Gate,
    notes: u32,
}

impl Actor for Sleeper {}

impl Handler<Hold> for Sleeper {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        Ok(())
    }
}

impl Handler<Note> for Sleeper {
    async fn handle(&mut self, _: Note, _: &mut Context<Self>) -> Result<u32> {
        self.notes += 1;
        Ok(self.notes)
    }
}

impl Handler<Fail> for Sleeper {
    async fn handle(&mut self, _: Fail, _: &mut Context<Self>) -> Result {
        Err("on purpose".into())
    }
}

impl Handler<Spawn> for Sleeper {
    async fn handle(&mut self, _: Spawn, ctx: &mut Context<Self>) -> Result<ActorRef<Self>> {
        Ok(ctx.spawn("child", Self::default).await?)
    }
}

impl Handler<Every> for Sleeper {
    async fn handle(&mut self, Every(interval): Every, ctx: &mut Context<Self>) -> Result {
        ctx.send_every(interval, || Note);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_without_messages_is_passivated() -> Result {
    let system = system().await;
    let mut events = system.events();
    let began = tokio::time::Instant::now();
    let actor = system.spawn("a", Sleeper::default).passivate_after(IDLE).await?;
    assert_eq!(stopped(&mut events, "a").await, StopReason::Passivated);
    assert_eq!(began.elapsed().as_secs(), 10);
    actor.tell(Note).await.expect_err("passivated");
    assert!(system.find("a").is_none());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn activity_postpones_passivation() -> Result {
    let system = system().await;
    let mut events = system.events();
    let actor = system.spawn("a", Sleeper::default).passivate_after(IDLE).await?;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(7)).await;
        actor.tell(Note).await?;
    }
    let last = tokio::time::Instant::now();
    assert_eq!(stopped(&mut events, "a").await, StopReason::Passivated);
    let rested = last.elapsed();
    assert!(rested >= IDLE && rested <= IDLE + Duration::from_millis(2), "after {rested:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_at_work_is_not_passivated() -> Result {
    let (system, gate) = (system().await, Gate::default());
    let of_actor = gate.clone();
    let actor = system
        .spawn("a", move || Sleeper { gate: of_actor.clone(), notes: 0 })
        .passivate_after(Duration::from_secs(1))
        .await?;
    actor.tell(Hold).await?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    gate.open();
    assert_eq!(within(actor.ask(Note)).await?, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_suspended_actor_stays_until_it_is_reinstated_and_keeps_its_state() -> Result {
    let system = system().await;
    let mut events = system.events();
    let actor = system
        .spawn("a", Sleeper::default)
        .supervision(Supervision::always(Directive::Suspend))
        .passivate_after(IDLE)
        .await?;
    within(actor.ask(Note)).await?;
    actor.tell(Fail).await?;
    tokio::time::sleep(HOUR).await;
    within(actor.reinstate()).await?;
    assert_eq!(within(actor.ask(Note)).await?, 2, "it has its state");
    let last = tokio::time::Instant::now();
    assert_eq!(stopped(&mut events, "a").await, StopReason::Passivated);
    assert!(last.elapsed() >= IDLE);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_waits_for_its_restart_stays() -> Result {
    let system = system().await;
    let mut events = system.events();
    let actor = system
        .spawn("a", Sleeper::default)
        .supervision(Supervision::default().backoff(HOUR, HOUR))
        .passivate_after(IDLE)
        .await?;
    actor.tell(Fail).await?;
    let restarted = |event| matches!(event, Event::ActorRestarted { .. }).then_some(());
    tokio::time::timeout(2 * HOUR, events.find(restarted)).await?;
    assert_eq!(within(actor.ask(Note)).await?, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_parent_stays_as_long_as_a_child_lives() -> Result {
    let system = system().await;
    let mut events = system.events();
    let parent = system.spawn("a", Sleeper::default).passivate_after(IDLE).await?;
    let child = within(parent.ask(Spawn)).await?;
    for _ in 0..10 {
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        within(child.ask(Note)).await?;
    }
    within(child.stop()).await?;
    let last = tokio::time::Instant::now();
    assert_eq!(stopped(&mut events, "a").await, StopReason::Passivated);
    assert!(last.elapsed() >= IDLE);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_an_actor_sends_itself_keeps_it() -> Result {
    let system = system().await;
    let actor = system.spawn("a", Sleeper::default).passivate_after(IDLE).await?;
    within(actor.ask(Every(IDLE / 2))).await?;
    tokio::time::sleep(100 * IDLE).await;
    assert!(within(actor.ask(Note)).await? >= 199);
    Ok(())
}

/// Nothing of an actor goes on after its end: neither what was to passivate it nor what was to end its pause.
#[tokio::test(start_paused = true)]
async fn no_task_is_left_of_an_actor_that_has_ended() -> Result {
    let system = system().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    tokio::time::sleep(HOUR).await;
    let before = tasks();
    for n in 0..100 {
        let actor = system
            .spawn(format!("a{n}"), Sleeper::default)
            .supervision(Supervision::default().backoff(HOUR, HOUR))
            .passivate_after(2 * HOUR)
            .await?;
        within(actor.ask(Every(HOUR))).await?;
        if n % 2 == 0 {
            actor.tell(Fail).await?;
        }
        actor.tell(Note).await?;
    }
    within(system.shutdown()).await;
    // The clock has a tick or two to go.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(tasks() <= before, "{} tasks are left", tasks() - before);
    Ok(())
}
