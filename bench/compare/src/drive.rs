//! Does the work through the client of a library: the same loops, whoever the contestant is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::Result;
use crate::measured::{Figure, Measured, latencies};
use crate::message::{BULK_LEN, payload};
use crate::process::resident_memory;
use crate::workload::{
    ASKERS, ASKS_PER_LINK, Job, MIXED_LIMIT, PRODUCERS, TARGETS, TELLERS, Workload, check_count,
};

/// One actor, seen from whoever sends to it.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// Sends a note; completes when the library takes it, before it arrives.
    fn tell(&self, payload: Bytes) -> impl Future<Output = Result> + Send;

    /// Asks for an echo of the payload.
    fn echo(&self, payload: Bytes) -> impl Future<Output = Result<Bytes>> + Send;

    /// Asks how many notes came; arrives after every note that was taken before.
    fn count(&self) -> impl Future<Output = Result<u64>> + Send;
}

/// The workloads for which one actor is enough.
pub(crate) async fn run(client: impl Client, job: Job) -> Result<Measured> {
    let payload = payload(job.workload.payload_len());
    match job.workload {
        Workload::Ask1 => {
            for _ in 0..job.warm_up() {
                client.echo(payload.clone()).await?;
            }
            let run = job.start()?;
            let nanos = ask_one_by_one(&client, job.count, &payload).await?;
            run.finish_with(job.count, latencies(nanos))
        }
        Workload::LocalAsk => {
            ask(&client, job.warm_up(), &payload).await?;
            let run = job.start()?;
            ask(&client, job.count, &payload).await?;
            run.finish()
        }
        Workload::Ask64 => {
            ask_concurrently(&client, job.warm_up(), &payload).await?;
            let run = job.start()?;
            ask_concurrently(&client, job.count, &payload).await?;
            run.finish()
        }
        Workload::Tell | Workload::Bulk | Workload::LocalTell => {
            let tell = |client, count, payload| async move { tell(&client, count, &payload).await };
            tell_by(tell, client, job).await
        }
        Workload::LocalTell8 => tell_by(tell_concurrently, client, job).await,
        Workload::Fan | Workload::Mixed | Workload::Links | Workload::Spawn => {
            Err(format!("{} needs more than one actor", job.workload.name()).into())
        }
    }
}

/// The workloads in which one receiver is told; `tell` sends so many notes, and completes as
/// the last [`Client::tell`] of them would.
pub(crate) async fn tell_by<C: Client, F>(
    tell: impl Fn(C, u64, Bytes) -> F,
    receiver: C,
    job: Job,
) -> Result<Measured>
where
    F: Future<Output = Result> + Send,
{
    let payload = payload(job.workload.payload_len());
    tell(receiver.clone(), job.warm_up(), payload.clone()).await?;
    let before = receiver.count().await?;
    let run = job.start()?;
    tell(receiver.clone(), job.count, payload).await?;
    check_count(receiver.count().await? - before, job.count)?;
    run.finish()
}

async fn tell(client: &impl Client, count: u64, payload: &Bytes) -> Result {
    for _ in 0..count {
        client.tell(payload.clone()).await?;
    }
    Ok(())
}

/// By [`TELLERS`] tasks; completes when each has told its share.
async fn tell_concurrently(client: impl Client, count: u64, payload: Bytes) -> Result {
    let mut tellers = JoinSet::new();
    for teller in 0..TELLERS {
        let share = share(count, teller, TELLERS);
        let (client, payload) = (client.clone(), payload.clone());
        tellers.spawn(async move { tell(&client, share, &payload).await });
    }
    tellers.join_all().await.into_iter().collect()
}

async fn ask(client: &impl Client, count: u64, payload: &Bytes) -> Result {
    for _ in 0..count {
        client.echo(payload.clone()).await?;
    }
    Ok(())
}

/// How long each took, in nanoseconds.
async fn ask_one_by_one(client: &impl Client, count: u64, payload: &Bytes) -> Result<Vec<u64>> {
    let mut nanos = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let asked = Instant::now();
        client.echo(payload.clone()).await?;
        nanos.push(asked.elapsed().as_nanos() as u64);
    }
    Ok(nanos)
}

async fn ask_concurrently(client: &impl Client, count: u64, payload: &Bytes) -> Result {
    let mut askers = JoinSet::new();
    for asker in 0..ASKERS {
        let share = share(count, asker, ASKERS);
        let (client, payload) = (client.clone(), payload.clone());
        askers.spawn(async move { ask(&client, share, &payload).await });
    }
    askers.join_all().await.into_iter().collect()
}

/// What the task of number `index` does of a `count` that is spread evenly over `tasks`.
fn share(count: u64, index: usize, tasks: usize) -> u64 {
    let (index, tasks) = (index as u64, tasks as u64);
    count / tasks + u64::from(index < count % tasks)
}

