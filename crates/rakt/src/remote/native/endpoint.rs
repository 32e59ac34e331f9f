//! One peer address, and the connections to it.
//!
//! The first connection carries control; receivers are spread over the others by a hash of their
//! path, so that messages to one receiver use one connection and keep their order. Each connection is
//! dialed when it is first needed, and again after it was lost, with back-off between failures.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rakt_wire::native::{CloseCode, Handshake, HandshakeError, Hello, RefuseReason};
use rakt_wire::{Dialect, Outcome};

use super::conn::{Conn, Expected};
use super::dialed::{Dialed, NotTaken};
use super::driver::drive;
use super::replies::RepliesReader;
use super::watches::RemoteWatches;
use crate::answer::Fate;
use crate::error::{Cause, OperationError, Refusal};
use crate::remote::account::Account;
use crate::remote::dialer::Dialer;
use crate::remote::handshake::{HandshakeFailure, shake_hands};
use crate::remote::io;
use crate::remote::known::Known;
use crate::remote::redial::{BriefConns, Place};
use crate::remote::request::NodeRequest;
use crate::remote::transport::Stream;
use crate::sync::Mutex;
use crate::timers::now;
use crate::watchdog::spawn_apart;

/// What a sender hears that was waiting for it.
const FENCED: &str = "its certificate is renewed, and it has not taken yet what was sent before over another connection";

/// The place of the control connection.
pub(crate) const CONTROL: usize = 0;

pub(crate) struct Endpoint {
    dialer: Arc<Dialer>,
    pub(crate) place: Place,
    /// Made when the first connection is: many addresses are known that nothing is ever sent to.
    slots: OnceLock<Box<[Mutex<Slot>]>>,
    /// Connections whose place another has, and whose requests are not all answered.
    retired: Mutex<Vec<Weak<Conn<Dialed>>>>,
    pub(super) watches: RemoteWatches,
    /// A compression other than the one wanted is told once.
    has_told_compression: AtomicBool,
}

/// The place of one connection.
#[derive(Default)]
struct Slot {
    state: State,
    brief: BriefConns,
    /// The number of its lane: a connection whose place another takes while it lives is in one of its own.
    lane: u64,
    /// The connection before, which may hold what the peer has not taken yet: nothing is sent here before it has.
    before: Option<Arc<Conn<Dialed>>>,
    /// A connection that is to take the place of this one is being dialed.
    #[cfg(feature = "_tls")]
    is_replaced: bool,
}

#[derive(Default)]
enum State {
    #[default]
    Empty,
    Dialing {
        wakers: Vec<Waker>,
        stage: Stage,
    },
    Up {
        conn: Arc<Conn<Dialed>>,
        since: Instant,
    },
}

/// What a connection that is being made waits for.
#[derive(Clone, Copy)]
enum Stage {
    /// A pause, since those before it ended at once.
    Pausing,
    Opening,
    Greeting,
}

impl Stage {
    fn what(self) -> &'static str {
        match self {
            Self::Pausing => "connections before it have ended at once, so it waits for a pause",
            Self::Opening => "the connection is still being opened",
            Self::Greeting => "the peer has taken the connection and has not answered the greeting",
        }
    }
}

impl Endpoint {
    pub(crate) fn new(dialer: Arc<Dialer>, host: &str, port: u16) -> Arc<Self> {
        let watches = RemoteWatches::default();
        let has_told_compression = AtomicBool::new(false);
        let place = Place { dialect: Dialect::Native, host: host.into(), port };
        let (slots, retired) = Default::default();
        Arc::new(Self { dialer, place, slots, retired, watches, has_told_compression })
    }

    fn slots(&self) -> &[Mutex<Slot>] {
        self.slots.get_or_init(|| {
            let slots = 0..self.dialer.resources.options.max_idle_conns;
            slots.map(|_| Mutex::default()).collect()
        })
    }

    pub(crate) fn dialer(&self) -> &Arc<Dialer> {
        &self.dialer
    }

    /// The place of the connection for messages to the receiver at `path`.
    pub(crate) fn place_of(&self, path: &str) -> usize {
        match self.dialer.resources.options.max_idle_conns {
            1 => 0,
            n => {
                // Fixed keys: the place of a receiver does not change over the life of a process.
                let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(path);
                1 + (hash % (u64::from(n) - 1)) as usize
            }
        }
    }

