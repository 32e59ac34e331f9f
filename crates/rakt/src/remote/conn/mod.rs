//! One open connection, as everybody but its driver sees it.
//!
//! Whoever has something to send writes it straight into the connection's outbound buffer, under a
//! short lock, and wakes the driver if nobody has yet. The driver takes all that has piled up and
//! writes it at once.
//!
//! - `asking`: the dialer's half, messages and requests on their way out
//! - `answer`: how those end
//! - `answering`: the acceptor's half

mod answer;
mod answering;
mod asking;
mod batch;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use rakt_wire::native::{Alias as WireAlias, CloseCode, Limits, Outbound, Role, Session, Transmit};
use rakt_wire::{Compression, Encode};

use super::budget::Share;
use super::compressors::Prepared;
use super::resources::Resources;
use crate::error::Refusal;
use crate::events::DeadLetter;
use crate::sync::Lock;

pub(crate) use answer::{Fate, RemoteAnswer, Reply};
pub(crate) use asking::{NotTaken, Outgoing, Place, Sent};
pub(crate) use batch::{Alias, Batch, RawAbout, RawMessage};

use answer::Pending;
use asking::{Need, Waiter};

/// Small outbound frames beyond this many bytes make senders wait. 1 MiB.
const HIGH_WATER: usize = 1024 * 1024;
/// Large outbound messages beyond this many bytes make senders of further large ones wait. 64 MiB.
const LARGE_HIGH_WATER: usize = 64 * 1024 * 1024;
/// What is buffered for a peer counts against what the node has for all of them once it is more than this
/// many bytes. 64 KiB.
pub(crate) const UNCOUNTED_REPLIES: usize = 64 * 1024;
/// Replies beyond this many buffered bytes are replaced by a refusal. 128 MiB.
const MAX_BUFFERED_REPLIES: usize = 128 * 1024 * 1024;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) incarnation: [u8; 16],
    /// `system@host:port`, or `system` for a peer without an address.
    pub(crate) name: Arc<str>,
}

impl Peer {
    /// The name of its actor system.
    pub(crate) fn system(&self) -> &str {
        self.name.split('@').next().unwrap_or(&self.name)
    }
}

/// Who must be at the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected<'a> {
    Anyone,
    /// A node of this actor system, in whatever life.
    System(&'a str),
    /// This life of a node.
    Incarnation([u8; 16]),
}

impl Expected<'_> {
    pub(crate) fn check(self, peer: &Peer) -> Result<(), Refusal> {
        match self {
            Self::Anyone => Ok(()),
            Self::System(system) if system == peer.system() => Ok(()),
            Self::System(_) => Err(Refusal::WrongSystem { found: peer.system().to_owned() }),
            Self::Incarnation(incarnation) if incarnation == peer.incarnation => Ok(()),
            Self::Incarnation(_) => Err(Refusal::StaleIncarnation),
        }
    }
}

pub(crate) struct Conn {
    pub(crate) id: u64,
    pub(crate) resources: Arc<Resources>,
    pub(crate) peer: Peer,
    pub(crate) limits: Limits,
    pub(crate) compression: Compression,
    shared: Mutex<Shared>,
    /// Whether any request was ever cancelled: spares the others a look.
    any_cancelled: AtomicBool,
    over: AtomicBool,
    role: Role,
    /// Of the node's budgets for messages, names and replies.
    inbound: Share,
    names: Share,
    replies: Share,
    /// A newer connection has taken the place of this one.
    superseded: AtomicBool,
    /// The driver has let go of the stream.
    gone: (AtomicBool, tokio::sync::Notify),
}

