//! Tells on their way to a Go node: one connection after another, the requests in order.
//!
//! The receivers of an endpoint are spread over its lanes, so that what is told to one keeps its order.
//! A Go node takes the requests of one connection one by one; a lane does not wait for its answers
//! before it sends the next.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, Waker};

use rakt_wire::Wish;
use tokio::sync::Notify;

use super::endpoint::Endpoint;
use super::pipeline;
use super::place::Place;
use super::queue::{Known, Parcel, Queue};
use super::sender;
use crate::cell::AnyCell;
use crate::error::Refusal;
use crate::reference::{ActorRef, Target};
use crate::remote::answer::RemoteAnswer;
use crate::remote::outgoing::Outgoing;
use crate::slot::Slot;
use crate::sync::Lock;

/// Bytes that wait in a lane beyond which senders do. 1 MiB. One message may exceed it.
const HIGH_WATER: usize = 1024 * 1024;

pub(super) struct Lane {
    state: Mutex<State>,
    /// Told when there is something to do.
    pub(super) work: Notify,
}

#[derive(Default)]
struct State {
    stage: Stage,
    queue: Queue,
    /// Requests that were queued, and those whose end is known; the first come first.
    queued: u64,
    settled: u64,
    waiters: Vec<Waiter>,
    next_ticket: u64,
    /// The last sender that is an actor here, and its address as Go nodes read it. It is not held on to:
    /// nothing of a user's is dropped under the lock.
    sender: Option<(Weak<dyn AnyCell>, Arc<str>)>,
    /// Connections in a row that ended without an answer.
    brief: u32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Down,
    Dialing,
    Up,
}

/// A sender in line.
struct Waiter {
    ticket: u64,
    waker: Waker,
    need: Need,
}

