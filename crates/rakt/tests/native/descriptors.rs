//! A node that has used up its file descriptors: it waits, neither ends nor spins, and goes on once
//! there are some again.
//!
//! The node is a process of its own, with a limit of its own: this program, run once more.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig};

use crate::hostile::{self, Target, connect};
use crate::messages::Echo;
use crate::nodes::config;
use crate::support::LIMIT;

/// Descriptors that the node may have. It needs about ten to start with.
const DESCRIPTORS: usize = 48;

struct Victim {
    process: Child,
    port: u16,
}

impl Victim {
    fn start() -> Self {
        let program = std::env::current_exe().expect("it is known");
        let role = "descriptors::role_of_the_victim --exact --ignored --nocapture";
        let script = format!("ulimit -n {DESCRIPTORS}; exec \"$0\" {role}");
        let mut process = Command::new("sh")
            .args(["-c", &script])
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process starts");
        let output = BufReader::new(process.stdout.take().expect("it has an output"));
        let mut lines = output.lines().map_while(Result::ok);
        let port = lines.find_map(|line| line.split_once("ready ")?.1.trim().parse().ok());
        // What it says later is of no interest, but must go somewhere.
        std::thread::spawn(move || lines.count());
        Self { process, port: port.expect("the node starts") }
    }

    /// Processor time used so far. Linux counts it in hundredths of a second.
    fn busy(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = std::fs::read_to_string(path).expect("the process is there");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let fields: Vec<u64> = fields.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
        Duration::from_millis(10 * (fields[11] + fields[12]))
    }

    fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.process.id());
        std::fs::read_dir(path).expect("the process is there").count()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Fails if it has ended already, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the second process of the test below"]
async fn role_of_the_victim() -> Result {
    let remoting = config().dial_timeout(Duration::from_secs(60));
    let system = ActorSystem::builder("victim").remoting(remoting).start().await?;
    system.spawn("other", Target::default).await?;
    println!("ready {}", system.advertised().1);
    // Until the first process closes it, or is gone.
    tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await?;
    system.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_descriptors_waits_for_some() -> Result {
    let mut victim = tokio::task::spawn_blocking(Victim::start).await?;
    let address = Address::new("other", "victim", "127.0.0.1", victim.port)?;
    let calm = Client::new("calm", ClientConfig::new().max_idle_conns(1))?;
    calm.ask(&address, Echo::default()).await?;

    let mut crowd = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        crowd.push(connect(victim.port).await);
    }
    hostile::until("it has none left", || victim.descriptors() >= DESCRIPTORS).await;
    let (start, before) = (Instant::now(), victim.busy());
    while start.elapsed() < Duration::from_secs(3) {
        calm.ask(&address, Echo::default()).timeout(LIMIT).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (busy, passed) = (victim.busy() - before, start.elapsed());
    assert!(4 * busy < passed, "it spins: {busy:?} of {passed:?}");
    assert!(victim.process.try_wait()?.is_none(), "it ended");
    assert!(victim.descriptors() >= DESCRIPTORS, "there were none all the time");

    drop(crowd);
    let late = Client::new("late", ClientConfig::new())?;
    late.ask(&address, Echo::default()).timeout(LIMIT).await?;
    calm.ask(&address, Echo::default()).await?;
    drop(victim.process.stdin.take());
    let ended = tokio::task::spawn_blocking(move || victim.process.wait()).await??;
    assert!(ended.success(), "{ended}");
    Ok(())
}
