//! A cluster of three processes, and what it does on a bad day: one is killed, and all are restarted under load.
//!
//! This process starts three nodes and is a member itself, as a gateway would be: it hosts no grains, and asks those that the
//! others host. It also keeps what all share (`keeper.rs`), for which a service has etcd and a database.
//!
//! `cargo run --release --features cluster --example cluster`, with ` -- --carts 10000 --lease 8` for how many grains there
//! are and for how many seconds a node may host them without being confirmed as a member.

use std::io::BufRead;
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

use keeper::{Shared, keep};

mod keeper;

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

/// A member of the cluster. This is all that it takes.
async fn member(settings: Settings, node: u64, port: u16, shared: Shared) -> Result<ActorSystem> {
    let carts = GrainKind::built_by(move || Cart { state: CartState::default(), node });
    let config =
        cluster::Config::on(shared.clone()).lease(settings.lease).probe_interval(settings.probe);
    // The gateway keeps track of no grains, and has not the role that a host of carts needs.
    let config = if node == GATEWAY { config.weight(0) } else { config.role("carts") };
    let system = ActorSystem::builder("shop")
        .remoting(remote::Config::new("127.0.0.1", port))
        .cluster(config)
        .grain(carts.store(shared).role("carts"))
        .start()
        .await?; // it is a member now
    Ok(system)
}

/// The node that hosts nothing.
const GATEWAY: u64 = 0;

/// A process that is started by this one.
async fn serve(arguments: &str) -> Result {
    let numbers: Vec<u64> = arguments.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let &[node, keeper, port, lease, probe] = &*numbers else { return Err("five numbers".into()) };
    let [lease, probe] = [lease, probe].map(Duration::from_millis);
    let shared = Shared::at(u16::try_from(keeper)?).await?;
    let settings = Settings { lease, probe, ..Settings::default() };
    let system = member(settings, node, u16::try_from(port)?, shared).await?;
    println!("ready {}", system.advertised().1);
    system.until_shutdown_signal().await;
    Ok(())
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    carts: usize,
    lease: Duration,
    probe: Duration,
    /// Asks a second while all are restarted.
    rate: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let (lease, probe) = (Duration::from_secs(8), Duration::from_secs(1));
        Self { carts: 10_000, lease, probe, rate: 2_000 }
    }
}

async fn run(settings: Settings) -> Result {
    let (keeping, counts) = keep().await?;
    let keeper = keeping.advertised().1;
    let mut nodes = Vec::new();
    for number in 1..=3 {
        nodes.push(Node::start(number, keeper, 0, settings)?);
    }
    let system = member(settings, GATEWAY, 0, Shared::at(keeper).await?).await?;
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
    let port = nodes[1].port;
    nodes[1] = Node::start(2, keeper, port, settings)?;
    println!("started again  node 2, as process {} at the same address", nodes[1].child.id());
    show_members(&system);

    println!(
        "rolling        each node ends in order and starts again, {} asks a second",
        settings.rate
    );
    let load = shop.load(settings.rate);
    for (number, node) in (1..).zip(&mut nodes) {
        let begun = Instant::now();
        node.end()?;
        let ended = begun.elapsed();
        *node = Node::start(number, keeper, node.port, settings)?;
        let up = begun.elapsed() - ended;
        println!("  node {number}       ended in {ended:.1?}, was up again after {up:.1?}; {load}");
    }
    let (asks, failed) = load.end().await;
    println!("rolled         {asks} asks, {failed} failed");
    println!("spread         {}", shop.spread().await?);
    println!("put            {} in all, and no cart has lost one", shop.check().await?);
    println!("register       written {} times", counts.swaps.load(Ordering::Relaxed));

    for node in &mut nodes {
        node.end()?;
    }
    system.shutdown().await;
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

/// Another process, ended with this one whatever happens.
struct Node {
    child: Child,
    output: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
    port: u16,
}

/// Tells a process that it is a node, and which.
const NODE: &str = "CLUSTER_NODE";

impl Node {
    /// Returns when it is a member.
    fn start(number: u64, keeper: u16, port: u16, settings: Settings) -> Result<Self> {
        let Settings { lease, probe, .. } = settings;
        let (lease, probe) = (lease.as_millis(), probe.as_millis());
        let mut command = Command::new(std::env::current_exe()?);
        command.env(NODE, format!("{number} {keeper} {port} {lease} {probe}"));
        if cfg!(test) {
            // There the program is the test runner, and the node one of its tests.
            command.args(["node", "--ignored", "--nocapture"]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the node has no output")?;
        let mut output = std::io::BufReader::new(output).lines();
        while let Some(line) = output.next() {
            if let Some((_, port)) = line?.split_once("ready ") {
                let port = port.trim().parse()?;
                return Ok(Self { child, output, port });
            }
        }
        Err(format!("node {number} ended before it was a member: {}", child.wait()?).into())
    }

    /// Takes it away without a warning.
    fn kill(&mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the process to end, as a service manager would.
    fn end(&mut self) -> Result {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
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

#[tokio::main]
async fn main() -> Result {
    if let Ok(arguments) = std::env::var(NODE) {
        return serve(&arguments).await;
    }
    let mut settings = Settings::default();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn runs() -> Result {
        // A machine that tests is a busy one, and not to be late with a lease.
        let (lease, probe) = (Duration::from_secs(3), Duration::from_millis(100));
        run(Settings { carts: 300, lease, probe, rate: 500 }).await
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "a process of the test above"]
    async fn node() -> Result {
        serve(&std::env::var(NODE)?).await
    }
}
