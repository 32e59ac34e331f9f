//! Reading and writing the fields of a frame.
//!
//! Integers are LEB128 varints unless a field says otherwise: seven bits a byte, lowest first, the top
//! bit set on all but the last byte. A string or byte field is its length as a varint, then the bytes.

use std::time::Duration;

use super::text::controls_at;

/// Longest varint of a `u64`, in bytes.
pub(crate) const MAX_VARINT_LEN: usize = 10;

/// Why the body of a frame could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the field does.
    #[error("{what} is cut short")]
    Truncated {
        /// The field.
        what: &'static str,
    },
    /// A varint has more than 64 bits.
    #[error("{what} is not a 64-bit varint")]
    Overflow {
        /// The field.
        what: &'static str,
    },
    /// A number is larger than the field allows.
    #[error("{what} is {value}, the limit is {limit}")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// What the peer sent: a length in bytes, a count, or the number itself.
        value: u64,
        /// The largest value allowed.
        limit: u64,
    },
    /// A string is not UTF-8.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// The field.
        what: &'static str,
    },
    /// A code, flag or tag has no meaning here.
    #[error("{what} has the unknown value {value}")]
    Unknown {
        /// The field.
        what: &'static str,
        /// What the peer sent.
        value: u64,
    },
    /// A field occurs twice, or a mandatory one is missing.
    #[error("{what} must occur exactly once")]
    Occurrence {
        /// The field.
        what: &'static str,
    },
    /// A field has a form that its meaning rules out.
    #[error("{what} is not valid")]
    Invalid {
        /// The field.
        what: &'static str,
    },
    /// A name holds a control character, or one like it: see [`controls_at`](crate::controls_at).
    #[error("{what} may hold no control character, and has one at byte {at}")]
    Control {
        /// The field.
        what: &'static str,
        /// Where in it, in bytes.
        at: usize,
    },
    /// Bytes are left over after the last field.
    #[error("{len} bytes follow the last field")]
    Trailing {
        /// How many.
        len: usize,
    },
}

/// Reads fields off the front of a slice. No read goes past its end, and none allocates.
///
/// Each fails with [`DecodeError::Truncated`] where bytes are missing, a varint of more than 64 bits with
/// [`DecodeError::Overflow`], and what is above a limit with [`DecodeError::TooLarge`].
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes are left.
    #[inline]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads one byte.
    #[inline]
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        let (&first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated { what })?;
        self.rest = rest;
        Ok(first)
    }

    /// Reads `N` bytes as they are.
    #[inline]
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (first, rest) =
            self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated { what })?;
        self.rest = rest;
        Ok(*first)
    }

    /// Reads eight bytes, the most significant first.
    #[inline]
    pub fn u64_be(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// Reads a varint.
    #[inline]
    pub fn varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(what),
        }
    }

    fn long_varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        let mut bytes = self.rest.iter();
        for shift in (0_u32..).step_by(7).take(MAX_VARINT_LEN) {
            let &byte = bytes.next().ok_or(DecodeError::Truncated { what })?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits.wrapping_shl(shift);
            if byte < 0x80 {
                self.rest = bytes.as_slice();
                return Ok(value);
            }
        }
        Err(DecodeError::Overflow { what })
    }

    /// Reads a varint that must not exceed `limit`.
    #[inline]
    pub fn varint_max(&mut self, what: &'static str, limit: u64) -> Result<u64, DecodeError> {
        let value = self.varint(what)?;
        at_most(what, value, limit)?;
        Ok(value)
    }

    /// Reads a varint that must fit 32 bits.
    #[inline]
    pub fn varint_u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let value = self.varint(what)?;
        u32::try_from(value).map_err(|_| DecodeError::TooLarge {
            what,
            value,
            limit: u64::from(u32::MAX),
        })
    }

    /// Reads a byte field of at most `limit` bytes.
    pub fn bytes(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.varint_max(what, limit as u64)?;
        let len = usize::try_from(len).map_err(|_| DecodeError::Truncated { what })?;
        let (bytes, rest) =
            self.rest.split_at_checked(len).ok_or(DecodeError::Truncated { what })?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads a string of at most `limit` bytes.
    pub fn string(&mut self, what: &'static str, limit: usize) -> Result<&'a str, DecodeError> {
        let bytes = self.bytes(what, limit)?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { what })
    }

    /// Reads a string of at most `limit` bytes that names something.
    pub fn name(&mut self, what: &'static str, limit: usize) -> Result<&'a str, DecodeError> {
        let name = self.string(what, limit)?;
        match controls_at(name) {
            None => Ok(name),
            Some(at) => Err(DecodeError::Control { what, at }),
        }
    }

    /// Reads a byte that is 0 or 1.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8(what)? {
            flag @ (0 | 1) => Ok(flag == 1),
            flag => Err(DecodeError::Unknown { what, value: u64::from(flag) }),
        }
    }

    /// Reads a flag and, where it is set, the eight bytes of an optional `u64`.
    pub fn optional_u64(&mut self, what: &'static str) -> Result<Option<u64>, DecodeError> {
        self.flag(what)?.then(|| self.u64_be(what)).transpose()
    }

    /// Makes sure that nothing is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            len => Err(DecodeError::Trailing { len }),
        }
    }
}

