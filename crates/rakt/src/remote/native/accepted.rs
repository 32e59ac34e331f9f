//! The side of a connection that accepted it: answers, credit and cancelled requests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use rakt_wire::native::{Accepting, Alias, Payload, ReplyBudget, Role, Session, Side};
use rakt_wire::{Encode, Outcome};

use super::block::Cost;
use super::conn::{Conn, Half, Leftover, State, touch};
use super::watches::to_wire;
use crate::error::Refusal;
use crate::events::StopReason;
use crate::mailbox::reply::ReplyTo;
use crate::remote::account::Account;
use crate::remote::budget::Part;
use crate::remote::cancel_wakers::CancelWakers;
use crate::remote::compressors::Prepared;
#[cfg(feature = "_tls")]
use crate::remote::tls::Guarded;
use crate::sync::MutexGuard;

/// A session and the handlers that want to hear of cancellations.
pub(crate) struct Accepted {
    session: Accepting<Replies>,
    cancel_wakers: CancelWakers,
}

/// The connection's account, for replies.
pub(crate) struct Replies(Arc<Account>);

impl ReplyBudget for Replies {
    fn replace(&mut self, before: u64, now: u64) -> bool {
        self.0.replace(Part::Replies, before, now)
    }

    fn limit(&self) -> u64 {
        self.0.limit(Part::Replies)
    }
}

impl Accepted {
    pub(crate) fn new(session: &Session, account: Arc<Account>) -> Self {
        let session = Accepting::new(session, Replies(account));
        Self { session, cancel_wakers: CancelWakers::default() }
    }

    /// A request has its answer: nobody is to hear of its cancellation.
    fn settle(&mut self, corr: u64) {
        drop(self.cancel_wakers.take(corr));
    }
}

impl Half for Accepted {
    const ROLE: Role = Role::Acceptor;
    type Session = Accepting<Replies>;

    fn session(&mut self) -> &mut Self::Session {
        &mut self.session
    }

    fn is_backed_up(&mut self) -> bool {
        self.session.is_backed_up()
    }

    #[inline]
    fn is_at_rest(&mut self) -> bool {
        self.session.is_at_rest()
    }

    fn close(&mut self) -> Leftover {
        self.session.close();
        Leftover { wakers: self.cancel_wakers.take_all().collect(), ..Leftover::default() }
    }
}

impl Conn<Accepted> {
    /// The peer has given up on a request, and the session knows.
    pub(super) fn cancelled(&self, corr: u64) {
        self.any_cancelled.store(true, Ordering::Release);
        let mut state = self.lock();
        let wakers = state.half.cancel_wakers.take(corr);
        drop(state);
        wakers.for_each(Waker::wake);
    }

    /// Answers a request about actors.
    pub(crate) fn respond(&self, corr: u64, result: Result<Outcome, Refusal>) {
        match result {
            Ok(outcome) => self.with(|session| session.respond(corr, &outcome)),
            Err(refusal) => self.refuse(corr, &refusal),
        }
    }

    /// The receiver's mailbox has a message, and is locked: the driver writes that.
    pub(super) fn confirm(&self, corr: u64) {
        touch(self.answered(corr, Payload::Encode(&[].as_slice())));
    }

    /// Adds an answer to what is to be written.
    #[inline]
    fn answered(&self, corr: u64, payload: Payload<'_>) -> MutexGuard<'_, State<Accepted>> {
        let mut state = self.lock();
        state.half.settle(corr);
        if let Err(error) = state.half.session.reply(corr, payload) {
            tracing::debug!(peer = %self.peer.name, %error, "a reply was not sent");
        }
        state
    }

    pub(super) fn nack(&self, from: Alias, sender: Option<u32>, type_id: u32, refusal: &Refusal) {
        let failure = refusal.to_wire();
        self.with(|session| session.nack(from, sender, type_id, &failure));
    }

    pub(crate) fn terminated(&self, watch_id: u64, reason: &StopReason) {
        let reason = to_wire(reason);
        self.with(|session| session.terminated(watch_id, &reason));
    }

    /// What a receiver's messages took of the peer's credit and of the node's budget is free again.
    pub(super) fn consumed(&self, from: Alias, cost: Cost) {
        self.account.release(Part::Messages, cost.charge);
        let mut state = self.lock();
        if state.half.session.consumed(from, cost.credit) {
            touch(state);
        }
    }
}

#[cfg(feature = "_tls")]
impl Guarded for Conn<Accepted> {
    fn forbid(&self, why: &str) {
        Self::forbid(self, why);
    }

    /// Whoever dialed it sees to that.
    fn retire(&self, _: &str) {}
}

impl ReplyTo for Conn<Accepted> {
    fn reply(&self, corr: u64, _: Option<&'static str>, payload: &dyn Encode) {
        let prepared = match self.resources.compressors.is_small(payload) {
            true => Ok(Payload::Encode(payload)),
            false => self
                .prepare(payload)
                .map(|Prepared { bytes, raw_len }| Payload::Ready { bytes, raw_len }),
        };
        let payload = match prepared {
            Ok(payload) => payload,
            Err(refusal) => return self.refuse(corr, &refusal),
        };
        let mut state = self.answered(corr, payload);
        if !state.is_lone() {
            return touch(state);
        }
        drop(state);
        self.write_now();
    }

    fn refuse(&self, corr: u64, refusal: &Refusal) {
        let failure = refusal.to_wire();
        let mut state = self.lock();
        state.half.settle(corr);
        state.half.session.fail(corr, &failure);
        touch(state);
    }

    fn is_cancelled(&self, corr: u64) -> bool {
        if self.is_over() {
            return true;
        }
        self.any_cancelled.load(Ordering::Acquire) && self.lock().half.session.is_cancelled(corr)
    }

    fn poll_cancelled(&self, corr: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.half.session.is_cancelled(corr) {
            return Poll::Ready(());
        }
        state.half.cancel_wakers.add(corr, cx.waker());
        Poll::Pending
    }
}
