//! Is the peer still there?
//!
//! ```text
//!            nothing read for the timeout        nothing read for as long again
//!   Reading ──────────── Ping ────────► Pinged ─────────────── Dead ────────────► Dead
//!      ▲                                   │
//!      └────────── any bytes ──────────────┘
//! ```

use std::time::{Duration, Instant};

/// Watches when bytes last arrived. Any byte counts as life, not only an answer to a ping.
#[derive(Clone, Debug)]
pub struct Liveness {
    read_idle_timeout: Duration,
    deadline: Instant,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Reading,
    Pinged,
    Dead,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LivenessAction {
    /// Nothing.
    None,
    /// Send a ping.
    Ping,
    /// Give the connection up.
    Dead,
}

impl Liveness {
    /// Starts to watch. A dead peer is found after two `read_idle_timeout`s of silence.
    pub fn new(now: Instant, read_idle_timeout: Duration) -> Self {
        let deadline = later(now, read_idle_timeout);
        Self { read_idle_timeout, deadline, phase: Phase::Reading }
    }

    /// Bytes have arrived.
    pub fn handle_read(&mut self, now: Instant) {
        if self.phase != Phase::Dead {
            self.phase = Phase::Reading;
            self.deadline = later(now, self.read_idle_timeout);
        }
    }

    /// Time has passed. Call it when [`Liveness::poll_timeout`] is reached; earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) -> LivenessAction {
        match self.phase {
            Phase::Dead => LivenessAction::Dead,
            _ if now < self.deadline => LivenessAction::None,
            Phase::Reading => {
                self.phase = Phase::Pinged;
                self.deadline = later(now, self.read_idle_timeout);
                LivenessAction::Ping
            }
            Phase::Pinged => {
                self.phase = Phase::Dead;
                LivenessAction::Dead
            }
        }
    }

    /// When [`Liveness::handle_timeout`] has something to say.
    pub fn poll_timeout(&self) -> Instant {
        self.deadline
    }
}

/// A time so far ahead that it cannot be expressed is a year ahead, which is as good as never.
fn later(now: Instant, duration: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    now.checked_add(duration.min(YEAR)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Any instant will do: only differences count.
    #[expect(clippy::disallowed_methods, reason = "a test needs one instant to start from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_silent_peer_is_pinged_once_and_then_dead() {
        let now = start();
        let mut liveness = Liveness::new(now, TIMEOUT);
        assert_eq!(liveness.handle_timeout(now + TIMEOUT / 2), LivenessAction::None);
        assert_eq!(liveness.poll_timeout(), now + TIMEOUT);
        assert_eq!(liveness.handle_timeout(now + TIMEOUT), LivenessAction::Ping);
        assert_eq!(liveness.handle_timeout(now + TIMEOUT), LivenessAction::None);
        assert_eq!(liveness.poll_timeout(), now + 2 * TIMEOUT);
        assert_eq!(liveness.handle_timeout(now + 2 * TIMEOUT), LivenessAction::Dead);
        liveness.handle_read(now + 2 * TIMEOUT);
        assert_eq!(liveness.handle_timeout(now + 2 * TIMEOUT), LivenessAction::Dead);
    }

    #[test]
    fn any_byte_is_a_sign_of_life() {
        let now = start();
        let mut liveness = Liveness::new(now, TIMEOUT);
        assert_eq!(liveness.handle_timeout(now + TIMEOUT), LivenessAction::Ping);
        liveness.handle_read(now + TIMEOUT * 3 / 2);
        assert_eq!(liveness.handle_timeout(now + 2 * TIMEOUT), LivenessAction::None);
        assert_eq!(liveness.handle_timeout(now + TIMEOUT * 5 / 2), LivenessAction::Ping);
    }

    #[test]
    fn an_endless_timeout_does_not_overflow() {
        let now = start();
        assert!(Liveness::new(now, Duration::MAX).poll_timeout() > now);
    }
}
