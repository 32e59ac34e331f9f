//! Codecs for serde types: MessagePack, which describes itself, and postcard, which does not.

use std::cell::RefCell;
use std::io::ErrorKind;

use bytes::Bytes;
use rmp_serde::decode::Error;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::allowance::Allowance;
use super::codec::Codec;
use super::codec_error::CodecError;
use super::counted::Counted;
#[cfg(feature = "postcard")]
use super::reader::{reading, written_by};

/// What a payload too small to be counted may become all the same, in bytes.
const SMALL_DECODED: u64 = 4 * 1024 * 1024;

/// [MessagePack](https://msgpack.org), for types that implement serde's traits.
///
/// Structs are written with the names of their fields. So fields can be reordered, added where they have a
/// `#[serde(default)]`, and taken away, while old and new versions of a type talk to each other, and all attributes
/// of serde work, `flatten`, `tag` and `untagged` among them. `Postcard` is smaller and faster and can do none of that.
///
/// Of what a peer sent each element of a list or map counts by its size in memory, towards
/// [`max_decoded`](crate::remote::Config::max_decoded), and so does what is behind a pointer. Where `untagged`, `tag` or
/// `flatten` have serde put values aside before it knows their type, an element counts what it takes up there, about 32
/// bytes: keep lists of large elements out of such types. Values are nested at most 128 deep.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "that it has no value is what it is for")]
pub enum Serde {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Codec<T> for Serde {
    fn encoded_len(_: &T) -> Option<usize> {
        None
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        rmp_serde::encode::write_named(out, value).map_err(CodecError::new)
    }

    /// A list of elements that have no size is as long as it says, however few bytes that takes.
    fn decode(bytes: Bytes) -> Result<T, CodecError> {
        Self::decode_within(bytes, &mut Allowance::new(SMALL_DECODED))
    }

    fn decode_within(bytes: Bytes, allowance: &mut Allowance<'_>) -> Result<T, CodecError> {
        let mut reader = rmp_serde::Deserializer::from_read_ref(&*bytes);
        let value = counted(allowance, |take| T::deserialize(Counted::new(&mut reader, take)))?;
        // The reader does not say what is left: there is no beginning of another value.
        match <()>::deserialize(&mut reader) {
            Err(Error::InvalidMarkerRead(end)) if end.kind() == ErrorKind::UnexpectedEof => {
                Ok(value)
            }
            _ => Err(CodecError::new("bytes follow the value")),
        }
    }
}

/// [Postcard](https://postcard.jamesmunns.com/wire-format), for types that implement serde's traits.
///
/// Postcard is compact and positional: fields cannot be added or reordered while old and new
/// versions of a type talk to each other. For the same reason attributes of serde that leave fields out, or tell
/// variants by what they hold, do not work: `skip_serializing_if`, `flatten`, `tag`, `untagged`. In a debug build a value
/// that postcard would read as another one is refused where it is sent. [`Serde`] can do all that.
///
/// Of what a peer sent each element of a list or map counts by its size in memory, towards
/// [`max_decoded`](crate::remote::Config::max_decoded), and so does what is behind a pointer. Values are nested at
/// most 128 deep.
#[cfg(feature = "postcard")]
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "that it has no value is what it is for")]
pub enum Postcard {}

#[cfg(feature = "postcard")]
#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Codec<T> for Postcard {
    fn encoded_len(_: &T) -> Option<usize> {
        None
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let from = out.len();
        written_by();
        postcard::to_io(&value, &mut *out).map_err(CodecError::new)?;
        if cfg!(debug_assertions) { check::<T>(&out[from..]) } else { Ok(()) }
    }

    /// A list of elements that have no size is as long as it says, however few bytes that takes.
    fn decode(bytes: Bytes) -> Result<T, CodecError> {
        Self::decode_within(bytes, &mut Allowance::new(SMALL_DECODED))
    }

    fn decode_within(bytes: Bytes, allowance: &mut Allowance<'_>) -> Result<T, CodecError> {
        let mut reader = postcard::Deserializer::from_bytes(&bytes);
        let value = counted(allowance, |take| T::deserialize(Counted::new(&mut reader, take)))?;
        match reader.finalize().map_err(CodecError::new)?.len() {
            0 => Ok(value),
            n => Err(CodecError::new(format!("{n} bytes follow the value"))),
        }
    }
}

/// Reads a value, which takes what it takes up from the allowance.
fn counted<T, E: std::error::Error + Send + Sync + 'static>(
    allowance: &mut Allowance<'_>,
    read: impl FnOnce(&dyn Fn(u64) -> bool) -> Result<T, E>,
) -> Result<T, CodecError> {
    allowance.take(size_of::<T>() as u64)?;
    let allowance = RefCell::new(allowance);
    let take = |bytes| allowance.borrow_mut().take(bytes).is_ok();
    read(&take).map_err(CodecError::new)
}

/// Reads what was just written, of 64 KiB at most, and says so if it is not what it was.
#[cfg(feature = "postcard")]
fn check<T: Serialize + DeserializeOwned>(written: &[u8]) -> Result<(), CodecError> {
    const LONGEST: usize = 64 * 1024;
    if written.len() > LONGEST {
        return Ok(());
    }
    let bytes = Bytes::copy_from_slice(written);
    let read = reading(written_by(), || <Postcard as Codec<T>>::decode(bytes));
    let again = read.map_err(|error| CodecError::new(Unread(error)))?;
    let again = postcard::to_allocvec(&again).map_err(CodecError::new)?;
    // Not the bytes: a map may be written in any order.
    match again.len() == written.len() {
        true => Ok(()),
        false => Err(CodecError::new(READ_AS_ANOTHER)),
    }
}

#[cfg(feature = "postcard")]
const READ_AS_ANOTHER: &str = "postcard reads the value as another one: attributes such as `skip_serializing_if` \
                               need a format that describes itself, as `Serde` writes";

/// Why a value that was just written cannot be read.
#[cfg(feature = "postcard")]
#[derive(Debug, thiserror::Error)]
#[error(
    "postcard cannot read the value again: attributes such as `skip_serializing_if`, `flatten`, `tag` and \
     `untagged` need a format that describes itself, as `Serde` writes"
)]
struct Unread(#[source] CodecError);
