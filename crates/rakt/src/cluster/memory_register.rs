//! A register that is gone with the process.

use std::sync::Arc;

use bytes::Bytes;
use rakt_cluster::register::Version;
use tokio::sync::watch;

use super::register::{Register, RegisterError, SwapError};

/// Keeps the view in memory: for one node that is a cluster of its own, and for tests with several nodes in one process,
/// which share it as clones.
#[derive(Clone, Debug)]
pub struct MemoryRegister(Arc<watch::Sender<(Version, Bytes)>>);

impl MemoryRegister {
    /// One with nothing in it.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Default::default())))
    }
}

impl Default for MemoryRegister {
    fn default() -> Self {
        Self::new()
    }
}

impl Register for MemoryRegister {
    async fn read(&self) -> Result<(Version, Bytes), RegisterError> {
        Ok(self.0.borrow().clone())
    }

    async fn confirm(&self, seen: Version) -> Result<bool, RegisterError> {
        Ok(self.0.borrow().0 == seen)
    }

    async fn swap(&self, over: Version, view: Bytes) -> Result<Version, SwapError> {
        let mut swapped = Err(SwapError::Conflict);
        self.0.send_if_modified(|newest| {
            let is_same = newest.0 == over;
            if is_same {
                *newest = (Version(over.0 + 1), view);
                swapped = Ok(newest.0);
            }
            is_same
        });
        swapped
    }

    async fn changed(&self, seen: Version) {
        let mut newest = self.0.subscribe();
        // It is never closed: this holds what sends.
        drop(newest.wait_for(|newest| newest.0 != seen).await);
    }
}
