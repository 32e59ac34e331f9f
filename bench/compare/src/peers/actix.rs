//! actix: actors of one process, on the sender's thread or on another.

use actix::prelude::*;
use bytes::Bytes;

use crate::contestant::{Contestant, EVERYWHERE, Halves, SAME};
use crate::measured::Measured;
use crate::workload::{Job, Workload};
use crate::{Result, drive};

pub(crate) const ONE_THREAD: Contestant = Contestant {
    name: "actix",
    about: "actix: sender and actors on one thread; do_send for tells, send for asks",
    marks: "do_send is unbounded",
    workloads: &[Workload::LocalTell, Workload::LocalTell8, Workload::LocalAsk, Workload::Spawn],
    scale: SAME,
    check: EVERYWHERE,
    halves: Halves::Local { run: |job| Box::pin(run(job, Threads::One)) },
};

pub(crate) const TWO_THREADS: Contestant = Contestant {
    name: "actix-2",
    about: "actix with the actor on an arbiter of its own: a thread for it and one for the sender",
    workloads: &[Workload::LocalTell, Workload::LocalTell8, Workload::LocalAsk],
    scale: |workload| match workload {
        Workload::LocalAsk => 0.1,
        _ => 1.0,
    },
    halves: Halves::Local { run: |job| Box::pin(run(job, Threads::Two)) },
    ..ONE_THREAD
};

#[derive(Clone, Copy)]
enum Threads {
    One,
    Two,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Note {
    _payload: Bytes,
}

#[derive(Message)]
#[rtype(result = "Bytes")]
struct Echo {
    payload: Bytes,
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Count;

#[derive(Default)]
struct Counter {
    notes: u64,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Note> for Counter {
    type Result = ();

    fn handle(&mut self, _: Note, _: &mut Context<Self>) {
        self.notes += 1;
    }
}

impl Handler<Echo> for Counter {
    type Result = MessageResult<Echo>;

    fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> MessageResult<Echo> {
        MessageResult(echo.payload)
    }
}

impl Handler<Count> for Counter {
    type Result = u64;

    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> u64 {
        self.notes
    }
}

/// actix brings a runtime, and its threads, of its own; the sender is a task there, as an actor is.
async fn run(job: Job, threads: Threads) -> Result<Measured> {
    let system = move || System::new().block_on(async { actix::spawn(work(job, threads)).await? });
    tokio::task::spawn_blocking(system).await?
}

async fn work(job: Job, threads: Threads) -> Result<Measured> {
    if job.workload == Workload::Spawn {
        return drive::spawn(start, job).await;
    }
    let arbiter = match threads {
        Threads::One => Arbiter::current(),
        Threads::Two => Arbiter::new().handle(),
    };
    let counter = Counter::start_in_arbiter(&arbiter, |_| Counter::default());
    drive::run(Client(counter), job).await
}

async fn start(count: u64) -> Result<Vec<Addr<Counter>>> {
    let actors: Vec<_> = (0..count).map(|_| Counter::default().start()).collect();
    // Actors start in turn: when the last one answers, all run.
    if let Some(last) = actors.last() {
        last.send(Count).await?;
    }
    Ok(actors)
}

#[derive(Clone)]
struct Client(Addr<Counter>);

impl drive::Client for Client {
    /// Lets the actor have its turn now and then, as `do_send` never waits.
    async fn tell(&self, payload: Bytes) -> Result {
        self.0.do_send(Note { _payload: payload });
        tokio::task::consume_budget().await;
        Ok(())
    }

    async fn echo(&self, payload: Bytes) -> Result<Bytes> {
        Ok(self.0.send(Echo { payload }).await?)
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.0.send(Count).await?)
    }
}
