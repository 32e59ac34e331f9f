//! Carts on three nodes, and what becomes of them on a bad day: one node is killed, and all are restarted under load.
//!
//! This process starts three nodes and is a member itself, as a gateway would be: it hosts no grains, and asks those that the
//! others host. Where the cluster keeps who is a member is for the program to say of which this is a part.

use std::io::BufRead;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rakt::AskError;
use rakt::cluster;
use rakt::error::Chain;
use rakt::grain::{Grain, GrainKind};
use rakt::prelude::*;
use tokio::task::JoinSet;

use crate::keeper::{Shared, keep};

/// Puts something into a cart; the answer is how much is in it.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "shop.Put", reply = u64)]
struct Put {}

/// What is in a cart, and which node it lives on.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "shop.Look", reply = Seen)]
struct Look {}

#[derive(Clone, PartialEq, prost::Message)]
struct Seen {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(uint64, tag = "2")]
    node: u64,
}

/// What is kept of a cart.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "shop.CartState")]
struct CartState {
    #[prost(uint64, tag = "1")]
    count: u64,
}

struct Cart {
    state: CartState,
    /// Where it lives.
    node: u64,
}

impl Actor for Cart {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Put>().remote::<Look>();
    }
}

impl Grain for Cart {
    const KIND: &'static str = "cart";

    async fn activate(&mut self, ctx: &mut Context<Self>) -> Result {
        self.state = ctx.state()?.unwrap_or_default();
        Ok(())
    }
}

impl Handler<Put> for Cart {
    async fn handle(&mut self, _: Put, ctx: &mut Context<Self>) -> Result<u64> {
        self.state.count += 1;
        ctx.save(&self.state).await?; // before anybody hears of it
        Ok(self.state.count)
    }
}

impl Handler<Look> for Cart {
    async fn handle(&mut self, _: Look, _: &mut Context<Self>) -> Result<Seen> {
        Ok(Seen { count: self.state.count, node: self.node })
    }
}

/// What a node is told that is about to start.
pub(crate) struct Place {
    /// Which one it is; the [`GATEWAY`] is another one.
    pub(crate) node: u64,
    /// Where the three nodes listen, on this machine.
    pub(crate) ports: [u16; 3],
    /// What it keeps itself is for there.
    pub(crate) dir: PathBuf,
    /// What another process keeps for all.
    pub(crate) shared: Shared,
}

/// How a node finds out who is a member.
pub(crate) type Membership = fn(&Place) -> cluster::Config;

/// A member of the cluster. This is all that it takes.
async fn member(settings: Settings, place: Place) -> Result<ActorSystem> {
    let Place { node, ports, .. } = place;
    let carts = GrainKind::built_by(move || Cart { state: CartState::default(), node });
    let config = (settings.membership)(&place);
    let config = config.lease(settings.lease).probe_interval(settings.probe);
    let port = if node == GATEWAY { 0 } else { ports[node as usize - 1] };
    // The gateway keeps track of no grains, and has not the role that a host of carts needs.
    let config = if node == GATEWAY { config.weight(0) } else { config.role("carts") };
    let system = ActorSystem::builder("shop")
        .remoting(remote::Config::new("127.0.0.1", port))
        .cluster(config)
        .grain(carts.store(place.shared).role("carts"))
        .start()
        .await?; // it is a member now
    Ok(system)
}

/// The node that hosts nothing.
pub(crate) const GATEWAY: u64 = 0;

/// A process that is started by this one.
async fn serve(membership: Membership, arguments: &str) -> Result {
    let (numbers, dir) = arguments.split_once(" in ").ok_or("a directory is missing")?;
    let numbers: Vec<u64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let &[node, keeper, lease, probe, ref ports @ ..] = &*numbers else {
        return Err("four numbers and ports".into());
    };
    let [lease, probe] = [lease, probe].map(Duration::from_millis);
    let ports: Vec<u16> =
        ports.iter().map(|port| u16::try_from(*port)).collect::<Result<_, _>>()?;
    let ports = ports.try_into().map_err(|_| "three ports")?;
    let shared = Shared::at(u16::try_from(keeper)?).await?;
    let settings = Settings { lease, probe, ..Settings::new(membership) };
    let system = member(settings, Place { node, ports, dir: dir.into(), shared }).await?;
    println!("ready");
    system.until_shutdown_signal().await;
    Ok(())
}

