//! Messages on their way to actors, as those see them: what a mailbox holds, and where replies go.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use rakt_wire::{Encode, Metadata, cost};

use super::conn::GoConn;
use super::window::Room;
use crate::error::Refusal;
use crate::events::DeadLetter;
use crate::mailbox::arrivals::Arrivals;
use crate::mailbox::current::Current;
use crate::mailbox::reply::{RemoteAsker, ReplyTo};
use crate::message::allowance;
use crate::reference::ActorRef;
use crate::remote::account::Charge;
use crate::remote::budget::Part;
use crate::remote::compact::compact;

/// Cost of handled messages from which on it is given back to the budget before their batch is done with.
const RETURN_AT: u64 = 64 * 1024;

/// A request of which less than this is kept is not kept whole, in percent: only its messages are charged.
const WORTH_KEEPING: usize = 80;

/// Messages of one type that follow each other, for one actor, in a block of bytes.
pub(super) struct Batch {
    pub(super) delivery: Arc<Delivery>,
    /// What becomes of them is told to the sender of this request.
    pub(super) answers: Answers,
    /// Index into the actor's list of accepted messages.
    pub(super) entry: u16,
    pub(super) block: Bytes,
    pub(super) messages: VecDeque<Message>,
    pub(super) senders: Vec<ActorRef>,
    /// What the messages take of the window of their receiver.
    room: Room,
    /// Cost of messages that were taken, which still counts.
    unreturned: u64,
}

/// Where messages come from.
pub(super) struct Delivery {
    pub(super) conn: Arc<GoConn>,
    pub(super) path: Arc<str>,
    pub(super) type_name: Arc<str>,
    /// For what is no part of their cost, as long as any of the messages is here.
    pub(super) _charge: Charge,
    pub(super) _room: Room,
}

/// What a Go node is told of its messages.
#[derive(Clone)]
pub(super) enum Answers {
    /// Of the tell with this number: that they are in the mailbox, or why not.
    Confirm(u64),
    /// It has been told that they are in the mailbox.
    Nothing,
    Reply(RemoteAsker),
}

/// One message as it came, not decoded yet.
pub(super) struct Message {
    /// Index into the senders of the batch.
    pub(super) sender: Option<u32>,
    /// Where the payload is in the block.
    pub(super) start: u32,
    pub(super) len: u32,
    pub(super) about: Option<Box<About>>,
}

/// What many messages do without.
pub(super) struct About {
    pub(super) deadline: Option<Instant>,
    pub(super) metadata: Option<Metadata>,
}

impl Batch {
    pub(super) fn new(
        delivery: Arc<Delivery>,
        answers: Answers,
        entry: u16,
        block: Bytes,
        messages: VecDeque<Message>,
        senders: Vec<ActorRef>,
        room: Room,
    ) -> Box<Self> {
        let unreturned = 0;
        Box::new(Self { delivery, answers, entry, block, messages, senders, room, unreturned })
    }

    /// Tells the peer that a message is not handled, or whoever listens here if the peer cannot be told.
    fn refuse_one(&self, refusal: &Refusal) {
        let Delivery { conn, path, type_name, .. } = &*self.delivery;
        match &self.answers {
            Answers::Confirm(id) => conn.refuse(*id, path, refusal),
            Answers::Reply(asker) => asker.to.refuse(asker.request, refusal),
            // It was acknowledged, so nobody else would hear of it.
            Answers::Nothing => conn.outlet().dead_letters(1, || DeadLetter {
                target: conn.system.address_of(path).into(),
                sender: None,
                message: type_name.to_string(),
                reason: refusal.clone(),
                count: 1,
            }),
        }
    }

    /// Notes that a message was taken out, and gives back what it cost once that is much or all.
    fn consumed(&mut self, message: &Message) {
        self.unreturned += cost(message.len as usize);
        if self.unreturned >= RETURN_AT || self.messages.is_empty() {
            let bytes = std::mem::take(&mut self.unreturned);
            self.delivery.conn.account.release(Part::Messages, bytes);
            drop(self.room.split(bytes));
        }
    }
}

impl Arrivals for Batch {
    fn len(&self) -> usize {
        self.messages.len()
    }

    fn first(&self) -> Option<u16> {
        self.messages.front().map(|_| self.entry)
    }

    fn payload(&mut self) -> Result<Bytes, Refusal> {
        let message = self.messages.front().expect("there is a first message");
        let start = message.start as usize;
        Ok(self.block.slice(start..start + message.len as usize))
    }

