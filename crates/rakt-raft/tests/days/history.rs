//! Who has answered when: what an observer is told who reaches all nodes, whatever they hear of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rakt::Address;
use rakt::grain::GrainId;
use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig};
use tokio::task::JoinSet;

use crate::fleet::{Fleet, Look, SYSTEM, Seen, Tells, Up};
use crate::world::{PORT, host};

/// So many grains are looked at.
const GRAINS: usize = 32;
/// So many looks are under way through each node.
const AT_ONCE: usize = 4;
/// In which everything is to have come back: a busy machine may take a while.
const PATIENCE: Duration = Duration::from_secs(90);

/// One answer of a grain.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    grain: usize,
    /// The node that was asked.
    through: u64,
    /// The one that it lives on.
    node: u64,
    epoch: (u64, u64, u64),
    looks: u64,
    begun: Duration,
    ended: Duration,
}

/// What cannot have been: two lives of a grain at once.
///
/// A grain has handled a message somewhere between its sending and its answer. So who asks after an answer has come hears of
/// no older life.
fn fault(history: &[Answer]) -> Option<String> {
    let mut homes = BTreeMap::new();
    let mut looks = BTreeSet::new();
    for answer in history {
        let life = (answer.grain, answer.epoch);
        if *homes.entry(life).or_insert(answer.node) != answer.node {
            return Some(format!("one life on two nodes: {answer:?}"));
        }
        if !looks.insert((life, answer.looks)) {
            return Some(format!("one look was counted twice: {answer:?}"));
        }
    }
    let mut begun: Vec<_> = history.iter().collect();
    begun.sort_by_key(|answer| answer.begun);
    let mut ended = begun.clone();
    ended.sort_by_key(|answer| answer.ended);
    let (mut ended, mut newest) = (ended.into_iter().peekable(), BTreeMap::new());
    for answer in begun {
        while let Some(before) = ended.next_if(|before| before.ended < answer.begun) {
            let newest: &mut &Answer = newest.entry(before.grain).or_insert(before);
            if before.epoch > newest.epoch {
                *newest = before;
            }
        }
        if let Some(before) = newest.get(&answer.grain).filter(|it| it.epoch > answer.epoch) {
            return Some(format!("an older life has answered: {answer:?} after {before:?}"));
        }
    }
    None
}

/// Looks at all grains through all nodes, all the time.
pub(crate) struct Observer {
    client: Client,
    nodes: Vec<u64>,
    begun: Instant,
    history: Arc<Mutex<Vec<Answer>>>,
    looking: JoinSet<()>,
}

impl Observer {
    /// A cluster of so many, all of which are members and answer for all grains.
    pub(crate) async fn founded(count: u64, lease: Duration) -> Result<(Fleet, Self)> {
        Self::of(Fleet::new(count, lease)?, count).await
    }

    /// The same of nodes that are yet to start.
    pub(crate) async fn of(fleet: Fleet, count: u64) -> Result<(Fleet, Self)> {
        let fleet =
            tokio::task::spawn_blocking(move || fleet.start().map_err(|error| error.to_string()));
        let fleet = fleet.await??;
        let observer = Self::begin(1..=count)?;
        observer.members(&observer.nodes, &observer.nodes).await?;
        observer.answers(Duration::ZERO, &observer.nodes, &observer.nodes).await?;
        Ok((fleet, observer))
    }

    /// One that does not look.
    pub(crate) fn idle(nodes: impl IntoIterator<Item = u64>) -> Result<Self> {
        let client = Client::new("observer", ClientConfig::new())?;
        let (begun, history) = (Instant::now(), Arc::default());
        let (nodes, looking) = (nodes.into_iter().collect(), JoinSet::new());
        Ok(Self { client, nodes, begun, history, looking })
    }

