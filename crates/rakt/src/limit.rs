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
    /// It is over at this time at the latest.
    latest: Option<Instant>,
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
        Self { limit, since: None, latest: None, watch: Watch::Nobody }
    }

    /// The same limit, which is over at `latest` if that comes first.
    pub(crate) fn until(mut self, latest: std::time::Instant) -> Self {
        self.latest = Some(latest.into());
        self
    }

    /// The same limit where it was asked for; `usual`, with the same latest end, where it was not.
    pub(crate) fn or_usual(self, usual: Duration) -> Self {
        match self.latest {
            None => self,
            latest => Self { latest, ..Self::new(usual) },
        }
    }

    /// How long it is, of which `until` may have taken a part.
    pub(crate) fn length(&mut self) -> Duration {
        let since = self.begin();
        let latest = self.latest.map(|latest| latest.saturating_duration_since(since));
        latest.map_or(self.limit, |left| left.min(self.limit))
    }

    /// Starts the time, if it does not run already. Returns when it began.
    pub(crate) fn begin(&mut self) -> Instant {
        *self.since.get_or_insert_with(Instant::now)
    }

    /// When the time is over, if that can be said.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        let own = self.begin().checked_add(self.limit);
        let Some(latest) = self.latest else { return own };
        Some(own.map_or(latest, |own| own.min(latest)))
    }

    /// With a coarse clock, a timer is set only when that has ticked. Not so where it may not tick in
    /// time, or for another: in another runtime, or in another task than before.
    pub(crate) fn poll(&mut self, cx: &mut TaskContext<'_>, ticks: &Arc<Ticks>) -> Poll<()> {
        self.begin();
        let is_long = self.limit > 2 * TICK && (self.latest.is_none() || self.length() > 2 * TICK);
        let coarse = is_long.then_some(ticks);
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
        let mut sleep = Box::pin(match self.deadline() {
            Some(until) => tokio::time::sleep_until(until),
            None => tokio::time::sleep(self.limit),
        });
        let polled = sleep.as_mut().poll(cx);
        self.watch = Watch::Timer(sleep);
        polled
    }
}
