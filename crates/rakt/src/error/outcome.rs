//! The error of each operation: what happened, to whom, and whether trying again is safe.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use rakt_wire::{Address, AddressError, Cause};

use super::{BoxError, Refusal};

/// A `tell` that was not accepted. The message comes back; sending it again cannot deliver it twice.
///
/// `Debug` and `Display` never show the message.
#[expect(
    clippy::exhaustive_structs,
    reason = "to whom, why and what is all there is, and callers build one in their tests"
)]
pub struct TellError<M> {
    /// Whom it was for.
    pub target: Address,
    /// Why it was not accepted.
    pub refusal: Refusal,
    /// The message.
    pub message: M,
}

impl<M> TellError<M> {
    /// Whether the same may succeed later. That it is safe is certain: the message was not sent.
    pub fn is_worth_retrying(&self) -> bool {
        self.refusal.is_transient()
    }
}

impl<M> fmt::Display for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the message to {} was not sent: {}", self.target, self.refusal)
    }
}

impl<M> fmt::Debug for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TellError")
            .field("target", &self.target)
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

/// The text tells the refusal, so the source is what caused that.
impl<M> Error for TellError<M> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.refusal.source()
    }
}

/// A [sink](crate::ActorRef::sink) or [stream](crate::ActorRef::tell_stream) of tells, of which not all were accepted.
#[derive(Debug)]
#[non_exhaustive]
pub struct FeedError {
    /// Whom they were for.
    pub target: Address,
    /// Why one was not accepted.
    pub refusal: Refusal,
    /// How many were accepted before it, since the sink was made.
    pub accepted: u64,
    /// How many that were fed are dropped, that one included: they were not sent.
    pub dropped: u64,
}

impl FeedError {
    /// Whether the same may succeed later. That it is safe is certain for what is [dropped](Self::dropped).
    pub fn is_worth_retrying(&self) -> bool {
        self.refusal.is_transient()
    }
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, refusal, accepted, dropped } = self;
        write!(
            f,
            "of the messages to {target} {accepted} were accepted and {dropped} were not sent: {refusal}"
        )
    }
}

/// The text tells the refusal, so the source is what caused that.
impl Error for FeedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.refusal.source()
    }
}

/// An [`ask`](crate::ActorRef::ask) or a confirmed tell that did not succeed.
///
/// `Debug` and `Display` never show the message.
#[non_exhaustive]
pub enum AskError<M> {
    /// The message was not sent and comes back; sending it again is safe.
    NotSent {
        /// Whom it was for.
        target: Address,
        /// Why it was not sent.
        refusal: Refusal,
        /// The message.
        message: M,
    },
    /// The other side turned the message down, or its handler failed.
    Refused {
        /// Whom it was for.
        target: Address,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// No answer came in time; the actor may have acted, or may still act, on the message.
    Timeout {
        /// Whom it was for.
        target: Address,
        /// How long was waited.
        limit: Duration,
    },
    /// The message left and no answer will come, as the connection was lost or, where a confirmation is
    /// meant, the peer may have left it out; the actor may have acted on it.
    ConnectionLost {
        /// Whom it was for.
        target: Address,
        /// Why the connection ended, or what the peer has done.
        source: Cause,
    },
    /// The answer came and could not be read; the actor has acted on the message.
    BadReply {
        /// Who answered.
        target: Address,
        /// What the codec said.
        source: Cause,
    },
}

impl<M> AskError<M> {
    /// Whether the message has certainly had no effect, so that sending it again is safe: its handler has not
    /// begun. That it is safe does not mean that it helps, see [`is_worth_retrying`](Self::is_worth_retrying).
    ///
    /// A handler that passes a message [on](crate::Context::forward) has no effect in this sense.
    pub fn is_safe_to_retry(&self) -> bool {
        match self {
            Self::NotSent { .. } => true,
            Self::Refused { refusal, .. } => refusal.is_before_work(),
            Self::Timeout { .. } | Self::ConnectionLost { .. } | Self::BadReply { .. } => false,
        }
    }