pub(crate) struct Shared {
    pub(crate) out: Outbound,
    driver: Option<Waker>,
    closed: Option<Arc<str>>,
    /// The peer takes nothing new.
    pub(crate) is_draining: bool,
    /// The driver is to end the connection once everything is written, and to say so last.
    pub(crate) closing: Option<(CloseCode, String)>,
    waiters: Vec<Waiter>,
    next_ticket: u64,
    /// Something was sent since the driver last looked; heartbeats do not count.
    is_used: bool,
    /// Tells that the driver has not taken yet: they have certainly not left.
    untaken_tells: u64,

    // What a dialer keeps.
    pending: Pending,
    receivers: Vec<Arc<str>>,
    types: Vec<&'static str>,
    senders: Vec<String>,
    known_types: HashMap<usize, WireAlias, Spread>,
    known_senders: HashMap<u64, WireAlias, Spread>,
    names_epoch: u32,

    // What an acceptor keeps.
    /// Requests that are not answered yet. Those of the read at hand are counted at its end, and some
    /// are answered by then.
    in_flight: i64,
    /// Bytes that the driver is writing, and those of the large bodies that end with them.
    writing: usize,
    /// How much of the node's budget for replies is used here.
    noted: u64,
    owed: Vec<u64>,
    granted: Vec<u64>,
    granted_epoch: u32,
    cancelled: HashSet<u64>,
    cancelled_order: VecDeque<u64>,
    cancel_wakers: Vec<(u64, Waker)>,
}

