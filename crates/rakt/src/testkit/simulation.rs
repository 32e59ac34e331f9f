//! Several nodes on one network, in a run that a seed repeats.

use std::fmt;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use super::network::Network;
use crate::error::{Chain, Result};
use crate::remote::Config;
use crate::sync::GlobalMutex;
use crate::system::core::ActorSystem;
use crate::system::{StartError, SystemBuilder};

/// The environment variable that says which seed to run.
const VARIABLE: &str = "RAKT_SEED";
/// How long a run may take, in its own time.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs a scenario `rounds` times, each time on a network and from a seed of its own. On one thread and on a paused
/// clock, so that hours of simulated time pass in no time, and the same seed makes the same run.
///
/// ```
/// use rakt::prelude::*;
/// use rakt::testkit::{Network, simulate};
///
/// # #[derive(Clone, PartialEq, prost::Message, rakt::Message)]
/// # #[rakt(name = "doc.Add", reply = u64)]
/// # struct Add { #[prost(uint64, tag = "1")] n: u64 }
/// # #[derive(Default)] struct Counter(u64);
/// # impl Actor for Counter { fn accepts(accepts: &mut Accepts<Self>) { accepts.remote::<Add>(); } }
/// # impl Handler<Add> for Counter {
/// #     async fn handle(&mut self, add: Add, _: &mut Context<Self>) -> Result<u64> { self.0 += add.n; Ok(self.0) }
/// # }
/// simulate(10, async |sim| {
///     let (here, there) = (sim.node("here").await?, sim.node("there").await?);
///     there.spawn("counter", Counter::default).await?;
///     let counter = here.actor(&there.address("counter")?);
///     let mut counted = 0;
///     for _ in 0..100 {
///         if sim.random(0..10) == 0 {
///             sim.network().reset("here", "there");
///         }
///         counted += u64::from(counter.ask(Add { n: 1 }).await.is_ok());
///     }
///     assert!(counter.ask(Add { n: 0 }).await? >= counted, "what was confirmed is lost");
///     Ok(())
/// });
/// ```
///
/// What fails tells its seed, and the environment variable `RAKT_SEED` repeats that: then there is one round, with
/// this seed. Everything that the network and the nodes draw depends on it, and so should what the scenario does, by
/// [`Simulation::random`].
///
/// # Panics
/// If the scenario panics, returns an error, or takes more than a day of simulated time, which is also what
/// becomes of one that waits for ever. If `RAKT_SEED` is set and is no number. Within an async runtime.
pub fn simulate(rounds: u32, scenario: impl AsyncFn(Simulation) -> Result) {
    match std::env::var(VARIABLE) {
        Ok(text) => match text.parse() {
            Ok(seed) => simulate_seed(seed, scenario),
            Err(_) => panic!("{VARIABLE} is {text:?}, and a seed is a number of 64 bits"),
        },
        Err(_) => {
            // A run seeds this thread's randomness, so all are drawn before.
            let seeds: Vec<_> = (0..rounds).map(|_| fastrand::u64(..)).collect();
            seeds.into_iter().for_each(|seed| simulate_seed(seed, &scenario));
        }
    }
}

/// The same, once and from this seed: for one that has failed before.
///
/// # Panics
/// As [`simulate`].
pub fn simulate_seed(seed: u64, scenario: impl AsyncFn(Simulation) -> Result) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build();
    let runtime = runtime.expect("the operating system has room for a runtime");
    // What names actors that have none.
    fastrand::seed(seed);
    let simulation = Simulation::new(seed);
    let round = async {
        let outcome = tokio::time::timeout(LONGEST, scenario(simulation.clone())).await;
        simulation.end().await;
        outcome
    };
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(round)));
    let repeat = format!("{VARIABLE}={seed} repeats it");
    match outcome {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => panic!("the simulation failed; {repeat}: {}", Chain(&*error)),
        Ok(Err(_)) => panic!("the simulation did not end within {LONGEST:?}; {repeat}"),
        Err(panic) => {
            eprintln!("the simulation panicked; {repeat}");
            std::panic::resume_unwind(panic)
        }
    }
}

/// One run of a scenario: its seed, its network and its nodes. See [`simulate`].
#[derive(Clone)]
pub struct Simulation(Arc<Inner>);

struct Inner {
    seed: u64,
    network: Network,
    random: GlobalMutex<fastrand::Rng>,
    systems: GlobalMutex<Vec<ActorSystem>>,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("seed", &self.0.seed).finish_non_exhaustive()
    }
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let random = GlobalMutex::new(fastrand::Rng::with_seed(!seed));
        let (network, systems) = (Network::new(seed), GlobalMutex::default());
        Self(Arc::new(Inner { seed, network, random, systems }))
    }

    /// The seed of this run.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The network, on which each node is a host of its name.
    pub fn network(&self) -> &Network {
        &self.0.network
    }

    /// A number within the range, drawn from the seed.
    ///
    /// # Panics
    /// If the range is empty.
    pub fn random(&self, range: Range<u64>) -> u64 {
        self.0.random.lock().u64(range)
    }

    /// Starts a node called `name` on the host of that name, at port [`Network::PORT`].
    ///
    /// # Errors
    /// [`StartError`]: as a rule, since there is one of that name already.
    pub async fn node(&self, name: &str) -> Result<ActorSystem, StartError> {
        self.node_with(name, |config| config, |builder| builder).await
    }

    /// The same, with other options of the system and of its remoting.
    ///
    /// # Errors
    /// [`StartError`]: an option is not valid, or there is a node of that name already.
    pub async fn node_with(
        &self,
        name: &str,
        remoting: impl FnOnce(Config) -> Config,
        system: impl FnOnce(SystemBuilder) -> SystemBuilder,
    ) -> Result<ActorSystem, StartError> {
        let config = remoting(self.0.network.config(name));
        let system = system(ActorSystem::builder(name)).remoting(config).start().await?;
        self.0.systems.lock().push(system.clone());
        Ok(system)
    }

    /// Ends a node as a crash does: it is off the network at once, and its actors are killed, so that what is queued
    /// is lost. A new [`node`](Self::node) of the name has its address. In this process their
    /// [`stopped`](crate::Actor::stopped) hooks still run, as they would not in a crash.
    pub fn crash(&self, node: &ActorSystem) {
        self.0.network.crash(node.name());
        kill_all(node);
    }

    /// Ends what the scenario has left running.
    async fn end(&self) {
        let systems = std::mem::take(&mut *self.0.systems.lock());
        for system in systems {
            // It owes nothing to anybody any more.
            self.0.network.crash(system.name());
            kill_all(&system);
            system.shutdown().await;
        }
    }
}

/// Kills all actors of a system, in the order in which they were spawned.
fn kill_all(system: &ActorSystem) {
    let mut actors = system.0.registry.all();
    actors.sort_by_key(|actor| actor.uid());
    actors.iter().for_each(|actor| actor.kill());
}
