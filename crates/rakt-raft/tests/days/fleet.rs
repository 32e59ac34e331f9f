//! The nodes of a cluster: each is this test binary again, with a test that does nothing otherwise, and keeps the register with
//! the others.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rakt::cluster::{Config, Static};
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

pub(crate) struct Tells;

impl Actor for Tells {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Up>();
    }
}

impl Handler<Up> for Tells {
    async fn handle(&mut self, _: Up, ctx: &mut Context<Self>) -> Result<Nodes> {
        let members = ctx.system().members().ok_or("it is in a cluster")?;
        let up = members.up().map(|member| world::node(&member.host));
        Ok(Nodes(up.collect::<Result<_>>()?))
    }
}

/// Which node a process is, of how many that found the cluster, and its directory.
const NODE: &str = "RAKT_TEST_DAYS_NODE";
const WAITS: &str = "the node waits for its network";
const READY: &str = "the node is a member";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of the tests"]
async fn node_process() -> Result {
    let Ok(text) = std::env::var(NODE) else { return Ok(()) };
    let mut parts = text.splitn(3, ' ');
    let mut part = || parts.next().ok_or("node, count, directory");
    let (node, count, dir) = (part()?.parse()?, part()?.parse()?, part()?);
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
    let nodes = Static::new((1..=count.into()).map(|node: u64| (host(node), PORT)));
    let config = Config::on(register).discover(nodes).lease(LEASE).probe_interval(LEASE / 10);
    let system = ActorSystem::builder(SYSTEM)
        .remoting(remote::Config::new(host(node), PORT).allow_plaintext_beyond_loopback())
        .cluster(config)
        .grain(GrainKind::built_by(move || Bare { node, looks: 0 }))
        .start()
        .await?;
    system.spawn("tells", || Tells).await?;
    println!("{READY}");
    system.until_shutdown_signal().await;
    Ok(())
}

/// A process that is a node.
pub(crate) struct Node {
    child: Child,
    input: ChildStdin,
    output: mpsc::Receiver<String>,
}

impl Node {
    /// In a network of its own. It has yet to become a member.
    fn start(node: u64, count: u64, dir: &Path) -> Result<Self> {
        let mut child = Command::new("unshare")
            .arg("--net")
            .arg(std::env::current_exe()?)
            .args(["fleet::node_process", "--exact", "--ignored", "--nocapture"])
            .env(NODE, format!("{node} {count} {}", dir.display()))
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
        let mut started = Self { child, input, output: lines };
        started.said(WAITS)?;
        world::connect(node, started.process())?;
        writeln!(started.input)?;
        Ok(started)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
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

/// Nodes that have founded a cluster.
pub(crate) struct Fleet {
    pub(crate) nodes: BTreeMap<u64, Node>,
    _dir: tempfile::TempDir,
}

impl Fleet {
    pub(crate) fn start(count: u64) -> Result<Self> {
        let (dir, mut nodes) = (tempfile::tempdir()?, BTreeMap::new());
        for node in 1..=count {
            nodes.insert(node, Node::start(node, count, &dir.path().join(node.to_string()))?);
        }
        nodes.values_mut().try_for_each(|node| node.said(READY))?;
        Ok(Self { nodes, _dir: dir })
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
