//! A pool of workers on another node, fed with as many jobs as it can hold and no more.
//!
//! The pool starts its workers over there by the name of their kind, each with an argument that says
//! what machine it is. It keeps two jobs under way to each worker: one to work on, one at hand. Who is
//! slow gets fewer jobs, and nothing piles up anywhere, however many jobs there are. A job that failed
//! is given out once more: counting primes twice harms nobody.
//!
//! `cargo run --release --example workers`

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rakt::prelude::*;
use rakt::{AskError, Refusal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Jobs under way to one worker.
const UNDER_WAY: u32 = 2;
/// Numbers that one job looks at.
const JOB_LEN: u32 = 10_000;
/// Time between two pictures of the progress.
const FRAME: Duration = Duration::from_millis(50);

/// What machine a worker is; the argument of its kind.
#[derive(Clone, Copy, PartialEq, prost::Message, rakt::Message)]
#[rakt(name = "workers.Machine")]
struct Machine {
    /// What it needs for a job besides the work itself, in milliseconds.
    #[prost(uint32, tag = "1")]
    overhead: u32,
    /// It fails at every job with this number; 0 for never.
    #[prost(uint32, tag = "2")]
    trips_at: u32,
}

/// Asks how many primes there are from one number up to, not including, another.
#[derive(Clone, Copy, PartialEq, prost::Message, rakt::Message)]
#[rakt(name = "workers.CountPrimes", reply = u32)]
struct CountPrimes {
    #[prost(uint32, tag = "1")]
    from: u32,
    #[prost(uint32, tag = "2")]
    to: u32,
}

struct Worker {
    machine: Machine,
    jobs: u32,
}

impl Actor for Worker {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<CountPrimes>();
    }
}

impl Handler<CountPrimes> for Worker {
    async fn handle(&mut self, job: CountPrimes, _: &mut Context<Self>) -> Result<u32> {
        self.jobs += 1;
        if self.jobs == self.machine.trips_at {
            return Err("tripped over a cable".into());
        }
        tokio::time::sleep(Duration::from_millis(self.machine.overhead.into())).await;
        // Where a handler computes for long, others should not have to wait for the thread.
        Ok(tokio::task::spawn_blocking(move || count_primes(job)).await?)
    }
}

fn count_primes(job: CountPrimes) -> u32 {
    let is_prime = |n: &u32| match n {
        0 | 1 => false,
        2 | 3 => true,
        n if n % 2 == 0 || n % 3 == 0 => false,
        n => (5..).step_by(6).take_while(|d| d * d <= *n).all(|d| n % d != 0 && n % (d + 2) != 0),
    };
    (job.from..job.to).filter(is_prime).count() as u32
}

/// The node that the workers live on. Peers may start workers there, and each that fails is restarted.
async fn workshop() -> Result<ActorSystem> {
    let worker = Kind::with_argument(|machine: &Machine| Worker { machine: *machine, jobs: 0 })
        .supervision(Supervision::default().max_restarts(1_000, Duration::from_secs(60)));
    let system = ActorSystem::builder("workshop")
        .register("Worker", worker)
        .remoting(remote::Config::new("127.0.0.1", 0))
        .start()
        .await?;
    println!("{}", system.exposed());
    Ok(system)
}

/// What is left to do.
struct Jobs {
    next: AtomicU32,
    limit: u32,
    /// Jobs that failed and are to be given out once more.
    again: Mutex<Vec<CountPrimes>>,
}

impl Jobs {
    fn take(&self) -> Option<CountPrimes> {
        if let Some(job) = self.again.lock().expect("nobody panics with it").pop() {
            return Some(job);
        }
        let from = self.next.fetch_add(JOB_LEN, Ordering::Relaxed);
        let to = from.saturating_add(JOB_LEN).min(self.limit);
        (from < to).then_some(CountPrimes { from, to })
    }

    fn put_back(&self, job: CountPrimes) {
        self.again.lock().expect("nobody panics with it").push(job);
    }
}

/// One job came to an end.
struct Ended {
    worker: String,
    /// `None` if the worker failed.
    primes: Option<u32>,
}

