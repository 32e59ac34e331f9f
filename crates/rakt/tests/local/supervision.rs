//! What happens when an actor fails.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rakt::error::{Cause, Chain};
use rakt::prelude::*;
use rakt::supervision::{Directive, Fault, Strategy};
use rakt::{AskError, Event, Refusal, SpawnError, StopReason};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::support::{Gate, begun, event, stopped, within};
use crate::system;

/// How to fail.
#[derive(Clone, Copy, Debug)]
enum How {
    Error,
    /// With an error that has a cause.
    Layered,
    Panic,
}

struct Add(u32);
struct Fail(How);
struct Hold;
struct Children;

rakt::messages! {
    Add => u32,
    Fail,
    Hold,
    Children => Vec<ActorRef<Fragile>>,
}

/// Adds up, until it is told to fail.
struct Fragile {
    sum: u32,
    gate: Gate,
    children: Vec<(&'static str, Supervision)>,
    refs: Vec<ActorRef<Fragile>>,
}

impl Fragile {
    fn new() -> Self {
        Self { sum: 0, gate: Gate::default(), children: Vec::new(), refs: Vec::new() }
    }
}

impl Actor for Fragile {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        for (name, supervision) in self.children.clone() {
            self.refs.push(ctx.spawn(name, Fragile::new).supervision(supervision).await?);
        }
        Ok(())
    }
}

impl Handler<Add> for Fragile {
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u32> {
        self.sum += n;
        Ok(self.sum)
    }
}

impl Handler<Fail> for Fragile {
    async fn handle(&mut self, Fail(how): Fail, _: &mut Context<Self>) -> Result {
        match how {
            How::Error => Err("on purpose".into()),
            How::Layered => {
                let source = Cause::new(std::io::Error::other("no disk"));
                Err(Refusal::Internal { source }.into())
            }
            How::Panic => panic!("on purpose"),
        }
    }
}

impl Handler<Hold> for Fragile {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        Ok(())
    }
}

impl Handler<Children> for Fragile {
    async fn handle(
        &mut self,
        _: Children,
        _: &mut Context<Self>,
    ) -> Result<Vec<ActorRef<Fragile>>> {
        Ok(self.refs.clone())
    }
}

/// A fragile actor with a sum of 1 that is about to fail, and then to add 1, and 1 again.
///
/// All three messages are queued before the first is handled.
async fn about_to_fail(
    system: &ActorSystem,
    how: How,
    supervision: Supervision,
) -> Result<(ActorRef<Fragile>, [Outcome; 2])> {
    let gate = Gate::default();
    let of_actor = gate.clone();
    let fragile = system
        .spawn("fragile", move || Fragile { gate: of_actor.clone(), ..Fragile::new() })
        .supervision(supervision)
        .await?;
    assert_eq!(within(fragile.ask(Add(1))).await?, 1);
    fragile.tell(Hold).await?;
    gate.entered().await;
    fragile.tell(Fail(how)).await?;
    let add = || {
        let fragile = fragile.clone();
        begun(async move { fragile.ask(Add(1)).await })
    };
    let adding = [tokio::spawn(add().await), tokio::spawn(add().await)];
    assert_eq!(fragile.queue_len(), Some(3));
    gate.open();
    Ok((fragile, adding))
}

type Outcome = tokio::task::JoinHandle<std::result::Result<u32, AskError<Add>>>;

