//! The messages for one actor that one read from a connection brought.

use std::sync::Arc;
use std::time::Instant;
use std::vec;

use bytes::Bytes;
use rakt_wire::Metadata;
use rakt_wire::native::Alias;

use super::accepted::Accepted;
use super::block::{Block, Cost};
use super::conn::Conn;
use crate::error::{Chain, Refusal};
use crate::mailbox::arrivals::{Arrivals, InBlock, Plain, Reachable};
use crate::mailbox::current::Current;
use crate::mailbox::reply::{RemoteAsker, ReplyTo};
use crate::message::allowance::Room;
use crate::reference::ActorRef;
use crate::remote::account::Charge;
use crate::remote::budget::Part;
use crate::remote::compact::compact;

/// Messages in the order they arrived; all share one block of bytes, one connection, one receiver.
pub(crate) struct Batch {
    pub(crate) conn: Arc<Conn<Accepted>>,
    pub(crate) from: Alias,
    pub(crate) block: Block,
    pub(crate) messages: vec::IntoIter<RawMessage>,
    /// Some of them are confirmed tells.
    pub(crate) has_confirms: bool,
    /// The connection's number for each sender, and the sender.
    pub(crate) senders: Vec<(u32, ActorRef)>,
    /// The type of the message that was taken last as a plain one.
    pub(crate) taken_type: u32,
    /// What handled messages cost that has not been given back yet.
    pub(crate) unreturned: Cost,
    /// Give credit back once this much is free, so that a slow handler does not hold it all.
    pub(crate) return_at: u64,
}

/// What a batch takes up in memory besides its messages, in bytes.
pub(super) const BATCH_COST: u64 = 512;
/// What a message takes up in memory besides its payload, in bytes.
const MESSAGE_COST: u64 = 128;

/// One message as it came, not decoded yet.
pub(crate) struct RawMessage {
    /// Where its type is in the actor's list of accepted messages. A plain message is small, nobody waits for its
    /// outcome, and nothing came with it.
    pub(crate) plain: Plain,
    pub(crate) wanted: Wanted,
    /// Index into the senders of the batch.
    pub(crate) sender: Option<u32>,
    /// The connection's number for the type.
    pub(crate) type_id: u32,
    /// Where the payload is in the block.
    pub(crate) start: u32,
    pub(crate) len: u32,
    /// Length without compression, where the payload is compressed.
    pub(crate) raw_len: Option<u32>,
    pub(crate) about: Option<Box<RawAbout>>,
}

/// What its sender waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    Nothing,
    Confirmation { corr: u64 },
    Reply { corr: u64, deadline: Option<Instant> },
}

/// What most messages do without.
#[derive(Default)]
pub(crate) struct RawAbout {
    /// That of one whose reply is not waited for.
    pub(crate) deadline: Option<Instant>,
    pub(crate) metadata: Option<Metadata>,
    /// The payload, where it came in chunks and so is not part of the block.
    pub(crate) whole: Option<Bytes>,
    /// For what of it is no part of the message's cost.
    pub(crate) _charge: Option<Charge>,
}

/// A block of which less than this is kept is let go of where messages have to wait, in percent.
const WORTH_KEEPING: usize = 25;

/// Whoever takes a message has seen that there is one.
const IS_THERE: &str = "there is a first message";

impl RawMessage {
    /// Whether its payload is the end of the block, and not compressed.
    fn is_end_of(&self, block: &Block) -> bool {
        let is_whole = self.about.as_ref().is_some_and(|about| about.whole.is_some());
        let end = self.start as usize + self.len as usize;
        !is_whole && self.raw_len.is_none() && end == block.len()
    }

    #[inline]
    pub(crate) fn cost(&self) -> Cost {
        let whole = self.about.as_ref().and_then(|about| about.whole.as_ref());
        Cost {
            credit: rakt_wire::cost(self.raw_len.unwrap_or(self.len) as usize),
            charge: MESSAGE_COST
                + whole.map_or(0, |bytes| bytes.len() as u64)
                + self.raw_len.map_or(0, u64::from),
        }
    }
}

