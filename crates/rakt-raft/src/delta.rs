//! How one document becomes the next one, in few bytes: a change of one member of a large cluster is some hundred.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::blob::Blob;

/// The largest document, in bytes: the largest view.
pub(crate) const MAX_LEN: usize = rakt_cluster::view::MAX_VIEW_LEN;
/// What is looked for in the old document, in bytes.
const BLOCK: usize = 16;

/// What makes the new document of the old one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delta(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Piece {
    /// From the old document.
    Kept {
        from: u32,
        len: u32,
    },
    New(Blob),
}

/// It does not belong to this document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a change does not belong to the document that it is for")]
pub(crate) struct Foreign;

impl Delta {
    /// From one document of at most [`MAX_LEN`] to another.
    pub(crate) fn between(old: &[u8], new: &[u8]) -> Self {
        let blocks: HashMap<&[u8], usize> =
            old.chunks_exact(BLOCK).enumerate().map(|(n, block)| (block, n * BLOCK)).collect();
        let mut pieces = Vec::new();
        // What comes before `done` is in the pieces; nothing was found up to `at`.
        let (mut done, mut at) = (0, 0);
        while let Some(block) = new.get(at..at + BLOCK) {
            let Some(&found) = blocks.get(block) else {
                at += 1;
                continue;
            };
            let before = common(new[done..at].iter().rev(), old[..found].iter().rev());
            let (from, start) = (found - before, at - before);
            let len = before + common(new[at..].iter(), old[found..].iter());
            if start > done {
                pieces.push(Piece::New(new[done..start].to_vec().into()));
            }
            pieces.push(Piece::Kept { from: from as u32, len: len as u32 });
            (done, at) = (start + len, start + len);
        }
        if done < new.len() {
            pieces.push(Piece::New(new[done..].to_vec().into()));
        }
        Self(pieces)
    }

    /// The new document.
    pub(crate) fn apply(&self, old: &[u8]) -> Result<Vec<u8>, Foreign> {
        let mut new = Vec::with_capacity(old.len());
        for piece in &self.0 {
            let bytes = match piece {
                Piece::New(bytes) => bytes,
                Piece::Kept { from, len } => {
                    let from = *from as usize;
                    let to = from.checked_add(*len as usize).ok_or(Foreign)?;
                    old.get(from..to).ok_or(Foreign)?
                }
            };
            if bytes.len() > MAX_LEN - new.len() {
                return Err(Foreign);
            }
            new.extend_from_slice(bytes);
        }
        Ok(new)
    }
}

fn common<'a>(a: impl Iterator<Item = &'a u8>, b: impl Iterator<Item = &'a u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

/// A sum by which a document is recognised (FNV-1a, 64 bits): against mistakes, not against enemies.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_document_becomes_the_next_one(old in vec(0..4_u8, 0..300), new in vec(0..4_u8, 0..300)) {
            prop_assert_eq!(Delta::between(&old, &new).apply(&old), Ok(new));
        }

        #[test]
        fn what_was_changed_in_few_places_is_little(
            old in vec(any::<u8>(), 2_000..4_000),
            edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut new = old.clone();
            for (at, byte) in &edits {
                let at = at.index(new.len());
                new[at] = *byte;
            }
            let at = cut.index(new.len());
            new.splice(at..at, *b"a member that has come");
            let delta = Delta::between(&old, &new);
            let len = postcard::to_stdvec(&delta)?.len();
            prop_assert!(len < 300, "{} bytes", len);
            prop_assert_eq!(delta.apply(&old), Ok(new));
        }

        #[test]
        fn any_delta_is_an_error_at_worst(old in vec(any::<u8>(), 0..100), bytes in vec(any::<u8>(), 0..100)) {
            if let Ok(delta) = postcard::from_bytes::<Delta>(&bytes) {
                let _ = delta.apply(&old);
            }
        }
    }

    #[test]
    fn a_document_has_an_end() {
        let old = vec![7; 1 << 16];
        let kept = || Piece::Kept { from: 0, len: 1 << 16 };
        let most = MAX_LEN >> 16;
        let just = Delta((0..most).map(|_| kept()).collect());
        assert_eq!(just.apply(&old).map(|new| new.len()), Ok(MAX_LEN));
        let more = Delta((0..=most).map(|_| kept()).collect());
        assert_eq!(more.apply(&old), Err(Foreign));
    }
}
