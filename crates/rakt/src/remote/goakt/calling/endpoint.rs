//! One Go node, as references to its actors share it.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Context;
use std::time::Duration;

use rakt_wire::Address;
use rakt_wire::goakt::{GoAddress, NO_SENDER};

use super::node::GoNode;
use super::outbox::Outbox;
use super::pool::Pool;
use super::queue::ReceiverEntry;
use crate::remote::dialer::Dialer;
use crate::remote::goakt::options::GoAkt;
use crate::remote::ticket::Ticket;
use crate::remote::weak_map::WeakMap;
use crate::sync::Mutex;

/// Connections for tells.
const OUTBOXES: usize = 4;

pub(crate) struct Endpoint {
    pub(super) node: Arc<GoNode>,
    pub(super) outboxes: Box<[Arc<Outbox>]>,
    pub(super) pool: Pool,
    /// What stands for no sender.
    pub(super) nobody: Arc<str>,
    pub(super) idle_timeout: Duration,
    pub(super) answer_timeout: Duration,
    pub(super) tells_deadlines: bool,
    /// The receivers that are referred to, by address.
    receivers: Mutex<WeakMap<Arc<str>, ReceiverEntry>>,
}

impl Endpoint {
    pub(crate) fn new(dialer: Arc<Dialer>, host: &str, port: u16) -> Arc<Self> {
        let defaults = GoAkt::new();
        let options = dialer.resources.options.goakt.as_ref().unwrap_or(&defaults);
        let peer = options.peer_at(host, port);
        let compression = peer.and_then(|peer| peer.compression).unwrap_or(options.compression);
        let max_open = (options.max_connections_per_peer as usize).saturating_sub(OUTBOXES).max(1);
        let idle_timeout = options.idle_timeout;
        Arc::new(Self {
            node: GoNode::new(dialer.clone(), host, port, compression),
            outboxes: (0..OUTBOXES).map(|_| Arc::default()).collect(),
            pool: Pool::new(max_open, options.max_idle_conns as usize, idle_timeout),
            nobody: NO_SENDER.into(),
            idle_timeout,
            answer_timeout: options.answer_timeout,
            tells_deadlines: options.send_deadlines,
            receivers: Mutex::default(),
        })
    }

    /// The receiver at an address, the same for all references to it.
    pub(super) fn entry(&self, address: &Address) -> Arc<ReceiverEntry> {
        let text = GoAddress::from(address).to_string();
        let mut receivers = self.receivers.lock();
        if let Some(known) = receivers.get(&*text) {
            return known;
        }
        // Fixed keys: the outbox of a receiver does not change over the life of a process.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&text);
        let outbox = (hash % OUTBOXES as u64) as usize;
        let (key, place): (Arc<str>, _) = (text.into(), address.clone());
        let (address, last) = (key.clone(), AtomicU64::new(0));
        let entry = Arc::new(ReceiverEntry { address, place, outbox, last });
        receivers.insert(key, &entry);
        entry
    }

    /// Where the tells to a receiver go.
    pub(super) fn outbox(&self, receiver: &ReceiverEntry) -> &Arc<Outbox> {
        &self.outboxes[receiver.outbox]
    }

    /// Closes all connections, once what was told is written and answered.
    pub(crate) fn close(&self) {
        self.pool.close();
        self.outboxes.iter().for_each(|outbox| outbox.wake_driver());
    }

    /// Completes when no outbox has a connection.
    pub(crate) async fn gone(&self) {
        for outbox in &self.outboxes {
            let mut ticket = Ticket::default();
            let down = |cx: &mut Context<'_>| outbox.poll_down(&mut ticket, cx.waker());
            std::future::poll_fn(down).await;
        }
    }
}
