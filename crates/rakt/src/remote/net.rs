//! What a node and a standalone client have in common: options, peers, budget, randomness.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rakt_wire::native::{CloseCode, Handshake, HandshakeError, Hello, Limits, Session};
use rakt_wire::{Compression, Encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast;

use super::budget::Budget;
use super::compressors::{self, Compressors, Prepared};
use super::config::Options;
use super::conn::Conn;
use super::endpoint::Endpoint;
use super::transport::Stream;
use crate::error::Refusal;
use crate::events::{DeadLetter, Event};
use crate::propagate::ContextPropagator;
use crate::sync::Lock;
use crate::system::{ActorSystem, WeakSystem};
use crate::ticks::Ticks;

/// Bytes that the names take up which peers have given numbers, all peers together. 1 GiB.
const NAMES_BUDGET: u64 = 1024 * 1024 * 1024;
/// Bytes of replies that wait for peers to take them, all peers together. 1 GiB.
const REPLIES_BUDGET: u64 = 1024 * 1024 * 1024;

pub(crate) struct Net {
    me: Weak<Net>,
    pub(crate) owner: Owner,
    pub(crate) options: Options,
    pub(crate) propagator: Option<Arc<dyn ContextPropagator>>,
    pub(crate) ask_timeout: Duration,
    /// Messages from peers.
    pub(crate) budget: Budget,
    /// Names that peers have defined.
    pub(crate) names: Budget,
    /// Replies that peers have not taken yet.
    pub(crate) replies: Budget,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) ticks: Arc<Ticks>,
    incarnation: [u8; 16],
    compressors: Compressors,
    endpoints: Mutex<Endpoints<Endpoint>>,
    #[cfg(feature = "goakt")]
    goakt_endpoints: Mutex<Endpoints<super::goakt::Endpoint>>,
    rng: Mutex<fastrand::Rng>,
    conn_ids: AtomicU64,
    advertised: std::sync::OnceLock<(String, u16)>,
    is_closed: AtomicBool,
}

/// The peer addresses that something is known of: references, connections or watches hold on to
/// each. Peers name senders at any address they like, so nothing else may keep one.
struct Endpoints<E> {
    known: HashMap<(Arc<str>, u16), Weak<E>>,
    /// How many were in use when those that were not were last cleared out.
    in_use: usize,
}

impl<E> Default for Endpoints<E> {
    fn default() -> Self {
        Self { known: HashMap::new(), in_use: 0 }
    }
}

impl<E> Endpoints<E> {
    /// The one of a peer address, made when it is first needed.
    fn of(&mut self, host: &str, port: u16, make: impl FnOnce() -> Arc<E>) -> Arc<E> {
        let key = (Arc::<str>::from(host), port);
        if let Some(known) = self.known.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        if self.known.len() > 2 * self.in_use + 16 {
            self.known.retain(|_, endpoint| endpoint.strong_count() > 0);
            self.in_use = self.known.len();
        }
        let endpoint = make();
        self.known.insert(key, Arc::downgrade(&endpoint));
        endpoint
    }

    fn all(&self) -> Vec<Arc<E>> {
        self.known.values().filter_map(Weak::upgrade).collect()
    }
}

/// Whose net this is.
pub(crate) enum Owner {
    System { name: String, system: WeakSystem },
    Client { name: String, events: broadcast::Sender<Event>, dead_letters: AtomicU64 },
}

