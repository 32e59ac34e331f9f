//! The side of a connection that accepted it: it takes messages and requests, and answers them.
//!
//! ```text
//!   bytes in ──► Arrivals ──► Host: messages by receiver, operations
//!                   │ refused, counted, cancelled
//!                   ▼
//!   reply, fail, nack, consumed ──► Accepting ──poll_transmit──► bytes out
//! ```
//!
//! [`Accepting`] is what actors share to answer, and its methods are quick; [`Arrivals`] reads what
//! arrives. Every rule of this side is in these two: numbers for names and their epochs, windows and
//! credit, requests in flight, cancelled requests, answers that the peer does not take, the end.
//!
//! | file | holds |
//! | --- | --- |
//! | `credit.rs` | credit that was given back; cancelled requests |
//! | `arrivals.rs` | what arrives, by receiver |

mod arrivals;
mod credit;

use std::fmt;

pub use self::arrivals::{Arrivals, Host, NamedReceiver, NamedSender, Names, Request};
use self::credit::{Cancelled, Credit};
use super::Role;
use super::error::{CloseCode, LinkError};
use super::hello::{Limits, Session};
use super::payload::{Payload, SendError};
use super::tables::Alias;
use super::transmit::Transmit;
use super::writer::{LARGE_HIGH_WATER, Side, Writer};
use crate::failure::{Bound, Code, Failure, Terminated};
use crate::operation::Outcome;

/// What a connection holds of answers and requests is noted in the host's budget once it is more than this
/// many bytes: a part of the few KiB that any connection may hold. 4 KiB.
pub const UNCOUNTED_REPLIES: usize = 4 * 1024;
/// What is noted is a multiple of this, so that it need not be noted with each answer. 16 KiB.
const STEP: usize = 16 * 1024;
/// What a request without an answer takes up in memory, in bytes.
const REQUEST_COST: usize = 256;
/// So many of them are not counted.
const FEW_REQUESTS: i64 = 8;
/// What it takes up in memory that a request was cancelled, in bytes.
const CANCELLED_COST: usize = 64;

/// Room for answers that a peer does not take, and for its requests that have none yet.
pub trait ReplyBudget {
    /// This connection holds `now` bytes where it held `before`. False if that is more than there is room
    /// for; it counts all the same.
    fn replace(&mut self, before: u64, now: u64) -> bool;

    /// How much all connections together may hold, in bytes.
    fn limit(&self) -> u64;
}

/// The accepting side of a connection.
pub struct Accepting<B> {
    writer: Writer,
    limits: Limits,
    /// Requests without an answer. Those of the read at hand are counted at its end, and some are
    /// answered by then.
    in_flight: i64,
    /// The last request came with others.
    has_company: bool,
    cancelled: Cancelled,
    /// The peer begins nothing new, and all that it has begun has arrived.
    is_peer_drained: bool,
    credit: Credit,
    budget: B,
    /// What the budget knows of, in bytes.
    noted: usize,
    /// Whether it had room for that.
    has_room: bool,
}

impl<B: ReplyBudget> Accepting<B> {
    /// The accepting side, after the handshake.
    pub fn new(session: &Session, budget: B) -> Self {
        let limits = session.limits;
        Self {
            writer: Writer::new(Role::Acceptor, limits),
            limits,
            in_flight: 0,
            has_company: false,
            cancelled: Cancelled::default(),
            is_peer_drained: false,
            credit: Credit::default(),
            budget,
            noted: 0,
            has_room: true,
        }
    }

    /// Requests without an answer.
    pub fn in_flight(&self) -> i64 {
        self.in_flight
    }

    /// Answers an ask, or a confirmed tell with nothing.
    ///
    /// # Errors
    /// What the asker is told instead.
    #[inline]
    pub fn reply(&mut self, corr: u64, payload: Payload<'_>) -> Result<(), ReplyError> {
        if self.writer.is_closed() {
            return Ok(());
        }
        self.settle(corr);
        let result = match self.has_room() {
            true => self.writer.out.reply(corr, payload).map_err(ReplyError::Payload),
            false => Err(ReplyError::NoRoom { limit: self.budget.limit() }),
        };
        if let Err(error) = &result {
            self.writer.out.fail(corr, &error.failure());
        }
        result
    }

    /// Answers an operation.
    pub fn respond(&mut self, corr: u64, outcome: &Outcome) {
        if self.writer.is_closed() {
            return;
        }
        self.settle(corr);
        match self.has_room() {
            true => self.writer.out.respond(corr, outcome),
            false => {
                let error = ReplyError::NoRoom { limit: self.budget.limit() };
                self.writer.out.fail(corr, &error.failure());
            }
        }
    }

