//! How a value is written and read.

use bytes::Bytes;

use super::allowance::Allowance;
use super::codec_error::CodecError;
#[cfg(feature = "prost")]
use super::walk::ELEMENT_LEN;

/// A way to write and read values of `T`.
///
/// `Prost`, `Serde` and `Postcard` are those that rakt brings; implement it on a type of your own to
/// bring another format.
#[diagnostic::on_unimplemented(
    message = "the codec `{Self}` does not write and read `{T}`",
    label = "`{T}` does not fit the codec `{Self}`",
    note = "`Prost` takes types that derive `prost::Message`, `Serde`, which \
            `#[rakt(name = \"..\", codec = \"serde\")]` asks for, those that derive `serde::Serialize` and \
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

    /// Reads a value that fills `bytes` exactly, and takes what it takes up in memory from `allowance` before it
    /// reserves that. Default: [`decode`](Self::decode), as if a value took up no more than its encoding.
    ///
    /// Called for payloads of 8 KiB and more that a peer sent. A format in which a few bytes become many, such as
    /// lists of elements that may be empty, needs it: else a peer can make this node hold any amount of memory.
    ///
    /// # Errors
    /// Why the bytes are no such value, or what [`Allowance::take`] said.
    fn decode_within(bytes: Bytes, allowance: &mut Allowance<'_>) -> Result<T, CodecError> {
        let _ = allowance;
        Self::decode(bytes)
    }
}

/// Protocol Buffers, for types that implement `prost::Message`.
///
/// Of what a peer sent an element of a repeated field counts 32 bytes besides its content, a number 8, towards
/// [`max_decoded`](crate::remote::Config::max_decoded). For a type with elements that take up more, which the codec
/// cannot see, there is [`ProstOf`].
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
        // `encode` would measure the value once more, to see whether there is room, of which a vector has plenty.
        value.encode_raw(out);
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<T, CodecError> {
        T::decode(bytes).map_err(CodecError::new)
    }

    fn decode_within(bytes: Bytes, allowance: &mut Allowance<'_>) -> Result<T, CodecError> {
        decode_prost(bytes, ELEMENT_LEN, allowance)
    }
}

#[cfg(feature = "prost")]
fn decode_prost<T: prost::Message + Default>(
    bytes: Bytes,
    element: usize,
    allowance: &mut Allowance<'_>,
) -> Result<T, CodecError> {
    let is_read = |bytes: &[u8]| T::decode(Bytes::copy_from_slice(bytes)).is_ok();
    let inner = super::walk::decoded_len(&bytes, element, allowance.left(), &is_read);
    allowance.take(inner.saturating_add(size_of::<T>() as u64))?;
    T::decode(bytes).map_err(CodecError::new)
}

/// [`Prost`] for a type whose repeated messages are larger than 32 bytes: an element counts `ELEMENT` bytes besides
/// its content, `size_of` the largest of them.
///
/// ```
/// # mod pb {
/// #     #[derive(Clone, PartialEq, prost::Message)]
/// #     pub struct Row { #[prost(string, repeated, tag = "1")] pub cells: Vec<String>, #[prost(string, tag = "2")] pub name: String }
/// #     #[derive(Clone, PartialEq, prost::Message)]
/// #     pub struct Table { #[prost(message, repeated, tag = "1")] pub rows: Vec<Row> }
/// # }
/// use rakt::message::ProstOf;
///
/// rakt::messages! { pb::Table as "demo.Table" with ProstOf<{ size_of::<pb::Row>() }> }
/// ```
#[cfg(feature = "prost")]
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "that it has no value is what it is for")]
pub enum ProstOf<const ELEMENT: usize> {}

#[cfg(feature = "prost")]
#[diagnostic::do_not_recommend]
impl<T: prost::Message + Default, const ELEMENT: usize> Codec<T> for ProstOf<ELEMENT> {
    fn encoded_len(value: &T) -> Option<usize> {
        Prost::encoded_len(value)
    }

    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        Prost::encode(value, out)
    }

    fn decode(bytes: Bytes) -> Result<T, CodecError> {
        Prost::decode(bytes)
    }

    fn decode_within(bytes: Bytes, allowance: &mut Allowance<'_>) -> Result<T, CodecError> {
        decode_prost(bytes, ELEMENT, allowance)
    }
}
