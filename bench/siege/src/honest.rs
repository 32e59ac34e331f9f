//! An honest client beside the strangers: it asks an actor in a loop, and now and then a newcomer does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rakt::prelude::*;
use rakt::remote::Client;
use tokio::sync::oneshot;

use crate::Result;
use crate::node::{CALM, Echo, SYSTEM};
use crate::over::Over;

/// How long an ask may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two asks, and between two newcomers.
const PAUSE: Duration = Duration::from_micros(500);
const NEWCOMER: Duration = Duration::from_millis(200);

/// What the honest have seen since they were last asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// How long each ask took.
    times: Vec<Duration>,
    /// Those of newcomers that were not served, and other refusals.
    pub(crate) refusals: Vec<String>,
}

/// Ends when it is dropped.
pub(crate) struct Honest {
    seen: Arc<Mutex<Seen>>,
    _stop: oneshot::Sender<()>,
}

impl Honest {
    /// In a thread of its own, so that it waits for nobody but the node.
    pub(crate) fn start(port: u16, over: &'static Over) -> Result<Self> {
        let seen = Arc::<Mutex<Seen>>::default();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn({
            let seen = seen.clone();
            move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = regular(port, over, &seen) => {}
                        () = newcomers(port, over, &seen) => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        Ok(Self { seen, _stop: stop })
    }

    /// What has been seen since this was called before.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut lock(&self.seen))
    }
}

impl Seen {
    /// The time that one ask of a hundred exceeds.
    pub(crate) fn p99(&mut self) -> Duration {
        self.times.sort_unstable();
        let at = self.times.len() * 99 / 100;
        self.times.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn asks(&self) -> usize {
        self.times.len()
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note(seen: &Mutex<Seen>, took: Duration, answer: Result<(), String>) {
    let mut seen = lock(seen);
    seen.times.push(took);
    seen.refusals.extend(answer.err());
}

async fn ask(client: &Client, port: u16) -> Result<(), String> {
    let address = Address::new(CALM, SYSTEM, "127.0.0.1", port).map_err(|e| e.to_string())?;
    let echo = Echo { payload: b"honest".as_slice().into() };
    let answer = client.ask(&address, echo).timeout(PATIENCE).await;
    answer.map(drop).map_err(|error| rakt::error::Chain(&error).to_string())
}

async fn regular(port: u16, over: &Over, seen: &Mutex<Seen>) {
    let Ok(client) = Client::new("honest", over.client()) else { return };
    loop {
        let started = Instant::now();
        let answer = ask(&client, port).await;
        note(seen, started.elapsed(), answer);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn newcomers(port: u16, over: &Over, seen: &Mutex<Seen>) {
    loop {
        tokio::time::sleep(NEWCOMER).await;
        let Ok(client) = Client::new("newcomer", over.client()) else { return };
        if let Err(refusal) = ask(&client, port).await {
            lock(seen).refusals.push(format!("a newcomer: {refusal}"));
        }
        client.close().await;
    }
}
