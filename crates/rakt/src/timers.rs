//! The clock, and tasks that wait for it.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinHandle;

/// A message to an actor's own self, once or again and again.
#[derive(Clone, Debug)]
pub struct Timer(Arc<JoinHandle<()>>);

impl Timer {
    /// A task of `runtime` that waits and does something then.
    pub(crate) fn start(
        runtime: &tokio::runtime::Handle,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self(Arc::new(runtime.spawn(task)))
    }

    /// Sends nothing more. What is in the mailbox already is still handled.
    pub fn cancel(&self) {
        self.0.abort();
    }

    /// Whether nothing more will be sent.
    pub fn is_done(&self) -> bool {
        self.0.is_finished()
    }
}

/// The runtime's clock, which tests can stop and move.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
