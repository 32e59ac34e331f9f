//! How many cheap frames a peer may send a second. Pure: time goes in.

use std::time::{Duration, Instant};

/// So much of the rate may come at once. 1 s.
const BURST: Duration = Duration::from_secs(1);

/// How long a peer may be slowed down without a pause. 30 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// Watches what is cheap to send: frames that are no messages, and messages that go nowhere.
///
/// A second's worth of them may come at once. Then nothing is read until the rate is kept again, which slows the peer
/// down to it; one that does not pause for that is given up.
pub(crate) struct Rate {
    /// Frames a second; 0 asks for none.
    most: u32,
    /// When all that came would have come at the rate.
    even: Option<Instant>,
    held_until: Option<Instant>,
    slow_since: Option<Instant>,
}

impl Rate {
    /// A peer sends at most so many cheap frames a second.
    pub(crate) fn new(most: u32) -> Self {
        Self { most, even: None, held_until: None, slow_since: None }
    }

    /// So many cheap frames have come.
    ///
    /// # Errors
    /// The peer was slowed down for long; the connection is to end.
    #[inline]
    pub(crate) fn handle_frames(&mut self, now: Instant, frames: u32) -> Result<(), TooMany> {
        if frames == 0 || self.most == 0 { Ok(()) } else { self.count(now, frames) }
    }

    fn count(&mut self, now: Instant, frames: u32) -> Result<(), TooMany> {
        let even = self.even.filter(|even| *even > now).unwrap_or(now);
        if even <= now + BURST / 2 {
            self.slow_since = None;
        }
        let even = even + Duration::from_secs(1) * frames / self.most;
        self.even = Some(even);
        if even <= now + BURST {
            return Ok(());
        }
        self.held_until = Some(even - BURST);
        match *self.slow_since.get_or_insert(now) {
            since if now >= since + PATIENCE => Err(TooMany { most: self.most }),
            _ => Ok(()),
        }
    }

    /// Whether nothing is to be read from the peer for now.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.held_until.is_some()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.held_until
    }

    /// Time has passed. Whether the peer could not have been heard until now.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let was_held = self.held_until.is_some();
        self.held_until = self.held_until.filter(|until| *until > now);
        was_held
    }
}

/// A peer sends more than its share of what is cheap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "for {PATIENCE:?} there were more than {most} pings, cancellations, operations and messages to nobody a second, \
     the control_rate"
)]
pub(crate) struct TooMany {
    most: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u32 = 1000;
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_second_of_it_may_come_at_once() {
        let (mut rate, mut now) = (Rate::new(MOST), Instant::now());
        for _ in 0..100 {
            assert_eq!(rate.handle_frames(now, MOST), Ok(()));
            assert_eq!((rate.is_held(), rate.poll_timeout()), (false, None));
            now += SECOND;
        }
    }

    #[test]
    fn what_is_beyond_it_is_waited_for() {
        let (mut rate, now) = (Rate::new(MOST), Instant::now());
        rate.handle_frames(now, MOST).and_then(|()| rate.handle_frames(now, 500)).expect("a burst");
        let until = now + SECOND / 2;
        assert_eq!((rate.is_held(), rate.poll_timeout()), (true, Some(until)));
        assert!(rate.handle_timeout(until - SECOND / 10) && rate.is_held(), "it is early");
        assert!(rate.handle_timeout(until) && !rate.is_held());
        assert!(!rate.handle_timeout(until), "nobody was held");
    }

    #[test]
    fn a_peer_that_goes_on_is_given_up() {
        let (mut rate, start) = (Rate::new(MOST), Instant::now());
        let mut now = start;
        let given_up = loop {
            if let Err(many) = rate.handle_frames(now, 3 * MOST) {
                break many;
            }
            now = rate.poll_timeout().expect("it is more than the rate");
            rate.handle_timeout(now);
        };
        assert_eq!(given_up, TooMany { most: MOST });
        assert!((30..35).contains(&(now - start).as_secs()), "{:?}", now - start);
    }

    #[test]
    fn a_peer_that_pauses_begins_anew() {
        let (mut rate, mut now) = (Rate::new(MOST), Instant::now());
        for _ in 0..100 {
            rate.handle_frames(now, 20 * MOST).expect("it pauses after that");
            now = rate.poll_timeout().expect("it is more than the rate") + SECOND;
            rate.handle_timeout(now);
        }
    }

    #[test]
    fn a_rate_of_zero_asks_for_nothing() {
        let mut rate = Rate::new(0);
        for _ in 0..100 {
            assert_eq!(rate.handle_frames(Instant::now(), u32::MAX), Ok(()));
        }
        assert!(!rate.is_held());
    }
}
