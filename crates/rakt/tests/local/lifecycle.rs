//! How actors start, stop, and go idle; and their names.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rakt::prelude::*;
use rakt::{AskError, Event, Refusal, SpawnError, StopReason};
use tokio::sync::mpsc;

use crate::support::{Gate, begun, event, stopped, within};
use crate::system;

type Log = Arc<Mutex<Vec<String>>>;

struct Note(&'static str);
struct Hold;
struct StopNow;
struct SpawnChild(&'static str);

rakt::messages! {
    Note,
    Hold,
    StopNow,
    SpawnChild => std::result::Result<ActorRef<Diarist>, SpawnError>,
}

/// Writes down what happens to it.
struct Diarist {
    log: Log,
    gate: Gate,
    children: &'static [&'static str],
}

impl Diarist {
    fn with(log: &Log) -> impl Fn() -> Self + Send + Sync + use<> {
        let log = log.clone();
        move || Self { log: log.clone(), gate: Gate::default(), children: &[] }
    }

    fn write(&self, ctx: &Context<Self>, what: &str) {
        self.log.lock().expect("not poisoned").push(format!("{} {what}", ctx.path()));
    }
}

fn diary(log: &Log) -> Vec<String> {
    log.lock().expect("not poisoned").clone()
}

impl Actor for Diarist {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        for child in self.children {
            ctx.spawn(*child, Self::with(&self.log)).await?;
        }
        self.write(ctx, "started");
        Ok(())
    }

    async fn stopped(&mut self, ctx: &mut Context<Self>) -> Result {
        self.write(ctx, "stopped");
        Ok(())
    }
}

impl Handler<Note> for Diarist {
    async fn handle(&mut self, Note(text): Note, ctx: &mut Context<Self>) -> Result {
        self.write(ctx, text);
        Ok(())
    }
}

impl Handler<Hold> for Diarist {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        Ok(())
    }
}

impl Handler<StopNow> for Diarist {
    async fn handle(&mut self, _: StopNow, ctx: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        ctx.stop();
        self.write(ctx, "stopping");
        Ok(())
    }
}

impl Handler<SpawnChild> for Diarist {
    async fn handle(
        &mut self,
        SpawnChild(name): SpawnChild,
        ctx: &mut Context<Self>,
    ) -> Result<std::result::Result<ActorRef<Self>, SpawnError>> {
        Ok(ctx.spawn(name, Self::with(&self.log)).await)
    }
}

#[tokio::test]
async fn the_hooks_run_before_the_first_and_after_the_last_message() -> Result {
    let log = Log::default();
    let actor = system().await.spawn("a", Diarist::with(&log)).await?;
    assert_eq!(diary(&log), ["a started"], "before spawn returns");
    actor.tell(Note("works")).await?;
    within(actor.stop()).await?;
    assert_eq!(diary(&log), ["a started", "a works", "a stopped"]);
    within(actor.stop()).await?;
    assert_eq!(diary(&log).len(), 3, "it stops once");
    Ok(())
}

#[tokio::test]
async fn a_stop_finishes_what_is_queued_and_refuses_what_comes_later() -> Result {
    let (log, gate) = (Log::default(), Gate::default());
    let (of_actor, its_log) = (gate.clone(), log.clone());
    let actor = system()
        .await
        .spawn("a", move || Diarist { gate: of_actor.clone(), ..Diarist::with(&its_log)() })
        .await?;
    actor.tell(Hold).await?;
    gate.entered().await;
    actor.tell(Note("queued")).await?;
    let me = actor.clone();
    let stopping = begun(async move { me.stop().await }).await;
    actor.tell(Note("queued before the actor looks up")).await?;
    gate.open();
    within(stopping).await?;
    let error = actor.tell(Note("late")).await.expect_err("stopped");
    assert_eq!(error.refusal, Refusal::Stopped);
    assert!(!error.refusal.is_transient());
    assert_eq!(
        diary(&log),
        ["a started", "a queued", "a queued before the actor looks up", "a stopped"]
    );
    Ok(())
}

