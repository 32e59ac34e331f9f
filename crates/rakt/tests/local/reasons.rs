//! What an actor knows of its own start and end.

use std::time::Duration;

use rakt::error::Chain;
use rakt::prelude::*;
use rakt::supervision::{Directive, Strategy};
use rakt::{RestartReason, StopReason};
use tokio::sync::mpsc;

use crate::support::within;
use crate::system;

struct Fail;
struct Panic;
struct Finish;
struct Ask;

rakt::messages! { Fail, Panic, Finish, Ask => Option<String> }

/// Tells what its hooks know.
struct Diarist {
    diary: mpsc::UnboundedSender<String>,
    fails_to_start_again: bool,
}

fn show(restart: Option<&RestartReason>, stop: Option<&StopReason>) -> String {
    format!("{:?} {:?}", restart.map(ToString::to_string), stop.map(ToString::to_string))
}

impl Diarist {
    fn write(&self, hook: &str, ctx: &Context<Self>) {
        let _ =
            self.diary.send(format!("{hook} {}", show(ctx.restart_reason(), ctx.stop_reason())));
    }
}

impl Actor for Diarist {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        self.write("started", ctx);
        let is_restart = ctx.restart_reason().is_some();
        if self.fails_to_start_again && is_restart { Err("cannot start".into()) } else { Ok(()) }
    }

    async fn stopped(&mut self, ctx: &mut Context<Self>) -> Result {
        self.write("stopped", ctx);
        Ok(())
    }
}

impl Handler<Fail> for Diarist {
    async fn handle(&mut self, _: Fail, _: &mut Context<Self>) -> Result {
        let cause = std::io::Error::other(std::fmt::Error);
        Err(cause.into())
    }
}

impl Handler<Panic> for Diarist {
    async fn handle(&mut self, _: Panic, _: &mut Context<Self>) -> Result {
        panic!("ouch")
    }
}

impl Handler<Finish> for Diarist {
    async fn handle(&mut self, _: Finish, ctx: &mut Context<Self>) -> Result {
        ctx.stop();
        Ok(())
    }
}

impl Handler<Ask> for Diarist {
    async fn handle(&mut self, _: Ask, ctx: &mut Context<Self>) -> Result<Option<String>> {
        assert_eq!(ctx.stop_reason(), None);
        Ok(ctx.restart_reason().map(ToString::to_string))
    }
}

type Diary = mpsc::UnboundedReceiver<String>;

fn diarist(fails_to_start_again: bool) -> (impl Fn() -> Diarist + Send + Sync, Diary) {
    let (diary, read) = mpsc::unbounded_channel();
    (move || Diarist { diary: diary.clone(), fails_to_start_again }, read)
}

async fn next(diary: &mut Diary) -> String {
    within(diary.recv()).await.expect("it goes on")
}

#[tokio::test]
async fn a_first_start_and_a_stop_are_known_as_such() -> Result {
    let system = system().await;
    let (factory, mut diary) = diarist(false);
    let actor = system.spawn("a", factory).await?;
    assert_eq!(next(&mut diary).await, "started None None");
    assert_eq!(actor.ask(Ask).await?, None);
    actor.stop().await?;
    assert_eq!(next(&mut diary).await, "stopped None Some(\"stopped\")");
    Ok(())
}

/// Both hooks see the fault, and handlers that run later do too; the rest of an actor that lies still is
/// built anew from the cell, so what is known must outlast that.
#[tokio::test]
async fn a_restart_knows_its_fault() -> Result {
    let system = system().await;
    let (factory, mut diary) = diarist(false);
    let actor = system.spawn("a", factory).await?;
    next(&mut diary).await;
    actor.ask(Panic).await.expect_err("it panics");
    let why = "Some(\"failed: panicked: ouch\") None";
    assert_eq!(next(&mut diary).await, format!("stopped {why}"));
    assert_eq!(next(&mut diary).await, format!("started {why}"));
    actor.ask(Fail).await.expect_err("it fails");
    next(&mut diary).await;
    let error = std::io::Error::other(std::fmt::Error);
    let error = Chain(&error).to_string();
    assert_eq!(
        next(&mut diary).await,
        format!("started Some({:?}) None", format!("failed: {error}"))
    );
    assert_eq!(actor.ask(Ask).await?, Some(format!("failed: {error}")));
    Ok(())
}

