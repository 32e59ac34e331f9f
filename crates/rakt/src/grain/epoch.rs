//! What orders the lives of a grain.

use std::fmt;

/// Which life of a grain: each activation has a greater one than every activation of that grain before it.
///
/// A [store](super::GrainStore) refuses what comes from an older one. Where a grain writes elsewhere too, it can send
/// [this](crate::Context::epoch) along, to be compared there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "stores write down all of it, in this order")]
pub struct Epoch {
    /// Counts how often epochs had to begin anew: greater at every start of a node that is alone.
    pub generation: u64,
    /// Which view of the cluster gave it out; 0 on a node that is alone.
    pub view: u64,
    /// Counts the activations under that view.
    pub counter: u64,
}

/// The parts with dots between them, the greatest first.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, view, counter } = self;
        write!(f, "{generation}.{view}.{counter}")
    }
}

/// One life of one node: who it is that has claimed a grain, and may write.
///
/// Two that have the same epoch, which only a fault can bring about, are told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "stores write down all of it")]
pub struct Writer {
    /// Tells this start of the node from others: random bits.
    pub incarnation: [u8; 16],
    /// Tells this activation from others of the node.
    pub uid: u64,
}

impl Writer {
    /// Both parts, for a store that keeps it in one field.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let (incarnation, uid) = bytes.split_at_mut(16);
        incarnation.copy_from_slice(&self.incarnation);
        uid.copy_from_slice(&self.uid.to_be_bytes());
        bytes
    }
}