impl Conn {
    pub(crate) fn new(
        resources: Arc<Resources>,
        role: Role,
        session: &Session,
        from: &str,
    ) -> Arc<Self> {
        // One count for the whole process, as for the numbers of actors.
        static IDS: AtomicU64 = AtomicU64::new(1);
        let hello = &session.peer;
        let name = match &hello.advertised {
            Some((host, port)) => format!("{}@{host}:{port}", hello.system),
            None => format!("{}@{from}", hello.system),
        };
        let peer = Peer { incarnation: hello.incarnation, name: name.into() };
        let shared = Mutex::new(Shared {
            out: Outbound::new(role, session.limits),
            driver: None,
            closed: None,
            is_draining: false,
            closing: None,
            waiters: Vec::new(),
            next_ticket: 0,
            is_used: false,
            untaken_tells: 0,
            pending: Pending::default(),
            receivers: Vec::new(),
            types: Vec::new(),
            senders: Vec::new(),
            known_types: HashMap::default(),
            known_senders: HashMap::default(),
            names_epoch: 0,
            in_flight: 0,
            writing: 0,
            noted: 0,
            owed: Vec::new(),
            granted: Vec::new(),
            granted_epoch: 0,
            cancelled: HashSet::new(),
            cancelled_order: VecDeque::new(),
            cancel_wakers: Vec::new(),
        });
        Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            resources,
            peer,
            limits: session.limits,
            compression: session.compression,
            shared,
            any_cancelled: AtomicBool::new(false),
            over: AtomicBool::new(false),
            role,
            inbound: Share::default(),
            names: Share::default(),
            replies: Share::default(),
            superseded: AtomicBool::new(false),
            gone: Default::default(),
        })
    }

    /// Whether new messages may be given to it.
    pub(crate) fn is_usable(&self) -> bool {
        let shared = self.shared.hold();
        shared.closed.is_none() && !shared.is_draining && shared.closing.is_none()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Does something with the outbound half, and has the driver write it.
    pub(crate) fn write(&self, f: impl FnOnce(&mut Outbound)) {
        let mut shared = self.shared.hold();
        if shared.closed.is_none() {
            f(&mut shared.out);
            touch(shared);
        }
    }

    /// For the driver: the shared half.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.hold()
    }

    /// Encodes and compresses a payload that should not be encoded under the lock.
    fn prepare(&self, payload: &dyn Encode) -> Result<Prepared, Refusal> {
        self.resources.compressors.prepare(payload, self.compression, self.limits.max_message_len)
    }

    /// Ends the connection for everybody who uses it.
    pub(crate) fn close(&self, reason: &str) {
        let mut shared = self.shared.hold();
        if shared.closed.is_some() {
            return;
        }
        shared.closed = Some(reason.into());
        let pending = shared.pending.take_all();
        let untaken = std::mem::take(&mut shared.untaken_tells);
        // Messages in mailboxes may keep the rest of the connection for long.
        shared.forget(self.role, self.limits);
        self.resources.budgets.replies.give_back_all(&self.replies);
        let mut wakers = shared.wake(|_| true);
        wakers.extend(shared.cancel_wakers.drain(..).map(|(_, waker)| waker));
        wakers.extend(shared.driver.take());
        drop(shared);
        self.over.store(true, Ordering::Release);
        if untaken > 0 {
            self.resources.outlet.dead_letters(untaken, || DeadLetter {
                target: format!("rakt://{}/?", self.peer.name),
                sender: None,
                message: "?".to_owned(),
                reason: Refusal::Unreachable { detail: reason.to_owned() },
                count: untaken,
            });
        }
        crate::metrics::requests_ended("lost", pending.len() as u64);
        for slot in pending {
            drop(slot.answer(Fate::Lost(reason.to_owned())));
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// For the driver: the stream is closed.
    pub(crate) fn set_gone(&self) {
        self.gone.0.store(true, Ordering::Release);
        self.gone.1.notify_waiters();
    }

    /// Completes when the stream is closed.
    pub(crate) async fn gone(&self) {
        let mut told = std::pin::pin!(self.gone.1.notified());
        told.as_mut().enable();
        if !self.gone.0.load(Ordering::Acquire) {
            told.await;
        }
    }

    /// Has the driver end the connection once what is buffered is written.
    pub(crate) fn finish(&self, code: CloseCode, reason: &str) {
        let mut shared = self.shared.hold();
        if shared.closed.is_none() && shared.closing.is_none() {
            shared.closing = Some((code, reason.to_owned()));
            touch(shared);
        }
    }

    /// Ends the connection if nobody uses it; says whether it does.
    pub(crate) fn finish_if_idle(&self, reason: &str) -> bool {
        let mut shared = self.shared.hold();
        let is_idle = shared.pending.len() == 0 && shared.waiters.is_empty();
        let is_idle = is_idle && shared.out.is_empty() && shared.closing.is_none();
        if is_idle && shared.closed.is_none() {
            // Under the same lock: what is sent from now on goes over another connection.
            shared.closing = Some((CloseCode::Normal, reason.to_owned()));
            touch(shared);
        }
        is_idle
    }

    /// Has the driver end the connection after what has arrived of it by now.
    pub(crate) fn supersede(&self) {
        self.superseded.store(true, Ordering::Release);
        touch(self.shared.hold());
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Acquire)
    }

    /// The reason why the connection ended, if it has.
    pub(crate) fn closed(&self) -> Option<Arc<str>> {
        self.shared.hold().closed.clone()
    }

    /// Counts bytes that the peer may leave here for as long as it likes; false if there is no room.
    pub(crate) fn admit(&self, bytes: u64) -> bool {
        self.resources.budgets.inbound.try_add(&self.inbound, bytes)
    }

    /// Counts bytes that are here already; false if that is more than there is room for.
    pub(crate) fn charge(&self, bytes: u64) -> bool {
        self.resources.budgets.inbound.add(&self.inbound, bytes)
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.resources.budgets.inbound.give_back(&self.inbound, bytes);
    }

    /// Counts bytes of names that the peer has defined; false if that is more than there is room for.
    pub(crate) fn charge_names(&self, bytes: u64) -> bool {
        self.resources.budgets.names.add(&self.names, bytes)
    }

    pub(crate) fn release_names(&self) {
        self.resources.budgets.names.give_back_all(&self.names);
    }

    /// Tells the node how much is buffered here, where that is much; false if there is no room for more.
    pub(crate) fn note_buffered(&self, shared: &mut Shared) -> bool {
        let buffered = shared.buffered();
        if shared.noted == 0 && buffered <= UNCOUNTED_REPLIES {
            return true;
        }
        let before = std::mem::replace(&mut shared.noted, buffered as u64);
        self.resources.budgets.replies.give_back(&self.replies, before);
        self.resources.budgets.replies.add(&self.replies, shared.noted)
            && buffered <= MAX_BUFFERED_REPLIES
    }

    /// For the driver: so much is buffered that the peer must read before it may send more. That is much
    /// of its own, or some where the node has no room for more of any peer: refusals are given to
    /// whoever sends, and take up memory as replies do.
    ///
    /// What a dialer reads makes it write nothing. Were it to wait as well, both could wait for ever.
    pub(crate) fn is_backed_up(&self, shared: &mut Shared) -> bool {
        if self.role == Role::Dialer {
            return false;
        }
        let has_room = self.note_buffered(shared);
        let buffered = shared.buffered();
        buffered > LARGE_HIGH_WATER || (!has_room && buffered > UNCOUNTED_REPLIES)
    }
}

