//! The queue in front of an actor.
//!
//! - `run`: letters of one type whose type only their own functions know
//! - `letter`: a message from this process; `reply`: where its reply goes
//! - `arrivals`: messages from other nodes, as they come in together; `packed`: letters of this process that are as those
//! - `current`: what is known of the message at hand
//! - `work_batch`: what an actor has taken out and works through
//! - `queue`: the bounded queue itself
//! - `waiters`: those who wait for room in it
//!
//! Local messages arrive one by one and join the run of their type at the end of the queue, remote
//! ones come as a batch; the actor takes out many at a time, so that memory, a lock and a wake-up are
//! paid by the run or the batch.

pub(crate) mod arrivals;
pub(crate) mod current;
pub(crate) mod letter;
pub(crate) mod packed;
pub(crate) mod queue;
pub(crate) mod reply;
pub(crate) mod run;
mod waiters;
pub(crate) mod work_batch;

/// What a mailbox does with a message that finds it full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The sender waits; `try_tell` is refused. Peers' messages wait within their credit.
    ///
    /// A sender that is woken because there is room has it for 20 to 40 ms; if it is not polled by then,
    /// the room is for the next one, and it waits in front of the others once it is.
    #[default]
    Wait,
    /// The new message is refused.
    Refuse,
    /// The oldest queued message becomes a dead letter; if it was an `ask`, it is refused.
    DropOldest,
}

/// How much a mailbox holds, and what happens when it is full.
///
/// The bound counts messages that wait; the actor has at most as many again in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it has an effect only where it is given to an actor"]
pub struct Mailbox {
    pub(crate) capacity: u32,
    pub(crate) overflow: Overflow,
}

impl Mailbox {
    /// Messages that a mailbox holds unless told otherwise: 8192.
    pub const DEFAULT_CAPACITY: u32 = 8192;

    /// A mailbox of `capacity` messages (at least 1) that makes senders wait when it is full.
    pub const fn bounded(capacity: u32) -> Self {
        Self { capacity: if capacity == 0 { 1 } else { capacity }, overflow: Overflow::Wait }
    }

    /// A mailbox without a bound: a sender that outruns the actor uses up the memory of the process.
    pub const fn unbounded() -> Self {
        Self { capacity: u32::MAX, overflow: Overflow::Wait }
    }

    /// What to do with a message that finds the mailbox full. Default: [`Overflow::Wait`].
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::bounded(Self::DEFAULT_CAPACITY)
    }
}
