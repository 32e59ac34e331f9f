//! How a node takes the place of a voter: one at a time, with all others caught up, and not often. That is the part of
//! consensus that has gone wrong most, so nothing does it by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use rakt::error::Chain;
use tokio::time::Instant;

use super::Node;
use super::voting::Voting;
use crate::call::{Answer, Call, Led, Whom};
use crate::founding::{Member, Standing};
use crate::names::{Id, Place, Places, Shown};
use crate::network::ask;
use crate::types::Voters;

/// Most voters that are made.
const MOST_MADE: usize = 5;

/// The voters, as the log has them.
pub(super) fn voters(voters: &Voters) -> Places {
    let ids: BTreeSet<Id> = voters.membership().voter_ids().collect();
    let nodes = voters.membership().nodes().filter(|(id, _)| ids.contains(id));
    nodes.map(|(id, place)| (*id, place.clone())).collect()
}

impl Node {
    /// Makes ready to become a voter of the cluster that this node is of.
    pub(super) async fn serve(self: &Arc<Self>, of: Whom) -> Answer {
        let changing = self.changing.lock().await;
        let member = match self.member() {
            Some(member) if member.cluster == of.cluster && of.id == self.id() => member,
            _ => return self.not_me(),
        };
        let member = Member { is_voter: true, ..member };
        if let Err(error) = self.become_it(Standing::Member(member.clone()), &changing).await {
            return Answer::Failed(Chain(&error).to_string());
        }
        match self.vote(&member).await {
            Ok(()) => Answer::Serves,
            Err(error) => Answer::Failed(Chain(&error).to_string()),
        }
    }

    /// As the leader: has a node take the place of a voter.
    pub(super) async fn replace(
        self: &Arc<Self>,
        voting: &Voting,
        old: Option<Id>,
        new: Id,
        at: Place,
    ) -> Result<Led, Led> {
        voting.catch_up().await?;
        let refused = |why: String| Err(Led::Refused(why));
        let Ok(mut changed) = self.changed.try_lock() else {
            return refused("another voter is being replaced".to_owned());
        };
        let now = voters(&voting.applied.borrow().voters);
        if now.contains_key(&new) {
            return match old.filter(|old| now.contains_key(old)) {
                // It is done already.
                None => Ok(Led::Voters(self.whereabouts(now))),
                Some(_) => refused(format!("{} is a voter already", Shown(new))),
            };
        }
        match old {
            None if now.len() >= MOST_MADE => {
                return refused(format!("there are {} voters already", now.len()));
            }
            Some(old) if !now.contains_key(&old) => {
                return refused(format!("{} is no voter", Shown(old)));
            }
            Some(old) if old == self.id() => {
                return refused(
                    "the leader cannot be replaced; stop it, and ask again when there is another one".to_owned(),
                );
            }
            _ => {}
        }
        let interval = self.options.change_interval;
        if let Some(since) = changed.map(|at| at.elapsed()).filter(|since| *since < interval) {
            return refused(format!(
                "a voter was replaced {since:?} ago: once in {interval:?} is allowed"
            ));
        }
        if let Some(late) = late(voting, old) {
            return refused(format!("voter {} is not up to date", Shown(late)));
        }
        let cluster =
            self.member().map(|member| member.cluster).unwrap_or_else(|| unreachable!("it votes"));
        let limit = self.options.request_timeout.min(Duration::from_secs(5));
        match ask(&self.starting.system, &at, Call::Serve(Whom { cluster, id: new }), limit).await {
            Ok(Answer::Serves) => {}
            Ok(Answer::Failed(why)) => {
                return refused(format!("the node at {at} cannot vote: {why}"));
            }
            Ok(_) => {
                return refused(format!(
                    "the node at {at} is not node {} of the cluster",
                    Shown(new)
                ));
            }
            Err(error) => return refused(format!("{}", Chain(&error))),
        }
        *changed = Some(Instant::now());
        let failed = |error: &dyn std::error::Error| Led::Failed(error.to_string());
        // It has all of the log before it counts.
        let added = voting.raft.add_learner(new, at, true).await;
        added.map_err(|error| failed(&error))?;
        let ids = now.keys().copied().filter(|id| Some(*id) != old).chain([new]);
        let change = ChangeMembers::ReplaceAllVoters(ids.collect());
        voting.raft.change_membership(change, false).await.map_err(|error| failed(&error))?;
        voting.catch_up().await?;
        let now = voters(&voting.applied.borrow().voters);
        Ok(Led::Voters(self.whereabouts(now)))
    }
}

/// A voter other than this one that does not have all that the leader has.
fn late(voting: &Voting, but: Option<Id>) -> Option<Id> {
    let metrics = voting.raft.metrics();
    let metrics = metrics.borrow();
    let replication = metrics.replication.as_ref()?;
    let voters: BTreeSet<Id> = metrics.membership_config.membership().voter_ids().collect();
    let late = |id: &Id| {
        let matched = replication.get(id).copied().flatten().map(|at| at.index);
        *id != metrics.id && Some(*id) != but && matched < metrics.last_log_index
    };
    voters.into_iter().find(late)
}
