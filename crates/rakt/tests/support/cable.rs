//! The line between one node and all others of a network in memory, in the hands of the test.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rakt::remote::{Listener, Opening, Stream, Transport};
use rakt::testkit::{Connection, Host};

use crate::memory::{HOST, Memory};

/// The connections that a node dials: it is on a host of its own.
#[derive(Clone)]
pub(crate) struct Cable(Arc<Shared>);

struct Shared {
    memory: Memory,
    host: Host,
    keep_alives: Mutex<Vec<Duration>>,
    /// Connections of which the network holds what is written to them.
    held: Mutex<Vec<Connection>>,
}

impl Default for Cable {
    fn default() -> Self {
        Self::over(&Memory::default())
    }
}

impl Cable {
    /// Over a network in memory. On a paused clock, time passes only when all have done what they can.
    pub(crate) fn over(memory: &Memory) -> Self {
        static CABLES: AtomicU64 = AtomicU64::new(0);
        let name = format!("cable-{}", CABLES.fetch_add(1, Ordering::Relaxed));
        let (memory, host) = (memory.clone(), memory.network.host(name));
        let (keep_alives, held) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { memory, host, keep_alives, held }))
    }

    /// The network, for the nodes at the other end.
    pub(crate) fn memory(&self) -> Memory {
        self.0.memory.clone()
    }

    fn connections(&self) -> Vec<Connection> {
        self.0.memory.network.connections(self.0.host.name(), HOST)
    }

    /// Breaks the connections there are; new ones can be made. What the network holds of them stays there.
    pub(crate) fn cut(&self) {
        for connection in self.connections() {
            connection.reset_at(self.0.host.name());
        }
    }

    /// Breaks the connections there are, and lets none be made until [`Cable::plug`].
    pub(crate) fn unplug(&self) {
        self.cut();
        self.0.memory.network.cut(self.0.host.name(), HOST);
    }

    pub(crate) fn plug(&self) {
        self.0.memory.network.heal(self.0.host.name(), HOST);
    }

    /// Lets no byte pass on the connections there are, and says nothing.
    pub(crate) fn freeze(&self) {
        self.connections().iter().for_each(Connection::freeze);
    }

    /// Keeps what is written from now on in the network, on the connections there are.
    pub(crate) fn hold(&self) {
        let mut held = self.0.held.lock().expect("not poisoned");
        for connection in self.connections() {
            connection.stall_from(self.0.host.name());
            held.push(connection);
        }
    }

    /// Delivers what the network held of connections that have been cut since.
    pub(crate) async fn deliver_late(&self) {
        let held = std::mem::take(&mut *self.0.held.lock().expect("not poisoned"));
        for connection in held {
            connection.release();
            while !connection.is_closed_at(HOST) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Connections that were cut while the network held bytes of theirs.
    pub(crate) fn stray_count(&self) -> usize {
        let held = self.0.held.lock().expect("not poisoned");
        held.iter().filter(|connection| connection.is_closed_at(self.0.host.name())).count()
    }

    /// Lets this many more bytes be written, and then none until the next call.
    pub(crate) fn allow(&self, bytes: usize) {
        self.0.memory.network.allow(self.0.host.name(), HOST, bytes as u64);
    }

    /// How often was dialed.
    pub(crate) fn dial_count(&self) -> usize {
        self.0.memory.network.dial_count(self.0.host.name(), HOST) as usize
    }

    /// Connections that were ever made.
    pub(crate) fn made_count(&self) -> usize {
        self.0.memory.network.made_count(self.0.host.name(), HOST) as usize
    }

    /// The interval of keep-alive that was asked for with each dial.
    pub(crate) fn keep_alives(&self) -> Vec<Duration> {
        self.0.keep_alives.lock().expect("not poisoned").clone()
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.0.memory.network.written(self.0.host.name(), HOST)
    }

    /// Connections that are open now.
    pub(crate) fn open_count(&self) -> usize {
        self.connections().len()
    }
}

impl Transport for Cable {
    fn bind<'a>(&'a self, host: &'a str, port: u16) -> Opening<'a, Box<dyn Listener>> {
        self.0.memory.bind(host, port)
    }

    fn dial<'a>(
        &'a self,
        _: &'a str,
        port: u16,
        keep_alive: Duration,
    ) -> Opening<'a, Box<dyn Stream>> {
        self.0.keep_alives.lock().expect("not poisoned").push(keep_alive);
        self.0.host.dial(HOST, port, keep_alive)
    }
}
