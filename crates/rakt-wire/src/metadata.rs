//! The string pairs that travel with a message: trace context, tenant, locale.

use std::fmt;

use crate::base::varint::{DecodeError, Reader, at_most, put_string, put_varint, varint_len};

/// Most pairs in one [`Metadata`].
pub const MAX_PAIRS: usize = 64;
/// Largest encoded [`Metadata`], in bytes.
pub const MAX_METADATA_LEN: usize = 16 * 1024;

/// An ordered list of string pairs with at most [`MAX_PAIRS`] pairs and [`MAX_METADATA_LEN`] encoded bytes.
///
/// A key may occur more than once. `Debug` shows the keys and hides the values, which may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pairs: Vec<(String, String)>,
    /// Encoded length of the pairs, the count before them left out.
    pairs_len: usize,
}

impl Metadata {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair at the end, next to any with the same key.
    ///
    /// # Errors
    /// Says which bound it would break; the list is then unchanged.
    pub fn append(
        &mut self,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), MetadataError> {
        let (key, value) = (key.into(), value.into());
        if self.pairs.len() >= MAX_PAIRS {
            return Err(MetadataError::TooManyPairs { limit: MAX_PAIRS });
        }
        let pairs_len = self.pairs_len.saturating_add(pair_len(&key, &value));
        let len = pairs_len.saturating_add(1);
        if len > MAX_METADATA_LEN {
            return Err(MetadataError::TooLong { len, limit: MAX_METADATA_LEN });
        }
        self.pairs.push((key, value));
        self.pairs_len = pairs_len;
        Ok(())
    }

    /// Sets the value of `key`: replaces the first pair with that key, drops the others, or adds one.
    ///
    /// # Errors
    /// As [`Metadata::append`]; the list is then unchanged.
    pub fn insert(
        &mut self,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), MetadataError> {
        let (key, value) = (key.into(), value.into());
        let Some(at) = self.pairs.iter().position(|(other, _)| *other == key) else {
            return self.append(key, value);
        };
        let mut next = Self::new();
        for (index, (other, old)) in self.pairs.iter().enumerate() {
            if index == at {
                next.append(key.as_str(), value.as_str())?;
            } else if *other != key {
                next.append(other.as_str(), old.as_str())?;
            }
        }
        *self = next;
        Ok(())
    }

    /// The value of the first pair with this key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// All pairs in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// How many bytes [`Metadata::encode`] writes.
    pub fn encoded_len(&self) -> usize {
        self.pairs_len.saturating_add(varint_len(self.pairs.len() as u64))
    }

    /// Writes the count of pairs, then each key and value as a string.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.pairs.len() as u64);
        for (key, value) in &self.pairs {
            put_string(out, key);
            put_string(out, value);
        }
    }

    /// Reads what [`Metadata::encode`] wrote; `bytes` must hold that and nothing else.
    ///
    /// # Errors
    /// Says which field is malformed or which bound is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        at_most("metadata", bytes.len() as u64, MAX_METADATA_LEN as u64)?;
        let mut reader = Reader::new(bytes);
        let count = reader.varint_max("metadata count", MAX_PAIRS as u64)?;
        let mut metadata = Self::new();
        for _ in 0..count {
            let key = reader.string("metadata key", MAX_METADATA_LEN)?;
            let value = reader.string("metadata value", MAX_METADATA_LEN)?;
            metadata.append(key, value).map_err(|_| DecodeError::Invalid { what: "metadata" })?;
        }
        reader.finish()?;
        Ok(metadata)
    }
}

fn pair_len(key: &str, value: &str) -> usize {
    [key, value].iter().fold(0_usize, |sum, text| {
        sum.saturating_add(varint_len(text.len() as u64)).saturating_add(text.len())
    })
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(key, _)| key)).finish()
    }
}

/// Which bound of [`Metadata`] would be broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// One pair more than allowed.
    #[error("metadata may hold {limit} pairs at most")]
    TooManyPairs {
        /// [`MAX_PAIRS`].
        limit: usize,
    },
    /// More bytes than allowed.
    #[error("metadata would be {len} bytes long, the limit is {limit}")]
    TooLong {
        /// The encoded length in bytes.
        len: usize,
        /// [`MAX_METADATA_LEN`].
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn insert_replaces_and_append_adds() {
        let mut metadata = Metadata::new();
        metadata.append("a", "1").unwrap();
        metadata.append("b", "2").unwrap();
        metadata.append("a", "3").unwrap();
        assert_eq!(metadata.get("a"), Some("1"));
        metadata.insert("a", "4").unwrap();
        metadata.insert("c", "5").unwrap();
        let pairs: Vec<_> = metadata.iter().collect();
        assert_eq!(pairs, [("a", "4"), ("b", "2"), ("c", "5")]);
    }

    #[test]
    fn a_65th_pair_is_refused() {
        let mut metadata = Metadata::new();
        for n in 0..MAX_PAIRS {
            metadata.append(n.to_string(), "").unwrap();
        }
        assert_eq!(metadata.append("x", ""), Err(MetadataError::TooManyPairs { limit: 64 }));
        assert_eq!(metadata.insert("0", "new"), Ok(()));

        let mut bytes = vec![65];
        bytes.extend([0; 130]);
        assert_eq!(
            Metadata::decode(&bytes),
            Err(DecodeError::TooLarge { what: "metadata count", value: 65, limit: 64 })
        );
    }

    #[test]
    fn more_than_16_kib_is_refused() {
        let mut metadata = Metadata::new();
        metadata.append("k", "v".repeat(MAX_METADATA_LEN - 5)).unwrap();
        assert_eq!(metadata.encoded_len(), MAX_METADATA_LEN);
        let longer = "v".repeat(MAX_METADATA_LEN - 4);
        let error = MetadataError::TooLong { len: MAX_METADATA_LEN + 1, limit: MAX_METADATA_LEN };
        assert_eq!(metadata.insert("k", longer), Err(error));
        assert_eq!(metadata.get("k").unwrap().len(), MAX_METADATA_LEN - 5);

        let mut bytes = Vec::new();
        metadata.encode(&mut bytes);
        assert_eq!(Metadata::decode(&bytes), Ok(metadata));
        bytes.push(0);
        assert!(matches!(Metadata::decode(&bytes), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn debug_hides_values() {
        let mut metadata = Metadata::new();
        metadata.append("authorization", "secret").unwrap();
        assert_eq!(format!("{metadata:?}"), r#"{"authorization"}"#);
    }

    proptest! {
        #[test]
        fn pairs_read_back(pairs in vec((".{0,20}", ".{0,40}"), 0..MAX_PAIRS)) {
            let mut metadata = Metadata::new();
            for (key, value) in &pairs {
                metadata.append(key.as_str(), value.as_str())?;
            }
            let mut bytes = Vec::new();
            metadata.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), metadata.encoded_len());
            prop_assert_eq!(Metadata::decode(&bytes)?, metadata);
        }
    }
}
