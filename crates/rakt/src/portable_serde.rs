//! References in messages of serde.

use std::fmt;

use rakt_wire::is_reserved;
use serde::de::{Error as _, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::dispatch::ActorType;
use crate::message::MAX_REFERENCES;
use crate::message::reader::{REFERENCE, count_reference, wrote};
use crate::portable::{PortableRef, resolver};
use crate::reference::ActorRef;

/// As its text.
impl Serialize for PortableRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(REFERENCE, &self.to_string())
    }
}

/// From its text.
impl<'de> Deserialize<'de> for PortableRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What counts the memory of values knows it by this name.
        deserializer.deserialize_newtype_struct(REFERENCE, Text)
    }
}

struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = PortableRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference such as rakt://system@host:port/path")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<PortableRef, D::Error> {
        inner.deserialize_str(self)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<PortableRef, E> {
        text.parse().map_err(E::custom)
    }
}

/// As its [`PortableRef`].
///
/// # Errors
/// The actor is one of a system without remoting, so others cannot reach it.
impl<A> Serialize for ActorRef<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let portable = self.portable();
        if portable.address().port() == 0 {
            let text = format!("{self} cannot be reached by others: its system has no remoting");
            return Err(S::Error::custom(text));
        }
        wrote(self.target().call_options().reader);
        portable.serialize(serializer)
    }
}

/// In a message that a system or client receives, and in [`ActorSystem::resolving`](crate::ActorSystem::resolving).
///
/// # Errors
/// The text is no reference, or one to an actor of the system itself; the actor is in this process and not of type `A`; the message holds more than
/// [`MAX_REFERENCES`]; or it is read elsewhere, where nobody is known to send to the actor.
impl<'de, A: ActorType> Deserialize<'de> for ActorRef<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let portable = PortableRef::deserialize(deserializer)?;
        if is_reserved(portable.address().path()) {
            return Err(D::Error::custom(format!("{portable} is an actor of the system")));
        }
        let Some(reader) = count_reference() else {
            let text = format!("a message holds {MAX_REFERENCES} references at most");
            return Err(D::Error::custom(text));
        };
        let Some(resolver) = resolver(reader) else {
            return Err(D::Error::custom(
                "an `ActorRef` is read in a message that arrives, or in `ActorSystem::resolving`; elsewhere read a \
                 `PortableRef`",
            ));
        };
        let found = resolver.resolve(&portable).of_type();
        found.ok_or_else(|| D::Error::custom(format!("{portable} is an actor of another type")))
    }
}
