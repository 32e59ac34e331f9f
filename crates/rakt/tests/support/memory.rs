//! A network in memory for nodes whose configuration names this machine: all of them are on one host of the
//! kit's network, and reach each other by port.

use std::time::Duration;

use rakt::remote::{Listener, Opening, Stream, Transport};
use rakt::testkit::{Host, Network};

/// The host of them all.
pub(crate) const HOST: &str = "memory";

/// A network: the nodes that are given clones of it reach each other, by port.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) network: Network,
    host: Host,
}

impl Default for Memory {
    fn default() -> Self {
        let network = Network::new(0);
        Self { host: network.host(HOST), network }
    }
}

impl Memory {
    /// Each direction of each connection carries `rate` bytes a second.
    pub(crate) fn with_rate(rate: u32) -> Self {
        let memory = Self::default();
        memory.network.limit_rate(HOST, HOST, rate);
        memory
    }

    /// Bytes that all connections have taken, in both directions.
    pub(crate) fn written(&self) -> u64 {
        self.network.written(HOST, HOST)
    }
}

impl Transport for Memory {
    fn bind<'a>(&'a self, host: &'a str, port: u16) -> Opening<'a, Box<dyn Listener>> {
        self.host.bind(host, port)
    }

    fn dial<'a>(
        &'a self,
        _: &'a str,
        port: u16,
        keep_alive: Duration,
    ) -> Opening<'a, Box<dyn Stream>> {
        self.host.dial(HOST, port, keep_alive)
    }
}
