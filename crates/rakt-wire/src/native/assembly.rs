//! Bodies that arrive in chunks.
//!
//! Memory follows what has arrived: a claimed length reserves nothing, and a sink that has no room left
//! turns the rest of a body into bytes that are read and forgotten.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::MAX_STREAMS;
use super::error::LinkError;
use super::event::Sink;
use super::frame::FrameKind;
use super::message::Message;

/// A body of which the first chunk has arrived.
struct Partial {
    /// Taken once the sink has refused the body: the rest is skipped.
    head: Option<PartialHead>,
    is_message: bool,
    /// Payload bytes that have arrived and are held.
    held: Vec<u8>,
    /// Payload bytes that are still to come.
    missing: usize,
}

/// What the first chunk says about the whole.
pub(super) enum PartialHead {
    Message(Message),
    Reply { corr: u64, raw_len: Option<u32> },
    Request { corr: u64 },
    Response { corr: u64 },
}

/// What a chunk did to its body.
pub(super) enum Progress {
    /// It needs more chunks, or is being skipped.
    Pending,
    /// The sink has no room for it, with its whole payload of so many bytes; the rest will be skipped.
    Refused(PartialHead, usize),
    /// It is complete.
    Complete(PartialHead, Bytes),
}

#[derive(Default)]
pub(super) struct Streams {
    open: BTreeMap<u32, Partial>,
}

impl Streams {
    pub(super) fn is_open(&self, stream: u32) -> bool {
        self.open.contains_key(&stream)
    }

    /// Payload bytes held in all unfinished bodies.
    pub(super) fn held(&self) -> usize {
        self.open.values().fold(0, |sum, partial| sum.saturating_add(partial.held.len()))
    }

    /// Whether a message is unfinished: these speak in aliases, which must not be forgotten yet.
    pub(super) fn has_message(&self) -> bool {
        self.open.values().any(|partial| partial.is_message)
    }

    /// Opens a stream of `total` payload bytes with the first of them.
    pub(super) fn first(
        &mut self,
        stream: u32,
        head: PartialHead,
        total: usize,
        chunk: &[u8],
        sink: &mut impl Sink,
    ) -> Result<Progress, LinkError> {
        if self.open.len() >= MAX_STREAMS {
            return Err(LinkError::TooManyStreams { limit: MAX_STREAMS });
        }
        let is_message = matches!(head, PartialHead::Message(_));
        let partial = Partial { head: Some(head), is_message, held: Vec::new(), missing: total };
        self.feed(FrameKind::First, stream, partial, chunk, sink)
    }

    /// Adds a chunk to an open stream.
    pub(super) fn more(
        &mut self,
        stream: u32,
        chunk: &[u8],
        sink: &mut impl Sink,
    ) -> Result<Progress, LinkError> {
        let error = |what| LinkError::Stream { kind: FrameKind::More, stream, what };
        if chunk.is_empty() {
            return Err(error("it is empty"));
        }
        let partial = self.open.remove(&stream).ok_or(error("it is not open"))?;
        self.feed(FrameKind::More, stream, partial, chunk, sink)
    }

    /// Forgets an open stream.
    pub(super) fn abort(&mut self, stream: u32, sink: &mut impl Sink) -> Result<(), LinkError> {
        let partial = self.open.remove(&stream).ok_or(LinkError::Stream {
            kind: FrameKind::Abort,
            stream,
            what: "it is not open",
        })?;
        release(partial.held, sink);
        Ok(())
    }

    /// Forgets all open streams.
    pub(super) fn clear(&mut self, sink: &mut impl Sink) {
        for partial in std::mem::take(&mut self.open).into_values() {
            release(partial.held, sink);
        }
    }

    fn feed(
        &mut self,
        kind: FrameKind,
        stream: u32,
        mut partial: Partial,
        chunk: &[u8],
        sink: &mut impl Sink,
    ) -> Result<Progress, LinkError> {
        let Some(missing) = partial.missing.checked_sub(chunk.len()) else {
            release(partial.held, sink);
            let what = "it is longer than announced";
            return Err(LinkError::Stream { kind, stream, what });
        };
        partial.missing = missing;
        let Some(head) = partial.head.take() else {
            self.keep(stream, partial);
            return Ok(Progress::Pending);
        };
        if !chunk.is_empty() && !sink.admit(chunk.len()) {
            let arrived = partial.held.len().saturating_add(chunk.len());
            release(std::mem::take(&mut partial.held), sink);
            self.keep(stream, partial);
            return Ok(Progress::Refused(head, arrived.saturating_add(missing)));
        }
        partial.push(chunk);
        if missing > 0 {
            partial.head = Some(head);
            self.keep(stream, partial);
            return Ok(Progress::Pending);
        }
        if !partial.held.is_empty() {
            sink.release(partial.held.len());
        }
        Ok(Progress::Complete(head, partial.held.into()))
    }

    fn keep(&mut self, stream: u32, partial: Partial) {
        if partial.missing > 0 {
            self.open.insert(stream, partial);
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.open.iter().map(|(stream, partial)| (stream, partial.held.len())))
            .finish()
    }
}

impl Partial {
    /// Room at most doubles, and never exceeds what the body needs.
    fn push(&mut self, chunk: &[u8]) {
        let needed = self.held.len().saturating_add(chunk.len());
        if needed > self.held.capacity() {
            let whole = needed.saturating_add(self.missing);
            let room = needed.max(self.held.len().saturating_mul(2)).min(whole);
            self.held.reserve_exact(room.saturating_sub(self.held.len()));
        }
        self.held.extend_from_slice(chunk);
    }
}

fn release(held: Vec<u8>, sink: &mut impl Sink) {
    if !held.is_empty() {
        sink.release(held.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_for_what_has_arrived_and_not_for_what_is_announced() {
        let announced = 1 << 30;
        let mut partial =
            Partial { head: None, is_message: true, held: Vec::new(), missing: announced };
        for _ in 0..100 {
            partial.missing -= 1000;
            partial.push(&[0; 1000]);
            let (len, room) = (partial.held.len(), partial.held.capacity());
            assert!(room <= 2 * len, "room for {room} with {len} here");
        }
        partial.missing = 1;
        partial.push(&[0; 100_000]);
        partial.missing = 0;
        partial.push(&[0]);
        assert_eq!((partial.held.len(), partial.held.capacity()), (200_001, 200_001));
    }
}
