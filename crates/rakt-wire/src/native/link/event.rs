//! What goes into a link and what comes out of it, with names instead of numbers.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::compress::DecompressError;
use crate::failure::{Failure, Terminated};
use crate::metadata::Metadata;
use crate::native::{Body, CloseCode, HandshakeError, LinkError, MessageKind, Session};
use crate::operation::{Operation, Outcome};

/// A message with all its names, before or after the wire.
///
/// `Debug` shows the length of the payload, not its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the sender wants to hear.
    pub kind: MessageKind,
    /// Path of the receiver.
    pub path: String,
    /// The life of the receiver that is meant.
    pub uid: Option<u64>,
    /// Address of the sender.
    pub sender: Option<String>,
    /// Wire name of the message type.
    pub type_name: String,
    /// Time left until the sender no longer waits.
    pub remaining: Option<Duration>,
    /// What travels with it; empty and absent are the same.
    pub metadata: Metadata,
    /// The raw payload.
    pub payload: Bytes,
}

/// Something a link tells its owner.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The link is open.
    Opened(Box<Session>),
    /// A message. Taking this event gives the peer its credit back.
    Message(Box<Envelope>),
    /// The reply to an ask or confirm.
    Reply {
        /// What it answers.
        corr: u64,
        /// The raw payload, always a [`Body::Whole`].
        payload: Body,
    },
    /// A confirm, ask or request has failed.
    Failed {
        /// Which.
        corr: u64,
        /// Why.
        failure: Failure,
    },
    /// Tells have failed.
    Nack {
        /// How many.
        count: u64,
        /// Why.
        failure: Failure,
    },
    /// The asker has given up.
    Cancelled {
        /// On what.
        corr: u64,
    },
    /// An operation.
    Request {
        /// The number by which it is answered.
        corr: u64,
        /// What to do.
        operation: Operation,
    },
    /// The outcome of an operation.
    Response {
        /// Which.
        corr: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// A watched actor has ended.
    Terminated {
        /// The number given to the watch.
        watch_id: u64,
        /// How.
        reason: Terminated,
    },
    /// The peer wants nothing new.
    GoAway {
        /// Why.
        code: CloseCode,
        /// For the log.
        text: String,
    },
    /// The link is closed; the last event.
    Closed(ClosedReason),
}

/// Why a link is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClosedReason {
    /// It never opened.
    #[error("the handshake failed")]
    Handshake(#[from] HandshakeError),
    /// The peer broke the protocol.
    #[error("the peer broke the protocol")]
    Protocol(#[from] LinkError),
    /// The peer sent a payload that does not unpack.
    #[error("the peer sent a payload that does not unpack")]
    Payload(#[from] DecompressError),
    /// The peer sent more than it had credit for.
    #[error("the peer sent to receiver {receiver} without credit")]
    Credit {
        /// The alias of the receiver.
        receiver: u32,
    },
    /// The peer fell silent.
    #[error("nothing was heard from the peer for too long")]
    Dead,
    /// The peer said goodbye.
    #[error("the peer closed the connection: {code}: {text}")]
    ByPeer {
        /// Why.
        code: CloseCode,
        /// For the log.
        text: String,
    },
    /// The owner closed it.
    #[error("closed on this side")]
    ByUs,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("kind", &self.kind)
            .field("path", &self.path)
            .field("uid", &self.uid)
            .field("sender", &self.sender)
            .field("type_name", &self.type_name)
            .field("remaining", &self.remaining)
            .field("metadata", &self.metadata)
            .field("payload_len", &self.payload.len())
            .finish()
    }
}
