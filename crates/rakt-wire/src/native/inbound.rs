//! What arrives on one connection.
//!
//! Frames are read where they lie: a small message is an event with a [`Span`] of the
//! caller's buffer, and nothing is allocated for it. Whatever does not fit the protocol, the limits or
//! the peer's role is a [`LinkError`], which ends the connection.

use std::time::Duration;

use bytes::buf::Limit;

use super::assembly::{PartialHead, Progress, Streams};
use super::bounds::{HEADER_ALLOWANCE, MAX_REASON_LEN};
use super::error::{CloseCode, LinkError};
use super::event::{Budget, Event, Sink};
use super::frame::{FrameKind, HEADER_LEN};
use super::hello::Limits;
use super::message::{
    Body, FLAG_COMPRESSED, FLAG_METADATA, Message, Options, Span, read_front, read_metadata,
    read_options,
};
use super::operations::{read_failure, read_operation, read_outcome, read_terminated};
use super::role::Role;
use crate::address::{self, MAX_ADDRESS_LEN, MAX_PATH_LEN};
use crate::base::varint::{DecodeError, Reader};
use crate::operation::MAX_TYPE_LEN;

/// The receiving half of a link.
#[derive(Debug)]
pub struct Inbound {
    peer: Role,
    limits: Limits,
    /// A message with a body of so many bytes is not too long.
    pub(super) short_len: u32,
    epoch: u32,
    pub(super) receivers: u32,
    senders: u32,
    pub(super) types: u32,
    streams: Streams,
    wanted: usize,
    expects_chunk: bool,
}

impl Inbound {
    /// The receiving half for `role`, which is this side's, with the limits of the session.
    pub fn new(role: Role, limits: Limits) -> Self {
        Self {
            peer: role.peer(),
            limits,
            short_len: limits.max_frame_len.min(limits.max_message_len),
            epoch: 0,
            receivers: 0,
            senders: 0,
            types: 0,
            streams: Streams::default(),
            wanted: 0,
            expects_chunk: false,
        }
    }

    /// Counts the resets of the peer's aliases.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// How many bytes the frame that is now at the front still needs; 0 when that is not known. A hint
    /// for the next read. The peer wrote it: make room in bounded steps.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Whether what comes next is likely to be a chunk. A short read is enough to see, and leaves the
    /// rest for [`Inbound::room`].
    #[inline]
    pub fn expects_chunk(&self) -> bool {
        self.expects_chunk
    }

    /// How much of the chunk that is arriving is still to come.
    #[inline]
    pub fn chunk_left(&self) -> usize {
        self.streams.chunk_left()
    }

    /// Bytes of unfinished large bodies that are held.
    pub fn held(&self) -> usize {
        self.streams.held()
    }

    /// Where the next bytes belong, when the last call has taken all it was given and a chunk is
    /// arriving. What is read to there is not copied any more; tell it with
    /// [`Inbound::handle_filled`]. Without room, [`Inbound::handle_bytes`] takes the bytes as well.
    #[inline]
    pub fn room(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        self.streams.room()
    }

    /// Handles what was put into [`Inbound::room`].
    ///
    /// # Errors
    /// As [`Inbound::handle_bytes`].
    pub fn handle_filled(&mut self, sink: &mut impl Sink) -> Result<(), LinkError> {
        let progress = self.streams.handle_filled(sink);
        self.after_chunk();
        deliver(progress, sink)
    }

    /// Drops all unfinished bodies and releases their bytes. For the end of the connection.
    pub fn clear(&mut self, budget: &mut impl Budget) {
        self.streams.clear(budget);
    }

