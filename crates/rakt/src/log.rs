//! Lines of the log that others can cause: so many a second, and then how many were left out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::sync::Mutex;
use crate::timers::now;

/// The time in which lines are counted.
const SECOND: Duration = Duration::from_secs(1);
/// Lines about one topic and one peer in that time.
const EACH: u32 = 10;
/// Topics and peers that are told apart in that time; all others count as one.
const MAX_KEYS: usize = 256;

/// A limit for lines that peers, or the actors that they talk to, can cause.
pub(crate) struct LogLimit {
    /// Lines in any second, about all together. One that says what was left out comes on top.
    all: usize,
    hasher: RandomState,
    state: Mutex<State>,
}

/// Lines in any second of which it is not known what system they are of.
const OF_PROCESS: usize = 18;

/// Whether a line may be written where no system is at hand: on wakers, destructors and references.
pub(crate) fn may_log(topic: &'static str, whom: impl Hash) -> bool {
    static PROCESS: LazyLock<Arc<LogLimit>> = LazyLock::new(|| LogLimit::new(OF_PROCESS));
    PROCESS.allows(topic, whom)
}

#[derive(Default)]
struct State {
    /// When the lines of each topic and peer began to be counted.
    since: Option<Instant>,
    counts: HashMap<u64, u32>,
    /// When the last lines were written, oldest first.
    written: VecDeque<Instant>,
    left_out: LeftOut,
    /// Somebody will tell what was left out.
    is_awaited: bool,
}

/// Lines by their topic.
#[derive(Default)]
struct LeftOut(BTreeMap<&'static str, u64>);

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (topic, count)) in self.0.iter().enumerate() {
            let between = if at == 0 { "" } else { ", " };
            write!(f, "{between}{count} of {topic:?}")?;
        }
        Ok(())
    }
}

impl LogLimit {
    pub(crate) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all, hasher: RandomState::new(), state: Mutex::default() })
    }

    /// Whether a line on this topic may be written, which `whom` has caused. If not, it is counted, and
    /// the count is written within a second.
    pub(crate) fn allows(self: &Arc<Self>, topic: &'static str, whom: impl Hash) -> bool {
        let key = self.hasher.hash_one((topic, whom));
        let mut state = self.state.lock();
        if state.takes(key, now(), self.all) {
            return true;
        }
        *state.left_out.0.entry(topic).or_default() += 1;
        let is_awaited = std::mem::replace(&mut state.is_awaited, true);
        drop(state);
        if !is_awaited {
            self.tell_later();
        }
        false
    }

    fn tell_later(self: &Arc<Self>) {
        let log = self.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(SECOND).await;
                log.tell();
            })),
            // It is told with what is left out next.
            Err(_) => self.state.lock().is_awaited = false,
        }
    }

    fn tell(&self) {
        let mut state = self.state.lock();
        state.is_awaited = false;
        let lines = std::mem::take(&mut state.left_out);
        drop(state);
        tracing::warn!(%lines, "too many lines: some were left out");
    }
}

impl State {
    fn takes(&mut self, key: u64, now: Instant, all: usize) -> bool {
        if self.since.is_none_or(|since| now >= since + SECOND) {
            self.since = Some(now);
            self.counts.clear();
        }
        while self.written.front().is_some_and(|written| now >= *written + SECOND) {
            self.written.pop_front();
        }
        let key =
            if self.counts.len() < MAX_KEYS || self.counts.contains_key(&key) { key } else { 0 };
        let count = self.counts.entry(key).or_default();
        if *count >= EACH || self.written.len() >= all {
            return false;
        }
        *count += 1;
        self.written.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_writes_ten_lines_on_a_topic() {
        let (mut state, start) = (State::default(), Instant::now());
        let mut taken = |key, now| (0..100).filter(|_| state.takes(key, now, 30)).count();
        assert_eq!((taken(1, start), taken(2, start)), (10, 10), "another has its own ten");
        assert_eq!(taken(1, start + SECOND / 2), 0);
        assert_eq!(taken(1, start + SECOND), 10, "and more in the next second");
    }

    #[test]
    fn all_together_write_so_many_lines_in_any_second() {
        let (mut state, start) = (State::default(), Instant::now());
        let mut written = Vec::new();
        for n in 0..50_000_u32 {
            // 10,000 a second, each of another peer.
            let now = start + SECOND * n / 10_000;
            if state.takes(n.into(), now, 18) {
                written.push(now);
            }
            assert!(state.counts.len() <= MAX_KEYS + 1 && state.written.len() <= 18);
        }
        for (at, first) in written.iter().enumerate() {
            let within = written[at..].iter().filter(|later| **later < *first + SECOND);
            assert!(within.count() <= 18);
        }
        assert!(written.len() >= 5 * 10, "something is told every second: {}", written.len());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_out_is_counted_by_topic_and_told_once() {
        let log = LogLimit::new(18);
        for n in 0..100 {
            assert_eq!(log.allows("refused", 1), n < 10);
        }
        assert!(log.allows("closed", 1), "another topic");
        assert_eq!(log.state.lock().left_out.to_string(), "90 of \"refused\"");
        tokio::time::sleep(SECOND + Duration::from_millis(1)).await;
        let state = log.state.lock();
        assert!(state.left_out.0.is_empty() && !state.is_awaited);
    }
}
