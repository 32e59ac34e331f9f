//! The side that is told and asked: a process of its own, as its parent sees it and from within.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rakt::prelude::*;
use rakt::remote::{Client, Config};

use crate::Result;
use crate::bare::Link;

/// Actors that are there for whoever tells and asks.
pub(crate) const TARGETS: usize = 1000;
/// What this program is told to be the other side, and to be that without rakt.
pub(crate) const SERVE: &str = "serve";
pub(crate) const SERVE_BARE: &str = "serve-bare";
const SYSTEM: &str = "node";
const NURSERY: &str = "nursery";
pub(crate) const HOST: &str = "127.0.0.1";
/// Longer than any step takes: who rests is not to be cut off.
const LONG: Duration = Duration::from_secs(3600);
/// For what waits behind many messages, or starts a million actors.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Note {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: Bytes,
}

/// Comes back as it is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Echo {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: Bytes,
}

/// Asks how many notes came.
#[derive(Clone, PartialEq, prost::Message)]
struct Count {}

#[derive(Clone, PartialEq, prost::Message)]
struct Counted {
    #[prost(uint64, tag = "1")]
    notes: u64,
}

/// Asks for more actors that have nothing to do, and for what the process has resident then.
#[derive(Clone, PartialEq, prost::Message)]
struct Grow {
    #[prost(uint64, tag = "1")]
    actors: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resident {
    #[prost(uint64, tag = "1")]
    bytes: u64,
}

rakt::messages! {
    Note as "load.Note",
    Echo as "load.Echo" => Echo,
    Count as "load.Count" => Counted as "load.Counted",
    Grow as "load.Grow" => Resident as "load.Resident",
}

#[derive(Default)]
struct Counter(u64);

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Note>().remote::<Echo>().remote::<Count>();
    }
}

impl Handler<Note> for Counter {
    async fn handle(&mut self, _: Note, _: &mut Context<Self>) -> rakt::Result {
        self.0 += 1;
        Ok(())
    }
}

impl Handler<Echo> for Counter {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> rakt::Result<Echo> {
        Ok(echo)
    }
}

impl Handler<Count> for Counter {
    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> rakt::Result<Counted> {
        Ok(Counted { notes: self.0 })
    }
}

/// Starts actors.
#[derive(Default)]
struct Nursery(u64);

impl Actor for Nursery {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Grow>();
    }
}

impl Handler<Grow> for Nursery {
    async fn handle(
        &mut self,
        Grow { actors }: Grow,
        ctx: &mut Context<Self>,
    ) -> rakt::Result<Resident> {
        let system = ctx.system().clone();
        for n in self.0..self.0 + actors {
            system.spawn(format!("idle-{n}"), Counter::default).await?;
        }
        self.0 += actors;
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes: u64 =
            line.ok_or("no line VmRSS")?.trim().trim_end_matches("kB").trim().parse()?;
        Ok(Resident { bytes: kibibytes * 1024 })
    }
}

/// Says `ready PORT` and works until it is killed.
pub(crate) async fn serve() -> Result {
    let config =
        Config::new(HOST, 0).max_connections(20_000).idle_timeout(LONG).read_idle_timeout(LONG);
    let system = ActorSystem::builder(SYSTEM).remoting(config).start().await?;
    for n in 0..TARGETS {
        system.spawn(target(n), Counter::default).await?;
    }
    system.spawn(NURSERY, Nursery::default).await?;
    println!("ready {}", system.advertised().1);
    std::future::pending().await
}

fn target(n: usize) -> String {
    format!("target-{n}")
}

/// A node of this program; killed when dropped.
pub(crate) struct Node {
    port: u16,
    child: Child,
}

impl Node {
    /// One that is told to be `what`.
    pub(crate) fn start(what: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(what)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no pipe")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line.strip_prefix("ready ").ok_or("the node did not start")?.trim().parse()?;
        Ok(Self { port, child })
    }

    fn address(&self, name: &str) -> Result<Address> {
        Ok(format!("rakt://{SYSTEM}@{HOST}:{}/{name}", self.port).parse()?)
    }

    /// One of the actors, over the connections of `client`.
    pub(crate) fn target(&self, client: &Client, n: usize) -> Result<Target> {
        Ok(Target::Actor(client.actor(&self.address(&target(n % TARGETS))?)))
    }

    /// A link without rakt.
    pub(crate) async fn bare(&self) -> Result<Target> {
        Ok(Target::Bare(Link::open(self.port).await?.into()))
    }

    /// Has so many more actors that rest, and says what the node has resident then, in bytes.
    pub(crate) async fn grow(&self, client: &Client, actors: usize) -> Result<u64> {
        let nursery = self.address(NURSERY)?;
        let grow = Grow { actors: actors as u64 };
        Ok(client.ask(&nursery, grow).timeout(PATIENCE).await?.bytes)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who is told and asked.
#[derive(Clone)]
pub(crate) enum Target {
    Actor(ActorRef),
    /// Can only be asked.
    Bare(Arc<Link>),
}

impl Target {
    pub(crate) async fn tell(&self, payload: Bytes) -> Result {
        Ok(self.actor()?.tell(Note { payload }).await?)
    }

    pub(crate) async fn ask(&self, payload: Bytes) -> Result {
        match self {
            Self::Actor(actor) => drop(actor.ask(Echo { payload }).await?),
            Self::Bare(link) => link.ask().await?,
        }
        Ok(())
    }

    /// How many notes it has had; the answer comes behind all that was told by this way.
    pub(crate) async fn count(&self) -> Result<u64> {
        Ok(self.actor()?.ask(Count {}).timeout(PATIENCE).await?.notes)
    }

    fn actor(&self) -> Result<&ActorRef> {
        match self {
            Self::Actor(actor) => Ok(actor),
            Self::Bare(_) => Err("who is no actor takes no notes".into()),
        }
    }
}