    /// Handles every complete frame at the front of `buf`, and what there is of a chunk after them;
    /// returns how many bytes they took.
    ///
    /// Spans in events are relative to `buf`. What is left over belongs at the front of the next `buf`.
    ///
    /// # Errors
    /// The peer broke the protocol or a limit. What came before it has been handled; close the link.
    pub fn handle_bytes(&mut self, buf: &[u8], sink: &mut impl Sink) -> Result<usize, LinkError> {
        // A span has 32 bits; what lies beyond is handled by the next call.
        let buf = buf.get(..u32::MAX as usize).unwrap_or(buf);
        let mut rest = self.fill(buf, sink)?;
        let mut last = None;
        while let Some((header, after)) = rest.split_first_chunk::<HEADER_LEN>() {
            if let Some((mut message, next)) = self.read_tell(header, after) {
                let end = buf.len().wrapping_sub(next.len());
                message.body = Body::Block(span(end, message.body.len()));
                sink.message(message);
                rest = next;
                last = Some(FrameKind::Tell);
                continue;
            }
            let (kind, len) = self.check_header(header)?;
            let Some((body, next)) = after.split_at_checked(len) else {
                if kind == FrameKind::More
                    && let Some(chunk) = self.begin_more(after, len)?
                {
                    rest = self.fill(chunk, sink)?;
                } else {
                    (self.wanted, self.expects_chunk) = (len.saturating_sub(after.len()), false);
                }
                return Ok(buf.len().saturating_sub(rest.len()));
            };
            let end = buf.len().saturating_sub(next.len());
            self.frame(kind, body, end, sink)?;
            rest = next;
            last = Some(kind);
        }
        match last {
            None => {}
            Some(FrameKind::First | FrameKind::More) => self.after_chunk(),
            Some(_) => self.expects_chunk = false,
        }
        Ok(buf.len().saturating_sub(rest.len()))
    }

