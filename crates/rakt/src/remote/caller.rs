//! Calls to other nodes: the peers that are known here, and references to their actors.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use rakt_wire::native::CloseCode;
use rakt_wire::{Address, Dialect};

use super::dialer::Dialer;
#[cfg(feature = "goakt")]
use super::goakt;
use super::native::{Endpoint, leave};
use super::target::RemoteTarget;
use super::weak_map::WeakMap;
use crate::call_options::CallOptions;
use crate::portable::{PortableRef, Resolve};
use crate::reference::{ActorRef, Life, Target};
use crate::sync::Mutex;

/// The endpoints that references, connections or watches hold on to, by host and port; and the last few that
/// were made, so that what is learned of a peer lasts where every message names its address.
struct Endpoints<E> {
    known: WeakMap<(Arc<str>, u16), E>,
    last: VecDeque<Arc<E>>,
}

/// As many endpoints as this are kept that nobody holds on to.
const LAST: usize = 64;

impl<E> Default for Endpoints<E> {
    fn default() -> Self {
        Self { known: WeakMap::default(), last: VecDeque::new() }
    }
}

pub(crate) struct Caller {
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) options: Arc<CallOptions>,
    endpoints: Mutex<Endpoints<Endpoint>>,
    #[cfg(feature = "goakt")]
    goakt_endpoints: Mutex<Endpoints<goakt::Endpoint>>,
}

impl Caller {
    pub(crate) fn new(dialer: Arc<Dialer>, options: Arc<CallOptions>) -> Arc<Self> {
        Arc::new(Self {
            dialer,
            options,
            endpoints: Mutex::default(),
            #[cfg(feature = "goakt")]
            goakt_endpoints: Mutex::default(),
        })
    }

    /// The endpoint of a native peer's address.
    pub(crate) fn endpoint(&self, host: &str, port: u16) -> Arc<Endpoint> {
        of(&self.endpoints, host, port, || Endpoint::new(self.dialer.clone(), host, port))
    }

    /// The endpoint of a Go node's address.
    #[cfg(feature = "goakt")]
    pub(crate) fn goakt_endpoint(&self, host: &str, port: u16) -> Arc<goakt::Endpoint> {
        let make = || goakt::Endpoint::new(self.dialer.clone(), host, port);
        of(&self.goakt_endpoints, host, port, make)
    }

    /// Whether the options say that a Go node listens there.
    #[cfg(feature = "goakt")]
    pub(crate) fn is_goakt(&self, host: &str, port: u16) -> bool {
        let goakt = &self.dialer.resources.options.goakt;
        goakt.as_ref().is_some_and(|goakt| goakt.peer_at(host, port).is_some())
    }

    /// A reference to whoever has this address, as far as users know it: one on a Go node is spoken to as
    /// such, whatever dialect the address was made for.
    pub(crate) fn actor(&self, address: &Address) -> ActorRef {
        let address = address.clone();
        #[cfg(feature = "goakt")]
        let address = match self.is_goakt(address.host(), address.port()) {
            true => address.with_dialect(Dialect::GoAkt),
            false => address,
        };
        self.reference(address, None)
    }

    /// What a reference that arrived as data means.
    pub(crate) fn resolve(&self, portable: &PortableRef) -> ActorRef {
        match portable.life() {
            Some(life) => self.reference(portable.address().clone(), Some(life)),
            None => self.actor(portable.address()),
        }
    }

    /// A reference to whoever has this address, or to one life there.
    pub(crate) fn reference<A>(&self, address: Address, life: Option<Life>) -> ActorRef<A> {
        let (host, port, options) = (address.host(), address.port(), self.options.clone());
        let target = match address.dialect() {
            #[cfg(feature = "goakt")]
            Dialect::GoAkt => {
                RemoteTarget::goakt(&self.goakt_endpoint(host, port), options, address)
            }
            #[cfg(not(feature = "goakt"))]
            Dialect::GoAkt => RemoteTarget::no_goakt(options, address),
            _ => RemoteTarget::new(self.endpoint(host, port), options, address, life),
        };
        ActorRef::from_target(Target::Remote(target))
    }

    /// Closes all connections that were dialed here, those of native peers once their requests are answered,
    /// and dials no more. Completes when they are gone.
    pub(crate) async fn close(&self, reason: &str) {
        self.dialer.close();
        let endpoints = self.endpoints.lock().known.values();
        let conns: Vec<_> = endpoints.iter().flat_map(|endpoint| endpoint.conns()).collect();
        #[cfg(feature = "goakt")]
        let goakt = self.goakt_endpoints.lock().known.values();
        #[cfg(feature = "goakt")]
        goakt.iter().for_each(|endpoint| endpoint.close());
        leave(&conns, CloseCode::Normal, reason).await;
        #[cfg(feature = "goakt")]
        for endpoint in goakt {
            endpoint.gone().await;
        }
    }
}

impl Resolve for Caller {
    fn resolve(self: Arc<Self>, portable: &PortableRef) -> ActorRef {
        Self::resolve(&self, portable)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// The endpoint of a peer's address, made when it is first needed.
fn of<E>(
    endpoints: &Mutex<Endpoints<E>>,
    host: &str,
    port: u16,
    make: impl FnOnce() -> Arc<E>,
) -> Arc<E> {
    let mut endpoints = endpoints.lock();
    let key = (Arc::from(host), port);
    if let Some(known) = endpoints.known.get(&key) {
        return known;
    }
    let endpoint = make();
    endpoints.known.insert(key, &endpoint);
    endpoints.last.push_back(endpoint.clone());
    let oldest = if endpoints.last.len() > LAST { endpoints.last.pop_front() } else { None };
    drop(endpoints);
    drop(oldest);
    endpoint
}
