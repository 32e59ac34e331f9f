//! One peer address, and the connections to it.
//!
//! The first connection carries control; receivers are spread over the others by a hash of their
//! path, so that messages to one receiver use one connection and keep their order. Each connection is
//! dialed when it is first needed, and again after it was lost, with back-off between failures.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rakt_wire::native::{CloseCode, Handshake, HandshakeError, Hello, Lane, RefuseReason};
use rakt_wire::{Outcome, Terminated};

use super::conn::{Conn, Expected};
use super::dialed::{Dialed, NotTaken};
use super::driver::drive;
use super::replies::{Owner, RepliesReader};
use super::watch::{self, RemoteWatches};
use crate::answer::Fate;
use crate::error::{Cause, Chain, OperationError, Refusal};
use crate::remote::dialer::Dialer;
use crate::remote::handshake::{HandshakeFailure, shake_hands};
use crate::remote::random::Random;
use crate::remote::request::NodeRequest;
use crate::sync::Lock;
use crate::timers::now;

/// The pause after the first failed dial; it doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// A connection that ends sooner than this after it was up counts as brief.
const BRIEF: Duration = Duration::from_secs(1);
/// The longest pause between two dials.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

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
    pub(crate) watches: RemoteWatches,
    /// A compression other than the one wanted is told once.
    has_told_compression: AtomicBool,
}

/// The place of one connection.
enum Slot {
    /// Nothing is there; after failures, not to be dialed before a time.
    Empty(Option<Failed>),
    Dialing(Vec<Waker>),
    Up {
        conn: Arc<Conn<Dialed>>,
        since: Instant,
        brief: u32,
    },
    /// The last so many connections ended soon after they were up; a pause precedes the next.
    Brief(u32),
}

struct Failed {
    times: u32,
    until: Instant,
    why: Refusal,
}

impl Endpoint {
    pub(crate) fn new(dialer: Arc<Dialer>, host: &str, port: u16) -> Arc<Self> {
        let slots =
            (0..dialer.resources.options.max_idle_conns).map(|_| Mutex::new(Slot::Empty(None)));
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
        let mut slot = self.slots[place].hold();
        match &mut *slot {
            Slot::Up { conn, .. } if conn.is_usable() => return Poll::Ready(Ok(conn.clone())),
            Slot::Up { .. } | Slot::Brief(_) | Slot::Empty(None) => {}
            Slot::Empty(Some(failed)) if failed.until > now() => {
                return Poll::Ready(Err(failed.why.clone()));
            }
            Slot::Empty(Some(_)) => {}
            Slot::Dialing(wakers) => {
                let Some(waker) = waker else {
                    return Poll::Ready(Err(self.unreachable("not connected yet")));
                };
                if !wakers.iter().any(|known| known.will_wake(waker)) {
                    wakers.push(waker.clone());
                }
                return Poll::Pending;
            }
        }
        if self.dialer.is_closed() {
            return Poll::Ready(Err(Refusal::ShuttingDown));
        }
        let (times, brief) = match &*slot {
            Slot::Empty(Some(failed)) => (failed.times, 0),
            Slot::Up { since, brief, .. } => (0, after(*brief, *since)),
            Slot::Brief(brief) => (0, *brief),
            _ => (0, 0),
        };
        *slot = Slot::Dialing(waker.cloned().into_iter().collect());
        drop(slot);
        let dialing = self.clone().dial(place, times, brief);
        self.dialer.runtime.spawn(dialing);
        match waker {
            Some(_) => Poll::Pending,
            None => Poll::Ready(Err(self.unreachable("not connected yet"))),
        }
    }

    async fn conn_at(self: &Arc<Self>, place: usize) -> Result<Arc<Conn<Dialed>>, Refusal> {
        std::future::poll_fn(|cx| self.poll_conn(place, Some(cx.waker()))).await
    }

