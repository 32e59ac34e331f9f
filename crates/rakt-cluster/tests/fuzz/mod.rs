//! What the fuzz targets of this crate run. Each target is one line in `fuzz/`, which includes this file; `tests/corpus.rs`
//! runs the corpus through the same functions on stable.
//!
//! None of these may panic, whatever the bytes. What is accepted is written as the same bytes.

use rakt_cluster::View;
use rakt_cluster::directory::Word;
use rakt_cluster::participant::Envelope;

/// A view of a peer or of the register.
pub fn view(data: &[u8]) {
    let Ok(view) = View::decode(data) else { return };
    assert_eq!(view.encode(), data);
}

/// The word of a directory, and the parts that it may be cut into: the first byte says how long they are.
pub fn word(data: &[u8]) {
    let Some((&max, data)) = data.split_first() else { return };
    let Ok(word) = Word::decode(data) else { return };
    assert_eq!(word.encode(), data);
    for part in word.split(usize::from(max) * 8) {
        assert_eq!(Word::decode(&part.encode()), Ok(part));
    }
}

/// A message of a participant.
pub fn envelope(data: &[u8]) {
    let Ok(envelope) = Envelope::decode(data) else { return };
    assert_eq!(envelope.encode(), data);
}
