//! The header part of a message: what comes before its payload.
//!
//! ```text
//!   [corr] flags receiver sender+1 type [remaining µs] [metadata] [raw_len] payload…
//! ```

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::frame::FrameKind;
use crate::base::varint::{DecodeError, Reader, micros, put_varint};
use crate::metadata::{MAX_METADATA_LEN, Metadata};
use crate::verb::Verb;

/// The body has metadata.
pub(crate) const FLAG_METADATA: u8 = 0x01;
/// The payload is compressed; its raw length is given.
pub(crate) const FLAG_COMPRESSED: u8 = 0x02;
/// The body has a time remaining.
pub(crate) const FLAG_REMAINING: u8 = 0x04;
const MESSAGE_FLAGS: u8 = FLAG_METADATA | FLAG_COMPRESSED | FLAG_REMAINING;

/// What the sender of a message wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Nothing, unless it fails.
    Tell,
    /// That it is in the receiver's mailbox: an empty reply.
    Confirm {
        /// The sender's number for it, unique among what is in flight on its connection.
        corr: u64,
    },
    /// A reply.
    Ask {
        /// As for [`MessageKind::Confirm`].
        corr: u64,
    },
}

impl MessageKind {
    /// What it is to its receiver.
    #[inline]
    pub fn verb(self) -> Verb {
        match self {
            Self::Tell | Self::Confirm { .. } => Verb::Tell,
            Self::Ask { .. } => Verb::Ask,
        }
    }

    /// The number by which it is answered; none for a tell.
    pub fn corr(self) -> Option<u64> {
        match self {
            Self::Tell => None,
            Self::Confirm { corr } | Self::Ask { corr } => Some(corr),
        }
    }

    /// The frame that carries it.
    pub fn frame_kind(self) -> FrameKind {
        match self {
            Self::Tell => FrameKind::Tell,
            Self::Confirm { .. } => FrameKind::Confirm,
            Self::Ask { .. } => FrameKind::Ask,
        }
    }
}

/// Everything about an outgoing message but its payload.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Alias of the receiver, of the current epoch.
    pub receiver: u32,
    /// Alias of the sender, of the current epoch.
    pub sender: Option<u32>,
    /// Alias of the message type, of the current epoch.
    pub type_id: u32,
    /// Time left until the sender no longer waits. Crosses the wire in microseconds.
    pub remaining: Option<Duration>,
    /// What travels with it.
    pub metadata: Option<&'a Metadata>,
}

/// A range of bytes in the slice given to [`Inbound::handle_bytes`](super::Inbound::handle_bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it starts.
    pub start: u32,
    /// Its length in bytes.
    pub len: u32,
}

impl Span {
    /// The bytes it stands for; `None` for another slice than the one it was made for.
    pub fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        let start = usize::try_from(self.start).ok()?;
        let end = start.checked_add(usize::try_from(self.len).ok()?)?;
        bytes.get(start..end)
    }
}

/// A payload that has arrived. `Debug` shows its place and length, never its bytes.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// It lies in the slice given to `handle_bytes`.
    Block(Span),
    /// It came in chunks and has been put together.
    Whole(Bytes),
}

impl Body {
    /// Its length in bytes, as it crossed the wire.
    pub fn len(&self) -> usize {
        match self {
            Self::Block(span) => usize::try_from(span.len).unwrap_or(usize::MAX),
            Self::Whole(bytes) => bytes.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes; `buf` is the slice given to `handle_bytes`. Empty for a foreign slice.
    pub fn bytes<'a>(&'a self, buf: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Block(span) => span.of(buf).unwrap_or_default(),
            Self::Whole(bytes) => bytes,
        }
    }

    /// The bytes, without a copy; `block` holds what was given to `handle_bytes`. Empty for a foreign
    /// block.
    pub fn slice(self, block: &Bytes) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Block(span) => match span.of(block) {
                Some(bytes) => block.slice_ref(bytes),
                None => Bytes::new(),
            },
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(span) => f.debug_tuple("Block").field(span).finish(),
            Self::Whole(bytes) => f.debug_struct("Whole").field("len", &bytes.len()).finish(),
        }
    }
}

