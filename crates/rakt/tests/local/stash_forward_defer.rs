//! Handling a message later, elsewhere, or answering it from a task.

use std::time::Duration;

use rakt::error::Bound;
use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{AskError, Refusal};
use tokio::sync::mpsc;

use crate::support::{Gate, begun, within};
use crate::system;

struct Word(&'static str);
struct Open;
struct Close;
struct Said;
struct Hold;

rakt::messages! {
    Word => usize,
    Open,
    Close,
    Said => Vec<&'static str>,
    Hold,
}

/// Puts words aside until it is opened.
#[derive(Default)]
struct Speaker {
    open: bool,
    said: Vec<&'static str>,
    gate: Gate,
    opens_on_end_of: Option<ActorRef>,
}

impl Actor for Speaker {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        if let Some(other) = &self.opens_on_end_of {
            ctx.watch(other);
        }
        Ok(())
    }

    async fn terminated(&mut self, _: &Terminated, ctx: &mut Context<Self>) -> Result {
        self.open = true;
        ctx.unstash_all();
        Ok(())
    }
}

impl Handler<Word> for Speaker {
    async fn handle(&mut self, word: Word, ctx: &mut Context<Self>) -> Result<usize> {
        if !self.open {
            return ctx.stash(word);
        }
        self.said.push(word.0);
        Ok(self.said.len())
    }
}

impl Handler<Open> for Speaker {
    async fn handle(&mut self, _: Open, ctx: &mut Context<Self>) -> Result {
        self.open = true;
        ctx.unstash_all();
        Ok(())
    }
}

impl Handler<Close> for Speaker {
    async fn handle(&mut self, _: Close, _: &mut Context<Self>) -> Result {
        self.open = false;
        Ok(())
    }
}

impl Handler<Said> for Speaker {
    async fn handle(&mut self, _: Said, _: &mut Context<Self>) -> Result<Vec<&'static str>> {
        Ok(self.said.clone())
    }
}

impl Handler<Hold> for Speaker {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        Ok(())
    }
}

