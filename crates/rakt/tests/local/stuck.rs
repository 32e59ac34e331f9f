//! Who hears of a handler that does not come to its end?

use std::time::Duration;

use rakt::prelude::*;
use rakt::{Event, Events};
use tokio::time::Instant;

use crate::support::lines::Lines;
use crate::support::{Gate, event, within};

const SECOND: Duration = Duration::from_secs(1);

struct Waiter(Gate);

impl Actor for Waiter {}

/// Waits until the test lets it go on.
struct Wait;

/// Waits for a while.
struct Sleep(Duration);

rakt::messages! { Wait, Sleep }

impl Handler<Wait> for Waiter {
    async fn handle(&mut self, _: Wait, _: &mut Context<Self>) -> Result {
        self.0.pass().await;
        Ok(())
    }
}

impl Handler<Sleep> for Waiter {
    async fn handle(&mut self, Sleep(time): Sleep, _: &mut Context<Self>) -> Result {
        tokio::time::sleep(time).await;
        Ok(())
    }
}

async fn waiter(name: &str) -> (ActorSystem, ActorRef<Waiter>, Gate, Events) {
    let (system, gate) = (crate::system().await, Gate::default());
    let own = gate.clone();
    let waiter = system.spawn(name, move || Waiter(own.clone())).await.expect("it starts");
    let events = system.events();
    (system, waiter, gate, events)
}

/// The next handler that is told of: its actor, its message, and for how long it waits.
async fn stuck(events: &mut Events) -> (String, String, Duration) {
    event(events, |event| match event {
        Event::ActorStuck { path, message, stuck_for } => Some((path, message, stuck_for)),
        _ => None,
    })
    .await
}

/// Whether no handler is told of for a while.
async fn is_quiet(events: &mut Events) -> bool {
    tokio::time::timeout(50 * SECOND, stuck(events)).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_for_ten_seconds_is_told_of_once() -> Result {
    let (lines, _guard) = Lines::capture();
    let (_system, waiter, gate, mut events) = waiter("waiter").await;
    for _ in 0..2 {
        within(waiter.tell(Wait)).await?;
        gate.entered().await;
        let start = Instant::now();
        let (path, message, stuck_for) = stuck(&mut events).await;
        assert_eq!((&*path, &*message), ("waiter", "local::stuck::Wait"));
        assert_eq!(stuck_for, 10 * SECOND);
        let told_after = start.elapsed();
        assert!((10 * SECOND..=12 * SECOND + SECOND / 10).contains(&told_after), "{told_after:?}");
        assert!(is_quiet(&mut events).await, "once for each message");
        gate.open();
        within(waiter.ask(Sleep(Duration::ZERO))).await?;
    }
    let line = lines.all().into_iter().find(|line| line.contains("an actor is stuck"));
    let line = line.ok_or("it is logged")?;
    for part in ["WARN", "actor=waiter", "message_type=\"local::stuck::Wait\"", "stuck_for=10s"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn handlers_that_come_to_their_ends_are_not_told_of_however_many_follow_each_other() -> Result
{
    let (_system, waiter, _gate, mut events) = waiter("busy").await;
    let asking = tokio::spawn(async move {
        for n in 0..100 {
            let time = Duration::from_millis(if n % 10 == 0 { 9_500 } else { 100 });
            waiter.ask(Sleep(time)).timeout(60 * SECOND).await.expect("it comes to its end");
        }
    });
    assert!(is_quiet(&mut events).await);
    asking.await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn many_that_wait_at_once_are_all_told_of_and_their_log_is_limited() -> Result {
    const COUNT: usize = 1000;
    let (lines, _guard) = Lines::capture();
    let system = crate::system().await;
    let mut events = system.events();
    for n in 0..COUNT {
        let gate = Gate::default();
        let waiter = system.spawn(format!("waiter-{n}"), move || Waiter(gate.clone())).await?;
        waiter.tell(Wait).await?;
    }
    let mut told = std::collections::BTreeSet::new();
    while told.len() < COUNT {
        assert!(told.insert(stuck(&mut events).await.0), "once");
    }
    let logged = lines.all().iter().filter(|line| line.contains("an actor is stuck")).count();
    assert!((1..=100).contains(&logged), "{logged}");
    Ok(())
}