/// What a sender waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A connection.
    Conn,
    /// Room in the queue.
    Room,
    /// The end of this request.
    Settled(u64),
    /// The end of the connection.
    Down,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), work: Notify::new() }
    }

    /// Takes a message to be told, or notes its sender in the line.
    pub(super) fn poll_tell(
        endpoint: &Arc<Endpoint>,
        receiver: &Arc<Known>,
        outgoing: &Outgoing<'_>,
        place: &mut Option<Box<Place>>,
        waker: Option<&Waker>,
    ) -> Poll<Result<Option<RemoteAnswer>, Refusal>> {
        let site = &endpoint.site;
        let lane = &endpoint.lanes[receiver.lane];
        let mut payload = place.as_mut().and_then(|place| place.payload.take());
        if payload.is_none() && !site.dialer.resources.compressors.is_small(outgoing.payload) {
            payload = Some(sender::encoded(outgoing.payload)?);
        }
        let mut state = lane.state.hold();
        let need = match state.stage {
            Stage::Up if site.dialer.is_closed() => return Poll::Ready(Err(Refusal::ShuttingDown)),
            Stage::Up if state.queue.len() >= HIGH_WATER => Some(Need::Room),
            Stage::Up => None,
            Stage::Dialing => Some(Need::Conn),
            Stage::Down => {
                site.may_dial()?;
                state.stage = Stage::Dialing;
                let driver = pipeline::run(endpoint.clone(), receiver.lane, state.brief);
                site.dialer.runtime.spawn(driver);
                Some(Need::Conn)
            }
        };
        if let Some(need) = need {
            let Some(waker) = waker else { return Poll::Ready(Err(need.refusal())) };
            let place = place.get_or_insert_default();
            place.payload = payload;
            state.wait(endpoint, receiver.lane, place, waker, need);
            return Poll::Pending;
        }
        let nobody = &endpoint.nobody;
        let sender =
            outgoing.sender.map_or_else(|| nobody.clone(), |sender| state.text_of(sender, nobody));
        let (slot, answer) = match outgoing.wish {
            Wish::Tell => (None, None),
            Wish::Confirm | Wish::Ask => {
                let (slot, answer) = Slot::new();
                (Some(slot), Some(RemoteAnswer::of_slot(answer)))
            }
        };
        let parcel = Parcel {
            receiver,
            sender: &sender,
            type_name: outgoing.type_name,
            headers: outgoing.metadata,
            slot,
        };
        let was_empty = state.queue.is_empty();
        let begins = match payload {
            Some(payload) => {
                if let Err(refusal) =
                    sender::check_len(&parcel, &payload, None, site.max_frame_len())
                {
                    return Poll::Ready(Err(refusal));
                }
                state.queue.push_large(parcel, payload);
                true
            }
            None => {
                let end = state.queue.end();
                if let Err(error) = outgoing.payload.encode(state.queue.arena()) {
                    state.queue.arena().truncate(end);
                    return Poll::Ready(Err(Refusal::Unencodable { detail: error.0 }));
                }
                let payload = state.queue.arena().get(end..).unwrap_or_default();
                if let Err(refusal) =
                    sender::check_len(&parcel, payload, None, site.max_frame_len())
                {
                    state.queue.arena().truncate(end);
                    return Poll::Ready(Err(refusal));
                }
                state.queue.push_small(parcel, site.max_frame_len())
            }
        };
        state.queued += u64::from(begins);
        receiver.last.store(state.queued, Ordering::Relaxed);
        drop(state);
        if was_empty {
            lane.work.notify_one();
        }
        Poll::Ready(Ok(answer))
    }

    /// Completes when all that was told to the receiver before the first call has come to its end.
    pub(super) fn poll_settled(
        endpoint: &Arc<Endpoint>,
        receiver: &Known,
        place: &mut Option<Box<Place>>,
        waker: &Waker,
    ) -> Poll<()> {
        let mut state = endpoint.lanes[receiver.lane].state.hold();
        let turn = place.as_ref().and_then(|place| place.turn);
        let turn = turn.unwrap_or_else(|| receiver.last.load(Ordering::Relaxed));
        if state.settled >= turn {
            return Poll::Ready(());
        }
        let place = place.get_or_insert_default();
        place.turn = Some(turn);
        state.wait(endpoint, receiver.lane, place, waker, Need::Settled(turn));
        Poll::Pending
    }

    /// Completes when there is no connection.
    pub(super) fn poll_down(
        endpoint: &Arc<Endpoint>,
        lane: usize,
        place: &mut Place,
        waker: &Waker,
    ) -> Poll<()> {
        let mut state = endpoint.lanes[lane].state.hold();
        if state.stage == Stage::Down {
            return Poll::Ready(());
        }
        state.wait(endpoint, lane, place, waker, Need::Down);
        Poll::Pending
    }

    /// A sender waits no longer.
    pub(super) fn leave(&self, ticket: u64) {
        self.state.hold().waiters.retain(|waiter| waiter.ticket != ticket);
    }

    /// For the driver: a connection is open.
    pub(super) fn up(&self) {
        let mut state = self.state.hold();
        state.stage = Stage::Up;
        let wakers = state.wake(|need| need == Need::Conn);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// For the driver: takes all that waits, in exchange for an empty queue.
    pub(super) fn take(&self, queue: &mut Queue) {
        let mut state = self.state.hold();
        std::mem::swap(&mut state.queue, queue);
        let wakers = state.wake(|need| need == Need::Room);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// For the driver: the next so many requests have come to their ends.
    pub(super) fn settle(&self, requests: u64) {
        let mut state = self.state.hold();
        state.settled += requests;
        let settled = state.settled;
        let wakers = state.wake(|need| matches!(need, Need::Settled(at) if at <= settled));
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// For the driver: there is no connection any more, unless something waits and `if_idle` says that
    /// then it should go on. Returns what waits.
    pub(super) fn down(&self, if_idle: bool, is_brief: bool) -> Option<Queue> {
        let mut state = self.state.hold();
        if if_idle && !state.queue.is_empty() {
            return None;
        }
        state.stage = Stage::Down;
        state.settled = state.queued;
        state.brief = if is_brief { state.brief + 1 } else { 0 };
        state.sender = None;
        let queue = std::mem::take(&mut state.queue);
        let wakers = state.wake(|_| true);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Some(queue)
    }
}

impl State {
    fn wait(
        &mut self,
        endpoint: &Arc<Endpoint>,
        lane: usize,
        place: &mut Place,
        waker: &Waker,
        need: Need,
    ) {
        if let Some((.., ticket)) = &place.ticket
            && let Some(known) = self.waiters.iter_mut().find(|waiter| waiter.ticket == *ticket)
        {
            known.waker.clone_from(waker);
            known.need = need;
            return;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.push(Waiter { ticket, waker: waker.clone(), need });
        // An older ticket was used up by waking.
        place.ticket = Some((endpoint.clone(), lane, ticket));
    }

    fn wake(&mut self, whom: impl Fn(Need) -> bool) -> Vec<Waker> {
        if self.waiters.is_empty() {
            return Vec::new();
        }
        let woken = self.waiters.extract_if(.., |waiter| whom(waiter.need));
        woken.map(|waiter| waiter.waker).collect()
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

impl Need {
    /// What a sender hears that does not want to wait.
    fn refusal(self) -> Refusal {
        match self {
            Self::Room => Refusal::ResourceExhausted {
                bound: "outbound buffer (bytes)".to_owned(),
                limit: HIGH_WATER as u64,
            },
            _ => Refusal::Unreachable { detail: "not connected yet".to_owned() },
        }
    }
}
