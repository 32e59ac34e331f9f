//! Runtimes that lack something, and threads that have none.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rakt::prelude::*;
use rakt::{SpawnError, StartError, TellError};

use crate::support::Gate;

struct Hold;
struct Double(u64);

rakt::messages! { Hold, Double => u64 }

#[derive(Default)]
struct Worker(Gate);

impl Actor for Worker {}

impl Handler<Hold> for Worker {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.0.pass().await;
        Ok(())
    }
}

impl Handler<Double> for Worker {
    async fn handle(&mut self, Double(n): Double, _: &mut Context<Self>) -> Result<u64> {
        Ok(2 * n)
    }
}

#[test]
fn a_runtime_without_timers_is_refused_at_the_start() -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let started = runtime.block_on(ActorSystem::builder("tests").start());
    assert!(matches!(started, Err(StartError::NoTimers)), "{started:?}");
    Ok(())
}

#[cfg(feature = "remote")]
#[test]
fn remoting_on_a_runtime_without_io_is_refused_at_the_start() -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let config = remote::Config::new("127.0.0.1", 0);
    let started = runtime.block_on(ActorSystem::builder("tests").remoting(config).start());
    let error = started.expect_err("it cannot listen");
    assert!(rakt::error::Chain(&error).to_string().ends_with("`enable_io` or `enable_all`"));
    Ok(())
}

/// A worker that is held, with a full mailbox, and what holds it; on a runtime that lives as long.
fn held() -> Result<(tokio::runtime::Runtime, ActorRef<Worker>, Gate)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let gate = Gate::default();
    let its = gate.clone();
    let worker = runtime.block_on(async {
        let system = ActorSystem::builder("tests").start().await?;
        let worker = system.spawn("worker", move || Worker(its.clone()));
        let worker = worker.mailbox(Mailbox::bounded(1)).await?;
        worker.tell(Hold).await?;
        gate.entered().await;
        worker.tell(Double(0)).await?;
        Result::<_>::Ok(worker)
    })?;
    Ok((runtime, worker, gate))
}

/// What an executor without a runtime does, for one future.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Thread(std::thread::Thread);
    impl std::task::Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Thread(std::thread::current())).into();
    let mut cx = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_thread_without_a_runtime_can_wait_for_room_for_replies_and_for_limits() -> Result {
    let (_runtime, worker, gate) = held()?;
    let limit = Duration::from_millis(100);
    let refused = block_on(worker.tell(Double(1)).timeout(limit));
    let Err(TellError { refusal, .. }) = refused else { return Err("it is full".into()) };
    assert_eq!(refusal, Refusal::MailboxFull { capacity: 1 });
    let asked = block_on(worker.ask(Double(1)).timeout(limit));
    asked.expect_err("it is full");
    gate.open();
    assert_eq!(block_on(worker.ask(Double(21)))?, 42);
    block_on(worker.stop())?;
    Ok(())
}

#[test]
fn code_that_is_not_async_tells_and_asks() -> Result {
    let (_runtime, worker, gate) = held()?;
    let other = worker.clone();
    let told = std::thread::spawn(move || other.blocking_tell(Double(1)));
    gate.open();
    told.join().expect("it does not panic")?;
    assert_eq!(worker.blocking_ask(Double(21))?, 42);
    Ok(())
}

#[derive(Message)]
#[rakt(reply = (tokio::runtime::Id, tokio::runtime::Id))]
struct Where;

/// Notes the runtime that it has started in.
struct Settler(Option<tokio::runtime::Id>);

impl Actor for Settler {
    async fn started(&mut self, _: &mut Context<Self>) -> Result {
        self.0 = Some(tokio::runtime::Handle::current().id());
        Ok(())
    }
}

impl Handler<Where> for Settler {
    async fn handle(
        &mut self,
        _: Where,
        _: &mut Context<Self>,
    ) -> Result<(tokio::runtime::Id, tokio::runtime::Id)> {
        Ok((self.0.ok_or("it has not started")?, tokio::runtime::Handle::current().id()))
    }
}

#[test]
fn an_actor_starts_in_the_runtime_of_its_spawner_and_then_runs_in_that_of_its_system() -> Result {
    let new = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let (of_system, of_spawner) = (new()?, new()?);
    let system = of_system.block_on(ActorSystem::builder("tests").start())?;
    let settler = of_spawner.block_on(system.spawn("settler", || Settler(None)).into_future())?;
    let (of_system, of_spawner) = (of_system.handle().id(), of_spawner.handle().id());
    assert_eq!(settler.blocking_ask(Where)?, (of_spawner, of_system));
    block_on(settler.respawn())?;
    assert_eq!(settler.blocking_ask(Where)?, (of_system, of_system), "a restart is its own");
    Ok(())
}

#[test]
fn a_system_ends_with_the_runtime_it_was_started_in() -> Result {
    let (runtime, worker, _gate) = held()?;
    let (system, mut events) = runtime.block_on(async {
        let system = ActorSystem::builder("other").start().await?;
        let events = system.events();
        Result::<_>::Ok((system, events))
    })?;
    let resting =
        runtime.block_on(system.spawn("resting", || Worker(Gate::default())).into_future())?;
    drop(runtime);
    // The one was at work, the other one at rest.
    for worker in [worker, resting] {
        let refused = block_on(worker.tell(Double(1)));
        let error = refused.expect_err("it is over");
        assert_eq!(error.refusal, Refusal::Stopped);
        let refused = block_on(worker.ask(Double(1)));
        let error = refused.expect_err("it is over");
        assert_eq!(error.refusal(), Some(&Refusal::Stopped));
    }
    let spawned = block_on(system.spawn("late", || Worker(Gate::default())).into_future());
    assert!(matches!(spawned, Err(SpawnError::ShuttingDown { .. })), "{spawned:?}");
    // Whoever follows them comes to their end.
    while block_on(events.next()).is_some() {}
    Ok(())
}
