//! What arrives at the side that dialed: the ends of its requests, credit, news of watched actors.
//!
//! Reading needs nothing of [`Dialing`]: what one read brought is noted, and then settled all at once, so
//! that senders are held up for a moment only.

use super::{Dialing, Freed};
use crate::failure::{Failure, Terminated};
use crate::native::Role;
use crate::native::error::{CloseCode, LinkError};
use crate::native::event::{Budget, Event, Sink};
use crate::native::hello::Session;
use crate::native::inbound::Inbound;
use crate::native::message::Body;
use crate::operation::Outcome;

/// The reading half of the dialing side.
#[derive(Debug)]
pub struct Replies {
    inbound: Inbound,
    notes: Notes,
}

/// What one read has brought.
#[derive(Debug, Default)]
struct Notes {
    replies: Vec<Reply>,
    rest: Vec<Event<'static>>,
    /// The nonce of the last ping.
    ping: Option<u64>,
    /// The highest nonce of the pongs.
    pong: Option<u64>,
    is_draining: bool,
    goodbye: Option<(CloseCode, String)>,
}

#[derive(Debug)]
struct Reply {
    corr: u64,
    raw_len: Option<u32>,
    body: Body,
}

/// What has come to an end.
#[derive(Debug)]
pub enum Settled<P> {
    /// The reply to an ask, or the empty one to a confirm.
    Reply {
        /// What the host kept for it.
        kept: P,
        /// Set when the payload is compressed: how long it is when it is not, in bytes.
        raw_len: Option<u32>,
        /// The payload; a span is one of the block that was read.
        body: Body,
    },
    /// The outcome of an operation.
    Outcome {
        /// What the host kept for it.
        kept: P,
        /// How it ended.
        outcome: Outcome,
    },
    /// The peer turned it down.
    Failed {
        /// What the host kept for it.
        kept: P,
        /// Why.
        failure: Failure,
    },
    /// The answer was too large for the room that the host had.
    NoRoom {
        /// What the host kept for the request.
        kept: P,
    },
    /// The peer turned tells down.
    Refused(Refused),
    /// A watched actor has ended.
    Terminated {
        /// The number given to the watch.
        watch_id: u64,
        /// How.
        reason: Terminated,
    },
}

/// Tells that the peer turned down. A name is `None` where the peer's number for it is of an earlier epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Path of the receiver.
    pub path: Option<String>,
    /// Address of the sender.
    pub sender: Option<String>,
    /// Wire name of the message.
    pub type_name: Option<String>,
    /// How many.
    pub count: u64,
    /// Why.
    pub failure: Failure,
}

impl Replies {
    /// The reading half for a session.
    pub fn new(session: &Session) -> Self {
        Self { inbound: Inbound::new(Role::Dialer, session.limits), notes: Notes::default() }
    }

    /// The parser, for where to read to.
    pub fn inbound(&mut self) -> &mut Inbound {
        &mut self.inbound
    }

    /// Notes what has arrived; see [`Inbound::handle_bytes`]. To be [settled](Dialing::settle) also after
    /// an error.
    ///
    /// # Errors
    /// As [`Inbound::handle_bytes`].
    pub fn handle_bytes(
        &mut self,
        buf: &[u8],
        budget: &mut impl Budget,
    ) -> Result<usize, LinkError> {
        let Self { inbound, notes } = self;
        inbound.handle_bytes(buf, &mut Noting { notes, budget })
    }

    /// Notes what was put into [`Inbound::room`].
    ///
    /// # Errors
    /// As [`Inbound::handle_bytes`].
    pub fn handle_filled(&mut self, budget: &mut impl Budget) -> Result<(), LinkError> {
        let Self { inbound, notes } = self;
        inbound.handle_filled(&mut Noting { notes, budget })
    }

    /// Whether there is anything to settle.
    pub fn is_empty(&self) -> bool {
        let Notes { replies, rest, ping, pong, is_draining, .. } = &self.notes;
        let has_beat = ping.is_some() || pong.is_some();
        replies.is_empty() && rest.is_empty() && !has_beat && !is_draining
    }

    /// Whether there is one reply, and nothing else that may be of the block.
    #[inline]
    pub fn is_lone(&self) -> bool {
        self.notes.replies.len() == 1 && self.notes.rest.is_empty()
    }

    /// The goodbye of the peer, once.
    pub fn take_goodbye(&mut self) -> Option<(CloseCode, String)> {
        self.notes.goodbye.take()
    }

    /// Drops what is unfinished, and releases its bytes. For the end of the connection.
    pub fn clear(&mut self, budget: &mut impl Budget) {
        let Self { inbound, notes } = self;
        inbound.clear(&mut Noting { notes, budget });
    }
}

