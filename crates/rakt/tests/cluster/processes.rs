//! Nodes that are real processes: what a cluster promises where they are killed, stand still, and start again.
//!
//! A node is this test binary again, with a test that is ignored otherwise. The process of the test keeps what they share, and is
//! a member itself, which hosts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rakt::cluster::{Config, Members};
use rakt::error::Chain;
use rakt::grain::{
    ClaimError, DueReminder, Epoch, Grain, GrainId, GrainKind, GrainStore, Reminder, SaveError,
    StoreError, Stored, Writer,
};
use rakt::prelude::*;
use rakt::{AskError, Event};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;

use crate::keeper::{Counts, Shared, keep};
use crate::nodes::{Add, Total};
use crate::support::{event, within};

/// Adds as [`Add`], and tells which life has done so.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Count", reply = Life)]
struct Count {
    #[prost(uint64, tag = "1")]
    add: u64,
}

/// The life of a grain, and what it has counted.
#[derive(Clone, PartialEq, prost::Message)]
struct Life {
    #[prost(uint64, tag = "1")]
    total: u64,
    #[prost(uint64, tag = "2")]
    node: u64,
    #[prost(uint64, repeated, tag = "3")]
    epoch: Vec<u64>,
}

/// What others have to take over first, or a busy machine is slow at.
const PATIENCE: Duration = Duration::from_secs(50);

/// Asks a grain so often at once; the answer is what it answered.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Crowd", reply = Lives)]
struct Crowd {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(uint64, tag = "2")]
    count: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Lives {
    #[prost(message, repeated, tag = "1")]
    lives: Vec<Life>,
}

/// How many grains live on the node; which views say that it is Up.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Hosted", reply = u64)]
struct Hosted {}

/// Counts, and keeps what it has counted.
struct Tally {
    total: u64,
    node: u64,
}

impl Actor for Tally {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Count>().remote::<Add>();
    }
}

impl Grain for Tally {
    const KIND: &'static str = "tally";

    async fn activate(&mut self, ctx: &mut Context<Self>) -> Result {
        self.total = ctx.state::<Total>()?.unwrap_or_default().n;
        Ok(())
    }
}

impl Handler<Count> for Tally {
    async fn handle(&mut self, Count { add }: Count, ctx: &mut Context<Self>) -> Result<Life> {
        if add > 0 {
            self.total += add;
            ctx.save(&Total { n: self.total }).await?;
        }
        let Epoch { generation, view, counter } = ctx.epoch();
        Ok(Life { total: self.total, node: self.node, epoch: vec![generation, view, counter] })
    }
}

/// A write that comes late: see [`Late`].
impl Handler<Add> for Tally {
    async fn handle(&mut self, Add { n }: Add, ctx: &mut Context<Self>) -> Result<u64> {
        ctx.save(&Total { n }).await?;
        Ok(n)
    }
}

/// What others ask a node besides its grains.
struct Host;

impl Actor for Host {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Crowd>().remote::<Hosted>();
    }
}

impl Handler<Crowd> for Host {
    async fn handle(&mut self, crowd: Crowd, ctx: &mut Context<Self>) -> Result<Lives> {
        let mut asking = JoinSet::new();
        for _ in 0..crowd.count {
            let grain = ctx.system().grain::<Tally>(&crowd.key);
            asking.spawn(async move { grain.ask(Count { add: 1 }).timeout(PATIENCE).await });
        }
        let mut lives = Vec::new();
        while let Some(answered) = asking.join_next().await {
            lives.push(answered??);
        }
        Ok(Lives { lives })
    }
}

impl Handler<Hosted> for Host {
    async fn handle(&mut self, _: Hosted, ctx: &mut Context<Self>) -> Result<u64> {
        Ok(ctx.system().grains().iter().map(|kind| kind.active as u64).sum())
    }
}

/// A store through which one write comes late: that of the number [`LATE`] says that it begins, and waits for a line on the
/// input of its process. It does not give way meanwhile, as code that stands still in the middle of something.
struct Late(Shared);