#[tokio::test]
async fn an_actor_that_stops_itself_leaves_the_rest_to_the_dead_letters() -> Result {
    let (log, gate) = (Log::default(), Gate::default());
    let system = system().await;
    let mut events = system.events();
    let (of_actor, its_log) = (gate.clone(), log.clone());
    let actor = system
        .spawn("a", move || Diarist { gate: of_actor.clone(), ..Diarist::with(&its_log)() })
        .await?;
    actor.tell(StopNow).await?;
    gate.entered().await;
    actor.tell(Note("never read")).await?;
    let me = actor.clone();
    let asking = begun(async move { me.ask(Note("never answered")).await }).await;
    gate.open();
    let error = within(asking).await.expect_err("refused");
    assert!(matches!(error, AskError::Refused { refusal: Refusal::Stopped, .. }), "{error:?}");
    assert!(error.is_safe_to_retry(), "it was not handled");
    let letter = event(&mut events, |event| match event {
        Event::DeadLetter(letter) => Some(letter),
        _ => None,
    })
    .await;
    assert_eq!(
        (letter.target.address().map(Address::path), letter.reason),
        (Some("a"), Refusal::Stopped)
    );
    assert_eq!(stopped(&mut events, "a").await, StopReason::Stopped);
    assert_eq!(diary(&log), ["a started", "a stopping", "a stopped"]);
    assert_eq!(system.dead_letter_count(), 2);
    Ok(())
}

#[tokio::test]
async fn names_are_unique_and_free_again_after_the_end() -> Result {
    let (system, log) = (system().await, Log::default());
    let actor = system.spawn("a", Diarist::with(&log)).await?;
    let error = system.spawn("a", Diarist::with(&log)).await.expect_err("taken");
    assert!(matches!(&error, SpawnError::NameTaken { name, .. } if name == "a"), "{error:?}");
    assert_eq!(diary(&log), ["a started"], "the second was not even built");
    within(actor.stop()).await?;
    assert!(system.find("a").is_none());
    let second = system.spawn("a", Diarist::with(&log)).await?;
    let error = actor.tell(Note("to the first")).await.expect_err("its life is over");
    assert_eq!(error.refusal, Refusal::Stopped);
    within(actor.stop()).await?;
    within(second.tell(Note("to the second"))).await?;
    Ok(())
}

#[tokio::test]
async fn a_path_has_1024_bytes_at_most() -> Result {
    let (system, log) = (system().await, Log::default());
    let long: &str = "n".repeat(255).leak();
    let mut parent = system.spawn(long, Diarist::with(&log)).await?;
    for name in [long, long, &long[..254]] {
        parent = within(parent.ask(SpawnChild(name))).await??;
    }
    assert_eq!(parent.path().len(), 1022);
    let child = within(parent.ask(SpawnChild("a"))).await??;
    assert_eq!(child.path().len(), 1024);
    let error = within(parent.ask(SpawnChild("ab"))).await?.expect_err("one byte too many");
    assert!(matches!(error, SpawnError::InvalidName { .. }), "{error}");
    let text = rakt::error::Chain(&error).to_string();
    assert!(
        text.contains("1025") && text.contains("1024"),
        "it says how long and the limit: {text}"
    );
    Ok(())
}

#[tokio::test]
async fn names_are_checked() -> Result {
    let (system, log) = (system().await, Log::default());
    let longest = "n".repeat(255);
    for name in ["a", "0", "a-b_c.d", "raktor", &longest] {
        let actor = system.spawn(name, Diarist::with(&log)).await?;
        assert_eq!(actor.path(), name);
    }
    let too_long = "n".repeat(256);
    for name in
        ["", "-a", ".a", "a b", "a/b", "/a", "a/", "ä", "a\n", "rakt.a", "GoAktA", &too_long]
    {
        let error = system.spawn(name, Diarist::with(&log)).await.expect_err(name);
        assert!(matches!(error, SpawnError::InvalidName { .. }), "{name:?}: {error:?}");
    }
    let parent = system.spawn("parent", Diarist::with(&log)).await?;
    for name in ["", "a/b", "rakt.a", "GoAktA", &too_long] {
        let outcome = within(parent.ask(SpawnChild(name.to_owned().leak()))).await?;
        assert!(matches!(outcome, Err(SpawnError::InvalidName { .. })), "{name:?}: {outcome:?}");
    }
    for name in ["", "a b", "a/b"] {
        let error = ActorSystem::builder(name).start().await.expect_err(name);
        assert!(matches!(error, rakt::StartError::InvalidName { .. }), "{name:?}");
    }
    Ok(())
}

