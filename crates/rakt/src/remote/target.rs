//! A reference to an actor on another node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Poll, Waker};

use rakt_wire::native::{Alias, Outgoing as Message, Sender, Staged};
use rakt_wire::{Address, Encode, Operation, Wish};

#[cfg(feature = "goakt")]
use super::goakt;
use super::native::{self, Conn, Dialed, Endpoint, Expected, NotTaken, Sent, ToWake, Watched};
use super::request::NodeRequest;
use crate::answer::RemoteAnswer;
use crate::call_options::CallOptions;
use crate::error::Refusal;
use crate::events::WatchId;
use crate::reference::{
    Life, Outgoing, RemoteActor, Requested, SendState, Stage, Target, unwatchable,
};
use crate::signal::Signalled;
use crate::sync::Mutex;

pub(crate) struct RemoteTarget {
    peer: Peer,
    address: Address,
    path: Arc<str>,
    place: usize,
    options: Arc<CallOptions>,
    /// The life of the actor and of its node that is meant; `None` for whoever has the address.
    life: Option<Life>,
    /// Payloads below so many bytes go the [short way](RemoteActor::tell).
    short_below: usize,
    last: Mutex<Last>,
    first: OnceLock<First>,
}

/// How the node of an actor is reached.
enum Peer {
    Native(Arc<Endpoint>),
    #[cfg(feature = "goakt")]
    GoAkt(goakt::Receiver),
    /// This build does not speak to Go nodes.
    #[cfg(not(feature = "goakt"))]
    NoGoAkt,
}

/// Why nothing can be sent to a Go node.
#[cfg(not(feature = "goakt"))]
fn no_goakt() -> Refusal {
    let text = "this build has no goakt:// peers: the feature goakt is off";
    Refusal::Unsupported { source: text.into() }
}

/// The connection last used and its number for the receiver, so that the next message finds both
/// without a search.
type Last = Option<LastUsed>;

type LastUsed = (Arc<Conn<Dialed>>, Option<Alias>);

/// The connection that was used first, for tells that need only the lock of that.
struct First {
    conn: Arc<Conn<Dialed>>,
    /// Its number for the receiver; [`NO_NUMBER`] once another connection is used.
    receiver: AtomicU64,
}

/// Stands for no number of a receiver.
const NO_NUMBER: u64 = u64::MAX;

impl First {
    #[inline]
    fn receiver(&self) -> Option<Alias> {
        let number = self.receiver.load(Ordering::Relaxed);
        let (epoch, id) = ((number >> 32) as u32, number as u32);
        (number != NO_NUMBER).then_some(Alias { id, epoch })
    }

    /// Notes the number; a connection that is used no more has none.
    fn set_receiver(&self, receiver: Option<Alias>) {
        let number = |Alias { id, epoch }: Alias| u64::from(epoch) << 32 | u64::from(id);
        self.receiver.store(receiver.map_or(NO_NUMBER, number), Ordering::Relaxed);
    }
}