    /// Dials a connection and puts it, or the failure, in its place.
    async fn dial(self: Arc<Self>, place: usize, times: u32, brief: u32) {
        // A peer that takes every connection and ends it at once is not to be dialed in a tight loop.
        if let Some(earlier) = brief.checked_sub(2) {
            tokio::time::sleep(self.pause(earlier)).await;
        }
        let limit = self.dialer.resources.options.dial_timeout;
        let connected = match tokio::time::timeout(limit, self.connect(place)).await {
            Ok(connected) => connected,
            Err(_) => Err(self.unreachable(format!("no answer within {limit:?}"))),
        };
        let next = match connected {
            Ok(conn) => Slot::Up { conn, since: now(), brief },
            Err(why) => {
                let pause = self.pause(times);
                tracing::info!(why = %Chain(&why), ?pause, "no link");
                Slot::Empty(Some(Failed { times: times + 1, until: now() + pause, why }))
            }
        };
        let up = match &next {
            Slot::Up { conn, .. } => Some(conn.clone()),
            _ => None,
        };
        let before = std::mem::replace(&mut *self.slots[place].hold(), next);
        if let Some(conn) = up.filter(|_| self.dialer.is_closed()) {
            conn.finish(CloseCode::Normal, "closed while it was dialed");
        }
        if let Slot::Dialing(wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn peer(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(crate) fn unreachable(&self, source: impl Into<Cause>) -> Refusal {
        Refusal::Unreachable { peer: self.peer().into(), source: source.into() }
    }

    /// The pause after `times` earlier ones.
    fn pause(&self, times: u32) -> Duration {
        backoff(&self.dialer.random, times)
    }

    /// What a connection for this place says of itself.
    fn hello(&self, place: usize) -> Hello {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) + 1;
        let id = u128::from_be_bytes(self.lanes).wrapping_add(place as u128).to_be_bytes();
        Hello { lane: Some(Lane { id, turn }), ..self.dialer.hello.clone() }
    }

    async fn connect(self: &Arc<Self>, place: usize) -> Result<Arc<Conn<Dialed>>, Refusal> {
        let options = &self.dialer.resources.options;
        let dialed = options.transport.dial(&self.host, self.port, options.keep_alive).await;
        let mut stream = dialed.map_err(|error| self.unreachable(Cause::new(error)))?;
        let handshake = Handshake::dial(self.hello(place));
        let (session, early) =
            match shake_hands(&mut *stream, handshake, BytesMut::new(), |_| {}).await {
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
        let conn = Conn::new(self.dialer.resources.clone(), Dialed::new(&session), &session, &from);
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
        let of_slot = |slot: &Mutex<Slot>| match &*slot.hold() {
            Slot::Up { conn, .. } => Some(conn.clone()),
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
}

impl Owner for Endpoint {
    fn terminated(&self, watch_id: u64, reason: Terminated) {
        self.watches.ended(watch_id, watch::from_wire(reason));
    }

    fn lost(self: Arc<Self>, conn: &Arc<Conn<Dialed>>) {
        for slot in &self.slots {
            let mut slot = slot.hold();
            if let Slot::Up { conn: known, since, brief } = &*slot
                && Arc::ptr_eq(known, conn)
            {
                *slot = Slot::Brief(after(*brief, *since));
            }
        }
        self.watches.lost(&self, conn);
    }

    fn needs(&self, conn: &Conn<Dialed>) -> bool {
        self.watches.need(conn)
    }
}

/// The pause before a peer is dialed again after `times` earlier ones.
pub(crate) fn backoff(random: &Random, times: u32) -> Duration {
    let pause = FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(times));
    random.jittered(pause.min(LONGEST_BACKOFF))
}

/// How many connections in a row were brief, after one that was up since then has ended.
fn after(brief: u32, since: Instant) -> u32 {
    if now().saturating_duration_since(since) < BRIEF { brief + 1 } else { 0 }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_fifty_milliseconds_to_five_seconds() {
        let random = Random::new(None);
        for times in 0..100 {
            let full = FIRST_BACKOFF * 2_u32.pow(times.min(6));
            let full = if times > 6 { LONGEST_BACKOFF } else { full };
            let pause = backoff(&random, times);
            assert!((full / 2..=full).contains(&pause), "{times}: {pause:?}");
        }
        let pauses: std::collections::BTreeSet<_> = (0..10).map(|_| backoff(&random, 9)).collect();
        assert!(pauses.len() > 1, "many who lost a peer do not come back at one time");
    }
}
