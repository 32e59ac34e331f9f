//! What a protobuf message takes up in memory when it is decoded, told without decoding it.
//!
//! The bytes do not say what a field is: a string, numbers one after the other, and a message look alike. So
//! the type is asked, by having it decode two or three bytes in the place of the field, once for each field.

use std::hash::{BuildHasher, RandomState};

/// What an element of a repeated field counts besides its content, if nothing else is said, in bytes.
pub(super) const ELEMENT_LEN: usize = 32;
/// What a number takes up, in bytes.
const NUMBER_LEN: u64 = 8;
/// Fields within fields within fields.
const MAX_DEPTH: usize = 32;
/// Fields that a type is asked about for one message; a power of two.
const MAX_FIELDS: usize = 256;
/// Places in which a field may stand of what is known of fields.
const TRIES: usize = 8;

/// The text U+0080: no number ends with its last byte, and no message begins with it.
const TEXT: [u8; 2] = [0xc2, 0x80];
/// The number 1; no message consists of it.
const NUMBER: [u8; 1] = [1];

/// What a field of bytes is to a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A string or bytes, or no field of the type: it is not looked into.
    Text,
    Numbers,
    /// A message, or numbers of a fixed length.
    Message,
    /// There are too many fields to tell.
    Unknown,
}

/// What the message in `bytes` takes up besides its outermost struct, in bytes; more than `limit` is not counted to
/// its end. An element counts `element` bytes besides its content. `is_read` tells whether the type can be decoded
/// from a few bytes.
pub(super) fn decoded_len(
    bytes: &[u8],
    element: usize,
    limit: u64,
    is_read: &dyn Fn(&[u8]) -> bool,
) -> u64 {
    let (element, path, known) = (element as u64, Vec::new(), [None; MAX_FIELDS]);
    let key = RandomState::new().hash_one(0) | 1;
    Walk { element, limit, is_read, path, known, key }.message(bytes, 0)
}

struct Walk<'a> {
    element: u64,
    limit: u64,
    is_read: &'a dyn Fn(&[u8]) -> bool,
    /// The numbers of the fields that lead to the message at hand.
    path: Vec<u32>,
    /// What was answered, by the hash of a path.
    known: [Option<(u64, Kind)>; MAX_FIELDS],
    /// Random, so that nobody can make up two paths of one hash.
    key: u64,
}

impl Walk<'_> {
    fn message(&mut self, mut bytes: &[u8], path: u64) -> u64 {
        let (mut len, mut groups) = (0_u64, 0_u32);
        while let Some(key) = varint(&mut bytes) {
            let tag = (key >> 3) as u32;
            let field = match key & 7 {
                _ if tag == 0 => None,
                0 => varint(&mut bytes).map(|_| NUMBER_LEN),
                1 => skip(&mut bytes, 8).map(|_| NUMBER_LEN),
                2 => match varint(&mut bytes).and_then(|len| skip(&mut bytes, len)) {
                    Some(content) if groups > 0 => Some(self.worst(content)),
                    Some(content) => Some(self.field(path, tag, content)),
                    None => None,
                },
                3 => {
                    groups = groups.saturating_add(1);
                    Some(self.element)
                }
                4 => {
                    groups = groups.saturating_sub(1);
                    Some(0)
                }
                5 => skip(&mut bytes, 4).map(|_| NUMBER_LEN),
                _ => None,
            };
            // What follows is not decoded; what was decoded by then is there.
            let Some(field) = field else { break };
            len = len.saturating_add(field);
            if len > self.limit {
                break;
            }
        }
        len
    }

    fn field(&mut self, path: u64, tag: u32, content: &[u8]) -> u64 {
        if self.path.len() >= MAX_DEPTH {
            return self.worst(content);
        }
        self.path.push(tag);
        let content_len = content.len() as u64;
        let path = (path.rotate_left(32) ^ u64::from(tag)).wrapping_mul(self.key);
        let len = match self.kind(path) {
            Kind::Text => content_len,
            Kind::Numbers => content_len.saturating_mul(NUMBER_LEN),
            Kind::Message => self.message(content, path).max(content_len),
            Kind::Unknown => self.worst(content),
        };
        self.path.pop();
        len.saturating_add(self.element)
    }

    /// As if the content were elements without content, which take two bytes each.
    fn worst(&self, content: &[u8]) -> u64 {
        (content.len() as u64).saturating_mul(self.element.max(2 * NUMBER_LEN)) / 2 + self.element
    }

    /// What the field is that the path leads to, of which this is the hash.
    fn kind(&mut self, hash: u64) -> Kind {
        let first = (hash >> 32) as usize;
        for place in first..first + TRIES {
            let place = place % MAX_FIELDS;
            match self.known[place] {
                Some((known, kind)) if known == hash => return kind,
                Some(_) => {}
                None => {
                    let kind = self.ask();
                    self.known[place] = Some((hash, kind));
                    return kind;
                }
            }
        }
        Kind::Unknown
    }

    fn ask(&self) -> Kind {
        if (self.is_read)(&self.in_place(&TEXT)) {
            Kind::Text
        } else if (self.is_read)(&self.in_place(&NUMBER)) {
            Kind::Numbers
        } else {
            Kind::Message
        }
    }

    /// The whole message that has nothing but `content` in the field that the path leads to.
    fn in_place(&self, content: &[u8]) -> Vec<u8> {
        self.path.iter().rev().fold(content.to_vec(), |inner, tag| {
            let mut outer = Vec::with_capacity(inner.len() + 8);
            put_varint(&mut outer, u64::from(*tag) << 3 | 2);
            put_varint(&mut outer, inner.len() as u64);
            outer.extend(inner);
            outer
        })
    }
}

