//! What orders the lives of a grain.

use std::fmt;

/// Which life of a grain: each activation has a greater one than every activation of that grain before it.
///
/// A [store](super::GrainStore) refuses what comes from an older one. Where a grain writes elsewhere too, it can send
/// [this](crate::Context::epoch) along, to be compared there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "stores write down all of it, in this order")]
pub struct Epoch {
    /// Counts how often epochs had to begin anew: greater at every start of a node that is alone. 0 for a life that no cluster
    /// has granted, of an [available](super::Consistency::Available) kind: then only the node knows it by its epoch.
    pub generation: u64,
    /// Which view of the cluster gave it out; 0 on a node that is alone.
    pub view: u64,
    /// Counts the activations under that view.
    pub counter: u64,
}

impl Epoch {
    /// Of a life that begins without the word of its cluster; the number tells those of one node apart.
    pub(super) fn ungranted(counter: u64) -> Self {
        Self { generation: 0, view: 0, counter }
    }

    pub(super) fn is_granted(self) -> bool {
        self.generation > 0
    }

    /// All parts, for a store that keeps it in one field: the later epoch has the greater bytes.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let parts = [self.generation, self.view, self.counter];
        for (bytes, part) in bytes.chunks_exact_mut(8).zip(parts) {
            bytes.copy_from_slice(&part.to_be_bytes());
        }
        bytes
    }

    /// The epoch whose [bytes](Self::to_bytes) these are.
    pub fn from_bytes(bytes: [u8; 24]) -> Self {
        let mut parts = [0; 3];
        for (part, bytes) in parts.iter_mut().zip(bytes.chunks_exact(8)) {
            *part = bytes.iter().fold(0, |part, byte| part << 8 | u64::from(*byte));
        }
        let [generation, view, counter] = parts;
        Self { generation, view, counter }
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_have_the_order_of_their_epochs(a in any::<[u64; 3]>(), mut b in any::<[u64; 3]>(), same in 0_usize..4) {
            b[..same].copy_from_slice(&a[..same]);
            let [a, b] = [a, b].map(|[generation, view, counter]| Epoch { generation, view, counter });
            prop_assert_eq!(Epoch::from_bytes(a.to_bytes()), a);
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        }
    }
}
