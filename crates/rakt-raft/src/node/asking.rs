//! How a node has the leader do something, whoever that is by now.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rakt::cluster::{RegisterError, SwapError, Version};
use rakt::error::Cause;
use tokio::time::Instant;

use super::Node;
use crate::blob::Blob;
use crate::call::{Answer, Call, Lead, Led};
use crate::delta::MAX_LEN;
use crate::document::{SwapId, Swapped};
use crate::names::{Id, Place, Places, random};
use crate::network::{Unanswered, ask};

/// How long a node that was told to come again waits before it does.
const NEWS_PAUSE: Duration = Duration::from_secs(1);

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undone {
    #[error("no leader of the cluster has done it within {limit:?}; the voters are {voters}")]
    NoLeader { limit: Duration, voters: String, source: Option<Cause> },
    #[error("the node has no cluster yet")]
    NoCluster,
    #[error("a view has {MAX_LEN} bytes at most, and this one has {len}")]
    TooLong { len: usize },
    #[error(
        "it is too long ago: more than {} versions came about since",
        crate::document::REMEMBERED
    )]
    Forgotten,
    #[error("the leader has answered something else")]
    Odd,
    #[error("the leader has refused: {0}")]
    Refused(String),
}

/// What kept a voter from doing it.
#[derive(Debug, thiserror::Error)]
enum Kept {
    #[error("voter {} at {place}: {text}", crate::names::Shown(*id))]
    Failed { id: Id, place: Place, text: String },
    #[error("it knows of no leader")]
    NoLeader,
}

fn is_done(led: &Led) -> bool {
    !matches!(led, Led::Elsewhere(_) | Led::Failed(_))
}

impl Node {
    pub(crate) async fn read(self: &Arc<Self>) -> Result<(Version, Bytes), RegisterError> {
        match self.have_led(Lead::Read).await {
            Ok(Led::Document { version, view }) => Ok((Version(version), view.0)),
            Ok(_) => Err(RegisterError::new(Undone::Odd)),
            Err(undone) => Err(RegisterError::new(undone)),
        }
    }

    pub(crate) async fn confirm(self: &Arc<Self>, seen: Version) -> Result<bool, RegisterError> {
        match self.have_led(Lead::Confirm(seen.0)).await {
            Ok(Led::Newest(is_newest)) => Ok(is_newest),
            Ok(_) => Err(RegisterError::new(Undone::Odd)),
            Err(undone) => Err(RegisterError::new(undone)),
        }
    }

    pub(crate) async fn swap(
        self: &Arc<Self>,
        over: Version,
        view: Bytes,
    ) -> Result<Version, SwapError> {
        let unknown = |undone| Err(SwapError::Unknown(RegisterError::new(undone)));
        if view.len() > MAX_LEN {
            return unknown(Undone::TooLong { len: view.len() });
        }
        let swap = Lead::Swap { id: SwapId(random()), over: over.0, view: Blob(view) };
        match self.have_led(swap).await {
            Ok(Led::Swapped(Swapped::Done(version))) => Ok(Version(version)),
            Ok(Led::Swapped(Swapped::Conflict)) => Err(SwapError::Conflict),
            Ok(Led::Swapped(Swapped::Forgotten)) => unknown(Undone::Forgotten),
            Ok(_) => unknown(Undone::Odd),
            Err(undone) => unknown(undone),
        }
    }

    pub(crate) async fn voters(self: &Arc<Self>) -> Result<Places, Undone> {
        match self.have_led(Lead::Voters).await? {
            Led::Voters(voters) => Ok(voters),
            _ => Err(Undone::Odd),
        }
    }

    /// Who has answered for all of them.
    pub(crate) async fn leader(self: &Arc<Self>) -> Result<(Id, Place), Undone> {
        let mut voters = self.voters().await?;
        let leader = self.book.leader().ok_or(Undone::Odd)?;
        voters.remove_entry(&leader).ok_or(Undone::Odd)
    }

    pub(crate) fn voter_id(&self) -> Id {
        self.id()
    }

    /// Has this node take the place of a voter.
    pub(crate) async fn take_over(self: &Arc<Self>, old: Option<Id>) -> Result<Places, Undone> {
        let replace = Lead::Replace { old, new: self.id(), at: self.place.clone() };
        match self.have_led(replace).await? {
            Led::Voters(voters) => Ok(voters),
            Led::Refused(why) => Err(Undone::Refused(why)),
            _ => Err(Undone::Odd),
        }
    }