impl Net {
    pub(crate) fn new(
        owner: Owner,
        options: Options,
        propagator: Option<Arc<dyn ContextPropagator>>,
        ask_timeout: Duration,
    ) -> Arc<Self> {
        let mut rng = match options.seed {
            Some(seed) => fastrand::Rng::with_seed(seed),
            None => fastrand::Rng::with_seed(random_seed()),
        };
        let mut incarnation = rng.u128(..).to_be_bytes();
        if options.seed.is_none() {
            // All of the operating system's randomness, not the 64 bits of a seed.
            let _ = getrandom::fill(&mut incarnation);
        }
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            owner,
            budget: Budget::new(options.inbound_budget),
            names: Budget::new(NAMES_BUDGET),
            replies: Budget::new(REPLIES_BUDGET),
            options,
            propagator,
            ask_timeout,
            runtime: tokio::runtime::Handle::current(),
            ticks: Ticks::new(tokio::runtime::Handle::current()),
            incarnation,
            compressors: Compressors::default(),
            endpoints: Mutex::default(),
            #[cfg(feature = "goakt")]
            goakt_endpoints: Mutex::default(),
            rng: Mutex::new(rng),
            conn_ids: AtomicU64::new(1),
            advertised: std::sync::OnceLock::new(),
            is_closed: AtomicBool::new(false),
        })
    }

    pub(crate) fn name(&self) -> &str {
        match &self.owner {
            Owner::System { name, .. } | Owner::Client { name, .. } => name,
        }
    }

    /// The system, as long as somebody holds it.
    pub(crate) fn system(&self) -> Option<ActorSystem> {
        match &self.owner {
            Owner::System { system, .. } => system.upgrade(),
            Owner::Client { .. } => None,
        }
    }

    pub(crate) fn set_advertised(&self, host: String, port: u16) {
        self.advertised.get_or_init(|| (host, port));
    }

    pub(crate) fn advertised(&self) -> Option<&(String, u16)> {
        self.advertised.get()
    }

    pub(crate) fn next_conn_id(&self) -> u64 {
        self.conn_ids.fetch_add(1, Ordering::Relaxed)
    }

    /// What this side says of itself at the start of a connection.
    pub(crate) fn hello(&self) -> Hello {
        let options = &self.options;
        let mut hello = Hello::new(self.name(), self.incarnation);
        hello.advertised = self.advertised.get().cloned();
        hello.compressions = compressions(options.compression);
        hello.limits = Limits {
            max_frame_len: options.max_frame_size,
            max_message_len: options.max_message_size(),
            receiver_window: options.receiver_window,
            max_in_flight: options.max_in_flight,
            ..Limits::default()
        };
        hello
    }

    fn me(&self) -> Arc<Self> {
        self.me.upgrade().expect("whoever calls this holds a reference")
    }

    /// The endpoint of a native peer's address.
    pub(crate) fn endpoint(&self, host: &str, port: u16) -> Arc<Endpoint> {
        self.endpoints.hold().of(host, port, || Endpoint::new(self.me(), host, port))
    }

    /// The endpoint of a Go node's address.
    #[cfg(feature = "goakt")]
    pub(crate) fn goakt_endpoint(&self, host: &str, port: u16) -> Arc<super::goakt::Endpoint> {
        let make = || super::goakt::Endpoint::new(self.me(), host, port);
        self.goakt_endpoints.hold().of(host, port, make)
    }

    /// Bytes that nobody can guess.
    pub(crate) fn random_id(&self) -> [u8; 16] {
        let mut id = self.rng.hold().u128(..).to_be_bytes();
        if self.options.seed.is_none() {
            let _ = getrandom::fill(&mut id);
        }
        id
    }

    /// A duration between half of `full` and `full`.
    pub(crate) fn jittered(&self, full: Duration) -> Duration {
        full.mul_f64(0.5 + self.rng.hold().f64() / 2.0)
    }

    /// Whether a payload is encoded where it goes, and need not be [prepared](Self::prepare).
    pub(crate) fn is_small(&self, payload: &dyn Encode) -> bool {
        compressors::is_small(payload, self.options.compress_from)
    }

    pub(crate) fn prepare(
        &self,
        payload: &dyn Encode,
        compression: Compression,
        max_message_len: u32,
    ) -> Result<Prepared, Refusal> {
        self.compressors.prepare(payload, compression, self.options.compress_from, max_message_len)
    }

    pub(crate) fn decompress(
        &self,
        compression: Compression,
        payload: &[u8],
        raw_len: u32,
    ) -> Result<Bytes, Refusal> {
        self.compressors.decompress(compression, payload, raw_len)
    }

    pub(crate) fn publish(&self, event: impl FnOnce() -> Event) {
        match &self.owner {
            Owner::System { system, .. } => {
                if let Some(system) = system.upgrade() {
                    system.publish(event);
                }
            }
            Owner::Client { events, .. } => {
                if events.receiver_count() > 0 {
                    let _ = events.send(event());
                }
            }
        }
    }

    pub(crate) fn dead_letters(&self, count: u64, letter: impl FnOnce() -> DeadLetter) {
        match &self.owner {
            Owner::System { system, .. } => {
                if let Some(system) = system.upgrade() {
                    system.dead_letters(count, letter);
                }
            }
            Owner::Client { dead_letters, .. } => {
                let add = |sum: u64| Some(sum.saturating_add(count));
                let _ = dead_letters.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
                self.publish(|| Event::DeadLetter(letter()));
            }
        }
    }

    pub(crate) fn link_up(&self, conn: &Conn) {
        self.is_up(&conn.peer.name, conn.compression);
    }

    pub(crate) fn link_down(&self, conn: &Conn, reason: &str) {
        self.is_down(&conn.peer.name, reason);
    }

    /// A connection with `peer` is open.
    pub(crate) fn is_up(&self, peer: &str, compression: Compression) {
        crate::metrics::link_up();
        tracing::info!(peer, %compression, "link up");
        self.publish(|| Event::LinkUp { peer: peer.to_owned() });
    }

    /// A connection with `peer` has ended.
    pub(crate) fn is_down(&self, peer: &str, reason: &str) {
        crate::metrics::link_down();
        tracing::info!(peer, reason, "link down");
        self.publish(|| Event::LinkDown { peer: peer.to_owned(), reason: reason.to_owned() });
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Closes all connections that were dialed here, and dials no more.
    pub(crate) fn close(&self, reason: &str) -> Vec<Arc<Conn>> {
        self.is_closed.store(true, Ordering::Release);
        let endpoints = self.endpoints.hold().all();
        let conns: Vec<_> = endpoints.iter().flat_map(|endpoint| endpoint.conns()).collect();
        for conn in &conns {
            conn.finish(CloseCode::Normal, reason);
        }
        #[cfg(feature = "goakt")]
        {
            let endpoints = self.goakt_endpoints.hold().all();
            endpoints.iter().for_each(|endpoint| endpoint.close());
        }
        conns
    }

    /// Completes when no connection to a Go node is open any more, after [`Net::close`].
    #[cfg(feature = "goakt")]
    pub(crate) async fn goakt_gone(&self) {
        let endpoints = self.goakt_endpoints.hold().all();
        for endpoint in endpoints {
            endpoint.gone().await;
        }
    }
}

