//! What makes a type a message, and how one crosses the wire.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rakt_wire::MAX_TYPE_LEN;

use super::allowance::{Allowance, Decoded, Room, SMALL_LEN};
use super::codec::Codec;
use super::codec_error::CodecError;
use crate::error::{Cause, Refusal};

/// A type that can be sent to an actor.
///
/// ```
/// use rakt::prelude::*;
///
/// struct Add(u64);
/// impl Message for Add {
///     type Reply = u64;
/// }
/// ```
///
/// This is all that a message between actors of one process needs, and what
/// [`derive(Message)`](macro@crate::Message) writes. One that crosses the wire is a [`WireMessage`] too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not declared as a message",
    label = "not a message",
    note = "a message is sent by value; declare its type where it is written: `#[derive(rakt::Message)]`, with \
            `#[rakt(name = \"..\", reply = ..)]` if it crosses the wire or has a reply",
    note = "declare a type that is generated: `rakt::messages! {{ {Self} as \"..\" => .. }}`"
)]
pub trait Message: Send + Sized + 'static {
    /// What an [`ask`](crate::ActorRef::ask) with this message returns.
    type Reply: Send + 'static;

    /// How the message and its reply cross the wire; `None`, the default, keeps it in the process.
    fn wire() -> Option<&'static WireType<Self>> {
        None
    }

    // What the codec of the wire type does. The macros write these as calls of the codec, which can then be inlined
    // where a message is sent and handled.

    #[doc(hidden)]
    #[inline]
    fn wire_len(&self) -> Option<usize> {
        Self::wire().and_then(|wire| (wire.message.encoded_len)(self))
    }

    #[doc(hidden)]
    #[inline]
    fn wire_encode(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        Self::wire().map_or_else(|| Err(no_codec()), |wire| (wire.message.encode)(self, out))
    }

    #[doc(hidden)]
    #[inline]
    fn wire_decode(block: &Bytes, start: usize, len: usize) -> Result<Self, CodecError> {
        Self::wire()
            .map_or_else(|| Err(no_codec()), |wire| (wire.message.decode_in)(block, start, len))
    }
}

fn no_codec() -> CodecError {
    CodecError::new("it stays in the process")
}

/// A message that crosses the wire: peers know it by its name.
///
/// A name is what turns a message into one, in [`derive(Message)`](macro@crate::Message) and in
/// [`messages!`](crate::messages).
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no name on the wire, so it stays in the process",
    label = "no peer knows this type",
    note = "give it a name: `#[rakt(name = \"package.{Self}\")]` below `#[derive(rakt::Message)]`, or \
            `rakt::messages! {{ {Self} as \"package.{Self}\" => .. }}`"
)]
pub trait WireMessage: Message {
    /// What [`Message::wire`] returns.
    fn wire_type() -> &'static WireType<Self>;
}

/// The names of a message and of its reply on the wire, and their codecs.
///
/// Lives in a `static`, one a message type, which the macros declare.
pub struct WireType<M: Message> {
    name: &'static str,
    /// It is known that no other type of this process has the name.
    pub(super) is_claimed: AtomicBool,
    pub(crate) message: Functions<M>,
    pub(crate) reply: Functions<M::Reply>,
}

impl<M: Message> fmt::Debug for WireType<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireType").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<M: Message> WireType<M> {
    /// A wire type called `name`, written by the codec `C`.
    ///
    /// # Panics
    /// If the name is empty, longer than 255 bytes, or holds a control character, or one that is shown as nothing
    /// or turns text around. In a `static` that is an error of the compiler.
    pub const fn new<C: Codec<M> + Codec<M::Reply>>(name: &'static str) -> Self {
        Self::of::<C, C>(name)
    }

    /// A wire type called `name`, whose message is written by the codec `C` and whose reply by `R`.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub const fn of<C: Codec<M>, R: Codec<M::Reply>>(name: &'static str) -> Self {
        check_name(name);
        Self {
            name,
            is_claimed: AtomicBool::new(false),
            message: Functions::of::<C>(Some(name)),
            reply: Functions::of::<R>(None),
        }
    }

    /// Names the reply as well. rakt's own protocol needs no name for it, GoAkt's does.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub const fn with_reply_name(mut self, name: &'static str) -> Self {
        check_name(name);
        self.reply.name = Some(name);
        self
    }

    /// Whether it is known that no other type of this process has the name.
    #[inline]
    pub(crate) fn is_claimed(&self) -> bool {
        self.is_claimed.load(Ordering::Relaxed)
    }

    /// The name that peers use for this message.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The name that peers use for its reply, where that has one.
    pub fn reply_name(&self) -> Option<&'static str> {
        self.reply.name
    }
}