    /// Whether the same may succeed later, since what is in the way is something of the moment. That does not
    /// mean that it is [safe](Self::is_safe_to_retry).
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::NotSent { refusal, .. } | Self::Refused { refusal, .. } => refusal.is_transient(),
            Self::Timeout { .. } | Self::ConnectionLost { .. } => true,
            Self::BadReply { .. } => false,
        }
    }

    /// Why it was refused, by this side or the other.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::NotSent { refusal, .. } | Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}

impl<M> fmt::Display for AskError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent { target, refusal, .. } => {
                write!(f, "the message to {target} was not sent: {refusal}")
            }
            Self::Refused { target, refusal } => write!(f, "{target} refused: {refusal}"),
            Self::Timeout { target, limit } => {
                write!(f, "no answer from {target} within {limit:?}")
            }
            Self::ConnectionLost { target, .. } => write!(f, "the answer of {target} is lost"),
            Self::BadReply { target, .. } => write!(f, "the answer of {target} cannot be read"),
        }
    }
}

/// As [`OperationError`] shows it, without the message.
impl<M> fmt::Debug for AskError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, target, why): (_, _, &dyn fmt::Debug) = match self {
            Self::NotSent { target, refusal, .. } => ("NotSent", target, refusal),
            Self::Refused { target, refusal } => ("Refused", target, refusal),
            Self::Timeout { target, limit } => ("Timeout", target, limit),
            Self::ConnectionLost { target, source } => ("ConnectionLost", target, source),
            Self::BadReply { target, source } => ("BadReply", target, source),
        };
        let mut shown = f.debug_struct(name);
        shown.field("target", target).field("why", why).finish_non_exhaustive()
    }
}

/// The text tells a refusal, so the source is what caused that.
impl<M> Error for AskError<M> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotSent { refusal, .. } | Self::Refused { refusal, .. } => refusal.source(),
            Self::Timeout { .. } => None,
            Self::ConnectionLost { source, .. } | Self::BadReply { source, .. } => Some(source),
        }
    }
}

/// Where somebody has the name.
fn place(at: Option<&Address>) -> String {
    at.map_or_else(String::new, |at| format!(" in the cluster, by {at}"))
}

/// Why an actor was not spawned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The name is not valid.
    #[error("cannot spawn {name:?}")]
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: AddressError,
    },
    /// Another actor has that name.
    #[error("cannot spawn {name:?}: the name is taken{}", place(at.as_ref()))]
    NameTaken {
        /// The name.
        name: String,
        /// The actor that has it, where that is on another node of the cluster.
        at: Option<Address>,
    },
    /// The actor of that name is no one of this type, so it cannot stand in for the one that was to be spawned.
    #[error("cannot spawn {name:?}: the actor of that name is of another type")]
    OtherType {
        /// The name.
        name: String,
    },
    /// The `started` hook failed; nothing is left of the actor.
    #[error("{name:?} did not start")]
    Start {
        /// The name.
        name: String,
        /// What the hook said.
        source: BoxError,
    },
    /// The actor's messages claim a wire name twice.
    #[error("cannot spawn {name:?}")]
    DuplicateName {
        /// The name of the actor.
        name: String,
        /// Which wire name, and who claims it.
        source: crate::message::DuplicateName,
    },
    /// The system is shutting down.
    #[error("cannot spawn {name:?}: the system is shutting down")]
    ShuttingDown {
        /// The name.
        name: String,
    },
}

/// Whom a message or an operation was for, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Destination {
    /// An actor.
    Actor(Address),
    /// The actor of this name on a node of which only the place is known.
    Named {
        /// The host of the node.
        host: String,
        /// Its port.
        port: u16,
        /// The name of the actor.
        name: String,
    },
    /// A node, or an actor there that is not known any more.
    Node {
        /// The host of the node.
        host: String,
        /// Its port.
        port: u16,
    },
}

impl Destination {
    /// The address, where it is known in full.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Actor(address) => Some(address),
            _ => None,
        }
    }
}

impl From<Address> for Destination {
    fn from(address: Address) -> Self {
        Self::Actor(address)
    }
}

