//! Whether a connection to a Go node may still be used.

use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(feature = "_tls")]
use crate::remote::tls::Guarded;

/// Whether a connection to a Go node may still be used. It is asked before each use: such a node cannot be told why a
/// connection ends.
#[derive(Debug, Default)]
pub(super) struct Standing(AtomicU8);

#[cfg(feature = "_tls")]
const RETIRED: u8 = 1;
const FORBIDDEN: u8 = 2;

impl Standing {
    /// Another connection is to take its place.
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// The node is not to be trusted any more.
    pub(super) fn is_forbidden(&self) -> bool {
        self.0.load(Ordering::Relaxed) == FORBIDDEN
    }
}

#[cfg(feature = "_tls")]
impl Guarded for Standing {
    fn forbid(&self, _: &str) {
        self.0.store(FORBIDDEN, Ordering::Relaxed);
    }

    fn retire(&self, _: &str) {
        self.0.fetch_max(RETIRED, Ordering::Relaxed);
    }
}