/// Panics where peers would not understand the name.
const fn check_name(name: &str) {
    assert!(!name.is_empty(), "a name on the wire may not be empty");
    assert!(name.len() <= MAX_TYPE_LEN, "a name on the wire has 255 bytes at most");
    let is_clean = rakt_wire::controls_at(name).is_none();
    assert!(is_clean, "a name on the wire may hold no control character");
}

/// The functions of a codec, without its type, and the name of what they read and write.
pub(crate) struct Functions<T> {
    /// `None` for a reply that was given none.
    pub(crate) name: Option<&'static str>,
    encoded_len: fn(&T) -> Option<usize>,
    encode: fn(&T, &mut Vec<u8>) -> Result<(), CodecError>,
    decode: fn(Bytes) -> Result<T, CodecError>,
    decode_in: fn(&Bytes, usize, usize) -> Result<T, CodecError>,
    decode_within: fn(Bytes, &mut Allowance<'_>) -> Result<T, CodecError>,
}

impl<T> Functions<T> {
    const fn of<C: Codec<T>>(name: Option<&'static str>) -> Self {
        Self {
            name,
            encoded_len: C::encoded_len,
            encode: C::encode,
            decode: C::decode,
            decode_in: C::decode_in,
            decode_within: C::decode_within,
        }
    }
}

/// Codecs are user code, and some run where a panic would take others along: in the task of a
/// connection, or under its lock. So a panic in one is an error like any other.
impl<T> Functions<T> {
    pub(crate) fn encoded_len(&self, value: &T) -> Option<usize> {
        contained(|| Ok((self.encoded_len)(value))).unwrap_or(None)
    }

    pub(crate) fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        contained(|| (self.encode)(value, out))
    }

    /// Reads what a peer sent, and counts in `room` what that takes up where it may be much.
    #[inline]
    pub(crate) fn decode(&self, bytes: Bytes, room: &dyn Room) -> Result<Decoded<T>, Refusal> {
        if bytes.len() >= SMALL_LEN {
            return self.decode_large(bytes, room);
        }
        let value = self.decode_small(bytes)?;
        Ok(Decoded { value, kept: None })
    }

    /// Reads what is too small to become much, or was written in this process.
    pub(crate) fn decode_small(&self, bytes: Bytes) -> Result<T, Refusal> {
        contained(|| (self.decode)(bytes))
            .map_err(|error| Refusal::Undecodable { source: error.into() })
    }

    /// Reads a value that is a part of another, which was too small to become much.
    pub(crate) fn decode_own(&self, bytes: Bytes) -> Result<T, CodecError> {
        contained(|| (self.decode)(bytes))
    }

    /// Reads a value that is a part of another, and counts it there.
    pub(crate) fn decode_part(
        &self,
        bytes: Bytes,
        allowance: &mut Allowance<'_>,
    ) -> Result<T, CodecError> {
        contained(|| (self.decode_within)(bytes, allowance))
    }

    fn decode_large(&self, bytes: Bytes, room: &dyn Room) -> Result<Decoded<T>, Refusal> {
        let name = self.name.unwrap_or_else(std::any::type_name::<T>);
        let mut allowance = Allowance::of(name, bytes.len(), room);
        let decoded = contained(|| (self.decode_within)(bytes, &mut allowance));
        allowance.end(decoded)
    }
}

#[inline(always)]
pub(crate) fn contained<R>(codec: impl FnOnce() -> Result<R, CodecError>) -> Result<R, CodecError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(codec))
        .unwrap_or_else(|_| Err(CodecError::new("the codec panicked")))
}

/// A value together with the functions that write it, as the wire crate wants it.
pub(crate) struct Encoded<'a, T> {
    pub(crate) value: &'a T,
    pub(crate) functions: &'a Functions<T>,
}

impl<T> rakt_wire::Encode for Encoded<'_, T> {
    fn encoded_len(&self) -> Option<usize> {
        self.functions.encoded_len(self.value)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), rakt_wire::EncodeError> {
        self.functions.encode(self.value, out).map_err(|error| Cause::from(error).into())
    }
}

/// A message, for whoever contains more than the codec.
pub(crate) struct Bare<'a, M>(pub(crate) &'a M);

impl<M: Message> rakt_wire::Encode for Bare<'_, M> {
    #[inline]
    fn encoded_len(&self) -> Option<usize> {
        self.0.wire_len()
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), rakt_wire::EncodeError> {
        self.0.wire_encode(out).map_err(|error| Cause::from(error).into())
    }
}

/// The name of a message for people: its wire name, or else its Rust name.
pub(crate) fn message_name<M: Message>() -> &'static str {
    M::wire().map_or_else(std::any::type_name::<M>, |wire| wire.name())
}
