//! The ends of actors on other nodes: who waits for which, and over which connection the peer knows of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Weak;
use std::time::Duration;

use rakt_wire::{Address, Terminated as WireTerminated};

use crate::events::{StopReason, Terminated, WatchId};
use crate::reference::Life;
use crate::signal::{Signal, Signalled};
use crate::sync::Mutex;

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
    watched: Watched,
    watcher: Weak<dyn Signalled>,
    /// The connection over which the peer knows of the watch.
    conn: Option<u64>,
}

/// An actor whose end somebody waits for.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) address: Address,
    /// The life that is meant, which is known at the latest when the peer knows of the watch.
    pub(crate) life: Option<Life>,
    /// How long the peer may take to answer.
    pub(crate) limit: Duration,
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
    pub(crate) fn insert(&self, watch: u64, watched: Watched, watcher: Weak<dyn Signalled>) {
        self.table.lock().insert(watch, Entry { watched, watcher, conn: None });
    }

    /// Forgets a watch; returns the connection over which the peer knows of it, if it does.
    pub(crate) fn remove(&self, watch: u64) -> Option<(Watched, u64)> {
        let entry = self.table.lock().remove(watch)?;
        Some((entry.watched, entry.conn?))
    }

    /// A watched actor has ended, as far as can be told.
    pub(crate) fn ended(&self, watch: u64, reason: StopReason) {
        let entry = self.table.lock().remove(watch);
        if let Some(Entry { watched, watcher, .. }) = entry
            && let Some(watcher) = watcher.upgrade()
        {
            let (address, watch) = (watched.address, WatchId(watch));
            watcher.signal(Signal::Terminated(Terminated { address, reason, watch }));
        }
    }

    /// Whether watches depend on a connection.
    pub(crate) fn need(&self, conn: u64) -> bool {
        self.table.lock().first(Some(conn)).is_some()
    }

    /// The peer knows of nothing over this connection any more; says whether it did.
    pub(crate) fn forget(&self, conn: u64) -> bool {
        let (mut table, mut any) = (self.table.lock(), false);
        while let Some(watch) = table.first(Some(conn)) {
            table.put(watch, None);
            any = true;
        }
        any
    }

    /// Whether the caller is the one to bring to the peer what [`next`](Self::next) gives.
    pub(crate) fn begin(&self) -> bool {
        !std::mem::replace(&mut self.table.lock().is_registering, true)
    }

    /// A watch that the peer does not know of yet. With none left nobody is bringing them any more.
    pub(crate) fn next(&self) -> Option<(u64, Watched)> {
        let mut table = self.table.lock();
        while let Some(watch) = table.first(None) {
            match table.entries.get(&watch) {
                Some(entry) if entry.watcher.strong_count() > 0 => {
                    return Some((watch, entry.watched.clone()));
                }
                _ => drop(table.remove(watch)),
            }
        }
        table.is_registering = false;
        None
    }

    /// From now on the peer knows of a watch over this connection.
    pub(crate) fn registered(&self, watch: u64, conn: u64, life: Life) {
        if let Some(entry) = self.table.lock().put(watch, Some(conn)) {
            entry.watched.life.get_or_insert(life);
        }
    }

    /// The node is lost: all who wait for news of it hear so.
    pub(crate) fn node_lost(&self) {
        loop {
            let waiting = self.table.lock().first(None);
            let Some(watch) = waiting else { return };
            self.ended(watch, StopReason::NodeLost);
        }
    }
}

pub(crate) fn to_wire(reason: &StopReason) -> WireTerminated {
    match reason {
        StopReason::Stopped => WireTerminated::Stopped,
        StopReason::Failed(cause) => WireTerminated::Failed(cause.clone()),
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
        WireTerminated::Failed(cause) => StopReason::Failed(cause),
        WireTerminated::Passivated => StopReason::Passivated,
        WireTerminated::Shutdown => StopReason::Shutdown,
        WireTerminated::NotFound => StopReason::NotFound,
        WireTerminated::NodeLost => StopReason::NodeLost,
        _ => StopReason::Gone,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::actor::Actor;
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
        let watched = Watched { address, life: None, limit: Duration::MAX };
        let watches = RemoteWatches::default();
        for watch in 0..COUNT {
            watches.insert(watch, watched.clone(), watcher.clone());
        }
        let life = Life { uid: 1, incarnation: [0; 16] };
        let mut registered = 0;
        for conn in [1, 2] {
            while let Some((watch, _)) = watches.next() {
                watches.registered(watch, conn, life);
                registered += 1;
            }
            assert!(watches.need(conn));
            if conn == 1 {
                assert!(watches.forget(conn) && !watches.need(conn));
            }
        }
        assert_eq!(registered, 2 * COUNT);
        let looked_at = watches.table.lock().looked_at;
        assert!(looked_at <= 4 * COUNT as usize, "{looked_at}");
    }
}