/// An address, `host:port/name` or `host:port`.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor(address) => address.fmt(f),
            Self::Named { host, port, name } => write!(f, "{host}:{port}/{name}"),
            Self::Node { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Why an operation on an actor (lookup, spawn, stop, respawn, reinstate, ping, …) did not succeed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OperationError {
    /// The request was not sent; trying again is safe.
    NotSent {
        /// Which operation.
        operation: &'static str,
        /// On what.
        target: Destination,
        /// Why it was not sent.
        refusal: Refusal,
    },
    /// The node that was asked turned it down.
    Refused {
        /// Which operation.
        operation: &'static str,
        /// On what.
        target: Destination,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// No answer came in time; the operation may have been carried out.
    Timeout {
        /// Which operation.
        operation: &'static str,
        /// On what.
        target: Destination,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection was lost; the operation may have been carried out.
    ConnectionLost {
        /// Which operation.
        operation: &'static str,
        /// On what.
        target: Destination,
        /// Why the connection ended.
        source: Cause,
    },
}

impl OperationError {
    /// Whether the operation has certainly not been carried out, nor begun, so that trying again is safe.
    pub fn is_safe_to_retry(&self) -> bool {
        match self {
            Self::NotSent { .. } => true,
            Self::Refused { refusal, .. } => refusal.is_before_work(),
            Self::Timeout { .. } | Self::ConnectionLost { .. } => false,
        }
    }

    /// Whether the same may succeed later, since what is in the way is something of the moment. That does not
    /// mean that it is [safe](Self::is_safe_to_retry).
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::NotSent { refusal, .. } | Self::Refused { refusal, .. } => refusal.is_transient(),
            Self::Timeout { .. } | Self::ConnectionLost { .. } => true,
        }
    }

    /// Why it was refused, by this side or the other.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::NotSent { refusal, .. } | Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent { operation, target, refusal } => {
                write!(f, "{operation} {target}: not sent: {refusal}")
            }
            Self::Refused { operation, target, refusal } => {
                write!(f, "{operation} {target}: {refusal}")
            }
            Self::Timeout { operation, target, limit } => {
                write!(f, "{operation} {target}: no answer within {limit:?}")
            }
            Self::ConnectionLost { operation, target, .. } => {
                write!(f, "{operation} {target}: the connection was lost")
            }
        }
    }
}

/// The text tells a refusal, so the source is what caused that.
impl Error for OperationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotSent { refusal, .. } | Self::Refused { refusal, .. } => refusal.source(),
            Self::Timeout { .. } => None,
            Self::ConnectionLost { source, .. } => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Address {
        Address::new("a", "s", "h", 1).expect("it is valid")
    }

    #[test]
    fn an_error_never_shows_the_message() {
        let secret = "hunter2".to_owned();
        let (refusal, message) = (Refusal::NotFound, secret.clone());
        let error = AskError::NotSent { target: target(), refusal, message };
        assert!(!format!("{error} {error:?}").contains(&secret));
        let (refusal, message) = (Refusal::NotFound, secret.clone());
        let error = TellError { target: target(), refusal, message };
        assert!(!format!("{error} {error:?}").contains(&secret));
    }

    #[test]
    fn a_chain_names_each_cause_once() {
        let source = Cause::new(std::io::Error::other("no route"));
        let refusal = Refusal::Unreachable { peer: "h:1".into(), source: source.clone() };
        let error = AskError::NotSent { target: target(), refusal, message: () };
        let text = "the message to rakt://s@h:1/a was not sent: h:1 is unreachable: no route";
        assert_eq!(super::super::Chain(&error).to_string(), text);
        let error = AskError::<()>::ConnectionLost { target: target(), source };
        let text = "the answer of rakt://s@h:1/a is lost: no route";
        assert_eq!(super::super::Chain(&error).to_string(), text);
    }

    #[test]
    fn errors_are_small() {
        // A reply is moved together with the room for an error in its place.
        assert!(size_of::<Refusal>() <= 32, "{}", size_of::<Refusal>());
        assert!(size_of::<AskError<()>>() <= 48, "{}", size_of::<AskError<()>>());
    }
}
