//! Nodes in a simulated network (turmoil) that is partitioned, delays what it carries, and restarts
//! hosts under load. What goes wrong is drawn from a seed, which the failure text names.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rakt::prelude::*;
use rakt::remote::{Listener, Opening, Stream, Transport};
use rakt::{AskError, StopReason};
use tokio::time::{Instant, sleep};

use crate::probe::{Number, number};

const PORT: u16 = 3321;
/// How long the load, and the trouble, last.
const TROUBLE: Duration = Duration::from_secs(15);
/// How long an ask waits.
const ASK: Duration = Duration::from_secs(3);
/// A silent peer is found within twice this time.
const READ_IDLE: Duration = Duration::from_millis(500);

/// The simulated network.
struct Simulated;

impl Transport for Simulated {
    fn bind<'a>(&'a self, host: &'a str, port: u16) -> Opening<'a, Box<dyn Listener>> {
        Box::pin(async move {
            let listener = turmoil::net::TcpListener::bind((host, port)).await?;
            let listener: Box<dyn Listener> = Box::new(Accepting(listener));
            Ok(listener)
        })
    }

    fn dial<'a>(&'a self, host: &'a str, port: u16, _: Duration) -> Opening<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let stream: Box<dyn Stream> =
                Box::new(turmoil::net::TcpStream::connect((host, port)).await?);
            Ok(stream)
        })
    }
}

struct Accepting(turmoil::net::TcpListener);

impl Listener for Accepting {
    fn accept(&mut self) -> Opening<'_, (Box<dyn Stream>, String)> {
        Box::pin(async move {
            let (stream, peer) = self.0.accept().await?;
            let stream: Box<dyn Stream> = Box::new(stream);
            Ok((stream, peer.to_string()))
        })
    }

    fn port(&self) -> u16 {
        PORT
    }
}

async fn node(name: &str, seed: u64) -> Result<ActorSystem, rakt::StartError> {
    let config = remote::Config::new("0.0.0.0", PORT)
        .policy(remote::Policy::open())
        .allow_plaintext_beyond_loopback()
        .advertised_host(name)
        .transport(Simulated)
        .seed(seed)
        .read_idle_timeout(READ_IDLE)
        .write_timeout(2 * READ_IDLE)
        .dial_timeout(2 * READ_IDLE);
    ActorSystem::builder(name).remoting(config).start().await
}

/// Writes down what it is told.
struct Recorder(Arc<Mutex<Vec<u64>>>);

impl Actor for Recorder {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Number>();
    }
}

impl Handler<Number> for Recorder {
    async fn handle(&mut self, Number { n }: Number, _: &mut Context<Self>) -> Result {
        self.0.lock().expect("not poisoned").push(n);
        Ok(())
    }
}

/// Watches one life of a recorder, and counts how often it hears of its end.
struct Guard {
    recorder: ActorRef<Recorder>,
    heard: Arc<AtomicU64>,
    first: tokio::sync::mpsc::UnboundedSender<StopReason>,
}

impl Actor for Guard {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.watch(&self.recorder);
        Ok(())
    }

    async fn terminated(&mut self, terminated: &Terminated, _: &mut Context<Self>) -> Result {
        self.heard.fetch_add(1, Ordering::Relaxed);
        self.first.send(terminated.reason.clone())?;
        Ok(())
    }
}

/// What is seen of a run from outside of the simulation.
#[derive(Clone, Default)]
struct Outside {
    told: Arc<Mutex<Vec<u64>>>,
    asked: Arc<Mutex<Vec<u64>>>,
    lives: Arc<AtomicU64>,
    /// The load is over; the network is to work from now on.
    is_calm: Arc<AtomicBool>,
    is_done: Arc<AtomicBool>,
}

async fn server(seed: u64, outside: Outside) -> turmoil::Result {
    let life = outside.lives.fetch_add(1, Ordering::Relaxed);
    let system = node("server", seed.wrapping_mul(1000).wrapping_add(life)).await?;
    let (told, asked) = (outside.told.clone(), outside.asked.clone());
    system.spawn("told", move || Recorder(told.clone())).await?;
    system.spawn("asked", move || Recorder(asked.clone())).await?;
    std::future::pending().await
}

/// Watches every life of the recorder that it can find, one after the other.
async fn watch(system: ActorSystem, outside: Outside) -> Result<Vec<Arc<AtomicU64>>> {
    let mut guards = Vec::new();
    while !outside.is_done.load(Ordering::Relaxed) {
        let found = system.node("server", PORT).lookup::<Recorder>("told").await;
        let Ok(Some(recorder)) = found else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let heard = Arc::new(AtomicU64::new(0));
        let (first, mut hears) = tokio::sync::mpsc::unbounded_channel();
        guards.push(heard.clone());
        let make = move || Guard {
            recorder: recorder.clone(),
            heard: heard.clone(),
            first: first.clone(),
        };
        system.spawn(format!("guard-{}", guards.len()), make).await?;
        hears.recv().await.ok_or("the guard is gone")?;
    }
    Ok(guards)
}

