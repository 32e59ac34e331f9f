//! The ends of actors on other nodes.
//!
//! A watch is registered with the actor's node over the control connection. If that is lost, the
//! watches are registered again over a new one, for the same lives of the actors; if there is none
//! within the time in which a silent peer is found dead, the node counts as lost.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rakt_wire::{Operation, Outcome, Terminated as WireTerminated};

use super::conn::{Conn, Expected};
use super::dialed::Dialed;
use super::endpoint::{CONTROL, Endpoint};
use crate::error::{Cause, Chain, OperationError, Refusal};
use crate::events::{StopReason, Terminated};
use crate::reference::{Life, RemoteActor};
use crate::remote::request::NodeRequest;
use crate::remote::target::RemoteTarget;
use crate::signal::{Signal, Signalled};
use crate::sync::Lock;

/// The watches of one endpoint.
#[derive(Default)]
pub(crate) struct RemoteWatches {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<u64, Entry>,
    /// The same watches, in the order of the connections over which the peer knows of them.
    by_conn: BTreeSet<(Option<u64>, u64)>,
    /// A task is bringing the watches to the peer.
    is_registering: bool,
    #[cfg(test)]
    looked_at: usize,
}

#[derive(Clone)]
struct Entry {
    target: Arc<RemoteTarget>,
    watcher: Weak<dyn Signalled>,
    life: Option<Life>,
    /// The connection over which the peer knows of the watch.
    conn: Option<u64>,
}

impl Table {
    fn insert(&mut self, watch: u64, entry: Entry) {
        self.by_conn.insert((entry.conn, watch));
        self.entries.insert(watch, entry);
    }

    fn remove(&mut self, watch: u64) -> Option<Entry> {
        let entry = self.entries.remove(&watch)?;
        self.by_conn.remove(&(entry.conn, watch));
        Some(entry)
    }

    /// The first watch that the peer knows of over `conn`, or does not know of.
    fn first(&mut self, conn: Option<u64>) -> Option<u64> {
        #[cfg(test)]
        (self.looked_at += 1);
        self.by_conn.range((conn, 0)..=(conn, u64::MAX)).next().map(|(_, watch)| *watch)
    }

    /// From now on the peer knows of a watch over `conn`, or does not know of it.
    fn put(&mut self, watch: u64, conn: Option<u64>) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&watch)?;
        let before = std::mem::replace(&mut entry.conn, conn);
        self.by_conn.remove(&(before, watch));
        self.by_conn.insert((conn, watch));
        Some(entry)
    }
}

impl RemoteWatches {
    pub(crate) fn add(
        &self,
        endpoint: &Arc<Endpoint>,
        target: &Arc<RemoteTarget>,
        watcher: Weak<dyn Signalled>,
        watch: u64,
    ) {
        let (target, life) = (target.clone(), target.life());
        let entry = Entry { target, watcher, life, conn: None };
        self.table.hold().insert(watch, entry);
        self.register(endpoint);
    }

    pub(crate) fn remove(&self, endpoint: &Arc<Endpoint>, watch: u64) {
        let entry = self.table.hold().remove(watch);
        let Some(Entry { conn: Some(conn), target, .. }) = entry else { return };
        let limit = target.call_options().ask_timeout;
        if let Some(conn) = endpoint.conns().into_iter().find(|known| known.id == conn) {
            // The answer is of no interest: what still comes of the watch finds nobody.
            if let Ok(answer) = conn.request(&Operation::Unwatch { watch_id: watch }, limit, None) {
                endpoint.dialer().runtime.spawn(tokio::time::timeout(limit, answer));
            }
        }
    }

    /// The peer says that a watched actor has ended.
    pub(crate) fn ended(&self, watch: u64, reason: StopReason) {
        let entry = self.table.hold().remove(watch);
        if let Some(Entry { target, watcher, .. }) = entry
            && let Some(watcher) = watcher.upgrade()
        {
            let terminated = Terminated { address: target.address().clone(), reason };
            watcher.signal(Signal::Terminated { watch, terminated });
        }
    }

    /// Whether watches depend on the connection.
    pub(crate) fn need(&self, conn: &Conn<Dialed>) -> bool {
        self.table.hold().first(Some(conn.id)).is_some()
    }

