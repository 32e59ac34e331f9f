//! What holds for calls that do not say otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::propagate::ContextPropagator;
use crate::ticks::Ticks;

/// How long a `tell` waits for room unless told otherwise: 30 s.
pub const DEFAULT_TELL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an `ask` waits for its reply unless told or configured otherwise: 5 s.
pub const DEFAULT_ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// What holds for calls that do not say otherwise: those of one system, or of a client without one.
#[derive(Clone)]
pub(crate) struct CallOptions {
    pub(crate) ask_timeout: Duration,
    pub(crate) propagator: Option<Arc<dyn ContextPropagator>>,
    /// The coarse clock that spares most requests a timer.
    pub(crate) ticks: Arc<Ticks>,
    /// Who reads the messages that arrive: see [`reading`](crate::message::reader::reading).
    pub(crate) reader: u64,
}

/// A number for whoever reads messages, never the same again.
pub(crate) fn next_reader() -> u64 {
    static READERS: AtomicU64 = AtomicU64::new(1);
    READERS.fetch_add(1, Ordering::Relaxed)
}
