//! Why a message or request was turned down, and the one mapping to and from wire codes.

use std::io;

use rakt_wire::{Bound, Cause, Code, Failure, Shown};

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
        bound: Bound,
        /// Its value, in the bound's unit.
        limit: u64,
    },
    /// The deadline passed before the message was handled.
    #[error("the deadline has passed")]
    DeadlineExceeded,
    /// The caller gave up on the request.
    #[error("the request was cancelled")]
    Cancelled,
    /// The message is larger than one side allows.
    #[error(
        "{size} bytes are more than the limit of {limit}: see `max_message_size`, here and there"
    )]
    TooLarge {
        /// Size of the encoded message in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The actor has no handler for this message, or does not accept it from peers.
    #[error("the actor does not accept {}: it is not in its `Actor::accepts`", Shown(message))]
    NotAccepted {
        /// Name of the message type.
        message: String,
    },
    /// The message type has no wire name and codec, so it cannot leave the process.
    #[error(
        "{message} has no name on the wire, `#[rakt(name = ..)]`, and cannot leave the process"
    )]
    NoCodec {
        /// Rust name of the message type.
        message: String,
    },
    /// The payload is not a valid encoding of its type.
    #[error("the payload cannot be decoded")]
    Undecodable {
        /// What the codec said.
        source: Cause,
    },
    /// The message or the reply could not be written.
    #[error("the payload cannot be encoded")]
    Unencodable {
        /// What the codec said.
        source: Cause,
    },
    /// The handler returned an error or panicked.
    #[error("the handler failed")]
    HandlerFailed {
        /// The handler's error, as text, with its causes.
        source: Cause,
    },
    /// The handler turned the message down and is well: see [`Declined`](crate::Declined).
    #[error("declined")]
    Declined {
        /// What the handler said, as text, with its causes.
        source: Cause,
    },
    /// The grain did not come to life: its [`activate`](crate::grain::Grain::activate) failed or took too long, or
    /// its store did. The message was not handled.
    #[error("the grain did not come to life")]
    ActivationFailed {
        /// What went wrong, as text, with its causes.
        source: Cause,
    },
    /// The node cannot show that it is a member of its cluster: it is cut off from where that is kept, or was removed.
    /// The message was not handled.
    #[error("the node is fenced off from its cluster")]
    Fenced,
    /// A node that was asked had passed the message on, and the connection to whoever was to handle it was lost. It may have
    /// been handled: an asker gets that as [`AskError::ConnectionLost`](crate::AskError::ConnectionLost).
    #[error("lost on its way: it may have been handled")]
    Lost {
        /// Why, as text, with its causes.
        source: Cause,
    },
    /// The handler ended without a reply.
    #[error("the actor gave no reply")]
    NoReply,
    /// The message was dropped from a full mailbox to make room for a newer one.
    #[error("dropped from a full mailbox")]
    Dropped,
    /// The peer does not allow this.
    #[error("denied")]
    Denied {
        /// What is not allowed.
        source: Cause,
    },
    /// The node has no actor kind of that name to spawn.
    #[error("the kind {} is not registered", Shown(format_args!("{kind:?}")))]
    KindNotRegistered {
        /// The kind that was asked for.
        kind: String,
    },
    /// Another actor has that name.
    #[error("the name is taken")]
    NameTaken,
    /// A name or an argument is not valid.
    #[error("invalid argument")]
    InvalidArgument {
        /// What is wrong with it.
        source: Cause,
    },
    /// This system was started without remoting.
    #[error("remoting is off")]
    RemotingOff,
    /// The node is shutting down.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// The system or client that it was to be sent from is closed.
    #[error("the system or client here is closed")]
    Closed,
    /// The actor's own code waits for this, or the code of an actor below it: neither would ever go on.
    #[error("the actor, or one below it, would wait for itself")]
    WaitsForItself,
    /// The node cannot be reached.
    #[error("{} is unreachable", Shown(peer))]
    Unreachable {
        /// Its host and port, or what it calls itself.
        peer: Box<str>,
        /// What failed: the dial, the handshake, the connection.
        source: Cause,
    },
    /// The node at that host and port belongs to another actor system.
    #[error("the node there is of system {}", Shown(format_args!("{found:?}")))]
    WrongSystem {
        /// The system that it belongs to.
        found: String,
    },
    /// The peer speaks no version of the protocol that this node speaks.
    #[error("{} is incompatible", Shown(peer))]
    Incompatible {
        /// Its host and port.
        peer: Box<str>,
        /// What does not fit, with both version ranges where it is those: a
        /// [`HandshakeError`](rakt_wire::native::HandshakeError) from a native peer.
        source: Cause,
    },
    /// The peer does not support the operation.
    #[error("not supported")]
    Unsupported {
        /// Which operation.
        source: Cause,
    },
    /// A context propagator refused.
    #[error("context propagation failed")]
    Propagation {
        /// What it said.
        source: Cause,
    },
    /// A fault of the node itself.
    #[error("internal fault")]
    Internal {
        /// What happened.
        source: Cause,
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
                | Self::ActivationFailed { .. }
                | Self::Fenced
                | Self::Lost { .. }
                | Self::Dropped
                | Self::ShuttingDown
                | Self::Unreachable { .. }
        )
    }

    /// Whether nothing listens where the node was to be reached, as the system there has said. A process that is gone looks like
    /// that, and so does a firewall; one that stands still, or that the network does not lead to, does not.
    pub fn is_connection_refused(&self) -> bool {
        let Self::Unreachable { source, .. } = self else { return false };
        let first: &(dyn std::error::Error + 'static) = source.get_ref();
        std::iter::successors(Some(first), |error| error.source())
            .filter_map(|error| error.downcast_ref::<io::Error>())
            .any(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Whether what is referred to is no more, or never was: another reference may lead further, to try again
    /// with this one does not.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NotFound | Self::StaleIncarnation | Self::Stopped)
    }

    /// Whether somebody who was asked gave this as the outcome before any handler or hook had begun.
    pub(super) fn is_before_work(&self) -> bool {
        match self {
            Self::HandlerFailed { .. }
            | Self::Declined { .. }
            | Self::NoReply
            | Self::Cancelled
            | Self::DeadlineExceeded
            | Self::Unencodable { .. }
            | Self::Lost { .. }
            | Self::Internal { .. } => false,
            // What a message may hold is known to who sends it: it is the reply that was too large.
            Self::TooLarge { .. } => false,
            // A reply that found no room; a message that its handler could not put aside.
            Self::ResourceExhausted { bound, .. } => !bound.is_met_by_handlers(),
            _ => true,
        }
    }

    /// The form in which it crosses the wire.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn to_wire(&self) -> Failure {
        let caused = |code, source: &Cause| Failure::with_cause(code, source);
        match self {
            Self::NotFound => Failure::new(Code::NotFound),
            // Found out where a message is sent, so it does not cross the wire other than forwarded.
            Self::WrongSystem { found } => Failure::with_detail(Code::NotFound, found),
            Self::StaleIncarnation => Failure::new(Code::StaleIncarnation),
            Self::Suspended => Failure::new(Code::Suspended),
            Self::Stopped => Failure::new(Code::Stopped),
            Self::MailboxFull { capacity } => {
                Failure { limit: *capacity, ..Failure::new(Code::MailboxFull) }
            }
            Self::ResourceExhausted { bound, limit } => Failure::exhausted(bound, *limit),
            Self::DeadlineExceeded => Failure::new(Code::DeadlineExceeded),
            Self::Cancelled => Failure::new(Code::Cancelled),
            Self::TooLarge { size, limit } => Failure::too_large(*size, *limit),
            Self::NotAccepted { message } => Failure::with_detail(Code::NotAccepted, message),
            Self::NoCodec { message } => Failure::with_detail(Code::Unencodable, message),
            Self::Undecodable { source } => caused(Code::Undecodable, source),
            Self::Unencodable { source } => caused(Code::Unencodable, source),
            Self::Declined { source } => caused(Code::Declined, source),
            Self::HandlerFailed { source } => caused(Code::HandlerFailed, source),
            Self::ActivationFailed { source } => caused(Code::ActivationFailed, source),
            Self::Fenced => Failure::new(Code::Fenced),
            Self::Lost { source } => caused(Code::Lost, source),
            Self::NoReply => Failure::new(Code::NoReply),
            Self::Dropped => Failure::new(Code::Dropped),
            Self::Denied { source } => caused(Code::Denied, source),
            Self::KindNotRegistered { kind } => Failure::with_detail(Code::KindNotRegistered, kind),
            Self::NameTaken => Failure::new(Code::NameTaken),
            Self::InvalidArgument { source } | Self::Propagation { source } => {
                caused(Code::InvalidArgument, source)
            }
            Self::RemotingOff => Failure::new(Code::RemotingOff),
            // To a peer for whom it was passed on, it is this node that goes.
            Self::ShuttingDown | Self::Closed => Failure::new(Code::ShuttingDown),
            Self::Unsupported { source } => caused(Code::Unsupported, source),
            Self::Internal { source } => caused(Code::Internal, source),
            Self::Unreachable { .. } | Self::Incompatible { .. } | Self::WaitsForItself => {
                Failure::with_cause(Code::Internal, self)
            }
        }
    }

    /// What a peer's failure means here.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn from_wire(failure: Failure) -> Self {
        match failure.code {
            Code::NotFound => Self::NotFound,
            Code::StaleIncarnation => Self::StaleIncarnation,
            Code::Suspended => Self::Suspended,
            Code::Stopped => Self::Stopped,
            Code::MailboxFull => Self::MailboxFull { capacity: failure.limit },
            Code::ResourceExhausted => {
                Self::ResourceExhausted { limit: failure.limit, bound: failure.into_bound() }
            }
            Code::DeadlineExceeded => Self::DeadlineExceeded,
            Code::Cancelled => Self::Cancelled,
            Code::TooLarge => Self::TooLarge { size: failure.size, limit: failure.limit },
            Code::NotAccepted => Self::NotAccepted { message: failure.detail },
            Code::Undecodable => Self::Undecodable { source: failure.cause() },
            Code::Unencodable => Self::Unencodable { source: failure.cause() },
            Code::Declined => Self::Declined { source: failure.cause() },
            Code::HandlerFailed => Self::HandlerFailed { source: failure.cause() },
            Code::ActivationFailed => Self::ActivationFailed { source: failure.cause() },
            Code::Fenced => Self::Fenced,
            Code::Lost => Self::Lost { source: failure.cause() },
            Code::NoReply => Self::NoReply,
            Code::Dropped => Self::Dropped,
            Code::Denied => Self::Denied { source: failure.cause() },
            Code::KindNotRegistered => Self::KindNotRegistered { kind: failure.detail },
            Code::NameTaken => Self::NameTaken,
            Code::InvalidArgument => Self::InvalidArgument { source: failure.cause() },
            Code::RemotingOff => Self::RemotingOff,
            Code::ShuttingDown => Self::ShuttingDown,
            Code::Unsupported => Self::Unsupported { source: failure.cause() },
            _ => Self::Internal { source: failure.cause() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "goakt")]
    #[test]
    fn a_go_node_reads_every_cause_on_a_line_of_its_own() {
        use rakt_wire::goakt::{GoError, Procedure};
        let source = Cause::from_lines("no order\nno stock");
        let failure = Refusal::HandlerFailed { source: source.clone() }.to_wire();
        let told = GoError::from_failure(Procedure::Ask, "a", &failure);
        assert_eq!(told.message, "remote send failed\nno order\nno stock");
        let heard = Refusal::from_wire(told.into_failure(Procedure::Ask));
        let source = Cause::from_lines("remote send failed\nno order\nno stock");
        assert_eq!(heard, Refusal::Internal { source });
    }

    proptest::proptest! {
        #[test]
        fn no_refusal_of_a_peer_shows_a_control_character(text in "(?s).{0,2000}") {
            for code in Code::ALL {
                let mut next: Option<Box<dyn std::error::Error>> =
                    Some(Box::new(Refusal::from_wire(Failure::with_detail(code, text.clone()))));
                while let Some(error) = next {
                    proptest::prop_assert_eq!(rakt_wire::controls_at(&error.to_string()), None);
                    next = error.source().map(|source| Box::new(Cause::described(source)).into());
                }
            }
        }
    }

    #[test]
    fn every_refusal_that_crosses_the_wire_comes_back_as_itself() {
        let text = || "why".to_owned();
        let cause = || Cause::described(&Refusal::HandlerFailed { source: Cause::from("why") });
        for refusal in [
            Refusal::NotFound,
            Refusal::StaleIncarnation,
            Refusal::Suspended,
            Refusal::Stopped,
            Refusal::MailboxFull { capacity: 7 },
            Refusal::ResourceExhausted { bound: Bound::MessageMemory, limit: 9 },
            Refusal::DeadlineExceeded,
            Refusal::Cancelled,
            Refusal::TooLarge { size: 8, limit: 7 },
            Refusal::NotAccepted { message: text() },
            Refusal::Undecodable { source: cause() },
            Refusal::Unencodable { source: cause() },
            Refusal::HandlerFailed { source: cause() },
            Refusal::Declined { source: cause() },
            Refusal::ActivationFailed { source: cause() },
            Refusal::Fenced,
            Refusal::Lost { source: cause() },
            Refusal::NoReply,
            Refusal::Dropped,
            Refusal::Denied { source: cause() },
            Refusal::KindNotRegistered { kind: text() },
            Refusal::NameTaken,
            Refusal::InvalidArgument { source: cause() },
            Refusal::RemotingOff,
            Refusal::ShuttingDown,
            Refusal::Unsupported { source: cause() },
            Refusal::Internal { source: cause() },
        ] {
            assert_eq!(Refusal::from_wire(refusal.to_wire()), refusal);
        }
    }
}