/// [`Workload::Fan`]; `targets` are all on one server.
pub(crate) async fn fan<C: Client>(targets: Vec<C>, job: Job) -> Result<Measured> {
    fan_by(tell_in_turn::<C>, targets, job).await
}

async fn tell_in_turn<C: Client>(targets: Arc<[C]>, count: u64, payload: Bytes) -> Result {
    for target in targets.iter().cycle().take(count as usize) {
        target.tell(payload.clone()).await?;
    }
    Ok(())
}

/// The same; `tell` sends so many notes to some targets in turn, the work of one producer.
pub(crate) async fn fan_by<C: Client, F>(
    tell: impl Fn(Arc<[C]>, u64, Bytes) -> F + Copy,
    targets: Vec<C>,
    job: Job,
) -> Result<Measured>
where
    F: Future<Output = Result> + Send + 'static,
{
    if targets.len() != TARGETS {
        return Err(format!("fan needs {TARGETS} actors").into());
    }
    let payload = payload(job.workload.payload_len());
    spread(tell, &targets, 0, job.warm_up(), &payload).await?;
    let run = job.start()?;
    spread(tell, &targets, job.warm_up(), job.count, &payload).await?;
    run.finish()
}

/// Every producer goes round its own targets, and then asks all of them for their counts.
async fn spread<C: Client, F>(
    tell: impl Fn(Arc<[C]>, u64, Bytes) -> F,
    targets: &[C],
    before: u64,
    count: u64,
    payload: &Bytes,
) -> Result
where
    F: Future<Output = Result> + Send + 'static,
{
    let mut producers = JoinSet::new();
    for producer in 0..PRODUCERS {
        let own: Arc<[C]> = targets.iter().skip(producer).step_by(PRODUCERS).cloned().collect();
        let [before, share] = [before, count].map(|count| share(count, producer, PRODUCERS));
        let told = tell(own.clone(), share, payload.clone());
        producers.spawn(async move {
            told.await?;
            let counts: JoinSet<_> =
                own.iter().cloned().map(|target| async move { target.count().await }).collect();
            let counted = counts.join_all().await.into_iter().sum::<Result<u64>>()?;
            check_count(counted, before + share)
        });
    }
    producers.join_all().await.into_iter().collect()
}

/// [`Workload::Mixed`]; the two actors are on one server.
pub(crate) async fn mixed<C: Client>(asked: C, told: C, job: Job) -> Result<Measured> {
    let small = payload(job.workload.payload_len());
    ask(&asked, job.warm_up(), &small).await?;
    let (saturated, is_saturated) = oneshot::channel();
    let enough = Arc::new(AtomicBool::new(false));
    let bulk = tokio::spawn(tell_until(told, enough.clone(), saturated));
    is_saturated.await.map_err(|_| "the bulk task ended")?;
    let run = job.start()?;
    let mut nanos = Vec::with_capacity(job.count as usize);
    while (nanos.len() as u64) < job.count && run.elapsed() < MIXED_LIMIT {
        nanos.extend(ask_one_by_one(&asked, 1, &small).await?);
    }
    enough.store(true, Ordering::Relaxed);
    let bulk = bulk.await??;
    let figures = latencies(nanos.clone()).into_iter().chain([bulk]);
    run.finish_with(nanos.len() as u64, figures)
}

/// Tells large messages, and gives the rate of those after the first few, which say that it has begun.
async fn tell_until(
    told: impl Client,
    enough: Arc<AtomicBool>,
    saturated: oneshot::Sender<()>,
) -> Result<Figure> {
    const FIRST: u64 = 32;
    let large = payload(BULK_LEN);
    tell(&told, FIRST, &large).await?;
    let before = told.count().await?;
    let began = Instant::now();
    let _ = saturated.send(());
    let mut sent = 0;
    while !enough.load(Ordering::Relaxed) {
        tell(&told, 1, &large).await?;
        sent += 1;
        // A tell that always finds room never waits: let the asker have its turn.
        tokio::task::consume_budget().await;
    }
    check_count(told.count().await? - before, sent)?;
    Ok(Figure::megabytes(sent, began.elapsed()))
}

