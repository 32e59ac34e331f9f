//! What an actor's own code cannot wait for is refused at once; and every wait has an end.

use std::time::Duration;

use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{Declined, OperationError, OrDecline};
use tokio::time::Instant;

use crate::support::{Gate, begun, within};
use crate::system;

const HOUR: Duration = Duration::from_secs(3600);

struct Stop(ActorRef<Node>);
struct Respawn(ActorRef<Node>);
struct Reinstate(ActorRef<Node>);
struct Spawn;
struct Fill(u32);
struct Note;
struct Hold;
struct Parse(&'static str);
struct Fail;

type Done = std::result::Result<(), OperationError>;

rakt::messages! {
    Stop => Done, Respawn => Done, Reinstate => Done, Spawn => ActorRef<Node>, Fill => Vec<bool>, Note => u32, Hold,
    Parse => u32, Fail,
}

#[derive(Default)]
struct Node {
    gate: Gate,
    notes: u32,
}

impl Actor for Node {}

impl Handler<Stop> for Node {
    async fn handle(&mut self, Stop(whom): Stop, _: &mut Context<Self>) -> Result<Done> {
        Ok(whom.stop().await)
    }
}

impl Handler<Respawn> for Node {
    async fn handle(&mut self, Respawn(whom): Respawn, _: &mut Context<Self>) -> Result<Done> {
        Ok(whom.respawn().await)
    }
}

impl Handler<Reinstate> for Node {
    async fn handle(&mut self, Reinstate(whom): Reinstate, _: &mut Context<Self>) -> Result<Done> {
        Ok(whom.reinstate().await)
    }
}

impl Handler<Spawn> for Node {
    async fn handle(&mut self, _: Spawn, ctx: &mut Context<Self>) -> Result<ActorRef<Self>> {
        Ok(ctx.spawn("child", Self::default).await?)
    }
}

impl Handler<Fill> for Node {
    async fn handle(&mut self, Fill(n): Fill, ctx: &mut Context<Self>) -> Result<Vec<bool>> {
        let me = ctx.me();
        let mut accepted = Vec::new();
        for _ in 0..n {
            accepted.push(me.tell(Note).await.is_ok());
        }
        Ok(accepted)
    }
}

impl Handler<Note> for Node {
    async fn handle(&mut self, _: Note, _: &mut Context<Self>) -> Result<u32> {
        self.notes += 1;
        Ok(self.notes)
    }
}

impl Handler<Hold> for Node {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        Ok(())
    }
}

impl Handler<Parse> for Node {
    async fn handle(&mut self, Parse(text): Parse, _: &mut Context<Self>) -> Result<u32> {
        let n: u32 = text.parse().or_decline()?;
        Ok(n.checked_sub(1).ok_or_else(|| Declined::new("there is nothing less"))?)
    }
}

impl Handler<Fail> for Node {
    async fn handle(&mut self, _: Fail, _: &mut Context<Self>) -> Result {
        Err("on purpose".into())
    }
}

fn waits_for_itself(done: &Done) -> bool {
    matches!(done, Err(OperationError::NotSent { refusal: Refusal::WaitsForItself, .. }))
}