/// Gives jobs to a worker, the next one when the last is done, until none is left.
async fn feed(worker: ActorRef<Worker>, jobs: Arc<Jobs>, ended: mpsc::Sender<Ended>) -> Result {
    while let Some(job) = jobs.take() {
        let primes = match worker.ask(job).timeout(Duration::from_secs(30)).await {
            Ok(primes) => Some(primes),
            // The worker failed, and there is a new one in its place.
            Err(AskError::Refused { refusal: Refusal::HandlerFailed { .. }, .. }) => {
                jobs.put_back(job);
                None
            }
            Err(error) => return Err(error.into()),
        };
        ended.send(Ended { worker: worker.path().to_owned(), primes }).await?;
    }
    Ok(())
}

/// What the pool knows of its work.
#[derive(Default)]
struct Tally {
    total: u32,
    done: BTreeMap<String, u32>,
    failed: u32,
    primes: u32,
}

impl Tally {
    fn count(&mut self, ended: Ended) {
        match ended.primes {
            Some(primes) => {
                self.primes += primes;
                *self.done.entry(ended.worker).or_default() += 1;
            }
            None => self.failed += 1,
        }
    }

    fn jobs_done(&self) -> u32 {
        self.done.values().sum()
    }

    /// `[########------------]  40 % | worker-1  212 | worker-2  208 | ...`
    fn line(&self) -> String {
        let filled = (self.jobs_done() * 20 / self.total) as usize;
        let percent = self.jobs_done() * 100 / self.total;
        let mut line = format!("[{:-<20}] {percent:>3} %", "#".repeat(filled));
        for (worker, jobs) in &self.done {
            line += &format!(" | {worker} {jobs:>4}");
        }
        format!("{line} | {} again", self.failed)
    }
}

/// Counts the primes below `limit` with workers on another node.
async fn run(limit: u32) -> Result<u32> {
    let workshop = workshop().await?;
    let (host, port) = workshop.advertised();
    let system =
        ActorSystem::builder("pool").remoting(remote::Config::new("127.0.0.1", 0)).start().await?;

    let fast = Machine { overhead: 2, trips_at: 0 };
    let slow = Machine { overhead: 12, trips_at: 0 };
    let clumsy = Machine { overhead: 2, trips_at: 90 };
    let mut workers = Vec::new();
    for (number, machine) in (1..).zip([fast, fast, slow, clumsy]) {
        let spawn = system.node(host, port).spawn::<Worker>(&format!("worker-{number}"), "Worker");
        workers.push(spawn.argument(&machine).await?);
    }

    let jobs = Arc::new(Jobs { next: AtomicU32::new(0), limit, again: Mutex::default() });
    let (sender, mut ended) = mpsc::channel(16);
    let mut feeders = JoinSet::new();
    for worker in &workers {
        for _ in 0..UNDER_WAY {
            feeders.spawn(feed(worker.clone(), jobs.clone(), sender.clone()));
        }
    }
    drop(sender);

    let begun = Instant::now();
    let mut tally = Tally { total: limit.div_ceil(JOB_LEN), ..Tally::default() };
    let mut frames = tokio::time::interval(FRAME);
    let is_terminal = std::io::stdout().is_terminal();
    loop {
        tokio::select! {
            one = ended.recv() => match one {
                Some(one) => tally.count(one),
                None => break,
            },
            _ = frames.tick(), if is_terminal => {
                print!("\r{}", tally.line());
                std::io::stdout().flush()?;
            }
        }
    }
    while let Some(feeder) = feeders.join_next().await {
        feeder??;
    }
    println!("{}{}", if is_terminal { "\r" } else { "" }, tally.line());

    let took = begun.elapsed();
    println!(
        "{} primes below {limit}: {} jobs in {:.1} s, {} of them given out twice",
        tally.primes,
        tally.jobs_done(),
        took.as_secs_f64(),
        tally.failed,
    );
    for worker in workers {
        worker.stop().await?;
    }
    system.shutdown().await;
    workshop.shutdown().await;
    Ok(tally.primes)
}

#[tokio::main]
async fn main() -> Result {
    run(20_000_000).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[tokio::test(flavor = "multi_thread")]
    async fn runs() -> super::Result {
        assert_eq!(super::run(1_000_000).await?, 78_498);
        Ok(())
    }
}
