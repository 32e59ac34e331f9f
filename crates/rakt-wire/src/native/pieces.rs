//! Frames that are given out where they lie, between those that are written to the buffer.

use bytes::Bytes;

use super::transmit::Transmit;

/// Buffers of whole frames that were accepted as they are. Each lies before the byte of the buffer at its place.
#[derive(Default)]
pub(super) struct Pieces {
    list: Vec<(usize, Vec<u8>)>,
    len: usize,
}

impl Pieces {
    /// Puts frames behind so many bytes of the buffer.
    pub(super) fn push(&mut self, at: usize, frames: Vec<u8>) {
        self.len = self.len.saturating_add(frames.len());
        self.list.push((at, frames));
    }

    /// Bytes of all of them.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Moves the buffer to the end of `out`, with the pieces in their places.
    #[inline]
    pub(super) fn hand_over(&mut self, buffer: &mut Vec<u8>, out: &mut impl Transmit) {
        let start = out.bytes().len();
        hand_over(buffer, out.bytes());
        if !self.list.is_empty() {
            let pieces = std::mem::take(self).list.into_iter();
            out.insert(start, pieces.map(|(at, frames)| (at, Bytes::from(frames))));
        }
    }
}

/// Moves everything from `from` to `to`, by trading places where that is possible.
#[inline]
pub(super) fn hand_over(from: &mut Vec<u8>, to: &mut Vec<u8>) {
    if from.is_empty() {
        return;
    }
    if to.is_empty() {
        std::mem::swap(from, to);
    } else {
        to.extend_from_slice(from);
        from.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::transmit::Segments;
    use super::*;

    fn handed_over(out: &mut impl Transmit) {
        let mut pieces = Pieces::default();
        let mut buffer = Vec::new();
        for (frames, more) in [("a", ""), ("bb", "xy"), ("ccc", "z"), ("d", "")] {
            pieces.push(buffer.len(), frames.into());
            buffer.extend_from_slice(more.as_bytes());
        }
        assert_eq!(pieces.len(), 7);
        pieces.hand_over(&mut buffer, out);
        assert_eq!((pieces.len(), buffer.len()), (0, 0));
    }

    #[test]
    fn pieces_are_given_out_in_their_places() {
        for before in ["", "before "] {
            let expected = format!("{before}abbxycccz{}", "d");
            let mut vec = before.as_bytes().to_vec();
            handed_over(&mut vec);
            assert_eq!(vec, expected.as_bytes());
            let mut segments = Segments::default();
            segments.bytes().extend_from_slice(before.as_bytes());
            handed_over(&mut segments);
            assert_eq!(
                (segments.len(), segments.to_vec()),
                (expected.len(), expected.into_bytes())
            );
        }
    }
}
