//! What arrivals change: the peer's numbers, its debts, and the events for the owner.

use std::collections::VecDeque;

use bytes::Bytes;

use super::PARTIAL_BUDGET;
use super::event::{ClosedReason, Envelope, LinkEvent};
use crate::base::encode::cost;
use crate::compress::Compressor;
use crate::failure::{Code, Failure};
use crate::native::{
    Alias, Body, Event, Head, Limits, Message, Outbound, Payload, Role, SendError, Session, Sink,
};

/// What the events of a link change.
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) outbound: Outbound,
    compressor: Compressor,
    receivers: Vec<Known>,
    senders: Vec<String>,
    types: Vec<String>,
    epoch: u32,
    pub(super) budget: usize,
    pub(super) closed: Option<ClosedReason>,
}

/// A receiver that the peer has given a number.
struct Known {
    path: String,
    uid: Option<u64>,
    /// Cost of its messages that have arrived and not been taken.
    outstanding: u64,
}

impl State {
    pub(super) fn new(role: Role, session: &Session) -> Self {
        Self {
            limits: session.limits,
            outbound: Outbound::new(role, session.limits),
            compressor: Compressor::new(session.compression)
                .expect("only available compressions are negotiated"),
            receivers: Vec::new(),
            senders: Vec::new(),
            types: Vec::new(),
            epoch: 0,
            budget: PARTIAL_BUDGET,
            closed: None,
        }
    }

    /// A reset in the middle outdates what was resolved before it, so that is redone.
    pub(super) fn resolve(&mut self, envelope: &Envelope) -> [Alias; 3] {
        loop {
            let out = &mut self.outbound;
            let receiver = out.receiver(&envelope.path, envelope.uid);
            let sender = envelope.sender.as_ref().map(|sender| out.sender(sender));
            let type_id = out.message_type(&envelope.type_name);
            let aliases = [receiver, sender.unwrap_or(receiver), type_id];
            if aliases.into_iter().all(|alias| out.is_current(alias)) {
                return aliases;
            }
        }
    }

    pub(super) fn send(&mut self, envelope: &Envelope, head: &Head<'_>) -> Result<(), SendError> {
        const COMPRESS_FROM: usize = 512;
        let payload = &envelope.payload;
        let mut packed = Vec::new();
        let is_packed = payload.len() >= COMPRESS_FROM
            && self.compressor.compress(payload, &mut packed).unwrap_or(false);
        let payload = if is_packed {
            Payload::Ready { bytes: packed.into(), raw_len: u32::try_from(payload.len()).ok() }
        } else {
            Payload::Ready { bytes: payload.clone(), raw_len: None }
        };
        self.outbound.message(envelope.kind, head, payload)
    }

    pub(super) fn give_back(&mut self, receiver: u32, epoch: u32, cost: u64) {
        if epoch != self.epoch {
            return;
        }
        if let Some(known) = self.receivers.get_mut(receiver as usize) {
            known.outstanding = known.outstanding.saturating_sub(cost);
            self.outbound.grant(receiver, epoch, cost);
        }
    }

    fn unpack(&mut self, raw_len: Option<u32>, bytes: &[u8]) -> Result<Bytes, ClosedReason> {
        let Some(raw_len) = raw_len else { return Ok(Bytes::copy_from_slice(bytes)) };
        let mut out = Vec::new();
        self.compressor.decompress(bytes, raw_len as usize, &mut out)?;
        Ok(out.into())
    }

    /// Names the parts of a message and takes its cost. Inbound has checked the aliases.
    fn take(&mut self, message: &Message, payload: Bytes) -> Result<(Envelope, u64), ClosedReason> {
        let receiver = message.receiver;
        let known = self
            .receivers
            .get_mut(receiver as usize)
            .expect("inbound accepts only defined receivers");
        if known.outstanding >= u64::from(self.limits.receiver_window) {
            return Err(ClosedReason::Credit { receiver });
        }
        let cost = cost(payload.len());
        known.outstanding = known.outstanding.saturating_add(cost);
        let name = |names: &[String], id: u32| names.get(id as usize).cloned().unwrap_or_default();
        let envelope = Envelope {
            kind: message.kind,
            path: known.path.clone(),
            uid: known.uid,
            sender: message.sender.map(|sender| name(&self.senders, sender)),
            type_name: name(&self.types, message.type_id),
            remaining: message.remaining,
            metadata: message.metadata.as_deref().cloned().unwrap_or_default(),
            payload,
        };
        Ok((envelope, cost))
    }

    /// A large message for which there was no room: the sender hears of it and has its credit back.
    fn refuse(&mut self, message: &Message) {
        let failure = Failure::with_detail(Code::ResourceExhausted, "no room for a large message");
        let cost = cost(message.raw_len.unwrap_or(0) as usize);
        match message.kind.corr() {
            Some(corr) => self.outbound.fail(corr, &failure),
            None => {
                let Message { receiver, sender, type_id, .. } = *message;
                self.outbound.nack(receiver, sender, type_id, self.epoch, &failure);
            }
        }
        self.outbound.grant(message.receiver, self.epoch, cost);
    }
}

