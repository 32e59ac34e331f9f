//! Large bodies on their way out, a chunk at a time.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::bounds::FIRST_LEN;
use super::frame::{FrameKind, begin_frame, end_frame, end_frame_with};
use super::transmit::Transmit;
use crate::base::varint::put_varint;

/// Most large bodies whose chunks take turns. The others wait, so that the peer does not have to hold
/// the halves of hundreds of them.
pub(super) const MAX_ACTIVE: usize = 32;

/// One large body.
pub(super) struct Large {
    pub(super) kind: FrameKind,
    /// What comes before the payload. Always goes out whole, in the first chunk.
    pub(super) head: Vec<u8>,
    pub(super) payload: Bytes,
    /// Who has to wait for it, and what it cost in credit.
    pub(super) receiver: Option<(u32, i64)>,
    /// The number by which it can be cancelled.
    pub(super) corr: Option<u64>,
    progress: Option<Progress>,
}

#[derive(Clone, Copy)]
struct Progress {
    stream: u32,
    /// Bytes of the payload that have been given out.
    given: usize,
}

impl Large {
    pub(super) fn new(kind: FrameKind, head: Vec<u8>, payload: Bytes) -> Self {
        Self { kind, head, payload, receiver: None, corr: None, progress: None }
    }

    fn len(&self) -> usize {
        self.head.len().saturating_add(self.payload.len())
    }

    /// Writes the next chunk up to its part of the payload, which is returned.
    fn put_chunk(&mut self, out: &mut Vec<u8>, chunk_len: usize, next_stream: &mut u32) -> Bytes {
        let (start, stream, given, room) = match self.progress {
            None => {
                let stream = *next_stream;
                *next_stream = next_stream.wrapping_add(1);
                let start = begin_frame(out, FrameKind::First);
                put_varint(out, u64::from(stream));
                out.push(self.kind.as_u8());
                put_varint(out, self.len() as u64);
                out.extend_from_slice(&self.head);
                (start, stream, 0, chunk_len.min(FIRST_LEN).saturating_sub(self.head.len()))
            }
            Some(Progress { stream, given }) => {
                let start = begin_frame(out, FrameKind::More);
                put_varint(out, u64::from(stream));
                (start, stream, given, chunk_len)
            }
        };
        let end = given.saturating_add(room).min(self.payload.len());
        let chunk = self.payload.slice(given..end);
        end_frame_with(out, start, chunk.len());
        self.progress = Some(Progress { stream, given: end });
        chunk
    }

    fn is_done(&self) -> bool {
        self.progress.is_some_and(|progress| progress.given == self.payload.len())
    }
}

/// All large bodies of one direction. The first [`MAX_ACTIVE`] take turns.
pub(super) struct Queue {
    bodies: VecDeque<Large>,
    /// The numbers of all that have one: a peer may give up on any number, as often as it likes.
    numbers: BTreeSet<u64>,
    chunk_len: usize,
    next_stream: u32,
    /// Bytes of all of them. One takes up memory until its last chunk is given out, so it counts whole.
    held_len: usize,
}

impl Queue {
    pub(super) fn new(chunk_len: usize) -> Self {
        let (bodies, numbers) = Default::default();
        Self { bodies, numbers, chunk_len, next_stream: 0, held_len: 0 }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.bodies.is_empty()
    }

    #[inline]
    pub(super) fn held_len(&self) -> usize {
        self.held_len
    }

    pub(super) fn push(&mut self, large: Large) {
        self.held_len = self.held_len.saturating_add(large.len());
        self.numbers.extend(large.corr);
        self.bodies.push_back(large);
    }

    /// The numbers of all that have one and are not given out to their end.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.numbers.iter().copied()
    }

    /// Drops all of them.
    pub(super) fn clear(&mut self) {
        (self.bodies, self.numbers, self.held_len) = Default::default();
    }

    /// Gives the active bodies one turn after the other, as long as `out` stays below `target`. Calls
    /// `done` with each that is finished.
    pub(super) fn put_chunks(
        &mut self,
        out: &mut impl Transmit,
        target: usize,
        mut done: impl FnMut(Large),
    ) {
        while out.len() < target {
            let Some(mut large) = self.bodies.pop_front() else { break };
            self.put_chunk(&mut large, out);
            if large.is_done() {
                done(large);
            } else {
                // Behind the others that take turns, and before those that wait.
                self.bodies.insert(self.bodies.len().min(MAX_ACTIVE - 1), large);
            }
        }
    }

    /// How many of them are tells.
    #[inline]
    pub(super) fn tells(&self) -> u64 {
        self.bodies.iter().filter(|large| large.kind == FrameKind::Tell).count() as u64
    }

    /// Writes all that is left of the bodies that are for a receiver.
    pub(super) fn flush_messages(&mut self, out: &mut Vec<u8>) {
        for mut large in std::mem::take(&mut self.bodies) {
            if large.receiver.is_none() {
                self.bodies.push_back(large);
                continue;
            }
            while !large.is_done() {
                self.put_chunk(&mut large, out);
            }
        }
    }

    /// Takes out the body with that number, with an ABORT if some of it is out already.
    pub(super) fn abort(&mut self, out: &mut Vec<u8>, corr: u64) -> Option<Large> {
        if !self.numbers.remove(&corr) {
            return None;
        }
        let at = self.bodies.iter().position(|large| large.corr == Some(corr))?;
        let large = self.bodies.remove(at)?;
        self.held_len = self.held_len.saturating_sub(large.len());
        if let Some(Progress { stream, .. }) = large.progress {
            let start = begin_frame(out, FrameKind::Abort);
            put_varint(out, u64::from(stream));
            end_frame(out, start);
        }
        Some(large)
    }

    fn put_chunk(&mut self, large: &mut Large, out: &mut impl Transmit) {
        let chunk = large.put_chunk(out.bytes(), self.chunk_len, &mut self.next_stream);
        out.put_payload(chunk);
        if large.is_done() {
            self.held_len = self.held_len.saturating_sub(large.len());
            if let Some(corr) = &large.corr {
                self.numbers.remove(corr);
            }
        }
    }
}
