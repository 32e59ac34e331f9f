//! What a topic is asked, and how that crosses the wire.

use bytes::Bytes;
use rakt_wire::is_reserved;

use crate::error::Declined;
use crate::message::{Codec, CodecError, Message, WireMessage, WireType};
use crate::portable::PortableRef;
use crate::reference::ActorRef;
use crate::system::ActorSystem;

/// What [`ActorRef::subscribe`] sends.
#[derive(Debug)]
pub struct Subscribe(pub(super) Who);

/// What [`ActorRef::unsubscribe`] sends.
#[derive(Debug)]
pub struct Unsubscribe(pub(super) Who);

/// Asks a topic in this process how many subscribers it has.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to say")]
pub struct Subscribers;

#[diagnostic::do_not_recommend]
impl Message for Subscribers {
    type Reply = usize;
}

/// Who is to hear, or is to hear no more.
#[derive(Debug)]
pub(super) enum Who {
    Known(ActorRef),
    /// As it came from a peer.
    Portable(PortableRef),
}

impl Who {
    pub(super) fn portable(&self) -> PortableRef {
        match self {
            Self::Known(actor) => actor.portable(),
            Self::Portable(portable) => portable.clone(),
        }
    }

    /// The actor.
    ///
    /// # Errors
    /// A peer must not have this node talk to an actor of its own, or of the system, in its name.
    pub(super) fn resolve(self, system: &ActorSystem) -> Result<ActorRef, Declined> {
        let portable = match self {
            Self::Known(actor) => return Ok(actor),
            Self::Portable(portable) => portable,
        };
        if is_reserved(portable.address().path()) {
            return Err(Declined::new(format!("{portable} is an actor of the system")));
        }
        let actor = system.resolve(&portable);
        match actor.is_local() {
            false => Ok(actor),
            true => Err(Declined::new(format!(
                "{portable} is an actor of this node, which subscribes it itself"
            ))),
        }
    }
}

/// Writes who it is as the text of its [`PortableRef`], and the reply as nothing.
enum AsText {}

macro_rules! by_text {
    ($($message:ident as $name:literal),*) => {$(
        #[diagnostic::do_not_recommend]
        impl Message for $message {
            type Reply = ();

            fn wire() -> Option<&'static WireType<Self>> {
                Some(Self::wire_type())
            }
        }

        #[diagnostic::do_not_recommend]
        impl WireMessage for $message {
            fn wire_type() -> &'static WireType<Self> {
                static WIRE: WireType<$message> = WireType::new::<AsText>($name);
                &WIRE
            }
        }

        impl Codec<$message> for AsText {
            fn encoded_len(_: &$message) -> Option<usize> {
                None
            }

            fn encode($message(who): &$message, out: &mut Vec<u8>) -> Result<(), CodecError> {
                out.extend(who.portable().to_string().into_bytes());
                Ok(())
            }

            fn decode(bytes: Bytes) -> Result<$message, CodecError> {
                let text = std::str::from_utf8(&bytes).map_err(CodecError::new)?;
                text.parse().map(|portable| $message(Who::Portable(portable))).map_err(CodecError::new)
            }
        }
    )*};
}

by_text!(Subscribe as "rakt.Subscribe", Unsubscribe as "rakt.Unsubscribe");

impl Codec<()> for AsText {
    fn encoded_len((): &()) -> Option<usize> {
        Some(0)
    }

    fn encode((): &(), _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<(), CodecError> {
        match bytes.len() {
            0 => Ok(()),
            len => Err(CodecError::new(format!("{len} bytes where none belong"))),
        }
    }
}
