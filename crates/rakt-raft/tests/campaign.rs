//! Registers in a simulated network that is cut, stalled and healed while nodes are killed and restarted, and whoever reads,
//! confirms and swaps writes down what he was told. What they were told has to be what one register could have said.
//!
//! `RAKT_RAFT_ROUNDS` says how many runs, of random seeds or of those from `RAKT_FIRST` on; `RAKT_SEED` repeats the faults of one.
//! What openraft draws it does not repeat. `RAKT_REPLACEMENTS` says how many voters are replaced in all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rakt::cluster::{Register, Starting, Static, SwapError, Version};
use rakt::prelude::*;
use rakt::testkit::{Network, Simulation, simulate, simulate_seed};
use rakt_raft::Embedded;
use tokio::task::JoinHandle;

/// Faults of a run, each a few seconds after the one before.
const FAULTS: u64 = 24;
/// In which everything works again once all is healed, in simulated time.
const RECOVERY: Duration = Duration::from_secs(60);

/// What everybody was told so far.
#[derive(Default)]
struct History {
    /// The newest version that anybody has been told of by an answer.
    newest: u64,
    /// The views of versions.
    views: BTreeMap<u64, String>,
    /// Which swaps were sent, by what they were over.
    sent: BTreeMap<u64, BTreeSet<String>>,
    /// Views of swaps that are said to be none, and never to become any.
    lost: BTreeSet<String>,
    swaps: u64,
    reads: u64,
    confirmed: u64,
    unknown: u64,
    conflicts: u64,
    failed: u64,
    replaced: u64,
}

impl History {
    fn saw(&mut self, version: u64, view: &str) {
        assert!(
            !self.lost.contains(view),
            "{view} was said to have lost, and is version {version}"
        );
        let is_sent =
            version == 0 || self.sent.get(&(version - 1)).is_some_and(|sent| sent.contains(view));
        assert!(is_sent, "nobody has swapped {view} over {version} - 1");
        let there = self.views.entry(version).or_insert_with(|| view.to_owned());
        assert_eq!(there, view, "two views of version {version}");
        self.newest = self.newest.max(version);
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<History>>);

impl Shared {
    fn get(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, register: &Embedded) -> Option<(u64, String)> {
        let before = self.get().newest;
        let Ok((Version(version), view)) = register.read().await else {
            self.get().failed += 1;
            return None;
        };
        let view = String::from_utf8(view.to_vec()).expect("it was text");
        let mut history = self.get();
        assert!(version >= before, "{version} is read, and {before} was told before");
        history.saw(version, &view);
        history.reads += 1;
        Some((version, view))
    }

    async fn confirm(&self, register: &Embedded, seen: u64) {
        let before = self.get().newest;
        let confirmed = register.confirm(Version(seen)).await;
        let mut history = self.get();
        let Ok(is_newest) = confirmed else {
            history.failed += 1;
            return;
        };
        history.confirmed += 1;
        match is_newest {
            true => assert!(seen >= before, "{seen} is confirmed, and {before} was told before"),
            false => {
                let is_over = history.sent.contains_key(&seen) || before > seen;
                assert!(is_over, "{seen} is not confirmed, and there was none after it");
            }
        }
    }

    async fn swap(&self, register: &Embedded, over: u64, view: String) -> Option<u64> {
        let before = {
            let mut history = self.get();
            history.sent.entry(over).or_default().insert(view.clone());
            history.newest
        };
        let swapped = register.swap(Version(over), view.clone().into()).await;
        let mut history = self.get();
        match swapped {
            Ok(Version(version)) => {
                assert_eq!(version, over + 1);
                assert!(version > before, "{version} is written, and {before} was told before");
                history.saw(version, &view);
                history.swaps += 1;
                return Some(version);
            }
            Err(SwapError::Conflict) => {
                let is_other = history.sent[&over].len() > 1 || before > over;
                assert!(is_other, "there was no other swap over {over}");
                let was_seen = history.views.get(&(over + 1)) == Some(&view);
                assert!(!was_seen, "{view} was version {over} + 1, and is said to have lost");
                history.lost.insert(view);
                history.conflicts += 1;
            }
            Err(_) => history.unknown += 1,
        }
        None
    }
}

/// A node, or its directory while it is down.
struct Node {
    name: String,
    dir: PathBuf,
    expect: Option<u32>,
    pause: Duration,
    running: Option<Running>,
}

struct Running {
    system: ActorSystem,
    register: Arc<Embedded>,
    client: JoinHandle<()>,
    replacing: Option<JoinHandle<()>>,
}

async fn client(sim: Simulation, history: Shared, name: String, register: Arc<Embedded>) {
    let mut n = 0;
    let mut seen = history.read(&register).await.map_or(0, |(version, _)| version);
    loop {
        tokio::time::sleep(Duration::from_millis(sim.random(1..700))).await;
        match sim.random(0..4) {
            0 => seen = history.read(&register).await.map_or(seen, |(version, _)| version),
            1 => history.confirm(&register, seen).await,
            _ => {
                // Sometimes what it has seen long ago.
                if sim.random(0..2) == 0
                    && let Some((version, _)) = history.read(&register).await
                {
                    seen = version;
                }
                n += 1;
                let view = format!("{name} {n} {}", sim.random(0..u64::MAX));
                seen = history.swap(&register, seen, view).await.unwrap_or(seen);
            }
        }
    }
}

/// Has a node that does not vote take the place of one that does, if that can be had.
async fn replace(sim: Simulation, history: Shared, register: Arc<Embedded>) {
    let (Ok(voters), Some(own)) = (register.voters().await, register.id()) else { return };
    if voters.iter().any(|(id, _)| *id == own) {
        return;
    }
    let old = voters[sim.random(0..voters.len() as u64) as usize].0;
    if let Ok(now) = register.replace(old).await {
        assert_eq!(now.len(), voters.len(), "one for one");
        history.get().replaced += 1;
    }
}

impl Node {
    async fn start(&mut self, sim: &Simulation, names: &[String], history: &Shared) -> Result {
        let config = sim.network().config(&self.name);
        let system = ActorSystem::builder("cluster").remoting(config).start().await?;
        let register = Embedded::at(&self.dir)
            .start_timeout(Duration::from_secs(3_600))
            .change_interval(self.pause);
        let register = Arc::new(match self.expect {
            Some(n) => register.expect(n),
            None => register,
        });
        let starting = Starting::new(
            system.clone(),
            Static::new(names.iter().map(|name| (name.clone(), Network::PORT))),
        );
        let client = tokio::spawn({
            let (sim, history, name) = (sim.clone(), history.clone(), self.name.clone());
            let register = register.clone();
            async move {
                register.start(starting).await.expect("it starts");
                client(sim, history, name, register).await;
            }
        });
        self.running = Some(Running { system, register, client, replacing: None });
        Ok(())
    }

