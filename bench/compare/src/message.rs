//! What is sent: the same protobuf messages by every contestant.

use bytes::Bytes;

/// Payload of a small message, in bytes.
pub(crate) const SMALL_LEN: usize = 64;
/// Payload of a large message, in bytes.
pub(crate) const BULK_LEN: usize = 1 << 20;

/// A message to count.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Note {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: Bytes,
}

/// `len` bytes that no compressor makes smaller, the same in every run.
///
/// They are never freed, so a clone is a plain copy: cores that hand clones to each other do not meet
/// at a count of references, which would be the cost of the benchmark and not of a contestant.
pub(crate) fn payload(len: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let bytes: Vec<u8> = words.flatten().take(len).collect();
    Bytes::from_static(bytes.leak())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_length_and_is_always_the_same() {
        assert_eq!(payload(SMALL_LEN).len(), SMALL_LEN);
        assert_eq!(payload(100), payload(100));
    }
}
