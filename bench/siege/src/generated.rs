//! Every phrase in every way: short attacks, one after another, on nodes with a small budget.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::honest::Honest;
use crate::judge::{self, Outcome, SETTLE};
use crate::limits::Limits;
use crate::over::Over;
use crate::phrase::Phrase;
use crate::process::{Node, resident};
use crate::strangers::Strangers;
use crate::strategy::Strategy;
use crate::{Result, catalogue};

/// How long one attack takes.
const ATTACK: Duration = Duration::from_millis(250);
/// How long the honest client is alone.
const ALONE: Duration = Duration::from_millis(500);
/// Between two looks at the memory of a node.
const LOOK: Duration = Duration::from_millis(2);

/// One attack.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// Where the phrase is in the catalogue.
    pub(crate) phrase: usize,
    pub(crate) strategy: Strategy,
}

/// All attacks whose names contain `text`.
pub(crate) fn cases(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (at, phrase) in catalogue::phrases(0).iter().enumerate() {
        for strategy in catalogue::strategies(phrase) {
            if format!("{} {}", phrase.name(), strategy.name()).contains(text) {
                cases.push(Case { phrase: at, strategy });
            }
        }
    }
    cases
}

/// One attack with each phrase. The seed says which; as many seeds as there are strategies cover all.
pub(crate) fn sample(cases: Vec<Case>, seed: u64) -> Vec<Case> {
    let mut ways = BTreeMap::<usize, Vec<Case>>::new();
    for case in cases {
        ways.entry(case.phrase).or_default().push(case);
    }
    let nth = |ways: Vec<Case>, nth: u64| ways.get((nth % ways.len() as u64) as usize).copied();
    (seed..).zip(ways.into_values()).filter_map(|(n, ways)| nth(ways, n)).collect()
}

/// Runs all cases on `lanes` nodes side by side.
pub(crate) async fn run(
    strangers: &Arc<Strangers>,
    cases: Vec<Case>,
    (limits, over): (Limits, &'static Over),
    lanes: usize,
) -> Result<Vec<Outcome>> {
    let queue = Arc::new(Mutex::new(VecDeque::from(cases)));
    let mut running = JoinSet::<Result<Vec<Outcome>>>::new();
    for _ in 0..lanes {
        let (queue, strangers) = (queue.clone(), strangers.clone());
        running.spawn(async move {
            let (mut lane, mut outcomes) =
                (Lane { strangers, limits, over, besieged: None }, Vec::new());
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            while let Some(case) = next() {
                let outcome = lane.attack(&case).await?;
                println!("{outcome}");
                outcomes.push(outcome);
            }
            Ok(outcomes)
        });
    }
    let mut outcomes = Vec::new();
    while let Some(lane) = running.join_next().await {
        outcomes.extend(lane??);
    }
    Ok(outcomes)
}

/// A node at a time, and its honest client.
struct Lane {
    strangers: Arc<Strangers>,
    limits: Limits,
    over: &'static Over,
    besieged: Option<Besieged>,
}

struct Besieged {
    node: Node,
    over: &'static Over,
    honest: Honest,
    p99_alone: Duration,
    phrases: Vec<Arc<Phrase>>,
}

impl Besieged {
    async fn start(limits: Limits, over: &'static Over) -> Result<Self> {
        let mut node = Node::start(limits, over, None).await?;
        let honest = Honest::start(node.port, over)?;
        // Whatever is only needed once has been there before the node counts as idle.
        tokio::time::sleep(ALONE).await;
        honest.take();
        tokio::time::sleep(ALONE).await;
        let mut seen = honest.take();
        node.idle = node.status().await?;
        let phrases = catalogue::phrases(node.port);
        Ok(Self { node, over, honest, p99_alone: seen.p99(), phrases })
    }
}

impl Lane {
    /// Whoever fails has a second try, on a fresh node: what is left of earlier attacks, and other work on the
    /// machine, is no fault of this one.
    async fn attack(&mut self, case: &Case) -> Result<Outcome> {
        let first = self.attack_once(case).await?;
        if first.violations().is_empty() {
            return Ok(first);
        }
        let second = self.attack_once(case).await?;
        Ok(Outcome { before: first.violations(), ..second })
    }

    async fn attack_once(&mut self, case: &Case) -> Result<Outcome> {
        let mut besieged = match self.besieged.take() {
            Some(besieged) => besieged,
            None => Besieged::start(self.limits, self.over).await?,
        };
        let mut outcome = besieged.attack(&self.strangers, case, self.limits).await?;
        // The next one is for a node that is as it was.
        if outcome.violations().is_empty() {
            self.besieged = Some(besieged);
        } else if outcome.after.is_some() && !besieged.node.is_alive() {
            outcome.after = None;
        }
        Ok(outcome)
    }
}

impl Besieged {
    async fn attack(
        &mut self,
        strangers: &Strangers,
        case: &Case,
        limits: Limits,
    ) -> Result<Outcome> {
        let Self { node, over, honest, p99_alone, phrases } = self;
        let phrase = phrases.get(case.phrase).ok_or("the catalogue is the same for all nodes")?;
        node.hold(true).await?;
        honest.take();
        let sampler = Sampler::start(node.pid);
        let connections = case.strategy.connections(phrase);
        let until = Instant::now() + ATTACK;
        let attack = case.strategy.run((node.port, *over), phrase.clone(), connections, until);
        strangers.attack(attack).await?;
        let mut seen = honest.take();
        let idle = node.idle;
        // An end of the node is no error of this program.
        let after = async {
            node.hold(false).await?;
            node.settled(SETTLE, |now| judge::is_back(&idle, now)).await
        };
        let after = after.await.ok();
        Ok(Outcome {
            before: Vec::new(),
            kind: phrase.kind.clone(),
            phrase: phrase.name(),
            strategy: case.strategy.name(),
            most: sampler.most(),
            allowed: Outcome::allowance(&idle, limits.budget.unwrap_or(0), connections as u64),
            idle,
            after: after.map(|(status, _)| status),
            back_after: after.map(|(_, waited)| waited).unwrap_or_default(),
            p99_alone: *p99_alone,
            p99: seen.p99(),
            asks: seen.asks(),
            refusals: seen.refusals,
        })
    }
}

/// Looks at the memory of a process, in a thread of its own.
pub(crate) struct Sampler {
    most: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Sampler {
    pub(crate) fn start(pid: u32) -> Self {
        let (most, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let sampler = Self { most: most.clone(), stop: stop.clone() };
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(resident(pid).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        sampler
    }

    /// Bytes, the most so far.
    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_each_phrase_and_all_samples_have_each_case() {
        let all = cases("");
        let phrases = catalogue::phrases(0).len();
        let mut seen = std::collections::HashSet::new();
        for seed in 0..Strategy::ALL.len() as u64 {
            let sample = sample(all.clone(), seed + 1_000);
            assert_eq!(sample.len(), phrases);
            seen.extend(sample.iter().map(|case| (case.phrase, case.strategy.name())));
        }
        assert_eq!(seen.len(), all.len());
    }
}