    fn begin(nodes: impl IntoIterator<Item = u64>) -> Result<Self> {
        let mut observer = Self::idle(nodes)?;
        let Self { client, nodes, begun, history, looking } = &mut observer;
        let begun = *begun;
        for (through, part) in nodes.iter().flat_map(|node| (0..AT_ONCE).map(|part| (*node, part)))
        {
            let mut grains = Vec::new();
            for grain in (part..GRAINS).step_by(AT_ONCE) {
                let path = GrainId::new("bare", &grain.to_string())?.path();
                grains.push((
                    grain,
                    client.actor(&Address::new(&path, SYSTEM, host(through), PORT)?),
                ));
            }
            let history = history.clone();
            looking.spawn(async move {
                for (grain, actor) in grains.iter().cycle() {
                    let sent = begun.elapsed();
                    let answered = actor.ask(Look).timeout(Duration::from_secs(1)).await;
                    if let Ok(Seen { node, epoch, looks }) = answered {
                        let (begun, ended, grain) = (sent, begun.elapsed(), *grain);
                        let answer = Answer { grain, through, node, epoch, looks, begun, ended };
                        history.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
                    }
                    // So that the nodes have time for each other.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        }
        Ok(observer)
    }

    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn nodes(&self) -> &[u64] {
        &self.nodes
    }

    fn history(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until each grain has answered through each of these nodes, asked after that time and living on one of those.
    pub(crate) async fn answers(&self, since: Duration, through: &[u64], on: &[u64]) -> Result {
        let until = self.now() + PATIENCE;
        loop {
            let is_good = |answer: &&Answer| {
                answer.begun > since
                    && through.contains(&answer.through)
                    && on.contains(&answer.node)
            };
            let good: BTreeSet<_> = {
                let history = self.history();
                let newest = history.iter().rev().take_while(|answer| answer.ended > since);
                newest.filter(is_good).map(|answer| (answer.grain, answer.through)).collect()
            };
            if good.len() == GRAINS * through.len() {
                return Ok(());
            }
            if self.now() > until {
                let silent: Vec<_> = (0..GRAINS)
                    .flat_map(|grain| through.iter().map(move |node| (grain, *node)))
                    .filter(|asked| !good.contains(asked))
                    .collect();
                return Err(format!(
                    "after {PATIENCE:?} no answers of (grain, through) {silent:?}"
                )
                .into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn tells(&self, node: u64) -> Result<ActorRef<Tells>> {
        let node = self.client.node(&host(node), PORT);
        Ok(node.lookup("tells").await?.ok_or("it does not tell yet")?)
    }

    /// The nodes that are Up, as that one knows.
    pub(crate) async fn up(&self, known_to: u64) -> Result<BTreeSet<u64>> {
        let tells = self.tells(known_to).await?;
        Ok(tells.ask(Up).timeout(Duration::from_secs(1)).await?.0)
    }

    /// Waits until what a node knows is good.
    async fn known<T>(&self, to: u64, good: impl Fn(&BTreeSet<u64>) -> Option<T>) -> Result<T> {
        let until = self.now() + PATIENCE;
        loop {
            let known = self.up(to).await;
            if let Some(good) = known.as_ref().ok().and_then(&good) {
                return Ok(good);
            }
            if self.now() > until {
                return Err(format!("node {to} takes {known:?} for members").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the members that are Up are these, as each of those knows.
    pub(crate) async fn members(&self, known_to: &[u64], up: &[u64]) -> Result {
        for node in known_to {
            self.known(*node, |known| known.iter().eq(up).then_some(())).await?;
        }
        Ok(())
    }

    /// Waits until a member is gone, as that node knows, and returns it.
    pub(crate) async fn first_gone(&self, known_to: u64) -> Result<u64> {
        let gone =
            |known: &BTreeSet<u64>| self.nodes.iter().find(|node| !known.contains(node)).copied();
        self.known(known_to, gone).await
    }

    /// How many answers came from that node, to who asked in that time.
    pub(crate) fn count(&self, node: u64, since: Duration, until: Duration) -> usize {
        let is_in =
            |answer: &&Answer| answer.node == node && answer.begun > since && answer.ended < until;
        self.history().iter().filter(is_in).count()
    }

    /// Looks no more, and checks all that it has seen; returns how much that is.
    pub(crate) async fn end(mut self) -> Result<usize> {
        self.looking.shutdown().await;
        self.client.close().await;
        let history = self.history();
        match fault(&history) {
            Some(fault) => Err(fault.into()),
            None => Ok(history.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(node: u64, epoch: u64, looks: u64, begun: u64, ended: u64) -> Answer {
        let [begun, ended] = [begun, ended].map(Duration::from_millis);
        Answer { grain: 1, through: 1, node, epoch: (1, epoch, 0), looks, begun, ended }
    }

    #[test]
    fn lives_that_overlap_are_found() {
        // They may have been handled in this order.
        let good = [answer(1, 1, 1, 0, 10), answer(2, 2, 1, 5, 20), answer(1, 1, 2, 8, 30)];
        assert_eq!(fault(&good), None);
        let [first, second, _] = good.clone();
        let late = answer(1, 1, 2, 21, 30);
        let found = fault(&[first.clone(), second.clone(), late]).expect("it is a fault");
        assert!(found.contains("older life"), "{found}");
        let found = fault(&[first.clone(), answer(2, 1, 2, 20, 30)]).expect("it is a fault");
        assert!(found.contains("on two nodes"), "{found}");
        let found = fault(&[first, second.clone(), second]).expect("it is a fault");
        assert!(found.contains("counted twice"), "{found}");
    }
}