    /// The connection at a place, dialing it if needed. Without a waker the caller does not wait.
    pub(crate) fn poll_conn(
        self: &Arc<Self>,
        place: usize,
        waker: Option<&Waker>,
    ) -> Poll<Result<Arc<Conn<Dialed>>, Refusal>> {
        let mut slot = self.slots()[place].lock();
        if slot.before.is_some() && slot.poll_fenced(waker).is_pending() {
            return match waker {
                Some(_) => Poll::Pending,
                None => Poll::Ready(Err(self.unreachable(FENCED))),
            };
        }
        let ended = match &mut slot.state {
            State::Up { conn, .. } if conn.is_usable() => return Poll::Ready(Ok(conn.clone())),
            State::Up { conn, since } => Some((*since, conn.has_answered())),
            State::Empty => None,
            State::Dialing { wakers, .. } => {
                let Some(waker) = waker else {
                    return Poll::Ready(Err(self.unreachable("not connected yet")));
                };
                if !wakers.iter().any(|known| known.will_wake(waker)) {
                    wakers.push(waker.clone());
                }
                return Poll::Pending;
            }
        };
        self.dialer.unreached.lock().check(&self.place, now())?;
        if self.dialer.is_closed() {
            return Poll::Ready(Err(Refusal::Closed));
        }
        if let Some((since, has_answered)) = ended {
            slot.brief.ended_at(now(), since, has_answered);
        }
        let pause = slot.brief.pause(&|pause| self.dialer.random.jittered(pause));
        let stage = if pause.is_some() { Stage::Pausing } else { Stage::Opening };
        slot.state = State::Dialing { wakers: waker.cloned().into_iter().collect(), stage };
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
            self.enter(place, Stage::Opening);
        }
        let lane = self.slots()[place].lock().lane;
        let connected = self.connect(place, lane).await;
        let up = connected.as_ref().ok().cloned();
        let before = self.put(place, connected);
        #[cfg(feature = "_tls")]
        up.iter().for_each(|conn| conn.see_to_successor());
        if let Some(conn) = up.filter(|_| self.dialer.is_closed()) {
            conn.finish(CloseCode::Normal, "closed while it was dialed");
        }
        if let State::Dialing { wakers, .. } = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    pub(super) async fn connect(
        self: &Arc<Self>,
        place: usize,
        lane: u64,
    ) -> Result<Arc<Conn<Dialed>>, Refusal> {
        let greet = |stream, known| self.greet(stream, known, (place, lane));
        io::dial(&self.dialer.resources.options, &self.place, greet).await
    }

    fn enter(&self, place: usize, next: Stage) {
        if let State::Dialing { stage, .. } = &mut self.slots()[place].lock().state {
            *stage = next;
        }
    }

    /// What the connection at a place waits for, if it is being made.
    pub(crate) fn why_waiting(&self, place: usize) -> Option<Refusal> {
        let slot = self.slots()[place].lock();
        match &slot.state {
            _ if slot.before.is_some() => Some(self.unreachable(FENCED)),
            State::Dialing { stage, .. } => Some(self.unreachable(stage.what())),
            _ => None,
        }
    }

    fn peer(&self) -> String {
        self.place.to_string()
    }

    pub(crate) fn unreachable(&self, source: impl Into<Cause>) -> Refusal {
        Refusal::Unreachable { peer: self.peer().into(), source: source.into() }
    }

    /// Puts what came of dialing in its place, and returns what was there.
    fn put(&self, place: usize, connected: Result<Arc<Conn<Dialed>>, Refusal>) -> State {
        let mut slot = self.slots()[place].lock();
        let why = match connected {
            Ok(conn) => {
                self.dialer.unreached.lock().reached(&self.place);
                return std::mem::replace(&mut slot.state, State::Up { conn, since: now() });
            }
            Err(why) => why,
        };
        slot.brief.ended(false);
        let before = std::mem::take(&mut slot.state);
        drop(slot);
        self.dialer.failed(&self.place, why);
        before
    }

    /// What a connection for this place says of itself.
    fn hello(&self, place: (usize, u64)) -> Hello {
        let lane = self.dialer.next_in_lane(&self.place, place);
        Hello { lane: Some(lane), ..self.dialer.hello.clone() }
    }

    /// Begins to speak over a connection that was dialed for this place.
    async fn greet(
        self: &Arc<Self>,
        mut stream: Box<dyn Stream>,
        known: Known,
        (place, lane): (usize, u64),
    ) -> Result<Arc<Conn<Dialed>>, Refusal> {
        self.enter(place, Stage::Greeting);
        let options = &self.dialer.resources.options;
        let handshake = Handshake::dial(self.hello((place, lane)));
        let (session, early) = match shake_hands(
            &mut *stream,
            handshake,
            BytesMut::new(),
            |hello| known.check(hello),
            |_| Ok(()),
        )
        .await
        {
            Ok(done) => done,
            Err(HandshakeFailure::Protocol(error)) if is_incompatible(&error) => {
                let (peer, source) = (self.peer(), Cause::new(error));
                return Err(Refusal::Incompatible { peer: peer.into(), source });
            }
            Err(HandshakeFailure::Protocol(error)) => {
                return Err(self.unreachable(Cause::new(error)));
            }
            Err(error @ (HandshakeFailure::Silent | HandshakeFailure::Io(_))) => {
                return Err(self.unreachable(known.why_broken(error)));
            }
        };
        let from = self.peer();
        let account = Account::new(self.dialer.resources.clone());
        let conn = Conn::new(account, Dialed::new(&session), &session, known.peer.clone());
        #[cfg(feature = "_tls")]
        {
            known.guard(&conn);
            self.clone().replaces(place, &conn);
        }
        let (wanted, used) = (options.compression, session.compression);
        if wanted != used && !self.has_told_compression.swap(true, Ordering::Relaxed) {
            let (peer, topic) = (&conn.peer.name, "the peer does not have the compression wanted");
            // Once for each endpoint, and peers make endpoints: by naming senders.
            if conn.resources.may_log(topic, &from) {
                tracing::info!(%peer, %wanted, %used, "{topic}");
            }
        }
        conn.resources.link_up(&conn.link(), used);
        let reader = RepliesReader::new(conn.clone(), self.clone(), &session);
        self.dialer.runtime.spawn(drive(conn.clone(), stream, reader, early));
        Ok(conn)
    }