const LATE: u64 = u64::MAX;
const SAVING: &str = "the node saves";

impl GrainStore for Late {
    async fn claim(
        &self,
        grain: &GrainId,
        epoch: Epoch,
        writer: Writer,
    ) -> Result<Option<Stored>, ClaimError> {
        self.0.claim(grain, epoch, writer).await
    }

    async fn save(
        &self,
        grain: &GrainId,
        claim: (Epoch, Writer),
        over: u64,
        state: Option<Bytes>,
    ) -> Result<u64, SaveError> {
        let late = prost::Message::encode_to_vec(&Total { n: LATE });
        if state.as_deref() == Some(&*late) {
            println!("{SAVING}");
            std::io::stdin().read_line(&mut String::new()).expect("the test has a line for it");
            // What is on its way goes on, whatever becomes of who wants it.
            let (shared, grain) = (self.0.clone(), grain.clone());
            let saving = async move { shared.save(&grain, claim, over, state).await };
            return tokio::spawn(saving).await.expect("it does not panic");
        }
        self.0.save(grain, claim, over, state).await
    }

    async fn remind(&self, id: &GrainId, name: &str, at: Reminder) -> Result<(), StoreError> {
        self.0.remind(id, name, at).await
    }

    async fn forget(&self, grain: &GrainId, name: &str) -> Result<(), StoreError> {
        self.0.forget(grain, name).await
    }

    async fn due(
        &self,
        kind: &str,
        now: SystemTime,
        most: usize,
    ) -> Result<Vec<DueReminder>, StoreError> {
        self.0.due(kind, now, most).await
    }

    async fn settle(&self, due: &DueReminder, next: Option<Reminder>) -> Result<(), StoreError> {
        self.0.settle(due, next).await
    }
}

/// The member that hosts nothing, in the process of the test.
const TEST: u64 = 0;

/// That of the one who founds the cluster counts, which is the test.
const LEASE: Duration = Duration::from_secs(1);

async fn member(node: u64, port: u16, shared: Shared, lease: Duration) -> Result<ActorSystem> {
    let tallies = GrainKind::built_by(move || Tally { total: 0, node });
    let config = Config::on(shared.clone()).lease(lease).probe_interval(Duration::from_millis(200));
    let config = if node == TEST { config.weight(0) } else { config.role("host") };
    let system = ActorSystem::builder("processes")
        .remoting(remote::Config::new("127.0.0.1", port))
        .cluster(config)
        .grain(tallies.store(Late(shared)).role("host"))
        .start()
        .await?;
    Ok(system)
}

/// Which node a process is, the port of who keeps what is shared, and its own.
const NODE: &str = "RAKT_TEST_CLUSTER_NODE";
const READY: &str = "the node listens on ";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a process of the tests below"]
async fn node_process() -> Result {
    let numbers = std::env::var(NODE)?;
    let numbers: Vec<u16> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let &[node, keeper, port] = &*numbers else { return Err("three numbers".into()) };
    let system = member(node.into(), port, Shared::at(keeper).await?, LEASE).await?;
    system.spawn("host", || Host).await?;
    println!("{READY}{}", system.advertised().1);
    system.until_shutdown_signal().await;
    Ok(())
}

/// A process that is a node, ended with this one whatever happens.
struct Process {
    child: Child,
    /// A line of it lets the late write go on.
    input: ChildStdin,
    output: mpsc::Receiver<String>,
    port: u16,
}

impl Process {
    async fn start(node: u64, keeper: u16, port: u16) -> Result<Self> {
        let starting = tokio::task::spawn_blocking(move || {
            Self::start_here(node, keeper, port).map_err(|error| error.to_string())
        });
        Ok(starting.await??)
    }

