//! What can go wrong, one type for each operation, and the one mapping to and from wire codes.
//!
//! [`Refusal`] says why a message or request was turned down, whoever turned it down. The error of an
//! operation adds what the caller needs to go on: the message where it was never sent, and whether
//! trying again is safe.

use std::fmt;
use std::time::Duration;

use rakt_wire::{Code, Failure};

/// Any error, as handlers and hooks return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What handlers and hooks return: an `Err` meets the actor's [supervision](crate::supervision).
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

/// Why a message or a request was turned down.
///
/// The message was not handled, or not to its end, for the reason given; the text names no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No actor has that name.
    #[error("no such actor")]
    NotFound,
    /// The reference belongs to an earlier life of the actor or of its node.
    #[error("the reference belongs to an earlier life of the actor")]
    StaleIncarnation,
    /// The actor is suspended until it is reinstated.
    #[error("the actor is suspended")]
    Suspended,
    /// The actor has stopped or is stopping.
    #[error("the actor has stopped")]
    Stopped,
    /// The mailbox is full and its policy is to refuse, or not to wait was asked for.
    #[error("the mailbox is full at {capacity} messages")]
    MailboxFull {
        /// How many messages the mailbox holds.
        capacity: u64,
    },
    /// A bound of the node or of the connection is reached.
    #[error("{bound} is used up, the limit is {limit}")]
    ResourceExhausted {
        /// Which bound.
        bound: String,
        /// Its value, in the unit that the bound's name implies.
        limit: u64,
    },
    /// The deadline passed before the message was handled.
    #[error("the deadline has passed")]
    DeadlineExceeded,
    /// The caller gave up on the request.
    #[error("the request was cancelled")]
    Cancelled,
    /// The message is larger than one side allows.
    #[error("{size} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Size of the encoded message in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The actor has no handler for this message, or does not accept it from peers.
    #[error("the actor does not accept {message}")]
    NotAccepted {
        /// Name of the message type.
        message: String,
    },
    /// The message type has no wire name and codec, so it cannot leave the process.
    #[error("{message} has no codec and cannot leave the process")]
    NoCodec {
        /// Rust name of the message type.
        message: String,
    },
    /// The payload is not a valid encoding of its type.
    #[error("the payload cannot be decoded: {detail}")]
    Undecodable {
        /// What the codec said.
        detail: String,
    },
    /// The message or the reply could not be written.
    #[error("the payload cannot be encoded: {detail}")]
    Unencodable {
        /// What the codec said.
        detail: String,
    },
    /// The handler returned an error or panicked.
    #[error("the handler failed: {detail}")]
    HandlerFailed {
        /// The error's text.
        detail: String,
    },
    /// The handler ended without a reply.
    #[error("the actor gave no reply")]
    NoReply,
    /// The message was dropped from a full mailbox to make room for a newer one.
    #[error("dropped from a full mailbox")]
    Dropped,
    /// The peer does not allow this.
    #[error("not allowed: {detail}")]
    Denied {
        /// What is not allowed.
        detail: String,
    },
    /// The node has no actor kind of that name to spawn.
    #[error("the kind {kind:?} is not registered")]
    KindNotRegistered {
        /// The kind that was asked for.
        kind: String,
    },
    /// Another actor has that name.
    #[error("the name is taken")]
    NameTaken,
    /// A name or an argument is not valid.
    #[error("{detail}")]
    InvalidArgument {
        /// What is wrong with it.
        detail: String,
    },
    /// This system was started without remoting.
    #[error("remoting is off")]
    RemotingOff,
    /// The node is shutting down.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// The node cannot be reached.
    #[error("unreachable: {detail}")]
    Unreachable {
        /// What failed: the dial, the handshake, the connection.
        detail: String,
    },
    /// The node at that host and port belongs to another actor system.
    #[error("the node there is of system {found:?}")]
    WrongSystem {
        /// The system that it belongs to.
        found: String,
    },
    /// The peer speaks no version of the protocol that this node speaks.
    #[error("incompatible peer: {detail}")]
    Incompatible {
        /// Both version ranges.
        detail: String,
    },
    /// The peer does not support the operation.
    #[error("not supported: {detail}")]
    Unsupported {
        /// Which operation.
        detail: String,
    },
    /// A context propagator refused.
    #[error("context propagation failed: {detail}")]
    Propagation {
        /// What it said.
        detail: String,
    },
    /// A fault of the node itself.
    #[error("internal fault: {detail}")]
    Internal {
        /// What happened.
        detail: String,
    },
}