    /// Waits for a version other than this one to be there, as far as it is heard of.
    pub(crate) async fn changed(self: &Arc<Self>, seen: Version) {
        let mut turn = 0;
        loop {
            let voting = self.voting.borrow().clone();
            if let Some(voting) = voting {
                let mut applied = voting.applied.subscribe();
                let newer = applied.wait_for(|applied| applied.document.version() != seen.0).await;
                if newer.is_ok() {
                    return;
                }
            }
            let voters = self.book.voters().0;
            let at = voters.into_values().nth(turn);
            turn = if at.is_some() { turn + 1 } else { 0 };
            if let (Some(at), Some(member)) = (at, self.member()) {
                let call = Call::Newer { cluster: member.cluster, than: seen.0 };
                let limit = Duration::from_secs(15);
                match ask(&self.starting.system, &at, call, limit).await {
                    Ok(Answer::Newer(version)) if version != seen.0 => return,
                    Ok(Answer::Newer(_)) => {
                        turn -= 1;
                        continue;
                    }
                    _ => {}
                }
            }
            tokio::time::sleep(NEWS_PAUSE).await;
        }
    }

    /// Has whoever leads do this. A voter that does not lead says who may; one that does not answer is left for another.
    async fn have_led(self: &Arc<Self>, what: Lead) -> Result<Led, Undone> {
        let limit = self.options.request_timeout;
        let until = Instant::now() + limit;
        // Enough for a majority to have answered, and for another one to be asked if this one does not.
        let once = (self.options.heartbeat * 3).max(limit / 4).min(limit);
        let cluster = self.member().ok_or(Undone::NoCluster)?.cluster;
        let mut hint = self.first();
        let mut turn = 0;
        let mut last: Option<Cause> = None;
        loop {
            let voters = self.book.voters().0;
            let next = || voters.iter().nth(turn % voters.len().max(1));
            let to = hint.take().or_else(|| next().map(|(id, place)| (*id, place.clone())));
            let left = until.saturating_duration_since(Instant::now());
            let (Some((id, place)), false) = (to, left.is_zero()) else {
                let voters: Vec<String> = voters.values().map(ToString::to_string).collect();
                return Err(Undone::NoLeader { limit, voters: voters.join(", "), source: last });
            };
            turn += 1;
            let led = if id == self.id() {
                tokio::time::timeout(once.min(left), self.lead(what.clone())).await.map_or_else(
                    |_| Ok(Led::Failed(format!("it was not done within {once:?}"))),
                    Ok,
                )
            } else {
                let call = Call::Lead { cluster, what: what.clone() };
                match ask(&self.starting.system, &place, call, once.min(left)).await {
                    Ok(Answer::Led(led)) => Ok(led),
                    Ok(Answer::NotMe(_)) => {
                        Err(Unanswered::NotMe { place: place.clone(), meant: id })
                    }
                    Ok(Answer::Busy) => Err(Unanswered::Busy { place: place.clone() }),
                    Ok(Answer::Failed(text)) => {
                        Err(Unanswered::Failed { place: place.clone(), text })
                    }
                    Ok(_) => Err(Unanswered::Odd { place: place.clone() }),
                    Err(why) => Err(why),
                }
            };
            match led {
                Ok(led) if is_done(&led) => {
                    self.book.set_leader(Some(id));
                    return Ok(led);
                }
                Ok(Led::Elsewhere(Some((leader, at)))) if leader != id => {
                    let at = self.book.place(leader).unwrap_or(at);
                    // At once the first time, as it is most often right.
                    let is_new = self.book.leader() != Some(leader);
                    self.book.set_leader(Some(leader));
                    hint = Some((leader, at));
                    if is_new {
                        continue;
                    }
                }
                Ok(Led::Failed(text)) => last = Some(Cause::new(Kept::Failed { id, place, text })),
                Ok(_) => last = last.or_else(|| Some(Cause::new(Kept::NoLeader))),
                Err(why) => last = Some(Cause::new(why)),
            }
            if hint.is_none() {
                self.book.set_leader(None);
            }
            if turn % voters.len().max(1) == 0 {
                self.refresh_beside();
            }
            let pause =
                (self.options.heartbeat / 4).min(until.saturating_duration_since(Instant::now()));
            tokio::time::sleep(pause).await;
        }
    }

    /// Whom to ask first: who led last, or this node itself.
    fn first(&self) -> Option<(Id, Place)> {
        let leader = self.book.leader();
        let own = self.voting.borrow().as_ref().map(|voting| {
            let metrics = voting.raft.metrics();
            let leader = metrics.borrow().current_leader;
            leader.unwrap_or(self.id())
        });
        let id = own.or(leader)?;
        Some((id, self.book.place(id).unwrap_or_else(|| self.place.clone())))
    }

    /// Looks where the voters are by now, unless somebody does already.
    fn refresh_beside(self: &Arc<Self>) {
        let node = self.clone();
        if self.refreshing.available_permits() > 0 {
            self.spawn(async move {
                let Ok(_permit) = node.refreshing.try_acquire() else { return };
                node.refresh().await;
            });
        }
    }
}