#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) carts: usize,
    pub(crate) lease: Duration,
    pub(crate) probe: Duration,
    /// Asks a second while all are restarted.
    pub(crate) rate: u64,
    membership: Membership,
}

impl Settings {
    pub(crate) fn new(membership: Membership) -> Self {
        let (lease, probe) = (Duration::from_secs(8), Duration::from_secs(1));
        Self { carts: 10_000, lease, probe, rate: 2_000, membership }
    }
}

pub(crate) async fn run(settings: Settings) -> Result {
    let (keeping, counts) = keep().await?;
    let home = Home::new(keeping.advertised().1)?;
    let mut nodes = Vec::new();
    for number in 1..=3 {
        nodes.push(Node::start(number, &home, settings)?);
    }
    // Together: there may be no cluster before all are there.
    nodes.iter_mut().try_for_each(Node::ready)?;
    let (node, ports, dir) = (GATEWAY, home.ports, home.dir.clone());
    let shared = Shared::at(home.keeper).await?;
    let system = member(settings, Place { node, ports, dir, shared }).await?;
    let ids: Vec<_> = nodes.iter().map(|node| node.child.id().to_string()).collect();
    println!("three nodes    processes {}", ids.join(", "));
    show_members(&system);

    let shop = Shop::new(system.clone(), settings.carts);
    let begun = Instant::now();
    shop.put_into_each().await?;
    let rate = settings.carts as f64 / begun.elapsed().as_secs_f64();
    println!("first asks     {} carts live, {rate:.0} a second", settings.carts);
    println!("spread         {}", shop.spread().await?);

    println!("kill -9        node 2");
    nodes[1].kill()?;
    println!("all answer     {}", shop.wait_for_all(Instant::now()).await?);
    println!("spread         {}", shop.spread().await?);
    nodes[1] = Node::start(2, &home, settings)?;
    nodes[1].ready()?;
    println!("started again  node 2, as process {} at the same address", nodes[1].child.id());
    show_members(&system);

    println!(
        "rolling        each node ends in order and starts again, {} asks a second",
        settings.rate
    );
    let load = shop.load(settings.rate);
    for (number, node) in (1..).zip(&mut nodes) {
        let begun = Instant::now();
        node.tell_to_end()?;
        node.ended()?;
        let ended = begun.elapsed();
        *node = Node::start(number, &home, settings)?;
        node.ready()?;
        let up = begun.elapsed() - ended;
        println!("  node {number}       ended in {ended:.1?}, was up again after {up:.1?}; {load}");
    }
    let (asks, failed) = load.end().await;
    println!("rolled         {asks} asks, {failed} failed");
    println!("spread         {}", shop.spread().await?);
    println!("put            {} in all, and no cart has lost one", shop.check().await?);
    let swaps = counts.swaps.load(Ordering::Relaxed);
    if swaps > 0 {
        println!("register       written {swaps} times");
    }

    system.shutdown().await;
    nodes.iter_mut().try_for_each(Node::tell_to_end)?;
    nodes.iter_mut().try_for_each(Node::ended)?;
    keeping.shutdown().await;
    match failed {
        0 => Ok(()),
        _ => Err("asks have failed".into()),
    }
}

fn show_members(system: &ActorSystem) {
    let members = system.members().unwrap_or_default();
    println!("members        {members}");
}

/// The carts, as those see them who ask.
struct Shop {
    carts: Arc<[GrainRef<Cart>]>,
    /// What they have confirmed.
    put: Arc<[AtomicU64]>,
}