impl Refusal {
    /// Whether the refusal says something about the moment, so that a later try may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Suspended
                | Self::MailboxFull { .. }
                | Self::ResourceExhausted { .. }
                | Self::DeadlineExceeded
                | Self::Dropped
                | Self::ShuttingDown
                | Self::Unreachable { .. }
        )
    }

    /// The form in which it crosses the wire.
    pub(crate) fn to_wire(&self) -> Failure {
        let (code, detail, size, limit) = match self {
            Self::NotFound => (Code::NotFound, "", 0, 0),
            // Found out where a message is sent, so it does not cross the wire other than forwarded.
            Self::WrongSystem { found } => (Code::NotFound, found.as_str(), 0, 0),
            Self::StaleIncarnation => (Code::StaleIncarnation, "", 0, 0),
            Self::Suspended => (Code::Suspended, "", 0, 0),
            Self::Stopped => (Code::Stopped, "", 0, 0),
            Self::MailboxFull { capacity } => (Code::MailboxFull, "", 0, *capacity),
            Self::ResourceExhausted { bound, limit } => {
                (Code::ResourceExhausted, bound.as_str(), 0, *limit)
            }
            Self::DeadlineExceeded => (Code::DeadlineExceeded, "", 0, 0),
            Self::Cancelled => (Code::Cancelled, "", 0, 0),
            Self::TooLarge { size, limit } => (Code::TooLarge, "", *size, *limit),
            Self::NotAccepted { message } => (Code::NotAccepted, message.as_str(), 0, 0),
            Self::NoCodec { message } => (Code::Unencodable, message.as_str(), 0, 0),
            Self::Undecodable { detail } => (Code::Undecodable, detail.as_str(), 0, 0),
            Self::Unencodable { detail } => (Code::Unencodable, detail.as_str(), 0, 0),
            Self::HandlerFailed { detail } => (Code::HandlerFailed, detail.as_str(), 0, 0),
            Self::NoReply => (Code::NoReply, "", 0, 0),
            Self::Dropped => (Code::Dropped, "", 0, 0),
            Self::Denied { detail } => (Code::Denied, detail.as_str(), 0, 0),
            Self::KindNotRegistered { kind } => (Code::KindNotRegistered, kind.as_str(), 0, 0),
            Self::NameTaken => (Code::NameTaken, "", 0, 0),
            Self::InvalidArgument { detail } => (Code::InvalidArgument, detail.as_str(), 0, 0),
            Self::RemotingOff => (Code::RemotingOff, "", 0, 0),
            Self::ShuttingDown => (Code::ShuttingDown, "", 0, 0),
            Self::Unsupported { detail } => (Code::Unsupported, detail.as_str(), 0, 0),
            Self::Propagation { detail } => (Code::InvalidArgument, detail.as_str(), 0, 0),
            Self::Unreachable { detail }
            | Self::Incompatible { detail }
            | Self::Internal { detail } => (Code::Internal, detail.as_str(), 0, 0),
        };
        let mut failure = Failure::with_detail(code, detail);
        (failure.size, failure.limit) = (size, limit);
        failure
    }

    /// What a peer's failure means here.
    pub(crate) fn from_wire(failure: Failure) -> Self {
        let Failure { code, detail, size, limit } = failure;
        match code {
            Code::NotFound => Self::NotFound,
            Code::StaleIncarnation => Self::StaleIncarnation,
            Code::Suspended => Self::Suspended,
            Code::Stopped => Self::Stopped,
            Code::MailboxFull => Self::MailboxFull { capacity: limit },
            Code::ResourceExhausted => Self::ResourceExhausted { bound: detail, limit },
            Code::DeadlineExceeded => Self::DeadlineExceeded,
            Code::Cancelled => Self::Cancelled,
            Code::TooLarge => Self::TooLarge { size, limit },
            Code::NotAccepted => Self::NotAccepted { message: detail },
            Code::Undecodable => Self::Undecodable { detail },
            Code::Unencodable => Self::Unencodable { detail },
            Code::HandlerFailed => Self::HandlerFailed { detail },
            Code::NoReply => Self::NoReply,
            Code::Dropped => Self::Dropped,
            Code::Denied => Self::Denied { detail },
            Code::KindNotRegistered => Self::KindNotRegistered { kind: detail },
            Code::NameTaken => Self::NameTaken,
            Code::InvalidArgument => Self::InvalidArgument { detail },
            Code::RemotingOff => Self::RemotingOff,
            Code::ShuttingDown => Self::ShuttingDown,
            Code::Unsupported => Self::Unsupported { detail },
            _ => Self::Internal { detail },
        }
    }
}

