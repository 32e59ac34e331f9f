//! Addresses in messages of serde: as their text.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::address::Address;

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(Self::SERDE_NAME, &self.to_string())
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What counts the memory of values knows it by this name.
        deserializer.deserialize_newtype_struct(Address::SERDE_NAME, Text)
    }
}

impl Address {
    /// The name under which an address is read, as a newtype around its text: for deserializers that count what
    /// values take up in memory.
    pub const SERDE_NAME: &'static str = "rakt::Address";
}

struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = Address;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as rakt://system@host:port/path")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Address, D::Error> {
        inner.deserialize_str(self)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Address, E> {
        text.parse().map_err(E::custom)
    }
}
