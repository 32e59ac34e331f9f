//! A cluster of real processes, for tests.
//!
//! A node is this test binary again, with a test that is ignored otherwise. The process of the test keeps what they share, and is
//! a member itself, which hosts nothing.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rakt::cluster::{Config, Members};
use rakt::grain::{
    ClaimError, DueReminder, Epoch, Grain, GrainId, GrainKind, GrainStore, Reminder, SaveError,
    StoreError, Stored, Writer,
};
use rakt::prelude::*;
use rakt::{AskError, Event};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;

use crate::keeper::{Counts, Shared, keep};
use crate::nodes::{Add, Total, Where};
use crate::support::{event, within};

/// Adds as [`Add`], and tells which life has done so.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Count", reply = Life)]
pub(crate) struct Count {
    #[prost(uint64, tag = "1")]
    pub(crate) add: u64,
}

/// The life of a grain, and what it has counted.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Life {
    #[prost(uint64, tag = "1")]
    pub(crate) total: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) node: u64,
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) epoch: Vec<u64>,
}

/// What others have to take over first, or a busy machine is slow at.
pub(crate) const PATIENCE: Duration = Duration::from_secs(50);

/// Asks a grain so often at once; the answer is what it answered.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Crowd", reply = Lives)]
pub(crate) struct Crowd {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(uint64, tag = "2")]
    pub(crate) count: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Lives {
    #[prost(message, repeated, tag = "1")]
    pub(crate) lives: Vec<Life>,
}

/// How many grains live on the node; which views say that it is Up.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Hosted", reply = u64)]
pub(crate) struct Hosted {}

/// Brings grains to life that are [`Bare`]: so many keys from that number on.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Wake", reply = u64)]
pub(crate) struct Wake {
    #[prost(uint64, tag = "1")]
    pub(crate) from: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) count: u64,
}

/// Has neither state nor store.
pub(crate) struct Bare {
    node: u64,
}

impl Actor for Bare {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Where>();
    }
}

impl Grain for Bare {
    const KIND: &'static str = "bare";
}

impl Handler<Where> for Bare {
    async fn handle(&mut self, _: Where, _: &mut Context<Self>) -> Result<u64> {
        Ok(self.node)
    }
}

