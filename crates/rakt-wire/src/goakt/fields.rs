//! Protobuf fields, read in place and written in place.
//!
//! What carries user messages goes through here and not through generated types, for two reasons: a
//! payload stays where it lies in the frame, and a frame full of empty messages makes no list of structs
//! that is fifty times its size.

use crate::base::varint::{DecodeError, Reader, at_most, put_varint, varint_len};

/// Deepest nesting of groups that is skipped.
const MAX_GROUP_DEPTH: usize = 100;
/// Highest number a field may have.
const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;

/// Bytes that are not the protobuf message they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// What is read in place.
    #[error(transparent)]
    Field(#[from] DecodeError),
    /// What is read into generated types.
    #[error(transparent)]
    Message(#[from] prost::DecodeError),
    /// A payload or an answer has the form that GoAkt v4 gives it.
    #[error("it has the form of GoAkt v4: GoAkt v3.14 is needed on both sides")]
    Version,
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
pub(super) struct Fields<'a>(Reader<'a>);

/// What cannot be read is called so.
const FIELD: &str = "a field";

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes))
    }

    /// The next field with its number; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let field = match wire_type {
            0 => Field::Varint(self.0.varint(FIELD)?),
            2 => Field::Bytes(self.0.bytes(FIELD, usize::MAX)?),
            _ => {
                self.skip(number, wire_type)?;
                Field::Skipped
            }
        };
        Ok(Some((number, field)))
    }

    /// How many bytes have not been read.
    pub(super) fn rest_len(&self) -> usize {
        self.0.len()
    }

    /// Reads to the end, and says whether all of it is well-formed.
    pub(super) fn check(mut self) -> Result<(), Malformed> {
        while self.next()?.is_some() {}
        Ok(())
    }

    fn key(&mut self) -> Result<(u32, u8), DecodeError> {
        let key = self.0.varint(FIELD)?;
        let number = key >> 3;
        if number == 0 || number > MAX_FIELD_NUMBER {
            return Err(DecodeError::Invalid { what: "the number of a field" });
        }
        Ok((number as u32, (key & 7) as u8))
    }

    /// Skips the value of a field that no message here has; a group is the fields up to its end.
    fn skip(&mut self, mut number: u32, mut wire_type: u8) -> Result<(), DecodeError> {
        let mut open = Vec::new();
        loop {
            match wire_type {
                0 => drop(self.0.varint(FIELD)?),
                1 => drop(self.0.array::<8>(FIELD)?),
                2 => drop(self.0.bytes(FIELD, usize::MAX)?),
                3 => {
                    open.push(number);
                    at_most("the depth of groups", open.len() as u64, MAX_GROUP_DEPTH as u64)?;
                }
                4 if open.pop() == Some(number) => {}
                4 => return Err(DecodeError::Invalid { what: "the end of a group" }),
                5 => drop(self.0.array::<4>(FIELD)?),
                _ => {
                    let value = wire_type.into();
                    return Err(DecodeError::Unknown { what: "the wire type of a field", value });
                }
            }
            if open.is_empty() {
                return Ok(());
            }
            (number, wire_type) = self.key()?;
        }
    }
}

/// The text in a string field.
pub(super) fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { what: "a text" })
}

/// Fields on their way out. Lengths stand in front of what they count, so all is gone through twice: to be
/// counted, and to be written. Numbers are below 16.
pub(super) enum Out<'a> {
    /// So many bytes.
    Count(usize),
    Write(&'a mut Vec<u8>),
}

impl Out<'_> {
    /// How many bytes `put` writes.
    pub(super) fn count(put: impl FnOnce(&mut Out<'_>)) -> usize {
        let mut out = Out::Count(0);
        put(&mut out);
        if let Out::Count(len) = out { len } else { 0 }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        match self {
            Self::Count(len) => *len = len.saturating_add(bytes.len()),
            Self::Write(out) => out.extend_from_slice(bytes),
        }
    }

    /// Starts a field of `len` bytes.
    pub(super) fn key(&mut self, number: u8, len: usize) {
        match self {
            Self::Count(sum) => {
                *sum = sum.saturating_add(varint_len(len as u64)).saturating_add(1);
            }
            Self::Write(out) => {
                out.push(number << 3 | 2);
                put_varint(out, len as u64);
            }
        }
    }

    /// A text or bytes. As always in proto3, nothing stands for empty.
    pub(super) fn bytes(&mut self, number: u8, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.key(number, bytes.len());
            self.raw(bytes);
        }
    }

    /// A message within this one.
    pub(super) fn nested(&mut self, number: u8, put: impl Fn(&mut Out<'_>)) {
        let len = Self::count(&put);
        self.key(number, len);
        match self {
            Self::Count(sum) => *sum = sum.saturating_add(len),
            Self::Write(_) => put(self),
        }
    }

    /// The fields of a generated message.
    pub(super) fn message(&mut self, message: &impl prost::Message) {
        match self {
            Self::Count(sum) => *sum = sum.saturating_add(message.encoded_len()),
            Self::Write(out) => message.encode(out).expect("a Vec grows as needed"),
        }
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
        let (what, value, limit) = ("the depth of groups", 101, 100);
        let error = Malformed::Field(DecodeError::TooLarge { what, value, limit });
        assert_eq!(Fields::new(&nested(MAX_GROUP_DEPTH + 1)).check(), Err(error));
        assert_eq!(
            all(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").unwrap(),
            [(1, Field::Varint(u64::MAX))]
        );
    }
}
