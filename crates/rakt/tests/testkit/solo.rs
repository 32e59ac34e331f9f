//! What can be seen of one actor alone.

use rakt::StopReason;
use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::testkit::{Probe, Solo, within};

use crate::{Add, Counter, MS, panic_of};

/// Counts down by messages to itself, fails at 13, and tells whoever it was given of the end.
struct Countdown {
    at: u32,
    done: ActorRef,
}

#[derive(Message)]
struct From(u32);

#[derive(Message)]
struct Done;

impl Actor for Countdown {}

impl Handler<From> for Countdown {
    async fn handle(&mut self, From(n): From, ctx: &mut Context<Self>) -> Result {
        self.at = n;
        match n {
            0 => ctx.tell(&self.done, Done).await?,
            13 => return Err("an unlucky number".into()),
            n => ctx.tell(&ctx.me(), From(n - 1)).await?,
        }
        Ok(())
    }
}

/// With a probe for its partner.
async fn countdown(directive: Directive) -> (Solo<Countdown>, Probe<Done>) {
    let partners = ActorSystem::builder("partners").start().await.expect("a system starts");
    let done = Probe::spawn(&partners, "done").await.expect("the name is free");
    let reference = done.actor();
    let factory = move || Countdown { at: 99, done: reference.clone() };
    let options =
        |spawn: rakt::Spawn<'static, _>| spawn.supervision(Supervision::always(directive));
    (Solo::with(factory, options).await.expect("it starts"), done)
}

#[tokio::test(start_paused = true)]
async fn replies_and_state_are_those_after_what_was_sent() -> Result {
    let counter = Solo::start(Counter::default).await?;
    counter.tell(Add { n: 1 }).await?;
    assert_eq!(counter.state(|counter| counter.0).await, 1);
    assert_eq!(counter.ask(Add { n: 2 }).await?, 3);
    assert_eq!((counter.system().actor_count(), counter.failures()), (1, vec![]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_is_idle_when_it_has_handled_what_it_sends_itself() -> Result {
    let (countdown, mut done) = countdown(Directive::Stop).await;
    countdown.tell(From(12)).await?;
    countdown.idle().await;
    assert_eq!(countdown.state(|countdown| countdown.at).await, 0);
    assert_eq!(done.so_far().len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_has_a_look_wait_for_its_place() -> Result {
    for overflow in [Overflow::Wait, Overflow::Refuse] {
        let mailbox = Mailbox::bounded(1).overflow(overflow);
        let counter = Solo::with(Counter::default, |spawn| spawn.mailbox(mailbox)).await?;
        counter.tell(Add { n: 1 }).await?;
        assert_eq!(counter.state(|counter| counter.0).await, 1);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn faults_and_what_supervision_chose_are_seen() -> Result {
    for (directive, at) in [(Directive::Resume, 13), (Directive::Restart, 99)] {
        let (countdown, mut done) = countdown(directive).await;
        countdown.tell(From(20)).await?;
        countdown.idle().await;
        let failures = countdown.failures();
        let seen = failures.iter().map(|failure| (failure.fault.as_str(), failure.directive));
        assert_eq!(seen.collect::<Vec<_>>(), [("an unlucky number", directive)]);
        assert_eq!(countdown.state(|countdown| countdown.at).await, at);
        done.expect_no_message(MS).await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_takes_no_messages_is_idle_and_shows_no_state() -> Result {
    let (suspended, _done) = countdown(Directive::Suspend).await;
    suspended.tell(From(13)).await?;
    suspended.idle().await;
    assert!(suspended.is_suspended());
    let text = panic_of(async move { suspended.state(|_| ()).await }).await;
    assert!(text.contains("only the state of an actor that takes messages"), "{text}");

    let (stopped, _done) = countdown(Directive::Stop).await;
    stopped.tell(From(13)).await?;
    stopped.idle().await;
    assert!(!stopped.is_suspended());
    let reason = within(stopped.actor().ended()).await;
    assert_eq!(reason, StopReason::Failed("an unlucky number".into()));
    Ok(())
}
