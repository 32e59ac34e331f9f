//! What becomes of requests under way when a node shuts down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use rakt::prelude::*;
use rakt::{AskError, Refusal};
use rakt_wire::native::{CloseCode, Outbound, Role};
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::memory::Memory;
use crate::messages::Echo;
use crate::nodes::{config, node_with, remote};
use crate::probe::{Blob, Hold, Number, Probe, Size, blob, echo, number};
use crate::support::{begun, within};

const SECOND: Duration = Duration::from_secs(1);
type AskResult = std::result::Result<Echo, AskError<Echo>>;

/// Longer than any test: no request ends because its time is up.
const LONG: Duration = Duration::from_secs(600);

/// What a worker has handled, of each kind.
#[derive(Clone, Default)]
struct Handled {
    asks: Arc<AtomicU64>,
    tells: Arc<AtomicU64>,
}

struct Worker {
    handled: Handled,
    takes: Duration,
}

impl Actor for Worker {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Number>().remote::<Echo>().remote::<Blob>();
    }
}

impl Handler<Echo> for Worker {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Result<Echo> {
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        self.handled.asks.fetch_add(1, Ordering::Relaxed);
        Ok(echo)
    }
}

impl Handler<Blob> for Worker {
    async fn handle(&mut self, blob: Blob, _: &mut Context<Self>) -> Result<Size> {
        self.handled.asks.fetch_add(1, Ordering::Relaxed);
        Ok(Size { len: blob.bytes.len() as u64, bytes: Vec::new() })
    }
}

impl Handler<Number> for Worker {
    async fn handle(&mut self, _: Number, _: &mut Context<Self>) -> Result {
        self.handled.tells.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// How requests ended.
#[derive(Debug, Default)]
struct Ended {
    answered: u64,
    confirmed: u64,
    refused: u64,
    /// Nobody can say whether they were handled.
    unknown: Vec<String>,
}

impl Ended {
    fn note<M: 'static>(&mut self, error: &AskError<M>) {
        match error.is_safe_to_retry() {
            true => self.refused += 1,
            false => self.unknown.push(rakt::error::Chain(error).to_string()),
        }
    }

    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.confirmed += other.confirmed;
        self.refused += other.refused;
        self.unknown.extend(other.unknown);
    }
}

/// Asks a worker one thing after the other, until it is refused.
async fn load(worker: ActorRef<Worker>, nth: u64) -> Ended {
    let mut ended = Ended::default();
    while ended.refused == 0 && ended.unknown.is_empty() {
        match nth % 4 {
            0 => match worker.tell(number(nth)).timeout(LONG).confirmed().await {
                Ok(()) => ended.confirmed += 1,
                Err(error) => ended.note(&error),
            },
            1 if nth % 8 == 1 => match worker.ask(blob(200_000)).timeout(LONG).await {
                Ok(_) => ended.answered += 1,
                Err(error) => ended.note(&error),
            },
            _ => match worker.ask(echo("?")).timeout(LONG).await {
                Ok(_) => ended.answered += 1,
                Err(error) => ended.note(&error),
            },
        }
    }
    ended
}