    /// Takes what `buf` begins with of the chunk that is arriving, and returns the rest of it.
    #[inline]
    fn fill<'a>(&mut self, buf: &'a [u8], sink: &mut impl Sink) -> Result<&'a [u8], LinkError> {
        (self.wanted, self.expects_chunk) = (0, false);
        if self.streams.chunk_left() == 0 {
            return Ok(buf);
        }
        let (taken, progress) = self.streams.fill(buf, sink);
        self.after_chunk();
        deliver(progress, sink)?;
        Ok(buf.get(taken..).unwrap_or_default())
    }

    fn after_chunk(&mut self) {
        self.wanted = self.streams.chunk_left();
        self.expects_chunk = self.wanted == 0 && !self.streams.is_empty();
    }

    /// Begins a chunk whose frame has a body of `len` bytes. Returns the payload in the part of the body
    /// that is here, or nothing where that does not go far enough.
    fn begin_more<'a>(
        &mut self,
        part: &'a [u8],
        len: usize,
    ) -> Result<Option<&'a [u8]>, LinkError> {
        let mut reader = Reader::new(part);
        let stream = match reader.varint_u32("stream") {
            Ok(stream) => stream,
            Err(_) if part.len() < len => return Ok(None),
            Err(source) => return Err(malformed(FrameKind::More)(source)),
        };
        let head_len = part.len().saturating_sub(reader.len());
        self.streams.begin_more(stream, len.saturating_sub(head_len))?;
        Ok(Some(reader.rest()))
    }

    /// Judges a frame by its header, before anything is read or reserved for it.
    #[inline(always)]
    fn check_header(
        &self,
        &[kind, ref len @ ..]: &[u8; HEADER_LEN],
    ) -> Result<(FrameKind, usize), LinkError> {
        let kind = FrameKind::from_u8(kind).ok_or(LinkError::UnknownFrame { kind })?;
        if !kind.may_come_from(self.peer) {
            return Err(LinkError::Direction { kind });
        }
        let (len, limit) = (u32::from_be_bytes(*len), kind.max_len(&self.limits));
        if len > limit {
            return Err(LinkError::FrameTooLong { len, limit });
        }
        Ok((kind, len as usize))
    }

    #[inline]
    fn frame(
        &mut self,
        kind: FrameKind,
        body: &[u8],
        end: usize,
        sink: &mut impl Sink,
    ) -> Result<(), LinkError> {
        match kind {
            FrameKind::Tell | FrameKind::Confirm | FrameKind::Ask => {
                sink.message(self.read_message(kind, body, end)?);
                Ok(())
            }
            FrameKind::Reply => {
                let (corr, raw_len, payload_len) = self.read_reply(body)?;
                let body = Body::Block(span(end, payload_len));
                sink.event(Event::Reply { corr, raw_len, body });
                Ok(())
            }
            FrameKind::Receiver | FrameKind::Sender | FrameKind::Type => {
                self.definition(kind, body, sink)
            }
            FrameKind::Reset => self.reset(body, sink),
            FrameKind::First => self.first(body, sink),
            FrameKind::More => {
                let chunk = self.begin_more(body, body.len())?.unwrap_or_default();
                let (_, progress) = self.streams.fill(chunk, sink);
                deliver(progress, sink)
            }
            FrameKind::Abort => {
                let mut reader = Reader::new(body);
                let stream = reader.varint_u32("stream").map_err(malformed(kind))?;
                reader.finish().map_err(malformed(kind))?;
                self.streams.abort(stream, sink)
            }
            FrameKind::Request => {
                let mut reader = Reader::new(body);
                let corr = reader.varint("correlation").map_err(malformed(kind))?;
                read_request(corr, reader, sink).map_err(malformed(kind))
            }
            _ => read_control(kind, body, sink).map_err(malformed(kind)),
        }
    }

    /// Reads a message whose body ends at `end`.
    ///
    /// The message is put together at the very end, and inlined: moving it from place to place was half
    /// of the time that a small one took.
    #[inline(always)]
    pub(super) fn read_message(
        &self,
        kind: FrameKind,
        body: &[u8],
        end: usize,
    ) -> Result<Message, LinkError> {
        let mut reader = Reader::new(body);
        let front = read_front(&mut reader, kind).map_err(malformed(kind))?;
        let options = match front.has_options() {
            true => read_options(&mut reader, &front).map_err(malformed(kind))?,
            false => Options::default(),
        };
        let undefined = |what, alias, count| LinkError::Undefined { kind, what, alias, count };
        if front.receiver >= self.receivers {
            return Err(undefined("receiver", front.receiver, self.receivers));
        }
        if front.type_id >= self.types {
            return Err(undefined("type", front.type_id, self.types));
        }
        if let Some(sender) = front.sender
            && sender >= self.senders
        {
            return Err(undefined("sender", sender, self.senders));
        }
        self.check_payload(reader.len(), options.raw_len)?;
        Ok(Message {
            kind: front.kind,
            receiver: front.receiver,
            sender: front.sender,
            type_id: front.type_id,
            remaining: options.remaining,
            metadata: options.metadata,
            raw_len: options.raw_len,
            body: Body::Block(span(end, reader.len())),
        })
    }

    #[inline(always)]
    fn read_reply(&self, body: &[u8]) -> Result<(u64, Option<u32>, usize), LinkError> {
        let mut reader = Reader::new(body);
        let (corr, raw_len) = read_reply_head(&mut reader).map_err(malformed(FrameKind::Reply))?;
        self.check_payload(reader.len(), raw_len)?;
        Ok((corr, raw_len, reader.len()))
    }

    /// A payload counts with its raw length, so it must not take up more than that.
    #[inline]
    fn check_payload(&self, len: usize, raw_len: Option<u32>) -> Result<(), LinkError> {
        let (len, limit) = (len as u64, u64::from(self.limits.max_message_len));
        let too_long = |what, len, limit| Err(LinkError::TooLong { what, len, limit });
        if len > limit {
            return too_long("a payload", len, limit);
        }
        match raw_len.map(u64::from) {
            Some(raw) if raw > limit => too_long("a raw payload", raw, limit),
            Some(raw) if len > raw => too_long("a compressed payload", len, raw),
            _ => Ok(()),
        }
    }

    fn definition(
        &mut self,
        kind: FrameKind,
        body: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), LinkError> {
        let (count, limit) = match kind {
            FrameKind::Receiver => (&mut self.receivers, self.limits.max_receivers),
            FrameKind::Sender => (&mut self.senders, self.limits.max_senders),
            _ => (&mut self.types, self.limits.max_types),
        };
        let mut reader = Reader::new(body);
        let alias = reader.varint_u32("number").map_err(malformed(kind))?;
        if alias != *count {
            return Err(LinkError::NotDense { kind, alias, expected: *count });
        }
        if *count >= limit {
            return Err(LinkError::TableFull { kind, limit });
        }
        let event = read_definition(kind, alias, reader).map_err(malformed(kind))?;
        *count = count.saturating_add(1);
        sink.event(event);
        Ok(())
    }

    fn reset(&mut self, body: &[u8], sink: &mut impl Sink) -> Result<(), LinkError> {
        let kind = FrameKind::Reset;
        Reader::new(body).finish().map_err(malformed(kind))?;
        if self.streams.has_message() {
            // Its aliases would mean something else once it is complete.
            let source = DecodeError::Invalid { what: "a reset within a chunked message" };
            return Err(LinkError::Malformed { kind, source });
        }
        (self.receivers, self.senders, self.types) = (0, 0, 0);
        self.epoch = self.epoch.wrapping_add(1);
        sink.event(Event::Reset);
        Ok(())
    }

    fn first(&mut self, body: &[u8], sink: &mut impl Sink) -> Result<(), LinkError> {
        let kind = FrameKind::First;
        let mut reader = Reader::new(body);
        let stream = reader.varint_u32("stream").map_err(malformed(kind))?;
        let inner = reader.u8("inner kind").map_err(malformed(kind))?;
        let total = reader.varint("total length").map_err(malformed(kind))?;
        let inner = FrameKind::from_u8(inner).ok_or(LinkError::UnknownFrame { kind: inner })?;
        if !inner.may_be_chunked() || !inner.may_come_from(self.peer) {
            return Err(LinkError::Direction { kind: inner });
        }
        let limit = u64::from(self.limits.max_message_len).saturating_add(HEADER_ALLOWANCE as u64);
        if total > limit {
            return Err(LinkError::TooLong { what: "a chunked body", len: total, limit });
        }
        if self.streams.is_open(stream) {
            return Err(LinkError::Stream { kind, stream, what: "it is open already" });
        }
        let bytes = reader.rest();
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        let missing = total.checked_sub(bytes.len()).ok_or(LinkError::Stream {
            kind,
            stream,
            what: "it is longer than announced",
        })?;
        let (head, chunk_len) = self.read_partial_head(inner, bytes)?;
        let payload_len = chunk_len.saturating_add(missing);
        match &head {
            PartialHead::Message(Message { raw_len, .. }) | PartialHead::Reply { raw_len, .. } => {
                self.check_payload(payload_len, *raw_len)?;
            }
            PartialHead::Request { .. } | PartialHead::Response { .. } => {}
        }
        let chunk = bytes.get(bytes.len().saturating_sub(chunk_len)..).unwrap_or_default();
        let progress = self.streams.first(stream, head, payload_len, chunk, sink)?;
        deliver(progress, sink)
    }

    /// The header part of a chunked body, all of which lies in its first chunk, and how many bytes of
    /// payload follow it there.
    fn read_partial_head(
        &self,
        inner: FrameKind,
        bytes: &[u8],
    ) -> Result<(PartialHead, usize), LinkError> {
        let mut reader = Reader::new(bytes);
        match inner {
            FrameKind::Reply => {
                let (corr, raw_len, len) = self.read_reply(bytes)?;
                Ok((PartialHead::Reply { corr, raw_len }, len))
            }
            FrameKind::Request | FrameKind::Response => {
                let corr = reader.varint("correlation").map_err(malformed(inner))?;
                let head = match inner {
                    FrameKind::Request => PartialHead::Request { corr },
                    _ => PartialHead::Response { corr },
                };
                Ok((head, reader.len()))
            }
            _ => {
                let mut message = self.read_message(inner, bytes, bytes.len())?;
                let len = message.body.len();
                message.body = Body::Block(Span::default());
                Ok((PartialHead::Message(message), len))
            }
        }
    }
}