    /// Whether the connection at a place is this one, and nobody sees to its successor yet; from now on somebody does.
    #[cfg(feature = "_tls")]
    pub(super) fn begin_to_replace(&self, place: usize, conn: &Arc<Conn<Dialed>>) -> bool {
        let mut slot = self.slots()[place].lock();
        slot.has(conn) && !std::mem::replace(&mut slot.is_replaced, true)
    }

    /// Whether it still is this one. If not, nobody sees to a successor any more.
    #[cfg(feature = "_tls")]
    pub(super) fn is_to_be_replaced(&self, place: usize, conn: &Arc<Conn<Dialed>>) -> bool {
        let mut slot = self.slots()[place].lock();
        slot.is_replaced = slot.has(conn) && conn.is_usable() && !self.dialer.is_closed();
        slot.is_replaced
    }

    /// The lane of the connection that is to take the place of this one. There cannot be one before all is taken that was
    /// sent before this one, or the connection over which it was sent has ended.
    #[cfg(feature = "_tls")]
    pub(super) async fn lane_of_next(&self, place: usize) -> u64 {
        std::future::poll_fn(|cx| {
            let mut slot = self.slots()[place].lock();
            slot.poll_fenced(Some(cx.waker())).map(|()| slot.lane + 1)
        })
        .await
    }

    /// Has a new connection take the place of an old one, if that is still there.
    #[cfg(feature = "_tls")]
    pub(super) fn put_in_place_of(
        &self,
        place: usize,
        old: &Arc<Conn<Dialed>>,
        new: &Arc<Conn<Dialed>>,
        why: &str,
    ) -> bool {
        let mut slot = self.slots()[place].lock();
        if !slot.has(old) || slot.before.is_some() || self.dialer.is_closed() {
            return false;
        }
        // Whoever waits for room in it wakes up, and waits here for its fence.
        old.make_way(why);
        let mut retired = self.retired.lock();
        retired.retain(|conn| conn.strong_count() > 0);
        retired.push(Arc::downgrade(old));
        slot.lane += 1;
        slot.state = State::Up { conn: new.clone(), since: now() };
        slot.before = Some(old.clone());
        slot.is_replaced = false;
        true
    }

    /// The connections that are up, and those that have retired.
    pub(crate) fn conns(&self) -> Vec<Arc<Conn<Dialed>>> {
        let of_slot = |slot: &Mutex<Slot>| match &slot.lock().state {
            State::Up { conn, .. } => Some(conn.clone()),
            _ => None,
        };
        let retired: Vec<_> = self.retired.lock().iter().filter_map(Weak::upgrade).collect();
        self.slots.get().into_iter().flatten().filter_map(of_slot).chain(retired).collect()
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
            Err(_) => {
                let why = self.why_waiting(place).unwrap_or(Refusal::DeadlineExceeded);
                return Err(request.not_sent(why));
            }
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

    /// A connection has ended: its place is free for another, and nobody waits for its fence.
    pub(super) fn make_place(&self, conn: &Arc<Conn<Dialed>>) {
        for slot in self.slots() {
            let mut slot = slot.lock();
            if slot.before.as_ref().is_some_and(|before| Arc::ptr_eq(before, conn)) {
                let _ = slot.poll_fenced(None);
            }
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

impl Slot {
    #[cfg(feature = "_tls")]
    fn has(&self, conn: &Arc<Conn<Dialed>>) -> bool {
        matches!(&self.state, State::Up { conn: known, .. } if Arc::ptr_eq(known, conn))
    }

    /// Ready once nothing that is sent here can overtake what was sent over the connection before.
    fn poll_fenced(&mut self, waker: Option<&Waker>) -> Poll<()> {
        let Some(before) = &self.before else { return Poll::Ready(()) };
        let is_fenced = ready!(before.poll_fenced(waker));
        self.before = None;
        if !is_fenced {
            // It has ended, and the peer may still read what was sent over it: only in the lane of that connection
            // the next one comes after it.
            self.lane -= 1;
            if let State::Up { conn, .. } = std::mem::take(&mut self.state) {
                conn.finish(CloseCode::Normal, "the connection before it has ended");
            }
        }
        Poll::Ready(())
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
