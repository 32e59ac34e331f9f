//! How many TLS handshakes may be under way, how often one address may begin one, and how many are worked on at once.
//!
//! A handshake costs this side a signature and a key agreement, and a peer next to nothing: some forged bytes are
//! enough. What is beyond the limits is closed before any of that; nobody waits for a place. Those that have one take
//! turns, so that there is time left for the connections that are there.

#![cfg_attr(not(feature = "_tls"), allow(dead_code, reason = "for encryption, which is a feature"))]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::admission::Source;
use super::refuse::refuse;
use crate::error::Refusal;
use crate::message::allowance::Hold;
use crate::sync::Mutex;
use crate::system::ConfigError;

/// One place in so many is kept for addresses whose peers have greeted before.
const KEPT_PART: u32 = 8;
/// What a connection may have this side keep without counting, before it has shown who it is, in bytes: that is more
/// than what the first message of a usual one has.
const UNCOUNTED: u64 = 4 * 1024;
/// What TLS itself keeps for a handshake that is under way, in bytes: `tests/memory` compares it with what is there.
const SESSION: u64 = 10 * 1024;
/// Handshakes are counted anew after this time.
const COUNTED_FOR: Duration = Duration::from_secs(1);

/// How many handshakes peers may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandshakeLimits {
    /// At once, all peers together.
    pub(crate) all: u32,
    /// At once, of one address.
    pub(crate) each: u32,
    /// Begun within a second, of one address.
    pub(crate) rate: u32,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self { all: 256, each: 32, rate: 100 }
    }
}

impl HandshakeLimits {
    /// Checks every option against its range.
    pub(crate) fn check(self) -> Result<(), ConfigError> {
        for (option, handshakes) in [
            ("max_handshakes", self.all),
            ("max_handshakes_per_source", self.each),
            ("max_handshake_rate", self.rate),
        ] {
            if handshakes == 0 {
                return refuse(option, &handshakes, "at least 1");
            }
        }
        Ok(())
    }
}

/// Why a handshake does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMany {
    #[error("{0} TLS handshakes may be under way, all peers together (max_handshakes)")]
    All(u32),
    #[error("{0} TLS handshakes of one address may be under way (max_handshakes_per_source)")]
    Each(u32),
    #[error("{0} TLS handshakes of one address may begin within a second (max_handshake_rate)")]
    Rate(u32),
}

/// The handshakes of a node.
pub(crate) struct Handshakes {
    limits: HandshakeLimits,
    /// Whether a loopback address is one like others.
    limits_loopback: bool,
    state: Mutex<State>,
    /// For those that are worked on: half of the threads have none.
    turns: Semaphore,
}

#[derive(Default)]
struct State {
    at_once: u32,
    /// Of each address that has some, or has begun some lately.
    sources: HashMap<IpAddr, Own>,
    counted_since: Option<Instant>,
}

#[derive(Clone, Copy, Default)]
struct Own {
    at_once: u32,
    begun: u32,
}

impl Handshakes {
    /// Those of a node whose runtime has so many threads.
    pub(crate) fn new(limits: HandshakeLimits, limits_loopback: bool, threads: usize) -> Arc<Self> {
        let turns = Semaphore::new((threads / 2).max(1));
        Arc::new(Self { limits, limits_loopback, state: Mutex::default(), turns })
    }

    /// A place for the handshake of a peer, from an address whose peers have greeted before or not.
    ///
    /// # Errors
    /// There is none: its connection is to be closed.
    pub(crate) fn begin(
        self: &Arc<Self>,
        source: Source,
        is_known: bool,
        now: Instant,
    ) -> Result<Handshaking, TooMany> {
        let HandshakeLimits { all, each, rate } = self.limits;
        let source = source.limited(self.limits_loopback);
        let mut state = self.state.lock();
        state.forget(now);
        let kept = if is_known { 0 } else { all / KEPT_PART };
        if state.at_once >= all - kept {
            return Err(TooMany::All(all));
        }
        if let Some(ip) = source {
            let own = state.sources.entry(ip).or_default();
            if own.begun >= rate {
                return Err(TooMany::Rate(rate));
            }
            if own.at_once >= each {
                return Err(TooMany::Each(each));
            }
            own.at_once += 1;
            own.begun += 1;
        }
        state.at_once += 1;
        Ok(Handshaking { handshakes: self.clone(), source })
    }
}