/// Tells the sink what a chunk has brought to an end.
fn deliver(progress: Progress, sink: &mut impl Sink) -> Result<(), LinkError> {
    use PartialHead::{Message as Told, Reply, Request, Response};
    let event = match progress {
        Progress::Pending => return Ok(()),
        Progress::Refused { head: Told(message), is_over } => {
            let (receiver, raw_len) = (message.receiver, message.raw_len.filter(|_| is_over));
            sink.event(Event::Refused(message));
            let Some(raw_len) = raw_len else { return Ok(()) };
            Event::Skipped { receiver, raw_len }
        }
        Progress::Refused { head: Request { corr }, .. } => Event::RefusedRequest { corr },
        Progress::Refused { head: Reply { corr, .. } | Response { corr }, .. } => {
            Event::RefusedReply { corr }
        }
        Progress::Skipped { receiver, raw_len } => Event::Skipped { receiver, raw_len },
        Progress::Complete(Told(message), payload) => {
            Event::Message(Message { body: Body::Whole(payload), ..message })
        }
        Progress::Complete(Reply { corr, raw_len }, payload) => {
            Event::Reply { corr, raw_len, body: Body::Whole(payload) }
        }
        Progress::Complete(Request { corr }, payload) => {
            return read_request(corr, Reader::new(&payload), sink)
                .map_err(malformed(FrameKind::Request));
        }
        Progress::Complete(Response { corr }, payload) => {
            let outcome = read_outcome(&mut Reader::new(&payload));
            Event::Response { corr, outcome: outcome.map_err(malformed(FrameKind::Response))? }
        }
    };
    sink.event(event);
    Ok(())
}

