//! One open connection, as everybody but its driver sees it: a session behind a lock, and who is to be woken.
//!
//! Whoever has something to send writes it straight into the connection's outbound buffer, under a
//! short lock, and wakes the driver if nobody has yet. The driver takes all that has piled up and
//! writes it at once.
//!
//! What the two sides have in common is here; what a side adds is its [`Half`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;

use bytes::Bytes;
use rakt_wire::native::{CloseCode, Limits, Role, Session, Side, Transmit, Unanswered, Writer};
use rakt_wire::{Address, Compression, Encode};

use crate::answer::Fate;
use crate::error::{Cause, Destination, Refusal};
use crate::events::DeadLetter;
use crate::remote::account::Account;
use crate::remote::compressors::Prepared;
use crate::remote::io::WriteNow;
use crate::remote::latch::Latch;
use crate::remote::links::LinkOf;
use crate::remote::resources::Resources;
use crate::remote::transport::unbracketed;
use crate::slot::Slot;
use crate::sync::{Mutex, MutexGuard};

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) incarnation: [u8; 16],
    /// `system@host:port`, or `system` for a peer without an address.
    pub(crate) name: Arc<str>,
    /// Who that has proven to be, and where the connection comes from, or leads to: no peer chooses that as it likes.
    pub(crate) who: crate::Peer,
    /// It is a node: others can connect to it.
    is_node: bool,
}

impl Peer {
    /// The name of its actor system.
    pub(crate) fn system(&self) -> &str {
        self.name.split('@').next().unwrap_or(&self.name)
    }

    /// What it calls itself, and where it comes from: how it is shown in the log, and whose lines are counted.
    pub(crate) fn shown(&self) -> (&str, &str) {
        (&self.name, self.who.from())
    }

    /// The host and port of a node, as it is known here.
    fn place(&self) -> (&str, u16) {
        let place = self.name.split_once('@').and_then(|(_, place)| place.rsplit_once(':'));
        place.map_or((&self.name, 0), |(host, port)| (host, port.parse().unwrap_or(0)))
    }

    /// Whether that is an actor of the node that this is.
    pub(super) fn has(&self, address: &Address) -> bool {
        let (host, port) = self.place();
        let own_host = unbracketed(host);
        self.is_node
            && address.system() == self.system()
            && (address.host(), address.port()) == (own_host, port)
    }

