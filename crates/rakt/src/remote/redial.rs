//! When a peer is dialed again. Pure: time goes in.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rakt_wire::Dialect;

use crate::error::Refusal;

/// The pause after the first failed dial; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two dials.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that ends sooner than this after it was up counts as brief.
const BRIEF: Duration = Duration::from_secs(1);

/// How a pause is varied: many who lost a peer must not come back at one time.
pub(crate) type Jitter<'a> = &'a dyn Fn(Duration) -> Duration;

/// Where a peer is dialed, and in which dialect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) dialect: Dialect,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

/// `host:port`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Places that could not be reached lately. What is known of one outlives whoever dialed it, and all that dial it
/// share it.
#[derive(Debug, Default)]
pub(crate) struct Unreached {
    places: HashMap<Place, Failures>,
    /// Those that are forgotten are looked for once there are so many.
    look_at: usize,
}

/// Dials that failed in a row: none follows before a pause is over.
#[derive(Debug)]
struct Failures {
    times: u32,
    pause: Duration,
    until: Instant,
    why: Refusal,
}

impl Failures {
    /// Whether the next failure is a first one again: nobody has dialed for as long again as the pause was.
    fn is_forgotten(&self, now: Instant) -> bool {
        now >= self.until + self.pause
    }
}

impl Unreached {
    /// As many as this are kept before those that are forgotten are looked for.
    const FEW: usize = 16;

    /// Whether the place may be dialed now.
    ///
    /// # Errors
    /// Why the last dial failed, as long as the pause after it lasts.
    pub(crate) fn check(&self, place: &Place, now: Instant) -> Result<(), Refusal> {
        match self.places.get(place) {
            Some(failures) if failures.until > now => Err(failures.why.clone()),
            _ => Ok(()),
        }
    }

    /// A dial has failed. Returns the pause that follows; `None` if one lasts already, as several that fail
    /// together count as one.
    pub(crate) fn failed(
        &mut self,
        place: &Place,
        now: Instant,
        why: Refusal,
        jitter: Jitter<'_>,
    ) -> Option<Duration> {
        self.check(place, now).ok()?;
        if self.places.len() >= self.look_at {
            self.places.retain(|_, failures| !failures.is_forgotten(now));
            self.look_at = Self::FEW.max(2 * self.places.len());
        }
        let before = self.places.get(place).filter(|before| !before.is_forgotten(now));
        let times = before.map_or(0, |before| before.times + 1);
        let pause = jitter(pause_after(times));
        let failures = Failures { times, pause, until: now + pause, why };
        self.places.insert(place.clone(), failures);
        Some(pause)
    }

    /// The place was reached: nobody has to wait any more.
    pub(crate) fn reached(&mut self, place: &Place) {
        self.places.remove(place);
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
pub(crate) fn pause_after(times: u32) -> Duration {
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

    fn place(port: u16) -> Place {
        Place { dialect: Dialect::Native, host: "h".into(), port }
    }

    #[test]
    fn nobody_dials_before_the_pause_is_over() {
        let (mut unreached, now, place) = (Unreached::default(), Instant::now(), place(1));
        let mut failed = |at, why| unreached.failed(&place, at, why, FULL);
        assert_eq!(failed(now, Refusal::NotFound), Some(FIRST_PAUSE));
        assert_eq!(failed(now, Refusal::Stopped), None, "it counts as one");
        assert_eq!(unreached.check(&place, now), Err(Refusal::NotFound));
        let later = now + FIRST_PAUSE;
        assert!(unreached.check(&place, later).is_ok());
        assert_eq!(unreached.failed(&place, later, Refusal::Stopped, FULL), Some(2 * FIRST_PAUSE));
        unreached.reached(&place);
        assert!(unreached.check(&place, later).is_ok());
        assert_eq!(unreached.failed(&place, later, Refusal::Stopped, FULL), Some(FIRST_PAUSE));
    }

    #[test]
    fn a_place_that_nobody_dials_for_long_is_forgotten_and_takes_no_room() {
        let (mut unreached, mut now) = (Unreached::default(), Instant::now());
        for port in 0..10_000 {
            assert_eq!(
                unreached.failed(&place(port), now, Refusal::NotFound, FULL),
                Some(FIRST_PAUSE)
            );
            now += FIRST_PAUSE;
        }
        assert!(unreached.places.len() <= 2 * Unreached::FEW, "{}", unreached.places.len());
        let again = unreached.failed(&place(0), now, Refusal::NotFound, FULL);
        assert_eq!(again, Some(FIRST_PAUSE), "a first failure again");
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