    fn room(&self) -> &dyn allowance::Room {
        &self.delivery.conn.account
    }

    fn confirmer(&mut self) -> Option<RemoteAsker> {
        let Answers::Confirm(request) = self.answers else { return None };
        Some(RemoteAsker { to: self.delivery.clone(), request })
    }

    fn take(&mut self, current: &mut Current) -> Option<RemoteAsker> {
        let message = self.messages.pop_front()?;
        self.consumed(&message);
        let asker = match &self.answers {
            Answers::Reply(asker) => Some(asker.clone()),
            Answers::Confirm(_) | Answers::Nothing => None,
        };
        let sender = message.sender.and_then(|index| self.senders.get(index as usize)).cloned();
        let (deadline, metadata) =
            message.about.map_or((None, None), |about| (about.deadline, about.metadata));
        let peer = &self.delivery.conn.peer;
        current.begin_from(peer, sender, deadline, metadata, asker.as_ref().into());
        asker
    }

    fn refuse_first(&mut self, refusal: &Refusal) {
        if let Some(message) = self.messages.pop_front() {
            self.consumed(&message);
            self.refuse_one(refusal);
        }
    }

    fn take_first(&mut self, n: usize) -> Box<dyn Arrivals> {
        let messages: VecDeque<_> = self.messages.drain(..n.min(self.messages.len())).collect();
        let room = self.room.split(cost_of(&messages));
        let (delivery, block, senders) =
            (self.delivery.clone(), self.block.clone(), self.senders.clone());
        Self::new(delivery, self.answers.clone(), self.entry, block, messages, senders, room)
    }

    fn compact(&mut self) {
        let copied =
            compact(&self.block, WORTH_KEEPING, self.messages.make_contiguous(), |message| {
                Some((&mut message.start, message.len))
            });
        if let Some(copied) = copied {
            self.block = copied;
        }
    }

    fn confirm_all(&mut self) {
        if let Answers::Confirm(id) = self.answers {
            self.answers = Answers::Nothing;
            self.messages.iter().for_each(|_| self.delivery.conn.confirm(id));
        }
    }

    fn refuse_all(mut self: Box<Self>, refusal: &Refusal) {
        while let Some(message) = self.messages.pop_front() {
            self.refuse_one(refusal);
            self.consumed(&message);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let left = self.unreturned + cost_of(&self.messages);
        if left > 0 {
            self.delivery.conn.account.release(Part::Messages, left);
        }
    }
}

fn cost_of(messages: &VecDeque<Message>) -> u64 {
    messages.iter().map(|message| cost(message.len as usize)).sum()
}

impl ReplyTo for Delivery {
    fn reply(&self, request: u64, name: Option<&'static str>, payload: &dyn Encode) {
        match encode_reply(name, payload, self.conn.resources.options.max_frame_size) {
            Ok((name, bytes)) => self.conn.reply(request, name, &bytes),
            Err(refusal) => self.refuse(request, &refusal),
        }
    }

    fn confirm(&self, request: u64) {
        self.conn.confirm(request);
    }

    fn refuse(&self, request: u64, refusal: &Refusal) {
        self.conn.refuse(request, &self.path, refusal);
    }

    fn is_cancelled(&self, request: u64) -> bool {
        self.conn.is_cancelled(request)
    }

    fn poll_cancelled(&self, request: u64, cx: &mut Context<'_>) -> Poll<()> {
        self.conn.poll_cancelled(request, cx)
    }
}

/// A reply as it goes out.
pub(super) fn encode_reply(
    name: Option<&'static str>,
    payload: &dyn Encode,
    limit: u32,
) -> Result<(&'static str, Vec<u8>), Refusal> {
    let Some(name) = name else {
        let source = "the reply has no wire name, which GoAkt needs".into();
        return Err(Refusal::Unencodable { source });
    };
    let check = |size: usize| match size as u64 > u64::from(limit) {
        true => Err(Refusal::TooLarge { size: size as u64, limit: limit.into() }),
        false => Ok(()),
    };
    let len = payload.encoded_len().unwrap_or(0);
    check(len)?;
    let mut bytes = Vec::with_capacity(len);
    payload
        .encode(&mut bytes)
        .map_err(|error| Refusal::Unencodable { source: error.into_cause() })?;
    check(bytes.len())?;
    Ok((name, bytes))
}