/// [`Workload::Links`]; every `connect` is a peer with connections of its own.
pub(crate) async fn links<C, F>(connect: impl Fn() -> F, job: Job) -> Result<Measured>
where
    C: Client,
    F: Future<Output = Result<C>> + Send,
{
    let payload = payload(job.workload.payload_len());
    let asker = connect().await?;
    ask(&asker, 1000, &payload).await?;
    let before = resident_memory(&job.server_pids)?;
    let mut idle = Vec::with_capacity(job.count as usize);
    for _ in 0..job.count {
        let peer = connect().await?;
        ask(&peer, 1, &payload).await?;
        idle.push(peer);
    }
    let run = job.start()?;
    let asks = job.count * ASKS_PER_LINK;
    let nanos = ask_one_by_one(&asker, asks, &payload).await?;
    let grown = resident_memory(&job.server_pids)?.saturating_sub(before);
    let bytes = Figure::cost("bytes/peer", grown as f64 / job.count as f64);
    let measured = run.finish_with(asks, [bytes].into_iter().chain(latencies(nanos)));
    drop(idle);
    measured
}

/// [`Workload::Spawn`]; `start` starts as many actors as it is told, and gives what keeps them alive.
pub(crate) async fn spawn<K, F>(start: impl FnOnce(u64) -> F, job: Job) -> Result<Measured>
where
    F: Future<Output = Result<K>>,
{
    let this = [std::process::id()];
    let before = resident_memory(&this)?;
    let run = job.start()?;
    let actors = start(job.count).await?;
    let each = job.count as f64;
    let micros = Figure::cost("µs/actor", run.elapsed().as_secs_f64() * 1e6 / each);
    let grown = resident_memory(&this)?.saturating_sub(before);
    let bytes = Figure::cost("bytes/actor", grown as f64 / each);
    let measured = run.finish_with(job.count, [micros, bytes]);
    drop(actors);
    measured
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// Counts what it is told, all but the notes that it loses.
    #[derive(Clone, Default)]
    struct Counter {
        told: Arc<AtomicU64>,
        /// Loses every note whose number this divides; 0 loses none.
        loses: u64,
    }

    impl Client for Counter {
        async fn tell(&self, _: Bytes) -> Result {
            self.told.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        async fn echo(&self, payload: Bytes) -> Result<Bytes> {
            tokio::task::yield_now().await;
            Ok(payload)
        }

        async fn count(&self) -> Result<u64> {
            let told = self.told.load(Ordering::Relaxed);
            Ok(told - told.checked_div(self.loses).unwrap_or(0))
        }
    }

    fn job(workload: Workload) -> Job {
        let server_pids = vec![std::process::id()];
        Job { workload, count: workload.count(0.005), port: 1, server_pids }
    }

    fn names(measured: &Measured) -> Vec<&str> {
        measured.figures.iter().map(|figure| figure.name.as_str()).collect()
    }

    #[test]
    fn shares_add_up_and_differ_by_one_at_most() {
        let shares: Vec<u64> = (0..PRODUCERS).map(|index| share(2007, index, PRODUCERS)).collect();
        assert_eq!(shares.iter().sum::<u64>(), 2007);
        assert!(shares.iter().all(|share| [100, 101].contains(share)));
    }

    #[tokio::test]
    async fn every_workload_reports_its_figures() -> Result {
        for (workload, figures) in [
            (Workload::Ask1, vec!["p50 µs", "p99 µs"]),
            (Workload::Ask64, vec!["asks/s"]),
            (Workload::Tell, vec!["messages/s"]),
            (Workload::Bulk, vec!["MB/s"]),
            (Workload::LocalTell, vec!["messages/s"]),
            (Workload::LocalTell8, vec!["messages/s"]),
            (Workload::LocalAsk, vec!["asks/s"]),
        ] {
            let measured = run(Counter::default(), job(workload)).await?;
            assert_eq!(names(&measured), figures, "{}", workload.name());
            assert_eq!(measured.count, job(workload).count);
        }
        let targets = std::iter::repeat_with(Counter::default).take(TARGETS).collect();
        assert_eq!(names(&fan(targets, job(Workload::Fan)).await?), ["messages/s"]);
        let mixed = mixed(Counter::default(), Counter::default(), job(Workload::Mixed)).await?;
        assert_eq!(names(&mixed), ["p50 µs", "p99 µs", "MB/s"]);
        let connect = || async { Ok(Counter::default()) };
        let links = links(connect, job(Workload::Links)).await?;
        assert_eq!(names(&links), ["bytes/peer", "p50 µs", "p99 µs"]);
        let start = async |count: u64| Ok(vec![Counter::default(); count as usize]);
        assert_eq!(names(&spawn(start, job(Workload::Spawn)).await?), ["µs/actor", "bytes/actor"]);
        Ok(())
    }

    #[tokio::test]
    async fn a_lost_message_fails_the_run() {
        let lossy = || Counter { loses: 10, ..Counter::default() };
        assert!(run(lossy(), job(Workload::Tell)).await.is_err());
        assert!(run(lossy(), job(Workload::LocalTell8)).await.is_err());
        let targets = std::iter::repeat_with(lossy).take(TARGETS).collect();
        assert!(fan(targets, job(Workload::Fan)).await.is_err());
    }
}
