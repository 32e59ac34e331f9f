//! Who is to found what.

use serde::{Deserialize, Serialize};

use super::standing::Member;
use crate::names::{ClusterId, Id, Places};

/// Most nodes that found a cluster together. More come later.
pub(crate) const MOST_NODES: u32 = 100;

/// A cluster that is to be, and all the nodes that found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) cluster: ClusterId,
    pub(crate) nodes: Places,
}

impl Plan {
    /// Who alone can carry it out.
    pub(crate) fn founder(&self) -> Option<Id> {
        self.nodes.first_key_value().map(|(id, _)| *id)
    }

    /// The cluster as it begins, for its founder.
    pub(crate) fn founded(&self) -> Member {
        let most = voters(self.nodes.len());
        let voters = self.nodes.iter().take(most).map(|(id, place)| (*id, place.clone())).collect();
        Member { cluster: self.cluster, voters, as_of: 0, is_founder: true, is_voter: true }
    }
}

/// How many of so many nodes vote: an odd number, of which a minority may fail.
pub(crate) fn voters(nodes: usize) -> usize {
    match nodes {
        0..=2 => 1,
        3..=4 => 3,
        5.. => 5,
    }
}