    /// Turns a request down.
    pub fn fail(&mut self, corr: u64, failure: &Failure) {
        if !self.writer.is_closed() {
            self.settle(corr);
            let failure = self.shortened(failure);
            self.writer.out.fail(corr, &failure);
        }
    }

    /// Turns a tell down.
    pub fn nack(&mut self, from: Alias, sender: Option<u32>, type_id: u32, failure: &Failure) {
        if !self.writer.is_closed() {
            let failure = self.shortened(failure);
            self.writer.out.nack(from.id, sender, type_id, from.epoch, &failure);
        }
    }

    /// Tells a watcher how the actor ended.
    pub fn terminated(&mut self, watch_id: u64, reason: &Terminated) {
        if !self.writer.is_closed() {
            self.writer.out.terminated(watch_id, reason);
        }
    }

    /// A message that cost the peer so much of its credit is gone. Says whether there is something to
    /// write.
    #[inline]
    pub fn consumed(&mut self, from: Alias, cost: u64) -> bool {
        if self.writer.is_closed() {
            return false;
        }
        let quarter = u64::from(self.limits.receiver_window / 4);
        let Some(bytes) = self.credit.consumed(from, cost, quarter) else { return false };
        self.writer.out.grant(from.id, from.epoch, bytes);
        true
    }

    /// Whether the peer has given up on a request that has no answer yet, or is gone.
    pub fn is_cancelled(&self, corr: u64) -> bool {
        self.writer.is_closed() || self.cancelled.contains(corr)
    }

    /// So much is held for the peer that it must read, or its requests must be answered, before it may send
    /// more. That is much of its own, or some where the host has no room for more of any peer: refusals are
    /// given to whoever sends, and take up memory as replies do.
    ///
    /// Only this side may wait like that. What a dialer reads makes it write nothing, and were it to wait
    /// as well, both could wait for ever.
    #[inline]
    pub fn is_backed_up(&mut self) -> bool {
        let is_little = self.noted == 0 && self.has_few_requests();
        if is_little && self.writer.buffered() <= UNCOUNTED_REPLIES {
            return false;
        }
        let has_room = self.has_room();
        self.writer.buffered() > LARGE_HIGH_WATER || (!has_room && self.held() > UNCOUNTED_REPLIES)
    }

    /// The connection has ended.
    pub fn close(&mut self) {
        self.writer.close(Role::Acceptor, self.limits);
        self.credit = Credit::default();
        self.cancelled = Cancelled::default();
        self.budget.replace(std::mem::take(&mut self.noted) as u64, 0);
    }

    /// The peer has given up on a request. `new` ones of the read at hand are not counted yet. False if none
    /// can be meant: it had its answer.
    fn handle_cancel(&mut self, corr: u64, new: u32) -> bool {
        let open = self.in_flight.saturating_add(i64::from(new));
        self.cancelled.insert(corr, usize::try_from(open).unwrap_or(0));
        // A large reply may be half out.
        self.writer.out.cancel(corr);
        self.cancelled.contains(corr)
    }

    /// Counts requests that came in.
    fn count_requests(&mut self, new: u32) -> Result<(), LinkError> {
        self.in_flight = self.in_flight.saturating_add(i64::from(new));
        if new > 0 {
            self.has_company = new > 1;
        }
        // A peer that has given up on a request counts it no more, though its handler may be at it.
        let given_up = self.cancelled.len() as i64;
        if self.in_flight == 0 {
            // Those that crossed with their answers.
            self.cancelled.clear();
        }
        let limit = self.limits.max_in_flight;
        if self.in_flight.saturating_sub(given_up) > i64::from(limit) {
            return Err(LinkError::InFlight { limit });
        }
        Ok(())
    }

    /// Whether all that the peer will ever ask for has its answer, but for what it has given up on.
    fn is_done(&self) -> bool {
        let given_up = i64::try_from(self.cancelled.len()).unwrap_or(i64::MAX);
        self.is_peer_drained && self.in_flight <= given_up
    }

    /// A request has its answer.
    #[inline]
    fn settle(&mut self, corr: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.cancelled.remove(corr);
    }

    /// Notes how much is held, where that is much; false if there is no room for more.
    #[inline]
    fn has_room(&mut self) -> bool {
        let held = self.held();
        let is_noted = match self.noted {
            0 => held <= UNCOUNTED_REPLIES,
            noted => held <= noted && held.saturating_add(STEP.saturating_mul(2)) > noted,
        };
        (is_noted && self.has_room) || self.note(held)
    }