impl Batch {
    /// The payload of `message`, as it was before compression.
    #[inline]
    fn payload_of(&self, message: &RawMessage) -> Result<Bytes, Refusal> {
        let whole = message.about.as_ref().and_then(|about| about.whole.as_ref());
        let start = message.start as usize;
        match (whole, message.raw_len) {
            (None, None) => Ok(self.block.slice(start..start + message.len as usize)),
            (None, Some(raw_len)) => {
                let compressed = &self.block[start..start + message.len as usize];
                self.conn.decompress(compressed, raw_len)
            }
            (Some(whole), None) => Ok(whole.clone()),
            (Some(whole), Some(raw_len)) => self.conn.decompress(whole, raw_len),
        }
    }

    /// Tells the peer that `message` was not delivered.
    fn refuse(&self, message: &RawMessage, refusal: &Refusal) {
        self.refuse_of(message.wanted, message.sender, message.type_id, refusal);
    }

    fn refuse_of(&self, wanted: Wanted, sender: Option<u32>, type_id: u32, refusal: &Refusal) {
        tracing::debug!(?wanted, refusal = %Chain(refusal), "refused a message of a peer");
        match wanted {
            Wanted::Nothing => {
                let sender = sender.and_then(|index| self.senders.get(index as usize));
                self.conn.nack(self.from, sender.map(|s| s.0), type_id, refusal);
            }
            Wanted::Confirmation { corr } | Wanted::Reply { corr, .. } => {
                self.conn.refuse(corr, refusal);
            }
        }
    }

    /// A confirmed tell says that the message can be handled, so these are decoded to see, and those that
    /// cannot be are refused.
    pub(crate) fn check_confirmed(&mut self, cell: &dyn Reachable) {
        let mut messages: Vec<_> = std::mem::take(&mut self.messages).collect();
        let mut refused = Cost::default();
        messages.retain(|message| {
            if !matches!(message.wanted, Wanted::Confirmation { .. }) {
                return true;
            }
            let payload = self.payload_of(message);
            let room = &self.conn.account;
            let checked =
                payload.and_then(|payload| cell.check(message.plain.entry(), payload, room));
            if let Err(refusal) = &checked {
                self.refuse(message, refusal);
                refused.add(message.cost());
            }
            checked.is_ok()
        });
        self.messages = messages.into_iter();
        self.consumed(refused);
    }

    /// Notes that a message was taken out, and gives credit back when enough is free.
    #[inline]
    fn consumed(&mut self, cost: Cost) {
        self.unreturned.add(cost);
        if self.unreturned.credit >= self.return_at {
            self.conn.consumed(self.from, std::mem::take(&mut self.unreturned));
        }
    }

    /// Takes a plain one with which credit goes back, or that is the first of a peer.
    #[cold]
    #[inline(never)]
    fn take_first_plain(&mut self, current: &mut Current) -> InBlock<'_> {
        let message = self.messages.next().expect(IS_THERE);
        self.taken_type = message.type_id;
        self.consumed(message.cost());
        current.begin_plain_from(&self.conn.peer.who);
        InBlock::new(&self.block, message.start, message.len)
    }
}

impl Arrivals for Batch {
    fn len(&self) -> usize {
        self.messages.len()
    }

    fn first(&self) -> Option<u16> {
        self.messages.as_slice().first().map(|message| message.plain.entry())
    }

    #[inline]
    fn payload(&mut self) -> Result<Bytes, Refusal> {
        let message = self.messages.as_slice().first().expect(IS_THERE);
        if self.messages.len() == 1 && message.is_end_of(&self.block) {
            return Ok(self.block.take_end(message.start as usize));
        }
        self.payload_of(message)
    }

    fn room(&self) -> &dyn Room {
        &self.conn.account
    }