/// A message that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What its sender wants to hear.
    pub kind: MessageKind,
    /// Alias of the receiver.
    pub receiver: u32,
    /// Alias of the sender.
    pub sender: Option<u32>,
    /// Alias of the message type.
    pub type_id: u32,
    /// Time left until the sender no longer waits, as of its sending.
    pub remaining: Option<Duration>,
    /// What came with it.
    pub metadata: Option<Box<Metadata>>,
    /// Set when the payload is compressed: how long it is when it is not, in bytes.
    pub raw_len: Option<u32>,
    /// The payload.
    pub body: Body,
}

/// Writes the header part of a message.
#[inline]
pub(crate) fn put_head(
    out: &mut Vec<u8>,
    kind: MessageKind,
    head: &Head<'_>,
    raw_len: Option<u32>,
) {
    if let Some(corr) = kind.corr() {
        put_varint(out, corr);
    }
    let metadata = head.metadata.filter(|metadata| !metadata.is_empty());
    let mut flags = 0;
    if metadata.is_some() {
        flags |= FLAG_METADATA;
    }
    if raw_len.is_some() {
        flags |= FLAG_COMPRESSED;
    }
    if head.remaining.is_some() {
        flags |= FLAG_REMAINING;
    }
    out.push(flags);
    put_varint(out, u64::from(head.receiver));
    put_varint(out, head.sender.map_or(0, |sender| u64::from(sender).saturating_add(1)));
    put_varint(out, u64::from(head.type_id));
    if let Some(remaining) = head.remaining {
        put_varint(out, micros(remaining));
    }
    if let Some(metadata) = metadata {
        put_metadata(out, metadata);
    }
    if let Some(raw_len) = raw_len {
        put_varint(out, u64::from(raw_len));
    }
}

/// The numbers at the front of every message.
pub(crate) struct Front {
    pub(crate) kind: MessageKind,
    flags: u8,
    pub(crate) receiver: u32,
    pub(crate) sender: Option<u32>,
    pub(crate) type_id: u32,
}

impl Front {
    /// Whether anything comes before the payload. Most messages have nothing there: what is not put into
    /// memory need not be read from it again.
    #[inline]
    pub(crate) fn has_options(&self) -> bool {
        self.flags != 0
    }
}

/// What only some messages have.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) remaining: Option<Duration>,
    pub(crate) metadata: Option<Box<Metadata>>,
    pub(crate) raw_len: Option<u32>,
}

/// Reads the front of a message.
#[inline(always)]
pub(crate) fn read_front(reader: &mut Reader<'_>, kind: FrameKind) -> Result<Front, DecodeError> {
    let kind = match kind {
        FrameKind::Confirm => MessageKind::Confirm { corr: reader.varint("correlation")? },
        FrameKind::Ask => MessageKind::Ask { corr: reader.varint("correlation")? },
        _ => MessageKind::Tell,
    };
    let flags = reader.u8("flags")?;
    if flags & !MESSAGE_FLAGS != 0 {
        return Err(DecodeError::Unknown { what: "flags", value: u64::from(flags) });
    }
    let receiver = reader.varint_u32("receiver")?;
    let sender = reader.varint_u32("sender")?.checked_sub(1);
    let type_id = reader.varint_u32("type")?;
    Ok(Front { kind, flags, receiver, sender, type_id })
}

/// Reads what comes between the front of a message and its payload.
pub(crate) fn read_options(reader: &mut Reader<'_>, front: &Front) -> Result<Options, DecodeError> {
    let mut options = Options::default();
    if front.flags & FLAG_REMAINING != 0 {
        options.remaining = Some(Duration::from_micros(reader.varint("time remaining")?));
    }
    if front.flags & FLAG_METADATA != 0 {
        options.metadata = Some(Box::new(read_metadata(reader)?));
    }
    if front.flags & FLAG_COMPRESSED != 0 {
        options.raw_len = Some(reader.varint_u32("raw length")?);
    }
    Ok(options)
}

/// Writes metadata behind its encoded length.
pub(crate) fn put_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    put_varint(out, metadata.encoded_len() as u64);
    metadata.encode(out);
}

/// Reads metadata behind its encoded length.
pub(crate) fn read_metadata(reader: &mut Reader<'_>) -> Result<Metadata, DecodeError> {
    Metadata::decode(reader.bytes("metadata", MAX_METADATA_LEN)?)
}
