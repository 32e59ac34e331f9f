//! A deserializer that takes what its values take up in memory from an allowance, around any other one.
//!
//! Serde asks for the elements of a list by their type, so their size is known. What a struct has in itself counts
//! with that; a value that is larger than its place is behind a pointer, and counts by itself.

use std::fmt;

use rakt_wire::Address;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::reader::{REFERENCE, REFERENCE_COST};

/// Values within values within values: each takes up stack.
const MAX_DEPTH: usize = 128;

/// Elements that a list reserves room for before they are there.
const MOST_EXPECTED: usize = 64;

/// Takes so many bytes of an allowance; false if they are not left.
type Take<'k> = &'k dyn Fn(u64) -> bool;

/// Something of a deserializer whose values count.
pub(super) struct Counted<'k, T> {
    inner: T,
    /// Where the value goes, in bytes.
    place: usize,
    /// The elements of a list or map are not in the place of that.
    is_list: bool,
    depth: usize,
    take: Take<'k>,
}

impl<'k, D> Counted<'k, D> {
    pub(super) fn new(inner: D, take: Take<'k>) -> Self {
        Self { inner, place: usize::MAX, is_list: false, depth: 0, take }
    }

    /// A part of it, for a value that goes into `place` bytes.
    fn part<T>(&self, inner: T, place: usize) -> Counted<'k, T> {
        Counted { inner, place, is_list: self.is_list, depth: self.depth, take: self.take }
    }

    fn split(self) -> (D, Counted<'k, ()>) {
        let Self { inner, place, is_list, depth, take } = self;
        (inner, Counted { inner: (), place, is_list, depth, take })
    }

    fn count<E: Error>(&self, bytes: usize) -> Result<(), E> {
        match (self.take)(bytes as u64) {
            true => Ok(()),
            false => Err(E::custom("the value takes up too much memory")),
        }
    }

    /// Counts an element of a list; one of no size takes time.
    fn count_element<T, E: Error>(&self) -> Result<(), E> {
        if self.is_list { self.count(size_of::<T>().max(1)) } else { Ok(()) }
    }

    /// Begins a value of the visitor's type.
    fn begin<'de, V: Visitor<'de>, E: Error>(
        &self,
        visitor: V,
        is_list: bool,
    ) -> Result<Counted<'k, V>, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom("the value is nested too deeply"));
        }
        let len = size_of::<V::Value>();
        if len > self.place {
            self.count(len)?;
        }
        let depth = self.depth + 1;
        Ok(Counted { inner: visitor, place: len, is_list, depth, take: self.take })
    }
}

