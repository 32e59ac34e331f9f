//! Where a sender stands while its message cannot be taken.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use super::lease::Lease;
use super::outbox::{Need, Outbox};
use super::queue::ReceiverEntry;
use crate::error::Refusal;
use crate::remote::ticket::Ticket;

/// A connection to be.
pub(super) type Leasing = Pin<Box<dyn Future<Output = Result<Lease, Refusal>> + Send>>;

/// Where a sender stands in line, its payload if that was encoded already, and the connection it waits
/// for.
#[derive(Default)]
pub(crate) struct SendState {
    pub(super) ticket: Ticket<Outbox>,
    /// The request whose end comes first.
    turn: Option<u64>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) leasing: Option<Leasing>,
}

/// Completes when all that was told to the receiver before the first call has come to its end.
pub(super) fn poll_settled(
    outbox: &Arc<Outbox>,
    receiver: &ReceiverEntry,
    state: &mut Option<Box<SendState>>,
    waker: &Waker,
) -> Poll<()> {
    let mut shared = outbox.lock();
    let turn = state.as_ref().and_then(|state| state.turn);
    let turn = turn.unwrap_or_else(|| receiver.last.load(Ordering::Relaxed));
    if shared.settled >= turn {
        return Poll::Ready(());
    }
    let state = state.get_or_insert_default();
    state.turn = Some(turn);
    state.ticket.wait(outbox, &mut shared.line, waker, Need::Settled(turn));
    Poll::Pending
}
