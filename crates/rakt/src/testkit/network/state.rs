//! The hosts of a network, the lines between them, and the connections over those.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::pipe::Pipe;
use crate::sync::GlobalMutex;

/// What a network, its hosts and its connections have in common.
pub(super) struct Shared {
    pub(super) seed: u64,
    pub(super) state: GlobalMutex<State>,
    /// Told of every change that may let a dial go on.
    pub(super) changed: Notify,
}

impl Shared {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, state: GlobalMutex::new(State::new(seed)), changed: Notify::new() }
    }
}

/// All that is known of a network.
pub(super) struct State {
    random: fastrand::Rng,
    /// How often each host has crashed.
    hosts: BTreeMap<Arc<str>, u64>,
    listeners: BTreeMap<(Arc<str>, u16), UnboundedSender<Dialed>>,
    lines: BTreeMap<(Arc<str>, Arc<str>), Line>,
    pub(super) connections: BTreeMap<u64, Connected>,
    next_id: u64,
}

/// A connection that a listener is given: its number, and who dialed.
pub(super) type Dialed = (u64, Arc<str>);

/// What holds for all that one host sends to another.
#[derive(Default)]
pub(super) struct Line {
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
    /// Bytes a second of each connection.
    pub(super) rate: Option<u32>,
    pub(super) is_cut: bool,
    pub(super) is_stalled: bool,
    pub(super) is_lossy: bool,
    /// Bytes that may still be written; without one, any number.
    pub(super) allowance: Option<u64>,
    pub(super) dials: u64,
    pub(super) made: u64,
    pub(super) written: u64,
}

impl Line {
    pub(super) fn heal(&mut self) {
        let Self { dials, made, written, .. } = *self;
        *self = Self { dials, made, written, ..Self::default() };
    }
}

/// The two ends of a connection. The dialer has the first.
pub(super) struct Connected {
    pub(super) hosts: [Arc<str>; 2],
    /// What each end sends.
    pub(super) pipes: [Pipe; 2],
    pub(super) is_closed: [bool; 2],
    pub(super) is_broken: [bool; 2],
}

impl Connected {
    pub(super) fn is_open(&self) -> bool {
        self.is_closed == [false; 2] && self.is_broken == [false; 2]
    }

    /// Which end a host has.
    pub(super) fn end_of(&self, host: &str) -> Option<usize> {
        self.hosts.iter().position(|name| **name == *host)
    }

    /// All who wait at either end.
    pub(super) fn wakers(&mut self) -> Wakers {
        let of_pipe = |pipe: &mut Pipe| [pipe.reader.take(), pipe.writer.take()];
        Wakers(self.pipes.iter_mut().flat_map(of_pipe).flatten().collect())
    }
}

/// Whom to wake once the lock is released.
#[must_use = "they are to be woken"]
pub(super) struct Wakers(Vec<Waker>);

impl Wakers {
    pub(super) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

/// Whether one host can connect to another.
pub(super) enum Way {
    /// It takes so long.
    Open(Duration),
    /// Not before something changes.
    Waits,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            hosts: BTreeMap::new(),
            listeners: BTreeMap::new(),
            lines: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// Adds a host, if it is not there, and returns how often it has crashed.
    pub(super) fn add_host(&mut self, name: &str) -> u64 {
        *self.hosts.entry(name.into()).or_insert(0)
    }

    pub(super) fn host_names(&self) -> Vec<Arc<str>> {
        self.hosts.keys().cloned().collect()
    }

    fn known(&self, host: &str) -> Arc<str> {
        match self.hosts.get_key_value(host) {
            Some((name, _)) => name.clone(),
            None => panic!("no host of this network is called {host:?}: {:?}", self.host_names()),
        }
    }

    pub(super) fn line(&mut self, from: &str, to: &str) -> &mut Line {
        let key = (self.known(from), self.known(to));
        self.lines.entry(key).or_default()
    }

    /// How long what is sent now takes.
    pub(super) fn draw_delay(&mut self, from: &str, to: &str) -> Duration {
        let Line { latency, jitter, .. } = *self.line(from, to);
        // No draw where nothing depends on it: else a line without jitter had a part in those with.
        if jitter.is_zero() { latency } else { latency + jitter.mul_f64(self.random.f64()) }
    }

    /// The numbers of the connections between two hosts that work, oldest first.
    pub(super) fn open_between(&self, a: &str, b: &str) -> Vec<u64> {
        let (a, b) = (self.known(a), self.known(b));
        let is_between = |hosts: &[Arc<str>; 2]| {
            *hosts == [a.clone(), b.clone()] || *hosts == [b.clone(), a.clone()]
        };
        let open = self.connections.iter().filter(|(_, conn)| conn.is_open());
        open.filter(|(_, conn)| is_between(&conn.hosts)).map(|(id, _)| *id).collect()
    }