/// Counts, and keeps what it has counted.
pub(crate) struct Tally {
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
pub(crate) struct Host;

impl Actor for Host {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Crowd>().remote::<Hosted>().remote::<Where>().remote::<Wake>();
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

impl Handler<Where> for Host {
    async fn handle(&mut self, _: Where, _: &mut Context<Self>) -> Result<u64> {
        Ok(0)
    }
}

impl Handler<Wake> for Host {
    async fn handle(&mut self, wake: Wake, ctx: &mut Context<Self>) -> Result<u64> {
        let mut asking = JoinSet::new();
        for key in wake.from..wake.from + wake.count {
            if asking.len() == 256 {
                asking.join_next().await.ok_or("some are under way")???;
            }
            let grain = ctx.system().grain::<Bare>(key.to_string());
            asking.spawn(async move { grain.ask(Where {}).timeout(PATIENCE).await });
        }
        while let Some(answered) = asking.join_next().await {
            answered??;
        }
        Ok(wake.count)
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

pub(crate) const LATE: u64 = u64::MAX;
pub(crate) const SAVING: &str = "the node saves";

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
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// From one probe to the next, in milliseconds.
const PROBE: u16 = 200;

async fn member(
    node: u64,
    port: u16,
    shared: Shared,
    (lease, probe): (Duration, u16),
) -> Result<ActorSystem> {
    let tallies = GrainKind::built_by(move || Tally { total: 0, node });
    let bare = GrainKind::built_by(move || Bare { node });
    let config =
        Config::on(shared.clone()).lease(lease).probe_interval(Duration::from_millis(probe.into()));
    let config = if node == TEST { config.weight(0) } else { config.role("host") };
    let system = ActorSystem::builder("processes")
        .remoting(remote::Config::new("127.0.0.1", port))
        .cluster(config)
        .grain(tallies.store(Late(shared)).role("host"))
        .grain(bare.role("host"))
        .start()
        .await?;
    Ok(system)
}

/// Which node a process is, the port of who keeps what is shared, its own, and how often it probes.
const NODE: &str = "RAKT_TEST_CLUSTER_NODE";
const READY: &str = "the node listens on ";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a process of the tests below"]
async fn node_process() -> Result {
    let numbers = std::env::var(NODE)?;
    let numbers: Vec<u16> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let &[node, keeper, port, probe] = &*numbers else { return Err("four numbers".into()) };
    let system = member(node.into(), port, Shared::at(keeper).await?, (LEASE, probe)).await?;
    system.spawn("host", || Host).await?;
    println!("{READY}{}", system.advertised().1);
    system.until_shutdown_signal().await;
    Ok(())
}

/// A process that is a node, ended with this one whatever happens.
pub(crate) struct Process {
    child: Child,
    /// A line of it lets the late write go on.
    pub(crate) input: ChildStdin,
    output: mpsc::Receiver<String>,
    pub(crate) port: u16,
}

impl Process {
    async fn start(node: u64, keeper: u16, port: u16, probe: u16) -> Result<Self> {
        let starting = tokio::task::spawn_blocking(move || {
            Self::start_here(node, keeper, port, probe).map_err(|error| error.to_string())
        });
        Ok(starting.await??)
    }

    fn start_here(node: u64, keeper: u16, port: u16, probe: u16) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["fleet::node_process", "--exact", "--ignored", "--nocapture"])
            .env(NODE, format!("{node} {keeper} {port} {probe}"))
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
    pub(crate) fn said(&mut self, text: &str) -> Result<String> {
        for line in &self.output {
            if let Some((_, rest)) = line.split_once(text) {
                return Ok(rest.to_owned());
            }
        }
        Err(format!("the node ended before it said {text:?}: {}", self.child.wait()?).into())
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// The memory that it has, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process is there");
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = kib.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("it has memory") * 1024
    }

    /// Waits for its end; whether that was an orderly one.
    pub(crate) async fn ended(mut self) -> Result<bool> {
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
pub(crate) struct Cluster {
    keeping: ActorSystem,
    pub(crate) counts: Counts,
    pub(crate) system: ActorSystem,
    pub(crate) nodes: BTreeMap<u64, Process>,
    probe: u16,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(LEASE).await
    }

    pub(crate) async fn start_with(lease: Duration) -> Result<Self> {
        Self::start_probing(lease, PROBE).await
    }

    pub(crate) async fn start_probing(lease: Duration, probe: u16) -> Result<Self> {
        let turn = TURN.lock().await;
        let (keeping, counts) = keep().await?;
        let keeper = keeping.advertised().1;
        let system = member(TEST, 0, Shared::at(keeper).await?, (lease, probe)).await?;
        let nodes = BTreeMap::new();
        let mut cluster = Self { keeping, counts, system, nodes, probe, _turn: turn };
        for node in 1..=3 {
            cluster.start_node(node, 0).await?;
        }
        Ok(cluster)
    }

    pub(crate) async fn start_node(&mut self, node: u64, port: u16) -> Result {
        let keeper = self.keeping.advertised().1;
        let process = within(Process::start(node, keeper, port, self.probe)).await?;
        self.nodes.insert(node, process);
        Ok(())
    }

    pub(crate) fn take(&mut self, node: u64) -> Process {
        self.nodes.remove(&node).expect("it is there")
    }

    pub(crate) fn grains(&self, count: usize) -> Vec<GrainRef<Tally>> {
        (0..count).map(|key| self.system.grain(key.to_string())).collect()
    }

    /// The actor `host` of that node.
    pub(crate) async fn host(&self, port: u16) -> Result<ActorRef<Host>> {
        let node = self.system.node("127.0.0.1", port);
        Ok(within(node.lookup("host")).await?.ok_or("it is there")?)
    }

    /// Waits until the members are like that, as this one knows.
    pub(crate) async fn members(&self, are: impl Fn(&Members) -> bool) -> Members {
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

    pub(crate) async fn end(self) -> Result {
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
pub(crate) async fn ask_all(grains: &[GrainRef<Tally>], add: u64) -> Result<Vec<Life>> {
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
