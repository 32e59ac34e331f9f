//! The nodes of a cluster: each is this test binary again, with a test that does nothing otherwise, and keeps the register with
//! the others.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rakt::cluster::{Config, Register, Static};
use rakt::grain::{Epoch, Grain, GrainKind};
use rakt::prelude::*;
use rakt_raft::Embedded;

use crate::world::{self, PORT, host};

pub(crate) const LEASE: Duration = Duration::from_secs(2);
pub(crate) const SYSTEM: &str = "days";

/// Asks a grain which life of it this is.
#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.Look", codec = "postcard", reply = Seen)]
pub(crate) struct Look;

/// The node that a grain lives on, its epoch, and how many have looked at this life.
#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.Seen", codec = "postcard")]
pub(crate) struct Seen {
    pub(crate) node: u64,
    pub(crate) epoch: (u64, u64, u64),
    pub(crate) looks: u64,
}

/// Keeps nothing: that there is one life at a time is up to the leases alone.
pub(crate) struct Bare {
    node: u64,
    looks: u64,
}

impl Actor for Bare {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Look>();
    }
}

impl Grain for Bare {
    const KIND: &'static str = "bare";
}

impl Handler<Look> for Bare {
    async fn handle(&mut self, _: Look, ctx: &mut Context<Self>) -> Result<Seen> {
        self.looks += 1;
        let Epoch { generation, view, counter } = ctx.epoch();
        Ok(Seen { node: self.node, epoch: (generation, view, counter), looks: self.looks })
    }
}

/// Asks a node for those that are Up, as it knows.
#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.Up", codec = "postcard", reply = Nodes)]
pub(crate) struct Up;

#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.Nodes", codec = "postcard")]
pub(crate) struct Nodes(pub(crate) BTreeSet<u64>);

pub(crate) struct Tells(Arc<Embedded>);

impl Actor for Tells {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Up>().remote::<Rewrite>().remote::<Toil>();
    }
}

impl Handler<Up> for Tells {
    async fn handle(&mut self, _: Up, ctx: &mut Context<Self>) -> Result<Nodes> {
        let members = ctx.system().members().ok_or("it is in a cluster")?;
        let up = members.up().map(|member| world::node(&member.host));
        Ok(Nodes(up.collect::<Result<_>>()?))
    }
}

/// Has a node write the view anew so often, as it is: the log grows by that. The answer is how often that was done.
#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.Rewrite", codec = "postcard", reply = u64)]
pub(crate) struct Rewrite(pub(crate) u64);

impl Handler<Rewrite> for Tells {
    async fn handle(&mut self, Rewrite(times): Rewrite, _: &mut Context<Self>) -> Result<u64> {
        let mut done = 0;
        for _ in 0..times {
            let (version, view) = self.0.read().await?;
            done += u64::from(self.0.swap(version, view).await.is_ok());
        }
        Ok(done)
    }
}

/// Has a node do sums for so many seconds, besides all else.
#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.Toil", codec = "postcard")]
pub(crate) struct Toil(pub(crate) u64);

impl Handler<Toil> for Tells {
    async fn handle(&mut self, Toil(seconds): Toil, _: &mut Context<Self>) -> Result {
        // Enough that little is left for the node.
        for _ in 0..16 {
            std::thread::spawn(move || {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_secs(seconds) {
                    std::hint::spin_loop();
                }
            });
        }
        Ok(())
    }
}

/// Which node a process is, of how many that found the cluster, their lease in milliseconds, and its directory.
const NODE: &str = "RAKT_TEST_DAYS_NODE";
const WAITS: &str = "the node waits for its network";
const READY: &str = "the node is a member";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of the tests"]
async fn node_process() -> Result {
    let Ok(text) = std::env::var(NODE) else { return Ok(()) };
    let mut parts = text.splitn(4, ' ');
    let mut part = || parts.next().ok_or("node, count, lease, directory");
    let (node, count, lease, dir) = (part()?.parse()?, part()?.parse()?, part()?.parse()?, part()?);
    let lease = Duration::from_millis(lease);
    // What goes wrong is said.
    let log =
        tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::ERROR);
    log.with_ansi(false).init();
    println!("{WAITS}");
    std::io::stdin().read_line(&mut String::new())?;
    // It ends with the test.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1)
    });
    let register = Embedded::at(dir)
        .expect(count)
        .settle(Duration::from_millis(500))
        .heartbeat(Duration::from_millis(150));
    let register = Arc::new(register);
    let nodes = Static::new((1..=count.into()).map(|node: u64| (host(node), PORT)));
    let config =
        Config::on(register.clone()).discover(nodes).lease(lease).probe_interval(lease / 10);
    let system = ActorSystem::builder(SYSTEM)
        .remoting(remote::Config::new(host(node), PORT).allow_plaintext_beyond_loopback())
        .cluster(config)
        .grain(GrainKind::built_by(move || Bare { node, looks: 0 }))
        .start()
        .await?;
    system.spawn("tells", move || Tells(register.clone())).await?;
    println!("{READY}");
    system.until_shutdown_signal().await;
    Ok(())
}

