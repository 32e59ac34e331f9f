//! Messages that an actor sends itself later.

use std::time::Duration;

use rakt::prelude::*;
use rakt::{Event, Refusal, Timer};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::support::{Gate, event, stopped, within};
use crate::system;

const SECOND: Duration = Duration::from_secs(1);

struct Tick(u32);
struct After(Duration, u32);
struct Every(Duration);
struct Fail;
struct Hold;

rakt::messages! {
    Tick,
    After => Timer,
    Every => Timer,
    Fail,
    Hold,
}

/// Reports each tick, with the time since the clock was made.
struct Clock {
    made: Instant,
    ticks: mpsc::UnboundedSender<(u32, u64)>,
    gate: Gate,
}

impl Actor for Clock {}

impl Handler<Tick> for Clock {
    async fn handle(&mut self, Tick(n): Tick, _: &mut Context<Self>) -> Result {
        self.ticks.send((n, self.made.elapsed().as_secs()))?;
        Ok(())
    }
}

impl Handler<After> for Clock {
    async fn handle(&mut self, After(delay, n): After, ctx: &mut Context<Self>) -> Result<Timer> {
        Ok(ctx.send_after(delay, Tick(n)))
    }
}

impl Handler<Every> for Clock {
    async fn handle(&mut self, Every(interval): Every, ctx: &mut Context<Self>) -> Result<Timer> {
        let mut n = 0;
        Ok(ctx.send_every(interval, move || {
            n += 1;
            Tick(n)
        }))
    }
}

impl Handler<Fail> for Clock {
    async fn handle(&mut self, _: Fail, _: &mut Context<Self>) -> Result {
        Err("on purpose".into())
    }
}

impl Handler<Hold> for Clock {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        Ok(())
    }
}

type Ticks = mpsc::UnboundedReceiver<(u32, u64)>;

async fn clock(system: &ActorSystem, mailbox: Mailbox) -> Result<(ActorRef<Clock>, Ticks, Gate)> {
    let (sender, ticks) = mpsc::unbounded_channel();
    let (made, gate) = (Instant::now(), Gate::default());
    let of_actor = gate.clone();
    let clock = system
        .spawn("clock", move || Clock { made, ticks: sender.clone(), gate: of_actor.clone() })
        .mailbox(mailbox)
        .await?;
    Ok((clock, ticks, gate))
}

async fn silence(ticks: &mut Ticks) {
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(ticks.try_recv().ok(), None);
}

#[tokio::test(start_paused = true)]
async fn a_message_sent_after_a_delay_comes_once() -> Result {
    let (clock, mut ticks, _) = clock(&system().await, Mailbox::default()).await?;
    let timer = within(clock.ask(After(3 * SECOND, 7))).await?;
    assert!(!timer.is_done());
    assert_eq!(within(ticks.recv()).await, Some((7, 3)));
    silence(&mut ticks).await;
    assert!(timer.is_done());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_message_sent_every_interval_comes_again_and_again() -> Result {
    let (clock, mut ticks, _) = clock(&system().await, Mailbox::default()).await?;
    within(clock.ask(Every(2 * SECOND))).await?;
    for n in 1..=5 {
        assert_eq!(within(ticks.recv()).await, Some((n, u64::from(2 * n))));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_timer_is_silent() -> Result {
    let (clock, mut ticks, _) = clock(&system().await, Mailbox::default()).await?;
    within(clock.ask(After(SECOND, 1))).await?.cancel();
    let every = within(clock.ask(Every(SECOND))).await?;
    within(ticks.recv()).await;
    every.cancel();
    silence(&mut ticks).await;
    assert!(every.is_done());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_dropped_timer_goes_on() -> Result {
    let (clock, mut ticks, _) = clock(&system().await, Mailbox::default()).await?;
    drop(within(clock.ask(After(SECOND, 1))).await?);
    assert_eq!(within(ticks.recv()).await, Some((1, 1)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn timers_die_with_a_restart() -> Result {
    let (clock, mut ticks, _) = clock(&system().await, Mailbox::default()).await?;
    let timers =
        [within(clock.ask(After(SECOND, 1))).await?, within(clock.ask(Every(SECOND))).await?];
    clock.tell(Fail).await?;
    silence(&mut ticks).await;
    assert!(timers.iter().all(Timer::is_done));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn timers_die_with_their_actor() -> Result {
    let system = system().await;
    let (clock, mut ticks, _) = clock(&system, Mailbox::default()).await?;
    let timers =
        [within(clock.ask(After(SECOND, 1))).await?, within(clock.ask(Every(SECOND))).await?];
    within(clock.stop()).await?;
    drop(clock);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(within(ticks.recv()).await, None, "the actor is gone, and all it held");
    assert!(timers.iter().all(Timer::is_done));
    assert_eq!(system.dead_letter_count(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn turns_do_not_pile_up_behind_a_slow_handler() -> Result {
    let system = system().await;
    let (clock, mut ticks, gate) = clock(&system, Mailbox::default()).await?;
    within(clock.ask(Every(SECOND))).await?;
    clock.tell(Hold).await?;
    gate.entered().await;
    tokio::time::sleep(10 * SECOND + SECOND / 2).await;
    assert_eq!(clock.queue_len(), Some(1));
    gate.open();
    assert_eq!(within(ticks.recv()).await, Some((1, 10)));
    assert_eq!(within(ticks.recv()).await, Some((2, 11)), "nine turns were left out");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_left_out_while_the_mailbox_is_full_and_a_single_message_waits() -> Result {
    let system = system().await;
    let (clock, mut ticks, gate) = clock(&system, Mailbox::bounded(2)).await?;
    within(clock.ask(Every(SECOND))).await?;
    within(clock.ask(After(5 * SECOND, 100))).await?;
    clock.tell(Hold).await?;
    gate.entered().await;
    clock.tell(Tick(50)).await?;
    clock.tell(Tick(51)).await?;
    tokio::time::sleep(10 * SECOND + SECOND / 2).await;
    assert_eq!(clock.queue_len(), Some(2));
    gate.open();
    assert_eq!(within(ticks.recv()).await, Some((50, 10)));
    assert_eq!(within(ticks.recv()).await, Some((51, 10)));
    assert_eq!(within(ticks.recv()).await, Some((100, 10)), "it has waited for room");
    assert_eq!(within(ticks.recv()).await, Some((11, 11)), "ten turns were left out");
    assert_eq!(system.dead_letter_count(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_single_message_that_is_refused_becomes_a_dead_letter() -> Result {
    let system = system().await;
    let mut events = system.events();
    let (clock, _ticks, gate) =
        clock(&system, Mailbox::bounded(1).overflow(Overflow::Refuse)).await?;
    within(clock.ask(After(5 * SECOND, 100))).await?;
    clock.tell(Hold).await?;
    gate.entered().await;
    clock.tell(Tick(1)).await?;
    let letter = event(&mut events, |event| match event {
        Event::DeadLetter(letter) => Some(letter),
        _ => None,
    })
    .await;
    assert_eq!(letter.reason, Refusal::MailboxFull { capacity: 1 });
    assert!(letter.message.ends_with("Tick"), "{letter:?}");
    gate.open();
    within(clock.stop()).await?;
    stopped(&mut events, "clock").await;
    Ok(())
}
