//! What a node does as a voter, and as the leader of the voters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{
    CheckIsLeaderError, ClientWriteError, Fatal, ForwardToLeader, InitializeError, RaftError,
};
use rakt::cluster::Starting;
use rakt::error::{Cause, Chain};
use tokio::sync::{mpsc, oneshot, watch};

use super::Node;
use super::succeeding::Heard;
use crate::blob::Blob;
use crate::call::{Lead, Led};
use crate::document::{Change, SwapId, Swapped};
use crate::error::StartError;
use crate::founding::Member;
use crate::names::{Id, Place};
use crate::network::Network;
use crate::store::{Applied, Log, Machine};
use crate::types::Voter;

/// Most who wait to hear whether this node leads.
const MOST_ROUNDS: usize = 1_024;

/// A voter that runs.
pub(super) struct Voting {
    pub(super) raft: Voter,
    pub(super) applied: Arc<watch::Sender<Applied>>,
    pub(super) heard: Heard,
    rounds: mpsc::Sender<oneshot::Sender<Result<(), Led>>>,
}

impl Voting {
    pub(super) async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!("a voter did not end as it should: {error}");
        }
    }

    /// Waits until all that was acknowledged before this call is in what is applied here, as the leader: by a round of a
    /// majority that begins after the call, and that all share who call while another one is under way.
    pub(super) async fn catch_up(&self) -> Result<(), Led> {
        let (tell, told) = oneshot::channel();
        let gone = || Led::Failed("the voter has ended".to_owned());
        self.rounds.send(tell).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }
}

impl From<ForwardToLeader<Id, Place>> for Led {
    fn from(forward: ForwardToLeader<Id, Place>) -> Self {
        Self::Elsewhere(forward.leader_id.zip(forward.leader_node))
    }
}

/// One round after the other, each for all who wait by then.
async fn rounds(
    raft: Voter,
    limit: Duration,
    mut calls: mpsc::Receiver<oneshot::Sender<Result<(), Led>>>,
) {
    let mut waiting = Vec::new();
    while calls.recv_many(&mut waiting, MOST_ROUNDS).await > 0 {
        let outcome = match tokio::time::timeout(limit, raft.ensure_linearizable()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward)))) => {
                Err(forward.into())
            }
            Ok(Err(error)) => Err(Led::Failed(error.to_string())),
            Err(_) => Err(Led::Failed(format!("no majority has answered within {limit:?}"))),
        };
        for waiting in waiting.drain(..) {
            // Whoever has called may have given up.
            let _ = waiting.send(outcome.clone());
        }
    }
}

impl Node {
    /// Begins to vote.
    pub(super) async fn vote(self: &Arc<Self>, member: &Member) -> Result<(), StartError> {
        if self.voting.borrow().is_some() {
            return Ok(());
        }
        let config = self.options.raft().map_err(|fault| StartError::Options { fault })?;
        let machine = Machine::open(self.dir.clone()).await.map_err(StartError::disk)?;
        let applied = machine.watch();
        let network = Network {
            system: self.starting.system.clone(),
            cluster: member.cluster,
            book: self.book.clone(),
            backoff: self.options.heartbeat,
        };
        let log = Log::new(self.dir.clone());
        let raft = Voter::new(self.id(), Arc::new(config), network, log, machine).await;
        let raft = raft.map_err(StartError::voter)?;
        if member.is_founder && !raft.is_initialized().await.map_err(StartError::voter)? {
            // All have promised, and nobody else does this: the voters are those of the plan.
            let voters: BTreeMap<Id, Place> = member.voters.clone();
            match raft.initialize(voters).await {
                Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(error) => return Err(StartError::voter(error)),
            }
        }
        if raft.metrics().borrow().membership_config.membership().voter_ids().eq([self.id()]) {
            // There is nobody to wait for.
            raft.trigger().elect().await.map_err(StartError::voter)?;
        }
        let (asked, calls) = mpsc::channel(MOST_ROUNDS);
        self.spawn(rounds(raft.clone(), self.options.request_timeout, calls));
        self.spawn(follow(Arc::downgrade(self), applied.subscribe()));
        self.spawn(tell_of_end(raft.clone(), self.starting.clone()));
        let voting = Arc::new(Voting { raft, applied, heard: Heard::new(), rounds: asked });
        self.spawn(Self::look_after_leader(Arc::downgrade(self), voting.clone()));
        self.voting.send_replace(Some(voting));
        Ok(())
    }

