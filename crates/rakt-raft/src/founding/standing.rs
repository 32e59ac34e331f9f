//! What is on the disk of a node.

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::names::{ClusterId, Id, Places};

/// Where a node is on its way into a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    /// At the beginning.
    Fresh,
    /// It asks the others to promise.
    Proposed(Plan),
    /// It has promised, and follows no other plan until this one is carried out or given up.
    Promised(Plan),
    /// It has a cluster, for good.
    Member(Member),
}

/// The cluster of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) cluster: ClusterId,
    /// The voters, as they were last known.
    pub(crate) voters: Places,
    /// Which entry of the log says that they are.
    pub(crate) as_of: u64,
    /// Whether this node alone begins the log.
    pub(crate) is_founder: bool,
    /// Whether this node has a log.
    pub(crate) is_voter: bool,
}

impl Member {
    /// What another node than the one whose it is makes of it.
    pub(crate) fn seen_by(&self, id: Id, is_founding: bool) -> Self {
        let is_voter = is_founding && self.voters.contains_key(&id);
        Self { is_founder: false, is_voter, ..self.clone() }
    }
}

impl Standing {
    /// The cluster that it has, or that it would have by a plan that is not given up.
    pub(crate) fn plan(&self) -> Option<ClusterId> {
        match self {
            Self::Fresh => None,
            Self::Proposed(plan) | Self::Promised(plan) => Some(plan.cluster),
            Self::Member(member) => Some(member.cluster),
        }
    }
}
