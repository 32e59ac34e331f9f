//! How the voters have another leader at once where the process of the one that led is gone.
//!
//! By its timers openraft elects nobody within six heartbeats of the last one, since a voter is loyal to a leader for so long, nor
//! before another three to six are over. A leader whose port refuses connections, and who says nothing, does not come back as the
//! leader: a voter that sees both stands for election, and one that is asked for its vote and sees the same is loyal no longer.
//! A vote is as good as any other, whatever it was cast for; so where this is wrong there is one election too many.

use std::sync::{Arc, Mutex};

use openraft::raft::VoteRequest;
use rakt::error::Chain;
use tokio::time::Instant;

use super::voting::Voting;
use super::{Node, reach};
use crate::call::Call;
use crate::names::Id;
use crate::network::ask;

/// So many heartbeats were not heard from a leader that may be gone.
const MISSED: u32 = 2;

/// What a voter has heard of the leader.
#[derive(Debug)]
pub(super) struct Heard {
    last: Mutex<Instant>,
    /// In which term this voter has stood for election since the leader was gone, so as to do that once.
    stood: tokio::sync::Mutex<u64>,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self { last: Mutex::new(Instant::now()), stood: tokio::sync::Mutex::default() }
    }

    /// Somebody speaks as the leader.
    pub(super) fn note(&self) {
        *reach(&self.last) = Instant::now();
    }

    fn last(&self) -> Instant {
        *reach(&self.last)
    }
}

impl Node {
    /// Looks after the leader, as long as this node votes. Those with the higher ids come first, so that one stands.
    pub(super) async fn look_after_leader(node: std::sync::Weak<Self>, voting: Arc<Voting>) {
        loop {
            let pause = {
                let Some(node) = node.upgrade() else { return };
                let heartbeat = node.options.heartbeat;
                let patience = heartbeat * MISSED + heartbeat / 2 * voting.before(node.id());
                match patience.saturating_sub(voting.heard.last().elapsed()) {
                    left if left.is_zero() => {
                        node.succeed(&voting).await;
                        heartbeat
                    }
                    left => left,
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Before a vote is given to another one with a higher id.
    pub(super) async fn doubt_leader(&self, voting: &Voting, asks: &VoteRequest<Id>) {
        let is_silent = voting.heard.last().elapsed() >= self.options.heartbeat;
        if is_silent && asks.vote.leader_id.node_id > self.id() {
            self.succeed(voting).await;
        }
    }

    /// Stands for election, if the process of the leader is gone.
    async fn succeed(&self, voting: &Voting) {
        let mut stood = voting.heard.stood.lock().await;
        let (leader, term) = {
            let metrics = voting.raft.metrics();
            let metrics = metrics.borrow();
            (metrics.current_leader, metrics.current_term)
        };
        let Some(leader) = leader.filter(|leader| *leader != self.id() && *stood < term) else {
            return;
        };
        let Some(place) = self.book.place(leader) else { return };
        let hello = Call::Hello(self.card());
        let limit = self.options.heartbeat / 2;
        let Err(why) = ask(&self.starting.system, &place, hello, limit).await else { return };
        if !why.is_refused() {
            return;
        }
        tracing::info!("the leader is gone, and this node stands for election: {}", Chain(&why));
        *stood = term;
        // One that has ended says so by itself.
        let _ = voting.raft.trigger().elect().await;
    }
}

impl Voting {
    /// So many voters that may live have a higher id.
    fn before(&self, id: Id) -> u32 {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let voters = metrics.membership_config.membership().voter_ids();
        voters.filter(|voter| *voter > id && Some(*voter) != metrics.current_leader).count() as u32
    }
}