impl RemoteTarget {
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        options: Arc<CallOptions>,
        address: Address,
        life: Option<Life>,
    ) -> Arc<Self> {
        let place = endpoint.place_of(address.path());
        Self::at(Peer::Native(endpoint), options, address, place, life)
    }

    #[cfg(feature = "goakt")]
    pub(crate) fn goakt(
        endpoint: &Arc<goakt::Endpoint>,
        options: Arc<CallOptions>,
        address: Address,
    ) -> Arc<Self> {
        let receiver = endpoint.receiver(&address);
        Self::at(Peer::GoAkt(receiver), options, address, 0, None)
    }

    /// A reference by which nothing can be sent.
    #[cfg(not(feature = "goakt"))]
    pub(crate) fn no_goakt(options: Arc<CallOptions>, address: Address) -> Arc<Self> {
        Self::at(Peer::NoGoAkt, options, address, 0, None)
    }

    fn at(
        peer: Peer,
        options: Arc<CallOptions>,
        address: Address,
        place: usize,
        life: Option<Life>,
    ) -> Arc<Self> {
        let path = address.path().into();
        let short_below = match &peer {
            Peer::Native(endpoint) if options.propagator.is_none() => {
                endpoint.dialer().resources.compressors.small_len()
            }
            _ => 0,
        };
        let (last, first) = (Mutex::default(), OnceLock::new());
        Arc::new(Self { peer, options, address, path, place, life, short_below, last, first })
    }

    pub(crate) fn uid(&self) -> Option<u64> {
        self.life.map(|life| life.uid)
    }

    /// Gives a message to the connection, waiting for one, and for room, where needed.
    fn poll_native(
        &self,
        endpoint: &Arc<Endpoint>,
        outgoing: &Outgoing<'_>,
        state: &mut native::SendState,
        waker: Option<&Waker>,
    ) -> Poll<Result<Option<RemoteAnswer>, Refusal>> {
        let is_small = endpoint.dialer().resources.compressors.is_small(outgoing.payload);
        // Each connection takes a turn to prepare the payload for it, where that is needed, and one
        // to send.
        for _ in 0..4 {
            // Held while sending: it spares each message a reference of its own to the connection.
            let mut last = self.last.lock();
            let (conn, alias) = std::task::ready!(self.poll_last(endpoint, &mut last, waker))?;
            if !is_small && !state.is_prepared_for(conn) {
                let conn = conn.clone();
                drop(last);
                state.prepare(&conn, outgoing.payload)?;
                continue;
            }
            let message = self.message(outgoing, *alias);
            let payload = (outgoing.payload, outgoing.is_alone);
            match std::task::ready!(conn.poll_send(&message, payload, state, waker)) {
                Ok(Sent { receiver, answer, driver }) => {
                    self.note(conn, alias, receiver);
                    drop(last);
                    match (&driver, &answer) {
                        (ToWake::Asker, Some(answer)) => answer.write_now(),
                        _ => driver.wake(),
                    }
                    return Poll::Ready(Ok(answer));
                }
                Err(NotTaken::Refused(refusal)) => return Poll::Ready(Err(refusal)),
                Err(NotTaken::Gone) => self.forget(&mut last),
            }
        }
        // Two connections ended while they were tried; whoever waits tries again soon.
        match waker {
            Some(waker) => {
                waker.wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(Err(endpoint.unreachable("the connection ended"))),
        }
    }

    /// The connection to send over, and its number for the receiver, if it has one.
    fn poll_last<'a>(
        &self,
        endpoint: &Arc<Endpoint>,
        last: &'a mut Last,
        waker: Option<&Waker>,
    ) -> Poll<Result<&'a mut LastUsed, Refusal>> {
        Poll::Ready(Ok(match last {
            Some(last) => last,
            empty => {
                let conn = std::task::ready!(endpoint.poll_conn(self.place, waker))?;
                self.expected().check(&conn.peer)?;
                empty.insert((conn, None))
            }
        }))
    }

    /// A connection has taken something, and goes by that number for the receiver.
    #[inline]
    fn note(&self, conn: &Arc<Conn<Dialed>>, known: &mut Option<Alias>, receiver: Alias) {
        if *known != Some(receiver) {
            *known = Some(receiver);
            let first = || First { conn: conn.clone(), receiver: AtomicU64::new(NO_NUMBER) };
            let first = self.first.get_or_init(first);
            if Arc::ptr_eq(&first.conn, conn) {
                first.set_receiver(Some(receiver));
            }
        }
    }

    /// A tell by the connection that was used last, which is not the first.
    #[cold]
    #[inline(never)]
    fn tell_by_last(&self, type_name: &'static str, payload: &dyn Encode) -> bool {
        let last = self.last.lock();
        let Some((conn, Some(receiver))) = &*last else { return false };
        let Some(driver) = conn.tell(*receiver, type_name, payload) else { return false };
        drop(last);
        driver.wake();
        true
    }

    /// The connection is of no use any more.
    fn forget(&self, last: &mut Last) {
        *last = None;
        if let Some(first) = self.first.get() {
            first.set_receiver(None);
        }
    }

    /// Gives tells that are written down to the connection, waiting for one, and for room, where needed.
    fn poll_staged(
        &self,
        type_name: &'static str,
        tells: &mut Staged,
        state: &mut native::SendState,
        waker: &Waker,
    ) -> Poll<Result<(), Refusal>> {
        let Peer::Native(endpoint) = &self.peer else { return Poll::Ready(Ok(())) };
        let (wish, payload) = (Wish::Tell, &[].as_slice());
        let (reply_name, sender, remaining, metadata) = (None, None, None, None);
        let is_alone = false;
        let outgoing = Outgoing {
            wish,
            type_name,
            reply_name,
            payload,
            sender,
            remaining,
            metadata,
            is_alone,
        };
        for _ in 0..4 {
            let mut last = self.last.lock();
            let polled = self.poll_last(endpoint, &mut last, Some(waker));
            let (conn, alias) = std::task::ready!(polled)?;
            let message = self.message(&outgoing, *alias);
            let (driver, taken) = conn.poll_staged(&message, tells, state, waker);
            match &taken {
                Poll::Ready(Ok(receiver)) => self.note(conn, alias, *receiver),
                Poll::Ready(Err(NotTaken::Gone)) => self.forget(&mut last),
                _ => {}
            }
            drop(last);
            driver.wake();
            match std::task::ready!(taken) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(NotTaken::Refused(refusal)) => return Poll::Ready(Err(refusal)),
                Err(NotTaken::Gone) => {}
            }
        }
        waker.wake_by_ref();
        Poll::Pending
    }

    /// A message by its names.
    #[inline]
    fn message<'a>(&'a self, outgoing: &'a Outgoing<'_>, known: Option<Alias>) -> Message<'a> {
        Message {
            wish: outgoing.wish,
            path: &self.path,
            uid: self.uid(),
            known,
            type_name: outgoing.type_name,
            sender: outgoing.sender.map(|sender| Sender {
                key: match sender.target() {
                    Target::Local(cell) => Some(cell.uid()),
                    Target::Remote(_) | Target::Grain(_) => None,
                },
                address: sender,
            }),
            remaining: outgoing.remaining,
            metadata: outgoing.metadata,
        }
    }

    /// Who must be at the other end. Only for an address it is enough that the system is the same.
    pub(crate) fn expected(&self) -> Expected<'_> {
        match self.life {
            Some(life) => Expected::Incarnation(life.incarnation),
            None => Expected::System(self.address.system()),
        }
    }
}

