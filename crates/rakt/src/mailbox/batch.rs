//! The messages for one actor that one read from a connection brought.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rakt_wire::metadata::Metadata;

use super::letter::{Alias, Origin};
use crate::error::Refusal;
use crate::reference::ActorRef;

/// Messages in the order they arrived; all share one block of bytes, one connection, one receiver.
pub(crate) struct Batch {
    pub(crate) origin: Arc<dyn Origin>,
    pub(crate) from: Alias,
    pub(crate) block: Bytes,
    pub(crate) messages: VecDeque<RawMessage>,
    /// Some of them are confirmed tells.
    pub(crate) has_confirms: bool,
    /// The connection's number for each sender, and the sender.
    pub(crate) senders: Vec<(u32, ActorRef)>,
    /// Credit of handled messages that has not been given back yet.
    pub(crate) unreturned: u64,
    /// Give credit back once this much is free, so that a slow handler does not hold it all.
    pub(crate) return_at: u64,
}

/// One message as it came, not decoded yet.
pub(crate) struct RawMessage {
    /// Index into the actor's list of accepted messages.
    pub(crate) entry: u16,
    pub(crate) kind: RawKind,
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

/// How the sender wants to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawKind {
    Tell,
    Confirm(u64),
    Ask(u64),
    /// It was refused already, and is there only for the order of things.
    Dropped,
}

/// What most messages do without.
#[derive(Default)]
pub(crate) struct RawAbout {
    pub(crate) deadline: Option<Instant>,
    pub(crate) metadata: Option<Metadata>,
    /// The payload, where it came in chunks and so is not part of the block.
    pub(crate) whole: Option<Bytes>,
    /// For what of it is no part of the message's cost.
    pub(crate) _charge: Option<Charge>,
}

/// Bytes that count against the node's budget until this is dropped, besides the cost of a message.
pub(crate) struct Charge {
    pub(crate) origin: Arc<dyn Origin>,
    pub(crate) bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.origin.release(self.bytes);
    }
}

/// Payloads of a batch up to this many bytes are worth copying to let go of their block.
const COMPACT_LEN: usize = 16 * 1024;

impl RawMessage {
    /// What the message counts against its receiver's credit.
    pub(crate) fn cost(&self) -> u64 {
        rakt_wire::native::cost(self.raw_len.unwrap_or(self.len) as usize)
    }
}

impl Batch {
    /// An empty batch from the same place, for a part of this one.
    fn sibling(&self, messages: VecDeque<RawMessage>) -> Self {
        Self {
            origin: self.origin.clone(),
            from: self.from,
            block: self.block.clone(),
            messages,
            has_confirms: self.has_confirms,
            senders: self.senders.clone(),
            unreturned: 0,
            return_at: self.return_at,
        }
    }

    /// Takes the first message off, as a batch of its own.
    pub(crate) fn take_first(&mut self) -> Option<Self> {
        let first = self.messages.pop_front()?;
        Some(self.sibling(VecDeque::from([first])))
    }

    /// Cuts off everything after the first `n` messages.
    pub(crate) fn split_off(&mut self, n: usize) -> Self {
        let rest = self.messages.split_off(n.min(self.messages.len()));
        self.sibling(rest)
    }

    /// Copies the payloads if they are a small part of their block, which may hold much else, for a
    /// batch that is going to wait. Else a peer could make a few bytes keep a whole block each.
    pub(crate) fn compact(&mut self) {
        let is_in_block =
            |message: &RawMessage| message.about.as_ref().is_none_or(|about| about.whole.is_none());
        let in_block = self.messages.iter().filter(|message| is_in_block(message));
        let len: usize = in_block.map(|message| message.len as usize).sum();
        if len > COMPACT_LEN && len > self.block.len() / 4 {
            return;
        }
        let mut copied = Vec::with_capacity(len);
        for message in self.messages.iter_mut().filter(|message| is_in_block(message)) {
            let start = message.start as usize;
            message.start = copied.len() as u32;
            copied.extend_from_slice(&self.block[start..start + message.len as usize]);
        }
        self.block = copied.into();
    }

    /// The payload of `message`, as it was before compression.
    #[inline]
    pub(crate) fn payload(&self, message: &RawMessage) -> Result<Bytes, Refusal> {
        let whole = message.about.as_ref().and_then(|about| about.whole.as_ref());
        let start = message.start as usize;
        match (whole, message.raw_len) {
            (None, None) => Ok(self.block.slice(start..start + message.len as usize)),
            (None, Some(raw_len)) => {
                let compressed = &self.block[start..start + message.len as usize];
                self.origin.decompress(compressed, raw_len)
            }
            (Some(whole), None) => Ok(whole.clone()),
            (Some(whole), Some(raw_len)) => self.origin.decompress(whole, raw_len),
        }
    }

    pub(crate) fn sender(&self, message: &RawMessage) -> Option<&ActorRef> {
        self.senders.get(message.sender? as usize).map(|(_, sender)| sender)
    }

    /// Tells the peer that `message` was not delivered.
    pub(crate) fn refuse(&self, message: &RawMessage, refusal: &Refusal) {
        tracing::debug!(kind = ?message.kind, %refusal, "refused a message of a peer");
        match message.kind {
            RawKind::Tell => {
                let sender = message.sender.and_then(|index| self.senders.get(index as usize));
                self.origin.nack(self.from, sender.map(|s| s.0), message.type_id, refusal);
            }
            RawKind::Confirm(corr) | RawKind::Ask(corr) => self.origin.refuse(corr, refusal),
            RawKind::Dropped => {}
        }
    }

    /// Refuses every message that is left.
    pub(crate) fn refuse_all(mut self, refusal: &Refusal) {
        while let Some(message) = self.messages.pop_front() {
            self.refuse(&message, refusal);
            self.unreturned += message.cost();
        }
    }

    /// Acknowledges the confirmed tells: all messages are in the mailbox now.
    pub(crate) fn confirm_all(&mut self) {
        if !std::mem::take(&mut self.has_confirms) {
            return;
        }
        for message in &mut self.messages {
            if let RawKind::Confirm(corr) = message.kind {
                self.origin.confirm(corr);
                message.kind = RawKind::Tell;
            }
        }
    }

    /// Notes that a message was taken out, and gives credit back when enough is free.
    pub(crate) fn consumed(&mut self, cost: u64) {
        self.unreturned += cost;
        if self.unreturned >= self.return_at {
            self.origin.consumed(self.from, std::mem::take(&mut self.unreturned));
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.unreturned > 0 {
            self.origin.consumed(self.from, self.unreturned);
        }
    }
}
