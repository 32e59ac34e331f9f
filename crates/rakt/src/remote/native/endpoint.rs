//! One peer address, and the connections to it.
//!
//! The first connection carries control; receivers are spread over the others by a hash of their
//! path, so that messages to one receiver use one connection and keep their order. Each connection is
//! dialed when it is first needed, and again after it was lost, with back-off between failures.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rakt_wire::Outcome;
use rakt_wire::native::{CloseCode, Handshake, HandshakeError, Hello, Lane, RefuseReason};

use super::conn::{Conn, Expected};
use super::dialed::{Dialed, NotTaken};
use super::driver::drive;
use super::replies::RepliesReader;
use super::watches::RemoteWatches;
use crate::answer::Fate;
use crate::error::{Cause, Chain, OperationError, Refusal};
use crate::remote::account::Account;
use crate::remote::dialer::Dialer;
use crate::remote::handshake::{HandshakeFailure, shake_hands};
use crate::remote::io;
use crate::remote::redial::{BriefConns, Failures};
use crate::remote::request::NodeRequest;
use crate::remote::resources::log_peer;
use crate::remote::transport::Stream;
use crate::sync::Mutex;
use crate::timers::now;
use crate::watchdog::spawn_apart;

/// The place of the control connection.
pub(crate) const CONTROL: usize = 0;

pub(crate) struct Endpoint {
    dialer: Arc<Dialer>,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    slots: Box<[Mutex<Slot>]>,
    /// The first of the lane numbers, one for each slot; known to this peer alone.
    lanes: [u8; 16],
    /// Connections dialed so far.
    turns: AtomicU64,
    pub(super) watches: RemoteWatches,
    /// A compression other than the one wanted is told once.
    has_told_compression: AtomicBool,
}

/// The place of one connection.
#[derive(Default)]
struct Slot {
    state: State,
    failures: Failures,
    brief: BriefConns,
}

#[derive(Default)]
enum State {
    #[default]
    Empty,
    Dialing(Vec<Waker>),
    Up {
        conn: Arc<Conn<Dialed>>,
        since: Instant,
    },
}

impl Endpoint {
    pub(crate) fn new(dialer: Arc<Dialer>, host: &str, port: u16) -> Arc<Self> {
        let slots = (0..dialer.resources.options.max_idle_conns).map(|_| Mutex::default());
        let slots = slots.collect();
        let (lanes, turns) = (dialer.random.id(), AtomicU64::new(0));
        let watches = RemoteWatches::default();
        let has_told_compression = AtomicBool::new(false);
        let host = host.into();
        Arc::new(Self { dialer, host, port, slots, lanes, turns, watches, has_told_compression })
    }

    pub(crate) fn dialer(&self) -> &Arc<Dialer> {
        &self.dialer
    }

    /// The place of the connection for messages to the receiver at `path`.
    pub(crate) fn place_of(&self, path: &str) -> usize {
        match self.slots.len() {
            1 => 0,
            n => {
                // Fixed keys: the place of a receiver does not change over the life of a process.
                let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(path);
                1 + (hash % (n as u64 - 1)) as usize
            }
        }
    }

    /// The connection at a place, dialing it if needed. Without a waker the caller does not wait.
    pub(crate) fn poll_conn(
        self: &Arc<Self>,
        place: usize,
        waker: Option<&Waker>,
    ) -> Poll<Result<Arc<Conn<Dialed>>, Refusal>> {
        let mut slot = self.slots[place].lock();
        let ended = match &mut slot.state {
            State::Up { conn, .. } if conn.is_usable() => return Poll::Ready(Ok(conn.clone())),
            State::Up { conn, since } => Some((*since, conn.has_answered())),
            State::Empty => None,
            State::Dialing(wakers) => {
                let Some(waker) = waker else {
                    return Poll::Ready(Err(self.unreachable("not connected yet")));
                };
                if !wakers.iter().any(|known| known.will_wake(waker)) {
                    wakers.push(waker.clone());
                }
                return Poll::Pending;
            }
        };
        slot.failures.check(now())?;
        if self.dialer.is_closed() {
            return Poll::Ready(Err(Refusal::ShuttingDown));
        }
        if let Some((since, has_answered)) = ended {
            slot.brief.ended_at(now(), since, has_answered);
        }
        slot.state = State::Dialing(waker.cloned().into_iter().collect());
        let pause = slot.brief.pause(&|pause| self.dialer.random.jittered(pause));
        drop(slot);
        spawn_apart(&self.dialer.runtime, self.clone().dial(place, pause));
        match waker {
            Some(_) => Poll::Pending,
            None => Poll::Ready(Err(self.unreachable("not connected yet"))),
        }
    }

    async fn conn_at(self: &Arc<Self>, place: usize) -> Result<Arc<Conn<Dialed>>, Refusal> {
        std::future::poll_fn(|cx| self.poll_conn(place, Some(cx.waker()))).await
    }

