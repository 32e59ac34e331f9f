//! What is on the disk of a node.

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::names::{ClusterId, Places};

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
