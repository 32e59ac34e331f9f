//! What an [`Inbound`](super::Inbound) finds in the bytes, and who takes it.

use std::time::Duration;

use super::error::CloseCode;
use super::message::{Body, Message};
use crate::failure::{Failure, Terminated};
use crate::metadata::Metadata;
use crate::operation::{Operation, Outcome};

/// Something that has arrived. What it borrows is only there during [`Sink::event`].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The dialer gives a receiver its number. Numbers are handed out from 0 up.
    Receiver {
        /// The number.
        alias: u32,
        /// The life of the actor that is meant; `None` for whoever has the path.
        uid: Option<u64>,
        /// The path; valid, but possibly reserved.
        path: &'a str,
    },
    /// The dialer gives a sender its number.
    Sender {
        /// The number.
        alias: u32,
        /// The address as text; not checked beyond its length.
        address: &'a str,
    },
    /// The dialer gives a message type its number.
    Type {
        /// The number.
        id: u32,
        /// The wire name.
        name: &'a str,
    },
    /// All numbers are forgotten; a new epoch has begun.
    Reset,
    /// A message. Its aliases are defined.
    Message(Message),
    /// The reply to an ask, or the empty one to a confirm.
    Reply {
        /// What it answers.
        corr: u64,
        /// Set when the payload is compressed: how long it is when it is not, in bytes.
        raw_len: Option<u32>,
        /// The payload.
        body: Body,
    },
    /// A confirm, ask or request has failed.
    Fail {
        /// Which.
        corr: u64,
        /// Why.
        failure: Failure,
    },
    /// Tells have failed.
    Nack {
        /// Alias of the receiver.
        receiver: u32,
        /// Alias of the sender.
        sender: Option<u32>,
        /// Alias of the message type.
        type_id: u32,
        /// The epoch of these aliases.
        epoch: u32,
        /// How many have failed in this way.
        count: u64,
        /// Why.
        failure: Failure,
    },
    /// The asker has given up.
    Cancel {
        /// On what.
        corr: u64,
    },
    /// An operation.
    Request {
        /// The number by which it is answered.
        corr: u64,
        /// Time left until the asker no longer waits, as of its sending.
        remaining: Option<Duration>,
        /// What came with it.
        metadata: Option<Metadata>,
        /// What to do.
        operation: Operation,
    },
    /// An operation that only newer peers know. It wants to be failed as unsupported.
    Unsupported {
        /// The number by which it is answered.
        corr: u64,
        /// Its code.
        code: u8,
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
    /// A receiver has taken some bytes; for [`Outbound::handle_credit`](super::Outbound::handle_credit).
    Credit {
        /// Alias of the receiver.
        receiver: u32,
        /// The epoch of this alias.
        epoch: u32,
        /// How many.
        bytes: u64,
    },
    /// The peer asks whether this side is there.
    Ping {
        /// To be sent back.
        nonce: u64,
    },
    /// The peer is there.
    Pong {
        /// That of the ping.
        nonce: u64,
    },
    /// The peer wants nothing new.
    GoAway {
        /// Why.
        code: CloseCode,
        /// For the log.
        text: &'a str,
    },
    /// The peer ends the connection.
    Close {
        /// Why.
        code: CloseCode,
        /// For the log.
        text: &'a str,
    },
    /// A large message for which [`Budget::admit`] had no room. Its payload is skipped and its body
    /// empty; `raw_len` is always set.
    Refused(Message),
    /// All of a refused message has come, so what it cost goes back. Of one that its sender aborts
    /// meanwhile, who takes its cost back himself, there is no such event.
    Skipped {
        /// Alias of the receiver.
        receiver: u32,
        /// Length of the payload when it is not compressed, in bytes.
        raw_len: u32,
    },
    /// A large reply or response for which there was no room.
    RefusedReply {
        /// What it answers.
        corr: u64,
    },
    /// A large request for which there was no room.
    RefusedRequest {
        /// The number by which it is answered.
        corr: u64,
    },
}

/// Takes what arrives.
pub trait Sink: Budget {
    /// Something has arrived.
    fn event(&mut self, event: Event<'_>);

    /// A message has arrived: [`Event::Message`], for whoever takes it without a detour.
    #[inline]
    fn message(&mut self, message: Message) {
        self.event(Event::Message(message));
    }
}

/// Room for unfinished large bodies.
pub trait Budget {
    /// Whether `bytes` more of unfinished large bodies may be held. Each byte admitted is given back
    /// through [`Budget::release`].
    fn admit(&mut self, bytes: usize) -> bool;

    /// `bytes` of an unfinished body are complete, which the next event tells, or dropped.
    fn release(&mut self, bytes: usize);

    /// `bytes` are held for an unfinished body besides what has arrived of it, until
    /// [`Budget::release_head`].
    ///
    /// # Errors
    /// How much all peers together may have held, if that is too much; the connection ends.
    fn admit_head(&mut self, bytes: usize) -> Result<(), u64>;

    /// The body is complete, or dropped.
    fn release_head(&mut self, bytes: usize);
}
