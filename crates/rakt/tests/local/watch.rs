//! Hearing of another actor's end.

use std::time::Duration;

use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{StopReason, WatchId};
use tokio::sync::mpsc;

use crate::support::within;
use crate::system;

struct Watch(ActorRef);
struct Unwatch(WatchId);
struct Die(&'static str);

rakt::messages! {
    Watch => WatchId,
    Unwatch,
    Die,
}

/// Reports who ended, and why.
struct Watchman(mpsc::UnboundedSender<(String, StopReason)>);

impl Actor for Watchman {
    async fn terminated(&mut self, end: &Terminated, _: &mut Context<Self>) -> Result {
        self.0.send((end.address.path().to_owned(), end.reason.clone()))?;
        Ok(())
    }
}

impl Handler<Watch> for Watchman {
    async fn handle(&mut self, Watch(target): Watch, ctx: &mut Context<Self>) -> Result<WatchId> {
        Ok(ctx.watch(&target))
    }
}

impl Handler<Unwatch> for Watchman {
    async fn handle(&mut self, Unwatch(watch): Unwatch, ctx: &mut Context<Self>) -> Result {
        ctx.unwatch(watch);
        Ok(())
    }
}

struct Mortal;

impl Actor for Mortal {}

impl Handler<Die> for Mortal {
    async fn handle(&mut self, Die(of): Die, ctx: &mut Context<Self>) -> Result {
        match of {
            "itself" => {
                ctx.stop();
                Ok(())
            }
            fault => Err(fault.into()),
        }
    }
}

type Ends = mpsc::UnboundedReceiver<(String, StopReason)>;

async fn watchman(system: &ActorSystem, name: &str) -> (ActorRef<Watchman>, Ends) {
    let (sender, ends) = mpsc::unbounded_channel();
    let watchman = system.spawn(name, move || Watchman(sender.clone())).await.expect("it starts");
    (watchman, ends)
}

async fn next(ends: &mut Ends) -> (String, StopReason) {
    within(ends.recv()).await.expect("the watchman lives")
}

/// Fails if anything more is heard; on the paused clock, all that was under way arrives first.
async fn nothing_more(ends: &mut Ends) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ends.try_recv().ok(), None);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_hears_exactly_once_with_the_reason() -> Result {
    let system = ActorSystem::builder("tests").start().await?;
    let (watchman, mut ends) = watchman(&system, "watchman").await;
    let spawn = |name: &'static str| {
        system.spawn(name, || Mortal).supervision(Supervision::always(Directive::Stop))
    };

    let mortal = spawn("told").await?;
    within(watchman.ask(Watch(mortal.untyped()))).await?;
    within(mortal.stop()).await?;
    assert_eq!(next(&mut ends).await, ("told".to_owned(), StopReason::Stopped));

    let mortal = spawn("itself").await?;
    within(watchman.ask(Watch(mortal.untyped()))).await?;
    mortal.tell(Die("itself")).await?;
    assert_eq!(next(&mut ends).await, ("itself".to_owned(), StopReason::Stopped));

    let mortal = spawn("failed").await?;
    within(watchman.ask(Watch(mortal.untyped()))).await?;
    mortal.tell(Die("a fault")).await?;
    let reason = StopReason::Failed("a fault".into());
    assert_eq!(next(&mut ends).await, ("failed".to_owned(), reason));

    let mortal = spawn("idle").passivate_after(Duration::from_secs(5)).await?;
    within(watchman.ask(Watch(mortal.untyped()))).await?;
    assert_eq!(next(&mut ends).await, ("idle".to_owned(), StopReason::Passivated));

    nothing_more(&mut ends).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_watcher_hears_of_the_end_by_shutdown() -> Result {
    /// Takes its time, so that it is still there when the other has ended.
    struct Late(mpsc::UnboundedSender<StopReason>);
    impl Actor for Late {
        async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
            let mortal = ctx.spawn("mortal", || Mortal).await?;
            ctx.watch(&mortal);
            Ok(())
        }
        async fn terminated(&mut self, end: &Terminated, ctx: &mut Context<Self>) -> Result {
            self.0.send(end.reason.clone())?;
            ctx.stop();
            Ok(())
        }
    }
    let system = system().await;
    let (sender, mut reasons) = mpsc::unbounded_channel();
    system.spawn("late", move || Late(sender.clone())).await?;
    let mortal = system.find("late/mortal").ok_or("it is there")?;
    within(mortal.stop()).await?;
    assert_eq!(within(reasons.recv()).await, Some(StopReason::Stopped));

    let (sender, mut ends) = mpsc::unbounded_channel();
    let other = ActorSystem::builder("other").start().await?;
    let watchman = other.spawn("watchman", move || Watchman(sender.clone())).await?;
    let mortal = system.spawn("mortal", || Mortal).await?;
    within(watchman.ask(Watch(mortal.untyped()))).await?;
    within(system.shutdown()).await;
    assert_eq!(next(&mut ends).await, ("mortal".to_owned(), StopReason::Shutdown));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn watching_an_actor_that_has_ended_tells_at_once() -> Result {
    let system = system().await;
    let (watchman, mut ends) = watchman(&system, "watchman").await;
    let mortal = system.spawn("mortal", || Mortal).await?;
    within(mortal.stop()).await?;
    within(watchman.ask(Watch(mortal.untyped()))).await?;
    assert_eq!(next(&mut ends).await, ("mortal".to_owned(), StopReason::Stopped));
    nothing_more(&mut ends).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_unwatched_actor_ends_in_silence() -> Result {
    let system = system().await;
    let (watchman, mut ends) = watchman(&system, "watchman").await;
    let mortal = system.spawn("mortal", || Mortal).await?;
    let first = within(watchman.ask(Watch(mortal.untyped()))).await?;
    let second = within(watchman.ask(Watch(mortal.untyped()))).await?;
    assert_ne!(first, second);
    within(watchman.ask(Unwatch(first))).await?;
    within(mortal.stop()).await?;
    next(&mut ends).await;
    nothing_more(&mut ends).await;
    within(watchman.ask(Unwatch(second))).await?;
    Ok(())
}

/// Watches an actor that has ended, and takes it back before it can hear of it.
struct Fickle(ActorRef);
rakt::messages! { Fickle }

impl Handler<Fickle> for Watchman {
    async fn handle(&mut self, Fickle(target): Fickle, ctx: &mut Context<Self>) -> Result {
        let watch = ctx.watch(&target);
        ctx.unwatch(watch);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn news_that_is_under_way_is_not_delivered_after_an_unwatch() -> Result {
    let system = system().await;
    let (watchman, mut ends) = watchman(&system, "watchman").await;
    let mortal = system.spawn("mortal", || Mortal).await?;
    within(mortal.stop()).await?;
    within(watchman.ask(Fickle(mortal.untyped()))).await?;
    nothing_more(&mut ends).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn every_watcher_hears_and_every_watch_counts() -> Result {
    let system = system().await;
    let mortal = system.spawn("mortal", || Mortal).await?;
    let mut all = Vec::new();
    for n in 0..50 {
        let (watchman, ends) = watchman(&system, &format!("watchman-{n}")).await;
        within(watchman.ask(Watch(mortal.untyped()))).await?;
        within(watchman.ask(Watch(mortal.untyped()))).await?;
        all.push((watchman, ends));
    }
    within(mortal.stop()).await?;
    for (_, ends) in &mut all {
        for _ in 0..2 {
            assert_eq!(next(ends).await.0, "mortal");
        }
    }
    for (_, ends) in &mut all {
        nothing_more(ends).await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_no_end_and_ends_the_watches_of_the_one_restarted() -> Result {
    let system = system().await;
    let (watchman, mut ends) = watchman(&system, "watchman").await;
    let mortal = system.spawn("mortal", || Mortal).await?;
    within(watchman.ask(Watch(mortal.untyped()))).await?;
    within(mortal.respawn()).await?;
    nothing_more(&mut ends).await;
    within(watchman.respawn()).await?;
    within(mortal.stop()).await?;
    nothing_more(&mut ends).await;
    Ok(())
}
