//! A network in memory whose hosts can be cut off, delayed, held up and robbed of what they send.
//!
//! - `state`: hosts, the lines between them, and the connections over those
//! - `pipe`: what one direction of a connection carries, and when it arrives
//! - `host`: a host as a [`Transport`](crate::remote::Transport), and the ends of its connections
//! - `connection`: a single connection, for tests that harm one and not the others

mod connection;
mod host;
mod pipe;
mod state;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::remote::{ClientConfig, Config};

pub use connection::Connection;
pub use host::Host;
use state::{Line, Shared};

/// A network in memory, for the nodes and clients of one test.
///
/// Each of them is on a [host](Self::host) of the network, which has a name and any number of ports. Between two
/// hosts there is a line: as fast as memory at first, until the test says otherwise. Whatever happens to a line
/// happens to the connections there are and to those that are made later; [`heal`](Self::heal) mends all of it.
///
/// | what happens | connections there are | new ones |
/// | --- | --- | --- |
/// | [`reset`](Self::reset) | both ends break | work |
/// | [`cut`](Self::cut) | both ends break | are refused as unreachable |
/// | [`stall`](Self::stall) | what is sent waits, in order | wait |
/// | [`lose`](Self::lose) | what one host sends vanishes, for ever | wait |
/// | [`delay`](Self::delay), [`limit_rate`](Self::limit_rate) | are slow | are slow |
/// | [`crash`](Self::crash) of a host | break | are refused until the host listens again |
///
/// Nothing is ever reordered within a connection, as over TCP. All waits are on tokio's clock: on a
/// [paused](tokio::time::pause) one an hour of latency takes no time. What is random is drawn from the seed, so that
/// the same calls in the same order have the same outcome.
///
/// ```
/// use rakt::prelude::*;
/// use rakt::testkit::Network;
/// use std::time::Duration;
///
/// # #[derive(Clone, PartialEq, prost::Message, rakt::Message)]
/// # #[rakt(name = "doc.Add", reply = u64)]
/// # struct Add { #[prost(uint64, tag = "1")] n: u64 }
/// # #[derive(Default)] struct Counter(u64);
/// # impl Actor for Counter { fn accepts(accepts: &mut Accepts<Self>) { accepts.remote::<Add>(); } }
/// # impl Handler<Add> for Counter {
/// #     async fn handle(&mut self, add: Add, _: &mut Context<Self>) -> Result<u64> { self.0 += add.n; Ok(self.0) }
/// # }
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result {
/// let network = Network::new(7);
/// let here = ActorSystem::builder("here").remoting(network.config("here")).start().await?;
/// let there = ActorSystem::builder("there").remoting(network.config("there")).start().await?;
/// there.spawn("counter", Counter::default).await?;
/// let counter = here.actor(&there.address("counter")?);
///
/// network.delay("here", "there", Duration::from_millis(40), Duration::from_millis(5));
/// assert_eq!(counter.ask(Add { n: 1 }).await?, 1);
///
/// network.cut("here", "there");
/// assert!(counter.ask(Add { n: 1 }).await.is_err());
///
/// network.heal("here", "there");
/// tokio::time::sleep(Duration::from_secs(5)).await; // longer than any pause between two dials
/// assert_eq!(counter.ask(Add { n: 1 }).await?, 2);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Network(Arc<Shared>);

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("seed", &self.0.seed).finish_non_exhaustive()
    }
}

impl Network {
    /// The port that [`config`](Self::config) listens on.
    pub const PORT: u16 = 3321;