    fn start_here(node: u64, keeper: u16, port: u16) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["processes::node_process", "--exact", "--ignored", "--nocapture"])
            .env(NODE, format!("{node} {keeper} {port}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("the node has no input")?;
        let output = child.stdout.take().ok_or("the node has no output")?;
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for read in std::io::BufReader::new(output).lines().map_while(Result::ok) {
                // What nobody wants to know any more is read all the same.
                let _ = line.send(read);
            }
        });
        let mut process = Self { child, input, output: lines, port };
        process.port = process.said(READY)?.trim().parse()?;
        Ok(process)
    }

    /// Waits until it has said something that has this in it; returns what follows.
    fn said(&mut self, text: &str) -> Result<String> {
        for line in &self.output {
            if let Some((_, rest)) = line.split_once(text) {
                return Ok(rest.to_owned());
            }
        }
        Err(format!("the node ended before it said {text:?}: {}", self.child.wait()?).into())
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for its end; whether that was an orderly one.
    async fn ended(mut self) -> Result<bool> {
        let waiting = tokio::task::spawn_blocking(move || self.child.wait().map(|it| it.success()));
        Ok(within(waiting).await??)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One test at a time: each has four processes, and a machine may have two cores.
static TURN: Mutex<()> = Mutex::const_new(());

/// Three processes that are nodes, and the test as a member.
struct Cluster {
    keeping: ActorSystem,
    counts: Counts,
    system: ActorSystem,
    nodes: BTreeMap<u64, Process>,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    async fn start() -> Result<Self> {
        Self::start_with(LEASE).await
    }

    async fn start_with(lease: Duration) -> Result<Self> {
        let turn = TURN.lock().await;
        let (keeping, counts) = keep().await?;
        let keeper = keeping.advertised().1;
        let system = member(TEST, 0, Shared::at(keeper).await?, lease).await?;
        let nodes = BTreeMap::new();
        let mut cluster = Self { keeping, counts, system, nodes, _turn: turn };
        for node in 1..=3 {
            cluster.start_node(node, 0).await?;
        }
        Ok(cluster)
    }

    async fn start_node(&mut self, node: u64, port: u16) -> Result {
        let keeper = self.keeping.advertised().1;
        let process = within(Process::start(node, keeper, port)).await?;
        self.nodes.insert(node, process);
        Ok(())
    }

    fn take(&mut self, node: u64) -> Process {
        self.nodes.remove(&node).expect("it is there")
    }

    fn grains(&self, count: usize) -> Vec<GrainRef<Tally>> {
        (0..count).map(|key| self.system.grain(key.to_string())).collect()
    }

    /// The actor `host` of that node.
    async fn host(&self, port: u16) -> Result<ActorRef<Host>> {
        let node = self.system.node("127.0.0.1", port);
        Ok(within(node.lookup("host")).await?.ok_or("it is there")?)
    }

    /// Waits until the members are like that, as this one knows.
    async fn members(&self, are: impl Fn(&Members) -> bool) -> Members {
        let mut events = self.system.events();
        loop {
            let members = self.system.members().expect("it is one");
            if are(&members) {
                return members;
            }
            event(&mut events, |event| matches!(event, Event::ClusterChanged { .. }).then_some(()))
                .await;
        }
    }

    async fn end(self) -> Result {
        for (_, node) in self.nodes {
            node.signal("-TERM");
            assert!(node.ended().await?, "it ends in order");
        }
        within(self.system.shutdown()).await;
        within(self.keeping.shutdown()).await;
        Ok(())
    }
}

/// What is asked of all at once, each until there is an answer.
async fn ask_all(grains: &[GrainRef<Tally>], add: u64) -> Result<Vec<Life>> {
    let mut asking = JoinSet::new();
    for (at, grain) in grains.iter().cloned().enumerate() {
        asking.spawn(async move {
            loop {
                match grain.ask(Count { add }).timeout(PATIENCE).await {
                    Ok(life) => break Ok((at, life)),
                    // A busy machine may be late with a lease of a second.
                    Err(error) if error.is_safe_to_retry() && error.is_worth_retrying() => {}
                    // Whoever looks may look twice.
                    Err(AskError::ConnectionLost { .. }) if add == 0 => {}
                    Err(error) => break Err(error),
                }
            }
        });
    }
    let mut lives = vec![Life::default(); grains.len()];
    while let Some(answered) = within(asking.join_next()).await {
        let (at, life) = answered??;
        lives[at] = life;
    }
    Ok(lives)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_first_asks_from_all_nodes_are_one_activation() -> Result {
    let cluster = Cluster::start().await?;
    let mut asking = JoinSet::new();
    for node in cluster.nodes.values() {
        let host = cluster.host(node.port).await?;
        asking.spawn(async move {
            host.ask(Crowd { key: "one".into(), count: 334 }).timeout(PATIENCE).await
        });
    }
    let mut lives = Vec::new();
    while let Some(answered) = within(asking.join_next()).await {
        lives.extend(answered??.lives);
    }
    let epochs: BTreeSet<_> = lives.iter().map(|life| (&life.epoch, life.node)).collect();
    assert_eq!(epochs.len(), 1, "{epochs:?}");
    let totals: BTreeSet<_> = lives.iter().map(|life| life.total).collect();
    assert!(totals.into_iter().eq(1..=3 * 334), "each was handled once");
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn grains_of_a_killed_node_answer_again_at_a_higher_epoch_with_all_they_saved() -> Result {
    let mut cluster = Cluster::start().await?;
    let grains = cluster.grains(2_000);
    let before = ask_all(&grains, 1).await?;
    let of_two = before.iter().filter(|life| life.node == 2).count();
    assert!(of_two > 100, "{of_two} live there");

    // Some are counted on meanwhile: what is confirmed is not lost, what is not may be there or not.
    let is_over = Arc::new(AtomicBool::new(false));
    let counting: JoinSet<(usize, u64, u64)> = (0..8)
        .map(|at| {
            let (grain, is_over) = (grains[at].clone(), is_over.clone());
            async move {
                let (mut confirmed, mut unknown) = (1, 0);
                while !is_over.load(Ordering::Relaxed) {
                    match grain.ask(Count { add: 1 }).timeout(PATIENCE).await {
                        Ok(_) => confirmed += 1,
                        Err(error) if error.is_safe_to_retry() => {}
                        Err(_) => unknown += 1,
                    }
                }
                (at, confirmed, unknown)
            }
        })
        .collect();
    let killed = cluster.take(2);
    killed.signal("-KILL");
    let after = ask_all(&grains, 0).await?;
    is_over.store(true, Ordering::Relaxed);
    let counted = within(counting.join_all()).await;

    for (before, after) in before.iter().zip(&after) {
        assert_ne!(after.node, 2);
        match before.node {
            2 => assert!(after.epoch > before.epoch, "{after:?} after {before:?}"),
            // Those of the others have lived on.
            _ => assert_eq!((after.node, &after.epoch), (before.node, &before.epoch)),
        }
    }
    assert!(after[8..].iter().all(|life| life.total == 1), "nothing was lost or handled twice");
    for (at, confirmed, unknown) in counted {
        let total = ask_all(&grains[at..=at], 0).await?[0].total;
        assert!((confirmed..=confirmed + unknown).contains(&total), "{total}, not {confirmed}");
    }
    assert!(!killed.ended().await?);
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_again_at_its_address_is_reached_as_a_new_one() -> Result {
    let mut cluster = Cluster::start().await?;
    let grains = cluster.grains(300);
    let before = ask_all(&grains, 1).await?;
    let killed = cluster.take(2);
    let port = killed.port;
    killed.signal("-KILL");
    killed.ended().await?;
    // At once: the others still take the old one for a member.
    cluster.start_node(2, port).await?;
    let after = ask_all(&grains, 1).await?;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.total, 2);
        assert!(before.node != 2 || after.epoch > before.epoch, "{after:?} after {before:?}");
    }
    let members = cluster.members(|members| members.members.len() == 4).await;
    assert_eq!(members.up().filter(|member| member.port == port).count(), 1, "{members}");
    // New ones come to life there as well, by the routes of all.
    let new: Vec<_> = (0..300).map(|key| cluster.system.grain(format!("new-{key}"))).collect();
    assert!(ask_all(&new, 1).await?.iter().any(|life| life.node == 2));
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stood_still_has_lost_its_grains_and_joins_again() -> Result {
    let mut cluster = Cluster::start().await?;
    let grains = cluster.grains(200);
    let before = ask_all(&grains, 1).await?;
    let mut still = cluster.take(2);
    let at = before.iter().position(|life| life.node == 2).ok_or("some live there")?;
    // A write of it is about to reach the store as the process stops.
    let late = grains[at].clone();
    let late = tokio::spawn(async move { late.ask(Add { n: LATE }).await.is_ok() });
    still.said(SAVING)?;
    still.signal("-STOP");

    // Once the others take it for dead nothing more is sent to it, where it would be lost after a long time.
    cluster.members(|members| members.up().count() == 3).await;
    let taken = ask_all(&grains, 1).await?;
    assert!(taken.iter().all(|life| life.node != 2));
    assert!(!within(late).await?, "nobody answers for it");
    assert!(taken[at].epoch > before[at].epoch);
    assert!(taken.iter().all(|life| life.total == 2), "the late one has not been written");

    let fenced = cluster.counts.fenced.load(Ordering::Relaxed);
    still.signal("-CONT");
    writeln!(still.input)?;
    let members = cluster.members(|members| members.up().count() == 4).await;
    assert!(members.up().any(|member| member.port == still.port), "{members}");
    within(async {
        while cluster.counts.fenced.load(Ordering::Relaxed) == fenced {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let host = cluster.host(still.port).await?;
    within(async {
        while host.ask(Hosted {}).await.ok() != Some(0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Where the others have them they stay.
    for (before, after) in taken.iter().zip(ask_all(&grains, 0).await?) {
        assert_eq!(*before, after);
    }
    let new: Vec<_> = (0..300).map(|key| cluster.system.grain(format!("new-{key}"))).collect();
    assert!(ask_all(&new, 1).await?.iter().any(|life| life.node == 2), "it hosts again");
    cluster.nodes.insert(2, still);
    cluster.end().await
}

/// How often all nodes are restarted. Default: once.
const ROUNDS: &str = "RAKT_ROLLING_ROUNDS";

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_restarted_under_load_without_a_failed_ask() -> Result {
    let rounds = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    // No ask is sent again here, so nobody is to be late with the lease, however busy the machine is.
    let mut cluster = Cluster::start_with(10 * LEASE).await?;
    let grains = cluster.grains(400);
    let before = ask_all(&grains, 1).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let asking: JoinSet<Result<(), String>> = (0..8)
        .map(|asker| {
            let grains: Vec<_> = grains.iter().skip(asker * 50).take(50).cloned().collect();
            let is_over = is_over.clone();
            async move {
                for total in 2.. {
                    for grain in &grains {
                        let life = grain.ask(Count { add: 1 }).await;
                        let life = life.map_err(|error| Chain(&error).to_string())?;
                        if life.total != total {
                            return Err(format!("{} and not {total}", life.total));
                        }
                    }
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
                Ok(())
            }
        })
        .collect();
    for _ in 0..rounds {
        for node in 1..=3 {
            let ends = cluster.take(node);
            let port = ends.port;
            ends.signal("-TERM");
            assert!(ends.ended().await?, "it ends in order");
            cluster.start_node(node, port).await?;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for asked in within(asking.join_all()).await {
        asked?;
    }
    for (before, after) in before.iter().zip(ask_all(&grains, 0).await?) {
        assert!(after.epoch > before.epoch, "{after:?} after {before:?}");
    }
    cluster.end().await
}
