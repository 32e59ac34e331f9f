//! Many requests of all sorts at once, each reply compared with its request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use interop::messages::{BytesValue, TraceRequest, bytes, note, text};
use interop::trace;
use rakt::prelude::*;
use rakt::{Message, Result};
use tokio::task::JoinSet;

use crate::load::{Fault, Outcomes};
use crate::report::{Check, checking};
use crate::target::{Target, expect};

/// Workers make requests at once, each one after the other.
const WORKERS: u64 = 64;
/// For a request that goes unanswered, which those to GoAkt now and then do.
const TIMEOUT: Duration = Duration::from_secs(10);
/// One request in this many may go wrong: GoAkt's server mixes up buffers of requests that run at once.
const TOLERANCE: u64 = 100;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "mixed requests at once",
    run: |x| checking(run(x)),
    timeout: Duration::from_secs(900),
}];

/// Makes requests of all sorts; its notes are numbered.
struct Worker {
    system: ActorSystem,
    echo: ActorRef,
    child: ActorRef,
    counter: ActorRef,
    tracer: ActorRef,
    absent: ActorRef,
    name: String,
    /// Notes of which each was confirmed, or failed.
    notes: u64,
    /// Notes that nobody waits for.
    plain: u64,
}

async fn run(x: &Target) -> Result {
    let (outcomes, next, started) = (Arc::new(Outcomes::default()), Arc::default(), Instant::now());
    let (before, count) = (x.system.dead_letter_count(), x.count);
    let mut running = JoinSet::new();
    for number in 0..WORKERS {
        let worker = Worker::new(x, x.unique(&format!("mixed-{number}")));
        running.spawn(worker.work(count, Arc::clone(&next), outcomes.clone()));
    }
    let workers = running.join_all().await;
    let secs = started.elapsed().as_secs_f64();
    // A question comes behind what was told before it, so by now all of that is settled.
    let mut miscounted = Vec::new();
    for worker in &workers {
        let counted = x.expect_count("counter", &worker.name, worker.notes).await;
        let plain = x.expect_count("counter", &worker.plain_name(), worker.plain).await;
        miscounted.extend([counted, plain].into_iter().filter_map(Result::err));
    }
    let (failed, lost) = (outcomes.failures(), x.system.dead_letter_count() - before);
    println!("# {count} requests in {secs:.1} s: {outcomes}; {lost} dead letters");

    outcomes.wrong_replies()?;
    if failed + lost > count / TOLERANCE {
        return Err(format!("{failed} failed, {lost} dead letters").into());
    }
    match miscounted.first() {
        // A tell that GoAkt leaves without an answer may not have been taken.
        Some(first) if failed + lost > 0 => println!("# {} miscounted: {first}", miscounted.len()),
        Some(first) => return Err(first.to_string().into()),
        None => {}
    }
    Ok(())
}

impl Worker {
    fn new(x: &Target, name: String) -> Self {
        Self {
            system: x.system.clone(),
            echo: x.actor("echo"),
            child: x.actor("parent/child"),
            counter: x.actor("counter"),
            tracer: x.actor("tracer"),
            absent: x.actor("absent"),
            name,
            notes: 0,
            plain: 0,
        }
    }

    fn plain_name(&self) -> String {
        format!("{}-plain", self.name)
    }

    async fn work(mut self, count: u64, next: Arc<AtomicU64>, outcomes: Arc<Outcomes>) -> Self {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return self;
            }
            outcomes.add(self.request(number).await);
        }
    }

    /// Makes one request that no other is equal to, and checks its reply.
    async fn request(&mut self, number: u64) -> Result<(), Fault> {
        match number % 20 {
            0 => {
                let (address, found) = (self.echo.address(), self.lookup().await?);
                same(found.map(|found| found.address()), Some(address))
            }
            1 => match self.absent.ask(self.payload(number)).timeout(TIMEOUT).await {
                Err(error) if error.refusal() == Some(&Refusal::NotFound) => Ok(()),
                Err(error) => Err(error.into()),
                Ok(reply) => Err(Fault::WrongReply(format!("nobody answered {reply:?}"))),
            },
            2 => self.trace(number).await,
            3 => self.asked(&self.child, text(format!("{}/{number}", self.name))).await,
            4 => {
                let payloads = [number, number + 1, number + 2].map(|number| self.payload(number));
                let replies = self.echo.ask_all(payloads.clone()).timeout(TIMEOUT).await;
                for (reply, payload) in replies.into_iter().zip(payloads) {
                    same(reply?, payload)?;
                }
                Ok(())
            }
            5 => {
                let notes = (1..=5).map(|n| note(&self.name, self.notes + n)).collect::<Vec<_>>();
                let told = self.counter.tell_all(notes).timeout(TIMEOUT).await;
                self.noted(told.into_iter().collect(), 5)
            }
            6 | 7 => {
                let note = note(&self.name, self.notes + 1);
                let told = self.counter.tell(note).confirmed().timeout(TIMEOUT).await;
                self.noted(told, 1)
            }
            8 | 9 => {
                self.plain += 1;
                Ok(self.counter.tell(note(&self.plain_name(), self.plain)).await?)
            }
            _ => self.asked(&self.echo, self.payload(number)).await,
        }
    }

    async fn lookup(&self) -> Result<Option<ActorRef>> {
        let address = self.echo.address();
        Ok(self.system.node(address.host(), address.port()).lookup("echo").await?)
    }

    /// Unique, and of a size between a few bytes and some 2 KB.
    fn payload(&self, number: u64) -> BytesValue {
        let mut payload = format!("{}/{number}", self.name).into_bytes();
        payload.resize(payload.len() + (number * 37 % 2000) as usize, number as u8);
        bytes(payload)
    }

    async fn asked<M>(&self, actor: &ActorRef, message: M) -> Result<(), Fault>
    where
        M: Message<Reply = M> + Sync + Clone + PartialEq + std::fmt::Debug,
    {
        same(actor.ask(message.clone()).timeout(TIMEOUT).await?, message)
    }

    /// The trace context of another request is a known failure of GoAkt, not a wrong reply.
    async fn trace(&self, number: u64) -> Result<(), Fault> {
        let parent = format!("00-{number:032x}-{number:016x}-01");
        let ask = self.tracer.ask(TraceRequest {}).metadata(trace::parent(&parent));
        match ask.timeout(TIMEOUT).await? {
            trace if trace.traceparent == parent => Ok(()),
            _ => Err("another request's traceparent".into()),
        }
    }

    fn noted<E: Into<Fault>>(&mut self, told: Result<(), E>, notes: u64) -> Result<(), Fault> {
        self.notes += notes;
        told.map_err(Into::into)
    }
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, want: T) -> Result<(), Fault> {
    expect(got, want).map_err(|error| Fault::WrongReply(error.to_string()))
}