async fn client(seed: u64, outside: Outside) -> turmoil::Result {
    let mut rng = fastrand::Rng::with_seed(seed);
    let system = node("client", seed).await?;
    let told = system.actor(&Address::new("told", "server", "server", PORT)?);
    let asked = system.actor(&Address::new("asked", "server", "server", PORT)?);
    let watching = tokio::spawn(watch(system.clone(), outside.clone()));
    let mut asks = tokio::task::JoinSet::new();
    let until = Instant::now() + TROUBLE;
    let mut n = 0;
    while Instant::now() < until {
        for _ in 0..rng.u64(1..20) {
            n += 1;
            // One that is not taken is left out.
            let _ = told.tell(number(n)).timeout(READ_IDLE).await;
        }
        let ask = Instant::now();
        let answer = asked.clone();
        asks.spawn(async move {
            let outcome = answer.ask(number(n)).timeout(ASK).await;
            (n, ask.elapsed(), outcome)
        });
        sleep(Duration::from_millis(rng.u64(1..30))).await;
    }
    outside.is_calm.store(true, Ordering::Relaxed);
    while let Some(done) = asks.join_next().await {
        let (n, took, outcome) = done?;
        assert!(took <= ASK + Duration::from_millis(100), "the ask {n} took {took:?}");
        let count = outside.asked.lock().expect("not poisoned").iter().filter(|m| **m == n).count();
        match outcome {
            Ok(()) => assert_eq!(count, 1, "the ask {n} was answered"),
            Err(AskError::NotSent { .. }) => assert_eq!(count, 0, "the ask {n} was not sent"),
            Err(_) => {}
        }
    }
    // Once the network works, so does everything.
    loop {
        n += 1;
        if told.tell(number(n)).confirmed().timeout(ASK).await.is_ok() {
            break;
        }
        sleep(READ_IDLE).await;
    }
    // The last life is watched by now, or will be in a moment.
    sleep(Duration::from_secs(10)).await;
    outside.is_done.store(true, Ordering::Relaxed);
    told.stop().await?;
    let guards = watching.await?.map_err(|error| error.to_string())?;
    assert!(!guards.is_empty());
    sleep(Duration::from_secs(5)).await;
    for (index, heard) in guards.iter().enumerate() {
        assert_eq!(heard.load(Ordering::Relaxed), 1, "the end that guard {index} watched for");
    }
    assert_eq!(outside.told.lock().expect("not poisoned").last(), Some(&n));
    Ok(())
}

/// Runs the load once, and lets `trouble` happen every now and then.
fn run(seed: u64, trouble: fn(&mut fastrand::Rng, &mut turmoil::Sim<'_>)) {
    let outside = Outside::default();
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(300))
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(40))
        .tcp_capacity(100_000)
        .build();
    let of_server = outside.clone();
    sim.host("server", move || server(seed, of_server.clone()));
    sim.client("client", client(seed, outside.clone()));
    let mut rng = fastrand::Rng::with_seed(!seed);
    let mut next = Duration::from_secs(1);
    let mut was_calm = false;
    loop {
        match sim.step() {
            Ok(false) => {}
            Ok(true) => break,
            Err(error) => panic!("seed {seed}: {error}"),
        }
        if outside.is_calm.load(Ordering::Relaxed) {
            if !std::mem::replace(&mut was_calm, true) {
                sim.release("client", "server");
                sim.repair("client", "server");
            }
        } else if sim.elapsed() >= next {
            trouble(&mut rng, &mut sim);
            next = sim.elapsed() + Duration::from_millis(rng.u64(50..2000));
        }
    }
    let told = outside.told.lock().expect("not poisoned");
    assert!(told.len() > 100, "seed {seed}: only {} arrived", told.len());
    for pair in told.windows(2) {
        assert!(pair[0] < pair[1], "seed {seed}: {} came before {}", pair[0], pair[1]);
    }
    let asked = outside.asked.lock().expect("not poisoned");
    let distinct: HashSet<_> = asked.iter().collect();
    assert_eq!(distinct.len(), asked.len(), "seed {seed}: an ask was handled twice");
}

/// Runs a few seeds, or the one in `RAKT_SEED`. A panic inside of the simulation gets its seed named.
fn each_seed(trouble: fn(&mut fastrand::Rng, &mut turmoil::Sim<'_>)) {
    let seeds = match std::env::var("RAKT_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..4,
    };
    for seed in seeds {
        let ran = std::panic::catch_unwind(|| run(seed, trouble));
        assert!(ran.is_ok(), "it failed with RAKT_SEED={seed}");
    }
}

#[test]
fn a_network_that_is_cut_and_healed_keeps_every_promise() {
    each_seed(|rng, sim| match rng.bool() {
        true => sim.partition("client", "server"),
        false => sim.repair("client", "server"),
    });
}

#[test]
fn a_network_that_holds_messages_back_and_delivers_them_late_keeps_every_promise() {
    each_seed(|rng, sim| match rng.bool() {
        true => sim.hold("client", "server"),
        false => sim.release("client", "server"),
    });
}

#[test]
fn a_node_that_restarts_again_and_again_keeps_every_promise() {
    each_seed(|rng, sim| {
        if rng.u8(..4) == 0 {
            sim.bounce("server");
        }
    });
}

#[test]
fn cuts_delays_and_restarts_together_keep_every_promise() {
    each_seed(|rng, sim| match rng.u8(..7) {
        0 | 1 => sim.hold("client", "server"),
        2 => sim.partition_oneway("client", "server"),
        3 => sim.partition_oneway("server", "client"),
        4 => sim.bounce("server"),
        _ => {
            sim.release("client", "server");
            sim.repair("client", "server");
        }
    });
}

#[test]
fn a_host_that_is_not_there_is_unreachable() {
    let mut sim = turmoil::Builder::new().build();
    sim.host("server", std::future::pending);
    sim.client("client", async {
        let system = node("client", 1).await?;
        let error = system.node("server", PORT).ping().await.expect_err("nobody listens");
        assert!(error.to_string().contains("unreachable"), "{error}");
        Ok(())
    });
    sim.run().expect("the client finishes");
}