    /// A network without hosts, whose jitter is drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared::new(seed)))
    }

    /// The host called `name`, which is in the network from now on: a
    /// [`Transport`](crate::remote::Transport). A name that is an IP address is taken for one where limits are by
    /// address.
    ///
    /// After a [crash](Self::crash), this is the host as it comes up again.
    pub fn host(&self, name: impl Into<String>) -> Host {
        let name: Arc<str> = name.into().into();
        let life = self.0.state.lock().add_host(&name);
        Host { name, life, network: self.0.clone() }
    }

    /// Options for a node on the host called `name`: it listens on [`PORT`](Self::PORT), and what is random about it
    /// is drawn from the seed and its name.
    pub fn config(&self, name: &str) -> Config {
        let config = Config::new(name, Self::PORT).allow_plaintext_beyond_loopback();
        config.seed(self.seed_of(name)).transport(self.host(name))
    }

    /// Options for a client on the host called `name`.
    pub fn client_config(&self, name: &str) -> ClientConfig {
        ClientConfig::new().seed(self.seed_of(name)).transport(self.host(name))
    }

    /// Differs from host to host, and from life to life.
    fn seed_of(&self, name: &str) -> u64 {
        let life = self.0.state.lock().add_host(name);
        let add = |sum: u64, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        name.bytes().fold(self.0.seed ^ life.rotate_left(32), add)
    }

    /// Delays what the two hosts send to each other, by `latency` and a random part of `jitter` each way.
    ///
    /// # Panics
    /// As all functions that name hosts: if there is no host of that name.
    pub fn delay(&self, a: &str, b: &str, latency: Duration, jitter: Duration) {
        self.change_both(a, b, |line| (line.latency, line.jitter) = (latency, jitter));
    }

    /// Has each direction of each connection between the two carry `rate` bytes a second at most, at least 1.
    ///
    /// # Panics
    /// If the rate is zero.
    pub fn limit_rate(&self, a: &str, b: &str, rate: u32) {
        assert!(rate > 0, "a line that carries nothing is one that stalls");
        self.change_both(a, b, |line| line.rate = Some(rate));
    }

    /// Breaks the connections between the two, at both ends; new ones can be made. What was under way is lost.
    pub fn reset(&self, a: &str, b: &str) {
        self.connections(a, b).iter().for_each(Connection::reset);
    }

    /// Breaks the connections between the two, and lets none be made until [`heal`](Self::heal): dials fail at once.
    pub fn cut(&self, a: &str, b: &str) {
        self.change_both(a, b, |line| line.is_cut = true);
        self.reset(a, b);
    }

    /// Holds up what the two send to each other until [`heal`](Self::heal). Nothing is lost: it arrives then, in
    /// order. Neither is told; the ends take 256 KiB each, and then no more. New connections wait as well.
    pub fn stall(&self, a: &str, b: &str) {
        self.change_both(a, b, |line| line.is_stalled = true);
    }

    /// As [`stall`](Self::stall), for what `from` sends to `to` alone.
    pub fn stall_one_way(&self, from: &str, to: &str) {
        self.change(from, to, |line| line.is_stalled = true);
    }

    /// Loses what `from` sends to `to`, also what is under way, and tells neither. The other direction works.
    ///
    /// A connection that has lost something carries nothing in that direction any more, also when the line is
    /// [healed](Self::heal): it is half dead until an end closes it. New connections wait.
    pub fn lose(&self, from: &str, to: &str) {
        self.change(from, to, |line| line.is_lossy = true);
    }

    /// Lets `from` send this many more bytes to `to`, over all connections together, and then none until the next
    /// call adds to them, or the line is healed. So a connection stands still at a byte that the test chooses.
    pub fn allow(&self, from: &str, to: &str, bytes: u64) {
        self.change(from, to, |line| *line.allowance.get_or_insert(0) += bytes);
    }

    /// Makes the line between the two as good as new, and delivers what it held up.
    pub fn heal(&self, a: &str, b: &str) {
        self.change_both(a, b, Line::heal);
    }

    /// Makes all lines as good as new.
    pub fn heal_all(&self) {
        let hosts = self.0.state.lock().host_names();
        for a in &hosts {
            for b in &hosts {
                self.change(a, b, Line::heal);
            }
        }
    }

    /// Takes a host off the network as a crash of its machine would: its connections break at both ends, nobody
    /// listens there, and what still runs on it reaches nobody. The next [`host`](Self::host) of the name is the
    /// machine as it comes up again.
    ///
    /// ```
    /// # use rakt::prelude::*;
    /// # use rakt::testkit::Network;
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result {
    /// let network = Network::new(7);
    /// let here = ActorSystem::builder("here").remoting(network.config("here")).start().await?;
    /// let first = ActorSystem::builder("there").remoting(network.config("there")).start().await?;
    /// network.crash("there");
    /// let second = ActorSystem::builder("there").remoting(network.config("there")).start().await?;
    /// here.node("there", Network::PORT).ping().await?; // reaches the second
    /// # Ok(()) }
    /// ```
    pub fn crash(&self, host: &str) {
        let wakers = self.0.state.lock().crash(host);
        wakers.wake();
        self.0.changed.notify_waiters();
    }

    /// How often `from` has dialed `to`, successfully or not.
    pub fn dial_count(&self, from: &str, to: &str) -> u64 {
        self.0.state.lock().line(from, to).dials
    }

    /// How many connections `from` has made to `to` so far.
    pub fn made_count(&self, from: &str, to: &str) -> u64 {
        self.0.state.lock().line(from, to).made
    }

    /// Bytes that the network has taken from `from` for `to` so far.
    pub fn written(&self, from: &str, to: &str) -> u64 {
        self.0.state.lock().line(from, to).written
    }

    /// The connections between the two that neither end has closed and nothing has broken, oldest first.
    pub fn connections(&self, a: &str, b: &str) -> Vec<Connection> {
        let ids = self.0.state.lock().open_between(a, b);
        ids.into_iter().map(|id| Connection { id, network: self.0.clone() }).collect()
    }

    fn change_both(&self, a: &str, b: &str, change: impl Fn(&mut Line)) {
        self.change(a, b, &change);
        self.change(b, a, &change);
    }

    fn change(&self, from: &str, to: &str, change: impl FnOnce(&mut Line)) {
        let mut state = self.0.state.lock();
        change(state.line(from, to));
        let wakers = state.wakers_between(from, to);
        drop(state);
        wakers.wake();
        self.0.changed.notify_waiters();
    }
}
