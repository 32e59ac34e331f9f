//! What a peer has sent behind requests that wait for their answers.
//!
//! A stream tells that its peer has gone only behind all that the peer has sent, and until then a connection
//! that is held back keeps its place, its tasks and what it waits for. So after a moment more is read than is
//! handled: so much at most, and as long as the node has room for it. It lies apart from what is being handled,
//! whose memory messages keep that wait in mailboxes.

use std::time::{Duration, Instant};

use bytes::buf::Limit;
use bytes::{BufMut, BytesMut};

use crate::remote::account::Account;
use crate::remote::budget::Part;
use crate::remote::io::spare::READ_LEN;

/// How long a connection is held back before that.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most bytes that are read: as many as the system of a peer keeps for it as a rule. 4 MiB.
const MAX_LEN: usize = 4 * 1024 * 1024;
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
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The connection reads what it handles.
    pub(super) fn go_on(&mut self) {
        (self.at, self.is_due) = (None, false);
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
                return None;
            }
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
    fn it_reads_nothing_without_room_in_the_node() {
        let resources = resources();
        let (account, now) = (Account::new(resources.clone()), Instant::now());
        let mut ahead = Ahead::default();
        assert!(ahead.room(&account, now).is_none());
        ahead.handle_timeout(now + PATIENCE);
        let others = resources.budget.crowd(Part::Messages, 0);
        assert!(ahead.room(&account, now).is_none());
        resources.budget.disperse(&others);
        assert!(ahead.room(&account, now).is_some());
        ahead.release(&account);
        assert_eq!(resources.budget.used(Part::Messages), 0);
    }
}