#[tokio::test]
async fn children_stop_before_their_parents() -> Result {
    let log = Log::default();
    let its_log = log.clone();
    let parent = system()
        .await
        .spawn("p", move || Diarist { children: &["x", "y"], ..Diarist::with(&its_log)() })
        .await?;
    let child = within(parent.ask(SpawnChild("z"))).await??;
    assert_eq!(child.path(), "p/z");
    let grandchild = within(child.ask(SpawnChild("zz"))).await??;
    assert_eq!(grandchild.path(), "p/z/zz");
    let taken = within(parent.ask(SpawnChild("z"))).await?;
    assert!(matches!(taken, Err(SpawnError::NameTaken { .. })));
    log.lock().expect("not poisoned").clear();
    grandchild.tell(Note("finishes")).await?;
    within(parent.stop()).await?;
    let diary = diary(&log);
    let position =
        |entry: &str| diary.iter().position(|other| other == entry).ok_or(entry.to_owned());
    assert_eq!(diary.last().map(String::as_str), Some("p stopped"));
    assert!(position("p/z/zz finishes")? < position("p/z/zz stopped")?);
    assert!(position("p/z/zz stopped")? < position("p/z stopped")?);
    assert_eq!(diary.len(), 1 + 5, "{diary:?}");
    Ok(())
}

struct Family;
rakt::messages! { Family => (Option<String>, Vec<String>) }