#[tokio::test(start_paused = true)]
async fn an_actor_cannot_wait_for_its_own_end_or_that_of_those_above_it() -> Result {
    let system = system().await;
    let parent = system.spawn("a", Node::default).await?;
    let child = within(parent.ask(Spawn)).await?;
    let grandchild = within(child.ask(Spawn)).await?;
    let began = Instant::now();
    for whom in [&parent, &child, &grandchild] {
        let done = within(grandchild.ask(Stop(whom.clone()))).await?;
        assert!(waits_for_itself(&done), "{done:?}");
        let done = within(grandchild.ask(Respawn(whom.clone()))).await?;
        assert!(waits_for_itself(&done), "{done:?}");
    }
    let done = within(parent.ask(Reinstate(parent.clone()))).await?;
    assert!(waits_for_itself(&done), "{done:?}");
    within(child.ask(Reinstate(parent.clone()))).await??;
    assert_eq!(began.elapsed(), Duration::ZERO);
    // Those below are another matter, and so are strangers.
    within(parent.ask(Respawn(child.clone()))).await??;
    within(parent.ask(Stop(child.clone()))).await??;
    let stranger = system.spawn("b", Node::default).await?;
    within(parent.ask(Stop(stranger))).await??;
    assert_eq!(within(parent.ask(Note)).await?, 1, "the parent is well");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn two_actors_that_stop_each_other_hear_of_it_in_time() -> Result {
    let system = system().await;
    let a = system.spawn("a", Node::default).await?;
    let b = system.spawn("b", Node::default).await?;
    let (of_a, of_b) = (a.ask(Stop(b.clone())).timeout(HOUR), b.ask(Stop(a.clone())).timeout(HOUR));
    let (of_a, of_b) = within(async { tokio::join!(of_a, of_b) }).await;
    let timed_out = |done: &Done| matches!(done, Err(OperationError::Timeout { .. }));
    assert!(timed_out(&of_a?) || timed_out(&of_b?));
    within(a.stop()).await?;
    within(b.stop()).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_an_actor_that_is_stuck_has_an_end() -> Result {
    let system = system().await;
    let gate = Gate::default();
    let its = gate.clone();
    let actor = system.spawn("a", move || Node { gate: its.clone(), notes: 0 }).await?;
    actor.tell(Hold).await?;
    gate.entered().await;
    for done in [actor.stop().await, actor.respawn().await, actor.reinstate().await] {
        assert!(matches!(done, Err(OperationError::Timeout { .. })), "{done:?}");
        assert!(done.is_err_and(|error| !error.is_safe_to_retry() && error.is_worth_retrying()));
    }
    gate.open();
    within(actor.stop()).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_fills_its_own_mailbox_hears_of_it_at_once() -> Result {
    let system = system().await;
    let actor = system.spawn("a", Node::default).mailbox(Mailbox::bounded(2)).await?;
    let began = Instant::now();
    assert_eq!(within(actor.ask(Fill(4))).await?, [true, true, false, false]);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(within(actor.ask(Note)).await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_declined_is_no_fault() -> Result {
    let system = system().await;
    let actor =
        system.spawn("a", Node::default).supervision(Supervision::always(Directive::Stop)).await?;
    within(actor.ask(Note)).await?;
    let error = within(actor.ask(Parse("one"))).await.expect_err("it is no number");
    let AskError::Refused { refusal: Refusal::Declined { source }, .. } = &error else {
        return Err(format!("{error:?}").into());
    };
    assert_eq!(source.to_string(), "invalid digit found in string");
    assert!(!error.is_safe_to_retry() && !error.is_worth_retrying());
    let error = within(actor.ask(Parse("0"))).await.expect_err("there is none");
    assert!(rakt::error::Chain(&error).to_string().ends_with("there is nothing less"), "{error}");
    assert_eq!(within(actor.ask(Parse("3"))).await?, 2);
    actor.tell(Parse("one")).await?;
    assert_eq!(within(actor.ask(Note)).await?, 2, "it goes on with its state");
    assert_eq!(system.dead_letter_count(), 1, "what nobody asked for");
    actor.tell(Fail).await?;
    actor.ask(Note).await.expect_err("a fault is a fault");
    Ok(())
}

struct Forever;
struct SpawnStuck;

rakt::messages! { Forever, SpawnStuck => ActorRef<Stubborn> }

/// Waits for ever wherever it can, and says what it does.
struct Stubborn {
    log: tokio::sync::mpsc::UnboundedSender<&'static str>,
    ends_slowly: bool,
}

struct Dropped(tokio::sync::mpsc::UnboundedSender<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

impl Actor for Stubborn {
    async fn stopped(&mut self, _: &mut Context<Self>) -> Result {
        self.log.send("stopping")?;
        if self.ends_slowly {
            std::future::pending::<()>().await;
        }
        self.log.send("stopped")?;
        Ok(())
    }
}

impl Handler<Forever> for Stubborn {
    async fn handle(&mut self, _: Forever, _: &mut Context<Self>) -> Result {
        let _dropped = Dropped(self.log.clone());
        self.log.send("waiting")?;
        std::future::pending().await
    }
}

impl Handler<Note> for Stubborn {
    async fn handle(&mut self, _: Note, _: &mut Context<Self>) -> Result<u32> {
        Ok(1)
    }
}

impl Handler<SpawnStuck> for Stubborn {
    async fn handle(&mut self, _: SpawnStuck, ctx: &mut Context<Self>) -> Result<ActorRef<Self>> {
        let log = self.log.clone();
        Ok(ctx.spawn("child", move || Self { log: log.clone(), ends_slowly: false }).await?)
    }
}

type Said = tokio::sync::mpsc::UnboundedReceiver<&'static str>;

fn stubborn(ends_slowly: bool) -> (impl Fn() -> Stubborn + Send + Sync, Said) {
    let (log, said) = tokio::sync::mpsc::unbounded_channel();
    (move || Stubborn { log: log.clone(), ends_slowly }, said)
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_stuck_can_be_killed() -> Result {
    let system = system().await;
    let (factory, mut said) = stubborn(false);
    let actor = system.spawn("a", factory).await?;
    let asker = actor.clone();
    let asking = begun(async move { asker.ask(Forever).timeout(HOUR).await }).await;
    assert_eq!(within(said.recv()).await, Some("waiting"));
    actor.tell(Note).await?;
    let began = Instant::now();
    within(actor.kill()).await?;
    assert_eq!(began.elapsed(), Duration::ZERO);
    for word in ["dropped", "stopping", "stopped"] {
        assert_eq!(within(said.recv()).await, Some(word));
    }
    let reason = within(actor.ended()).await;
    assert_eq!(reason.to_string(), "failed: it was killed");
    let error = within(asking).await.expect_err("nobody answers");
    assert!(!error.is_safe_to_retry(), "a part of the work may be done: {error:?}");
    assert_eq!(system.dead_letter_count(), 1, "what was queued");
    within(actor.kill()).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_family_that_is_stuck_can_be_killed_at_its_head() -> Result {
    let system = system().await;
    let (factory, mut said) = stubborn(true);
    let parent = system.spawn("a", factory).await?;
    let child = within(parent.ask(SpawnStuck)).await?;
    child.tell(Forever).await?;
    assert_eq!(within(said.recv()).await, Some("waiting"));
    parent.tell(Forever).await?;
    assert_eq!(within(said.recv()).await, Some("waiting"));
    // The parent does not stop in time either.
    let began = Instant::now();
    let killed = parent.kill().await;
    assert!(began.elapsed() <= Duration::from_secs(5) + Duration::from_millis(5));
    drop(killed);
    assert_eq!(within(child.ended()).await.to_string(), "failed: it was killed");
    within(parent.ended()).await;
    assert_eq!(system.actor_count(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_is_a_fault_of_its_own() -> Result {
    let system = system().await;
    let (factory, mut said) = stubborn(false);
    let limit = Duration::from_secs(2);
    let actor = system
        .spawn("a", factory)
        .handler_timeout(limit)
        .supervision(Supervision::by(|fault| match fault {
            rakt::supervision::Fault::TimedOut(_) => Directive::Resume,
            _ => Directive::Stop,
        }))
        .await?;
    for _ in 0..2 {
        let began = Instant::now();
        let error = within(actor.ask(Forever).timeout(HOUR)).await.expect_err("it takes too long");
        assert!(began.elapsed() >= limit && began.elapsed() <= limit + Duration::from_millis(2));
        let text = rakt::error::Chain(&error).to_string();
        assert!(text.ends_with("it took longer than 2s"), "{text}");
        assert_eq!(within(said.recv()).await, Some("waiting"));
        assert_eq!(within(said.recv()).await, Some("dropped"));
    }
    // Each message has the time for itself, however long the actor runs.
    for _ in 0..5 {
        within(actor.ask(Note)).await?;
        tokio::time::sleep(limit).await;
    }
    Ok(())
}

/// Most do it in this order: what does not stop is killed.
#[tokio::test(start_paused = true)]
async fn an_actor_that_does_not_stop_can_be_killed_then() -> Result {
    let system = system().await;
    let (factory, mut said) = stubborn(true);
    let actor = system.spawn("a", factory).await?;
    let stopped = actor.stop().await;
    assert!(matches!(stopped, Err(OperationError::Timeout { .. })), "{stopped:?}");
    assert_eq!(within(said.recv()).await, Some("stopping"));
    drop(actor.kill().await);
    assert_eq!(within(actor.ended()).await, rakt::StopReason::Stopped);

    let (factory, mut said) = stubborn(false);
    let parent = system.spawn("b", factory).await?;
    let child = within(parent.ask(SpawnStuck)).await?;
    child.tell(Forever).await?;
    assert_eq!(within(said.recv()).await, Some("waiting"));
    parent.stop().await.expect_err("it waits for its child");
    within(parent.kill()).await?;
    assert_eq!(within(child.ended()).await.to_string(), "failed: it was killed");
    assert_eq!(system.actor_count(), 0);
    Ok(())
}

struct GetOrSpawn;

rakt::messages! { GetOrSpawn => bool }

impl Handler<GetOrSpawn> for Node {
    async fn handle(&mut self, _: GetOrSpawn, ctx: &mut Context<Self>) -> Result<bool> {
        self.gate.pass().await;
        let found = ctx.system().spawn(ctx.path(), Self::default).or_existing().await;
        Ok(matches!(found, Err(rakt::SpawnError::NameTaken { .. })))
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_about_to_end_cannot_wait_for_that_to_follow_itself() -> Result {
    let system = system().await;
    let gate = Gate::default();
    let its = gate.clone();
    let actor = system.spawn("a", move || Node { gate: its.clone(), notes: 0 }).await?;
    let asker = actor.clone();
    let asking = begun(async move { asker.ask(GetOrSpawn).timeout(HOUR).await }).await;
    gate.entered().await;
    let stopping = begun(actor.stop()).await;
    let began = Instant::now();
    gate.open();
    assert!(within(asking).await?);
    within(stopping).await?;
    assert_eq!(began.elapsed(), Duration::ZERO);
    Ok(())
}
