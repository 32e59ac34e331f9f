//! What becomes of the register, and of those who need it, when the voter that leads is gone.
//!
//! Times are asserted in simulated time alone; real processes show what nodes make of it.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rakt::cluster::{Config, Register, Starting, Static, Version};
use rakt::grain::{Grain, GrainKind, Placement};
use rakt::prelude::*;
use rakt::testkit::{Network, Simulation, simulate};
use rakt_raft::Embedded;

/// A voter is loyal to a leader for six heartbeats of 300 ms by default, and waits for three more at least.
const BY_TIMERS: Duration = Duration::from_millis(9 * 300);
const HEARTBEAT: Duration = Duration::from_millis(300);

struct Voter {
    name: String,
    system: ActorSystem,
    register: Arc<Embedded>,
}

async fn voters(sim: &Simulation, dir: &Path, count: u32) -> Result<Vec<Voter>> {
    let names: Vec<String> = (0..count).map(|n| format!("n{n}")).collect();
    let mut voters = Vec::new();
    for name in &names {
        let config = sim.network().config(name);
        let system = ActorSystem::builder("cluster").remoting(config).start().await?;
        let register = Arc::new(Embedded::at(dir.join(name)).expect(count));
        voters.push(Voter { name: name.clone(), system, register });
    }
    let all = Static::new(names.iter().map(|name| (name.clone(), Network::PORT)));
    let starting = voters.iter().map(|voter| {
        let starting = Starting::new(voter.system.clone(), all.clone());
        let register = voter.register.clone();
        tokio::spawn(async move { register.start(starting).await })
    });
    for started in starting.collect::<Vec<_>>() {
        started.await??;
    }
    Ok(voters)
}

/// How long it takes until a register that lost its leader answers, by simulated time.
async fn without_leader(
    sim: &Simulation,
    count: u32,
    lose: impl AsyncFn(&Network, &Voter, &[Voter]),
) -> Result<Duration> {
    let dir = tempfile::tempdir()?;
    let mut voters = voters(sim, dir.path(), count).await?;
    let version = voters[0].register.swap(Version(0), "a view".into()).await?;
    let (leader, _) = voters[0].register.leader().await?;
    let at = voters.iter().position(|voter| voter.register.id() == Some(leader));
    let led = voters.swap_remove(at.ok_or("it is one of them")?);
    tokio::time::sleep(Duration::from_millis(sim.random(5_000..6_000))).await;
    let since = tokio::time::Instant::now();
    lose(sim.network(), &led, &voters).await;
    while !matches!(voters[0].register.confirm(version).await, Ok(true)) {}
    let took = since.elapsed();
    let (leader, _) = voters[0].register.leader().await?;
    assert!(voters.iter().any(|voter| voter.register.id() == Some(leader)), "another one leads");
    for Voter { system, register, .. } in voters.into_iter().chain([led]) {
        register.stop().await;
        system.shutdown().await;
    }
    Ok(took)
}

#[test]
fn where_the_process_of_the_leader_is_gone_another_one_leads_at_once() {
    simulate(10, async |sim| {
        let count = if sim.random(0..2) == 0 { 3 } else { 5 };
        let crash = async |network: &Network, led: &Voter, _: &[Voter]| network.crash(&led.name);
        let took = without_leader(&sim, count, crash).await?;
        assert!(took < HEARTBEAT * 4, "{count} voters were without a leader for {took:?}");
        Ok(())
    });
}

#[test]
fn where_the_leader_ends_in_order_another_one_leads_at_once() {
    simulate(5, async |sim| {
        let end = async |_: &Network, led: &Voter, _: &[Voter]| {
            led.register.stop().await;
            led.system.shutdown().await;
        };
        let took = without_leader(&sim, 3, end).await?;
        assert!(took < HEARTBEAT * 4, "they were without a leader for {took:?}");
        Ok(())
    });
}

#[test]
fn a_leader_that_only_says_nothing_leads_until_its_time_is_over() {
    simulate(4, async |sim| {
        let stall = async |network: &Network, led: &Voter, others: &[Voter]| {
            others.iter().for_each(|other| network.stall(&led.name, &other.name));
        };
        let took = without_leader(&sim, 3, stall).await?;
        assert!(took >= BY_TIMERS - HEARTBEAT * 2, "it was given up after {took:?}");
        Ok(())
    });
}

#[derive(Debug, serde::Serialize, serde::Deserialize, Message)]
#[rakt(name = "tests.Epoch", codec = "postcard", reply = String)]
struct Epoch;

#[derive(Default)]
struct Lives;

impl Actor for Lives {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Epoch>();
    }
}

impl Grain for Lives {
    const KIND: &'static str = "lives";
}

impl Handler<Epoch> for Lives {
    async fn handle(&mut self, _: Epoch, ctx: &mut Context<Self>) -> Result<String> {
        Ok(ctx.epoch().to_string())
    }
}

