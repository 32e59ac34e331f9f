//! A reference to an actor on another node.

use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use rakt_wire::native::{Alias, Outgoing as Message, Sender};
use rakt_wire::{Address, Operation, Outcome};

use super::answer::RemoteAnswer;
#[cfg(feature = "goakt")]
use super::goakt;
use super::native::{self, Conn, Dialed, Endpoint, Expected, NotTaken, Sent};
use super::outgoing::Outgoing;
use super::request::{NodeRequest, stopped};
use crate::cell::{AnyCell, Signal};
use crate::error::{OperationError, Refusal};
use crate::events::{StopReason, Terminated};
use crate::propagate::ContextPropagator;
use crate::reference::Target;
use crate::send::DEFAULT_ASK_TIMEOUT;
use crate::sync::Lock;
use crate::ticks::Ticks;

pub(crate) struct RemoteTarget {
    peer: Peer,
    address: Address,
    path: Arc<str>,
    place: usize,
    /// `None` where nothing can be sent.
    options: Option<Arc<CallOptions>>,
    /// The life of the actor and of its node that is meant; `None` for whoever has the address.
    life: Option<Life>,
    last: Mutex<Last>,
}

/// Where a sender stands in line, and what it has prepared, by the dialect of the receiver's node.
#[derive(Default)]
pub(crate) struct Place {
    native: native::Place,
    #[cfg(feature = "goakt")]
    goakt: Option<Box<goakt::SendState>>,
}

/// What holds for calls that do not say otherwise.
pub(crate) struct CallOptions {
    pub(crate) ask_timeout: Duration,
    pub(crate) propagator: Option<Arc<dyn ContextPropagator>>,
    pub(crate) ticks: Arc<Ticks>,
}

/// How the node of an actor is reached.
enum Peer {
    Native(Arc<Endpoint>),
    #[cfg(feature = "goakt")]
    GoAkt(goakt::Receiver),
    /// There is no way to reach it.
    Nobody(Unreachable),
}

/// Why nothing can be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unreachable {
    /// The system has no remoting.
    RemotingOff,
    /// This build does not speak to Go nodes.
    #[cfg(not(feature = "goakt"))]
    NoGoAkt,
}

impl Unreachable {
    fn refusal(self) -> Refusal {
        match self {
            Self::RemotingOff => Refusal::RemotingOff,
            #[cfg(not(feature = "goakt"))]
            Self::NoGoAkt => {
                let text = "this build has no goakt:// peers: the feature goakt is off";
                Refusal::Unsupported { source: text.into() }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) uid: u64,
    pub(crate) incarnation: [u8; 16],
}

/// The connection last used and its number for the receiver, so that the next message finds both
/// without a search.
type Last = Option<(Arc<Conn<Dialed>>, Option<Alias>)>;

impl PartialEq for RemoteTarget {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address && self.life == other.life
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
        Self::at(Peer::Native(endpoint), Some(options), address, place, life)
    }

    #[cfg(feature = "goakt")]
    pub(crate) fn goakt(
        endpoint: &Arc<goakt::Endpoint>,
        options: Arc<CallOptions>,
        address: Address,
    ) -> Arc<Self> {
        let receiver = endpoint.receiver(&address);
        Self::at(Peer::GoAkt(receiver), Some(options), address, 0, None)
    }

    /// A reference by which nothing can be sent.
    pub(crate) fn unreachable(address: Address, why: Unreachable) -> Arc<Self> {
        Self::at(Peer::Nobody(why), None, address, 0, None)
    }

    fn at(
        peer: Peer,
        options: Option<Arc<CallOptions>>,
        address: Address,
        place: usize,
        life: Option<Life>,
    ) -> Arc<Self> {
        let path = address.path().into();
        Arc::new(Self { peer, options, address, path, place, life, last: Mutex::default() })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn uid(&self) -> Option<u64> {
        self.life.map(|life| life.uid)
    }

    pub(crate) fn propagator(&self) -> Option<&Arc<dyn ContextPropagator>> {
        self.options.as_ref()?.propagator.as_ref()
    }

    pub(crate) fn ask_timeout(&self) -> Duration {
        self.options.as_ref().map_or(DEFAULT_ASK_TIMEOUT, |options| options.ask_timeout)
    }

    pub(crate) fn ticks(&self) -> Option<&Arc<Ticks>> {
        self.options.as_ref().map(|options| &options.ticks)
    }

    /// Gives a message to the connection, waiting for one, and for room, where needed.
    pub(crate) fn poll_send(
        &self,
        outgoing: &Outgoing<'_>,
        place: &mut Place,
        waker: Option<&Waker>,
    ) -> Poll<Result<Option<RemoteAnswer>, Refusal>> {
        let endpoint = match &self.peer {
            Peer::Native(endpoint) => endpoint,
            #[cfg(feature = "goakt")]
            Peer::GoAkt(receiver) => return receiver.poll_send(outgoing, &mut place.goakt, waker),
            Peer::Nobody(why) => return Poll::Ready(Err(why.refusal())),
        };
        let is_small = endpoint.dialer().resources.compressors.is_small(outgoing.payload);
        // Each connection takes a turn to prepare the payload for it, where that is needed, and one
        // to send.
        for _ in 0..4 {
            // Held while sending: it spares each message a reference of its own to the connection.
            let mut last = self.last.hold();
            let (conn, alias) = match &mut *last {
                Some(last) => last,
                empty => {
                    let conn = std::task::ready!(endpoint.poll_conn(self.place, waker))?;
                    self.expected().check(&conn.peer)?;
                    empty.insert((conn, None))
                }
            };
            if !is_small && !place.native.is_prepared_for(conn) {
                let conn = conn.clone();
                drop(last);
                place.native.prepare(&conn, outgoing.payload)?;
                continue;
            }
            let message = self.message(outgoing, *alias);
            match std::task::ready!(conn.poll_send(
                &message,
                outgoing.payload,
                &mut place.native,
                waker
            )) {
                Ok(Sent { receiver, answer, driver }) => {
                    *alias = Some(receiver);
                    drop(last);
                    if let Some(driver) = driver {
                        driver.wake();
                    }
                    return Poll::Ready(Ok(answer));
                }
                Err(NotTaken::Refused(refusal)) => return Poll::Ready(Err(refusal)),
                Err(NotTaken::Gone) => *last = None,
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
                    Target::Remote(_) => None,
                },
                address: sender,
            }),
            remaining: outgoing.remaining,
            metadata: outgoing.metadata,
        }
    }