    /// Whether what requests take up is not worth counting.
    #[inline]
    fn has_few_requests(&self) -> bool {
        self.in_flight <= FEW_REQUESTS && self.cancelled.is_empty()
    }

    /// What the answers and requests of the peer take up in memory, in bytes.
    fn held(&self) -> usize {
        if self.has_few_requests() {
            return self.writer.buffered();
        }
        let requests = usize::try_from(self.in_flight).unwrap_or(0).saturating_mul(REQUEST_COST);
        let cancelled = self.cancelled.len().saturating_mul(CANCELLED_COST);
        self.writer.buffered().saturating_add(requests).saturating_add(cancelled)
    }

    fn note(&mut self, held: usize) -> bool {
        let now = match held <= UNCOUNTED_REPLIES {
            true => 0,
            false => held.next_multiple_of(STEP),
        };
        let before = std::mem::replace(&mut self.noted, now);
        self.has_room = self.budget.replace(before as u64, now as u64);
        self.has_room
    }

    /// A failure without its text if there is no room for more of what the peer does not take. A few bytes
    /// of its make hundreds of ours else.
    fn shortened(&mut self, failure: &Failure) -> Failure {
        match self.has_room() {
            true => failure.clone(),
            false => Failure { detail: String::new(), ..*failure },
        }
    }
}

/// Why a reply was not sent. The asker is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Peers do not take the answers that they have asked for.
    #[error("buffered replies (bytes) are used up, the limit is {limit}")]
    NoRoom {
        /// How much may be held for all peers, in bytes.
        limit: u64,
    },
    /// The reply cannot be sent.
    #[error("the reply cannot be sent")]
    Payload(#[source] SendError),
}

impl ReplyError {
    /// What the asker is told.
    fn failure(&self) -> Failure {
        match self {
            Self::NoRoom { limit } => Failure::exhausted(&Bound::BufferedReplies, *limit),
            Self::Payload(SendError::TooLarge { size, limit }) => Failure::too_large(*size, *limit),
            Self::Payload(SendError::Encode(error)) => {
                Failure::with_cause(Code::Unencodable, error)
            }
            Self::Payload(other) => Failure::with_cause(Code::Internal, other),
        }
    }
}

impl<B: ReplyBudget> Side for Accepting<B> {
    fn writer(&self) -> &Writer {
        &self.writer
    }

    fn writer_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }

    fn poll_transmit(&mut self, out: &mut impl Transmit) {
        self.writer.poll_transmit(out);
    }

    fn ending(&self) -> Option<(CloseCode, &str)> {
        self.writer.ending(|| self.is_done())
    }

    #[inline]
    fn is_at_rest(&mut self) -> bool {
        self.writer.is_at_rest() && self.noted == 0 && self.has_few_requests()
    }

    #[inline]
    fn is_lone(&self) -> bool {
        self.in_flight == 0 && !self.has_company && self.writer.is_little()
    }

    fn expects_more(&self) -> bool {
        self.in_flight > 0 && self.writer.is_small()
    }
}

