//! Long words as several. What is said of slots is taken slot by slot, so that each part stands for itself: parts may come in
//! any order, come twice, or be lost, as words may.

use super::codec::{put_given, put_lives};
use super::word::Word;
use crate::epoch::Stamp;
use crate::slots::Slot;

/// Most bytes of a slot's number, and of how many slots there are.
const NUMBER_LEN: usize = 2;

impl Word {
    /// Cuts a word about slots into several of at most `max` bytes each, in order. A slot is never cut: one that alone takes up
    /// more is in a word of its own, which is longer. Any other word stays as it is.
    #[must_use]
    pub fn split(self, max: usize) -> Vec<Self> {
        let whole = |_: &Slot, _: &mut Vec<u8>| ();
        match self {
            Self::Pull { at, slots } => {
                cut(at, slots, max, whole, |slots| Self::Pull { at, slots })
            }
            Self::Ask { at, slots } => cut(at, slots, max, whole, |slots| Self::Ask { at, slots }),
            Self::Given { at, slots } => {
                let put = |(_, entries): &_, out: &mut _| put_given(out, Option::as_ref(entries));
                cut(at, slots, max, put, |slots| Self::Given { at, slots })
            }
            Self::Report { at, slots } => {
                let put = |(_, lives): &(_, Vec<_>), out: &mut _| put_lives(out, lives);
                cut(at, slots, max, put, |slots| Self::Report { at, slots })
            }
            word => vec![word],
        }
    }
}

/// Fills one word after the other. `put` writes what is said of a slot.
fn cut<T>(
    at: Stamp,
    slots: Vec<T>,
    max: usize,
    put: impl Fn(&T, &mut Vec<u8>),
    word: impl Fn(Vec<T>) -> Word,
) -> Vec<Word> {
    let mut bytes = vec![0];
    at.encode(&mut bytes);
    let head = bytes.len().saturating_add(NUMBER_LEN);
    let (mut words, mut part, mut len) = (Vec::new(), Vec::new(), head);
    for slot in slots {
        bytes.clear();
        put(&slot, &mut bytes);
        let more = bytes.len().saturating_add(NUMBER_LEN);
        if len.saturating_add(more) > max && !part.is_empty() {
            words.push(word(std::mem::take(&mut part)));
            len = head;
        }
        len = len.saturating_add(more);
        part.push(slot);
    }
    if !part.is_empty() || words.is_empty() {
        words.push(word(part));
    }
    words
}
