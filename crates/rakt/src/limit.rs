//! How long a call waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::ticks::{Call, TICK, Ticks};

/// A time limit that costs nothing until it is waited for, and little if that does not take long.
pub(crate) struct Limit {
    pub(crate) limit: Duration,
    /// When the time began.
    since: Option<Instant>,
    watch: Watch,
}

/// Who sees to it that a limit is kept.
enum Watch {
    Nobody,
    /// The coarse clock: its next tick is soon enough to look again.
    Ticks(Call),
    /// A timer, which is exact.
    Timer(Pin<Box<Sleep>>),
}

impl Limit {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, since: None, watch: Watch::Nobody }
    }

    /// Starts the time, if it does not run already. Returns when it began.
    pub(crate) fn begin(&mut self) -> Instant {
        *self.since.get_or_insert_with(Instant::now)
    }

    /// When the time is over, if that can be said.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        self.begin().checked_add(self.limit)
    }

    /// With a coarse clock, a timer is set only when that has ticked. Not so where it may not tick in
    /// time, or for another: in another runtime, or in another task than before.
    pub(crate) fn poll(&mut self, cx: &mut TaskContext<'_>, ticks: &Arc<Ticks>) -> Poll<()> {
        let since = self.begin();
        let coarse = (self.limit > 2 * TICK).then_some(ticks);
        match (&mut self.watch, coarse) {
            (Watch::Timer(sleep), _) => return sleep.as_mut().poll(cx),
            (Watch::Ticks(call), Some(ticks)) if !ticks.is_over(cx.waker(), *call) => {
                return Poll::Pending;
            }
            (Watch::Nobody, Some(ticks)) => {
                if let Some(call) = ticks.call_if_of_this_runtime(cx.waker()) {
                    self.watch = Watch::Ticks(call);
                    return Poll::Pending;
                }
            }
            (Watch::Nobody | Watch::Ticks(_), _) => {}
        }
        // Whoever waits may be outside of every runtime, where there are no timers.
        let is_outside = tokio::runtime::Handle::try_current().is_err();
        let _entered = is_outside.then(|| ticks.runtime().enter());
        let mut sleep = Box::pin(match since.checked_add(self.limit) {
            Some(until) => tokio::time::sleep_until(until),
            None => tokio::time::sleep(self.limit),
        });
        let polled = sleep.as_mut().poll(cx);
        self.watch = Watch::Timer(sleep);
        polled
    }
}
