//! Protobuf fields, read in place and written in place.
//!
//! What carries user messages goes through here and not through generated types, for two reasons: a
//! payload stays where it lies in the frame, and a frame full of empty messages makes no list of structs
//! that is fifty times its size.

use std::borrow::Cow;

use crate::base::varint::{put_varint, varint_len};

/// Deepest nesting of groups that is skipped.
const MAX_GROUP_DEPTH: usize = 100;
/// Highest number a field may have.
const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;

/// Bytes that are not the protobuf message they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(Cow<'static, str>);

impl Malformed {
    const CUT_SHORT: Self = Self::new("a field is cut short");
    pub(super) const TOO_LONG: Self = Self::new("it is too long");
    pub(super) const INCOMPLETE: Self = Self::new("a field that must be set is not");

    const fn new(what: &'static str) -> Self {
        Self(Cow::Borrowed(what))
    }
}

impl From<prost::DecodeError> for Malformed {
    fn from(error: prost::DecodeError) -> Self {
        Self(error.to_string().into())
    }
}

/// One field. What has another wire type than its number should have counts as unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Skipped,
}

/// Reads the fields of a message one after another.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field with its number; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let field = match wire_type {
            0 => Field::Varint(self.varint()?),
            2 => Field::Bytes(self.bytes()?),
            _ => {
                self.skip(number, wire_type)?;
                Field::Skipped
            }
        };
        Ok(Some((number, field)))
    }

    /// How many bytes have not been read.
    pub(super) fn rest_len(&self) -> usize {
        self.rest.len()
    }

    /// Reads to the end, and says whether all of it is well-formed.
    pub(super) fn check(mut self) -> Result<(), Malformed> {
        while self.next()?.is_some() {}
        Ok(())
    }

    fn key(&mut self) -> Result<(u32, u8), Malformed> {
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 || number > MAX_FIELD_NUMBER {
            return Err(Malformed::new("a field has an invalid number"));
        }
        Ok((number as u32, (key & 7) as u8))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        // Nearly all keys and most lengths.
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(byte.into());
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (at, &byte) in self.rest.iter().take(10).enumerate() {
            if at == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << at.saturating_mul(7);
            if byte < 0x80 {
                self.rest = self.rest.get(at.saturating_add(1)..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 {
            Malformed::CUT_SHORT
        } else {
            Malformed::new("a varint is too long")
        })
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.varint()?).map_err(|_| Malformed::CUT_SHORT)?;
        self.take(len)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (front, rest) = self.rest.split_at_checked(len).ok_or(Malformed::CUT_SHORT)?;
        self.rest = rest;
        Ok(front)
    }

    /// Skips the value of a field that no message here has; a group is the fields up to its end.
    fn skip(&mut self, number: u32, wire_type: u8) -> Result<(), Malformed> {
        let mut open = Vec::new();
        let (mut number, mut wire_type) = (number, wire_type);
        loop {
            match wire_type {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => drop(self.bytes()?),
                3 if open.len() < MAX_GROUP_DEPTH => open.push(number),
                3 => return Err(Malformed::new("groups are nested too deep")),
                4 if open.pop() == Some(number) => {}
                4 => return Err(Malformed::new("a group ends that has not begun")),
                5 => drop(self.take(4)?),
                _ => return Err(Malformed::new("a field has an unknown wire type")),
            }
            if open.is_empty() {
                return Ok(());
            }
            (number, wire_type) = self.key()?;
        }
    }
}

/// The text in a string field.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::new("a text is not UTF-8"))
}

/// What a field of `len` bytes takes, with a number below 16.
pub(super) fn bytes_field_len(len: usize) -> usize {
    varint_len(len as u64).saturating_add(len).saturating_add(1)
}

/// Starts a field of `len` bytes, with a number below 16.
pub(super) fn put_bytes_key(out: &mut Vec<u8>, number: u8, len: usize) {
    out.push(number << 3 | 2);
    put_varint(out, len as u64);
}

/// Writes a text or bytes, with a number below 16. As always in proto3, nothing stands for empty.
pub(super) fn put_bytes_field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_bytes_key(out, number, bytes.len());
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Field<'_>)>, Malformed> {
        let (mut fields, mut list) = (Fields::new(bytes), Vec::new());
        while let Some(field) = fields.next()? {
            list.push(field);
        }
        Ok(list)
    }

    #[test]
    fn every_wire_type_is_read_or_skipped() {
        let bytes = [
            &b"\x08\x96\x01"[..],
            b"\x12\x02hi",
            b"\x19\0\0\0\0\0\0\0\0",
            b"\x25\0\0\0\0",
            // A group with a varint, bytes and another group in it.
            b"\x2b\x08\x01\x12\x01x\x33\x34\x2c",
            b"\xf8\xff\xff\xff\x0f\x01",
        ]
        .concat();
        let expected = [
            (1, Field::Varint(150)),
            (2, Field::Bytes(b"hi")),
            (3, Field::Skipped),
            (4, Field::Skipped),
            (5, Field::Skipped),
            (MAX_FIELD_NUMBER as u32, Field::Varint(1)),
        ];
        assert_eq!(all(&bytes).unwrap(), expected);
        for len in 1..bytes.len() {
            assert!(all(&bytes[..len]).is_err() || Fields::new(&bytes[..len]).check().is_ok());
        }
    }

    #[test]
    fn what_is_no_protobuf_is_refused() {
        for bytes in [
            &b"\xff\xff"[..],
            b"\x00\x01",
            b"\x08",
            b"\x0a\x05ab",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0e",
            b"\x0c",
            b"\x0b\x14",
            b"\x0b",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\xf8\xff\xff\xff\x7f\x01",
        ] {
            assert!(Fields::new(bytes).check().is_err(), "{bytes:02x?}");
        }
        let nested = |depth| [[0x0b].repeat(depth), [0x0c].repeat(depth)].concat();
        assert_eq!(Fields::new(&nested(MAX_GROUP_DEPTH)).check(), Ok(()));
        let error = Malformed::new("groups are nested too deep");
        assert_eq!(Fields::new(&nested(MAX_GROUP_DEPTH + 1)).check(), Err(error));
        assert_eq!(
            all(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").unwrap(),
            [(1, Field::Varint(u64::MAX))]
        );
    }
}
