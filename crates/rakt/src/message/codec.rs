//! How a value is written and read.

use bytes::Bytes;
#[cfg(feature = "prost")]
use prost::encoding::{DecodeContext, WireType, decode_key};

use super::allowance::Allowance;
use super::codec_error::CodecError;
#[cfg(feature = "prost")]
use super::part::Part;
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

    /// Reads a value that fills `len` bytes of a block from `start` on. Default: [`decode`](Self::decode) of them.
    ///
    /// # Errors
    /// As for `decode`.
    #[doc(hidden)]
    #[inline]
    fn decode_in(block: &Bytes, start: usize, len: usize) -> Result<T, CodecError> {
        Self::decode(block.slice(start..start + len))
    }

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
        // A field of `Bytes` takes its part of them as it is; a part of what is only lent would be counted.
        T::decode(bytes).map_err(CodecError::new)
    }

    #[inline(always)]
    fn decode_in(block: &Bytes, start: usize, len: usize) -> Result<T, CodecError> {
        read(Part::of(block, start, len))
    }

    fn decode_within(bytes: Bytes, allowance: &mut Allowance<'_>) -> Result<T, CodecError> {
        decode_prost(bytes, ELEMENT_LEN, allowance)
    }
}

/// What `T::decode` does, with a short way for the key of a field that is one byte.
#[cfg(feature = "prost")]
#[inline(always)]
fn read<T: prost::Message + Default>(mut part: Part<'_>) -> Result<T, CodecError> {
    let mut value = T::default();
    while !part.bytes().is_empty() {
        let (tag, wire_type) = match part.take_short_key() {
            Some(key) => key,
            None => decode_key(&mut part).map_err(CodecError::new)?,
        };
        let context = DecodeContext::default();
        value.merge_field(tag, wire_type, &mut part, context).map_err(CodecError::new)?;
    }
    Ok(value)
}

#[cfg(feature = "prost")]
impl Part<'_> {
    /// Takes the key of a field off, if it is one byte and in order.
    #[inline]
    fn take_short_key(&mut self) -> Option<(u32, WireType)> {
        let &[key @ 0x08..0x80, ..] = self.bytes() else { return None };
        let wire_type = WireType::try_from(u64::from(key & 7)).ok()?;
        self.skip_byte();
        Some((u32::from(key >> 3), wire_type))
    }
}

#[cfg(feature = "prost")]
fn decode_prost<T: prost::Message + Default>(
    bytes: Bytes,
    element: usize,
    allowance: &mut Allowance<'_>,
) -> Result<T, CodecError> {
    let is_read = |bytes: &[u8]| <Prost as Codec<T>>::decode(Bytes::copy_from_slice(bytes)).is_ok();
    let inner = super::walk::decoded_len(&bytes, element, allowance.left(), &is_read);
    allowance.take(inner.saturating_add(size_of::<T>() as u64))?;
    Prost::decode(bytes)
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

    #[inline]
    fn decode_in(block: &Bytes, start: usize, len: usize) -> Result<T, CodecError> {
        Prost::decode_in(block, start, len)
    }

    fn decode_within(bytes: Bytes, allowance: &mut Allowance<'_>) -> Result<T, CodecError> {
        decode_prost(bytes, ELEMENT, allowance)
    }
}

#[cfg(all(test, feature = "prost"))]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Note {
        #[prost(bytes = "bytes", tag = "1")]
        content: Bytes,
        #[prost(string, tag = "2")]
        name: String,
        #[prost(uint64, repeated, tag = "20")]
        numbers: Vec<u64>,
        #[prost(message, optional, boxed, tag = "3")]
        inner: Option<Box<Note>>,
    }

    fn written() -> impl Strategy<Value = Vec<u8>> {
        let leaf = (any::<Vec<u8>>(), "[a-z]{0,3}", any::<Vec<u64>>()).prop_map(
            |(content, name, numbers)| Note { content: content.into(), name, numbers, inner: None },
        );
        let note = (leaf.clone(), proptest::option::of(leaf))
            .prop_map(|(note, inner)| Note { inner: inner.map(Box::new), ..note });
        let noise =
            prop::collection::vec(select(&[0, 1, 2, 8, 10, 18, 26, 0x80, 0xa2, 0xff]), 0..9);
        prop_oneof![note.prop_map(|note| prost::Message::encode_to_vec(&note)), noise]
    }

    proptest! {
        #[test]
        fn what_lies_in_a_block_reads_as_it_does_alone(
            before in any::<Vec<u8>>(),
            payload in written(),
            after in any::<Vec<u8>>(),
        ) {
            let block = Bytes::from([&before[..], &payload, &after].concat());
            let read: Result<Note, _> = Prost::decode_in(&block, before.len(), payload.len());
            let expected = <Note as prost::Message>::decode(&payload[..]);
            prop_assert_eq!(read.is_ok(), expected.is_ok(), "{:?} and {:?}", read, expected);
            if let (Ok(read), Ok(expected)) = (read, expected) {
                prop_assert_eq!(read, expected);
            }
        }
    }

    #[test]
    fn bytes_of_a_message_share_its_block() {
        let note = Note { content: Bytes::from_static(b"shared"), ..Note::default() };
        let block = Bytes::from(prost::Message::encode_to_vec(&note));
        let read: Note = Prost::decode_in(&block, 0, block.len()).expect("it is a note");
        assert!(block.as_ptr_range().contains(&read.content.as_ptr()));
    }
}
