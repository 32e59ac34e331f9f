//! Does the work through the client of a library: the same loops, whoever the contestant is.

use std::time::Instant;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::Result;
use crate::message::payload;
use crate::workload::{ASKERS, Job, Measured, Workload, check_count};

/// One actor on the server, seen from the client.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// Sends a note; completes when the library takes it, before it arrives.
    fn tell(&self, payload: Bytes) -> impl Future<Output = Result> + Send;

    /// Asks for an echo of the payload.
    fn echo(&self, payload: Bytes) -> impl Future<Output = Result<Bytes>> + Send;

    /// Asks how many notes came; arrives after every note sent before.
    fn count(&self) -> impl Future<Output = Result<u64>> + Send;
}

pub(crate) async fn run(client: impl Client, job: Job) -> Result<Measured> {
    let payload = payload(job.workload.payload_len());
    match job.workload {
        Workload::Ask1 => ask_one_by_one(client, job, payload).await,
        Workload::Ask64 => {
            ask_concurrently(&client, job.warm_up(), &payload).await?;
            let run = job.start()?;
            ask_concurrently(&client, job.count, &payload).await?;
            run.finish()
        }
        Workload::Tell | Workload::Bulk => tell(client, job, payload).await,
    }
}

async fn ask_one_by_one(client: impl Client, job: Job, payload: Bytes) -> Result<Measured> {
    for _ in 0..job.warm_up() {
        client.echo(payload.clone()).await?;
    }
    let mut nanos = Vec::with_capacity(job.count as usize);
    let run = job.start()?;
    for _ in 0..job.count {
        let asked = Instant::now();
        client.echo(payload.clone()).await?;
        nanos.push(asked.elapsed().as_nanos() as u64);
    }
    run.finish_with_latencies(nanos)
}

async fn ask_concurrently(client: &impl Client, count: u64, payload: &Bytes) -> Result {
    let mut askers = JoinSet::new();
    let askers_count = ASKERS as u64;
    for asker in 0..askers_count {
        let share = count / askers_count + u64::from(asker < count % askers_count);
        let (client, payload) = (client.clone(), payload.clone());
        askers.spawn(async move {
            for _ in 0..share {
                client.echo(payload.clone()).await?;
            }
            Ok(())
        });
    }
    askers.join_all().await.into_iter().collect()
}

async fn tell(client: impl Client, job: Job, payload: Bytes) -> Result<Measured> {
    for _ in 0..job.warm_up() {
        client.tell(payload.clone()).await?;
    }
    let before = client.count().await?;
    let run = job.start()?;
    for _ in 0..job.count {
        client.tell(payload.clone()).await?;
    }
    check_count(client.count().await? - before, job.count)?;
    run.finish()
}