    /// Dials a connection, after a pause, and puts it, or the failure, in its place.
    async fn dial(self: Arc<Self>, place: usize, pause: Option<Duration>) {
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        let options = &self.dialer.resources.options;
        let greet = |stream| self.greet(stream, place);
        let connected = io::dial(options, &self.host, self.port, greet).await;
        let up = connected.as_ref().ok().cloned();
        let before = self.put(place, connected);
        if let Some(conn) = up.filter(|_| self.dialer.is_closed()) {
            conn.finish(CloseCode::Normal, "closed while it was dialed");
        }
        if let State::Dialing(wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn peer(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(crate) fn unreachable(&self, source: impl Into<Cause>) -> Refusal {
        Refusal::Unreachable { peer: self.peer().into(), source: source.into() }
    }

    /// Puts what came of dialing in its place, and returns what was there.
    fn put(&self, place: usize, connected: Result<Arc<Conn<Dialed>>, Refusal>) -> State {
        let mut slot = self.slots[place].lock();
        let why = match connected {
            Ok(conn) => {
                slot.failures.clear();
                return std::mem::replace(&mut slot.state, State::Up { conn, since: now() });
            }
            Err(why) => why,
        };
        slot.brief.ended(false);
        let jitter = |pause| self.dialer.random.jittered(pause);
        let pause = slot.failures.failed(now(), why.clone(), &jitter);
        let before = std::mem::take(&mut slot.state);
        drop(slot);
        let resources = &self.dialer.resources;
        log_peer!(resources, &self.peer(), info, "no link", why = %Chain(&why), ?pause);
        before
    }

    /// What a connection for this place says of itself.
    fn hello(&self, place: usize) -> Hello {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) + 1;
        let id = u128::from_be_bytes(self.lanes).wrapping_add(place as u128).to_be_bytes();
        Hello { lane: Some(Lane { id, turn }), ..self.dialer.hello.clone() }
    }

    /// Begins to speak over a connection that was dialed for this place.
    async fn greet(
        self: &Arc<Self>,
        mut stream: Box<dyn Stream>,
        place: usize,
    ) -> Result<Arc<Conn<Dialed>>, Refusal> {
        let options = &self.dialer.resources.options;
        let handshake = Handshake::dial(self.hello(place));
        let (session, early) =
            match shake_hands(&mut *stream, handshake, BytesMut::new(), || Ok(()), |_| {}).await {
                Ok(done) => done,
                Err(HandshakeFailure::Protocol(error)) if is_incompatible(&error) => {
                    let (peer, source) = (self.peer(), Cause::new(error));
                    return Err(Refusal::Incompatible { peer: peer.into(), source });
                }
                Err(HandshakeFailure::Protocol(error)) => {
                    return Err(self.unreachable(Cause::new(error)));
                }
                Err(HandshakeFailure::Io(error)) => {
                    return Err(self.unreachable(Cause::new(error)));
                }
            };
        let from = self.peer();
        let account = Account::new(self.dialer.resources.clone());
        let conn = Conn::new(account, Dialed::new(&session), &session, &from);
        let (wanted, used) = (options.compression, session.compression);
        if wanted != used && !self.has_told_compression.swap(true, Ordering::Relaxed) {
            let peer = &conn.peer.name;
            tracing::info!(%peer, %wanted, %used, "the peer does not have the compression wanted");
        }
        conn.resources.link_up(&conn.peer.name, used);
        let reader = RepliesReader::new(conn.clone(), self.clone(), &session);
        self.dialer.runtime.spawn(drive(conn.clone(), stream, reader, early));
        Ok(conn)
    }

    /// The connections that are up.
    pub(crate) fn conns(&self) -> Vec<Arc<Conn<Dialed>>> {
        let of_slot = |slot: &Mutex<Slot>| match &slot.lock().state {
            State::Up { conn, .. } => Some(conn.clone()),
            _ => None,
        };
        self.slots.iter().filter_map(of_slot).collect()
    }

    /// Carries out an operation on the peer, over the connection at `place`.
    pub(crate) async fn request(
        self: &Arc<Self>,
        request: NodeRequest<'_>,
        place: usize,
        expected: Expected<'_>,
    ) -> Result<(Arc<Conn<Dialed>>, Outcome), OperationError> {
        let limit = request.limit;
        let until = tokio::time::Instant::now().checked_add(limit);
        let sent = async {
            loop {
                let conn = self.conn_at(place).await?;
                expected.check(&conn.peer)?;
                match conn.request(request.operation, limit, None) {
                    Ok(answer) => return Ok((conn, answer)),
                    Err(NotTaken::Refused(refusal)) => return Err(refusal),
                    Err(NotTaken::Gone) => {}
                }
            }
        };
        let (conn, answer) = match tokio::time::timeout(limit, sent).await {
            Ok(answer) => answer.map_err(|refusal| request.not_sent(refusal))?,
            Err(_) => return Err(request.not_sent(Refusal::DeadlineExceeded)),
        };
        let fate = match until {
            Some(until) => tokio::time::timeout_at(until, answer).await,
            None => Ok(answer.await),
        };
        match fate {
            Err(_) => Err(request.timed_out()),
            Ok(Fate::Outcome(outcome)) => Ok((conn, outcome)),
            Ok(Fate::Refused(refusal)) => Err(request.refused(refusal)),
            Ok(Fate::Lost(cause)) => Err(request.lost(cause)),
            Ok(_) => {
                let source = "a reply where an outcome belongs".into();
                Err(request.refused(Refusal::Internal { source }))
            }
        }
    }

    /// A connection has ended: its place is free for another.
    pub(super) fn make_place(&self, conn: &Arc<Conn<Dialed>>) {
        for slot in &self.slots {
            let mut slot = slot.lock();
            if let State::Up { conn: known, since } = &slot.state
                && Arc::ptr_eq(known, conn)
            {
                let since = *since;
                slot.brief.ended_at(now(), since, conn.has_answered());
                slot.state = State::Empty;
            }
        }
    }
}

/// Whether no other try can succeed while both sides stay as they are.
fn is_incompatible(error: &HandshakeError) -> bool {
    match error {
        HandshakeError::Version { .. } | HandshakeError::Feature(_) => true,
        HandshakeError::NotRakt { .. } => true,
        HandshakeError::RefusedByPeer(reason) => matches!(
            reason,
            RefuseReason::IncompatibleVersion { .. } | RefuseReason::UnknownRequiredFeature(_)
        ),
        _ => false,
    }
}
