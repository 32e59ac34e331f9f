//! Reading and writing the fields of what nodes of a cluster say and keep.
//!
//! Numbers are the varints of rakt's protocol, texts have their length in front, and what is read moves a slice forward. A
//! value has one form: a varint that is longer than it has to be is refused, so that what can be read is written as the same
//! bytes.

use rakt_wire::Reader;
pub use rakt_wire::{DecodeError, put_bytes, put_string, put_varint};

/// Reads with the reader of rakt's protocol, and moves the slice behind what was read.
fn with<'a, T>(
    from: &mut &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(from);
    let value = read(&mut reader)?;
    *from = reader.rest();
    Ok(value)
}

/// Reads one byte.
///
/// # Errors
/// If none is left.
pub fn byte(from: &mut &[u8], what: &'static str) -> Result<u8, DecodeError> {
    with(from, |reader| reader.u8(what))
}

/// Reads `N` bytes as they are.
///
/// # Errors
/// If fewer are left.
pub fn array<const N: usize>(from: &mut &[u8], what: &'static str) -> Result<[u8; N], DecodeError> {
    with(from, |reader| reader.array(what))
}

/// Reads a varint.
///
/// # Errors
/// If it is cut short, longer than its number needs, or has more than 64 bits.
pub fn varint(from: &mut &[u8], what: &'static str) -> Result<u64, DecodeError> {
    let before = from.len();
    let value = with(from, |reader| reader.varint(what))?;
    // Seven bits a byte, and the last of several is never 0.
    let used = before.saturating_sub(from.len()).saturating_sub(1);
    let least = u32::try_from(used).map_or(u32::MAX, |used| used.saturating_mul(7));
    let is_short = used == 0 || value.checked_shr(least).is_some_and(|rest| rest > 0);
    is_short.then_some(value).ok_or(DecodeError::Invalid { what })
}

/// Reads a varint of at most `limit`.
///
/// # Errors
/// As [`varint`], or if it is more.
pub fn varint_max(from: &mut &[u8], what: &'static str, limit: u64) -> Result<u64, DecodeError> {
    match varint(from, what)? {
        value if value > limit => Err(DecodeError::TooLarge { what, value, limit }),
        value => Ok(value),
    }
}

/// Reads how many items follow, of at least `len` bytes each. Returns that, and for how many of them there can be bytes: for
/// so many to reserve memory is safe.
///
/// # Errors
/// As [`varint`], or if there are more than `limit`.
pub fn count(
    from: &mut &[u8],
    what: &'static str,
    limit: usize,
    len: usize,
) -> Result<(usize, usize), DecodeError> {
    let value = varint_max(from, what, limit as u64)?;
    // No more than the limit, which is such a number.
    let count = usize::try_from(value).unwrap_or(limit);
    Ok((count, count.min(from.len().checked_div(len).unwrap_or(count))))
}

/// Reads a text of at most `limit` bytes.
///
/// # Errors
/// If it is cut short or longer, or is not UTF-8.
pub fn string<'a>(
    from: &mut &'a [u8],
    what: &'static str,
    limit: usize,
) -> Result<&'a str, DecodeError> {
    let bytes = bytes(from, what, limit)?;
    std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { what })
}

/// Reads at most `limit` bytes that have their number in front.
///
/// # Errors
/// If they are cut short, or more.
pub fn bytes<'a>(
    from: &mut &'a [u8],
    what: &'static str,
    limit: usize,
) -> Result<&'a [u8], DecodeError> {
    let len = varint_max(from, what, limit as u64)?;
    let len = usize::try_from(len).map_err(|_| DecodeError::Truncated { what })?;
    let (bytes, rest) = from.split_at_checked(len).ok_or(DecodeError::Truncated { what })?;
    *from = rest;
    Ok(bytes)
}

/// Reads a byte that says whether a varint follows, and that.
///
/// # Errors
/// As [`varint`], or if the byte is neither 0 nor 1.
pub fn optional(from: &mut &[u8], what: &'static str) -> Result<Option<u64>, DecodeError> {
    with(from, |reader| reader.flag(what))?.then(|| varint(from, what)).transpose()
}

/// Writes what [`optional`] reads.
pub fn put_optional(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put_varint(out, value);
    }
}

/// Makes sure that nothing is left.
///
/// # Errors
/// Says how many bytes are.
pub fn finish(from: &[u8]) -> Result<(), DecodeError> {
    Reader::new(from).finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_varint_has_one_form() {
        let invalid = Err(DecodeError::Invalid { what: "x" });
        for long in [&[0x80, 0][..], &[0xff, 0], &[0x80, 0x80, 0], &[0x80, 0x81, 0]] {
            assert_eq!(varint(&mut &*long, "x"), invalid, "{long:?}");
        }
        assert_eq!(varint(&mut &[0x80, 1][..], "x"), Ok(128));
        assert_eq!(varint(&mut &[0][..], "x"), Ok(0));
    }

    #[test]
    fn memory_is_reserved_for_what_can_be_there() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, 1000);
        bytes.extend([0; 50]);
        assert_eq!(count(&mut &bytes[..], "x", 1000, 10), Ok((1000, 5)));
        let error = DecodeError::TooLarge { what: "x", value: 1000, limit: 999 };
        assert_eq!(count(&mut &bytes[..], "x", 999, 10), Err(error));
    }

    proptest! {
        #[test]
        fn fields_read_back(number: u64, text: String, some: Option<u64>, array_of: [u8; 16]) {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            put_string(&mut out, &text);
            put_optional(&mut out, some);
            out.extend(array_of);
            let mut from = &out[..];
            prop_assert_eq!(varint(&mut from, "x"), Ok(number));
            prop_assert_eq!(string(&mut from, "x", text.len()), Ok(text.as_str()));
            prop_assert_eq!(optional(&mut from, "x"), Ok(some));
            prop_assert_eq!(array(&mut from, "x"), Ok(array_of));
            prop_assert_eq!(finish(from), Ok(()));
        }

        #[test]
        fn what_is_read_as_a_varint_is_written_as_the_same_bytes(bytes: [u8; 12]) {
            let mut from = &bytes[..];
            if let Ok(value) = varint(&mut from, "x") {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                prop_assert_eq!(&out[..], &bytes[..12 - from.len()]);
            }
        }
    }
}