    /// Everybody who waits at connections between two hosts.
    pub(super) fn wakers_between(&mut self, a: &str, b: &str) -> Wakers {
        let of_both = |conn: &&mut Connected| conn.end_of(a).is_some() && conn.end_of(b).is_some();
        let concerned = self.connections.values_mut().filter(of_both);
        Wakers(concerned.flat_map(|conn| conn.wakers().0).collect())
    }

    /// Takes a host off the network.
    pub(super) fn crash(&mut self, host: &str) -> Wakers {
        let host = self.known(host);
        *self.hosts.entry(host.clone()).or_insert(0) += 1;
        self.listeners.retain(|(name, _), _| *name != host);
        let mut wakers = Vec::new();
        for conn in self.connections.values_mut().filter(|conn| conn.end_of(&host).is_some()) {
            conn.is_broken = [true; 2];
            wakers.extend(conn.wakers().0);
        }
        Wakers(wakers)
    }

    fn is_up(&self, host: &str, life: u64) -> bool {
        self.hosts.get(host) == Some(&life)
    }

    /// Has a host of this life listen, on a free port if it is zero.
    pub(super) fn listen(
        &mut self,
        host: &Arc<str>,
        life: u64,
        port: u16,
        dialed: UnboundedSender<Dialed>,
    ) -> io::Result<u16> {
        if !self.is_up(host, life) {
            return Err(io::ErrorKind::NetworkDown.into());
        }
        let is_free = |port: &u16| !self.listeners.contains_key(&(host.clone(), *port));
        let port = match port {
            0 => (1..=u16::MAX).find(is_free),
            port => Some(port).filter(is_free),
        };
        let port = port.ok_or(io::ErrorKind::AddrInUse)?;
        self.listeners.insert((host.clone(), port), dialed);
        Ok(port)
    }

    /// Ends a listener, if its host has not crashed since.
    pub(super) fn stop_listening(&mut self, host: &Arc<str>, life: u64, port: u16) {
        if self.is_up(host, life) {
            self.listeners.remove(&(host.clone(), port));
        }
    }

    /// Whether a host of this life can connect to another now.
    pub(super) fn way(&mut self, from: &Arc<str>, life: u64, to: &str) -> io::Result<Way> {
        if !self.is_up(from, life) || !self.hosts.contains_key(to) {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let (there, back) = (self.draw_delay(from, to), self.draw_delay(to, from));
        let line = self.line(from, to);
        let (is_cut, mut waits) = (line.is_cut, line.is_stalled || line.is_lossy);
        let line = self.line(to, from);
        waits |= line.is_stalled || line.is_lossy;
        match is_cut || line.is_cut {
            true => Err(io::ErrorKind::NetworkUnreachable.into()),
            false if waits => Ok(Way::Waits),
            false => Ok(Way::Open(there + back)),
        }
    }

    /// Connects a host to a port of another; the number of the connection.
    pub(super) fn connect(&mut self, from: &Arc<str>, to: &str, port: u16) -> io::Result<u64> {
        let to = self.known(to);
        let refused = io::ErrorKind::ConnectionRefused;
        let listener = self.listeners.get(&(to.clone(), port)).ok_or(refused)?;
        let id = self.next_id;
        listener.send((id, from.clone())).map_err(|_| refused)?;
        self.next_id += 1;
        let hosts = [from.clone(), to.clone()];
        let pipes = [Pipe::default(), Pipe::default()];
        let (is_closed, is_broken) = ([false; 2], [false; 2]);
        self.connections.insert(id, Connected { hosts, pipes, is_closed, is_broken });
        self.line(from, &to).made += 1;
        Ok(id)
    }

    /// Ends what one side of a connection sends, after what it has sent.
    pub(super) fn finish(&mut self, id: u64, side: usize, now: Instant) -> Option<Waker> {
        let hosts = self.connections.get(&id)?.hosts.clone();
        let (from, to) = (&hosts[side], &hosts[1 - side]);
        let delay = self.draw_delay(from, to);
        let is_lossy = self.line(from, to).is_lossy;
        let pipe = &mut self.connections.get_mut(&id)?.pipes[side];
        pipe.is_dead |= is_lossy;
        pipe.end(delay, now);
        pipe.reader.take()
    }

    /// One side of a connection is gone.
    pub(super) fn close(&mut self, id: u64, side: usize, now: Instant) -> Option<Wakers> {
        let reader = self.finish(id, side, now);
        let conn = self.connections.get_mut(&id)?;
        conn.is_closed[side] = true;
        let writer = conn.pipes[1 - side].writer.take();
        if conn.is_closed == [true; 2] {
            self.connections.remove(&id);
        }
        Some(Wakers(reader.into_iter().chain(writer).collect()))
    }
}
