//! A reference to an actor on another node.

use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use rakt_wire::address::Address;
use rakt_wire::native::Alias;
use rakt_wire::operation::{Operation, Outcome};

use super::conn::{Conn, Expected, NotTaken, Outgoing, Place, RemoteAnswer, Sent};
use super::endpoint::Endpoint;
use crate::cell::{AnyCell, Signal};
use crate::error::{OperationError, Refusal};
use crate::events::{StopReason, Terminated};
use crate::propagate::ContextPropagator;
use crate::sync::Lock;

pub(crate) struct RemoteTarget {
    /// `None` in a system without remoting: then nothing can be sent.
    endpoint: Option<Arc<Endpoint>>,
    address: Address,
    path: Arc<str>,
    place: usize,
    /// The life of the actor and of its node that is meant; `None` for whoever has the address.
    life: Option<Life>,
    last: Mutex<Last>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) uid: u64,
    pub(crate) incarnation: [u8; 16],
}

/// The connection last used and its number for the receiver, so that the next message finds both
/// without a search.
type Last = Option<(Arc<Conn>, Option<Alias>)>;

impl PartialEq for RemoteTarget {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address && self.life == other.life
    }
}

impl RemoteTarget {
    pub(crate) fn new(endpoint: Arc<Endpoint>, address: Address, life: Option<Life>) -> Arc<Self> {
        let path: Arc<str> = address.path().into();
        let place = endpoint.place_of(&path);
        let endpoint = Some(endpoint);
        Arc::new(Self { endpoint, path, address, place, life, last: Mutex::default() })
    }

    /// A reference in a system that has no remoting.
    pub(crate) fn unreachable(address: Address) -> Arc<Self> {
        let path = address.path().into();
        let last = Mutex::default();
        Arc::new(Self { endpoint: None, path, address, place: 0, life: None, last })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn path_arc(&self) -> Arc<str> {
        self.path.clone()
    }

    pub(crate) fn uid(&self) -> Option<u64> {
        self.life.map(|life| life.uid)
    }

    pub(crate) fn propagator(&self) -> Option<&Arc<dyn ContextPropagator>> {
        self.endpoint.as_ref()?.net().propagator.as_ref()
    }

    pub(crate) fn ask_timeout(&self) -> Duration {
        let endpoint = self.endpoint.as_ref();
        endpoint.map_or(crate::send::DEFAULT_ASK_TIMEOUT, |endpoint| endpoint.net().ask_timeout)
    }

    /// Gives a message to the connection, waiting for one, and for room, where needed.
    pub(crate) fn poll_send(
        &self,
        outgoing: &Outgoing<'_>,
        place: &mut Place,
        waker: Option<&Waker>,
    ) -> Poll<Result<Option<RemoteAnswer>, Refusal>> {
        let Some(endpoint) = &self.endpoint else {
            return Poll::Ready(Err(Refusal::RemotingOff));
        };
        let is_small = endpoint.net().is_small(outgoing.payload);
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
            if !is_small && !place.is_prepared_for(conn) {
                let conn = conn.clone();
                drop(last);
                place.prepare(&conn, outgoing.payload)?;
                continue;
            }
            match std::task::ready!(conn.poll_send(self, *alias, outgoing, place, waker)) {
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
            None => {
                let detail = "the connection ended".to_owned();
                Poll::Ready(Err(Refusal::Unreachable { detail }))
            }
        }
    }

    pub(crate) fn watch(self: &Arc<Self>, watcher: Weak<dyn AnyCell>, watch: u64) {
        match &self.endpoint {
            Some(endpoint) => endpoint.watches.add(endpoint, self, watcher, watch),
            None => {
                let Some(watcher) = watcher.upgrade() else { return };
                let (address, reason) = (self.address.clone(), StopReason::NotFound);
                let terminated = Terminated { address, reason };
                watcher.signal(Signal::Terminated { watch, terminated });
            }
        }
    }

    pub(crate) fn unwatch(&self, watch: u64) {
        if let Some(endpoint) = &self.endpoint {
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
        match self.request("stop", &operation).await {
            // An actor that is gone, alone or with its node, has stopped.
            Err(
                OperationError::Refused { refusal: Refusal::NotFound | Refusal::Stopped, .. }
                | OperationError::Refused { refusal: Refusal::StaleIncarnation, .. }
                | OperationError::NotSent { refusal: Refusal::StaleIncarnation, .. },
            ) => Ok(()),
            result => result.map(drop),
        }
    }

    pub(crate) async fn respawn(&self) -> Result<(), OperationError> {
        let operation = Operation::Respawn { path: self.path.to_string(), uid: self.uid() };
        self.request("respawn", &operation).await.map(drop)
    }

    pub(crate) async fn reinstate(&self) -> Result<(), OperationError> {
        let operation = Operation::Reinstate { path: self.path.to_string(), uid: self.uid() };
        self.request("reinstate", &operation).await.map(drop)
    }

    async fn request(
        &self,
        name: &'static str,
        operation: &Operation,
    ) -> Result<Outcome, OperationError> {
        let expected = self.expected();
        let target = self.address.to_string();
        match &self.endpoint {
            Some(endpoint) => {
                // Behind the messages that were sent to the actor before.
                let (place, limit) = (self.place, self.ask_timeout());
                let asked = endpoint.request(name, &target, place, expected, operation, limit);
                asked.await.map(|(_, outcome)| outcome)
            }
            None => Err(OperationError::NotSent {
                operation: name,
                target,
                refusal: Refusal::RemotingOff,
            }),
        }
    }
}