    fn confirmer(&mut self) -> Option<RemoteAsker> {
        let wanted = &mut self.messages.as_mut_slice().first_mut()?.wanted;
        let Wanted::Confirmation { corr } = *wanted else { return None };
        *wanted = Wanted::Nothing;
        Some(RemoteAsker { to: self.conn.clone(), request: corr })
    }

    fn take(&mut self, current: &mut Current) -> Option<RemoteAsker> {
        let message = self.messages.next()?;
        self.consumed(message.cost());
        let sender = message.sender.and_then(|index| self.senders.get(index as usize));
        let (asker, deadline) = match message.wanted {
            Wanted::Reply { corr, deadline } => {
                (Some(RemoteAsker { to: self.conn.clone(), request: corr }), deadline)
            }
            Wanted::Nothing | Wanted::Confirmation { .. } => (None, None),
        };
        let sender = sender.map(|(_, sender)| sender.clone());
        let cancellation = asker.as_ref().into();
        let (of_tell, metadata) =
            message.about.map_or((None, None), |about| (about.deadline, about.metadata));
        let deadline = deadline.or(of_tell);
        current.begin_from(&self.conn.peer.who, sender, deadline, metadata, cancellation);
        asker
    }

    #[inline]
    fn take_plain(&mut self, plain: Plain, current: &mut Current) -> Option<InBlock<'_>> {
        let message = self.messages.as_slice().first()?;
        if message.plain != plain {
            return None;
        }
        let (start, len) = (message.start, message.len);
        let credit = self.unreturned.credit + rakt_wire::cost(len as usize);
        if credit >= self.return_at || !current.is_plain_from(&self.conn.peer.who) {
            return Some(self.take_first_plain(current));
        }
        self.unreturned = Cost { credit, charge: self.unreturned.charge + MESSAGE_COST };
        self.taken_type = message.type_id;
        // As a plain one it owns nothing: there is nothing to look for as it is dropped.
        std::mem::forget(self.messages.next());
        Some(InBlock::new(&self.block, start, len))
    }

    fn refuse_plain(&mut self, refusal: &Refusal) {
        self.refuse_of(Wanted::Nothing, None, self.taken_type, refusal);
    }

    fn refuse_first(&mut self, refusal: &Refusal) {
        if let Some(message) = self.messages.next() {
            self.consumed(message.cost());
            self.refuse(&message, refusal);
        }
    }

    fn take_first(&mut self, n: usize) -> Box<dyn Arrivals> {
        let charge = BATCH_COST + self.block.uncounted_len();
        self.conn.account.charge(Part::Messages, charge);
        Box::new(Self {
            conn: self.conn.clone(),
            from: self.from,
            block: self.block.clone(),
            messages: self.messages.by_ref().take(n).collect::<Vec<_>>().into_iter(),
            has_confirms: self.has_confirms,
            senders: self.senders.clone(),
            taken_type: 0,
            unreturned: Cost { credit: 0, charge },
            return_at: self.return_at,
        })
    }

    fn compact(&mut self) {
        let copied = compact(&self.block, WORTH_KEEPING, self.messages.as_mut_slice(), |message| {
            let is_in_block = message.about.as_ref().is_none_or(|about| about.whole.is_none());
            is_in_block.then_some((&mut message.start, message.len))
        });
        if let Some(copied) = copied {
            self.block = Block::copied(&self.conn.account, copied);
        }
    }

    fn confirm_all(&mut self) {
        if !std::mem::take(&mut self.has_confirms) {
            return;
        }
        for message in self.messages.as_mut_slice() {
            if let Wanted::Confirmation { corr } = message.wanted {
                self.conn.confirm(corr);
                message.wanted = Wanted::Nothing;
            }
        }
    }

    fn refuse_all(mut self: Box<Self>, refusal: &Refusal) {
        while let Some(message) = self.messages.next() {
            self.refuse(&message, refusal);
            self.unreturned.add(message.cost());
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let messages = self.messages.as_slice().iter();
        messages.for_each(|message| self.unreturned.add(message.cost()));
        if self.unreturned.charge > 0 {
            self.conn.consumed(self.from, self.unreturned);
        }
    }
}
