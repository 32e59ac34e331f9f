//! Who a node is: over its restarts, in one run of its process, and as an entry of the view.

use std::fmt;

use crate::bytes::{DecodeError, array, put_varint, varint};

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

impl Seat {
    /// Writes it: 16 bytes each of the node and the run, most significant first, and the admission.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.id.0.to_be_bytes());
        out.extend(self.incarnation.0.to_be_bytes());
        put_varint(out, self.joined);
    }

    /// Reads one off the front.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(from: &mut &[u8]) -> Result<Self, DecodeError> {
        let id = NodeId(u128::from_be_bytes(array(from, "a node")?));
        let incarnation = Incarnation(u128::from_be_bytes(array(from, "an incarnation")?));
        Ok(Self { id, incarnation, joined: varint(from, "an admission")? })
    }
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