/// A process that is a node.
pub(crate) struct Node {
    child: Child,
    input: ChildStdin,
    output: mpsc::Receiver<String>,
    heard: BTreeSet<&'static str>,
}

impl Node {
    /// In a network of its own. It has yet to become a member.
    fn start(node: u64, (count, lease): (u64, Duration), dir: &Path) -> Result<Self> {
        let mut child = Command::new("unshare")
            .arg("--net")
            .arg(std::env::current_exe()?)
            .args(["fleet::node_process", "--exact", "--ignored", "--nocapture"])
            .env(NODE, format!("{node} {count} {} {}", lease.as_millis(), dir.display()))
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
        let mut started = Self { child, input, output: lines, heard: BTreeSet::new() };
        started.said(WAITS)?;
        world::connect(node, started.process())?;
        writeln!(started.input)?;
        Ok(started)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has said that since this was asked last.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.output.try_iter().any(|line| line.contains(text))
    }

    /// Waits for what it says once, unless that was waited for before.
    fn said_once(&mut self, text: &'static str) -> Result {
        if self.heard.insert(text) { self.said(text) } else { Ok(()) }
    }

    /// Waits until it has said something that has this in it.
    pub(crate) fn said(&mut self, text: &str) -> Result {
        match self.output.iter().any(|line| line.contains(text)) {
            true => Ok(()),
            false => {
                Err(format!("it ended before it said {text:?}: {}", self.child.wait()?).into())
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Fails if it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The nodes of a cluster.
pub(crate) struct Fleet {
    pub(crate) nodes: BTreeMap<u64, Node>,
    count: u64,
    lease: Duration,
    dir: tempfile::TempDir,
}

impl Fleet {
    /// So many that are to found a cluster. None is started yet.
    pub(crate) fn new(count: u64, lease: Duration) -> Result<Self> {
        Ok(Self { nodes: BTreeMap::new(), count, lease, dir: tempfile::tempdir()? })
    }

    /// Starts all, and waits until they are members.
    pub(crate) fn start(mut self) -> Result<Self> {
        (1..=self.count).try_for_each(|node| self.launch(node))?;
        self.ready()?;
        Ok(self)
    }

    pub(crate) fn dir(&self, node: u64) -> PathBuf {
        self.dir.path().join(node.to_string())
    }

    /// Starts a node, for the first time or again. It is no member yet.
    pub(crate) fn launch(&mut self, node: u64) -> Result {
        let started = Node::start(node, (self.count, self.lease), &self.dir(node))?;
        self.nodes.insert(node, started);
        Ok(())
    }

    /// Waits until those that were started last are members.
    pub(crate) fn ready(&mut self) -> Result {
        self.nodes.values_mut().try_for_each(|node| node.said_once(READY))
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self, node: u64) {
        drop(self.nodes.remove(&node));
    }

    /// What `from` sends to `to` is lost.
    pub(crate) fn cut_one_way(&self, from: &[u64], to: &[u64]) -> Result {
        from.iter().try_for_each(|node| world::lose(self.nodes[node].process(), to))
    }

    pub(crate) fn cut(&self, some: &[u64], others: &[u64]) -> Result {
        self.cut_one_way(some, others)?;
        self.cut_one_way(others, some)
    }

    pub(crate) fn heal_one_way(&self, from: &[u64], to: &[u64]) -> Result {
        from.iter().try_for_each(|node| world::heal(self.nodes[node].process(), to))
    }

    pub(crate) fn heal(&self, some: &[u64], others: &[u64]) -> Result {
        self.heal_one_way(some, others)?;
        self.heal_one_way(others, some)
    }
}
