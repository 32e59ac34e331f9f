//! Bodies that arrive in chunks.
//!
//! Memory follows what has arrived: a claimed length reserves nothing, and a budget that has no room left
//! turns the rest of a body into bytes that are read and forgotten.

use std::collections::BTreeMap;
use std::fmt;

use bytes::buf::Limit;
use bytes::{BufMut, Bytes};

use super::bounds::MAX_STREAMS;
use super::error::LinkError;
use super::event::Budget;
use super::frame::FrameKind;
use super::message::Message;

/// A body of which the first chunk has arrived.
struct Partial {
    /// Taken once the budget has refused the body: the rest is skipped.
    head: Option<PartialHead>,
    /// Of a message that is skipped: its receiver and raw length.
    skipped: Option<(u32, u32)>,
    is_message: bool,
    /// Payload bytes that have arrived and are held.
    held: Vec<u8>,
    /// How many of them were admitted: all, but for those that were just read to where they belong.
    admitted: usize,
    /// Payload bytes that are still to come.
    missing: usize,
    /// What was admitted for the rest of this, in bytes.
    head_len: usize,
}

/// The chunk that is arriving.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    stream: u32,
    /// How much of it is still to come; not 0.
    left: usize,
}

/// What the first chunk says about the whole.
pub(super) enum PartialHead {
    Message(Message),
    Reply { corr: u64, raw_len: Option<u32> },
    Request { corr: u64 },
    Response { corr: u64 },
}

impl PartialHead {
    /// What the metadata of a message takes up, in bytes.
    fn metadata_len(&self) -> usize {
        match self {
            Self::Message(Message { metadata: Some(metadata), .. }) => {
                let pairs = metadata.len().saturating_mul(size_of::<(String, String)>());
                metadata.encoded_len().saturating_add(pairs)
            }
            _ => 0,
        }
    }
}

/// What a chunk did to its body.
pub(super) enum Progress {
    /// It needs more chunks, or is being skipped.
    Pending,
    /// The budget has no room for it; the rest will be skipped, unless this was the last of it.
    Refused { head: PartialHead, is_over: bool },
    /// All of a message that was refused has come.
    Skipped { receiver: u32, raw_len: u32 },
    /// It is complete.
    Complete(PartialHead, Bytes),
}

#[derive(Default)]
pub(super) struct Streams {
    open: BTreeMap<u32, Partial>,
    chunk: Option<Chunk>,
}