/// Turns what [`Inbound`] finds into events.
pub(super) struct Arrivals<'a> {
    pub(super) buf: &'a [u8],
    pub(super) state: &'a mut State,
    pub(super) events: &'a mut VecDeque<LinkEvent>,
    pub(super) costs: &'a mut VecDeque<(u32, u32, u64)>,
}

impl Arrivals<'_> {
    fn message(&mut self, message: &Message) -> Result<(), ClosedReason> {
        let payload = self.state.unpack(message.raw_len, message.body.bytes(self.buf))?;
        let (envelope, cost) = self.state.take(message, payload)?;
        self.costs.push_back((message.receiver, self.state.epoch, cost));
        self.events.push_back(LinkEvent::Message(Box::new(envelope)));
        Ok(())
    }

    fn reply(&mut self, corr: u64, raw_len: Option<u32>, body: &Body) -> Result<(), ClosedReason> {
        let payload = Body::Whole(self.state.unpack(raw_len, body.bytes(self.buf))?);
        self.events.push_back(LinkEvent::Reply { corr, payload });
        Ok(())
    }

    fn handle(&mut self, event: Event<'_>) -> Result<(), ClosedReason> {
        let state = &mut *self.state;
        let event = match event {
            Event::Receiver { uid, path, .. } => {
                state.receivers.push(Known { path: path.to_owned(), uid, outstanding: 0 });
                return Ok(());
            }
            Event::Sender { address, .. } => {
                state.senders.push(address.to_owned());
                return Ok(());
            }
            Event::Type { name, .. } => {
                state.types.push(name.to_owned());
                return Ok(());
            }
            Event::Reset => {
                state.receivers.clear();
                state.senders.clear();
                state.types.clear();
                state.epoch = state.epoch.wrapping_add(1);
                return Ok(());
            }
            Event::Message(message) => return self.message(&message),
            Event::Reply { corr, raw_len, body } => return self.reply(corr, raw_len, &body),
            Event::Refused(message) => {
                state.refuse(&message);
                return Ok(());
            }
            Event::RefusedRequest { corr } => {
                state.outbound.fail(corr, &Failure::new(Code::ResourceExhausted));
                return Ok(());
            }
            Event::Unsupported { corr, code } => {
                let detail = format!("operation {code}");
                state.outbound.fail(corr, &Failure::with_detail(Code::Unsupported, detail));
                return Ok(());
            }
            Event::Credit { receiver, epoch, bytes } => {
                state.outbound.handle_credit(receiver, epoch, bytes);
                return Ok(());
            }
            Event::Ping { nonce } => {
                state.outbound.pong(nonce);
                return Ok(());
            }
            Event::Pong { .. } => return Ok(()),
            Event::Close { code, text } => {
                return Err(ClosedReason::ByPeer { code, text: text.to_owned() });
            }
            Event::RefusedReply { corr } => {
                LinkEvent::Failed { corr, failure: Failure::new(Code::ResourceExhausted) }
            }
            Event::Fail { corr, failure } => LinkEvent::Failed { corr, failure },
            Event::Nack { count, failure, .. } => LinkEvent::Nack { count, failure },
            Event::Cancel { corr } => LinkEvent::Cancelled { corr },
            Event::Request { corr, operation, .. } => LinkEvent::Request { corr, operation },
            Event::Response { corr, outcome } => LinkEvent::Response { corr, outcome },
            Event::Terminated { watch_id, reason } => LinkEvent::Terminated { watch_id, reason },
            Event::GoAway { code, text } => LinkEvent::GoAway { code, text: text.to_owned() },
        };
        self.events.push_back(event);
        Ok(())
    }
}

impl Sink for Arrivals<'_> {
    fn event(&mut self, event: Event<'_>) {
        if self.state.closed.is_none()
            && let Err(reason) = self.handle(event)
        {
            self.state.closed = Some(reason);
        }
    }

    fn admit(&mut self, bytes: usize) -> bool {
        Budget(&mut self.state.budget).admit(bytes)
    }

    fn release(&mut self, bytes: usize) {
        Budget(&mut self.state.budget).release(bytes);
    }
}

/// Counts what may still be held.
pub(super) struct Budget<'a>(pub(super) &'a mut usize);

impl Sink for Budget<'_> {
    fn event(&mut self, _: Event<'_>) {}

    fn admit(&mut self, bytes: usize) -> bool {
        match self.0.checked_sub(bytes) {
            Some(left) => {
                *self.0 = left;
                true
            }
            None => false,
        }
    }

    fn release(&mut self, bytes: usize) {
        *self.0 = self.0.saturating_add(bytes);
    }
}