/// Hands the visitor on, with what counts around it.
macro_rules! begin {
    ($($name:ident($($arg:ident: $type:ty),*) $is_list:literal;)*) => {$(
        fn $name<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.begin(visitor, $is_list)?;
            self.inner.$name($($arg,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Counted<'_, D> {
    type Error = D::Error;

    begin! {
        deserialize_any() true;
        deserialize_bool() false;
        deserialize_i8() false;
        deserialize_i16() false;
        deserialize_i32() false;
        deserialize_i64() false;
        deserialize_i128() false;
        deserialize_u8() false;
        deserialize_u16() false;
        deserialize_u32() false;
        deserialize_u64() false;
        deserialize_u128() false;
        deserialize_f32() false;
        deserialize_f64() false;
        deserialize_char() false;
        deserialize_str() false;
        deserialize_string() false;
        deserialize_bytes() false;
        deserialize_byte_buf() false;
        deserialize_option() false;
        deserialize_unit() false;
        deserialize_unit_struct(name: &'static str) false;
        deserialize_seq() true;
        deserialize_tuple(len: usize) false;
        deserialize_tuple_struct(name: &'static str, len: usize) false;
        deserialize_map() true;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) false;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) false;
        deserialize_identifier() false;
        deserialize_ignored_any() false;
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        if name == REFERENCE || name == Address::SERDE_NAME {
            self.count(REFERENCE_COST)?;
        }
        let visitor = self.begin(visitor, false)?;
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Hands a value on that has no parts; what is behind a pointer counts.
macro_rules! visit {
    ($($name:ident($type:ty) $len:expr;)*) => {$(
        fn $name<E: Error>(self, value: $type) -> Result<V::Value, E> {
            let len: fn(&$type) -> usize = $len;
            self.count(len(&value))?;
            self.inner.$name(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Counted<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visit! {
        visit_bool(bool) |_| 0;
        visit_i8(i8) |_| 0;
        visit_i16(i16) |_| 0;
        visit_i32(i32) |_| 0;
        visit_i64(i64) |_| 0;
        visit_i128(i128) |_| 0;
        visit_u8(u8) |_| 0;
        visit_u16(u16) |_| 0;
        visit_u32(u32) |_| 0;
        visit_u64(u64) |_| 0;
        visit_u128(u128) |_| 0;
        visit_f32(f32) |_| 0;
        visit_f64(f64) |_| 0;
        visit_char(char) |_| 0;
        visit_str(&str) |text| text.len();
        visit_borrowed_str(&'de str) |text| text.len();
        visit_string(String) |text| text.len();
        visit_bytes(&[u8]) |bytes| bytes.len();
        visit_borrowed_bytes(&'de [u8]) |bytes| bytes.len();
        visit_byte_buf(Vec<u8>) |bytes| bytes.len();
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let (visitor, counted) = self.split();
        visitor.visit_some(counted.part(inner, counted.place))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let (visitor, counted) = self.split();
        visitor.visit_newtype_struct(counted.part(inner, counted.place))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let (visitor, counted) = self.split();
        visitor.visit_seq(counted.part(inner, counted.place))
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let (visitor, counted) = self.split();
        visitor.visit_map(counted.part(inner, counted.place))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let (visitor, counted) = self.split();
        visitor.visit_enum(counted.part(inner, counted.place))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Counted<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let (seed, counted) = self.split();
        seed.deserialize(counted.part(inner, size_of::<S::Value>()))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Counted<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.count_element::<S::Value, A::Error>()?;
        let seed = self.part(seed, 0);
        self.inner.next_element_seed(seed)
    }

    /// Room is reserved by it before anything is there, so it is not to be believed for long.
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|len| len.min(MOST_EXPECTED))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Counted<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.count_element::<S::Value, A::Error>()?;
        let seed = self.part(seed, 0);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.count_element::<S::Value, A::Error>()?;
        let seed = self.part(seed, 0);
        self.inner.next_value_seed(seed)
    }

    /// Room is reserved by it before anything is there, so it is not to be believed for long.
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|len| len.min(MOST_EXPECTED))
    }
}

impl<'de, 'k, A: EnumAccess<'de>> EnumAccess<'de> for Counted<'k, A> {
    type Error = A::Error;
    type Variant = Counted<'k, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (access, counted) = self.split();
        let (value, variant) = access.variant_seed(counted.part(seed, 0))?;
        Ok((value, counted.part(variant, counted.place)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Counted<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let (access, counted) = self.split();
        access.newtype_variant_seed(counted.part(seed, 0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.begin(visitor, false)?;
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.begin(visitor, false)?;
        self.inner.struct_variant(fields, visitor)
    }
}

#[cfg(all(test, feature = "postcard"))]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize, Debug, PartialEq, Clone, Default)]
    struct Row {
        name: String,
        cells: Vec<Vec<u8>>,
        next: Option<Box<Row>>,
        kind: Kind,
    }

    #[derive(Serialize, Deserialize, Debug, PartialEq, Clone, Default)]
    enum Kind {
        #[default]
        None,
        One(Box<Kind>),
        Two {
            left: Box<Kind>,
            right: Box<Kind>,
        },
    }

    /// What a value counts, and the value.
    fn counted<T: DeserializeOwned>(bytes: &[u8], limit: u64) -> (u64, postcard::Result<T>) {
        let taken = Cell::new(0);
        let take = |bytes| {
            taken.set(taken.get() + bytes);
            taken.get() <= limit
        };
        let mut inner = postcard::Deserializer::from_bytes(bytes);
        let value = T::deserialize(Counted::new(&mut inner, &take));
        (taken.get(), value)
    }

    fn count_of<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> u64 {
        let bytes = postcard::to_stdvec(value).expect("it can be written");
        let (count, read) = counted(&bytes, u64::MAX);
        assert!(read.is_ok_and(|read: T| read == *value));
        count
    }

    #[test]
    fn elements_count_by_their_size() {
        assert_eq!(count_of(&7_u64), 0);
        assert_eq!(count_of(&"text".to_owned()), 4);
        // One more is asked for than there is.
        assert_eq!(count_of(&vec![7_u64; 10]), 8 * 11);
        assert_eq!(count_of(&vec![Vec::<u8>::new(); 10]), 24 * 11 + 10);
        let row = size_of::<Row>() as u64;
        let rows = vec![Row::default(); 10];
        assert_eq!(count_of(&rows), row * 11 + 24 * 10, "a row asks for a cell");
        let map: BTreeMap<u64, String> = (0..10).map(|key| (key, "text".to_owned())).collect();
        assert_eq!(count_of(&map), 10 * (8 + 24 + 4) + 8);
    }

    #[test]
    fn what_is_behind_a_pointer_counts() {
        let (row, kind) = (size_of::<Row>() as u64, size_of::<Kind>() as u64);
        let next = Row { next: Some(Box::default()), ..Row::default() };
        assert_eq!(count_of(&next) - count_of(&Row::default()), row + 24);
        let one = Kind::One(Box::default());
        assert!(count_of(&one) >= kind);
        let two = Kind::Two { left: Box::new(one), right: Box::default() };
        assert!(count_of(&two) >= 3 * kind);
    }

    #[test]
    fn a_list_of_nothing_ends() {
        let claim = postcard::to_stdvec(&u64::from(u32::MAX)).expect("it can be written");
        let (count, read) = counted::<Vec<()>>(&claim, 1000);
        assert!(read.is_err() && count == 1001);
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused() {
        // `One` is 1, again and again.
        let (_, read) = counted::<Kind>(&[1; 1_000_000], u64::MAX);
        assert!(read.is_err());
        let deep = (0..50).fold(Kind::None, |inner, _| Kind::One(Box::new(inner)));
        count_of(&deep);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let (count, read) = counted::<Vec<Row>>(&bytes, 10_000);
            prop_assert!(count <= 10_000 || read.is_err());
        }
    }
}
