//! Replies of Protocol Buffers that are a value or an error.

use bytes::{Buf, Bytes};

use super::allowance::Allowance;
use super::codec::{Codec, Prost};
use super::codec_error::CodecError;

/// The codec of a reply that is a `Result` of prost types, which `#[rakt(name = "..", reply = Result<T, E>)]` asks
/// for: `message Outcome { oneof outcome { T ok = 1; E error = 2; } }`.
///
/// An error in a reply is the asker's business. The actor has handled the message, and supervision does not hear of it.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "that it has no value is what it is for")]
pub enum ProstResult {}

/// The same as the codec reads it.
#[derive(prost::Message)]
#[prost(skip_debug)]
struct Outcome<T: prost::Message + Default, E: prost::Message + Default> {
    #[prost(message, optional, tag = "1")]
    ok: Option<T>,
    #[prost(message, optional, tag = "2")]
    error: Option<E>,
}

/// The keys of the fields: their number, and that their length comes first.
const OK: u8 = 1 << 3 | 2;
const ERROR: u8 = 2 << 3 | 2;

impl<T, E> Codec<Result<T, E>> for ProstResult
where
    T: prost::Message + Default,
    E: prost::Message + Default,
{
    fn encoded_len(value: &Result<T, E>) -> Option<usize> {
        let len = match value {
            Ok(value) => value.encoded_len(),
            Err(error) => error.encoded_len(),
        };
        Some(1 + prost::length_delimiter_len(len) + len)
    }

    fn encode(value: &Result<T, E>, out: &mut Vec<u8>) -> Result<(), CodecError> {
        match value {
            Ok(value) => {
                out.push(OK);
                value.encode_length_delimited(out)
            }
            Err(error) => {
                out.push(ERROR);
                error.encode_length_delimited(out)
            }
        }
        .map_err(CodecError::new)
    }

    fn decode(bytes: Bytes) -> Result<Result<T, E>, CodecError> {
        // Most are written by the function above, and hold one field.
        if let Some((&key @ (OK | ERROR), mut rest)) = bytes.split_first()
            && prost::decode_length_delimiter(&mut rest).is_ok_and(|len| len == rest.len())
        {
            let inner = bytes.slice(bytes.len() - rest.remaining()..);
            return match key {
                OK => Prost::decode(inner).map(Ok),
                _ => Prost::decode(inner).map(Err),
            };
        }
        one_of(Prost::decode(bytes)?)
    }

    fn decode_within(
        bytes: Bytes,
        allowance: &mut Allowance<'_>,
    ) -> Result<Result<T, E>, CodecError> {
        one_of(Prost::decode_within(bytes, allowance)?)
    }
}

fn one_of<T, E>(outcome: Outcome<T, E>) -> Result<Result<T, E>, CodecError>
where
    T: prost::Message + Default,
    E: prost::Message + Default,
{
    match outcome {
        Outcome { ok: Some(value), error: None } => Ok(Ok(value)),
        Outcome { ok: None, error: Some(error) } => Ok(Err(error)),
        Outcome { ok: None, error: None } => Err(CodecError::new("neither a value nor an error")),
        Outcome { ok: Some(_), error: Some(_) } => {
            Err(CodecError::new("both a value and an error"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Made = Result<String, Vec<u8>>;

    fn written(value: &Made) -> Bytes {
        let mut out = Vec::new();
        ProstResult::encode(value, &mut out).expect("there is room");
        assert_eq!(ProstResult::encoded_len(value), Some(out.len()));
        out.into()
    }

    fn read(bytes: Bytes) -> Result<Made, String> {
        ProstResult::decode(bytes).map_err(|error| error.to_string())
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(value: Result<String, Vec<u8>>) {
            prop_assert_eq!(read(written(&value)), Ok(value.clone()));
            let mut allowance = Allowance::new(1 << 20);
            let within = ProstResult::decode_within(written(&value), &mut allowance);
            prop_assert_eq!(within.ok(), Some(value));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let once = read(bytes.clone().into()).ok();
            let whole = Prost::decode(bytes.into()).and_then(one_of).ok();
            prop_assert_eq!(once, whole, "the short way reads what protobuf reads");
        }
    }

    #[test]
    fn it_is_one_of_two() {
        assert_eq!(read(Bytes::new()), Err("neither a value nor an error".to_owned()));
        let both = [written(&Ok("a".into())), written(&Err(vec![1]))].concat();
        assert_eq!(read(both.into()), Err("both a value and an error".to_owned()));
        let later = [&written(&Ok("a".into()))[..], &[3 << 3, 1]].concat();
        assert_eq!(read(later.into()), Ok(Ok("a".into())), "a field of a later version");
    }
}