#[tokio::test(start_paused = true)]
async fn an_actor_that_resumes_keeps_its_state() -> Result {
    for how in [How::Error, How::Panic] {
        let policy = Supervision::always(Directive::Resume);
        let (fragile, [first, second]) = about_to_fail(&system().await, how, policy).await?;
        assert_eq!((within(first).await??, within(second).await??), (2, 3), "{how:?}");
        assert_eq!(within(fragile.ask(Add(0))).await?, 3);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_restarts_is_built_anew_and_keeps_what_is_queued() -> Result {
    for how in [How::Error, How::Panic] {
        let system = system().await;
        let mut events = system.events();
        let policy = Supervision::always(Directive::Restart);
        let (_, [first, second]) = about_to_fail(&system, how, policy).await?;
        assert_eq!((within(first).await??, within(second).await??), (1, 2), "{how:?}");
        event(&mut events, |event| {
            matches!(event, Event::ActorRestarted { path } if path == "fragile").then_some(())
        })
        .await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_stops_refuses_what_is_queued() -> Result {
    for how in [How::Error, How::Panic] {
        let system = system().await;
        let mut events = system.events();
        let policy = Supervision::always(Directive::Stop);
        let (fragile, outcomes) = about_to_fail(&system, how, policy).await?;
        for outcome in outcomes {
            let error = within(outcome).await?.expect_err("it has stopped");
            assert_eq!(error.refusal(), Some(&Refusal::Stopped), "{how:?}");
        }
        let reason = stopped(&mut events, "fragile").await;
        assert!(
            matches!(&reason, StopReason::Failed(cause) if cause.to_string().contains("on purpose")),
            "{reason:?}"
        );
        let error = fragile.tell(Add(1)).await.expect_err("it has stopped");
        assert_eq!(error.refusal, Refusal::Stopped);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_suspended_actor_keeps_all_and_refuses_until_it_is_reinstated() -> Result {
    for how in [How::Error, How::Panic] {
        let system = system().await;
        let mut events = system.events();
        let policy = Supervision::always(Directive::Suspend);
        let (fragile, [first, second]) = about_to_fail(&system, how, policy).await?;
        event(&mut events, |event| {
            matches!(event, Event::ActorSuspended { reason, .. } if reason.to_string().contains("on purpose"))
                .then_some(())
        })
        .await;
        let error = within(fragile.ask(Add(7))).await.expect_err("suspended");
        assert_eq!(error.refusal(), Some(&Refusal::Suspended), "{how:?}");
        assert_eq!(fragile.queue_len(), Some(2));
        within(fragile.reinstate()).await?;
        event(&mut events, |event| matches!(event, Event::ActorReinstated { .. }).then_some(()))
            .await;
        assert_eq!((within(first).await??, within(second).await??), (2, 3), "{how:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_waits_for_room_hears_of_the_suspension() -> Result {
    let system = system().await;
    let gate = Gate::default();
    let of_actor = gate.clone();
    let fragile = system
        .spawn("fragile", move || Fragile { gate: of_actor.clone(), ..Fragile::new() })
        .supervision(Supervision::always(Directive::Suspend))
        .mailbox(Mailbox::bounded(1))
        .await?;
    fragile.tell(Hold).await?;
    gate.entered().await;
    fragile.tell(Fail(How::Error)).await?;
    let me = fragile.clone();
    let one = begun(me.tell(Add(1))).await;
    let two = begun(me.tell(Add(2))).await;
    gate.open();
    let (one, two) = within(async { tokio::join!(one, two) }).await;
    let outcomes = [one, two];
    let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let refusals: Vec<_> = refused.map(|error| error.refusal.clone()).collect();
    assert!(refusals.iter().all(|refusal| *refusal == Refusal::Suspended), "{refusals:?}");
    assert!(!refusals.is_empty(), "there was room for one at most");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_suspended_actor_that_respawns_begins_anew() -> Result {
    let policy = Supervision::always(Directive::Suspend);
    let system = system().await;
    let mut events = system.events();
    let (fragile, [first, second]) = about_to_fail(&system, How::Panic, policy).await?;
    event(&mut events, |event| matches!(event, Event::ActorSuspended { .. }).then_some(())).await;
    let error = fragile.tell(Add(0)).await.expect_err("suspended");
    assert_eq!(error.refusal, Refusal::Suspended);
    within(fragile.respawn()).await?;
    assert_eq!((within(first).await??, within(second).await??), (1, 2));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_suspended_actor_can_be_stopped() -> Result {
    let system = system().await;
    let policy = Supervision::always(Directive::Suspend);
    let (fragile, outcomes) = about_to_fail(&system, How::Error, policy).await?;
    let mut events = system.events();
    event(&mut events, |event| matches!(event, Event::ActorSuspended { .. }).then_some(())).await;
    within(fragile.stop()).await?;
    for outcome in outcomes {
        let error = within(outcome).await?.expect_err("it never worked again");
        assert_eq!(error.refusal(), Some(&Refusal::Stopped));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_suspended_while_it_finishes_still_ends() -> Result {
    let system = system().await;
    let mut events = system.events();
    let policy = Supervision::always(Directive::Suspend);
    let (fragile, _outcomes) = about_to_fail(&system, How::Error, policy).await?;
    // The fault is still in the queue when the actor is told to finish it.
    within(fragile.stop()).await?;
    assert!(matches!(stopped(&mut events, "fragile").await, StopReason::Failed(_)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_backs_off_while_it_finishes_still_ends() -> Result {
    let hour = Duration::from_secs(3600);
    let policy = Supervision::always(Directive::Restart).backoff(hour, hour);
    let (fragile, [first, second]) = about_to_fail(&system().await, How::Error, policy).await?;
    let began = Instant::now();
    within(fragile.stop()).await?;
    assert!(began.elapsed() < hour);
    assert_eq!((within(first).await??, within(second).await??), (1, 2), "by a new actor");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_waits_for_its_restart_finishes_when_stopped() -> Result {
    let hour = Duration::from_secs(3600);
    let system = system().await;
    let policy = Supervision::always(Directive::Restart).backoff(hour, hour);
    let (fragile, [first, second]) = about_to_fail(&system, How::Error, policy).await?;
    // The clock moves only when all have done what they can.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fragile.queue_len(), Some(2));
    within(fragile.stop()).await?;
    assert_eq!((within(first).await??, within(second).await??), (1, 2), "by a new actor");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn backing_off_holds_messages_until_the_restart() -> Result {
    let second = Duration::from_secs(1);
    let policy = Supervision::always(Directive::Restart)
        .max_restarts(10, Duration::from_secs(60))
        .backoff(second, 3 * second);
    let fragile = system().await.spawn("fragile", Fragile::new).supervision(policy).await?;
    for wait in [1, 2, 3, 3] {
        assert_eq!(within(fragile.ask(Add(5))).await?, 5, "built anew");
        let failed = Instant::now();
        fragile.tell(Fail(How::Error)).await?;
        assert_eq!(within(fragile.ask(Add(5))).await?, 5, "accepted meanwhile, handled after");
        assert_eq!(failed.elapsed().as_secs(), wait);
        within(fragile.respawn()).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_respawn_takes_the_pause_it_cuts_short_along() -> Result {
    let second = Duration::from_secs(1);
    let policy = Supervision::always(Directive::Restart).backoff(10 * second, 10 * second);
    let fragile = system().await.spawn("fragile", Fragile::new).supervision(policy).await?;
    fragile.tell(Fail(How::Error)).await?;
    tokio::time::sleep(5 * second).await;
    within(fragile.respawn()).await?;
    let failed = Instant::now();
    fragile.tell(Fail(How::Error)).await?;
    // The pause before the respawn would have been over five seconds from now.
    assert_eq!(within(fragile.ask(Add(5)).timeout(60 * second)).await?, 5);
    assert_eq!(failed.elapsed().as_secs(), 10);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_restart_too_many_within_the_window_stops_the_actor() -> Result {
    let window = Duration::from_secs(60);
    let system = system().await;
    let mut events = system.events();
    let policy = Supervision::always(Directive::Restart).max_restarts(2, window);
    let fragile = system.spawn("fragile", Fragile::new).supervision(policy).await?;
    for _ in 0..2 {
        fragile.tell(Fail(How::Panic)).await?;
        within(fragile.ask(Add(1))).await?;
    }
    tokio::time::advance(window).await;
    for _ in 0..2 {
        fragile.tell(Fail(How::Panic)).await?;
        assert_eq!(within(fragile.ask(Add(1))).await?, 1, "a new window");
    }
    fragile.tell(Fail(How::Panic)).await?;
    assert!(matches!(stopped(&mut events, "fragile").await, StopReason::Failed(_)));
    Ok(())
}

#[tokio::test]
async fn the_asker_and_the_events_tell_what_caused_an_error() -> Result {
    let system = system().await;
    let mut events = system.events();
    let supervision = Supervision::always(Directive::Stop);
    let fragile = system.spawn("fragile", Fragile::new).supervision(supervision).await?;
    let error = within(fragile.ask(Fail(How::Layered))).await.expect_err("it fails");
    let links = std::iter::successors(error.source(), |link| (*link).source());
    let texts: Vec<_> = links.map(ToString::to_string).collect();
    assert_eq!(texts, ["internal fault", "no disk"], "each once: {error}");
    let shown = Chain(&error).to_string();
    assert!(shown.ends_with("refused: the handler failed: internal fault: no disk"), "{shown}");
    let reason = stopped(&mut events, "fragile").await;
    let StopReason::Failed(cause) = reason else { panic!("it failed: {reason:?}") };
    assert_eq!(Chain(&cause).to_string(), "internal fault: no disk");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_asker_hears_what_became_of_its_message() -> Result {
    let fragile = system().await.spawn("fragile", Fragile::new).await?;
    let error = within(fragile.ask(Fail(How::Error))).await.expect_err("it fails");
    let source = "on purpose".into();
    assert_eq!(error.refusal(), Some(&Refusal::HandlerFailed { source }));
    let error = within(fragile.ask(Fail(How::Panic))).await.expect_err("it panics");
    assert!(matches!(error.refusal(), Some(Refusal::HandlerFailed { .. })), "{error:?}");
    assert!(!error.is_safe_to_retry());
    Ok(())
}

/// A parent with children of these policies.
async fn family(
    system: &ActorSystem,
    children: [Supervision; 2],
) -> Result<(ActorRef<Fragile>, Vec<ActorRef<Fragile>>)> {
    let [first, second] = children;
    let children = vec![("first", first), ("second", second)];
    let parent = system
        .spawn("parent", move || Fragile { children: children.clone(), ..Fragile::new() })
        .await?;
    let children = within(parent.ask(Children)).await?;
    Ok((parent, children))
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_escalates_restarts_the_parent_and_its_children() -> Result {
    for how in [How::Error, How::Panic] {
        let system = system().await;
        let mut events = system.events();
        let escalate = Supervision::always(Directive::Escalate);
        let (parent, old) = family(&system, [escalate, Supervision::default()]).await?;
        assert_eq!(within(parent.ask(Add(1))).await?, 1);
        old[0].tell(Fail(how)).await?;
        assert!(matches!(stopped(&mut events, "parent/first").await, StopReason::Failed(_)));
        stopped(&mut events, "parent/second").await;
        event(&mut events, |event| {
            matches!(event, Event::ActorRestarted { path } if path == "parent").then_some(())
        })
        .await;
        assert_eq!(within(parent.ask(Add(1))).await?, 1, "{how:?}: built anew");
        let new = within(parent.ask(Children)).await?;
        assert!(new[0] != old[0] && new[1] != old[1]);
        within(new[0].ask(Add(1))).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_escalates_at_the_top_stops_the_actor() -> Result {
    let system = system().await;
    let mut events = system.events();
    let policy = Supervision::always(Directive::Escalate);
    let fragile = system.spawn("fragile", Fragile::new).supervision(policy).await?;
    fragile.tell(Fail(How::Error)).await?;
    assert!(matches!(stopped(&mut events, "fragile").await, StopReason::Failed(_)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_for_all_restarts_the_siblings_and_one_for_one_does_not() -> Result {
    let both = &["parent/first", "parent/second"][..];
    let cases = [(Strategy::OneForAll, both, 1), (Strategy::OneForOne, &both[..1], 2)];
    for (strategy, restarted, sum_of_sibling) in cases {
        let system = system().await;
        let mut events = system.events();
        let policy = Supervision::always(Directive::Restart).strategy(strategy);
        let (_, children) = family(&system, [policy, Supervision::default()]).await?;
        for child in &children {
            assert_eq!(within(child.ask(Add(1))).await?, 1);
        }
        children[0].tell(Fail(How::Error)).await?;
        for path in restarted {
            event(&mut events, |event| {
                matches!(event, Event::ActorRestarted { path: other } if other == *path)
                    .then_some(())
            })
            .await;
        }
        assert_eq!(within(children[0].ask(Add(1))).await?, 1);
        assert_eq!(within(children[1].ask(Add(1))).await?, sum_of_sibling, "{strategy:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_for_all_stops_the_siblings() -> Result {
    let system = system().await;
    let mut events = system.events();
    let policy = Supervision::always(Directive::Stop).strategy(Strategy::OneForAll);
    let (parent, children) = family(&system, [policy, Supervision::default()]).await?;
    children[0].tell(Fail(How::Panic)).await?;
    stopped(&mut events, "parent/second").await;
    assert_eq!(within(parent.ask(Add(1))).await?, 1, "the parent lives");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_for_all_that_escalates_counts_as_one_fault_of_the_parent() -> Result {
    let system = system().await;
    let mut events = system.events();
    let policy = Supervision::always(Directive::Escalate).strategy(Strategy::OneForAll);
    let (parent, children) = family(&system, [policy.clone(), policy]).await?;
    children[0].tell(Fail(How::Error)).await?;
    event(&mut events, |event| matches!(event, Event::ActorRestarted { .. }).then_some(())).await;
    // Once the parent has answered and the clock has moved, nothing more is under way.
    within(parent.ask(Add(1))).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(within(parent.ask(Add(1))).await?, 2, "it was restarted once");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_is_suspended_with_messages_in_hand_handles_none_of_them() -> Result {
    let system = system().await;
    let mut events = system.events();
    let gate = Gate::default();
    let of_actor = gate.clone();
    let sibling = system
        .spawn("sibling", move || Fragile { gate: of_actor.clone(), ..Fragile::new() })
        .await?;
    let policy = Supervision::always(Directive::Suspend).strategy(Strategy::OneForAll);
    let fragile = system.spawn("fragile", Fragile::new).supervision(policy).await?;
    // Queued before the actor first runs, so that it takes all of them in hand at once.
    sibling.tell(Hold).await?;
    sibling.tell(Add(1)).await?;
    let me = sibling.clone();
    let asking = begun(async move { me.ask(Add(1)).await }).await;
    gate.entered().await;
    fragile.tell(Fail(How::Error)).await?;
    event(&mut events, |event| matches!(event, Event::ActorSuspended { .. }).then_some(())).await;
    gate.open();
    event(&mut events, |event| {
        matches!(event, Event::ActorSuspended { path, .. } if path == "sibling").then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sibling.queue_len(), Some(2), "they are back in the mailbox");
    within(sibling.reinstate()).await?;
    assert_eq!(within(asking).await?, 2);
    Ok(())
}

/// What its hooks do, which a test can change between two calls.
#[derive(Clone, Default)]
struct Script {
    fail_started: Arc<Mutex<Option<How>>>,
    fail_stopped: Arc<Mutex<Option<How>>>,
    fail_terminated: Arc<Mutex<Option<How>>>,
    fail_factory: Arc<AtomicBool>,
    fail_drop: Arc<AtomicBool>,
    tried: Arc<AtomicU32>,
    built: Arc<AtomicU32>,
    stopped: Arc<AtomicU32>,
}

impl Script {
    fn actor(&self) -> impl Fn() -> Scripted + Send + Sync + 'static {
        let script = self.clone();
        move || {
            script.tried.fetch_add(1, Ordering::SeqCst);
            assert!(!script.fail_factory.load(Ordering::SeqCst), "on purpose");
            script.built.fetch_add(1, Ordering::SeqCst);
            Scripted(script.clone())
        }
    }
}

fn play(part: &Mutex<Option<How>>) -> Result {
    let how = *part.lock().map_err(|_| "poisoned")?;
    match how {
        None => Ok(()),
        Some(How::Error | How::Layered) => Err("on purpose".into()),
        Some(How::Panic) => panic!("on purpose"),
    }
}

struct Scripted(Script);

impl Actor for Scripted {
    async fn started(&mut self, _: &mut Context<Self>) -> Result {
        play(&self.0.fail_started)
    }

    async fn stopped(&mut self, _: &mut Context<Self>) -> Result {
        self.0.stopped.fetch_add(1, Ordering::SeqCst);
        play(&self.0.fail_stopped)
    }

    async fn terminated(&mut self, _: &Terminated, _: &mut Context<Self>) -> Result {
        play(&self.0.fail_terminated)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        assert!(!self.0.fail_drop.load(Ordering::SeqCst), "on purpose");
    }
}

struct Watch(ActorRef);
struct Ping;
rakt::messages! { Watch, Ping => u32 }

impl Handler<Watch> for Scripted {
    async fn handle(&mut self, Watch(target): Watch, ctx: &mut Context<Self>) -> Result {
        ctx.watch(&target);
        Ok(())
    }
}

/// Answers with how many actors the factory has built.
impl Handler<Ping> for Scripted {
    async fn handle(&mut self, _: Ping, _: &mut Context<Self>) -> Result<u32> {
        Ok(self.0.built.load(Ordering::SeqCst))
    }
}

impl Handler<Fail> for Scripted {
    async fn handle(&mut self, Fail(how): Fail, _: &mut Context<Self>) -> Result {
        play(&Mutex::new(Some(how)))
    }
}

fn set(part: &Mutex<Option<How>>, how: Option<How>) {
    *part.lock().expect("not poisoned") = how;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_fails_the_spawn_and_leaves_nothing() -> Result {
    let system = system().await;
    for how in [How::Error, How::Panic] {
        let script = Script::default();
        set(&script.fail_started, Some(how));
        let error = within(system.spawn("a", script.actor()).into_future()).await.expect_err("no");
        assert!(
            matches!(&error, SpawnError::Start { source, .. }
                if source.to_string().contains("on purpose")),
            "{how:?}: {error:?}"
        );
        assert_eq!(system.actor_count(), 0);
    }
    let script = Script::default();
    script.fail_factory.store(true, Ordering::SeqCst);
    let error = within(system.spawn("a", script.actor()).into_future()).await.expect_err("no");
    assert!(matches!(error, SpawnError::Start { .. }));
    assert_eq!(system.actor_count(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_with_a_drop_that_panics_is_just_a_failed_spawn() -> Result {
    let system = system().await;
    let script = Script::default();
    set(&script.fail_started, Some(How::Error));
    script.fail_drop.store(true, Ordering::SeqCst);
    let error = within(system.spawn("a", script.actor()).into_future()).await.expect_err("no");
    assert!(matches!(error, SpawnError::Start { .. }), "{error:?}");
    assert_eq!(system.actor_count(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_fails_is_one_more_fault() -> Result {
    for how in [How::Error, How::Panic] {
        let system = system().await;
        let mut events = system.events();
        let script = Script::default();
        let actor = system.spawn("a", script.actor()).await?;
        set(&script.fail_started, Some(how));
        actor.tell(Fail(how)).await?;
        let reason = stopped(&mut events, "a").await;
        assert!(matches!(reason, StopReason::Failed(_)), "{how:?}");
        assert_eq!(script.built.load(Ordering::SeqCst), 1 + 3, "three restarts are allowed");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_fails_on_a_restart_may_succeed_on_the_next() -> Result {
    let script = Script::default();
    let second = Duration::from_secs(1);
    let actor = system()
        .await
        .spawn("a", script.actor())
        .supervision(Supervision::always(Directive::Restart).backoff(second, second))
        .await?;
    script.fail_factory.store(true, Ordering::SeqCst);
    actor.tell(Fail(How::Error)).await?;
    let asking = tokio::spawn(async move { actor.ask(Ping).await });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    script.fail_factory.store(false, Ordering::SeqCst);
    assert_eq!(within(asking).await??, 2, "the message has waited all the time");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_fails_cannot_be_resumed() -> Result {
    let system = system().await;
    let mut events = system.events();
    let script = Script::default();
    let actor = system
        .spawn("a", script.actor())
        .supervision(Supervision::always(Directive::Resume))
        .await?;
    script.fail_factory.store(true, Ordering::SeqCst);
    let error = within(actor.respawn()).await.expect_err("the factory panics");
    assert!(matches!(error.refusal(), Some(Refusal::HandlerFailed { .. })), "{error:?}");
    assert!(matches!(stopped(&mut events, "a").await, StopReason::Failed(_)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_can_never_be_restarted_can_still_be_stopped() -> Result {
    let script = Script::default();
    let actor = system()
        .await
        .spawn("a", script.actor())
        .supervision(Supervision::default().max_restarts(u32::MAX, Duration::from_secs(60)))
        .await?;
    script.fail_factory.store(true, Ordering::SeqCst);
    actor.tell(Fail(How::Panic)).await?;
    within(async {
        while script.tried.load(Ordering::SeqCst) < 1000 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(actor.stop()).await?;
    assert_eq!(script.stopped.load(Ordering::SeqCst), 1, "one actor, one end");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn stopped_hooks_that_fail_stop_nothing() -> Result {
    for how in [How::Error, How::Panic] {
        let script = Script::default();
        set(&script.fail_stopped, Some(how));
        let system = system().await;
        let actor = system.spawn("a", script.actor()).await?;
        actor.tell(Fail(how)).await?;
        assert_eq!(within(actor.ask(Ping)).await?, 2, "restarted all the same");
        within(actor.stop()).await?;
        assert_eq!(system.actor_count(), 0);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_terminated_hook_that_fails_meets_supervision() -> Result {
    for how in [How::Error, How::Panic] {
        let script = Script::default();
        set(&script.fail_terminated, Some(how));
        let system = system().await;
        let mut events = system.events();
        let actor = system.spawn("a", script.actor()).await?;
        let other = system.spawn("other", Script::default().actor()).await?;
        within(actor.ask(Watch(other.untyped()))).await?;
        within(other.stop()).await?;
        event(&mut events, |event| matches!(event, Event::ActorRestarted { .. }).then_some(()))
            .await;
        assert_eq!(within(actor.ask(Ping)).await?, 2);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_drop_that_panics_harms_neither_restart_nor_end() -> Result {
    let system = system().await;
    let script = Script::default();
    script.fail_drop.store(true, Ordering::SeqCst);
    let actor = system.spawn("a", script.actor()).await?;
    actor.tell(Fail(How::Error)).await?;
    assert_eq!(within(actor.ask(Ping)).await?, 2, "restarted");
    within(actor.stop()).await?;
    assert_eq!(system.actor_count(), 0);
    Ok(())
}

/// A panic whose payload panics as well.
struct Grenade;
struct Throw;
rakt::messages! { Throw }

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("a payload that panics when dropped");
    }
}

impl Handler<Throw> for Scripted {
    async fn handle(&mut self, _: Throw, _: &mut Context<Self>) -> Result {
        std::panic::panic_any(Grenade)
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_with_a_payload_that_panics_is_contained_too() -> Result {
    let actor = system().await.spawn("a", Script::default().actor()).await?;
    actor.tell(Throw).await?;
    assert_eq!(within(actor.ask(Ping)).await?, 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn respawn_builds_the_actor_anew_and_keeps_what_is_queued() -> Result {
    let system = system().await;
    let mut events = system.events();
    let gate = Gate::default();
    let of_actor = gate.clone();
    let actor =
        system.spawn("a", move || Fragile { gate: of_actor.clone(), ..Fragile::new() }).await?;
    within(actor.ask(Add(1))).await?;
    actor.tell(Hold).await?;
    gate.entered().await;
    actor.tell(Add(1)).await?;
    let me = actor.clone();
    let respawning = begun(async move { me.respawn().await }).await;
    gate.open();
    within(respawning).await?;
    assert_eq!(within(actor.ask(Add(1))).await?, 2);
    event(&mut events, |event| matches!(event, Event::ActorRestarted { .. }).then_some(())).await;
    within(actor.stop()).await?;
    let error = within(actor.respawn()).await.expect_err("it has ended");
    assert_eq!(error.refusal(), Some(&Refusal::Stopped));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_policy_sees_the_fault() -> Result {
    let (log, mut seen) = mpsc::unbounded_channel();
    let policy = Supervision::by(move |fault| {
        let _ = log.send(match fault {
            Fault::Error(error) => format!("error {error}"),
            Fault::Panic(text) => format!("panic {text}"),
            other => format!("other {other}"),
        });
        Directive::Resume
    });
    let fragile = system().await.spawn("a", Fragile::new).supervision(policy).await?;
    fragile.tell(Fail(How::Error)).await?;
    fragile.tell(Fail(How::Panic)).await?;
    assert_eq!(within(seen.recv()).await.as_deref(), Some("error on purpose"));
    assert_eq!(within(seen.recv()).await.as_deref(), Some("panic on purpose"));
    Ok(())
}

/// Asks to stop, and then fails.
struct StopAndFail;
rakt::messages! { StopAndFail }

impl Handler<StopAndFail> for Fragile {
    async fn handle(&mut self, _: StopAndFail, ctx: &mut Context<Self>) -> Result {
        ctx.stop();
        Err("on purpose".into())
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_asked_to_stop_is_not_restarted() -> Result {
    let system = system().await;
    let mut events = system.events();
    let fragile = system.spawn("fragile", Fragile::new).await?;
    fragile.tell(StopAndFail).await?;
    let reason = stopped(&mut events, "fragile").await;
    assert_eq!(reason, StopReason::Failed("on purpose".into()));
    Ok(())
}
