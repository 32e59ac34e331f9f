//! What nodes ask each other, as messages to the actor [`DOOR`] of each of them; and how much of it is taken.

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::delta::MAX_LEN;
use crate::document::{SwapId, Swapped};
use crate::founding::{Card, Declined, MOST_NODES, MOST_PLACES, Plan, Standing, Welcome};
use crate::names::{ClusterId, Id, Place, Places};
use crate::types::{At, Types};

/// The actor that takes calls.
pub(crate) const DOOR: &str = "rakt-raft";
/// Most entries in a call; how long they may be together, the remoting bounds.
pub(crate) const MOST_ENTRIES: usize = 256;
/// Most voters of a cluster that are read of; fewer are ever made.
const MOST_VOTERS: usize = 16;
/// The longest name of a host, in bytes.
const MAX_HOST_LEN: usize = 255;
/// A term or an index that no cluster comes to: after ten thousand a second for eight hundred years.
const MAX_COUNT: u64 = 1 << 48;

#[derive(Clone, Debug, Serialize, Deserialize, rakt::Message)]
#[rakt(name = "rakt_raft.Call", codec = "postcard", reply = Answer)]
pub(crate) enum Call {
    /// One node tells another who it is, and wants to know the same.
    Hello(Card),
    Propose(Plan),
    Append {
        of: Whom,
        rpc: AppendEntriesRequest<Types>,
    },
    Vote {
        of: Whom,
        rpc: VoteRequest<Id>,
    },
    /// To make ready to become a voter.
    Serve(Whom),
    Lead {
        cluster: ClusterId,
        what: Lead,
    },
    /// To be answered when there is a version other than this one, or after a while.
    Newer {
        cluster: ClusterId,
        than: u64,
    },
}

/// For whom a call is: a node of another cluster or with another directory is not meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whom {
    pub(crate) cluster: ClusterId,
    pub(crate) id: Id,
}

/// What the leader is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lead {
    Read,
    Confirm(u64),
    Swap {
        id: SwapId,
        over: u64,
        view: Blob,
    },
    Voters,
    /// Has a node become a voter, in the place of another one if that is named.
    Replace {
        old: Option<Id>,
        new: Id,
        at: Place,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Welcome(Welcome),
    Promised(Result<(), Declined>),
    Append(AppendEntriesResponse<Id>),
    Vote(VoteResponse<Id>),
    Serves,
    Led(Led),
    Newer(u64),
    /// Another one is meant; this is who is here.
    NotMe(Option<Whom>),
    Busy,
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Led {
    Document {
        version: u64,
        view: Blob,
    },
    Newest(bool),
    Swapped(Swapped),
    Voters(Places),
    /// The voters were not changed, and why.
    Refused(String),
    /// Another one leads, if anybody.
    Elsewhere(Option<(Id, Place)>),
    /// It may have happened.
    Failed(String),
}

impl Call {
    /// Whether it keeps the bounds.
    pub(crate) fn is_bounded(&self) -> bool {
        match self {
            Self::Hello(card) => is_card_bounded(card),
            Self::Propose(plan) => is_plan_bounded(plan),
            Self::Append { rpc, .. } => {
                let ids = [rpc.prev_log_id, rpc.leader_commit];
                let mut ids =
                    ids.into_iter().flatten().chain(rpc.entries.iter().map(|entry| entry.log_id));
                rpc.entries.len() <= MOST_ENTRIES
                    && rpc.vote.leader_id.term < MAX_COUNT
                    && ids.all(is_at_bounded)
            }
            Self::Vote { rpc, .. } => {
                rpc.vote.leader_id.term < MAX_COUNT
                    && rpc.last_log_id.into_iter().all(is_at_bounded)
            }
            Self::Lead { what: Lead::Swap { view, .. }, .. } => view.len() <= MAX_LEN,
            Self::Lead { what: Lead::Replace { at, .. }, .. } => is_place_bounded(at),
            Self::Serve(_) | Self::Lead { .. } | Self::Newer { .. } => true,
        }
    }
}

impl Answer {
    /// Whether it keeps the bounds that calls keep.
    pub(crate) fn is_bounded(&self) -> bool {
        match self {
            Self::Welcome(welcome) => is_card_bounded(&welcome.card),
            Self::Led(Led::Document { view, .. }) => view.len() <= MAX_LEN,
            Self::Led(Led::Voters(places)) => are_voters_bounded(places),
            Self::Led(Led::Elsewhere(Some((_, place)))) => is_place_bounded(place),
            Self::Vote(answer) => answer.vote.leader_id.term < MAX_COUNT,
            Self::Append(AppendEntriesResponse::HigherVote(vote)) => {
                vote.leader_id.term < MAX_COUNT
            }
            _ => true,
        }
    }
}

fn is_at_bounded(at: At) -> bool {
    at.index < MAX_COUNT && at.leader_id.term < MAX_COUNT
}

fn is_place_bounded(place: &Place) -> bool {
    place.host.len() <= MAX_HOST_LEN
}

fn are_voters_bounded(places: &Places) -> bool {
    places.len() <= MOST_VOTERS && places.values().all(is_place_bounded)
}

fn is_plan_bounded(plan: &Plan) -> bool {
    plan.nodes.len() <= MOST_NODES as usize && plan.nodes.values().all(is_place_bounded)
}

fn is_card_bounded(card: &Card) -> bool {
    let is_standing = match &card.standing {
        Standing::Fresh => true,
        Standing::Proposed(plan) | Standing::Promised(plan) => is_plan_bounded(plan),
        Standing::Member(member) => are_voters_bounded(&member.voters),
    };
    is_standing
        && is_place_bounded(&card.place)
        && card.sees.len() <= MOST_PLACES
        && card.knows.len() <= MOST_PLACES
        && card.knows.iter().all(is_place_bounded)
}
