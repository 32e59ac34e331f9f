//! One Go node, as references to its actors share it.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rakt_wire::goakt::{GoAddress, NO_SENDER};
use rakt_wire::{Address, Outcome, Wish};

use super::ask;
use super::lane::Lane;
use super::operate;
use super::place::Place;
use super::pool::Pool;
use super::queue::Known;
use super::site::Site;
use crate::error::{OperationError, Refusal};
use crate::remote::answer::RemoteAnswer;
use crate::remote::dialer::Dialer;
use crate::remote::goakt::GoAkt;
use crate::remote::outgoing::Outgoing;
use crate::remote::request::NodeRequest;
use crate::remote::weak_map::WeakMap;
use crate::sync::Lock;

/// Connections for tells.
const LANES: usize = 4;

pub(crate) struct Endpoint {
    pub(super) site: Arc<Site>,
    pub(super) lanes: Box<[Lane]>,
    pub(super) pool: Pool,
    /// What stands for no sender.
    pub(super) nobody: Arc<str>,
    pub(super) idle_timeout: Duration,
    pub(super) answer_timeout: Duration,
    pub(super) tells_deadlines: bool,
    /// The receivers that are referred to, by address.
    receivers: Mutex<WeakMap<Arc<str>, Known>>,
}

/// An actor of a Go node.
pub(crate) struct Receiver {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) known: Arc<Known>,
}

impl Endpoint {
    pub(crate) fn new(dialer: Arc<Dialer>, host: &str, port: u16) -> Arc<Self> {
        let defaults = GoAkt::new();
        let options = dialer.resources.options.goakt.as_ref().unwrap_or(&defaults);
        let peer = options.peer_at(host, port);
        let compression = peer.and_then(|peer| peer.compression).unwrap_or(options.compression);
        let max_open = (options.max_connections_per_peer as usize).saturating_sub(LANES).max(1);
        let idle_timeout = options.idle_timeout;
        let pool = Pool::new(max_open, options.max_idle_conns as usize, idle_timeout);
        Arc::new(Self {
            site: Site::new(dialer.clone(), host, port, compression),
            lanes: (0..LANES).map(|_| Lane::new()).collect(),
            pool,
            nobody: NO_SENDER.into(),
            idle_timeout,
            answer_timeout: options.answer_timeout,
            tells_deadlines: options.send_deadlines,
            receivers: Mutex::default(),
        })
    }

    /// The receiver at an address, the same for all references to it.
    pub(crate) fn receiver(self: &Arc<Self>, address: &Address) -> Receiver {
        let text = GoAddress::from(address).to_string();
        let mut receivers = self.receivers.hold();
        if let Some(known) = receivers.get(&*text) {
            return Receiver { endpoint: self.clone(), known };
        }
        // Fixed keys: the lane of a receiver does not change over the life of a process.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&text);
        let lane = (hash % LANES as u64) as usize;
        let address: Arc<str> = text.into();
        let known = Arc::new(Known { address: address.clone(), lane, last: AtomicU64::new(0) });
        receivers.insert(address, &known);
        Receiver { endpoint: self.clone(), known }
    }

    /// Carries out an operation on the node; says where the actor is, where that is asked.
    pub(crate) async fn request(
        self: &Arc<Self>,
        request: NodeRequest<'_>,
    ) -> Result<(Option<Address>, Outcome), OperationError> {
        operate::request(self, request, std::future::ready(())).await
    }

    /// Closes all connections, once what was told is written and answered.
    pub(crate) fn close(&self) {
        self.pool.close();
        self.lanes.iter().for_each(|lane| lane.work.notify_one());
    }

    /// Completes when no lane has a connection.
    pub(crate) async fn gone(self: &Arc<Self>) {
        for lane in 0..self.lanes.len() {
            let mut place = Place::default();
            let down = |cx: &mut Context<'_>| Lane::poll_down(self, lane, &mut place, cx.waker());
            std::future::poll_fn(down).await;
        }
    }
}

impl Receiver {
    /// Gives a message to a connection, waiting for one, and for room, where needed.
    pub(crate) fn poll_send(
        &self,
        outgoing: &Outgoing<'_>,
        place: &mut Option<Box<Place>>,
        waker: Option<&Waker>,
    ) -> Poll<Result<Option<RemoteAnswer>, Refusal>> {
        match outgoing.wish {
            Wish::Tell | Wish::Confirm => {
                Lane::poll_tell(&self.endpoint, &self.known, outgoing, place, waker)
            }
            Wish::Ask => ask::poll_ask(self, outgoing, place, waker),
        }
    }

    /// Carries out an operation on the actor, behind what it was told before.
    pub(crate) async fn request(
        &self,
        request: NodeRequest<'_>,
    ) -> Result<Outcome, OperationError> {
        let mut place = None;
        let settled = std::future::poll_fn(|cx| {
            Lane::poll_settled(&self.endpoint, &self.known, &mut place, cx.waker())
        });
        let asked = operate::request(&self.endpoint, request, settled);
        asked.await.map(|(_, outcome)| outcome)
    }
}
