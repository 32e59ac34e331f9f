//! What it takes to dial peers: shared by all endpoints of a node, or of a client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rakt_wire::native::Hello;

use super::random::Random;
use super::resources::Resources;

pub(crate) struct Dialer {
    pub(crate) resources: Arc<Resources>,
    /// What this side says of itself.
    pub(crate) hello: Hello,
    pub(crate) random: Random,
    /// Runs the connections.
    pub(crate) runtime: tokio::runtime::Handle,
    is_closed: AtomicBool,
}

impl Dialer {
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn new(resources: Arc<Resources>, hello: Hello, random: Random) -> Arc<Self> {
        let runtime = tokio::runtime::Handle::current();
        Arc::new(Self { resources, hello, random, runtime, is_closed: AtomicBool::new(false) })
    }

    /// Dials no more.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}
