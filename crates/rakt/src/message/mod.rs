//! Messages: which reply belongs to which request, and how either crosses the wire.
//!
//! A type becomes a message by naming its reply. A message that stays in the process needs nothing
//! more; one that crosses the wire is a [`WireMessage`] too: it has a stable name, and a codec for itself
//! and for its reply. [`derive(Message)`](macro@crate::Message) writes both where the type is written,
//! [`messages!`](crate::messages) for types that are generated in your crate.
//!
//! - `codec`: how a value is written and read; `serde_codec`: how serde types are
//! - `codec_error`: what one says that cannot
//! - `declared`: what makes a type a message
//! - `allowance`: how much memory a value of a peer may take up
//! - `counted`: what a serde value takes up, as it is read
//! - `outcome`: replies of protobuf that are a value or an error
//! - `part`: a payload that lies in a block with others
//! - `reader`: for whom a message is read, and with that the references in it
//! - `walk`: what a protobuf message takes up

pub(crate) mod allowance;
mod codec;
mod codec_error;
#[cfg(feature = "serde")]
mod counted;
pub(crate) mod declared;
#[cfg(feature = "prost")]
mod outcome;
#[cfg(feature = "prost")]
mod part;
#[allow(dead_code, reason = "for messages of serde, which is a feature")]
pub(crate) mod reader;
#[cfg(feature = "serde")]
mod serde_codec;
#[cfg(feature = "prost")]
mod walk;

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use crate::sync::GlobalMutex;

pub use allowance::{Allowance, DecodedTooLarge};
pub use codec::Codec;
#[cfg(feature = "prost")]
pub use codec::{Prost, ProstOf};
pub use codec_error::CodecError;
pub(crate) use declared::{Bare, Encoded, Functions, Message, contained, message_name};
pub use declared::{WireMessage, WireType};
#[cfg(feature = "prost")]
pub use outcome::ProstResult;
pub use reader::MAX_REFERENCES;
#[cfg(feature = "postcard")]
pub use serde_codec::Postcard;
#[cfg(feature = "serde")]
pub use serde_codec::Serde;

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
    static CLAIMS: LazyLock<GlobalMutex<Claims>> = LazyLock::new(GlobalMutex::default);
    let second = std::any::type_name::<M>();
    let mut claims = CLAIMS.lock();
    let (owner, first) = *claims.entry(wire.name()).or_insert((TypeId::of::<M>(), second));
    if owner == TypeId::of::<M>() {
        wire.is_claimed.store(true, Ordering::Relaxed);
        return Ok(());
    }
    Err(DuplicateName { name: wire.name(), first, second })
}

/// Declares types as messages that are generated in your crate: which reply belongs to which
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
pub use bytes::Bytes as Block;
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
    use bytes::Bytes;

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