impl RemoteActor for RemoteTarget {
    fn address(&self) -> &Address {
        &self.address
    }

    fn life(&self) -> Option<Life> {
        self.life
    }

    fn call_options(&self) -> &CallOptions {
        &self.options
    }

    fn poll_send(
        &self,
        outgoing: &Outgoing<'_>,
        state: &mut Option<SendState>,
        waker: Option<&Waker>,
    ) -> Poll<Result<Option<RemoteAnswer>, Refusal>> {
        match &self.peer {
            Peer::Native(endpoint) => {
                if let Some(state) = state.as_mut().and_then(|state| state.downcast_mut()) {
                    return self.poll_native(endpoint, outgoing, state, waker);
                }
                let mut fresh = native::SendState::default();
                let polled = self.poll_native(endpoint, outgoing, &mut fresh, waker);
                if polled.is_pending() {
                    *state = Some(Box::new(fresh));
                }
                polled
            }
            #[cfg(feature = "goakt")]
            Peer::GoAkt(receiver) => {
                let mut known = state.take().and_then(|state| state.downcast().ok());
                let polled = receiver.poll_send(outgoing, &mut known, waker);
                *state = known.map(|state| state as _);
                polled
            }
            #[cfg(not(feature = "goakt"))]
            Peer::NoGoAkt => Poll::Ready(Err(no_goakt())),
        }
    }

