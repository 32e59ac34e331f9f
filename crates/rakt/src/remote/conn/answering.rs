//! The acceptor's half of a connection: answers, credit and cancelled requests.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use rakt_wire::native::Payload;
use rakt_wire::{Encode, Failure, Outcome};

use super::asking::not_sent;
use super::batch::Alias;
use super::{Conn, MAX_BUFFERED_REPLIES, Shared, touch};
use crate::error::Refusal;
use crate::events::StopReason;
use crate::mailbox::arrivals::ReplyTo;
use crate::remote::budget::Account;
use crate::remote::compressors::Prepared;
use crate::remote::watch;
use crate::sync::Lock;

/// Cancelled requests that are remembered; the oldest are forgotten first.
const MAX_CANCELLED: usize = 65_536;

impl Conn {
    /// Counts requests that came in; false if that makes too many of them.
    pub(crate) fn count_requests(&self, new: u32) -> bool {
        let mut shared = self.shared.hold();
        shared.in_flight += i64::from(new);
        // A peer that has given up on a request counts it no more, though its handler may be at it.
        let given_up = shared.cancelled.len() as i64;
        shared.in_flight - given_up <= i64::from(self.limits.max_in_flight)
    }

    /// Bytes of credit given back so far to a receiver of this epoch.
    pub(crate) fn granted(&self, from: Alias) -> u64 {
        let shared = self.shared.hold();
        if shared.granted_epoch != from.epoch {
            return 0;
        }
        let at = from.id as usize;
        let sum = |list: &Vec<u64>| list.get(at).copied().unwrap_or(0);
        sum(&shared.granted) + sum(&shared.owed)
    }

    pub(crate) fn handle_cancel(&self, corr: u64) {
        let mut shared = self.shared.hold();
        if shared.cancelled.insert(corr) {
            shared.cancelled_order.push_back(corr);
        }
        if shared.cancelled_order.len() > MAX_CANCELLED
            && let Some(oldest) = shared.cancelled_order.pop_front()
        {
            shared.cancelled.remove(&oldest);
        }
        // A large reply may be half out.
        shared.out.cancel(corr);
        self.any_cancelled.store(true, Ordering::Release);
        let wakers: Vec<_> =
            shared.cancel_wakers.extract_if(.., |(other, _)| *other == corr).collect();
        drop(shared);
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Answers a request about actors.
    pub(crate) fn respond(&self, corr: u64, result: Result<Outcome, Refusal>) {
        let mut shared = self.shared.hold();
        if shared.closed.is_none() {
            shared.settle(corr);
            match result {
                Ok(_) if !self.note_buffered(&mut shared) => {
                    shared.out.fail(corr, &buffered_replies().to_wire());
                }
                Ok(outcome) => shared.out.respond(corr, &outcome),
                Err(refusal) => {
                    let failure = self.failure(&mut shared, &refusal);
                    shared.out.fail(corr, &failure);
                }
            }
            touch(shared);
        }
    }

    /// How the peer is told of a refusal: without its text if there is no room for more of what the peer
    /// does not take. A few bytes of its make hundreds of ours else.
    fn failure(&self, shared: &mut Shared, refusal: &Refusal) -> Failure {
        let failure = refusal.to_wire();
        match self.note_buffered(shared) {
            true => failure,
            false => Failure { detail: String::new(), ..failure },
        }
    }

    pub(crate) fn terminated(&self, watch_id: u64, reason: &StopReason) {
        let reason = watch::to_wire(reason);
        self.write(|out| out.terminated(watch_id, &reason));
    }
}

fn buffered_replies() -> Refusal {
    let bound = "buffered replies (bytes)".to_owned();
    Refusal::ResourceExhausted { bound, limit: MAX_BUFFERED_REPLIES as u64 }
}

impl Shared {
    /// A request of the peer has been answered.
    fn settle(&mut self, corr: u64) {
        self.in_flight -= 1;
        if !self.cancelled.is_empty() {
            self.cancelled.remove(&corr);
        }
        if !self.cancel_wakers.is_empty() {
            self.cancel_wakers.retain(|(other, _)| *other != corr);
        }
    }
}

/// What becomes of messages that were taken in.
impl Conn {
    /// The confirmed tell `corr` is in the mailbox.
    pub(super) fn confirm(&self, corr: u64) {
        self.reply(corr, None, &[].as_slice());
    }