impl Handler<Family> for Diarist {
    async fn handle(
        &mut self,
        _: Family,
        ctx: &mut Context<Self>,
    ) -> Result<(Option<String>, Vec<String>)> {
        let parent = ctx.parent().map(|parent| parent.path().to_owned());
        Ok((parent, ctx.children_refs().map(|child| child.path().to_owned()).collect()))
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_knows_its_parent_and_the_children_that_have_not_ended() -> Result {
    let log = Log::default();
    let system = system().await;
    let parent = system.spawn("p", Diarist::with(&log)).await?;
    let x = within(parent.ask(SpawnChild("x"))).await??;
    within(parent.ask(SpawnChild("y"))).await??;
    let (top, children) = within(parent.ask(Family)).await?;
    assert_eq!((top, children), (None, vec!["p/x".to_owned(), "p/y".to_owned()]));
    assert_eq!(within(x.ask(Family)).await?, (Some("p".to_owned()), vec![]));
    within(x.stop()).await?;
    // The parent hears of it right after; the clock moves once it has.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(within(parent.ask(Family)).await?.1, ["p/y"]);
    within(parent.ask(SpawnChild("x"))).await??;
    Ok(())
}

/// Starts a child and then does not finish starting.
struct Slow {
    log: Log,
    reached: mpsc::UnboundedSender<()>,
    then_fail: bool,
}

impl Actor for Slow {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        let log = self.log.clone();
        ctx.spawn("child", Diarist::with(&log)).await?;
        self.reached.send(())?;
        if self.then_fail {
            return Err("on purpose".into());
        }
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_spawn_that_fails_leaves_neither_actor_nor_children() -> Result {
    let (system, log) = (system().await, Log::default());
    let (reached, _keep) = mpsc::unbounded_channel();
    let its_log = log.clone();
    let factory = move || Slow { log: its_log.clone(), reached: reached.clone(), then_fail: true };
    let error = within(system.spawn("slow", factory).into_future()).await.expect_err("it fails");
    assert!(matches!(error, SpawnError::Start { .. }));
    assert_eq!(system.actor_count(), 0);
    assert_eq!(diary(&log), ["slow/child started", "slow/child stopped"]);
    Ok(())
}

#[tokio::test]
async fn a_spawn_that_is_cancelled_leaves_neither_actor_nor_children() -> Result {
    let (system, log) = (system().await, Log::default());
    let mut events = system.events();
    let (reached, mut at) = mpsc::unbounded_channel();
    let its_log = log.clone();
    let factory = move || Slow { log: its_log.clone(), reached: reached.clone(), then_fail: false };
    let spawning = tokio::spawn(system.spawn("slow", factory).into_future());
    within(at.recv()).await;
    let slow = system.find("slow").ok_or("it is found while it starts")?;
    let stopping = begun(async move { slow.stop().await }).await;
    spawning.abort();
    within(stopping).await?;
    assert!(system.find("slow").is_none());
    stopped(&mut events, "slow/child").await;
    assert_eq!(system.actor_count(), 0);
    system.spawn("slow", Diarist::with(&log)).await?;
    Ok(())
}

#[tokio::test]
async fn messages_for_an_actor_that_does_not_start_are_turned_down() -> Result {
    let (system, log) = (system().await, Log::default());
    let (reached, mut at) = mpsc::unbounded_channel();
    let factory = move || Waiter { log: log.clone(), reached: reached.clone() };
    let spawning = tokio::spawn(system.spawn("waiter", factory).into_future());
    within(at.recv()).await;
    let waiter = system.find("waiter").and_then(|found| found.typed::<Waiter>()).ok_or("found")?;
    let asking = begun(async move { waiter.ask(Note("too early")).await }).await;
    spawning.abort();
    let error = within(asking).await.expect_err("it never started");
    assert_eq!(error.refusal(), Some(&Refusal::Stopped));
    Ok(())
}

struct Waiter {
    log: Log,
    reached: mpsc::UnboundedSender<()>,
}

impl Actor for Waiter {
    async fn started(&mut self, _: &mut Context<Self>) -> Result {
        self.reached.send(())?;
        std::future::pending().await
    }
}

impl Handler<Note> for Waiter {
    async fn handle(&mut self, Note(text): Note, _: &mut Context<Self>) -> Result {
        self.log.lock().expect("not poisoned").push(text.to_owned());
        Ok(())
    }
}

/// Stops in its first moment.
struct Mayfly;

impl Actor for Mayfly {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.stop();
        Ok(())
    }
}

rakt::messages! { Pest }
struct Pest;

impl Handler<Pest> for Mayfly {
    async fn handle(&mut self, _: Pest, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

#[tokio::test]
async fn an_actor_may_stop_as_it_starts() -> Result {
    let system = system().await;
    let mayfly = system.spawn("mayfly", || Mayfly).await?;
    assert_eq!(system.actor_count(), 0);
    mayfly.tell(Pest).await.expect_err("it has stopped");
    Ok(())
}

#[tokio::test]
async fn the_end_of_an_actor_can_be_awaited_from_outside() -> Result {
    let (system, log) = (system().await, Log::default());
    let actor = system.spawn("a", Diarist::with(&log)).await?;
    assert_eq!(actor.is_alive(), Some(true));
    let me = actor.clone();
    let ending = begun(async move { me.ended().await }).await;
    within(actor.stop()).await?;
    assert_eq!(within(ending).await, StopReason::Stopped);
    assert_eq!(within(actor.ended()).await, StopReason::Stopped, "later too");
    assert_eq!(actor.is_alive(), Some(false));
    let again = system.spawn("a", Diarist::with(&log)).await?;
    let known = std::collections::HashSet::from([actor.clone(), again.clone(), again.clone()]);
    assert_eq!(known.len(), 2, "two lives");
    assert!(known.contains(&actor) && known.contains(&again));
    Ok(())
}

struct Stranger;
impl Actor for Stranger {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_the_actor_of_a_name_one_starts_it() -> Result {
    let (system, log) = (system().await, Log::default());
    for round in 0..50 {
        let name = format!("a{round}");
        let mut spawning = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let spawn = system.spawn(name.as_str(), Diarist::with(&log)).or_existing();
            spawning.spawn(spawn.into_future());
        }
        let mut actors = Vec::new();
        while let Some(spawned) = within(spawning.join_next()).await {
            actors.push(spawned??);
        }
        assert!(actors.iter().all(|actor| *actor == actors[0]));
        let other = system.spawn(name, || Stranger).or_existing().await;
        assert!(matches!(other, Err(SpawnError::OtherType { .. })), "{other:?}");
    }
    let started = diary(&log).iter().filter(|line| line.ends_with("started")).count();
    assert_eq!(started, 50);
    Ok(())
}

#[tokio::test]
async fn an_actor_that_is_about_to_end_is_followed_by_a_new_one() -> Result {
    let (system, gate, log) = (system().await, Gate::default(), Log::default());
    let of_actor = gate.clone();
    let held = move || Diarist { gate: of_actor.clone(), ..Diarist::with(&Log::default())() };
    let old = system.spawn("a", held).await?;
    old.tell(Hold).await?;
    gate.entered().await;
    let me = old.clone();
    let stopping = begun(async move { me.stop().await }).await;
    let spawn = system.spawn("a", Diarist::with(&log)).or_existing();
    let spawning = begun(spawn.into_future()).await;
    gate.open();
    within(stopping).await?;
    let new = within(spawning).await?;
    assert!(new != old && new.is_alive() == Some(true));
    Ok(())
}