/// Makes sure that a length, a count or a number does not exceed `limit`.
#[inline]
pub(crate) fn at_most(what: &'static str, value: u64, limit: u64) -> Result<(), DecodeError> {
    if value > limit {
        return Err(DecodeError::TooLarge { what, value, limit });
    }
    Ok(())
}

/// Writes a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`put_varint`] writes.
pub(crate) fn varint_len(value: u64) -> usize {
    let bits = u64::BITS.saturating_sub((value | 1).leading_zeros());
    bits.div_ceil(7) as usize
}

/// Writes a byte field: its length, then the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a string: its length in bytes, then its UTF-8.
pub fn put_string(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Writes an optional `u64`: a flag byte, then, where there is one, eight bytes, most significant first.
pub(crate) fn put_optional_u64(out: &mut Vec<u8>, value: Option<u64>) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// A duration in whole microseconds; what does not fit becomes the largest that does.
#[inline]
pub(crate) fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_varint_takes_a_byte_for_seven_bits() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(Reader::new(bytes).varint("x"), Ok(value));
            assert_eq!(varint_len(value), bytes.len());
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        let overflow = Err(DecodeError::Overflow { what: "x" });
        let mut bits_65 = [0xff; 10];
        bits_65[9] = 2;
        assert_eq!(Reader::new(&bits_65).varint("x"), overflow);
        let mut bytes_11 = [0x80; 11];
        bytes_11[10] = 0;
        assert_eq!(Reader::new(&bytes_11).varint("x"), overflow);
        let cut = Err(DecodeError::Truncated { what: "x" });
        assert_eq!(Reader::new(&[0x80]).varint("x"), cut);
        assert_eq!(Reader::new(&[]).varint("x"), cut);
    }

    #[test]
    fn a_field_is_bounded_before_it_is_looked_for() {
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(
            Reader::new(&claim).bytes("x", 16),
            Err(DecodeError::TooLarge { what: "x", value: u64::from(u32::MAX), limit: 16 })
        );
        assert_eq!(
            Reader::new(&[3, b'a', b'b']).string("x", 16),
            Err(DecodeError::Truncated { what: "x" })
        );
        assert_eq!(
            Reader::new(&[1, 0xff]).string("x", 16),
            Err(DecodeError::NotUtf8 { what: "x" })
        );
    }

    #[test]
    fn an_endless_duration_saturates() {
        assert_eq!(micros(Duration::MAX), u64::MAX);
        assert_eq!(micros(Duration::from_nanos(1_999)), 1);
    }

    proptest! {
        #[test]
        fn fields_read_back(number: u64, text: String, optional: Option<u64>) {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            put_string(&mut out, &text);
            put_optional_u64(&mut out, optional);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint("number").unwrap(), number);
            prop_assert_eq!(reader.string("text", text.len()).unwrap(), text);
            prop_assert_eq!(reader.optional_u64("optional").unwrap(), optional);
            prop_assert!(reader.finish().is_ok());
        }
    }
}
