//! The clock of leases: one that also counts while the machine sleeps.

use std::sync::Arc;
use std::time::Duration;

use crate::hosting::Clock;

/// The time since the machine has started. Where the system has no clock that goes on in a suspended machine, one that
/// stands still then: what a node hosted before it slept is only fenced off by the store there.
pub(super) fn clock() -> Clock {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        Arc::new(|| {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
            let (seconds, nanos) = (time.tv_sec, time.tv_nsec);
            Duration::new(seconds.unsigned_abs(), u32::try_from(nanos).unwrap_or_default())
        })
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let since = std::time::Instant::now();
        Arc::new(move || since.elapsed())
    }
}