    pub(crate) fn watch(self: &Arc<Self>, watcher: Weak<dyn AnyCell>, watch: u64) {
        match &self.peer {
            Peer::Native(endpoint) => endpoint.watches.add(endpoint, self, watcher, watch),
            _ => {
                let Some(watcher) = watcher.upgrade() else { return };
                tracing::warn!(actor = %self.address, "an actor cannot be watched there");
                let (address, reason) = (self.address.clone(), StopReason::NotFound);
                let terminated = Terminated { address, reason };
                watcher.signal(Signal::Terminated { watch, terminated });
            }
        }
    }

    pub(crate) fn unwatch(&self, watch: u64) {
        if let Peer::Native(endpoint) = &self.peer {
            endpoint.watches.remove(endpoint, watch);
        }
    }

    /// Who must be at the other end. Only for an address it is enough that the system is the same.
    pub(crate) fn expected(&self) -> Expected<'_> {
        match self.life {
            Some(life) => Expected::Incarnation(life.incarnation),
            None => Expected::System(self.address.system()),
        }
    }

    pub(crate) fn life(&self) -> Option<Life> {
        self.life
    }

    pub(crate) async fn stop(&self) -> Result<(), OperationError> {
        let operation = Operation::Stop { path: self.path.to_string(), uid: self.uid() };
        stopped(self.request(&operation).await)
    }

    pub(crate) async fn respawn(&self) -> Result<(), OperationError> {
        let operation = Operation::Respawn { path: self.path.to_string(), uid: self.uid() };
        self.request(&operation).await.map(drop)
    }

    pub(crate) async fn reinstate(&self) -> Result<(), OperationError> {
        let operation = Operation::Reinstate { path: self.path.to_string(), uid: self.uid() };
        self.request(&operation).await.map(drop)
    }

    async fn request(&self, operation: &Operation) -> Result<Outcome, OperationError> {
        let request = NodeRequest { operation, target: &self.address, limit: self.ask_timeout() };
        match &self.peer {
            Peer::Native(endpoint) => {
                // Behind the messages that were sent to the actor before.
                let asked = endpoint.request(request, self.place, self.expected());
                asked.await.map(|(_, outcome)| outcome)
            }
            #[cfg(feature = "goakt")]
            Peer::GoAkt(receiver) => receiver.request(request).await,
            Peer::Nobody(why) => Err(request.not_sent(why.refusal())),
        }
    }
}