#[tokio::test]
async fn stashed_messages_come_back_in_order_and_before_those_that_wait() -> Result {
    let gate = Gate::default();
    let of_actor = gate.clone();
    let speaker = system()
        .await
        .spawn("speaker", move || Speaker { gate: of_actor.clone(), ..Speaker::default() })
        .await?;
    speaker.tell(Word("one")).await?;
    speaker.tell(Word("two")).await?;
    speaker.tell(Hold).await?;
    gate.entered().await;
    speaker.tell(Open).await?;
    speaker.tell(Word("three")).await?;
    gate.open();
    assert_eq!(within(speaker.ask(Said)).await?, ["one", "two", "three"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stashed_ask_is_answered_when_it_comes_back() -> Result {
    let speaker = system().await.spawn("speaker", Speaker::default).await?;
    let me = speaker.clone();
    let asking = tokio::spawn(async move { me.ask(Word("one")).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    speaker.tell(Open).await?;
    assert_eq!(within(asking).await??, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stashed_ask_whose_time_is_over_is_not_handled() -> Result {
    let speaker = system().await.spawn("speaker", Speaker::default).await?;
    // Not polled again, so it has not given up.
    let ask = begun(speaker.ask(Word("one")).timeout(Duration::from_secs(1))).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    speaker.tell(Open).await?;
    assert!(within(speaker.ask(Said)).await?.is_empty());
    let error = within(ask).await.expect_err("it was late");
    assert!(matches!(error, AskError::Refused { refusal: Refusal::DeadlineExceeded, .. }));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_terminated_hook_can_unstash_too() -> Result {
    let system = system().await;
    let other = system.spawn("other", Speaker::default).await?;
    let watched = other.untyped();
    let speaker = system
        .spawn("speaker", move || Speaker {
            opens_on_end_of: Some(watched.clone()),
            ..Speaker::default()
        })
        .await?;
    let asking = tokio::spawn(async move { speaker.ask(Word("one")).timeout(HOUR).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    within(other.stop()).await?;
    assert_eq!(within(asking).await??, 1);
    Ok(())
}

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_stash_survives_a_restart_and_is_handled_again() -> Result {
    let speaker = system().await.spawn("speaker", Speaker::default).await?;
    speaker.tell(Word("one")).await?;
    speaker.tell(Word("two")).await?;
    within(speaker.respawn()).await?;
    speaker.tell(Open).await?;
    assert_eq!(within(speaker.ask(Said)).await?, ["one", "two"]);
    Ok(())
}

#[tokio::test]
async fn the_stash_becomes_dead_letters_at_the_end() -> Result {
    let system = system().await;
    let speaker = system.spawn("speaker", Speaker::default).await?;
    let me = speaker.clone();
    let asking = begun(async move { me.ask(Word("one")).await }).await;
    speaker.tell(Word("two")).await?;
    within(speaker.stop()).await?;
    let error = within(asking).await.expect_err("never handled");
    assert_eq!(error.refusal(), Some(&Refusal::Stopped));
    assert_eq!(system.dead_letter_count(), 2);
    Ok(())
}

#[tokio::test]
async fn the_stash_is_bounded() -> Result {
    let system = system().await;
    let speaker = system
        .spawn("speaker", Speaker::default)
        .supervision(Supervision::always(Directive::Stop))
        .await?;
    for _ in 0..Context::<Speaker>::STASH_CAPACITY {
        speaker.tell(Word("again")).await?;
    }
    // However often: it is nothing for supervision.
    for _ in 0..10 {
        let error = within(speaker.ask(Word("too much"))).await.expect_err("the stash is full");
        let full = Refusal::ResourceExhausted { bound: Bound::Stash, limit: 8192 };
        assert_eq!(error.refusal(), Some(&full));
        assert!(!error.is_safe_to_retry() && error.is_worth_retrying());
    }
    speaker.tell(Word("too much")).await?;
    speaker.tell(Open).await?;
    assert_eq!(within(speaker.ask(Said)).await?.len(), Context::<Speaker>::STASH_CAPACITY);
    assert_eq!(system.dead_letter_count(), 1, "what nobody asked for");
    Ok(())
}

struct Compute(u64);
struct Ignore;
struct GiveUp;

rakt::messages! {
    Compute => u64,
    Ignore => u64,
    GiveUp => u64,
}

struct Deferring(mpsc::UnboundedSender<rakt::ReplyLater<u64>>);

impl Actor for Deferring {}

impl Handler<Compute> for Deferring {
    async fn handle(&mut self, Compute(n): Compute, ctx: &mut Context<Self>) -> Result<u64> {
        if n == 0 {
            let (later, deferred) = ctx.defer();
            self.0.send(later)?;
            return deferred;
        }
        let (later, deferred) = ctx.defer();
        tokio::spawn(async move { later.send(n * n) });
        deferred
    }
}

impl Handler<Ignore> for Deferring {
    async fn handle(&mut self, _: Ignore, ctx: &mut Context<Self>) -> Result<u64> {
        let (later, deferred) = ctx.defer();
        drop(later);
        deferred
    }
}

impl Handler<GiveUp> for Deferring {
    async fn handle(&mut self, _: GiveUp, ctx: &mut Context<Self>) -> Result<u64> {
        let (later, deferred) = ctx.defer();
        tokio::spawn(async move { later.fail("too hard") });
        deferred
    }
}

#[tokio::test]
async fn a_task_gives_a_deferred_reply_while_the_actor_goes_on() -> Result {
    let (sender, mut kept) = mpsc::unbounded_channel();
    let actor = system().await.spawn("deferring", move || Deferring(sender.clone())).await?;
    let me = actor.clone();
    let asking = tokio::spawn(async move { me.ask(Compute(0)).await });
    let later = within(kept.recv()).await.ok_or("the handler keeps it")?;
    assert_eq!(within(actor.ask(Compute(7))).await?, 49, "the actor is free meanwhile");
    later.send(42);
    assert_eq!(within(asking).await??, 42);
    Ok(())
}

#[tokio::test]
async fn a_deferred_reply_may_fail_or_be_forgotten() -> Result {
    let (sender, _kept) = mpsc::unbounded_channel();
    let actor = system().await.spawn("deferring", move || Deferring(sender.clone())).await?;
    let error = within(actor.ask(Ignore)).await.expect_err("dropped");
    assert!(matches!(error, AskError::Refused { refusal: Refusal::NoReply, .. }), "{error:?}");
    let error = within(actor.ask(GiveUp)).await.expect_err("it failed");
    let source = "too hard".into();
    assert_eq!(error.refusal(), Some(&Refusal::HandlerFailed { source }));
    assert_eq!(within(actor.ask(Compute(2))).await?, 4, "neither is a fault of the actor");
    Ok(())
}

struct Question(u32);
struct News(u32);
struct Slow;

rakt::messages! {
    Question => String,
    News,
    Slow,
}

/// Passes everything on.
struct Relay(ActorRef<Expert>);

impl Actor for Relay {}

impl Handler<Question> for Relay {
    async fn handle(&mut self, question: Question, ctx: &mut Context<Self>) -> Result<String> {
        ctx.forward(&self.0, question).await
    }
}

impl Handler<News> for Relay {
    async fn handle(&mut self, news: News, ctx: &mut Context<Self>) -> Result {
        ctx.forward(&self.0, news).await
    }
}

impl Handler<Slow> for Relay {
    async fn handle(&mut self, slow: Slow, ctx: &mut Context<Self>) -> Result {
        ctx.forward(&self.0, slow).await
    }
}

struct Expert(mpsc::UnboundedSender<String>);

impl Actor for Expert {}

impl Handler<Question> for Expert {
    async fn handle(&mut self, Question(n): Question, ctx: &mut Context<Self>) -> Result<String> {
        let deadline = ctx.deadline().map(tokio::time::Instant::from).ok_or("a deadline")?;
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        Ok(format!("{n} from {}, {} s left", sender(ctx), left.as_secs()))
    }
}

impl Handler<News> for Expert {
    async fn handle(&mut self, News(n): News, ctx: &mut Context<Self>) -> Result {
        self.0.send(format!("{n} from {}", sender(ctx)))?;
        Ok(())
    }
}

impl Handler<Slow> for Expert {
    async fn handle(&mut self, _: Slow, ctx: &mut Context<Self>) -> Result {
        self.0.send("working".to_owned())?;
        ctx.cancelled().await;
        self.0.send("cancelled".to_owned())?;
        Ok(())
    }
}

fn sender(ctx: &Context<Expert>) -> String {
    ctx.sender().map_or("nobody", |sender| sender.path()).to_owned()
}

async fn relay(
    system: &ActorSystem,
) -> Result<(ActorRef<Relay>, ActorRef<Expert>, mpsc::UnboundedReceiver<String>)> {
    let (log, heard) = mpsc::unbounded_channel();
    let expert = system.spawn("expert", move || Expert(log.clone())).await?;
    let target = expert.clone();
    let relay = system.spawn("relay", move || Relay(target.clone())).await?;
    Ok((relay, expert, heard))
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_ask_keeps_sender_deadline_and_the_place_of_its_reply() -> Result {
    let system = system().await;
    let (relay, expert, _heard) = relay(&system).await?;
    let asker = system.spawn("asker", Speaker::default).await?;
    let answer = within(relay.ask(Question(1)).sender(&asker).timeout(HOUR)).await?;
    assert_eq!(answer, "1 from asker, 3600 s left");
    within(expert.stop()).await?;
    let error = within(relay.ask(Question(2))).await.expect_err("nobody answers");
    assert!(matches!(error, AskError::Refused { refusal: Refusal::Stopped, .. }), "{error:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_tell_keeps_its_sender_and_its_order() -> Result {
    let system = system().await;
    let (relay, _expert, mut heard) = relay(&system).await?;
    let teller = system.spawn("teller", Speaker::default).await?;
    for n in 0..100 {
        relay.tell(News(n)).sender(&teller).await?;
    }
    for n in 0..100 {
        assert_eq!(within(heard.recv()).await, Some(format!("{n} from teller")));
    }
    relay.tell(News(100)).await?;
    assert_eq!(within(heard.recv()).await.as_deref(), Some("100 from nobody"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_ask_is_cancelled_where_it_was_forwarded_to() -> Result {
    let system = system().await;
    let (relay, _expert, mut heard) = relay(&system).await?;
    let asking = tokio::spawn(async move { relay.ask(Slow).await.map_err(|e| e.to_string()) });
    assert_eq!(within(heard.recv()).await.as_deref(), Some("working"));
    asking.abort();
    assert_eq!(within(heard.recv()).await.as_deref(), Some("cancelled"));
    Ok(())
}

/// Holds until it is let go, then writes down the numbers in the order in which they come.
struct Counter {
    gate: Gate,
    seen: Vec<u32>,
}

struct Number(u32);
struct Numbers;

rakt::messages! { Number => u32, Numbers => Vec<u32> }

impl Actor for Counter {}

impl Handler<Number> for Counter {
    async fn handle(&mut self, Number(n): Number, _: &mut Context<Self>) -> Result<u32> {
        if n == 0 {
            self.gate.pass().await;
        }
        self.seen.push(n);
        Ok(n)
    }
}

impl Handler<Numbers> for Counter {
    async fn handle(&mut self, _: Numbers, _: &mut Context<Self>) -> Result<Vec<u32>> {
        Ok(self.seen.clone())
    }
}

struct PassOn(ActorRef<Counter>);

impl Actor for PassOn {}

impl Handler<Number> for PassOn {
    async fn handle(&mut self, number: Number, ctx: &mut Context<Self>) -> Result<u32> {
        ctx.forward(&self.0, number).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forwarded_keeps_its_order_however_small_the_mailbox() -> Result {
    let system = system().await;
    for capacity in [1, 2, 16] {
        let gate = Gate::default();
        let its = gate.clone();
        let counter = move || Counter { gate: its.clone(), seen: Vec::new() };
        let mailbox = Mailbox::bounded(capacity);
        let counter = system.spawn(format!("counter{capacity}"), counter).mailbox(mailbox).await?;
        let target = counter.clone();
        let relay = move || PassOn(target.clone());
        let relay = system.spawn(format!("relay{capacity}"), relay).await?;
        let mut asks = Vec::new();
        for n in 0..1000 {
            let relay = relay.clone();
            asks.push(begun(async move { relay.ask(Number(n)).timeout(HOUR).await }).await);
        }
        gate.entered().await;
        gate.open();
        for (n, ask) in (0..).zip(asks) {
            assert_eq!(within(ask).await?, n);
        }
        assert_eq!(within(counter.ask(Numbers)).await?, Vec::from_iter(0..1000));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_relay_whose_target_is_stuck_waits_no_longer_than_its_asker() -> Result {
    let system = system().await;
    let gate = Gate::default();
    let its = gate.clone();
    let counter = move || Counter { gate: its.clone(), seen: Vec::new() };
    let counter = system.spawn("counter", counter).mailbox(Mailbox::bounded(1)).await?;
    let relay = system.spawn("relay", move || PassOn(counter.clone())).await?;
    let held = relay.clone();
    let _held = begun(async move { held.ask(Number(0)).timeout(HOUR).await }).await;
    gate.entered().await;
    let queued = relay.clone();
    let _queued = begun(async move { queued.ask(Number(1)).timeout(HOUR).await }).await;
    let began = tokio::time::Instant::now();
    let error = within(relay.ask(Number(2)).timeout(SECOND)).await.expect_err("it is stuck");
    assert!(matches!(error, AskError::Timeout { .. } | AskError::Refused { .. }), "{error:?}");
    // The relay is free again, though its target is not.
    let error = within(relay.ask(Number(3)).timeout(SECOND)).await.expect_err("it is stuck");
    assert!(matches!(error, AskError::Timeout { .. } | AskError::Refused { .. }), "{error:?}");
    assert!(began.elapsed() <= 2 * SECOND + Duration::from_millis(100));
    Ok(())
}