    /// A connection has ended: what was registered over it is registered again.
    pub(crate) fn lost(&self, endpoint: &Arc<Endpoint>, conn: &Arc<Conn<Dialed>>) {
        if self.forget(conn) {
            self.register(endpoint);
        }
    }

    /// The peer knows of nothing over this connection any more; says whether it did.
    fn forget(&self, conn: &Conn<Dialed>) -> bool {
        let (mut table, mut any) = (self.table.hold(), false);
        while let Some(watch) = table.first(Some(conn.id)) {
            table.put(watch, None);
            any = true;
        }
        any
    }

    /// Has a task bring the watches to the peer, if none does yet.
    fn register(&self, endpoint: &Arc<Endpoint>) {
        let mut table = self.table.hold();
        if !std::mem::replace(&mut table.is_registering, true) {
            endpoint.dialer().runtime.spawn(register_all(endpoint.clone()));
        }
    }

    /// A watch that the peer does not know of yet.
    fn next(&self) -> Option<(u64, Entry)> {
        let mut table = self.table.hold();
        while let Some(watch) = table.first(None) {
            match table.entries.get(&watch) {
                Some(entry) if entry.watcher.strong_count() > 0 => {
                    return Some((watch, entry.clone()));
                }
                _ => drop(table.remove(watch)),
            }
        }
        table.is_registering = false;
        None
    }

    fn registered(&self, watch: u64, conn: &Conn<Dialed>, uid: u64) {
        if let Some(entry) = self.table.hold().put(watch, Some(conn.id)) {
            let incarnation = conn.peer.incarnation;
            entry.life.get_or_insert(Life { uid, incarnation });
        }
    }

    /// The node is lost: all who wait for news of it hear so.
    fn node_lost(&self) {
        loop {
            let waiting = self.table.hold().first(None);
            let Some(watch) = waiting else { return };
            self.ended(watch, StopReason::NodeLost);
        }
    }
}

async fn register_all(endpoint: Arc<Endpoint>) {
    let limit = endpoint.dialer().resources.options.read_idle_timeout * 2;
    let mut until = tokio::time::Instant::now() + limit;
    while let Some((watch, entry)) = endpoint.watches.next() {
        match tokio::time::timeout_at(until, register_one(&endpoint, watch, &entry)).await {
            Ok(Ok(())) => until = tokio::time::Instant::now() + limit,
            // Dialing has its own back-off, within which it fails at once: a short pause here.
            Ok(Err(_)) => {
                let pause = endpoint.dialer().random.jittered(Duration::from_millis(50));
                tokio::time::sleep_until((tokio::time::Instant::now() + pause).min(until)).await;
            }
            Err(_) => endpoint.watches.node_lost(),
        }
        if tokio::time::Instant::now() >= until || endpoint.dialer().is_closed() {
            endpoint.watches.node_lost();
        }
    }
}

/// Brings one watch to the peer; an error means that it is worth another try.
async fn register_one(endpoint: &Arc<Endpoint>, watch: u64, entry: &Entry) -> Result<(), Refusal> {
    let operation = Operation::Watch {
        path: entry.target.address().path().to_owned(),
        uid: entry.life.map(|life| life.uid),
        watch_id: watch,
    };
    let limit = entry.target.call_options().ask_timeout;
    let target = entry.target.address();
    let request = NodeRequest { operation: &operation, target, limit };
    // From here on the peer may know of it: the news must find the entry, whatever comes first.
    let expected = match entry.life {
        Some(life) => Expected::Incarnation(life.incarnation),
        None => entry.target.expected(),
    };
    match endpoint.request(request, CONTROL, expected).await {
        Ok((conn, Outcome::Found { uid, .. })) => {
            endpoint.watches.registered(watch, &conn, uid);
            if conn.is_over() {
                endpoint.watches.lost(endpoint, &conn);
            }
            Ok(())
        }
        Ok(_) => {
            endpoint.watches.ended(watch, StopReason::NotFound);
            Ok(())
        }
        Err(OperationError::Refused { refusal, .. }) => {
            let reason = match refusal {
                // It was there when the watch began, so its end was missed.
                Refusal::NotFound if entry.life.is_some() => StopReason::Gone,
                Refusal::NotFound => StopReason::NotFound,
                Refusal::StaleIncarnation | Refusal::Stopped => StopReason::Gone,
                refusal @ (Refusal::ShuttingDown | Refusal::Unreachable { .. }) => {
                    return Err(refusal);
                }
                // It will not be granted later either; only this watch is concerned.
                refusal => {
                    let refusal = Chain(&refusal);
                    tracing::warn!(%target, %refusal, "an actor cannot be watched");
                    StopReason::NotFound
                }
            };
            endpoint.watches.ended(watch, reason);
            Ok(())
        }
        Err(OperationError::NotSent { refusal: Refusal::StaleIncarnation, .. }) => {
            endpoint.watches.ended(watch, StopReason::NodeLost);
            Ok(())
        }
        Err(OperationError::NotSent { refusal: Refusal::WrongSystem { .. }, .. }) => {
            endpoint.watches.ended(watch, StopReason::NotFound);
            Ok(())
        }
        Err(OperationError::NotSent { refusal, .. }) => Err(refusal),
        Err(error) => Err(endpoint.unreachable(Cause::new(error))),
    }
}