impl Shop {
    fn new(system: ActorSystem, carts: usize) -> Self {
        Self {
            carts: (0..carts).map(|cart| system.grain(cart.to_string())).collect(),
            put: (0..carts).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// So many at once are asked.
    const AT_ONCE: usize = 256;

    async fn put_into_each(&self) -> Result {
        let mut asking = JoinSet::new();
        for (cart, put) in self.carts.iter().cloned().zip(0..) {
            if asking.len() == Self::AT_ONCE {
                let (put, count) = asking.join_next().await.ok_or("one is under way")???;
                self.note(put, count);
            }
            asking.spawn(async move { Ok::<_, AskError<Put>>((put, cart.ask(Put {}).await?)) });
        }
        while let Some(done) = asking.join_next().await {
            let (put, count) = done??;
            self.note(put, count);
        }
        Ok(())
    }

    fn note(&self, cart: usize, count: u64) {
        self.put[cart].fetch_max(count, Ordering::Relaxed);
    }

    /// Asks all carts at once until each has answered.
    async fn look_into_all(&self) -> JoinSet<Result<(usize, Seen), AskError<Look>>> {
        let mut asking = JoinSet::new();
        for (at, cart) in self.carts.iter().cloned().enumerate() {
            asking.spawn(async move {
                loop {
                    // What waits for another node to take over waits in the ask.
                    match cart.ask(Look {}).timeout(Duration::from_secs(60)).await {
                        Ok(seen) => return Ok((at, seen)),
                        // It was under way to the node that died. To look twice does no harm.
                        Err(AskError::ConnectionLost { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            });
        }
        asking
    }

    /// How long it takes until all have answered.
    async fn wait_for_all(&self, since: Instant) -> Result<String> {
        let mut asking = self.look_into_all().await;
        let mut times = Vec::new();
        let mut progress = tokio::time::interval(Duration::from_secs(1));
        while times.len() < self.carts.len() {
            tokio::select! {
                Some(answered) = asking.join_next() => {
                    let (cart, seen) = answered??;
                    times.push(since.elapsed());
                    assert_eq!(seen.count, self.put[cart].load(Ordering::Relaxed));
                }
                _ = progress.tick() => println!(
                    "  {:4.1} s       {} of {} answer",
                    since.elapsed().as_secs_f64(), times.len(), self.carts.len()
                ),
            }
        }
        let at = |part: f64| times[(times.len() as f64 * part) as usize].as_secs_f64();
        let last = since.elapsed().as_secs_f64();
        Ok(format!(
            "half within {:.2} s, 99 % within {:.2} s, all within {last:.2} s",
            at(0.5),
            at(0.99)
        ))
    }

    /// How many carts live on each node.
    async fn spread(&self) -> Result<String> {
        let mut at = [0; 4];
        for answered in self.look_into_all().await.join_all().await {
            at[answered?.1.node as usize] += 1;
        }
        Ok(format!("{} on node 1, {} on node 2, {} on node 3", at[1], at[2], at[3]))
    }

    /// Checks that nothing was lost that was confirmed, and returns how much was put.
    async fn check(&self) -> Result<u64> {
        let mut sum = 0;
        for answered in self.look_into_all().await.join_all().await {
            let (cart, seen) = answered?;
            assert_eq!(seen.count, self.put[cart].load(Ordering::Relaxed), "cart {cart}");
            sum += seen.count;
        }
        Ok(sum)
    }

    /// Puts something into one cart after another, so many a second.
    fn load(&self, rate: u64) -> Load {
        const ASKERS: usize = 16;
        let load = Load::default();
        let pause = Duration::from_secs(ASKERS as u64) / u32::try_from(rate).unwrap_or(u32::MAX);
        let tasks = (0..ASKERS).map(|asker| {
            let (carts, put) = (self.carts.clone(), self.put.clone());
            let (state, mut at) = (load.state.clone(), asker);
            tokio::spawn(async move {
                let mut pace = tokio::time::interval(pause);
                while !state.is_over.load(Ordering::Relaxed) {
                    pace.tick().await;
                    match carts[at].ask(Put {}).await {
                        Ok(count) => drop(put[at].fetch_max(count, Ordering::Relaxed)),
                        Err(error) => {
                            println!("  FAILED       {}", Chain(&error));
                            state.failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    state.asks.fetch_add(1, Ordering::Relaxed);
                    at = (at + ASKERS) % carts.len();
                }
            })
        });
        Load { tasks: tasks.collect(), ..load }
    }
}

/// Asks that go on in the background.
#[derive(Default)]
struct Load {
    state: Arc<LoadState>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

#[derive(Default)]
struct LoadState {
    is_over: AtomicBool,
    asks: AtomicU64,
    failed: AtomicU64,
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [asks, failed] = [&self.state.asks, &self.state.failed];
        let [asks, failed] = [asks, failed].map(|count| count.load(Ordering::Relaxed));
        write!(f, "{asks} asks so far, {failed} failed")
    }
}

impl Load {
    /// How many asks there were, and how many of them have failed.
    async fn end(self) -> (u64, u64) {
        self.state.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("it has not panicked");
        }
        let [asks, failed] = [&self.state.asks, &self.state.failed];
        (asks.load(Ordering::Relaxed), failed.load(Ordering::Relaxed))
    }
}

/// What all nodes are told.
struct Home {
    keeper: u16,
    ports: [u16; 3],
    dir: PathBuf,
}

impl Home {
    fn new(keeper: u16) -> Result<Self> {
        // They are free a moment later, and known to all before anybody starts.
        let any = || std::net::TcpListener::bind(("127.0.0.1", 0));
        let free = [any()?, any()?, any()?];
        let [a, b, c] = free.map(|listener| listener.local_addr());
        let ports = [a?.port(), b?.port(), c?.port()];
        let dir = std::env::temp_dir().join(format!("rakt-shop-{}", std::process::id()));
        std::fs::create_dir(&dir)?;
        Ok(Self { keeper, ports, dir })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What is left is in the way of nobody.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Another process, ended with this one whatever happens.
struct Node {
    number: u64,
    child: Child,
    output: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

/// Tells a process that it is a node, and which.
const NODE: &str = "CLUSTER_NODE";

impl Node {
    fn start(number: u64, home: &Home, settings: Settings) -> Result<Self> {
        let (lease, probe) = (settings.lease.as_millis(), settings.probe.as_millis());
        let Home { keeper, ports: [a, b, c], dir } = home;
        let mut command = Command::new(std::env::current_exe()?);
        let told = format!("{number} {keeper} {lease} {probe} {a} {b} {c} in {}", dir.display());
        command.env(NODE, told);
        if cfg!(test) {
            // There the program is the test runner, and the node one of its tests.
            command.args(["runs", "--nocapture"]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the node has no output")?;
        Ok(Self { number, child, output: std::io::BufReader::new(output).lines() })
    }

    /// Returns when it is a member.
    fn ready(&mut self) -> Result {
        for line in self.output.by_ref() {
            if line?.contains("ready") {
                return Ok(());
            }
        }
        let (number, status) = (self.number, self.child.wait()?);
        Err(format!("node {number} ended before it was a member: {status}").into())
    }

    /// Takes it away without a warning.
    fn kill(&mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// As a service manager would.
    fn tell_to_end(&mut self) -> Result {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        Ok(())
    }

    fn ended(&mut self) -> Result {
        for line in self.output.by_ref() {
            line?; // the test runner has something to say
        }
        match self.child.wait()? {
            status if status.success() => Ok(()),
            status => Err(format!("the node ended with {status}").into()),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Fails if it has ended already, which is as good.
        let _ = self.kill();
    }
}

/// The program, but for where the cluster keeps who is a member.
pub(crate) async fn main(membership: Membership) -> Result {
    if let Ok(arguments) = std::env::var(NODE) {
        return serve(membership, &arguments).await;
    }
    let mut settings = Settings::new(membership);
    let mut arguments = std::env::args().skip(1);
    while let (Some(flag), value) = (arguments.next(), arguments.next()) {
        let value: u64 = value.ok_or("a number is missing")?.parse()?;
        match flag.as_str() {
            "--carts" => settings.carts = usize::try_from(value)?,
            "--lease" => settings.lease = Duration::from_secs(value),
            "--rate" => settings.rate = value,
            _ => return Err(format!("there is no {flag}, but --carts, --lease and --rate").into()),
        }
    }
    run(settings).await
}

/// The same, with little to do: a machine that tests is a busy one, and not to be late with a lease. That is to outlast
/// a change of the leader, where the nodes keep the register.
#[cfg(test)]
pub(crate) async fn test(membership: Membership) -> Result {
    if let Ok(arguments) = std::env::var(NODE) {
        return serve(membership, &arguments).await;
    }
    let (lease, probe) = (Duration::from_secs(6), Duration::from_millis(100));
    run(Settings { carts: 300, lease, probe, rate: 500, ..Settings::new(membership) }).await
}
