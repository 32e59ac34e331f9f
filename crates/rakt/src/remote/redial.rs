//! When a peer is dialed again. Pure: time goes in.

use std::time::{Duration, Instant};

use crate::error::Refusal;

/// The pause after the first failed dial; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two dials.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that ends sooner than this after it was up counts as brief.
const BRIEF: Duration = Duration::from_secs(1);

/// How a pause is varied: many who lost a peer must not come back at one time.
pub(crate) type Jitter<'a> = &'a dyn Fn(Duration) -> Duration;

/// Dials that failed in a row: none follows before a pause is over.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    times: u32,
    last: Option<(Instant, Refusal)>,
}

impl Failures {
    /// Whether the peer may be dialed now.
    ///
    /// # Errors
    /// Why the last dial failed, as long as the pause after it lasts.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Refusal> {
        match &self.last {
            Some((until, why)) if *until > now => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// A dial has failed. Returns the pause; `None` where one lasts already: what fails at the same time
    /// counts as one.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        why: Refusal,
        jitter: Jitter<'_>,
    ) -> Option<Duration> {
        self.check(now).ok()?;
        let pause = jitter(pause_after(self.times));
        self.times += 1;
        self.last = Some((now + pause, why));
        Some(pause)
    }

    /// The peer is there.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Connections in a row that ended soon after they were up, and over which nothing was answered. A peer that
/// takes every connection and ends it at once is not to be dialed in a tight loop. One that serves requests
/// is of use, however often the line between is cut.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BriefConns(u32);

impl BriefConns {
    /// A connection has ended.
    pub(crate) fn ended(&mut self, was_brief: bool) {
        self.0 = if was_brief { self.0 + 1 } else { 0 };
    }

    /// A connection that was up since then has ended; the peer has answered something over it, or not.
    pub(crate) fn ended_at(&mut self, now: Instant, since: Instant, has_answered: bool) {
        self.ended(!has_answered && now.saturating_duration_since(since) < BRIEF);
    }

    /// The pause before the next dial: the first two follow at once.
    pub(crate) fn pause(self, jitter: Jitter<'_>) -> Option<Duration> {
        self.0.checked_sub(2).map(|earlier| jitter(pause_after(earlier)))
    }
}

/// The pause before a peer is dialed again after `times` earlier ones.
fn pause_after(times: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(times)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Jitter<'static> = &|pause| pause;

    #[test]
    fn pauses_double_from_fifty_milliseconds_to_five_seconds() {
        for times in 0..100 {
            let full = FIRST_PAUSE * 2_u32.pow(times.min(6));
            assert_eq!(pause_after(times), if times > 6 { LONGEST_PAUSE } else { full });
        }
    }

    #[test]
    fn nobody_dials_before_the_pause_is_over() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        assert!(failures.check(now).is_ok());
        assert_eq!(failures.failed(now, Refusal::NotFound, FULL), Some(FIRST_PAUSE));
        assert_eq!(failures.check(now), Err(Refusal::NotFound));
        assert_eq!(failures.failed(now, Refusal::Stopped, FULL), None, "it counts as one");
        let later = now + FIRST_PAUSE;
        assert!(failures.check(later).is_ok());
        assert_eq!(failures.failed(later, Refusal::Stopped, FULL), Some(2 * FIRST_PAUSE));
        failures.clear();
        assert!(failures.check(later).is_ok());
        assert_eq!(failures.failed(later, Refusal::Stopped, FULL), Some(FIRST_PAUSE));
    }

    #[test]
    fn the_third_brief_connection_in_a_row_has_to_wait() {
        let (mut brief, now) = (BriefConns::default(), Instant::now());
        let pauses = [None, None, Some(FIRST_PAUSE), Some(2 * FIRST_PAUSE)];
        for pause in pauses {
            assert_eq!(brief.pause(FULL), pause);
            brief.ended_at(now + BRIEF - Duration::from_millis(1), now, false);
        }
        brief.ended_at(now + BRIEF, now, false);
        assert_eq!(brief.pause(FULL), None);
    }

    #[test]
    fn a_connection_that_served_is_not_brief_however_soon_it_ends() {
        let (mut brief, now) = (BriefConns::default(), Instant::now());
        for _ in 0..5 {
            brief.ended_at(now, now, false);
        }
        assert!(brief.pause(FULL).is_some());
        brief.ended_at(now, now, true);
        assert_eq!(brief.pause(FULL), None, "it begins anew");
    }
}
