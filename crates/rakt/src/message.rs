//! Messages: which reply belongs to which request, and how either crosses the wire.
//!
//! A type becomes a message by naming its reply. A message that stays in the process needs nothing
//! more; one that crosses the wire is a [`WireMessage`] too: it has a stable name, and a codec for itself
//! and for its reply. [`derive(Message)`](macro@crate::Message) writes both where the type is written,
//! [`messages!`](crate::messages) for types that are generated or of another crate.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;

use crate::error::{BoxError, Cause};
use crate::sync::Mutex;

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
    note = "declare a type that is generated or of another crate: `rakt::messages! {{ {Self} as \"..\" => .. }}`"
)]
pub trait Message: Send + Sized + 'static {
    /// What an [`ask`](crate::ActorRef::ask) with this message returns.
    type Reply: Send + 'static;

    /// How the message and its reply cross the wire; `None`, the default, keeps it in the process.
    fn wire() -> Option<&'static WireType<Self>> {
        None
    }
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

/// A way to write and read values of `T`.
///
/// `Prost` and `Serde` are the two that rakt brings; implement it on a type of your own to
/// bring another format.
#[diagnostic::on_unimplemented(
    message = "the codec `{Self}` does not write and read `{T}`",
    label = "`{T}` does not fit the codec `{Self}`",
    note = "`Prost` takes types that derive `prost::Message`, `Serde` those that derive `serde::Serialize` and \
            `serde::Deserialize`; both the message and its reply must fit",
    note = "a message that stays in the process has no name and needs no codec"
)]
pub trait Codec<T>: 'static {
    /// The length of the encoding in bytes, where it is cheap to know.
    fn encoded_len(value: &T) -> Option<usize>;

    /// Appends the encoding of `value` to `out`.
    ///
    /// # Errors
    /// Why the value cannot be written. What was appended by then is discarded.
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Reads a value that fills `bytes` exactly.
    ///
    /// # Errors
    /// Why the bytes are no such value. They come from a peer, so this must never panic.
    fn decode(bytes: Bytes) -> Result<T, CodecError>;
}

/// Why a value could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct CodecError(Cause);

impl CodecError {
    /// What the format's own error says, or a text.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(Cause::new(error))
    }
}

impl From<CodecError> for Cause {
    fn from(error: CodecError) -> Self {
        error.0
    }
}

/// Protocol Buffers, for types that implement `prost::Message`.
#[cfg(feature = "prost")]
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "that it has no value is what it is for")]
pub enum Prost {}

#[cfg(feature = "prost")]
#[diagnostic::do_not_recommend]
impl<T: prost::Message + Default> Codec<T> for Prost {
    fn encoded_len(value: &T) -> Option<usize> {
        Some(value.encoded_len())
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        value.encode(out).map_err(CodecError::new)
    }

    fn decode(bytes: Bytes) -> Result<T, CodecError> {
        T::decode(bytes).map_err(CodecError::new)
    }
}

/// [Postcard](https://postcard.jamesmunns.com/wire-format), for types that implement serde's traits.
///
/// Postcard is compact and positional: fields cannot be added or reordered while old and new
/// versions of a type talk to each other. Use protobuf where that matters.
#[cfg(feature = "serde")]
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "that it has no value is what it is for")]
pub enum Serde {}

#[cfg(feature = "serde")]
#[diagnostic::do_not_recommend]
impl<T: serde::Serialize + serde::de::DeserializeOwned> Codec<T> for Serde {
    fn encoded_len(_: &T) -> Option<usize> {
        None
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        postcard::to_io(value, out).map(drop).map_err(CodecError::new)
    }

    fn decode(bytes: Bytes) -> Result<T, CodecError> {
        let (value, rest) = postcard::take_from_bytes(&bytes).map_err(CodecError::new)?;
        match rest.len() {
            0 => Ok(value),
            n => Err(CodecError::new(format!("{n} bytes follow the value"))),
        }
    }
}

/// The names of a message and of its reply on the wire, and their codecs.
///
/// Lives in a `static`, one a message type, which the macros declare.
pub struct WireType<M: Message> {
    name: &'static str,
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
    pub const fn new<C: Codec<M> + Codec<M::Reply>>(name: &'static str) -> Self {
        Self { name, message: Functions::of::<C>(Some(name)), reply: Functions::of::<C>(None) }
    }