    /// Does what only a leader can, or says who may be it.
    pub(super) async fn lead_as(self: &Arc<Self>, voting: &Voting, what: Lead) -> Led {
        let limit = self.options.request_timeout;
        let leading = async {
            match what {
                Lead::Read => {
                    voting.catch_up().await?;
                    let document = voting.applied.borrow().document.clone();
                    let view = Blob(document.bytes().clone());
                    Ok(Led::Document { version: document.version(), view })
                }
                Lead::Confirm(seen) => {
                    voting.catch_up().await?;
                    Ok(Led::Newest(voting.applied.borrow().document.version() == seen))
                }
                Lead::Swap { id, over, view } => swap(voting, id, over, &view).await,
                Lead::Voters => {
                    voting.catch_up().await?;
                    let voters = super::changing::voters(&voting.applied.borrow().voters);
                    Ok(Led::Voters(self.whereabouts(voters)))
                }
                Lead::Replace { old, new, at } => self.replace(voting, old, new, at).await,
            }
        };
        match tokio::time::timeout(limit, leading).await {
            Ok(led) => led.unwrap_or_else(|led: Led| led),
            Err(_) => Led::Failed(format!("it was not done within {limit:?}")),
        }
    }
}

/// A swap is proposed only over what is applied here, and is told from those that made the versions since. So whoever has
/// sent it twice hears what became of the first, and one that is told to be none is not in any log.
async fn swap(voting: &Voting, id: SwapId, over: u64, view: &[u8]) -> Result<Led, Led> {
    let newest = || voting.applied.borrow().document.clone();
    let mut document = newest();
    if document.version() != over {
        voting.catch_up().await?;
        document = newest();
    }
    if document.version() != over {
        // A version that is newer than all was never there, so nobody has proposed anything over it.
        return Ok(Led::Swapped(document.judge(id, over).unwrap_or(Swapped::Conflict)));
    }
    let written = voting.raft.client_write(Change::Swap(document.swap_for(id, view))).await;
    match written {
        Ok(written) => written.data.map(Led::Swapped).ok_or_else(|| {
            Led::Failed("the log has something else where the swap was to be".to_owned())
        }),
        // It may be in the log all the same.
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => Err(forward.into()),
        Err(error) => Err(Led::Failed(error.to_string())),
    }
}

/// Says so if the voter ends by itself, as it does when its disk fails. Its node goes on as one that does not vote.
async fn tell_of_end(raft: Voter, starting: Starting) {
    let mut metrics = raft.metrics();
    let ended = metrics.wait_for(|metrics| metrics.running_state.is_err()).await;
    if let Ok(ended) = ended
        && let Err(fault) = &ended.running_state
        && !matches!(fault, Fatal::Stopped)
    {
        starting.alarm(format!("this node votes no more until it is started again: {fault}"));
    }
}

/// Keeps what is known of the voters as the log has it, also for the next start.
async fn follow(node: std::sync::Weak<Node>, mut applied: watch::Receiver<Applied>) {
    loop {
        let voters = applied.borrow_and_update().voters.clone();
        {
            let Some(node) = node.upgrade() else { return };
            if let Some(as_of) = voters.log_id().map(|at| at.index)
                && let Some(member) = node.member()
                && as_of > member.as_of
            {
                node.book.learn(&Member {
                    voters: super::changing::voters(&voters),
                    as_of,
                    ..member
                });
                if let Err(error) = node.note_voters().await {
                    tracing::error!("{}", Chain(&error));
                }
            }
        }
        if applied.changed().await.is_err() {
            return;
        }
    }
}

impl StartError {
    pub(crate) fn voter(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Voter { source: Cause::new(error) }
    }
}