/// A `tell` that was not accepted. The message comes back; sending it again cannot deliver it twice.
#[derive(thiserror::Error)]
#[error("the message to {target} was not sent: {refusal}")]
pub struct TellError<M> {
    /// Whom it was for.
    pub target: String,
    /// Why it was not accepted.
    pub refusal: Refusal,
    /// The message.
    pub message: M,
}

impl<M> fmt::Debug for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TellError")
            .field("target", &self.target)
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

/// An [`ask`](crate::ActorRef::ask) or a confirmed tell that did not succeed.
///
/// `Debug` and `Display` never show the message.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum AskError<M> {
    /// The message was not sent and comes back; sending it again is safe.
    #[error("the message to {target} was not sent: {refusal}")]
    NotSent {
        /// Whom it was for.
        target: String,
        /// Why it was not sent.
        refusal: Refusal,
        /// The message.
        message: M,
    },
    /// The other side turned the message down, or its handler failed.
    #[error("{target} refused: {refusal}")]
    Refused {
        /// Whom it was for.
        target: String,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// No answer came in time; the actor may have acted, or may still act, on the message.
    #[error("no answer from {target} within {limit:?}")]
    Timeout {
        /// Whom it was for.
        target: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The message left and no answer will come, as the connection was lost or, where a confirmation is
    /// meant, the peer may have left it out; the actor may have acted on it.
    #[error("the answer of {target} is lost: {detail}")]
    ConnectionLost {
        /// Whom it was for.
        target: String,
        /// Why the connection ended, or what the peer has done.
        detail: String,
    },
    /// The answer came and could not be read; the actor has acted on the message.
    #[error("the answer of {target} cannot be read: {detail}")]
    BadReply {
        /// Who answered.
        target: String,
        /// What the codec said.
        detail: String,
    },
}

impl<M> AskError<M> {
    /// Whether the message has certainly had no effect, so that sending it again is safe.
    pub fn is_safe_to_retry(&self) -> bool {
        match self {
            Self::NotSent { .. } => true,
            Self::Refused { refusal, .. } => !matches!(
                refusal,
                Refusal::HandlerFailed { .. }
                    | Refusal::NoReply
                    | Refusal::Cancelled
                    | Refusal::DeadlineExceeded
                    | Refusal::Unencodable { .. }
                    | Refusal::Internal { .. }
            ),
            Self::Timeout { .. } | Self::ConnectionLost { .. } | Self::BadReply { .. } => false,
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

impl<M> fmt::Debug for AskError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent { target, refusal, .. } => f
                .debug_struct("NotSent")
                .field("target", target)
                .field("refusal", refusal)
                .finish_non_exhaustive(),
            Self::Refused { target, refusal } => {
                f.debug_struct("Refused").field("target", target).field("refusal", refusal).finish()
            }
            Self::Timeout { target, limit } => {
                f.debug_struct("Timeout").field("target", target).field("limit", limit).finish()
            }
            Self::ConnectionLost { target, detail } => f
                .debug_struct("ConnectionLost")
                .field("target", target)
                .field("detail", detail)
                .finish(),
            Self::BadReply { target, detail } => {
                f.debug_struct("BadReply").field("target", target).field("detail", detail).finish()
            }
        }
    }
}

/// Why an actor was not spawned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The name is not valid.
    #[error("cannot spawn {name:?}: {detail}")]
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Another actor has that name.
    #[error("cannot spawn {name:?}: the name is taken")]
    NameTaken {
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

/// Why an operation on an actor (lookup, spawn, stop, respawn, reinstate, ping, …) did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The request was not sent; trying again is safe.
    #[error("{operation} {target}: not sent: {refusal}")]
    NotSent {
        /// Which operation.
        operation: &'static str,
        /// On what.
        target: String,
        /// Why it was not sent.
        refusal: Refusal,
    },
    /// The node that was asked turned it down.
    #[error("{operation} {target}: {refusal}")]
    Refused {
        /// Which operation.
        operation: &'static str,
        /// On what.
        target: String,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// No answer came in time; the operation may have been carried out.
    #[error("{operation} {target}: no answer within {limit:?}")]
    Timeout {
        /// Which operation.
        operation: &'static str,
        /// On what.
        target: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection was lost; the operation may have been carried out.
    #[error("{operation} {target}: the connection was lost: {detail}")]
    ConnectionLost {
        /// Which operation.
        operation: &'static str,
        /// On what.
        target: String,
        /// Why the connection ended.
        detail: String,
    },
}

impl OperationError {
    /// Whether the operation has certainly not been carried out, so that trying again is safe.
    pub fn is_safe_to_retry(&self) -> bool {
        matches!(self, Self::NotSent { .. } | Self::Refused { .. })
    }

    /// Why it was refused, by this side or the other.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::NotSent { refusal, .. } | Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_that_crosses_the_wire_comes_back_as_itself() {
        let text = || "why".to_owned();
        for refusal in [
            Refusal::NotFound,
            Refusal::StaleIncarnation,
            Refusal::Suspended,
            Refusal::Stopped,
            Refusal::MailboxFull { capacity: 7 },
            Refusal::ResourceExhausted { bound: text(), limit: 9 },
            Refusal::DeadlineExceeded,
            Refusal::Cancelled,
            Refusal::TooLarge { size: 8, limit: 7 },
            Refusal::NotAccepted { message: text() },
            Refusal::Undecodable { detail: text() },
            Refusal::Unencodable { detail: text() },
            Refusal::HandlerFailed { detail: text() },
            Refusal::NoReply,
            Refusal::Dropped,
            Refusal::Denied { detail: text() },
            Refusal::KindNotRegistered { kind: text() },
            Refusal::NameTaken,
            Refusal::InvalidArgument { detail: text() },
            Refusal::RemotingOff,
            Refusal::ShuttingDown,
            Refusal::Unsupported { detail: text() },
            Refusal::Internal { detail: text() },
        ] {
            assert_eq!(Refusal::from_wire(refusal.to_wire()), refusal);
        }
    }

    #[test]
    fn an_error_never_shows_the_message() {
        let secret = "hunter2".to_owned();
        let error = AskError::NotSent {
            target: "a".into(),
            refusal: Refusal::NotFound,
            message: secret.clone(),
        };
        assert!(!format!("{error} {error:?}").contains(&secret));
        let error =
            TellError { target: "a".into(), refusal: Refusal::NotFound, message: secret.clone() };
        assert!(!format!("{error} {error:?}").contains(&secret));
    }
}