    /// A tell could not be delivered.
    pub(crate) fn nack(&self, from: Alias, sender: Option<u32>, type_id: u32, refusal: &Refusal) {
        let mut shared = self.shared.hold();
        if shared.closed.is_none() {
            let failure = self.failure(&mut shared, refusal);
            shared.out.nack(from.id, sender, type_id, from.epoch, &failure);
            touch(shared);
        }
    }

    /// `cost` bytes of credit are free again.
    pub(crate) fn consumed(&self, from: Alias, cost: u64) {
        self.release(cost);
        let mut shared = self.shared.hold();
        if shared.closed.is_some() || shared.granted_epoch > from.epoch {
            return;
        }
        if shared.granted_epoch < from.epoch {
            shared.granted_epoch = from.epoch;
            shared.granted.clear();
            shared.owed.clear();
        }
        let at = from.id as usize;
        if shared.owed.len() <= at {
            shared.owed.resize(at + 1, 0);
            shared.granted.resize(at + 1, 0);
        }
        shared.owed[at] += cost;
        // Credit goes back in quarters of a window: the sender never runs dry, and a lone message
        // does not cost a frame.
        if shared.owed[at] >= u64::from(self.limits.receiver_window / 4) {
            let owed = std::mem::take(&mut shared.owed[at]);
            shared.granted[at] += owed;
            shared.out.grant(from.id, from.epoch, owed);
            touch(shared);
        }
    }

    /// Undoes the compression of a payload of `raw_len` bytes.
    pub(super) fn decompress(&self, payload: &[u8], raw_len: u32) -> Result<Bytes, Refusal> {
        self.resources.compressors.decompress(self.compression, payload, raw_len)
    }
}

impl Account for Conn {
    fn release(&self, bytes: u64) {
        Self::release(self, bytes);
    }
}

impl ReplyTo for Conn {
    fn reply(&self, corr: u64, _: Option<&'static str>, payload: &dyn Encode) {
        let prepared = match self.resources.compressors.is_small(payload) {
            true => Ok(Payload::Encode(payload)),
            false => self
                .prepare(payload)
                .map(|Prepared { bytes, raw_len }| Payload::Ready { bytes, raw_len }),
        };
        let mut shared = self.shared.hold();
        if shared.closed.is_some() {
            return;
        }
        shared.settle(corr);
        let result = match prepared {
            _ if !self.note_buffered(&mut shared) => Err(buffered_replies()),
            Ok(payload) => shared.out.reply(corr, payload).map_err(not_sent),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = result {
            shared.out.fail(corr, &refusal.to_wire());
        }
        touch(shared);
    }

    fn refuse(&self, corr: u64, refusal: &Refusal) {
        let mut shared = self.shared.hold();
        if shared.closed.is_none() {
            shared.settle(corr);
            let failure = self.failure(&mut shared, refusal);
            shared.out.fail(corr, &failure);
            touch(shared);
        }
    }

    fn is_cancelled(&self, corr: u64) -> bool {
        if self.is_over() {
            return true;
        }
        self.any_cancelled.load(Ordering::Acquire) && self.shared.hold().cancelled.contains(&corr)
    }

    fn poll_cancelled(&self, corr: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared.hold();
        if shared.closed.is_some() || shared.cancelled.contains(&corr) {
            return Poll::Ready(());
        }
        let waker = cx.waker();
        if !shared
            .cancel_wakers
            .iter()
            .any(|(other, known)| *other == corr && known.will_wake(waker))
        {
            shared.cancel_wakers.push((corr, waker.clone()));
        }
        Poll::Pending
    }
}
