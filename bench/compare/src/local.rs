//! Tasks and channels of tokio within one process: what a local actor cannot be cheaper than.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::contestant::{Contestant, EVERYWHERE, Halves, SAME};
use crate::measured::Measured;
use crate::workload::{Job, Workload};
use crate::{Result, drive};

/// Messages that wait in the channel of [`DEFAULT`].
const CAPACITY: usize = 1024;
/// The same of [`TIGHT`].
const TIGHT_CAPACITY: usize = 32;

pub(crate) const DEFAULT: Contestant = Contestant {
    name: "mpsc",
    about: "a tokio task that counts, behind a channel for 1024 messages; a oneshot for each ask",
    marks: "bounded at 1024",
    workloads: &[Workload::LocalTell, Workload::LocalTell8, Workload::LocalAsk, Workload::Spawn],
    scale: SAME,
    check: EVERYWHERE,
    halves: Halves::Local { run: |job| Box::pin(run(job, CAPACITY)) },
};

pub(crate) const TIGHT: Contestant = Contestant {
    name: "mpsc-tight",
    about: "mpsc with room for 32 messages",
    marks: "bounded at 32",
    workloads: &[Workload::LocalTell, Workload::LocalTell8, Workload::LocalAsk],
    halves: Halves::Local { run: |job| Box::pin(run(job, TIGHT_CAPACITY)) },
    ..DEFAULT
};

async fn run(job: Job, capacity: usize) -> Result<Measured> {
    match job.workload {
        Workload::Spawn => {
            let start = async |count| Ok((0..count).map(|_| start(capacity)).collect::<Vec<_>>());
            drive::spawn(start, job).await
        }
        _ => drive::run(start(capacity), job).await,
    }
}

enum Letter {
    Note(Bytes),
    Echo(Bytes, oneshot::Sender<Bytes>),
    Count(oneshot::Sender<u64>),
}

fn start(capacity: usize) -> Client {
    let (mailbox, letters) = mpsc::channel(capacity);
    tokio::spawn(count(letters));
    Client(mailbox)
}

async fn count(mut letters: mpsc::Receiver<Letter>) {
    let mut notes = 0;
    while let Some(letter) = letters.recv().await {
        // An asker that is gone needs no reply.
        match letter {
            Letter::Note(payload) => {
                drop(payload);
                notes += 1;
            }
            Letter::Echo(payload, reply) => drop(reply.send(payload)),
            Letter::Count(reply) => drop(reply.send(notes)),
        }
    }
}

#[derive(Clone)]
struct Client(mpsc::Sender<Letter>);

impl drive::Client for Client {
    async fn tell(&self, payload: Bytes) -> Result {
        Ok(self.0.send(Letter::Note(payload)).await.map_err(|_| "the task has ended")?)
    }

    async fn echo(&self, payload: Bytes) -> Result<Bytes> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Letter::Echo(payload, reply)).await.map_err(|_| "the task has ended")?;
        Ok(answer.await?)
    }

    async fn count(&self) -> Result<u64> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Letter::Count(reply)).await.map_err(|_| "the task has ended")?;
        Ok(answer.await?)
    }
}