pub(crate) fn to_wire(reason: &StopReason) -> WireTerminated {
    match reason {
        StopReason::Stopped => WireTerminated::Stopped,
        StopReason::Failed(text) => WireTerminated::Failed(text.clone()),
        StopReason::Passivated => WireTerminated::Passivated,
        StopReason::Shutdown => WireTerminated::Shutdown,
        StopReason::NotFound => WireTerminated::NotFound,
        StopReason::Gone => WireTerminated::StaleIncarnation,
        StopReason::NodeLost => WireTerminated::NodeLost,
    }
}

pub(crate) fn from_wire(reason: WireTerminated) -> StopReason {
    match reason {
        WireTerminated::Stopped => StopReason::Stopped,
        WireTerminated::Failed(text) => StopReason::Failed(text),
        WireTerminated::Passivated => StopReason::Passivated,
        WireTerminated::Shutdown => StopReason::Shutdown,
        WireTerminated::NotFound => StopReason::NotFound,
        WireTerminated::NodeLost => StopReason::NodeLost,
        _ => StopReason::Gone,
    }
}

#[cfg(test)]
mod tests {
    use rakt_wire::Address;
    use rakt_wire::native::Limits;

    use super::*;
    use crate::actor::Actor;
    use crate::remote::dialer::Dialer;
    use crate::remote::handshake::hello;
    use crate::remote::native::tests::session;
    use crate::remote::random::Random;
    use crate::remote::resources::tests::resources;
    use crate::system::ActorSystem;

    struct Watcher;

    impl Actor for Watcher {}

    /// Registering all of many watches, once more after their connection was lost, looks at each a few
    /// times, however many there are.
    #[tokio::test]
    async fn registering_many_watches_looks_at_each_of_them_a_few_times() {
        const COUNT: u64 = 1000;
        let system = ActorSystem::builder("tests").start().await.expect("it starts");
        let _watcher = system.spawn("watcher", || Watcher).await.expect("it starts");
        let cell = system.find_cell("watcher").expect("it is there");
        let watcher: Weak<dyn Signalled> = Arc::downgrade(&cell) as _;
        let address = Address::new("a", "peer", "127.0.0.1", 1).expect("it is valid");
        let random = Random::new(None);
        let hello = hello("tests", &resources().options, &random);
        let endpoint = Endpoint::new(Dialer::new(resources(), hello, random), "127.0.0.1", 1);
        let target = RemoteTarget::new(endpoint, system.call_options().clone(), address, None);
        let watches = RemoteWatches::default();
        for watch in 0..COUNT {
            let (target, watcher) = (target.clone(), watcher.clone());
            let entry = Entry { target, watcher, life: None, conn: None };
            watches.table.hold().insert(watch, entry);
        }
        let (resources, session) = (resources(), session(Limits::default()));
        let conn = || Conn::new(resources.clone(), Dialed::new(&session), &session, "peer:1");
        let [first, second] = [conn(), conn()];
        let mut registered = 0;
        for conn in [&first, &second] {
            while let Some((watch, _)) = watches.next() {
                watches.registered(watch, conn, 1);
                registered += 1;
            }
            assert!(watches.need(conn));
            if Arc::ptr_eq(conn, &first) {
                assert!(watches.forget(conn) && !watches.need(conn));
            }
        }
        assert_eq!(registered, 2 * COUNT);
        let looked_at = watches.table.hold().looked_at;
        assert!(looked_at <= 4 * COUNT as usize, "{looked_at}");
    }
}
