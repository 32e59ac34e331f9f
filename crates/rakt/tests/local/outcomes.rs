//! Every message has one outcome, whatever happens to the actor meanwhile, on several threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{AskError, Refusal};

use crate::support::within;
use crate::{drained, system};

const ROUNDS: u64 = 40;
const SENDERS: u64 = 4;
const MESSAGES: u64 = 250;

/// The handler fails for each tenth, one way or the other.
#[derive(Clone, Copy)]
struct Work(u64);
struct Note;

rakt::messages! { Work => u64, Note }

#[derive(Clone, Default)]
struct Counts {
    handled: Arc<AtomicU64>,
    noted: Arc<AtomicU64>,
}

struct Worker(Counts);

impl Actor for Worker {}

impl Handler<Work> for Worker {
    async fn handle(&mut self, Work(n): Work, _: &mut Context<Self>) -> Result<u64> {
        self.0.handled.fetch_add(1, Ordering::Relaxed);
        match n % 20 {
            9 => tokio::task::yield_now().await,
            10 => return Err("on purpose".into()),
            0 => panic!("on purpose"),
            _ => {}
        }
        Ok(n)
    }
}

impl Handler<Note> for Worker {
    async fn handle(&mut self, _: Note, _: &mut Context<Self>) -> Result {
        self.0.noted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[derive(Debug, Default, PartialEq)]
struct Outcomes {
    replied: u64,
    failed: u64,
    refused: u64,
    not_sent: u64,
}

async fn ask_all_the_time(worker: ActorRef<Worker>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for n in 1..=MESSAGES {
        match worker.ask(Work(n)).timeout(Duration::from_secs(3600)).await {
            Ok(reply) => {
                assert_eq!(reply, n);
                outcomes.replied += 1;
            }
            Err(AskError::Refused { refusal: Refusal::HandlerFailed { .. }, .. }) => {
                outcomes.failed += 1;
            }
            Err(AskError::Refused { refusal: Refusal::Stopped, .. }) => outcomes.refused += 1,
            Err(AskError::NotSent { message, .. }) => {
                assert_eq!(message.0, n);
                outcomes.not_sent += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_ask_ends_once_while_the_actor_fails_restarts_and_stops() -> Result {
    let system = system().await;
    for round in 0..ROUNDS {
        let counts = Counts::default();
        let of_actor = counts.clone();
        let directive = [Directive::Restart, Directive::Resume, Directive::Stop];
        let worker = system
            .spawn("worker", move || Worker(of_actor.clone()))
            .mailbox(Mailbox::bounded(2))
            .supervision(
                Supervision::always(directive[round as usize % 3])
                    .max_restarts(u32::MAX, Duration::from_secs(1)),
            )
            .await?;
        let senders: Vec<_> =
            (0..SENDERS).map(|_| tokio::spawn(ask_all_the_time(worker.clone()))).collect();
        for _ in 0..round {
            // An actor that has stopped says so.
            let _ = within(worker.respawn()).await;
        }
        let mut all = Outcomes::default();
        if round % 2 == 1 {
            within(worker.stop()).await?;
        }
        for sender in senders {
            let outcomes = within(sender).await?;
            all.replied += outcomes.replied;
            all.failed += outcomes.failed;
            all.refused += outcomes.refused;
            all.not_sent += outcomes.not_sent;
        }
        assert_eq!(all.replied + all.failed, counts.handled.load(Ordering::Relaxed), "{all:?}");
        assert_eq!(
            all.replied + all.failed + all.refused + all.not_sent,
            SENDERS * MESSAGES,
            "{all:?}"
        );
        within(worker.stop()).await?;
        assert_eq!(system.actor_count(), 0);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_accepted_tell_is_handled_or_a_dead_letter() -> Result {
    for round in 0..ROUNDS {
        let system = system().await;
        let counts = Counts::default();
        let of_actor = counts.clone();
        let overflow = [Overflow::Wait, Overflow::Refuse, Overflow::DropOldest];
        let worker = system
            .spawn("worker", move || Worker(of_actor.clone()))
            .mailbox(Mailbox::bounded(3).overflow(overflow[round as usize % 3]))
            .await?;
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let worker = worker.clone();
                tokio::spawn(async move {
                    let mut accepted = 0;
                    for _ in 0..MESSAGES {
                        accepted += u64::from(worker.tell(Note).await.is_ok());
                    }
                    accepted
                })
            })
            .collect();
        if round % 2 == 1 {
            within(worker.respawn()).await?;
            within(worker.stop()).await?;
        }
        let mut accepted = 0;
        for sender in senders {
            accepted += within(sender).await?;
        }
        drained(&worker).await;
        within(worker.stop()).await?;
        let noted = counts.noted.load(Ordering::Relaxed);
        assert_eq!(accepted, noted + system.dead_letter_count(), "round {round}");
    }
    Ok(())
}

/// Ends as soon as it is asked to, and is watched by many.
struct Watchman(tokio::sync::mpsc::UnboundedSender<()>);
struct Watch(ActorRef);
rakt::messages! { Watch }

impl Actor for Watchman {
    async fn terminated(&mut self, _: &Terminated, _: &mut Context<Self>) -> Result {
        Ok(self.0.send(())?)
    }
}

impl Handler<Watch> for Watchman {
    async fn handle(&mut self, Watch(target): Watch, ctx: &mut Context<Self>) -> Result {
        ctx.watch(&target);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watch_that_meets_the_end_hears_of_it_once() -> Result {
    let system = system().await;
    let (heard, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let watchman = system.spawn("watchman", move || Watchman(heard.clone())).await?;
    for _ in 0..500 {
        let worker = system.spawn("worker", || Worker(Counts::default())).await?;
        let (target, watcher) = (worker.untyped(), watchman.clone());
        let watching = tokio::spawn(async move { watcher.ask(Watch(target)).await });
        within(worker.stop()).await?;
        within(watching).await??;
        within(ends.recv()).await.ok_or("the watchman lives")?;
    }
    within(watchman.stop()).await?;
    assert!(ends.try_recv().is_err());
    Ok(())
}
