//! What is asked of a node, and how it did.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::limits::MIB;
use crate::process::Status;

/// Bytes that a connection may make a node hold outside of the budget, which it needs to be there at all.
pub(crate) const CONNECTION: u64 = 32 * 1024;
/// Bytes by which memory may differ once all strangers have left, and by how many tasks.
const REST: u64 = 8 * MIB;
const REST_TASKS: u64 = 2;
/// How long a node has for that. What a stranger wrote of cheap frames before it left is read at `control_rate` all the
/// same: 6 MiB of PONGs, which is what the kernel keeps for a connection, take 5 s.
pub(crate) const SETTLE: Duration = Duration::from_secs(10);
/// How many times slower the slowest asks of an honest client may become, and a time that is never slow.
const SLOWER: u32 = 3;
const NEVER_SLOW: Duration = Duration::from_millis(5);

/// How a node did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// What an earlier try did that it must not.
    pub(crate) before: Vec<String>,
    /// What was said, and what kind of frame or procedure that is about.
    pub(crate) kind: String,
    pub(crate) phrase: String,
    pub(crate) strategy: &'static str,
    /// Bytes, the most while the strangers were there.
    pub(crate) most: u64,
    /// Bytes that it may hold then.
    pub(crate) allowed: u64,
    pub(crate) idle: Status,
    /// Once the strangers had left; `None` if it has ended.
    pub(crate) after: Option<Status>,
    pub(crate) back_after: Duration,
    pub(crate) p99_alone: Duration,
    pub(crate) p99: Duration,
    pub(crate) asks: usize,
    pub(crate) refusals: Vec<String>,
}

impl Outcome {
    /// What it did that it must not.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.most > self.allowed {
            let (most, allowed) = (mib(self.most), mib(self.allowed));
            found.push(format!("memory: {most} MiB of {allowed} allowed"));
        }
        match &self.after {
            None => found.push("the node has ended".to_owned()),
            Some(after) => {
                if after.resident > self.idle.resident + REST {
                    let more = mib(after.resident - self.idle.resident);
                    found.push(format!("afterwards {more} MiB are not given back"));
                }
                if after.tasks > self.idle.tasks + REST_TASKS {
                    let more = after.tasks - self.idle.tasks;
                    found.push(format!("afterwards {more} tasks are left"));
                }
            }
        }
        if let Some(first) = self.refusals.first() {
            let count = self.refusals.len();
            found.push(format!("{count} of {} honest asks refused: {first}", self.asks));
        }
        found
    }

    /// Whether the honest client was slowed down too much. That is told and no reason to fail: the strangers,
    /// the honest client and the node have the same cores here, so what is measured on few of them is for the
    /// most part how those are shared. Where strangers have a machine of their own the same figures tell more.
    pub(crate) fn is_slow(&self) -> bool {
        self.p99 > NEVER_SLOW.max(self.p99_alone * SLOWER)
    }

    /// How many times slower the honest client was.
    pub(crate) fn ratio(&self) -> f64 {
        self.p99.as_secs_f64() / self.p99_alone.as_secs_f64().max(1e-6)
    }

    /// The most that a node may hold with so many connections.
    pub(crate) fn allowance(idle: &Status, budget: u64, connections: u64) -> u64 {
        idle.resident + budget + budget / 4 + connections * CONNECTION
    }
}

/// Whether a node holds and does as much as it did when it was idle.
pub(crate) fn is_back(idle: &Status, now: &Status) -> bool {
    now.resident <= idle.resident + REST && now.tasks <= idle.tasks + REST_TASKS
}

pub(crate) fn mib(bytes: u64) -> u64 {
    bytes / MIB
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.after.unwrap_or_default();
        write!(
            f,
            "{:<34} {:<10} {:>5} of {:<4} {:>+5} {:>+5} {:>6} {:>8} {:>6.1}",
            self.phrase,
            self.strategy,
            mib(self.most),
            mib(self.allowed),
            (after.resident as i64 - self.idle.resident as i64) / MIB as i64,
            after.tasks as i64 - self.idle.tasks as i64,
            self.back_after.as_millis(),
            self.p99.as_micros(),
            self.ratio(),
        )?;
        if !self.before.is_empty() {
            write!(f, "  (again, after: {})", self.before.join("; "))?;
        }
        match (self.violations().as_slice(), self.is_slow()) {
            ([], false) => write!(f, "  ok"),
            ([], true) => write!(f, "  SLOW"),
            (violations, _) => write!(f, "  FAILED {}", violations.join("; ")),
        }
    }
}

/// The worst of each kind.
pub(crate) fn summary(outcomes: &[Outcome]) -> String {
    let mut kinds = BTreeMap::<&str, Vec<&Outcome>>::new();
    for outcome in outcomes {
        kinds.entry(&outcome.kind).or_default().push(outcome);
    }
    let mut text = format!(
        "{:<28} {:>7} {:>5} of {:<4} {:>8} {:>6}\n",
        "kind", "attacks", "most", "MiB", "p99 µs", "×"
    );
    for (kind, outcomes) in kinds {
        let part = |outcome: &&&Outcome| outcome.most * 1_000 / outcome.allowed.max(1);
        let fullest = outcomes.iter().max_by_key(part).map(|worst| (worst.most, worst.allowed));
        let (most, allowed) = fullest.unwrap_or_default();
        let slowest = outcomes.iter().map(|outcome| outcome.p99.as_micros()).max();
        let ratio = outcomes.iter().map(|outcome| outcome.ratio()).fold(0.0, f64::max);
        text += &format!(
            "{kind:<28} {:>7} {:>5} of {:<4} {:>8} {ratio:>6.1}\n",
            outcomes.len(),
            mib(most),
            mib(allowed),
            slowest.unwrap_or_default(),
        );
    }
    text
}

/// The line above all outcomes.
pub(crate) fn heading() -> String {
    format!(
        "{:<34} {:<10} {:>5} of {:<4} {:>5} {:>5} {:>6} {:>8} {:>6}  verdict",
        "said", "how", "most", "MiB", "rest", "tasks", "ms", "p99 µs", "×"
    )
}