/// A hash of one number that is our own: no peer chooses it.
#[derive(Clone, Copy, Default)]
struct SpreadHasher(u64);

type Spread = BuildHasherDefault<SpreadHasher>;

impl Hasher for SpreadHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing; the table takes its bits from both ends.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Wakes the driver, unless somebody has already.
fn touch(mut shared: MutexGuard<'_, Shared>) {
    let driver = shared.driver.take();
    drop(shared);
    if let Some(driver) = driver {
        driver.wake();
    }
}

impl Shared {
    fn wake(&mut self, whom: impl Fn(Need) -> bool) -> Vec<Waker> {
        if self.waiters.is_empty() {
            return Vec::new();
        }
        let woken = self.waiters.extract_if(.., |waiter| whom(waiter.need));
        woken.map(|waiter| waiter.waker).collect()
    }

    /// For the driver: what to write next.
    pub(crate) fn take_output(&mut self, out: &mut impl Transmit) {
        let large = self.out.buffered_large();
        self.out.poll_transmit(out);
        self.untaken_tells = 0;
        // A large body that ends with these bytes stays whole until they are written.
        self.writing = out.len() + (large - self.out.buffered_large());
    }

    /// For the driver: who may go on because there is room.
    pub(crate) fn wake_for_room(&mut self) -> Vec<Waker> {
        self.wake(|need| need == Need::Room)
    }

    /// For the driver: how it is woken when there is something to write.
    pub(crate) fn set_driver(&mut self, waker: &Waker) {
        match &mut self.driver {
            Some(known) => known.clone_from(waker),
            None => self.driver = Some(waker.clone()),
        }
    }

    /// For the driver: a little is buffered, and other requests are in flight on either side, so that
    /// more is likely to be buffered in a moment.
    pub(crate) fn expects_more(&self) -> bool {
        let others = self.in_flight > 0 || self.pending.len() > 1;
        others && !self.out.is_empty() && self.out.buffered() < rakt_wire::native::CHUNK_LEN
    }

    /// For the driver: whether something was sent since it last asked.
    pub(crate) fn take_used(&mut self) -> bool {
        std::mem::take(&mut self.is_used)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Bytes that the peer has not taken yet.
    fn buffered(&self) -> usize {
        self.out.buffered() + self.writing
    }

    /// The connection has ended: gives back what took up memory.
    fn forget(&mut self, role: Role, limits: Limits) {
        self.out = Outbound::new(role, limits);
        self.noted = 0;
        self.receivers = Vec::new();
        self.types = Vec::new();
        self.senders = Vec::new();
        self.known_types = HashMap::default();
        self.known_senders = HashMap::default();
        self.owed = Vec::new();
        self.granted = Vec::new();
        self.cancelled = HashSet::new();
        self.cancelled_order = VecDeque::new();
    }
}
