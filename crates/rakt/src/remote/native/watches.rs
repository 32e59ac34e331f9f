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
    /// The life of the node that shut down last.
    shut_down: Option<[u8; 16]>,
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

    /// From now on the peer knows of a watch over this connection; false if nobody wants it any more.
    pub(crate) fn registered(&self, watch: u64, conn: u64, life: Life) -> bool {
        let mut table = self.table.lock();
        if table.entries.get(&watch).is_some_and(|entry| entry.watcher.strong_count() == 0) {
            table.remove(watch);
        }
        let Some(entry) = table.put(watch, Some(conn)) else { return false };
        entry.watched.life.get_or_insert(life);
        true
    }

    /// This life of the node is over, in order.
    pub(crate) fn node_shut_down(&self, incarnation: [u8; 16]) {
        self.table.lock().shut_down = Some(incarnation);
    }

    /// Whether this life of an actor is over since its node has shut down.
    pub(crate) fn has_shut_down(&self, life: &Life) -> bool {
        self.table.lock().shut_down == Some(life.incarnation)
    }

    /// The node is lost: all who wait for news of it by now hear so.
    pub(crate) fn node_lost(&self) {
        // Whoever hears of it may watch again at once.
        let of_nobody = (None, 0)..=(None, u64::MAX);
        let waiting: Vec<_> = self.table.lock().by_conn.range(of_nobody).copied().collect();
        waiting.into_iter().for_each(|(_, watch)| self.ended(watch, StopReason::NodeLost));
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

    /// Notes which watches have ended, and may watch again as it hears of one.
    #[derive(Default)]
    struct Listener {
        heard: Mutex<Vec<u64>>,
        again: Option<Arc<RemoteWatches>>,
        myself: Weak<Self>,
    }

    impl Listener {
        fn new(again: Option<Arc<RemoteWatches>>) -> Arc<Self> {
            Arc::new_cyclic(|myself| Self { again, myself: myself.clone(), ..Self::default() })
        }
    }

    impl Signalled for Listener {
        fn signal(&self, signal: Signal) {
            let Signal::Terminated(Terminated { watch: WatchId(watch), .. }) = signal else {
                return;
            };
            self.heard.lock().push(watch);
            if let Some(watches) = &self.again {
                watches.insert(watch + 100, watched(), self.myself.clone());
            }
        }
    }

    const LIFE: Life = Life { uid: 1, incarnation: [0; 16] };

    fn watched() -> Watched {
        let address = Address::new("a", "peer", "127.0.0.1", 1).expect("it is valid");
        Watched { address, life: None, limit: Duration::MAX }
    }

    #[test]
    fn a_watch_that_nobody_wants_any_more_is_not_registered() {
        let watches = RemoteWatches::default();
        let watcher = Listener::new(None);
        for watch in [1, 2, 3] {
            watches.insert(watch, watched(), watcher.myself.clone());
        }
        assert!(watches.registered(1, 7, LIFE));
        watches.remove(2);
        assert!(!watches.registered(2, 7, LIFE), "the peer is to forget it");
        drop(watcher);
        assert!(!watches.registered(3, 7, LIFE), "its watcher is gone");
    }

    /// A watch that begins as its watcher hears of a lost node is another one, with a time of its own.
    #[test]
    fn a_watch_that_begins_with_the_news_is_not_lost_with_the_others() {
        let watches = Arc::new(RemoteWatches::default());
        let watcher = Listener::new(Some(watches.clone()));
        for watch in [1, 2] {
            watches.insert(watch, watched(), watcher.myself.clone());
        }
        watches.node_lost();
        assert_eq!(*watcher.heard.lock(), [1, 2]);
        watches.node_lost();
        assert_eq!(*watcher.heard.lock(), [1, 2, 101, 102]);
    }

    /// Registering all of many watches, once more after their connection was lost, looks at each a few
    /// times, however many there are.
    #[test]
    fn registering_many_watches_looks_at_each_of_them_a_few_times() {
        const COUNT: u64 = 1000;
        let watcher = Listener::new(None);
        let watches = RemoteWatches::default();
        for watch in 0..COUNT {
            watches.insert(watch, watched(), watcher.myself.clone());
        }
        let mut registered = 0;
        for conn in [1, 2] {
            while let Some((watch, _)) = watches.next() {
                watches.registered(watch, conn, LIFE);
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