fn malformed(kind: FrameKind) -> impl Fn(DecodeError) -> LinkError {
    move |source| LinkError::Malformed { kind, source }
}

#[inline]
fn span(end: usize, len: usize) -> Span {
    // Both fit: handle_bytes looks at u32::MAX bytes at most, of which these are a part.
    Span { start: end.wrapping_sub(len) as u32, len: len as u32 }
}

#[inline(always)]
fn read_reply_head(reader: &mut Reader<'_>) -> Result<(u64, Option<u32>), DecodeError> {
    let corr = reader.varint("correlation")?;
    let raw_len = match reader.u8("flags")? {
        0 => None,
        FLAG_COMPRESSED => Some(reader.varint_u32("raw length")?),
        flags => return Err(DecodeError::Unknown { what: "flags", value: flags.into() }),
    };
    Ok((corr, raw_len))
}

fn read_definition(
    kind: FrameKind,
    alias: u32,
    mut reader: Reader<'_>,
) -> Result<Event<'_>, DecodeError> {
    let event = match kind {
        FrameKind::Receiver => {
            let uid = reader.optional_u64("uid")?;
            let path = reader.name("path", MAX_PATH_LEN)?;
            address::validate_path(path).map_err(|_| DecodeError::Invalid { what: "path" })?;
            Event::Receiver { alias, uid, path }
        }
        FrameKind::Sender => {
            Event::Sender { alias, address: reader.name("address", MAX_ADDRESS_LEN)? }
        }
        _ => Event::Type { id: alias, name: reader.name("type name", MAX_TYPE_LEN)? },
    };
    reader.finish()?;
    Ok(event)
}

fn read_request(
    corr: u64,
    mut reader: Reader<'_>,
    sink: &mut impl Sink,
) -> Result<(), DecodeError> {
    let remaining = match reader.varint("time remaining")? {
        0 => None,
        micros => Some(Duration::from_micros(micros)),
    };
    let metadata = match reader.u8("flags")? {
        0 => None,
        FLAG_METADATA => Some(read_metadata(&mut reader)?),
        flags => return Err(DecodeError::Unknown { what: "flags", value: flags.into() }),
    };
    sink.event(match read_operation(&mut reader)? {
        Ok(operation) => Event::Request { corr, remaining, metadata, operation },
        Err(code) => Event::Unsupported { corr, code },
    });
    Ok(())
}

/// The frames that carry neither payload nor definition. All are short, and rare next to messages.
fn read_control(kind: FrameKind, body: &[u8], sink: &mut impl Sink) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    let r = &mut reader;
    let event = match kind {
        FrameKind::Fail => {
            Event::Fail { corr: r.varint("correlation")?, failure: read_failure(r)? }
        }
        FrameKind::Nack => Event::Nack {
            receiver: r.varint_u32("receiver")?,
            sender: r.varint_u32("sender")?.checked_sub(1),
            type_id: r.varint_u32("type")?,
            epoch: r.varint_u32("epoch")?,
            count: r.varint("count")?,
            failure: read_failure(r)?,
        },
        FrameKind::Cancel => Event::Cancel { corr: r.varint("correlation")? },
        FrameKind::Response => {
            Event::Response { corr: r.varint("correlation")?, outcome: read_outcome(r)? }
        }
        FrameKind::Terminated => {
            Event::Terminated { watch_id: r.varint("watch id")?, reason: read_terminated(r)? }
        }
        FrameKind::Credit => Event::Credit {
            receiver: r.varint_u32("receiver")?,
            epoch: r.varint_u32("epoch")?,
            bytes: r.varint("bytes")?,
        },
        FrameKind::Ping => Event::Ping { nonce: r.u64_be("nonce")? },
        FrameKind::Pong => Event::Pong { nonce: r.u64_be("nonce")? },
        FrameKind::GoAway => {
            let code = CloseCode::from_u8(r.u8("code")?);
            Event::GoAway { code, text: r.string("text", MAX_REASON_LEN)? }
        }
        FrameKind::Close => {
            let code = CloseCode::from_u8(r.u8("code")?);
            Event::Close { code, text: r.string("text", MAX_REASON_LEN)? }
        }
        other => {
            let value = u64::from(other.as_u8());
            return Err(DecodeError::Unknown { what: "kind", value });
        }
    };
    reader.finish()?;
    sink.event(event);
    Ok(())
}