    /// Off the network at once. What it was about to do, it does not.
    async fn kill(&mut self, sim: &Simulation) {
        if let Some(Running { system, register, client, replacing }) = self.running.take() {
            sim.network().crash(&self.name);
            client.abort();
            if let Some(replacing) = replacing {
                replacing.abort();
                // It was only in the way of the next start.
                let _ = replacing.await;
            }
            if let Err(ended) = client.await
                && ended.is_panic()
            {
                std::panic::resume_unwind(ended.into_panic());
            }
            register.stop().await;
            system.shutdown().await;
        }
    }
}

/// In memory, where that can be had: what is to be found here is not how a disk fails.
fn temporary() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

/// Nodes that found a cluster, and some that come later, with so long between two replacements of voters. None runs yet.
fn planned(dir: &Path, founders: u64, later: u64, pause: Duration) -> (Vec<String>, Vec<Node>) {
    let names: Vec<String> = (0..founders + later).map(|n| format!("n{n}")).collect();
    let node = |(n, name): (u64, &String)| {
        let expect = (n < founders).then_some(founders as u32);
        Node { name: name.clone(), dir: dir.join(name), expect, pause, running: None }
    };
    let nodes = (0..).zip(&names).map(node).collect();
    (names, nodes)
}

/// Nobody has found a fault so far.
fn still_go(nodes: &[Node]) -> Result {
    let running = nodes.iter().filter_map(|node| node.running.as_ref());
    match running.into_iter().find(|node| node.client.is_finished()) {
        Some(over) => Err(format!("{} has found a fault", over.system.advertised().0).into()),
        None => Ok(()),
    }
}

/// All is healed: everybody can read again, and goes on to swap.
async fn end(sim: &Simulation, names: &[String], mut nodes: Vec<Node>, history: &Shared) -> Result {
    sim.network().heal_all();
    for node in &mut nodes {
        if node.running.is_none() {
            node.start(sim, names, history).await?;
        }
    }
    let recovered = async {
        for node in &nodes {
            let register = &node.running.as_ref().expect("all are started").register;
            while history.read(register).await.is_none() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    if tokio::time::timeout(RECOVERY, recovered).await.is_err() {
        return Err(format!("not all of {names:?} can read after {RECOVERY:?}").into());
    }
    let before = history.get().swaps;
    tokio::time::sleep(RECOVERY).await;
    let after = history.get().swaps;
    assert!(after > before, "nothing is swapped any more");
    for node in &mut nodes {
        node.kill(sim).await;
    }
    Ok(())
}

async fn run(sim: Simulation) -> Result {
    let dir = temporary()?;
    let history = Shared::default();
    let (founders, later) = (sim.random(2..6), sim.random(0..3));
    let (names, mut nodes) = planned(dir.path(), founders, later, Duration::from_secs(5));
    for node in &mut nodes {
        node.start(&sim, &names, &history).await?;
        if sim.random(0..2) == 0 {
            tokio::time::sleep(Duration::from_millis(sim.random(0..8_000))).await;
        }
    }
    let pick = |sim: &Simulation| sim.random(0..names.len() as u64) as usize;
    for _ in 0..FAULTS {
        tokio::time::sleep(Duration::from_millis(sim.random(100..6_000))).await;
        let (a, b) = (pick(&sim), pick(&sim));
        let network = sim.network();
        match sim.random(0..12) {
            0 | 1 if a != b => network.cut(&names[a], &names[b]),
            2 if a != b => network.stall(&names[a], &names[b]),
            3 if a != b => network.stall_one_way(&names[a], &names[b]),
            4 if a != b => network.lose(&names[a], &names[b]),
            5 => {
                for other in names.iter().filter(|other| **other != names[a]) {
                    network.cut(&names[a], other);
                }
            }
            6 if nodes[a].running.is_some() => nodes[a].kill(&sim).await,
            7 => {
                for node in &mut nodes {
                    node.kill(&sim).await;
                }
                // The next fault that does nothing else starts them, or they are back at once.
                if sim.random(0..2) == 0 {
                    network.heal_all();
                    for node in &mut nodes {
                        node.start(&sim, &names, &history).await?;
                    }
                }
            }
            8 => network.heal_all(),
            9 => {
                if let Some(running) = &mut nodes[a].running {
                    let replacing = replace(sim.clone(), history.clone(), running.register.clone());
                    if let Some(before) = running.replacing.replace(tokio::spawn(replacing)) {
                        before.abort();
                    }
                }
            }
            _ => {
                for node in &mut nodes {
                    if node.running.is_none() {
                        node.start(&sim, &names, &history).await?;
                    }
                }
                if sim.random(0..2) == 0 {
                    network.heal_all();
                }
            }
        }
        still_go(&nodes)?;
    }
    end(&sim, &names, nodes, &history).await?;
    let history = history.get();
    if std::env::var_os("RAKT_RAFT_ROUNDS").is_some() {
        println!(
            "seed {}: {founders} of {} found; version {}, {} swaps, {} conflicts, {} unknown, {} reads, {} confirmed, {} failed, {} voters replaced",
            sim.seed(),
            names.len(),
            history.newest,
            history.swaps,
            history.conflicts,
            history.unknown,
            history.reads,
            history.confirmed,
            history.failed,
            history.replaced,
        );
    }
    Ok(())
}

/// So many voters are replaced in one cluster.
const REPLACED: u64 = 50;

/// Voters are replaced one after the other, as fast as that goes, while some are cut off, stalled and killed.
async fn replaced(sim: Simulation) -> Result {
    let dir = temporary()?;
    let history = Shared::default();
    let founders = if sim.random(0..2) == 0 { 3 } else { 5 };
    let (names, mut nodes) = planned(dir.path(), founders, 3, Duration::from_millis(500));
    for node in &mut nodes {
        node.start(&sim, &names, &history).await?;
    }
    let mut steps = 0;
    while history.get().replaced < REPLACED {
        steps += 1;
        if steps > 100 * REPLACED {
            return Err(format!("{} are replaced in {steps} steps", history.get().replaced).into());
        }
        tokio::time::sleep(Duration::from_millis(sim.random(100..2_000))).await;
        let (a, b) = (sim.random(0..names.len() as u64), sim.random(0..names.len() as u64));
        let (a, b) = (a as usize, b as usize);
        match sim.random(0..20) {
            0 if a != b => sim.network().cut(&names[a], &names[b]),
            1 if a != b => sim.network().stall(&names[a], &names[b]),
            2 if a != b => sim.network().stall_one_way(&names[a], &names[b]),
            3 if a != b => sim.network().lose(&names[a], &names[b]),
            4 => names.iter().filter(|other| **other != names[a]).for_each(|other| {
                sim.network().cut(&names[a], other);
            }),
            5 if nodes[a].running.is_some() => nodes[a].kill(&sim).await,
            6..10 => {
                sim.network().heal_all();
                for node in &mut nodes {
                    if node.running.is_none() {
                        node.start(&sim, &names, &history).await?;
                    }
                }
            }
            _ => {
                if let Some(running) = &mut nodes[a].running {
                    let replacing = replace(sim.clone(), history.clone(), running.register.clone());
                    if let Some(before) = running.replacing.replace(tokio::spawn(replacing)) {
                        before.abort();
                    }
                }
            }
        }
        still_go(&nodes)?;
    }
    end(&sim, &names, nodes, &history).await?;
    let history = history.get();
    println!(
        "seed {}: {} voters of {founders} founders replaced in {steps} steps; version {}, {} unknown",
        sim.seed(),
        history.replaced,
        history.newest,
        history.unknown
    );
    Ok(())
}

#[test]
#[ignore = "it takes some seconds a run: `.ci/run register`"]
fn x16_voters_are_replaced_all_the_time_and_no_view_is_lost() {
    let runs = std::env::var("RAKT_REPLACEMENTS").ok().and_then(|count| count.parse::<u64>().ok());
    simulate(runs.map_or(1, |count| count.div_ceil(REPLACED)) as u32, replaced);
}

#[test]
#[ignore = "it takes some seconds a run: `.ci/run register`"]
fn what_registers_say_is_what_one_could_have_said() {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u32>().ok());
    let rounds = number("RAKT_RAFT_ROUNDS").unwrap_or(4);
    match number("RAKT_FIRST") {
        Some(first) => (first..first + rounds).for_each(|seed| simulate_seed(seed.into(), run)),
        None => simulate(rounds, run),
    }
}