/// The compressions to offer, the preferred one first; none where none is wanted.
fn compressions(preferred: Compression) -> Vec<Compression> {
    if preferred == Compression::None {
        return Vec::new();
    }
    let others = [Compression::Zstd, Compression::Gzip, Compression::Brotli];
    let others = others.into_iter().filter(|c| *c != preferred && c.is_available());
    std::iter::once(preferred).chain(others).collect()
}

fn random_seed() -> u64 {
    let mut seed = [0; 8];
    // Without randomness from the operating system, the addresses and times of this process.
    match getrandom::fill(&mut seed) {
        Ok(()) => u64::from_be_bytes(seed),
        Err(_) => fastrand::u64(..),
    }
}

/// Runs a handshake that may have begun with the bytes in `read`; returns the session, and bytes that
/// belong to what follows.
///
/// `agreed` is told of the session before the peer is: what it does comes before anything that the
/// peer sends over the connection.
pub(crate) async fn shake_hands(
    stream: &mut dyn Stream,
    mut handshake: Handshake,
    mut read: BytesMut,
    mut agreed: impl FnMut(&Session) + Send,
) -> Result<(Session, BytesMut), HandshakeFailure> {
    let mut has_read = !read.is_empty();
    loop {
        while let Some(bytes) = handshake.poll_transmit() {
            stream.write_all(&bytes).await.map_err(HandshakeFailure::Io)?;
            stream.flush().await.map_err(HandshakeFailure::Io)?;
        }
        if !std::mem::take(&mut has_read) {
            read.reserve(4 * 1024);
            if stream.read_buf(&mut read).await.map_err(HandshakeFailure::Io)? == 0 {
                return Err(HandshakeFailure::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
        let handled = handshake.handle_bytes(&mut read);
        if let Ok(Some(session)) = &handled {
            agreed(session);
        }
        if let Some(bytes) = handshake.poll_transmit() {
            stream.write_all(&bytes).await.map_err(HandshakeFailure::Io)?;
            stream.flush().await.map_err(HandshakeFailure::Io)?;
        }
        match handled {
            Ok(Some(session)) => return Ok((session, read)),
            Ok(None) => {}
            Err(error) => return Err(HandshakeFailure::Protocol(error)),
        }
    }
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeFailure {
    #[error("{0}")]
    Io(std::io::Error),
    #[error("{0}")]
    Protocol(HandshakeError),
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::remote::Config;

    /// One that listens nowhere.
    pub(crate) fn net() -> Arc<Net> {
        let (events, dead_letters) = (broadcast::Sender::new(1), AtomicU64::new(0));
        let owner = Owner::Client { name: "tests".to_owned(), events, dead_letters };
        let options = Config::client().check().expect("the defaults are valid");
        Net::new(owner, options, None, Duration::from_secs(5))
    }

    #[tokio::test]
    async fn endpoints_that_nobody_uses_are_forgotten() {
        let net = net();
        let used = net.endpoint("used", 1);
        for port in 0..1000 {
            net.endpoint("unused", port);
        }
        assert!(Arc::ptr_eq(&used, &net.endpoint("used", 1)));
        let known = net.endpoints.hold().known.len();
        assert!(known < 32, "{known} are known");
    }
}