/// Takes a number off the front.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(number);
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes so many bytes off the front.
fn skip<'a>(bytes: &mut &'a [u8], len: u64) -> Option<&'a [u8]> {
    let (content, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
    *bytes = rest;
    Some(content)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Row {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, repeated, tag = "20")]
        rows: Vec<Empty>,
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    struct Empty {
        #[prost(uint32, tag = "1")]
        number: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Table {
        #[prost(message, repeated, tag = "1")]
        rows: Vec<Row>,
        #[prost(uint64, repeated, tag = "2")]
        packed: Vec<u64>,
        #[prost(bool, repeated, packed = "false", tag = "3")]
        unpacked: Vec<bool>,
        #[prost(string, repeated, tag = "4")]
        texts: Vec<String>,
        #[prost(bytes = "bytes", tag = "5")]
        blob: Bytes,
        #[prost(map = "string, message", tag = "6")]
        map: HashMap<String, Row>,
        #[prost(double, repeated, tag = "7")]
        doubles: Vec<f64>,
        #[prost(message, optional, boxed, tag = "8")]
        inner: Option<Box<Table>>,
        #[prost(group, repeated, tag = "9")]
        groups: Vec<Empty>,
    }

    const ROW_LEN: usize = size_of::<Row>();

    impl Row {
        /// What it takes up besides its own struct.
        fn held(&self) -> usize {
            self.name.len() + self.rows.len() * size_of::<Empty>()
        }
    }

    impl Table {
        fn held(&self) -> usize {
            let rows: usize = self.rows.iter().map(|row| ROW_LEN + row.held()).sum();
            let texts: usize = self.texts.iter().map(|text| size_of::<String>() + text.len()).sum();
            let map = self.map.iter();
            let map: usize =
                map.map(|(key, row)| size_of::<(String, Row)>() + key.len() + row.held()).sum();
            let inner = self.inner.as_ref().map_or(0, |inner| inner.held());
            let numbers = 8 * (self.packed.len() + self.doubles.len()) + self.unpacked.len();
            let groups = self.groups.len() * size_of::<Empty>();
            rows + texts + map + numbers + self.blob.len() + inner + groups
        }
    }

    fn walked(bytes: &[u8], limit: u64) -> u64 {
        decoded_len(bytes, ROW_LEN, limit, &|bytes| Table::decode(bytes).is_ok())
    }

    #[test]
    fn empty_elements_count_for_what_they_become() {
        let table = Table { rows: vec![Row::default(); 1000], ..Table::default() };
        assert_eq!(walked(&table.encode_to_vec(), u64::MAX), 1000 * ROW_LEN as u64);
        assert!(walked(&table.encode_to_vec(), 100) < 200, "no more is read than has to be");
        let inner = Table { inner: Some(Box::new(table)), ..Table::default() };
        assert!(walked(&inner.encode_to_vec(), u64::MAX) >= 1000 * ROW_LEN as u64);
    }

    #[test]
    fn only_numbers_count_like_numbers() {
        let (len, element) = (100_000, ROW_LEN as u64);
        let table = Table { packed: vec![1; len], ..Table::default() };
        assert_eq!(walked(&table.encode_to_vec(), u64::MAX), 8 * len as u64 + element);
        // Each byte of these might be a number as well, or the head of an empty element.
        for filling in [b'1', b'\n', 0, 0xff] {
            let table = Table { blob: vec![filling; len].into(), ..Table::default() };
            assert_eq!(walked(&table.encode_to_vec(), u64::MAX), len as u64 + element);
        }
        let table = Table { texts: vec!["1".repeat(len)], ..Table::default() };
        assert_eq!(walked(&table.encode_to_vec(), u64::MAX), len as u64 + element);
        let table = Table { doubles: vec![0.0; len], ..Table::default() };
        assert_eq!(walked(&table.encode_to_vec(), u64::MAX), 8 * len as u64 + element);
    }

    #[test]
    fn the_start_of_what_is_no_message_counts() {
        let table = Table { rows: vec![Row::default(); 1000], ..Table::default() };
        let broken = [&table.encode_to_vec()[..], &[0xff]].concat();
        assert!(Table::decode(&*broken).is_err());
        assert_eq!(walked(&broken, u64::MAX), 1000 * ROW_LEN as u64);
    }

    #[test]
    fn more_fields_than_can_be_asked_about_count_for_the_worst() {
        let mut bytes = Vec::new();
        for tag in 100..100_000 {
            put_varint(&mut bytes, tag << 3 | 2);
            bytes.push(0);
        }
        let asked = std::cell::Cell::new(0);
        let is_read = |bytes: &[u8]| {
            asked.set(asked.get() + 1);
            Table::decode(bytes).is_ok()
        };
        assert!(decoded_len(&bytes, ELEMENT_LEN, u64::MAX, &is_read) > 0);
        assert!(asked.get() <= 2 * MAX_FIELDS);
    }

    fn row() -> impl Strategy<Value = Row> {
        let rows = prop::collection::vec((0..3_u32).prop_map(|number| Empty { number }), 0..5);
        ("\\PC{0,5}", rows).prop_map(|(name, rows)| Row { name, rows })
    }

    prop_compose! {
        fn table()(
            rows in prop::collection::vec(row(), 0..20),
            packed in prop::collection::vec(0..300_u64, 0..50),
            unpacked in prop::collection::vec(any::<bool>(), 0..50),
            texts in prop::collection::vec("\\PC{0,9}", 0..20),
            blob in prop::collection::vec(any::<u8>(), 0..50),
            map in prop::collection::hash_map("[a-z]{0,5}", row(), 0..9),
            doubles in prop::collection::vec(any::<f64>(), 0..9),
            groups in prop::collection::vec((0..3_u32).prop_map(|number| Empty { number }), 0..9),
        ) -> Table {
            let blob = blob.into();
            Table { rows, packed, unpacked, texts, blob, map, doubles, groups, inner: None }
        }
    }

    proptest! {
        #[test]
        fn what_is_told_is_a_bound(outer in table(), inner in table(), nested: bool) {
            let inner = nested.then(|| Box::new(inner));
            let table = Table { inner, ..outer };
            let walked = walked(&table.encode_to_vec(), u64::MAX);
            prop_assert!(walked >= table.held() as u64, "{walked} < {}", table.held());
        }

        #[test]
        fn any_bytes_are_walked_over(bytes in prop::collection::vec(any::<u8>(), 0..3000), limit: u64) {
            walked(&bytes, limit);
        }

        #[test]
        fn what_is_spoiled_is_walked_over(
            table in table(), at: prop::sample::Index, byte: u8
        ) {
            let mut bytes = table.encode_to_vec();
            prop_assume!(!bytes.is_empty());
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let walked = walked(&bytes, u64::MAX);
            if let Ok(table) = Table::decode(&*bytes) {
                prop_assert!(walked >= table.held() as u64, "{walked} < {}", table.held());
            }
        }
    }
}