impl Streams {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

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
        budget: &mut impl Budget,
    ) -> Result<Progress, LinkError> {
        if self.open.len() >= MAX_STREAMS {
            return Err(LinkError::TooManyStreams { limit: MAX_STREAMS });
        }
        let head_len = size_of::<Partial>().saturating_add(head.metadata_len());
        budget.admit_head(head_len).map_err(|limit| LinkError::Unfinished { limit })?;
        let is_message = matches!(head, PartialHead::Message(_));
        let (held, admitted) = (Vec::new(), 0);
        let (head, skipped) = (Some(head), None);
        let partial =
            Partial { head, skipped, is_message, held, admitted, missing: total, head_len };
        self.open.insert(stream, partial);
        Ok(self.feed(stream, chunk, budget))
    }

    /// Begins a further chunk of `len` bytes, which [`Streams::fill`] takes.
    pub(super) fn begin_more(&mut self, stream: u32, len: usize) -> Result<(), LinkError> {
        let error = |what| LinkError::Stream { kind: FrameKind::More, stream, what };
        if len == 0 {
            return Err(error("it is empty"));
        }
        let partial = self.open.get(&stream).ok_or(error("it is not open"))?;
        if len > partial.missing {
            return Err(error("it is longer than announced"));
        }
        self.chunk = Some(Chunk { stream, left: len });
        Ok(())
    }

    /// How much of the chunk that is arriving is still to come.
    #[inline]
    pub(super) fn chunk_left(&self) -> usize {
        self.chunk.map_or(0, |chunk| chunk.left)
    }

    /// Takes what `bytes` begins with of the chunk that is arriving; says how much that was.
    pub(super) fn fill(&mut self, bytes: &[u8], budget: &mut impl Budget) -> (usize, Progress) {
        let Some(Chunk { stream, left }) = self.chunk else { return (0, Progress::Pending) };
        let piece = bytes.get(..left).unwrap_or(bytes);
        self.advance_chunk(piece.len());
        (piece.len(), self.feed(stream, piece, budget))
    }

    /// Room for what is still to come of the chunk that is arriving, where there is any.
    #[inline]
    pub(super) fn room(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        let Chunk { stream, left } = self.chunk?;
        let partial = self.open.get_mut(&stream)?;
        let spare = partial.held.capacity().saturating_sub(partial.held.len());
        let has_room = partial.head.is_some() && spare > 0;
        has_room.then(|| (&mut partial.held).limit(left.min(spare)))
    }

    /// Takes what was put into [`Streams::room`].
    pub(super) fn handle_filled(&mut self, budget: &mut impl Budget) -> Progress {
        let Some(Chunk { stream, .. }) = self.chunk else { return Progress::Pending };
        let Some(partial) = self.open.get(&stream) else { return Progress::Pending };
        let len = partial.held.len().saturating_sub(partial.admitted);
        self.advance_chunk(len);
        self.settle(stream, len, budget)
    }

    fn advance_chunk(&mut self, len: usize) {
        if let Some(chunk) = &mut self.chunk {
            chunk.left = chunk.left.saturating_sub(len);
        }
        self.chunk = self.chunk.filter(|chunk| chunk.left > 0);
    }

    /// Forgets an open stream.
    pub(super) fn abort(&mut self, stream: u32, budget: &mut impl Budget) -> Result<(), LinkError> {
        let mut partial = self.open.remove(&stream).ok_or(LinkError::Stream {
            kind: FrameKind::Abort,
            stream,
            what: "it is not open",
        })?;
        partial.release(budget);
        budget.release_head(partial.head_len);
        Ok(())
    }

    /// Forgets all open streams.
    pub(super) fn clear(&mut self, budget: &mut impl Budget) {
        self.chunk = None;
        for mut partial in std::mem::take(&mut self.open).into_values() {
            partial.release(budget);
            budget.release_head(partial.head_len);
        }
    }

    fn feed(&mut self, stream: u32, piece: &[u8], budget: &mut impl Budget) -> Progress {
        if let Some(partial) = self.open.get_mut(&stream)
            && partial.head.is_some()
        {
            partial.push(piece);
        }
        self.settle(stream, piece.len(), budget)
    }

    /// Accounts for `len` bytes that have arrived and, unless they are skipped, are held already.
    fn settle(&mut self, stream: u32, len: usize, budget: &mut impl Budget) -> Progress {
        let Some(partial) = self.open.get_mut(&stream) else { return Progress::Pending };
        partial.missing = partial.missing.saturating_sub(len);
        let missing = partial.missing;
        let progress = match partial.head.take() {
            None => match partial.skipped {
                Some((receiver, raw_len)) if missing == 0 => {
                    Progress::Skipped { receiver, raw_len }
                }
                _ => Progress::Pending,
            },
            Some(mut head) if len > 0 && !budget.admit(len) => {
                if let PartialHead::Message(message) = &mut head {
                    let payload_len = partial.held.len().saturating_add(missing);
                    let payload_len = u32::try_from(payload_len).unwrap_or(u32::MAX);
                    let raw_len = *message.raw_len.get_or_insert(payload_len);
                    partial.skipped = Some((message.receiver, raw_len));
                }
                partial.release(budget);
                Progress::Refused { head, is_over: missing == 0 }
            }
            Some(head) => {
                partial.admitted = partial.admitted.saturating_add(len);
                if missing == 0 {
                    let payload = std::mem::take(&mut partial.held);
                    partial.release(budget);
                    Progress::Complete(head, payload.into())
                } else {
                    partial.head = Some(head);
                    Progress::Pending
                }
            }
        };
        if missing == 0
            && let Some(partial) = self.open.remove(&stream)
        {
            budget.release_head(partial.head_len);
        }
        progress
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
    fn push(&mut self, piece: &[u8]) {
        let needed = self.held.len().saturating_add(piece.len());
        if needed > self.held.capacity() {
            let whole = self.held.len().saturating_add(self.missing);
            let room = needed.max(self.held.len().saturating_mul(2)).min(whole);
            self.held.reserve_exact(room.saturating_sub(self.held.len()));
        }
        self.held.extend_from_slice(piece);
    }

    fn release(&mut self, budget: &mut impl Budget) {
        self.held = Vec::new();
        let admitted = std::mem::take(&mut self.admitted);
        if admitted > 0 {
            budget.release(admitted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room for so many bytes besides payloads.
    struct Heads {
        left: usize,
    }

    impl Budget for Heads {
        fn admit(&mut self, _: usize) -> bool {
            false
        }

        fn release(&mut self, _: usize) {}

        fn admit_head(&mut self, bytes: usize) -> Result<(), u64> {
            self.left = self.left.checked_sub(bytes).ok_or(9_u64)?;
            Ok(())
        }

        fn release_head(&mut self, bytes: usize) {
            self.left += bytes;
        }
    }

    #[test]
    fn an_unfinished_body_counts_until_its_end_also_where_it_is_skipped() {
        let mut streams = Streams::default();
        let mut budget = Heads { left: 2 * size_of::<Partial>() };
        let mut first = |stream, budget: &mut Heads| {
            streams.first(stream, PartialHead::Request { corr: 1 }, 2, b"a", budget).map(drop)
        };
        assert_eq!((first(1, &mut budget), first(2, &mut budget)), (Ok(()), Ok(())));
        assert_eq!(first(3, &mut budget), Err(LinkError::Unfinished { limit: 9 }));
        streams.begin_more(1, 1).expect("it is open");
        streams.fill(b"b", &mut budget);
        assert_eq!(budget.left, size_of::<Partial>());
        streams.abort(2, &mut budget).expect("it is open");
        assert_eq!(budget.left, 2 * size_of::<Partial>());
        streams
            .first(4, PartialHead::Request { corr: 1 }, 2, b"a", &mut budget)
            .map(drop)
            .expect("there is room");
        streams.clear(&mut budget);
        assert_eq!(budget.left, 2 * size_of::<Partial>());
    }

    #[test]
    fn room_is_made_for_what_has_arrived_and_not_for_what_is_announced() {
        let announced = 1 << 30;
        let (head, skipped, held, admitted) = (None, None, Vec::new(), 0);
        let mut partial = Partial {
            head,
            skipped,
            is_message: true,
            held,
            admitted,
            missing: announced,
            head_len: 0,
        };
        for _ in 0..100 {
            partial.push(&[0; 1000]);
            partial.missing -= 1000;
            let (len, room) = (partial.held.len(), partial.held.capacity());
            assert!(room <= 2 * len, "room for {room} with {len} here");
        }
        partial.missing = 100_001;
        partial.push(&[0; 100_000]);
        partial.missing = 1;
        partial.push(&[0]);
        assert_eq!((partial.held.len(), partial.held.capacity()), (200_001, 200_001));
    }
}