    /// An actor there, or one that is not known any more.
    pub(super) fn destination(&self, path: Option<&str>) -> Destination {
        let (host, port) = self.place();
        let address = path.and_then(|path| Address::new(path, self.system(), host, port).ok());
        match address {
            Some(address) => address.into(),
            None => Destination::Node { host: host.to_owned(), port },
        }
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

/// What one side of a connection keeps behind the lock.
pub(crate) trait Half: Send + 'static {
    /// Which side it is.
    const ROLE: Role;
    type Session: Side + Send;

    fn session(&mut self) -> &mut Self::Session;

    /// Whether the peer must take what is buffered before more is read of it.
    fn is_backed_up(&mut self) -> bool {
        false
    }

    /// Whether something was sent since the last call.
    fn take_used(&mut self) -> bool {
        false
    }

    /// What was given out is written. Returns who may go on.
    fn written(&mut self) -> Vec<Waker> {
        Vec::new()
    }

    /// Whether nobody uses it.
    fn is_idle(&mut self) -> bool {
        false
    }

    /// Whether there is nothing to do, now that all is written that was given out.
    fn is_at_rest(&mut self) -> bool;

    /// Whether it is about to end, and waits for a word of the peer alone.
    fn is_spent(&mut self) -> bool {
        false
    }

    /// Ends once nothing is under way. Returns who need not wait any longer.
    fn leave(&mut self, code: CloseCode, reason: &str) -> Vec<Waker> {
        self.session().writer_mut().leave(code, reason);
        Vec::new()
    }

    /// The connection has ended.
    fn close(&mut self) -> Leftover;
}

/// Who hears of the end of a connection.
#[derive(Default)]
pub(crate) struct Leftover {
    pub(crate) wakers: Vec<Waker>,
    pub(crate) pending: Vec<Unanswered<Arc<Slot<Fate>>>>,
    /// Tells that the peer can certainly not act on.
    pub(crate) unsent_tells: u64,
    /// Tells that it may have acted on, or not.
    pub(crate) unconfirmed_tells: u64,
}

pub(crate) struct Conn<H: Half> {
    pub(crate) id: u64,
    pub(crate) resources: Arc<Resources>,
    pub(crate) peer: Peer,
    pub(crate) limits: Limits,
    pub(crate) compression: Compression,
    state: Mutex<State<H>>,
    /// Writes in place of the driver.
    writer: OnceLock<Weak<dyn WriteNow>>,
    /// Whether any request was ever cancelled: spares the others a look.
    pub(super) any_cancelled: AtomicBool,
    over: AtomicBool,
    /// The peer has answered something.
    answered: AtomicBool,
    pub(crate) account: Arc<Account>,
    /// A newer connection has taken the place of this one.
    superseded: AtomicBool,
    /// The driver has let go of the stream.
    pub(crate) gone: Latch,
}

pub(crate) struct State<H> {
    pub(crate) half: H,
    driver: Option<Waker>,
    /// The driver, where it is to be woken [later](super::later::wake_later): whoever cannot wait for that wakes it now.
    deferred: Option<Waker>,
    /// Why the peer is not to be heard any more.
    pub(super) forbidden: Option<Box<str>>,
    /// Why the connection has ended, and how many tells were left without a proof that they were taken.
    closed: Option<(Cause, u64)>,
}

impl<H: Half> Conn<H> {
    pub(crate) fn new(
        account: Arc<Account>,
        half: H,
        session: &Session,
        who: crate::Peer,
    ) -> Arc<Self> {
        // One count for the whole process, as for the numbers of actors.
        static IDS: AtomicU64 = AtomicU64::new(1);
        let (hello, from) = (&session.peer, who.from());
        let name = match &hello.advertised {
            Some((host, port)) => format!("{}@{host}:{port}", hello.system),
            None => format!("{}@{from}", hello.system),
        };
        Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            resources: account.resources().clone(),
            account,
            peer: Peer {
                incarnation: hello.incarnation,
                name: name.into(),
                is_node: hello.advertised.is_some(),
                who,
            },
            limits: session.limits,
            compression: session.compression,
            state: Mutex::new(State {
                half,
                driver: None,
                deferred: None,
                forbidden: None,
                closed: None,
            }),
            writer: OnceLock::new(),
            any_cancelled: AtomicBool::new(false),
            over: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            superseded: AtomicBool::new(false),
            gone: Default::default(),
        })
    }

    /// The link that this connection is a part of.
    pub(crate) fn link(&self) -> LinkOf {
        let Peer { name, who, incarnation, is_node, .. } = &self.peer;
        let from = who.from();
        match H::ROLE {
            Role::Dialer => LinkOf::dialed(name, from, *incarnation),
            Role::Acceptor if *is_node => LinkOf::accepted(name, from, *incarnation),
            Role::Acceptor => LinkOf::single(name, from, self),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<H>> {
        self.state.lock()
    }

    /// Whether new messages may be given to it.
    pub(crate) fn is_usable(&self) -> bool {
        self.lock().half.session().writer().is_open()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// The peer has answered something.
    pub(super) fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Does something with the session, and has the driver write what comes of it.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut H::Session) -> T) -> T {
        let mut state = self.lock();
        let done = f(state.half.session());
        touch(state);
        done
    }

    /// Does something with the sending part, unless the connection has ended.
    pub(crate) fn write(&self, f: impl FnOnce(&mut Writer)) {
        self.with(|session| {
            if !session.writer().is_closed() {
                f(session.writer_mut());
            }
        });
    }

    /// By this what is said here is [written at once](Self::write_now).
    pub(super) fn lend_writer(&self, writer: Weak<dyn WriteNow>) {
        let _ = self.writer.set(writer);
    }

    /// Writes what there is to write if it [is alone](State::is_lone) still, in place of the driver, or has that do it.
    /// To be called with no lock held.
    pub(super) fn write_now(&self) {
        let writer = self.writer.get().and_then(Weak::upgrade);
        if !writer.is_some_and(|writer| writer.write_now()) {
            touch(self.lock());
        }
    }

    /// Encodes and compresses a payload that should not be encoded under the lock.
    pub(super) fn prepare(&self, payload: &dyn Encode) -> Result<Prepared, Refusal> {
        self.resources.compressors.prepare(payload, self.compression, self.limits.max_message_len)
    }

    /// Undoes the compression of a payload of `raw_len` bytes.
    pub(super) fn decompress(&self, payload: &[u8], raw_len: u32) -> Result<Bytes, Refusal> {
        self.resources.compressors.decompress(self.compression, payload, raw_len)
    }

    /// Ends the connection for everybody who uses it.
    pub(crate) fn close(&self, reason: impl Into<Cause>) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        let reason = reason.into();
        let Leftover { mut wakers, pending, unsent_tells, unconfirmed_tells } = state.half.close();
        state.closed = Some((reason.clone(), unconfirmed_tells));
        wakers.extend(state.take_driver());
        drop(state);
        self.over.store(true, Ordering::Release);
        if unsent_tells > 0 {
            self.resources.outlet.dead_letters(unsent_tells, || DeadLetter {
                target: self.peer.destination(None),
                sender: None,
                message: "?".to_owned(),
                reason: self.unreachable(&reason),
                count: unsent_tells,
            });
        }
        for Unanswered { kept, was_sent } in pending {
            let fate = match was_sent {
                true => Fate::Lost(reason.clone()),
                false => Fate::Refused(self.unreachable(&reason)),
            };
            crate::metrics::requests_ended(fate.outcome(), 1);
            drop(kept.answer(fate));
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    fn unreachable(&self, reason: &Cause) -> Refusal {
        Refusal::Unreachable { peer: self.peer.name.to_string().into(), source: reason.clone() }
    }

    /// Takes nothing new, and has the driver end the connection once nothing is under way.
    pub(crate) fn leave(&self, code: CloseCode, reason: &str) {
        let mut state = self.lock();
        let wakers = state.half.leave(code, reason);
        touch(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Has the driver end the connection once what is buffered is written.
    pub(crate) fn finish(&self, code: CloseCode, reason: &str) {
        self.with(|session| session.writer_mut().finish(code, reason));
    }

    /// Ends the connection if nobody uses it, once the peer has proven that it has taken all tells; says
    /// whether it does. A peer that has not done so by the time of the next call is not waited for any longer.
    pub(crate) fn finish_if_idle(&self, reason: &str) -> bool {
        let mut state = self.lock();
        if state.half.is_spent() {
            state.half.session().writer_mut().finish(CloseCode::Normal, reason);
            touch(state);
            return true;
        }
        let is_idle = state.half.is_idle();
        if is_idle {
            // Under the same lock: what is sent from now on goes over another connection.
            let wakers = state.half.leave(CloseCode::Normal, reason);
            touch(state);
            wakers.into_iter().for_each(Waker::wake);
        }
        is_idle
    }

    /// Has the driver end the connection at once: nothing more is read of the peer.
    #[cfg(feature = "_tls")]
    pub(super) fn forbid(&self, why: &str) {
        let mut state = self.lock();
        state.forbidden.get_or_insert_with(|| why.into());
        touch(state);
    }

    /// Has the driver end the connection after what has arrived of it by now.
    pub(crate) fn supersede(&self) {
        self.superseded.store(true, Ordering::Release);
        touch(self.lock());
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Acquire)
    }

    /// The reason why the connection ended, if it has, and how many tells it left unconfirmed.
    pub(crate) fn closed(&self) -> Option<(Cause, u64)> {
        self.lock().closed.clone()
    }
}

/// Wakes the driver, unless somebody has already.
pub(super) fn touch<H>(mut state: MutexGuard<'_, State<H>>) {
    let driver = state.take_driver();
    drop(state);
    if let Some(driver) = driver {
        driver.wake();
    }
}

impl<H> State<H> {
    /// The driver, if nobody has woken it yet.
    pub(super) fn take_driver(&mut self) -> Option<Waker> {
        self.driver.take().or_else(|| self.deferred.take())
    }

    /// The driver, if it has nothing to do, to be woken [later](super::later::wake_later).
    #[inline]
    pub(super) fn defer_driver(&mut self) -> Option<Waker> {
        let driver = self.driver.take()?;
        self.deferred = Some(driver.clone());
        Some(driver)
    }

    /// Whether the driver is to be woken later.
    #[inline]
    pub(super) fn is_deferred(&self) -> bool {
        self.deferred.is_some()
    }

    /// Whether the driver was woken since it last said how.
    pub(crate) fn is_woken(&self) -> bool {
        self.driver.is_none()
    }

    /// For the driver: how it is woken when there is something to write.
    pub(crate) fn set_driver(&mut self, waker: &Waker) {
        if self.driver.is_none() {
            // What is to be woken later runs now: one of the two is enough.
            self.driver = self.deferred.take();
        }
        match &mut self.driver {
            Some(known) => known.clone_from(waker),
            None => self.driver = Some(waker.clone()),
        }
    }
}

impl<H: Half> State<H> {
    /// For the driver, when all is written that was given out: whether there is nothing to do, and it is woken when there
    /// is.
    #[inline]
    pub(crate) fn is_at_rest(&mut self, waker: &Waker) -> bool {
        let is_known = self.driver.as_ref().is_some_and(|driver| driver.will_wake(waker));
        is_known && self.forbidden.is_none() && self.half.is_at_rest()
    }

    /// Whether what there is to write is little, nothing more is to be expected, and the driver has nothing to do:
    /// whoever had it added may write it.
    #[inline]
    pub(super) fn is_lone(&mut self) -> bool {
        self.driver.is_some() && self.forbidden.is_none() && self.half.session().is_lone()
    }

    /// For the driver: gives out all that is left to write, and why the connection ends.
    pub(crate) fn farewell(&mut self, code: CloseCode, reason: &str, now: bool) -> Vec<u8> {
        let session = self.half.session();
        session.writer_mut().say_goodbye(code, reason, now);
        let mut bytes = Vec::new();
        while !session.writer().is_empty() {
            session.poll_transmit(&mut bytes);
        }
        bytes
    }

    /// For the driver: what to write next.
    pub(crate) fn poll_transmit(&mut self, out: &mut impl Transmit) {
        self.half.session().poll_transmit(out);
    }
}