/// Shuts a node down at some moment of the load, over a line of some speed.
async fn shut_down_under_load(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let network = Memory::with_rate(random.u32(200_000..20_000_000));
    let there = node_with("there", config().transport(network.clone())).await;
    let here = node_with("here", config().transport(network.clone())).await;
    let (handled, mut asking) = (Handled::default(), JoinSet::new());
    for name in ["a", "b", "c"] {
        let (takes, of_worker) = (Duration::from_micros(random.u64(0..300)), handled.clone());
        let worker = move || Worker { handled: of_worker.clone(), takes };
        there.spawn(name, worker).await.expect("it starts");
        let worker: ActorRef<Worker> = remote(&here, &there, name).await;
        (0..32).for_each(|nth| drop(asking.spawn(load(worker.clone(), nth))));
    }
    tokio::time::sleep(Duration::from_micros(random.u64(0..300_000))).await;
    let report = within(there.shutdown()).await;
    assert!(report.unfinished.is_empty(), "seed {seed}: {report:?}");
    let mut ended = Ended::default();
    while let Some(one) = within(asking.join_next()).await {
        ended.add(one.expect("it does not panic"));
    }
    assert!(ended.unknown.is_empty(), "seed {seed}: {ended:?}");
    let handled = (handled.asks.load(Ordering::Relaxed), handled.tells.load(Ordering::Relaxed));
    assert_eq!(handled, (ended.answered, ended.confirmed), "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn no_request_that_a_node_did_not_handle_ends_as_unknown_when_it_shuts_down() {
    for seed in 0..30 {
        shut_down_under_load(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_say_when_it_has_sent_its_last_is_waited_for_two_seconds() -> Result {
    let network = Memory::default();
    let there = node_with("there", config().transport(network.clone())).await;
    let (mut stream, session) = crate::farewell::dial(&network, there.advertised().1).await?;
    let start = Instant::now();
    let shutdown = tokio::spawn(async move { there.shutdown().await });
    let mut read = BytesMut::new();
    while within(stream.read_buf(&mut read)).await? > 0 {}
    let waited = start.elapsed();
    assert!(waited >= 2 * SECOND && waited <= 3 * SECOND, "{waited:?}");
    let mut expected = Outbound::new(Role::Acceptor, session.limits);
    let (code, text) = (CloseCode::ShuttingDown, "the node is shutting down");
    expected.goaway(code, text);
    expected.close(code, text);
    let mut bytes = Vec::new();
    expected.poll_transmit(&mut bytes);
    assert_eq!(read, bytes);
    drop(stream);
    within(shutdown).await?;
    Ok(())
}

/// A node that shuts down, while two requests of its own are at another that holds them.
async fn shut_down_asking(opens: bool) -> (AskResult, AskResult, Duration) {
    let network = Memory::default();
    let there = node_with("there", config().transport(network.clone())).await;
    let here = node_with("here", config().transport(network.clone())).await;
    let (_, seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.tell(Hold {})).await.expect("it is sent");
    seen.gate.entered().await;
    let asked = begun(probe.ask(echo("?")).timeout(LONG)).await;
    let start = Instant::now();
    let shutdown = begun(here.shutdown()).await;
    let late = probe.ask(echo("too late")).timeout(LONG).await;
    if opens {
        seen.gate.open();
    }
    let (asked, _) = within(async { tokio::join!(asked, shutdown) }).await;
    (asked, late, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_node_that_shuts_down_are_answered_before_it_goes() {
    let (asked, late, took) = shut_down_asking(true).await;
    assert_eq!(asked.expect("it is answered"), echo("?"));
    let late = late.expect_err("the node shuts down");
    assert!(matches!(late, AskError::NotSent { refusal: Refusal::Closed, .. }), "{late}");
    assert!(took < SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_shuts_down_waits_two_seconds_for_answers_to_its_requests() {
    let (asked, _, took) = shut_down_asking(false).await;
    let asked = asked.expect_err("it is not answered");
    assert!(matches!(asked, AskError::ConnectionLost { .. }), "{asked}");
    assert!(took >= 2 * SECOND && took <= 3 * SECOND, "{took:?}");
}

/// Has a task reply, after some time, and says when it was asked.
struct Later(Duration, Arc<Notify>);

impl Actor for Later {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>();
    }
}

impl Handler<Echo> for Later {
    async fn handle(&mut self, echo: Echo, ctx: &mut Context<Self>) -> Result<Echo> {
        let (later, deferred) = ctx.defer();
        self.1.notify_one();
        let after = self.0;
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            later.send(echo);
        });
        deferred
    }
}

/// A node that shuts down, while it owes a peer a reply that is given after some time.
async fn shut_down_owing(after: Duration) -> AskResult {
    let network = Memory::default();
    let there = node_with("there", config().transport(network.clone())).await;
    let here = node_with("here", config().transport(network.clone())).await;
    let is_asked = Arc::new(Notify::new());
    let told = is_asked.clone();
    there.spawn("later", move || Later(after, told.clone())).await.expect("it starts");
    let later: ActorRef<Later> = remote(&here, &there, "later").await;
    let asking = tokio::spawn(async move { later.ask(echo("?")).timeout(LONG).await });
    within(is_asked.notified()).await;
    within(there.shutdown()).await;
    within(asking).await.expect("it does not panic")
}

#[tokio::test(start_paused = true)]
async fn a_node_that_shuts_down_waits_two_seconds_for_replies_that_tasks_still_give() {
    let asked = shut_down_owing(SECOND + SECOND / 2).await;
    assert_eq!(asked.expect("it is answered"), echo("?"));
    let error = shut_down_owing(3 * SECOND).await.expect_err("that is too late");
    assert!(matches!(error, AskError::ConnectionLost { .. }), "{error}");
}
