//! The worker, tested without a network and without waiting.

use std::time::Duration;

use rakt::StopReason;
use rakt::prelude::*;
use workshop::{Work, Worker};

#[tokio::test(start_paused = true)]
async fn an_idle_worker_is_passivated() -> Result {
    let system = ActorSystem::builder("test").start().await?;
    let hour = Duration::from_secs(3600);
    let worker = system.spawn("worker", Worker::default).passivate_after(hour).await?;
    assert_eq!(worker.ask(Work { job: "the tea".into() }).await?.count, 1);
    assert_eq!(worker.ended().await, StopReason::Passivated);
    Ok(())
}