/// Tells a process its directory, which node it is, and the ports of all.
const NODE: &str = "RAKT_TEST_RAFT_NODE";
const SAYS: &str = "the node says: ";
const GRAINS: usize = 60;
/// After this a test is hung.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of another test"]
async fn the_process() -> Result {
    let Ok(node) = std::env::var(NODE) else { return Ok(()) };
    let mut words = node.split(' ');
    let dir = words.next().ok_or("a directory")?;
    let ports: Vec<u16> = words.map(str::parse).collect::<std::result::Result<_, _>>()?;
    let (&port, all) = ports.split_first().ok_or("its port, and all of them")?;
    let register = Embedded::at(dir).settle(Duration::from_millis(200)).expect(all.len() as u32);
    let register = Arc::new(register);
    let others = Static::new(all.iter().map(|port| ("127.0.0.1", *port)));
    let config = Config::on(register.clone()).discover(others);
    let system = ActorSystem::builder("cluster")
        .remoting(remote::Config::new("127.0.0.1", port))
        .cluster(config.lease(Duration::from_secs(2)).probe_interval(Duration::from_millis(200)))
        .grain(GrainKind::<Lives>::new().placement(Placement::Local))
        .start()
        .await?;
    say("ready")?;
    for line in std::io::stdin().lines() {
        match line?.as_str() {
            "leader" => {
                let (_, at) = register.leader().await?;
                say(&at.port.to_string())?;
            }
            _ => {
                let mut epochs = Vec::new();
                for n in 0..GRAINS {
                    let grain = system.grain::<Lives>(n.to_string());
                    epochs.push(epoch(&grain).await?);
                }
                say(&epochs.join(" "))?;
            }
        }
    }
    Ok(())
}

/// Out of the process before it goes on, and told from what the test says.
fn say(what: &str) -> Result {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{SAYS}{what}")?;
    Ok(out.flush()?)
}

/// However often it has to be asked.
async fn epoch(grain: &GrainRef<Lives>) -> Result<String> {
    let since = tokio::time::Instant::now();
    loop {
        match grain.ask(Epoch).await {
            Ok(epoch) => return Ok(epoch),
            Err(error) if since.elapsed() > LIMIT => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A node that is a process: this test binary again. Killed when it is dropped.
struct Process {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Process {
    fn start(dir: &Path, port: u16, all: &[u16]) -> Result<Self> {
        let ports: Vec<String> = [port].iter().chain(all).map(ToString::to_string).collect();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["the_process", "--exact", "--ignored", "--nocapture"])
            .env(NODE, format!("{} {}", dir.display(), ports.join(" ")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("it has an input")?;
        let lines = BufReader::new(child.stdout.take().ok_or("it has an output")?).lines();
        Ok(Self { child, input, lines, port })
    }

    fn said(&mut self) -> Result<String> {
        for line in &mut self.lines {
            if let Some((_, said)) = line?.split_once(SAYS) {
                return Ok(said.to_owned());
            }
        }
        Err("the process has ended".into())
    }

    fn tell(&mut self, what: &str) -> Result<String> {
        writeln!(self.input, "{what}")?;
        self.said()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn grains_of_the_node_that_led_the_register_live_on_where_others_are_after_a_kill() -> Result {
    let dir = tempfile::tempdir()?;
    // They are free a moment later, and known to all before anybody starts.
    let free = [(); 3].map(|()| std::net::TcpListener::bind(("127.0.0.1", 0)));
    let mut ports = Vec::new();
    for listener in free {
        ports.push(listener?.local_addr()?.port());
    }
    let start = |port: &u16| Process::start(&dir.path().join(port.to_string()), *port, &ports);
    let mut nodes: Vec<Process> = ports.iter().map(start).collect::<Result<_>>()?;
    for node in &mut nodes {
        assert_eq!(node.said()?, "ready");
    }
    let leader: u16 = nodes[0].tell("leader")?.parse()?;
    let at = nodes.iter().position(|node| node.port == leader).ok_or("it is one of them")?;
    let mut led = nodes.swap_remove(at);
    let before = led.tell("epochs")?;
    drop(led);
    let after = nodes[0].tell("epochs")?;
    assert_eq!(nodes[1].tell("epochs")?, after, "each lives once");
    for (before, after) in before.split(' ').zip(after.split(' ')) {
        assert!(order(after)? > order(before)?, "{after} after {before}");
    }
    let leader: u16 = nodes[1].tell("leader")?.parse()?;
    assert!(nodes.iter().any(|node| node.port == leader), "one of those that are left leads");
    Ok(())
}

fn order(epoch: &str) -> Result<Vec<u64>> {
    Ok(epoch.split('.').map(str::parse).collect::<std::result::Result<_, _>>()?)
}