    /// Names the reply as well. rakt's own protocol needs no name for it, GoAkt's does.
    #[must_use]
    pub const fn with_reply_name(mut self, name: &'static str) -> Self {
        self.reply.name = Some(name);
        self
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

/// The three functions of a codec, without its type, and the name of what they read and write.
pub(crate) struct Functions<T> {
    /// `None` for a reply that was given none.
    pub(crate) name: Option<&'static str>,
    encoded_len: fn(&T) -> Option<usize>,
    encode: fn(&T, &mut Vec<u8>) -> Result<(), CodecError>,
    decode: fn(Bytes) -> Result<T, CodecError>,
}

impl<T> Functions<T> {
    const fn of<C: Codec<T>>(name: Option<&'static str>) -> Self {
        Self { name, encoded_len: C::encoded_len, encode: C::encode, decode: C::decode }
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

    pub(crate) fn decode(&self, bytes: Bytes) -> Result<T, CodecError> {
        contained(|| (self.decode)(bytes))
    }
}

fn contained<R>(codec: impl FnOnce() -> Result<R, CodecError>) -> Result<R, CodecError> {
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

/// The name of a message for people: its wire name, or else its Rust name.
pub(crate) fn message_name<M: Message>() -> &'static str {
    M::wire().map_or_else(std::any::type_name::<M>, |wire| wire.name())
}

/// Two message types of one process claim one wire name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the wire name {name:?} belongs to both {first} and {second}")]
#[non_exhaustive]
pub struct DuplicateName {
    /// The wire name.
    pub name: &'static str,
    /// The Rust type that had it first.
    pub first: &'static str,
    /// The Rust type that wants it too.
    pub second: &'static str,
}

/// Notes that `M` goes by its wire name in this process.
pub(crate) fn claim_name<M: Message>(wire: &WireType<M>) -> Result<(), DuplicateName> {
    type Claims = HashMap<&'static str, (TypeId, &'static str)>;
    static CLAIMS: LazyLock<Mutex<Claims>> = LazyLock::new(Mutex::default);
    let second = std::any::type_name::<M>();
    let mut claims = CLAIMS.lock();
    let (owner, first) = *claims.entry(wire.name).or_insert((TypeId::of::<M>(), second));
    if owner == TypeId::of::<M>() {
        return Ok(());
    }
    Err(DuplicateName { name: wire.name, first, second })
}

/// Declares types as messages that are generated, or of another crate: which reply belongs to which
/// request, and how both cross the wire. A type of your own is better declared where it is written, by
/// [`derive(rakt::Message)`](macro@crate::Message), which says the same in attributes.
///
/// ```
/// # mod pb {
/// #     #[derive(Clone, PartialEq, prost::Message)]
/// #     pub struct WorkRequest { #[prost(string, tag = "1")] pub job: String }
/// #     impl prost::Name for WorkRequest { const NAME: &'static str = "WorkRequest"; const PACKAGE: &'static str = "demo"; }
/// #     #[derive(Clone, PartialEq, prost::Message)]
/// #     pub struct WorkResponse { #[prost(string, tag = "1")] pub result: String }
/// #     impl prost::Name for WorkResponse { const NAME: &'static str = "WorkResponse"; const PACKAGE: &'static str = "demo"; }
/// #     #[derive(Clone, PartialEq, prost::Message)]
/// #     pub struct LogEvent { #[prost(string, tag = "1")] pub text: String }
/// #     #[derive(Clone, PartialEq, prost::Message)]
/// #     pub struct Status {}
/// #     #[derive(Clone, PartialEq, prost::Message)]
/// #     pub struct Ping {}
/// #     #[derive(Clone, PartialEq, prost::Message)]
/// #     pub struct Pong {}
/// # }
/// # struct Tick; struct Count;
/// rakt::messages! {
///     Tick,                                           // stays in the process
///     Count => u64,                                   // the same, and has a reply
///     pb::LogEvent as "demo.LogEvent",                // crosses the wire under that name
///     pb::Status as "demo.Status" => String,
///     pb::Ping as "demo.Ping" => pb::Pong as "demo.Pong",
///     pb::WorkRequest as _ => pb::WorkResponse as _,  // the names are those of `prost::Name`
/// }
/// ```
///
/// The rule is the same in both notations:
/// - A name takes a message across the wire; without one it stays in the process. There is no default,
///   because peers know a message by its name, and a path in Rust changes with every refactoring.
/// - What crosses the wire is a prost type. `Move as "chess.Move" with "serde" => Position` is written by
///   [`Serde`], and `with path::to::Type` by a [`Codec`] of your own. The reply uses the codec of its request.
/// - The reply is `()` where none is given. It needs a name only towards GoAkt peers.
#[macro_export]
macro_rules! messages {
    ($($declarations:tt)*) => { $crate::message::declare! { $crate $($declarations)* } };
}

#[doc(hidden)]
pub use rakt_macros::messages as declare;

/// The name that the `prost::Name` of `T` gives.
#[cfg(feature = "prost")]
#[doc(hidden)]
pub fn prost_name<T: FullName>() -> &'static str {
    Box::leak(T::full_name().into_boxed_str())
}

/// `prost::Name`, with a text for those who have none.
#[cfg(feature = "prost")]
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no `prost::Name`",
    label = "its name is not known",
    note = "write the name instead of `_`: \"package.{Self}\""
)]
pub trait FullName {
    fn full_name() -> String;
}

#[cfg(feature = "prost")]
#[diagnostic::do_not_recommend]
impl<T: prost::Name> FullName for T {
    fn full_name() -> String {
        T::full_name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;
    struct Two;

    enum Nothing {}
    impl<T> Codec<T> for Nothing {
        fn encoded_len(_: &T) -> Option<usize> {
            None
        }
        fn encode(_: &T, _: &mut Vec<u8>) -> Result<(), CodecError> {
            Err(CodecError::new("never"))
        }
        fn decode(_: Bytes) -> Result<T, CodecError> {
            Err(CodecError::new("never"))
        }
    }
    impl Message for One {
        type Reply = ();
    }
    impl Message for Two {
        type Reply = ();
    }

    #[test]
    fn a_wire_name_belongs_to_one_type() {
        let one = WireType::<One>::new::<Nothing>("message-tests.same");
        let two = WireType::<Two>::new::<Nothing>("message-tests.same");
        assert_eq!(claim_name(&one), Ok(()));
        assert_eq!(claim_name(&one), Ok(()), "claiming it again is fine");
        let error = claim_name(&two).expect_err("taken by One");
        assert_eq!(error.name, "message-tests.same");
        assert!(error.first.ends_with("One") && error.second.ends_with("Two"));
    }
}
