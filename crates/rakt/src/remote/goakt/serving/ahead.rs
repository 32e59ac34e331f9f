//! What a peer has sent behind requests that wait for their answers.
//!
//! A stream tells that its peer has gone only behind all that the peer has sent, and until then a connection
//! that is held back keeps its place, its tasks and what it waits for. So after a moment more is read than is
//! handled, so much at most. It lies apart from what is being handled, whose memory messages keep that wait in
//! mailboxes. Where the node has no room for it and gets none for a while, nobody can tell whether the peer is still
//! there, and the connection is to end: what gone peers left would fill the node until the last of their asks is over.

use std::time::{Duration, Instant};

use bytes::buf::Limit;
use bytes::{BufMut, BytesMut};

use crate::error::Refusal;
use crate::remote::account::Account;
use crate::remote::budget::Part;
use crate::remote::io::spare::READ_LEN;

/// How long a connection is held back before that, and between two looks for room.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long there may be no room for that.
const LIMIT: Duration = Duration::from_secs(5);
/// Most bytes that are read: as many as the systems of both sides keep between them as a rule, of which that of the sender
/// has up to 4 MiB. 8 MiB.
const MAX_LEN: usize = 8 * 1024 * 1024;
/// By how much the room for them grows.
const STEP: usize = 4 * READ_LEN;

/// Bytes that are read and not looked at yet.
#[derive(Default)]
pub(super) struct Ahead {
    bytes: Vec<u8>,
    /// How many of them have been handed on.
    taken: usize,
    /// What of it counts against the node's budget.
    held: u64,
    /// When it is time to read ahead, while the connection is held back.
    at: Option<Instant>,
    is_due: bool,
    /// Since when the node has no room for it.
    denied_since: Option<Instant>,
    /// It had none for too long.
    is_refused: bool,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The connection reads what it handles.
    pub(super) fn go_on(&mut self) {
        (self.at, self.is_due, self.denied_since) = (None, false, None);
    }

    /// Why the connection is to end, if it is.
    pub(super) fn refusal(&self, account: &Account) -> Option<Refusal> {
        self.is_refused.then(|| account.exhausted(Part::Messages))
    }

    /// Room for the next read of a connection that is held back, where it is time and there is any.
    pub(super) fn room(&mut self, account: &Account, now: Instant) -> Option<Limit<&mut Vec<u8>>> {
        self.at.get_or_insert_with(|| now + PATIENCE);
        if !self.is_due || self.bytes.len() + READ_LEN > MAX_LEN {
            return None;
        }
        if self.bytes.capacity() - self.bytes.len() < READ_LEN {
            let grown = self.bytes.len() + STEP;
            if !account.hold(Part::Messages, &mut self.held, grown as u64) {
                let since = *self.denied_since.get_or_insert(now);
                self.is_refused = now >= since + LIMIT;
                (self.at, self.is_due) = (Some(now + PATIENCE), false);
                return None;
            }
            self.denied_since = None;
            self.bytes.reserve_exact(STEP);
        }
        Some((&mut self.bytes).limit(READ_LEN))
    }

    /// Moves the next bytes behind what is unread, and says how many.
    pub(super) fn take(&mut self, unread: &mut BytesMut, account: &Account) -> usize {
        let left = &self.bytes[self.taken..];
        let len = left.len().min(READ_LEN);
        unread.extend_from_slice(&left[..len]);
        self.taken += len;
        if self.taken == self.bytes.len() {
            self.release(account);
        }
        len
    }

    /// Nothing is left.
    pub(super) fn release(&mut self, account: &Account) {
        (self.bytes, self.taken) = (Vec::new(), 0);
        account.release(Part::Messages, std::mem::take(&mut self.held));
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.at.filter(|_| !self.is_due)
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.is_due = self.at.is_some_and(|at| now >= at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Bound;
    use crate::remote::resources::tests::resources;

    #[test]
    fn it_reads_after_a_moment_up_to_a_bound_and_hands_on_all_of_it_in_order() {
        let resources = resources();
        let account = Account::new(resources.clone());
        let (mut ahead, now) = (Ahead::default(), Instant::now());
        assert!(ahead.room(&account, now).is_none(), "not at once");
        assert_eq!(ahead.poll_timeout(), Some(now + PATIENCE));
        ahead.handle_timeout(now + PATIENCE);
        assert_eq!(ahead.poll_timeout(), None);
        let mut read = 0;
        while let Some(mut room) = ahead.room(&account, now) {
            assert_eq!(room.remaining_mut(), READ_LEN);
            room.put_slice(&[read as u8; READ_LEN]);
            read += 1;
        }
        assert_eq!(read, MAX_LEN / READ_LEN);
        assert_eq!(resources.budget.used(Part::Messages), ahead.bytes.capacity() as u64);
        let mut unread = BytesMut::new();
        for n in 0..read {
            assert_eq!(ahead.take(&mut unread, &account), READ_LEN);
            assert!(unread.iter().all(|byte| *byte == n as u8));
            unread.clear();
        }
        assert!(ahead.is_empty() && resources.budget.used(Part::Messages) == 0);
    }

    #[test]
    fn it_reads_nothing_without_room_in_the_node_and_looks_again() {
        let resources = resources();
        let (account, now) = (Account::new(resources.clone()), Instant::now());
        let mut ahead = Ahead::default();
        assert!(ahead.room(&account, now).is_none());
        ahead.handle_timeout(now + PATIENCE);
        let others = resources.budget.crowd(Part::Messages, 0);
        assert!(ahead.room(&account, now + PATIENCE).is_none());
        resources.budget.disperse(&others);
        assert_eq!(ahead.poll_timeout(), Some(now + 2 * PATIENCE));
        ahead.handle_timeout(now + 2 * PATIENCE);
        assert!(ahead.room(&account, now + 2 * PATIENCE).is_some());
        ahead.release(&account);
        assert_eq!(resources.budget.used(Part::Messages), 0);
    }

    #[test]
    fn without_room_for_too_long_the_connection_is_to_end() {
        let resources = resources();
        let (account, start) = (Account::new(resources.clone()), Instant::now());
        let others = resources.budget.crowd(Part::Messages, 0);
        let mut ahead = Ahead::default();
        let mut now = start;
        let refusal = loop {
            assert!(ahead.room(&account, now).is_none());
            if let Some(refusal) = ahead.refusal(&account) {
                break refusal;
            }
            now = ahead.poll_timeout().expect("it looks again");
            ahead.handle_timeout(now);
        };
        assert_eq!(now - start, PATIENCE + LIMIT);
        let limit = account.limit(Part::Messages);
        assert_eq!(refusal, Refusal::ResourceExhausted { bound: Bound::MessageMemory, limit });
        resources.budget.disperse(&others);
    }
}
