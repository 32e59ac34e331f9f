//! The clock, and tasks that wait for it.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinHandle;

/// A message to an actor's own self, once or again and again.
///
/// Dropping it changes nothing.
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

/// A timer of the actor's own, not of its code: nothing is left of it once this is dropped.
pub(crate) struct Due(Timer);

impl Due {
    pub(crate) fn start(
        runtime: &tokio::runtime::Handle,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self(Timer::start(runtime, task))
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The timers that an actor's code has set.
#[derive(Default)]
pub(crate) struct Timers {
    set: Vec<Timer>,
    /// Those that are done are looked for once there are so many.
    look_at: usize,
}

impl Timers {
    /// As many as this are kept before those that are done are looked for.
    const FEW: usize = 16;

    /// Notes one more. What it costs does not grow with the number of timers.
    pub(crate) fn keep(&mut self, timer: Timer) {
        if self.set.len() >= self.look_at {
            self.set.retain(|timer| !timer.is_done());
            self.look_at = Self::FEW.max(2 * self.set.len());
        }
        self.set.push(timer);
    }

    pub(crate) fn cancel(&mut self) {
        self.set.drain(..).for_each(|timer| timer.cancel());
        self.look_at = 0;
    }
}

/// The runtime's clock, which tests can stop and move.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
