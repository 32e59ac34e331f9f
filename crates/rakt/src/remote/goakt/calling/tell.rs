//! Tells: they go into an outbox, whose connection is dialed when it is first needed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use rakt_wire::Wish;

use super::endpoint::Endpoint;
use super::outbox::{HIGH_WATER, Need, Shared, Stage};
use super::pipeline;
use super::queue::{ReceiverEntry, Tell};
use super::send_state::SendState;
use super::sender;
use crate::answer::RemoteAnswer;
use crate::error::Refusal;
use crate::reference::{ActorRef, Outgoing, Target};
use crate::slot::Slot;

/// Takes a message to be told, or notes its sender in the line.
pub(super) fn poll_tell(
    endpoint: &Arc<Endpoint>,
    receiver: &Arc<ReceiverEntry>,
    outgoing: &Outgoing<'_>,
    state: &mut Option<Box<SendState>>,
    waker: Option<&Waker>,
) -> Poll<Result<Option<RemoteAnswer>, Refusal>> {
    let (node, outbox) = (&endpoint.node, endpoint.outbox(receiver));
    let mut payload = state.as_mut().and_then(|state| state.payload.take());
    let compressors = &node.dialer.resources.compressors;
    if payload.is_none() && !compressors.is_small(outgoing.payload) {
        payload = Some(sender::encoded(outgoing.payload)?);
    }
    let mut shared = outbox.lock();
    if let Some(need) = need(endpoint, receiver, &mut shared)? {
        let Some(waker) = waker else { return Poll::Ready(Err(need.refusal(&endpoint.node))) };
        let state = state.get_or_insert_default();
        state.payload = payload;
        state.ticket.wait(outbox, &mut shared.line, waker, need);
        return Poll::Pending;
    }
    let nobody = &endpoint.nobody;
    let sender =
        outgoing.sender.map_or_else(|| nobody.clone(), |sender| shared.text_of(sender, nobody));
    let (slot, answer) = match outgoing.wish {
        Wish::Tell => (None, None),
        Wish::Confirm | Wish::Ask => {
            let (slot, answer) = Slot::new();
            (Some(slot), Some(RemoteAnswer::of_slot(answer)))
        }
    };
    let tell = Tell {
        receiver,
        sender: &sender,
        type_name: outgoing.type_name,
        headers: outgoing.metadata,
        slot,
    };
    let was_empty = shared.queue.is_empty();
    let begins = shared.push(tell, outgoing, payload, node.max_frame_len())?;
    shared.queued += u64::from(begins);
    receiver.last.store(shared.queued, Ordering::Relaxed);
    let driver = if was_empty { shared.take_driver() } else { None };
    drop(shared);
    driver.into_iter().for_each(Waker::wake);
    Poll::Ready(Ok(answer))
}

/// What a message has to wait for, if anything. Has a connection dialed where there is none.
fn need(
    endpoint: &Arc<Endpoint>,
    receiver: &ReceiverEntry,
    shared: &mut Shared,
) -> Result<Option<Need>, Refusal> {
    let dialer = &endpoint.node.dialer;
    match shared.stage {
        Stage::Up if dialer.is_closed() => Err(Refusal::Closed),
        Stage::Up if shared.queue.len() >= HIGH_WATER => Ok(Some(Need::Room)),
        Stage::Up => Ok(None),
        Stage::Dialing => Ok(Some(Need::Conn)),
        Stage::Down => {
            endpoint.node.may_dial()?;
            shared.stage = Stage::Dialing;
            let driver = pipeline::run(endpoint.clone(), receiver.outbox, shared.brief);
            dialer.runtime.spawn(driver);
            Ok(Some(Need::Conn))
        }
    }
}

impl Shared {
    /// Queues a message, encoded where it lies unless it has a payload of its own. True if it begins a
    /// request.
    fn push(
        &mut self,
        tell: Tell<'_>,
        outgoing: &Outgoing<'_>,
        payload: Option<Vec<u8>>,
        max_frame_len: usize,
    ) -> Result<bool, Refusal> {
        if let Some(payload) = payload {
            sender::check_len(&tell, &payload, None, max_frame_len)?;
            self.queue.push_large(tell, payload);
            return Ok(true);
        }
        let end = self.queue.end();
        let encoded = outgoing.payload.encode(self.queue.arena());
        let encoded = encoded.map_err(|error| Refusal::Unencodable { source: error.into_cause() });
        let checked = encoded.and_then(|()| {
            let payload = self.queue.arena().get(end..).unwrap_or_default();
            sender::check_len(&tell, payload, None, max_frame_len)
        });
        if let Err(refusal) = checked {
            self.queue.arena().truncate(end);
            return Err(refusal);
        }
        Ok(self.queue.push_small(tell, max_frame_len))
    }

    fn text_of(&mut self, sender: &ActorRef, nobody: &Arc<str>) -> Arc<str> {
        let Target::Local(cell) = sender.target() else {
            return sender::address_of(sender, nobody);
        };
        match &self.sender {
            Some((known, text)) if std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(cell)) => {
                text.clone()
            }
            _ => {
                let text = sender::address_of(sender, nobody);
                self.sender = Some((Arc::downgrade(cell), text.clone()));
                text
            }
        }
    }
}