impl<P> Dialing<P> {
    /// Settles what `replies` has noted; `settled` is called for each end, in the order of arrival where
    /// that matters.
    ///
    /// # Errors
    /// The peer has answered a ping that was never sent; the connection is to end. All else is settled.
    pub fn settle(
        &mut self,
        replies: &mut Replies,
        mut settled: impl FnMut(Settled<P>),
    ) -> Result<(), LinkError> {
        let Notes { replies, rest, ping, pong, is_draining, .. } = &mut replies.notes;
        let before = self.pending.len();
        for Reply { corr, raw_len, body } in replies.drain(..) {
            if let Some(kept) = self.pending.remove(corr) {
                settled(Settled::Reply { kept, raw_len, body });
            }
        }
        for note in rest.drain(..) {
            if let Some(end) = self.settle_event(note) {
                settled(end);
            }
        }
        if self.pending.len() < before {
            self.has_company = before.saturating_sub(self.pending.len()) > 1;
            self.freed.push(Freed::InFlight);
        }
        if let Some(nonce) = ping.take() {
            self.writer.out.pong(nonce);
            // The peer has heard nothing for a while, so this side may not be about to ping.
            self.writer.out.prove();
        }
        if std::mem::take(is_draining) {
            self.writer.drain();
            self.writer.out.prove_all();
            self.freed.push(Freed::Gone);
        }
        let Some(nonce) = pong.take() else { return Ok(()) };
        self.writer.out.tells.handle_pong(nonce)?;
        if self.is_fenced() {
            self.freed.push(Freed::Gone);
        }
        Ok(())
    }

    fn settle_event(&mut self, event: Event<'static>) -> Option<Settled<P>> {
        Some(match event {
            Event::Response { corr, outcome } => {
                Settled::Outcome { kept: self.pending.remove(corr)?, outcome }
            }
            Event::Fail { corr, failure } => {
                let kept = self.pending.remove(corr)?;
                // The rest of what was turned down for lack of room would only be read over.
                if self.writer.out.abort(corr) {
                    self.freed.push(Freed::AllCredit);
                }
                Settled::Failed { kept, failure }
            }
            Event::RefusedReply { corr } => Settled::NoRoom { kept: self.pending.remove(corr)? },
            Event::Credit { receiver, epoch, bytes } => {
                if self.writer.out.handle_credit(receiver, epoch, bytes) {
                    self.freed.push(Freed::Credit(receiver));
                }
                return None;
            }
            Event::Terminated { watch_id, reason } => Settled::Terminated { watch_id, reason },
            Event::Nack { receiver, sender, type_id, epoch, count, failure } => {
                let tables = self.writer.out.tables();
                let tables = (tables.epoch() == epoch).then_some(tables);
                let path = tables.and_then(|tables| tables.get(receiver));
                let sender = tables.and_then(|tables| tables.senders.name(sender?));
                let type_name = tables.and_then(|tables| tables.types.name(type_id));
                Settled::Refused(Refused {
                    path: path.map(|receiver| receiver.path.to_string()),
                    sender: sender.map(str::to_owned),
                    type_name: type_name.map(str::to_owned),
                    count,
                    failure,
                })
            }
            _ => return None,
        })
    }
}

/// Takes the events of one read.
struct Noting<'a, B> {
    notes: &'a mut Notes,
    budget: &'a mut B,
}

impl<B: Budget> Sink for Noting<'_, B> {
    #[inline]
    fn event(&mut self, event: Event<'_>) {
        let notes = &mut *self.notes;
        // What is kept borrows nothing of what was read.
        notes.rest.push(match event {
            Event::Reply { corr, raw_len, body } => {
                return notes.replies.push(Reply { corr, raw_len, body });
            }
            Event::Response { corr, outcome } => Event::Response { corr, outcome },
            Event::Fail { corr, failure } => Event::Fail { corr, failure },
            Event::RefusedReply { corr } => Event::RefusedReply { corr },
            Event::Nack { receiver, sender, type_id, epoch, count, failure } => {
                Event::Nack { receiver, sender, type_id, epoch, count, failure }
            }
            Event::Credit { receiver, epoch, bytes } => Event::Credit { receiver, epoch, bytes },
            Event::Terminated { watch_id, reason } => Event::Terminated { watch_id, reason },
            Event::Ping { nonce } => return notes.ping = Some(nonce),
            Event::GoAway { .. } => return notes.is_draining = true,
            Event::Close { code, text } => return notes.goodbye = Some((code, text.to_owned())),
            Event::Pong { nonce } => return notes.pong = notes.pong.max(Some(nonce)),
            // Nothing else comes from an acceptor.
            _ => return,
        });
    }
}

impl<B: Budget> Budget for Noting<'_, B> {
    fn admit(&mut self, bytes: usize) -> bool {
        self.budget.admit(bytes)
    }

    fn release(&mut self, bytes: usize) {
        self.budget.release(bytes);
    }

    fn admit_head(&mut self, bytes: usize) -> Result<(), u64> {
        self.budget.admit_head(bytes)
    }

    fn release_head(&mut self, bytes: usize) {
        self.budget.release_head(bytes);
    }
}