impl State {
    /// Begins to count anew, once in a while.
    fn forget(&mut self, now: Instant) {
        let since = *self.counted_since.get_or_insert(now);
        if now < since + COUNTED_FOR {
            return;
        }
        self.counted_since = Some(now);
        self.sources.retain(|_, own| {
            own.begun = 0;
            own.at_once > 0
        });
        super::weak_map::shrink(&mut self.sources);
    }
}

/// The place of one handshake, given back when dropped.
pub(crate) struct Handshaking {
    handshakes: Arc<Handshakes>,
    source: Option<IpAddr>,
}

/// Where a connection comes in that has not shown who it is.
pub(crate) trait Gate: Send + Sync {
    /// A place for its handshake.
    ///
    /// # Errors
    /// There is none.
    fn begin(&self) -> Result<Handshaking, TooMany>;

    /// What it has this side keep counts in this.
    fn hold(&self) -> Box<dyn Hold>;
}

/// A connection that comes in.
pub(crate) struct Entering<'a> {
    gate: &'a dyn Gate,
    place: Option<Handshaking>,
    hold: Option<Box<dyn Hold>>,
    /// Bytes that count.
    counted: u64,
}

impl<'a> Entering<'a> {
    pub(crate) fn new(gate: &'a dyn Gate) -> Self {
        Self { gate, place: None, hold: None, counted: 0 }
    }

