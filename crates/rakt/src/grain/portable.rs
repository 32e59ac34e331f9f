//! Grains in messages of serde.

use std::fmt;

use rakt_wire::Shown;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Grain;
use super::id::GrainId;
use super::reference::GrainRef;
use crate::message::MAX_REFERENCES;
use crate::message::reader::{REFERENCE, count_reference};
use crate::portable::resolver;
use crate::system::core::{ActorSystem, Inner};

/// As its [text](GrainId::to_text).
impl Serialize for GrainId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(REFERENCE, &self.to_text())
    }
}

/// From its text.
impl<'de> Deserialize<'de> for GrainId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What counts the memory of values knows it by this name.
        deserializer.deserialize_newtype_struct(REFERENCE, Text)
    }
}

struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = GrainId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a grain such as cart/42")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<GrainId, D::Error> {
        inner.deserialize_str(self)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<GrainId, E> {
        text.parse().map_err(E::custom)
    }
}

/// As its kind and key: it means the grain of whichever system reads it.
///
/// # Errors
/// No grain can have that key.
impl<G: Grain> Serialize for GrainRef<G> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let id = GrainId::new(G::KIND, self.key()).map_err(serde::ser::Error::custom)?;
        id.serialize(serializer)
    }
}

/// In a message that a system receives, and in [`ActorSystem::resolving`](crate::ActorSystem::resolving): a grain of that
/// system.
///
/// # Errors
/// The text is no grain, or one of another kind; the message holds more than [`MAX_REFERENCES`]; or it is read elsewhere,
/// by a client without a system among others: read a [`GrainId`] there.
impl<'de, G: Grain> Deserialize<'de> for GrainRef<G> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = GrainId::deserialize(deserializer)?;
        if id.kind() != G::KIND {
            let text = format!("{} is no grain of the kind {:?}", Shown(&id), G::KIND);
            return Err(D::Error::custom(text));
        }
        let Some(reader) = count_reference() else {
            let text = format!("a message holds {MAX_REFERENCES} references at most");
            return Err(D::Error::custom(text));
        };
        let system =
            resolver(reader).and_then(|resolver| resolver.as_any().downcast::<Inner>().ok());
        let Some(system) = system else {
            return Err(D::Error::custom(
                "a `GrainRef` is read in a message that a system receives, or in `ActorSystem::resolving`; elsewhere read \
                 a `GrainId`",
            ));
        };
        Ok(ActorSystem(system).grain(id.key()))
    }
}
