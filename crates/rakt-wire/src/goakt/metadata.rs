//! The metadata section of a frame: headers, and a deadline as an absolute time.
//!
//! ```text
//!   count u16 │ count × (key len u16 │ key │ value len u16 │ value) │ deadline i64
//! ```
//!
//! Numbers are big-endian (GoAkt v3.14.0, `internal/net/metadata.go`). What follows the deadline is
//! ignored. GoAkt treats the names of headers like those of HTTP, so case does not matter; here they are
//! lower-case once they have arrived.

use std::time::{Duration, SystemTime};

use crate::metadata::{MAX_METADATA_LEN, MAX_PAIRS, Metadata, MetadataError};

/// When a request is over, in nanoseconds since 1970 on the sender's clock.
///
/// The clocks of two machines differ, and each difference makes such a deadline shorter or longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Deadline(i64);

impl Deadline {
    /// The deadline with this number on the wire; 0 and less stand for none.
    pub fn from_unix_nanos(nanos: i64) -> Option<Self> {
        (nanos > 0).then_some(Self(nanos))
    }

    /// The number on the wire.
    pub fn unix_nanos(self) -> i64 {
        self.0
    }

    /// The time `remaining` from `now`.
    pub fn after(now: SystemTime, remaining: Duration) -> Self {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let nanos = since.saturating_add(remaining).as_nanos();
        Self(i64::try_from(nanos).unwrap_or(i64::MAX).max(1))
    }

    /// The time that is left at `now`; zero when it is over.
    pub fn remaining(self, now: SystemTime) -> Duration {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Duration::from_nanos(self.0.unsigned_abs()).saturating_sub(since)
    }
}

/// A metadata section that has arrived. [`Section::decode`] has checked its form, not what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    count: u16,
    pairs: &'a [u8],
    /// The deadline, when there is one.
    pub deadline: Option<Deadline>,
}

impl<'a> Section<'a> {
    /// Reads a section.
    ///
    /// # Errors
    /// [`SectionError::CutShort`], which ends the connection.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, SectionError> {
        let (count, pairs) = take_u16(bytes)?;
        let mut rest = pairs;
        for _ in 0..count {
            rest = take_pair(rest)?.1;
        }
        let deadline = rest.first_chunk().copied().ok_or(SectionError::CutShort)?;
        let deadline = Deadline::from_unix_nanos(i64::from_be_bytes(deadline));
        Ok(Self { count, pairs, deadline })
    }

    /// The headers, with their names in lower case. Of two with the same name the last one counts.
    ///
    /// # Errors
    /// More headers than [`Metadata`] holds, or some that are not UTF-8.
    pub fn headers(&self) -> Result<Metadata, SectionError> {
        let count = usize::from(self.count);
        if count > MAX_PAIRS {
            return Err(MetadataError::TooManyPairs { limit: MAX_PAIRS }.into());
        }
        let (mut metadata, mut rest) = (Metadata::new(), self.pairs);
        for _ in 0..count {
            let ((key, value), after) = take_pair(rest)?;
            rest = after;
            if key.len().saturating_add(value.len()) > MAX_METADATA_LEN {
                let len = key.len().saturating_add(value.len());
                return Err(MetadataError::TooLong { len, limit: MAX_METADATA_LEN }.into());
            }
            let [key, value] = [key, value].map(std::str::from_utf8);
            let key = key.map_err(|_| SectionError::NotUtf8)?.to_ascii_lowercase();
            metadata.insert(key, value.map_err(|_| SectionError::NotUtf8)?)?;
        }
        Ok(metadata)
    }
}

/// Why a metadata section cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SectionError {
    /// It ends in the middle of a field.
    #[error("the metadata is cut short")]
    CutShort,
    /// A header is not text.
    #[error("a header is not UTF-8")]
    NotUtf8,
    /// More than this side holds.
    #[error("too many headers")]
    Bound(#[from] MetadataError),
    /// A length does not fit into the 16 bits it has on the wire.
    #[error("a header part of {len} bytes does not fit the protocol, the limit is 65535")]
    TooLong {
        /// The length in bytes.
        len: usize,
    },
}

fn take_u16(bytes: &[u8]) -> Result<(u16, &[u8]), SectionError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(SectionError::CutShort)?;
    Ok((u16::from_be_bytes(*number), rest))
}

fn take_part(bytes: &[u8]) -> Result<(&[u8], &[u8]), SectionError> {
    let (len, rest) = take_u16(bytes)?;
    rest.split_at_checked(len.into()).ok_or(SectionError::CutShort)
}

type Pair<'a> = (&'a [u8], &'a [u8]);

fn take_pair(bytes: &[u8]) -> Result<(Pair<'_>, &[u8]), SectionError> {
    let (key, rest) = take_part(bytes)?;
    let (value, rest) = take_part(rest)?;
    Ok(((key, value), rest))
}

/// Writes a section. Of two headers whose names differ only in case the first one goes out, since the
/// other side would keep one of them at random.
pub(super) fn put_section<'a>(
    out: &mut Vec<u8>,
    headers: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    deadline: Option<Deadline>,
) -> Result<(), SectionError> {
    let count_at = out.len();
    out.extend_from_slice(&[0; 2]);
    let mut count = 0_u16;
    for (at, (key, value)) in headers.clone().enumerate() {
        if headers.clone().take(at).any(|(other, _)| other.eq_ignore_ascii_case(key)) {
            continue;
        }
        put_part(out, key)?;
        put_part(out, value)?;
        count = count.checked_add(1).ok_or(MetadataError::TooManyPairs { limit: 65_535 })?;
    }
    if let Some(place) = out.get_mut(count_at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = count.to_be_bytes();
    }
    out.extend_from_slice(&deadline.map_or(0, Deadline::unix_nanos).to_be_bytes());
    Ok(())
}

