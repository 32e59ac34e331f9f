//! All that is said, and in which ways.

use std::sync::Arc;

use rakt_wire::Compression;
use rakt_wire::goakt::Procedure;
use rakt_wire::native::FrameKind;

use crate::phrase::{Opening, Phrase};
use crate::strategy::Strategy;
use crate::{goakt, greeting, native};

/// All phrases, for the node at `port`: always as many, in the same order.
pub(crate) fn phrases(port: u16) -> Vec<Arc<Phrase>> {
    let mut all = greeting::phrases();
    all.extend(FrameKind::ALL.into_iter().flat_map(native::phrases));
    for compression in
        [Compression::None, Compression::Zstd, Compression::Gzip, Compression::Brotli]
    {
        let of = |procedure: &Procedure| goakt::phrases(*procedure, compression, port);
        all.extend(Procedure::ALL.iter().flat_map(of));
    }
    all.into_iter().map(Arc::new).collect()
}

/// The ways in which a phrase is said.
pub(crate) fn strategies(phrase: &Phrase) -> Vec<Strategy> {
    match phrase.opening {
        // There is nothing to repeat, and nobody to listen to.
        Opening::Nothing => vec![Strategy::Unfinished, Strategy::Disconnect],
        Opening::Native | Opening::GoAkt(Compression::None) => Strategy::ALL.to_vec(),
        // What is said is the same, only the decoder is another. zstd is what Go nodes are set to.
        Opening::GoAkt(Compression::Zstd) if phrase.is_plain() => Strategy::ALL.to_vec(),
        Opening::GoAkt(_) if phrase.is_plain() => vec![Strategy::Unfinished, Strategy::Many],
        Opening::GoAkt(_) => vec![Strategy::Many],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phrase::{At, Size};

    #[test]
    fn every_phrase_says_something_in_every_size() {
        for phrase in phrases(1) {
            for size in [Size::Small, Size::Medium, Size::Large] {
                let (name, said) = (phrase.name(), phrase.say(At { n: 1, unique: 7 }, size));
                // A connection without a word is one of the things to try.
                assert!(!said.is_empty() || name == "nothing", "{name}, {size:?}");
                assert!(said.len() <= 18 * 1024 * 1024, "{name}, {size:?}: {}", said.len());
            }
        }
    }
}
