//! Who a node is: over its restarts, in one run of its process, and as an entry of the view.

use std::fmt;

/// A node over all its restarts: what its data directory keeps, or random where it has none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u128);

/// One run of a node: 128 random bits, new at every start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u128);

/// One entry of a view, from its admission until it is gone.
///
/// The version that admitted it belongs to it: a late or repeated request to join can list a dropped incarnation again,
/// and a node that was paused would wake up into a lease over what others have taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// The node.
    pub id: NodeId,
    /// Which run of it.
    pub incarnation: Incarnation,
    /// The version of the view that admitted it.
    pub joined: u64,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({:x})", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({:x})", self.0)
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} admitted in {}", self.id, self.joined)
    }
}
