//! What a connection writes next, and how large payloads get there without being copied.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Where [`Outbound::poll_transmit`](super::Outbound::poll_transmit) puts what is to be written: a
/// `Vec`, which copies all of it, or [`Segments`].
pub trait Transmit {
    /// The end of it, for bytes that are made on the spot. Only to append to.
    fn bytes(&mut self) -> &mut Vec<u8>;

    /// Appends a part of a large payload.
    fn put_payload(&mut self, payload: Bytes);

    /// Inserts payloads before bytes of [`bytes`](Self::bytes) that were appended last, by their places from `start` on. They
    /// come in the order of their places, and after all payloads that were put so far.
    fn insert(&mut self, start: usize, payloads: impl Iterator<Item = (usize, Bytes)>);

    /// Bytes to write.
    fn len(&self) -> usize;

    /// Whether there is nothing to write.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Transmit for Vec<u8> {
    fn bytes(&mut self) -> &mut Vec<u8> {
        self
    }

    fn put_payload(&mut self, payload: Bytes) {
        self.extend_from_slice(&payload);
    }

    fn insert(&mut self, start: usize, payloads: impl Iterator<Item = (usize, Bytes)>) {
        let appended = self.split_off(start.min(self.len()));
        let mut from = 0;
        for (at, payload) in payloads {
            self.extend_from_slice(appended.get(from..at).unwrap_or_default());
            self.extend_from_slice(&payload);
            from = at;
        }
        self.extend_from_slice(appended.get(from..).unwrap_or_default());
    }

    fn len(&self) -> usize {
        self.len()
    }
}

/// Bytes to write, with parts of large payloads between them that are shared with their owners.
///
/// What is written is taken off the front with [`Segments::advance`]. Frames that are made on the spot
/// share one buffer, which is kept once all is written. `Debug` shows how much there is to write, not what.
#[derive(Default)]
pub struct Segments {
    bytes: Vec<u8>,
    /// How many of `bytes` are written.
    written: usize,
    /// Each lies before the byte of `bytes` at its place.
    payloads: VecDeque<(usize, Bytes)>,
    payload_len: usize,
}

impl Segments {
    /// The bytes at the front; empty when all is written.
    #[inline]
    pub fn front(&self) -> &[u8] {
        match self.payloads.front() {
            Some((at, payload)) if *at <= self.written => payload,
            Some((at, _)) => self.bytes.get(self.written..*at).unwrap_or_default(),
            None => self.bytes.get(self.written..).unwrap_or_default(),
        }
    }

    /// Whether all of it lies in one piece.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.payloads.is_empty()
    }

    /// Fills `slices` from the front for a vectored write, with `limit` bytes at most; returns how many
    /// are filled.
    pub fn slices<'a>(&'a self, limit: usize, slices: &mut [IoSlice<'a>]) -> usize {
        let (mut left, mut filled) = (limit, 0_usize);
        for (slice, piece) in slices.iter_mut().zip(self.pieces()) {
            let piece = piece.get(..left).unwrap_or(piece);
            if piece.is_empty() {
                break;
            }
            *slice = IoSlice::new(piece);
            filled = filled.saturating_add(1);
            left = left.saturating_sub(piece.len());
        }
        filled
    }

    /// All that is not written, from the front; none is empty.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.payloads.iter().map(|(end, payload)| (*end, &payload[..]));
        let pieces = ends.chain([(self.bytes.len(), &[][..])]).scan(self.written, |at, piece| {
            let start = std::mem::replace(at, piece.0);
            Some([self.bytes.get(start..piece.0).unwrap_or_default(), piece.1])
        });
        pieces.flatten().filter(|piece| !piece.is_empty())
    }

    /// Takes `n` bytes off the front, or all if there are fewer.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        if self.payloads.is_empty() {
            self.written = self.written.saturating_add(n).min(self.bytes.len());
        } else {
            self.advance_pieces(n);
        }
        if self.is_empty() {
            self.bytes.clear();
            self.written = 0;
        }
    }

    fn advance_pieces(&mut self, mut n: usize) {
        while n > 0 {
            let step = n.min(self.front().len());
            match self.payloads.front_mut() {
                _ if step == 0 => break,
                Some((at, payload)) if *at <= self.written => {
                    payload.advance(step);
                    self.payload_len = self.payload_len.saturating_sub(step);
                    if payload.is_empty() {
                        self.payloads.pop_front();
                    }
                }
                _ => self.written = self.written.saturating_add(step),
            }
            n = n.saturating_sub(step);
        }
    }

    /// Copies what is left together.
    pub fn to_vec(&self) -> Vec<u8> {
        self.pieces().collect::<Vec<_>>().concat()
    }

    /// Gives the buffer up if it has room for more than `limit` bytes and nothing is to be written.
    #[inline]
    pub fn shrink(&mut self, limit: usize) {
        if self.is_empty() && self.bytes.capacity() > limit {
            *self = Self::default();
        }
    }
}

impl Transmit for Segments {
    #[inline]
    fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    fn put_payload(&mut self, payload: Bytes) {
        if !payload.is_empty() {
            self.payload_len = self.payload_len.saturating_add(payload.len());
            self.payloads.push_back((self.bytes.len(), payload));
        }
    }

    fn insert(&mut self, start: usize, payloads: impl Iterator<Item = (usize, Bytes)>) {
        for (at, payload) in payloads.filter(|(_, payload)| !payload.is_empty()) {
            self.payload_len = self.payload_len.saturating_add(payload.len());
            self.payloads.push_back((start.saturating_add(at), payload));
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.written).saturating_add(self.payload_len)
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments")
            .field("len", &self.len())
            .field("payloads", &self.payloads.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(pieces: &[(bool, &'static str)]) -> Segments {
        let mut segments = Segments::default();
        for (is_payload, text) in pieces {
            match is_payload {
                true => segments.put_payload(Bytes::from_static(text.as_bytes())),
                false => segments.bytes().extend_from_slice(text.as_bytes()),
            }
        }
        segments
    }

    #[test]
    fn what_goes_in_comes_out_in_order_however_much_is_written_at_a_time() {
        let whole = "head payload more last tail";
        for step in 1..=whole.len() {
            let mut left = segments(&[
                (false, "head "),
                (true, "payload "),
                (false, "more "),
                (true, ""),
                (true, "last "),
                (false, "tail"),
            ]);
            assert_eq!((left.len(), left.is_contiguous()), (whole.len(), false));
            let mut written = Vec::new();
            while !left.is_empty() {
                assert_eq!(left.to_vec(), whole.as_bytes()[written.len()..]);
                assert!(!left.front().is_empty());
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = left.slices(step, &mut slices);
                let piece: Vec<u8> =
                    slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
                assert!(piece.starts_with(&left.front()[..step.min(left.front().len())]));
                assert!(piece.len() == step || filled == 3 || piece.len() == left.len());
                left.advance(piece.len());
                written.extend(piece);
            }
            assert_eq!(written, whole.as_bytes());
            assert!(left.front().is_empty() && left.is_contiguous());
        }
    }

    #[test]
    fn a_payload_is_not_copied_and_let_go_once_it_is_written() {
        let payload = Bytes::from(vec![7; 1000]);
        let mut segments = Segments::default();
        segments.bytes().push(1);
        segments.put_payload(payload.slice(10..));
        segments.advance(1);
        assert_eq!(segments.front().as_ptr(), payload[10..].as_ptr());
        segments.advance(989);
        assert!(!payload.is_unique());
        segments.advance(1);
        assert!(payload.is_unique());
    }
}