    /// It has a place from now on.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn begin(&mut self) -> Result<(), TooMany> {
        self.place = Some(self.gate.begin()?);
        Ok(())
    }

    /// So many bytes of its own are kept as it waits for its peer. What was counted once counts until it is in.
    ///
    /// # Errors
    /// There is no room for them.
    pub(crate) fn keep(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bytes = bytes as u64;
        if bytes > self.counted.max(UNCOUNTED) {
            self.count(bytes - self.counted)?;
            self.counted = bytes;
        }
        Ok(())
    }

    /// TLS keeps what it needs for it from now on, until it is in.
    ///
    /// # Errors
    /// There is no room for that.
    pub(crate) fn keep_session(&mut self) -> Result<(), Refusal> {
        self.count(SESSION)
    }

    fn count(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.hold.get_or_insert_with(|| self.gate.hold()).add(bytes)
    }

    /// Its turn to be worked on, until that is dropped. It comes once this thread has looked after those that are in:
    /// else their requests would wait for all handshakes that are ready to go on.
    pub(crate) async fn turn(&mut self) -> Option<SemaphorePermit<'_>> {
        let turns = &self.place.as_ref()?.handshakes.turns;
        let turn = turns.acquire().await.ok();
        tokio::task::yield_now().await;
        turn
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        let mut state = self.handshakes.state.lock();
        state.at_once -= 1;
        if let Some(own) = self.source.and_then(|ip| state.sources.get_mut(&ip)) {
            own.at_once -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn handshakes(all: u32, each: u32, rate: u32) -> Arc<Handshakes> {
        Handshakes::new(HandshakeLimits { all, each, rate }, false, 2)
    }

    fn source(n: u8) -> Source {
        Source::of(&format!("10.0.0.{n}:1"))
    }

    #[test]
    fn so_many_are_under_way_at_once() {
        let (handshakes, now) = (handshakes(16, 100, 100), Instant::now());
        let begin = |n, is_known| handshakes.begin(source(n), is_known, now);
        let held: Vec<_> = (0..14).map(|n| begin(n, false).map_err(drop)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(begin(20, false).err(), Some(TooMany::All(16)), "two are kept");
        let known = [begin(21, true), begin(21, true)];
        assert!(known.iter().all(Result::is_ok), "for those who have greeted before");
        assert_eq!(begin(22, true).err(), Some(TooMany::All(16)));
        drop((held, known));
        assert!(begin(22, false).is_ok());
    }

    #[test]
    fn one_address_has_few_at_once() {
        let (handshakes, now) = (handshakes(100, 3, 100), Instant::now());
        let held: Vec<_> = (0..3).map(|_| handshakes.begin(source(1), true, now)).collect();
        assert_eq!(handshakes.begin(source(1), true, now).err(), Some(TooMany::Each(3)));
        assert!(handshakes.begin(source(2), false, now).is_ok(), "another has its own");
        drop(held);
        assert!(handshakes.begin(source(1), true, now).is_ok());
    }

    #[test]
    fn one_address_begins_so_many_a_second() {
        let (handshakes, now) = (handshakes(100, 3, 10), Instant::now());
        let mut now = now;
        for _ in 0..3 {
            for _ in 0..10 {
                assert!(handshakes.begin(source(1), true, now).is_ok());
            }
            let late = now + SECOND - Duration::from_millis(1);
            assert_eq!(handshakes.begin(source(1), true, late).err(), Some(TooMany::Rate(10)));
            assert!(handshakes.begin(source(2), true, late).is_ok(), "another has its own");
            now += SECOND;
        }
    }

    #[test]
    fn nothing_is_left_of_those_that_went() {
        let (handshakes, now) = (handshakes(1000, 3, 10), Instant::now());
        for n in 0..200 {
            drop(handshakes.begin(source(n), false, now));
        }
        let held = handshakes.begin(source(1), false, now);
        drop(handshakes.begin(source(201), false, now + SECOND));
        let sources = handshakes.state.lock().sources.len();
        assert_eq!(sources, 2, "the one that is held, and the last");
        drop(held);
        assert_eq!(handshakes.state.lock().at_once, 0);
    }

    #[test]
    fn loopback_is_not_limited_unless_asked_for() {
        let (loopback, now) = (Source::of("127.0.0.1:1"), Instant::now());
        let free = handshakes(100, 1, 1);
        let held: Vec<_> = (0..50).map(|_| free.begin(loopback, false, now)).collect();
        assert!(held.iter().all(Result::is_ok));
        let limits = HandshakeLimits { all: 100, each: 1, rate: 10 };
        let limited = Handshakes::new(limits, true, 2);
        let held = limited.begin(loopback, false, now);
        assert!(held.is_ok());
        assert_eq!(limited.begin(loopback, false, now).err(), Some(TooMany::Each(1)));
    }

    /// With one place for each of its connections, and room for so many bytes of each.
    struct Narrow(Arc<Handshakes>, u64);

    impl Gate for Narrow {
        fn begin(&self) -> Result<Handshaking, TooMany> {
            self.0.begin(Source::of("memory"), false, Instant::now())
        }

        fn hold(&self) -> Box<dyn Hold> {
            Box::new(Left(self.1))
        }
    }

    struct Left(u64);

    impl Hold for Left {
        fn add(&mut self, bytes: u64) -> Result<(), Refusal> {
            self.0 = self.0.checked_sub(bytes).ok_or(Refusal::ShuttingDown)?;
            Ok(())
        }

        fn again(&self) -> Box<dyn Hold> {
            unreachable!("nothing is copied")
        }
    }

    #[test]
    fn what_a_handshake_keeps_counts_beyond_a_few_kib() {
        let gate = Narrow(handshakes(10, 10, 10), 10 * 1024);
        let mut entering = Entering::new(&gate);
        for bytes in [0, 4 * 1024, 5 * 1024, 10 * 1024, 100, 10 * 1024] {
            assert!(entering.keep(bytes).is_ok(), "{bytes}");
        }
        assert!(entering.keep(10 * 1024 + 1).is_err());
        assert!(entering.keep_session().is_err(), "it counts as well");
        assert!(Entering::new(&Narrow(handshakes(10, 10, 10), 0)).keep(4 * 1024).is_ok());
    }

    #[tokio::test]
    async fn handshakes_take_turns_after_all_else_that_is_ready() {
        let gate = Narrow(handshakes(10, 10, 10), 0);
        let [mut one, mut other] = [(); 2].map(|()| Entering::new(&gate));
        one.begin().and_then(|()| other.begin()).expect("there are places");
        let at_once = tokio::select! {
            biased;
            _ = one.turn() => true,
            () = std::future::ready(()) => false,
        };
        assert!(!at_once, "others are ready");
        let turn = one.turn().await;
        assert!(turn.is_some());
        let mut waiting = std::pin::pin!(other.turn());
        for _ in 0..100 {
            tokio::select! {
                biased;
                _ = &mut waiting => panic!("one of two threads is for others"),
                () = tokio::task::yield_now() => {}
            }
        }
        drop(turn);
        assert!(waiting.await.is_some());
    }
}