#[tokio::test]
async fn a_respawn_is_told_from_a_fault() -> Result {
    let system = system().await;
    let (factory, mut diary) = diarist(false);
    let actor = system.spawn("a", factory).await?;
    next(&mut diary).await;
    actor.respawn().await?;
    assert_eq!(next(&mut diary).await, "stopped Some(\"respawned\") None");
    assert_eq!(next(&mut diary).await, "started Some(\"respawned\") None");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_restart_after_a_pause_knows_its_fault() -> Result {
    let system = system().await;
    let (factory, mut diary) = diarist(false);
    let hour = Duration::from_secs(3600);
    let supervision = Supervision::default().backoff(hour, hour);
    let actor = system.spawn("a", factory).supervision(supervision).await?;
    next(&mut diary).await;
    actor.tell(Panic).await?;
    let why = "Some(\"failed: panicked: ouch\") None";
    assert_eq!(tokio::time::timeout(2 * hour, diary.recv()).await?, Some(format!("stopped {why}")));
    assert_eq!(next(&mut diary).await, format!("started {why}"));
    // A respawn that cuts a pause short is the reason, the fault before it no more.
    actor.tell(Panic).await?;
    while actor.queue_len() != Some(0) {
        tokio::task::yield_now().await;
    }
    actor.respawn().await?;
    next(&mut diary).await;
    assert_eq!(next(&mut diary).await, "started Some(\"respawned\") None");
    Ok(())
}

/// A sibling is restarted for the fault of the one that failed.
#[tokio::test]
async fn a_sibling_knows_the_fault_that_it_shares() -> Result {
    let system = system().await;
    let supervision = || Supervision::default().strategy(Strategy::OneForAll);
    let (factory, _diary) = diarist(false);
    let failing = system.spawn("failing", factory).supervision(supervision()).await?;
    let (factory, mut diary) = diarist(false);
    system.spawn("sibling", factory).supervision(supervision()).await?;
    next(&mut diary).await;
    failing.ask(Panic).await.expect_err("it panics");
    let why = "Some(\"failed: panicked: ouch\") None";
    assert_eq!(next(&mut diary).await, format!("stopped {why}"));
    assert_eq!(next(&mut diary).await, format!("started {why}"));
    Ok(())
}

#[tokio::test]
async fn a_start_that_failed_is_the_reason_of_the_next() -> Result {
    let system = system().await;
    let (factory, mut diary) = diarist(true);
    let actor = system.spawn("a", factory).await?;
    next(&mut diary).await;
    actor.tell(Panic).await?;
    next(&mut diary).await;
    assert_eq!(next(&mut diary).await, "started Some(\"failed: panicked: ouch\") None");
    assert_eq!(next(&mut diary).await, "stopped Some(\"failed: cannot start\") None");
    assert_eq!(next(&mut diary).await, "started Some(\"failed: cannot start\") None");
    Ok(())
}

type Act = fn(&ActorRef<Diarist>);

/// Has an actor end, and checks that its hook and those who wait are told the same.
async fn end(name: &str, supervision: Supervision, act: Act) -> Result<StopReason> {
    let system = system().await;
    let hour = Duration::from_secs(3600);
    let (factory, mut diary) = diarist(false);
    let spawn = system.spawn(name, factory).supervision(supervision);
    let actor = spawn.passivate_after(hour).await?;
    next(&mut diary).await;
    act(&actor);
    let told = tokio::time::timeout(3 * hour, diary.recv()).await?.expect("it stops");
    let ended = actor.ended().await;
    assert_eq!(told, format!("stopped {}", show(None, Some(&ended))), "{name}");
    Ok(ended)
}

#[tokio::test(start_paused = true)]
async fn every_end_is_told_to_the_hook() -> Result {
    let usual = Supervision::default;
    let idle = end("passivated", usual(), |_| ()).await?;
    assert_eq!(idle, StopReason::Passivated);
    let done = end("done", usual(), |actor| actor.try_tell(Finish).expect("there is room")).await?;
    assert_eq!(done, StopReason::Stopped);
    let kill: Act = |actor| {
        let actor = actor.clone();
        tokio::spawn(async move { actor.kill().await });
    };
    assert_eq!(end("killed", usual(), kill).await?, StopReason::Failed("it was killed".into()));
    let panic: Act = |actor| actor.try_tell(Panic).expect("there is room");
    let failed = end("failed", Supervision::always(Directive::Stop), panic).await?;
    assert_eq!(failed.to_string(), "failed: panicked: ouch");
    let system = system().await;
    let (factory, mut diary) = diarist(false);
    system.spawn("shutdown", factory).await?;
    next(&mut diary).await;
    system.shutdown().await;
    assert_eq!(next(&mut diary).await, "stopped None Some(\"system shut down\")");
    Ok(())
}
