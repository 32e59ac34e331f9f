//! How a node comes into its cluster, by [`Founding`](crate::founding::Founding), and how it tells the others where it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rakt::cluster::DiscoveryError;
use rakt::error::{Cause, Chain};
use tokio::sync::MutexGuard;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Node, reach};
use crate::call::{Answer, Call};
use crate::error::StartError;
use crate::founding::{MOST_PLACES, Member, Plan, Standing, Step, Wait, Welcome};
use crate::names::{ClusterId, Id, Place, random};
use crate::network::{Unanswered, ask};
use crate::store::Failed;

/// How often it is told what a node waits for.
const TELL_INTERVAL: Duration = Duration::from_secs(10);
/// How long a discovery may take.
const FIND_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a node that has come tells those that it has not reached yet, at most.
const MAX_ANNOUNCE_INTERVAL: Duration = Duration::from_secs(10);

/// Who was greeted.
#[derive(Default)]
struct Greeted {
    heard: BTreeSet<Id>,
    /// Why one of the others was not heard, if any was not.
    unheard: Option<Unanswered>,
}

impl Node {
    /// Goes on until the node has a cluster.
    pub(super) async fn join(self: &Arc<Self>) -> Result<Member, StartError> {
        let (limit, since) = (self.options.start_timeout, Instant::now());
        let limit = self.starting.limit().map_or(limit, |other| other.min(limit));
        let (mut told, mut unheard) = (since, None);
        loop {
            let wait = match self.step().await.map_err(StartError::disk)? {
                Step::Done(member) => return Ok(member),
                Step::Wait(wait) => wait,
                Step::Become(_) => continue,
                Step::Persuade(plan, open) => {
                    self.persuade(&plan, open).await;
                    if self.is_promised(&plan) {
                        continue;
                    }
                    Wait::Settling
                }
            };
            if since.elapsed() >= limit {
                let waits_for = wait.to_string();
                return Err(StartError::Waits { limit, waits_for, source: unheard });
            }
            if told.elapsed() >= TELL_INTERVAL {
                told = Instant::now();
                match &unheard {
                    Some(why) => tracing::warn!("waits for a cluster: {wait}; {}", Chain(why)),
                    None => tracing::warn!("waits for a cluster: {wait}"),
                }
            }
            let polled = Instant::now();
            let failed_to_find = self.find().await.err().map(Cause::new);
            let places = reach(&self.founding).places();
            let failed_to_greet = self.greet(places).await.unheard;
            unheard = failed_to_find.or(failed_to_greet.map(Cause::new));
            let left = limit.saturating_sub(since.elapsed());
            let next = polled + self.options.poll_interval().min(left);
            // Somebody may say something that counts, such as that it has a plan.
            let mut standing = self.standing.subscribe();
            let changed = async {
                if standing.changed().await.is_err() {
                    std::future::pending().await
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = changed => {}
            }
        }
    }

    async fn step(&self) -> Result<Step, Failed> {
        let changing = self.changing.lock().await;
        let standing = self.standing();
        let step = reach(&self.founding).step(self.now(), &standing, ClusterId(random()));
        if let Step::Become(standing) = &step {
            self.become_it(standing.clone(), &changing).await?;
        }
        Ok(step)
    }

    /// On the disk first.
    pub(super) async fn become_it(
        &self,
        standing: Standing,
        _: &MutexGuard<'_, ()>,
    ) -> Result<(), Failed> {
        if *self.standing.borrow() != standing {
            self.dir.set_standing(standing.clone()).await?;
            match &standing {
                Standing::Fresh => tracing::info!("a plan to found a cluster is given up"),
                Standing::Proposed(plan) => {
                    tracing::info!("proposes to found cluster {}", plan.cluster)
                }
                Standing::Promised(plan) => {
                    tracing::info!("takes part in founding cluster {}", plan.cluster)
                }
                Standing::Member(member) => tracing::info!("is of cluster {}", member.cluster),
            }
            self.standing.send_replace(standing);
        }
        Ok(())
    }

    fn is_promised(&self, plan: &Plan) -> bool {
        let standing = self.standing();
        let step = reach(&self.founding).step(self.now(), &standing, plan.cluster);
        matches!(step, Step::Become(_))
    }

    /// What the discovery lists.
    async fn find(&self) -> Result<(), DiscoveryError> {
        let found = tokio::time::timeout(FIND_TIMEOUT, self.starting.find()).await;
        let found = found
            .map_err(|_| DiscoveryError::new(format!("no answer within {FIND_TIMEOUT:?}")))??;
        let places: BTreeSet<Place> =
            found.into_iter().map(Place::from).take(MOST_PLACES).collect();
        reach(&self.founding).list(self.now(), places.iter().cloned());
        *reach(&self.listed) = places;
        Ok(())
    }

    /// Tells the nodes at these places who this one is, and hears who they are.
    async fn greet(self: &Arc<Self>, places: BTreeSet<Place>) -> Greeted {
        let mut greetings = JoinSet::new();
        for place in places {
            let node = self.clone();
            greetings.spawn(async move { node.greet_one(&place).await });
        }
        let mut all = Greeted::default();
        while let Some(greeted) = greetings.join_next().await {
            match greeted {
                Ok(Ok(id)) => drop(all.heard.insert(id)),
                Ok(Err(error)) => all.unheard = Some(error),
                Err(_) => {}
            }
        }
        all
    }

    pub(super) async fn greet_one(&self, place: &Place) -> Result<Id, Unanswered> {
        let card = self.card();
        let limit = self.options.hello_timeout();
        let answer = ask(&self.starting.system, place, Call::Hello(card), limit).await;
        let Answer::Welcome(Welcome { card, given_up }) = answer? else {
            return Err(Unanswered::Odd { place: place.clone() });
        };
        let id = card.id;
        self.hear(Some(place), &card);
        if let Some(cluster) = given_up {
            let changing = self.changing.lock().await;
            let standing = self.standing();
            let over = reach(&self.founding).given_up(id, cluster, &standing);
            if let Some(standing) = over
                && let Err(error) = self.become_it(standing, &changing).await
            {
                tracing::error!("{}", Chain(&error));
            }
        }
        Ok(id)
    }

    /// Asks others to promise to follow a plan.
    async fn persuade(self: &Arc<Self>, plan: &Plan, open: Vec<(Id, Place)>) {
        let mut asked = JoinSet::new();
        for (id, place) in open {
            let (node, plan) = (self.clone(), plan.clone());
            asked.spawn(async move {
                let limit = node.options.hello_timeout();
                let answer = ask(&node.starting.system, &place, Call::Propose(plan), limit).await;
                (id, answer)
            });
        }
        while let Some(answered) = asked.join_next().await {
            if let Ok((id, Ok(Answer::Promised(answer)))) = answered {
                if let Err(declined) = &answer {
                    tracing::info!(
                        "a node does not promise to found cluster {}: {declined}",
                        plan.cluster
                    );
                }
                let standing = self.standing();
                reach(&self.founding).answered(&standing, plan, id, answer);
            }
        }
    }

    /// Tells all voters where this node is, until all have heard: it may have moved.
    pub(super) fn announce(self: &Arc<Self>) {
        let node = self.clone();
        self.spawn(async move {
            let mut interval = node.options.poll_interval();
            loop {
                let heard = node.refresh().await;
                let voters = node.book.voters().0;
                if voters.keys().all(|id| *id == node.id() || heard.contains(id)) {
                    return;
                }
                tokio::time::sleep(interval).await;
                interval = (interval * 2).min(MAX_ANNOUNCE_INTERVAL);
            }
        });
    }

    /// Hears from all that are known who the voters are, and where.
    pub(super) async fn refresh(self: &Arc<Self>) -> BTreeSet<Id> {
        let voters = self.book.voters().0;
        if voters.keys().all(|id| *id == self.id()) && !voters.is_empty() {
            // It needs nobody.
            return BTreeSet::new();
        }
        // The voters are known all the same.
        let _ = self.find().await;
        let listed = reach(&self.listed).clone();
        let places = voters.into_values().chain(listed).filter(|place| *place != self.place);
        let Greeted { heard, unheard } = self.greet(places.collect()).await;
        if let Some(error) = unheard {
            tracing::debug!("{}", Chain(&error));
        }
        if let Err(error) = self.note_voters().await {
            tracing::error!("{}", Chain(&error));
        }
        heard
    }

    /// Writes down who the voters are, if they have changed, for the next start.
    pub(super) async fn note_voters(&self) -> Result<(), Failed> {
        let changing = self.changing.lock().await;
        let (voters, as_of) = self.book.voters();
        match self.member() {
            Some(member) if as_of > member.as_of => {
                self.become_it(Standing::Member(Member { voters, as_of, ..member }), &changing)
                    .await
            }
            _ => Ok(()),
        }
    }
}
