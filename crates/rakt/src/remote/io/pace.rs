//! How slow a peer may be in the middle of a frame. Pure: time goes in.

use std::time::{Duration, Instant};

/// Over this long the bytes of an unfinished frame are averaged. 30 s.
const WINDOW: Duration = Duration::from_secs(30);

/// Watches the frame that a peer has begun and not finished. While there is none it may be silent for as long
/// as it likes; what it is to the connection is decided elsewhere.
pub(crate) struct Pace {
    /// Bytes a second; 0 asks for none.
    least: u32,
    begun: Option<Begun>,
}

/// A frame that is not finished, since the window began.
struct Begun {
    window_ends: Instant,
    bytes: u64,
}

impl Pace {
    /// A peer sends at least so many bytes a second of a frame.
    pub(crate) fn new(least: u32) -> Self {
        Self { least, begun: None }
    }

    /// Bytes have arrived. If they end a frame, or nothing was begun, what is left is another frame.
    pub(crate) fn handle_read(&mut self, now: Instant, bytes: usize, ends_frame: bool, left: bool) {
        if !left || self.least == 0 {
            self.begun = None;
        } else if let Some(begun) = self.begun.as_mut().filter(|_| !ends_frame) {
            begun.bytes += bytes as u64;
        } else {
            self.begun = Some(Begun { window_ends: now + WINDOW, bytes: 0 });
        }
    }

    /// It is not the peer that everything waits for: its time begins anew.
    pub(crate) fn excuse(&mut self, now: Instant) {
        if let Some(begun) = &mut self.begun {
            *begun = Begun { window_ends: now + WINDOW, bytes: 0 };
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to say.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.begun.as_ref().map(|begun| begun.window_ends)
    }

    /// Time has passed.
    ///
    /// # Errors
    /// The peer is too slow; the connection is to end.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), TooSlow> {
        let Some(begun) = self.begun.as_mut().filter(|begun| now >= begun.window_ends) else {
            return Ok(());
        };
        let (bytes, least) = (begun.bytes, self.least);
        if bytes < u64::from(least) * WINDOW.as_secs() {
            return Err(TooSlow { bytes, least });
        }
        *begun = Begun { window_ends: now + WINDOW, bytes: 0 };
        Ok(())
    }
}

/// A frame comes too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{bytes} bytes of a frame in {WINDOW:?} are too few: at least {least} a second are expected"
)]
pub(crate) struct TooSlow {
    bytes: u64,
    least: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: u32 = 1000;

    #[test]
    fn a_frame_that_comes_too_slowly_is_found_after_thirty_seconds() {
        let (mut pace, now) = (Pace::new(LEAST), Instant::now());
        assert_eq!(pace.poll_timeout(), None);
        pace.handle_read(now, 10, false, true);
        assert_eq!(pace.poll_timeout(), Some(now + WINDOW));
        for second in 1..30 {
            pace.handle_read(now + Duration::from_secs(second), 1, false, true);
        }
        assert_eq!(pace.handle_timeout(now + WINDOW - Duration::from_millis(1)), Ok(()));
        let too_slow = TooSlow { bytes: 29, least: LEAST };
        assert_eq!(pace.handle_timeout(now + WINDOW), Err(too_slow));
    }

    #[test]
    fn a_frame_that_comes_at_that_rate_may_take_as_long_as_it_needs() {
        let (mut pace, mut now) = (Pace::new(LEAST), Instant::now());
        pace.handle_read(now, 1, false, true);
        for _ in 0..5 {
            pace.handle_read(now, 30 * LEAST as usize, false, true);
            now += WINDOW;
            assert_eq!(pace.handle_timeout(now), Ok(()));
        }
        pace.handle_read(now, 30 * LEAST as usize - 1, false, true);
        assert!(pace.handle_timeout(now + WINDOW).is_err());
    }

    #[test]
    fn each_frame_has_its_own_time_and_silence_between_them_has_none() {
        let (mut pace, now) = (Pace::new(LEAST), Instant::now());
        pace.handle_read(now, 1, false, true);
        let later = now + WINDOW - Duration::from_secs(1);
        pace.handle_read(later, 1, true, true);
        assert_eq!(pace.poll_timeout(), Some(later + WINDOW), "another frame has begun");
        pace.excuse(later + Duration::from_secs(1));
        assert_eq!(pace.poll_timeout(), Some(later + WINDOW + Duration::from_secs(1)));
        pace.handle_read(later, 1, true, false);
        assert_eq!((pace.poll_timeout(), pace.handle_timeout(later + 9 * WINDOW)), (None, Ok(())));
    }

    #[test]
    fn a_rate_of_zero_asks_for_nothing() {
        let mut pace = Pace::new(0);
        pace.handle_read(Instant::now(), 1, false, true);
        assert_eq!(pace.poll_timeout(), None);
    }
}