impl<B> fmt::Debug for Accepting<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepting")
            .field("writer", &self.writer)
            .field("in_flight", &self.in_flight)
            .field("cancelled", &self.cancelled.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Compression;
    use crate::native::hello::Hello;

    const LIMIT: u64 = 1 << 30;

    /// What is noted, of as much as fits.
    struct Noted(u64);

    impl ReplyBudget for Noted {
        fn replace(&mut self, before: u64, now: u64) -> bool {
            self.0 = self.0 - before + now;
            self.0 <= LIMIT
        }

        fn limit(&self) -> u64 {
            LIMIT
        }
    }

    fn accepting() -> Accepting<Noted> {
        let peer = Hello::new("peer", [1; 16]);
        let (limits, compression) = (Limits::default(), Compression::None);
        let session = Session { version: 1, limits, compression, features: Vec::new(), peer };
        Accepting::new(&session, Noted(0))
    }

    fn reply(accepting: &mut Accepting<Noted>) -> Result<(), ReplyError> {
        accepting.reply(1, Payload::Encode(&[].as_slice()))
    }

    #[test]
    fn replies_that_a_peer_does_not_take_are_bounded() {
        let mut accepting = accepting();
        accepting.writer.set_writing(LIMIT as usize);
        assert_eq!(reply(&mut accepting), Ok(()));
        accepting.poll_transmit(&mut Vec::new());
        accepting.writer.set_writing(LIMIT as usize + 1);
        let refused = reply(&mut accepting).expect_err("there is no room");
        assert_eq!(refused, ReplyError::NoRoom { limit: LIMIT });
        let refusal = refused.failure();
        assert_eq!((refusal.code, refusal.limit), (Code::ResourceExhausted, LIMIT));
    }

    #[test]
    fn what_is_held_is_noted_in_steps_and_given_back() {
        let mut accepting = accepting();
        let mut held = |bytes| {
            accepting.writer.set_writing(bytes);
            assert!(accepting.has_room());
            accepting.budget.0 as usize
        };
        assert_eq!(held(UNCOUNTED_REPLIES), 0);
        assert_eq!(held(UNCOUNTED_REPLIES + 1), STEP);
        assert_eq!(held(STEP), STEP);
        assert_eq!(held(STEP + 1), 2 * STEP);
        assert_eq!(held(1), 2 * STEP, "it is likely to come back");
        assert_eq!(held(10 * STEP), 10 * STEP);
        assert_eq!(held(8 * STEP), STEP * 8);
        assert_eq!(held(0), 0);
    }

    #[test]
    fn requests_without_an_answer_and_cancelled_ones_are_noted() {
        let mut accepting = accepting();
        accepting.count_requests(1000).expect("they are few enough");
        accepting.is_backed_up();
        assert!(accepting.budget.0 as usize >= 1000 * REQUEST_COST);
        let before = accepting.budget.0 as usize;
        (0..1000).for_each(|corr| assert!(accepting.handle_cancel(corr, 0)));
        accepting.is_backed_up();
        assert!(accepting.budget.0 as usize >= before + 1000 * CANCELLED_COST - STEP);
        accepting.close();
        assert_eq!(accepting.budget.0, 0);
    }

    #[test]
    fn an_acceptor_leaves_once_the_peer_has_sent_its_last_and_all_is_answered() {
        let mut accepting = accepting();
        accepting.count_requests(3).expect("they are few enough");
        accepting.writer.leave(CloseCode::ShuttingDown, "bye");
        reply(&mut accepting).expect("there is room");
        assert_eq!(accepting.ending(), None, "the peer may have sent more");
        accepting.is_peer_drained = true;
        assert_eq!(accepting.ending(), None, "two have no answer");
        reply(&mut accepting).expect("there is room");
        assert_eq!(accepting.ending(), None, "one has no answer");
        accepting.handle_cancel(2, 0);
        assert_eq!(accepting.ending(), Some((CloseCode::ShuttingDown, "bye")));
        let mut other = Accepting { in_flight: 1, ..self::accepting() };
        other.writer.leave(CloseCode::ShuttingDown, "bye");
        other.writer.finish(CloseCode::Internal, "not this");
        assert_eq!(other.ending(), Some((CloseCode::ShuttingDown, "bye")), "time is up");
    }

    #[test]
    fn nothing_is_read_while_much_is_not_taken() {
        let mut accepting = accepting();
        accepting.writer.set_writing(LARGE_HIGH_WATER);
        assert!(!accepting.is_backed_up());
        accepting.writer.set_writing(LARGE_HIGH_WATER + 1);
        assert!(accepting.is_backed_up());
    }

    #[test]
    fn the_oldest_of_too_many_cancelled_requests_is_forgotten() {
        let mut accepting = accepting();
        let most = 65_536;
        // As many again may be open, once the first are given up on.
        accepting.in_flight = 2 * 65_536;
        (0..most).for_each(|corr| assert!(accepting.handle_cancel(corr, 0)));
        assert!(accepting.is_cancelled(0));
        accepting.handle_cancel(most, 0);
        assert!(!accepting.is_cancelled(0) && accepting.is_cancelled(1));
        assert!(accepting.is_cancelled(most));
        assert_eq!(accepting.cancelled.len(), 65_536);
    }

    #[test]
    fn requests_that_the_peer_gave_up_on_do_not_count() {
        let mut accepting = accepting();
        accepting.limits.max_in_flight = 2;
        assert_eq!(accepting.count_requests(2), Ok(()));
        accepting.handle_cancel(1, 0);
        assert_eq!(accepting.count_requests(1), Ok(()));
        assert_eq!(accepting.count_requests(1), Err(LinkError::InFlight { limit: 2 }));
    }

    #[test]
    fn giving_up_on_what_is_not_open_makes_no_room() {
        let mut accepting = accepting();
        accepting.limits.max_in_flight = 2;
        (100..200).for_each(|corr| assert!(!accepting.handle_cancel(corr, 0)));
        assert_eq!(accepting.cancelled.len(), 0);
        assert_eq!(accepting.count_requests(3), Err(LinkError::InFlight { limit: 2 }));
        // What came with its cancellation in one read is open as well.
        accepting.handle_cancel(7, 1);
        assert!(accepting.is_cancelled(7));
    }
}