/// GoAkt would cut the length and not the text, which breaks the whole section; here that is refused.
fn put_part(out: &mut Vec<u8>, text: &str) -> Result<(), SectionError> {
    let len = u16::try_from(text.len()).map_err(|_| SectionError::TooLong { len: text.len() })?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(pairs: &[(&str, &str)], deadline: Option<Deadline>) -> Vec<u8> {
        let mut out = Vec::new();
        put_section(&mut out, pairs.iter().copied(), deadline).unwrap();
        out
    }

    #[test]
    fn an_empty_section_is_ten_zeros() {
        assert_eq!(section(&[], None), [0; 10]);
        let read = Section::decode(&[0; 10]).unwrap();
        assert_eq!((read.headers().unwrap().len(), read.deadline), (0, None));
    }

    #[test]
    fn headers_come_back_in_lower_case_and_the_last_of_a_name_counts() {
        let mut bytes = section(&[("X-Trace-Id", "abc"), ("tenant", "ä")], None);
        bytes.extend_from_slice(b"and what follows is ignored");
        let headers = Section::decode(&bytes).unwrap().headers().unwrap();
        let pairs: Vec<_> = headers.iter().collect();
        assert_eq!(pairs, [("x-trace-id", "abc"), ("tenant", "ä")]);

        let twice = b"\0\x02\0\x01a\0\x011\0\x01A\0\x012\0\0\0\0\0\0\0\0";
        let headers = Section::decode(twice).unwrap().headers().unwrap();
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("a", "2")]);
    }

    #[test]
    fn of_names_that_differ_in_case_the_first_is_sent() {
        let bytes = section(&[("A", "1"), ("b", "2"), ("a", "3"), ("B", "4")], None);
        let headers = Section::decode(&bytes).unwrap().headers().unwrap();
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_not_cut() {
        let (mut out, long) = (Vec::new(), "x".repeat(65_536));
        for pair in [("k", long.as_str()), (long.as_str(), "v")] {
            let result = put_section(&mut out, [pair].into_iter(), None);
            assert_eq!(result, Err(SectionError::TooLong { len: 65_536 }));
        }
        let fits = &long[1..];
        assert_eq!(put_section(&mut out, [("k", fits)].into_iter(), None), Ok(()));
    }

    #[test]
    fn a_section_cut_short_is_refused_and_too_many_headers_are_too() {
        let bytes = section(&[("a", "1"), ("b", "2")], None);
        for len in 0..bytes.len() {
            assert_eq!(Section::decode(&bytes[..len]), Err(SectionError::CutShort), "{len}");
        }
        let names: Vec<_> = (0..65).map(|n| n.to_string()).collect();
        let pairs: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        let bytes = section(&pairs, None);
        let error = Section::decode(&bytes).unwrap().headers().unwrap_err();
        assert_eq!(error, SectionError::Bound(MetadataError::TooManyPairs { limit: 64 }));
        // As they arrive, before those with the same name become one.
        let same = [&[0, 65][..], &b"\0\x01k\0\0".repeat(65), &[0; 8]].concat();
        assert_eq!(Section::decode(&same).unwrap().headers(), Err(error));
        let bytes = b"\0\x01\0\x01\xff\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(Section::decode(bytes).unwrap().headers(), Err(SectionError::NotUtf8));
    }

    #[test]
    fn headers_are_as_long_as_metadata_may_be() {
        // Besides its bytes each has two lengths, here in one byte and in three.
        let headers = |len: usize| {
            let bytes = section(&[("k", &"v".repeat(len))], None);
            Section::decode(&bytes).unwrap().headers()
        };
        assert_eq!(headers(MAX_METADATA_LEN - 6).unwrap().encoded_len(), MAX_METADATA_LEN - 1);
        let too_long =
            |len| Err(SectionError::Bound(MetadataError::TooLong { len, limit: 16_384 }));
        assert_eq!(headers(MAX_METADATA_LEN), too_long(MAX_METADATA_LEN + 1));
        assert_eq!(headers(MAX_METADATA_LEN - 4), too_long(MAX_METADATA_LEN + 1));
    }

    #[test]
    fn a_deadline_is_a_time_remaining_at_some_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
        let deadline = Deadline::after(now, Duration::from_millis(1500));
        assert_eq!(deadline.unix_nanos(), 4_000_000_001_500_000_000);
        assert_eq!(deadline.remaining(now), Duration::from_millis(1500));
        assert_eq!(deadline.remaining(now + Duration::from_secs(2)), Duration::ZERO);
        assert_eq!(
            Section::decode(&section(&[], Some(deadline))).unwrap().deadline,
            Some(deadline)
        );
        assert_eq!(Deadline::after(now, Duration::MAX).unix_nanos(), i64::MAX);
        assert_eq!(Deadline::from_unix_nanos(-5), None);
        assert_eq!(Section::decode(&[&[0, 0][..], &[0xff; 8]].concat()).unwrap().deadline, None);
    }
}
