//! Telling and asking.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::Result;
use crate::node::Target;

/// Bytes a message.
pub(crate) const PAYLOAD_LEN: usize = 64;
const PAYLOAD: Bytes = Bytes::from_static(&[7; PAYLOAD_LEN]);

/// Who tells and asks whom.
pub(crate) struct Crowd {
    /// For each a task, and whom it tells and asks in turn.
    pub(crate) senders: Vec<Vec<Target>>,
    /// All actors that they reach, each once.
    pub(crate) actors: Vec<Target>,
}

impl Crowd {
    /// How many notes all of the actors have had. Each answers behind what it was told by the way by which it is asked.
    async fn counted(&self) -> Result<usize> {
        let mut counting = JoinSet::new();
        for actor in &self.actors {
            let actor = actor.clone();
            counting.spawn(async move { actor.count().await });
        }
        let counts = counting.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(counts.into_iter().sum::<u64>() as usize)
    }
}

/// Tells a second, until all that was told is handled.
pub(crate) async fn tells(crowd: &Crowd, count: usize) -> Result<f64> {
    let share = (count / crowd.senders.len()).max(1);
    let before = crowd.counted().await?;
    let began = Instant::now();
    let mut telling = JoinSet::new();
    for targets in &crowd.senders {
        let targets = targets.clone();
        telling.spawn(async move {
            for target in targets.iter().cycle().take(share) {
                target.tell(PAYLOAD).await?;
            }
            Ok(())
        });
    }
    telling.join_all().await.into_iter().collect::<Result<()>>()?;
    let (told, counted) = (share * crowd.senders.len(), crowd.counted().await? - before);
    let took = began.elapsed();
    if counted != told {
        return Err(format!("{told} messages were told, {counted} counted").into());
    }
    Ok(told as f64 / took.as_secs_f64())
}

/// What asks took.
pub(crate) struct Asked {
    pub(crate) rate: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// A task for each of the senders, with one ask under way.
pub(crate) async fn asks(crowd: &Crowd, count: usize) -> Result<Asked> {
    let share = (count / crowd.senders.len()).max(1);
    let began = Instant::now();
    let mut asking = JoinSet::new();
    for targets in &crowd.senders {
        let targets = targets.clone();
        asking.spawn(async move {
            let mut took = Vec::with_capacity(share);
            for target in targets.iter().cycle().take(share) {
                let began = Instant::now();
                target.ask(PAYLOAD).await?;
                took.push(began.elapsed());
            }
            Ok(took)
        });
    }
    let took = asking.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let whole = began.elapsed();
    let mut took = took.concat();
    took.sort_unstable();
    let at = |part: f64| took[((took.len() as f64 * part) as usize).min(took.len() - 1)];
    Ok(Asked { rate: took.len() as f64 / whole.as_secs_f64(), p50: at(0.5), p99: at(0.99) })
}