    fn tell(&self, type_name: &'static str, len: Option<usize>, payload: &dyn Encode) -> bool {
        if len.is_none_or(|len| len >= self.short_below) {
            return rarely();
        }
        let first = self.first.get().and_then(|first| Some((&first.conn, first.receiver()?)));
        let Some((conn, receiver)) = first else { return self.tell_by_last(type_name, payload) };
        let Some(driver) = conn.tell(receiver, type_name, payload) else { return rarely() };
        driver.wake();
        true
    }

    fn stage(self: Arc<Self>) -> Option<(Box<dyn Stage>, usize)> {
        let (short_below, state) = (self.short_below, native::SendState::default());
        (short_below > 0).then(|| (Box::new(ToConn { target: self, state }) as _, short_below))
    }

    fn poll_ready(&self, waker: Option<&Waker>) -> Poll<Result<(), Refusal>> {
        let Peer::Native(endpoint) = &self.peer else { return Poll::Ready(Ok(())) };
        let mut last = self.last.lock();
        if last.as_ref().is_some_and(|(conn, _)| !conn.is_usable()) {
            self.forget(&mut last);
        }
        self.poll_last(endpoint, &mut last, waker).map_ok(drop)
    }

    fn why_waiting(&self, state: Option<&SendState>) -> Option<Refusal> {
        let Peer::Native(endpoint) = &self.peer else { return None };
        endpoint.why_waiting(self.place).or_else(|| {
            let state: &native::SendState = state?.downcast_ref()?;
            state.why_waiting()
        })
    }

    fn request(&self, operation: Operation) -> Requested<'_> {
        Box::pin(async move {
            let limit = self.options.ask_timeout;
            let request = NodeRequest { operation: &operation, target: &self.address, limit };
            match &self.peer {
                Peer::Native(endpoint) => {
                    let asked = endpoint.request(request, self.place, self.expected());
                    asked.await.map(|(_, outcome)| outcome)
                }
                #[cfg(feature = "goakt")]
                Peer::GoAkt(receiver) => receiver.request(request).await,
                #[cfg(not(feature = "goakt"))]
                Peer::NoGoAkt => Err(request.not_sent(no_goakt())),
            }
        })
    }

    fn watch(self: Arc<Self>, watcher: Weak<dyn Signalled>, watch: WatchId) {
        match &self.peer {
            Peer::Native(endpoint) => {
                let (address, limit) = (self.address.clone(), self.options.ask_timeout);
                let watched = Watched { address, life: self.life, limit };
                endpoint.watch(watch, watched, watcher);
            }
            #[cfg(feature = "goakt")]
            Peer::GoAkt(_) => unwatchable(&self.address, &watcher, watch),
            #[cfg(not(feature = "goakt"))]
            Peer::NoGoAkt => unwatchable(&self.address, &watcher, watch),
        }
    }

    fn unwatch(&self, watch: WatchId) {
        if let Peer::Native(endpoint) = &self.peer {
            endpoint.unwatch(watch);
        }
    }
}

/// Says that something is rare, so that the compiler inlines what is called where it is not so.
#[cold]
#[inline(never)]
fn rarely() -> bool {
    false
}

/// Gives tells of one type to a node of our own protocol.
struct ToConn {
    target: Arc<RemoteTarget>,
    state: native::SendState,
}

impl Stage for ToConn {
    fn poll_flush(
        &mut self,
        type_name: &'static str,
        tells: &mut Staged,
        waker: &Waker,
    ) -> Poll<Result<(), Refusal>> {
        self.target.poll_staged(type_name, tells, &mut self.state, waker)
    }
}
