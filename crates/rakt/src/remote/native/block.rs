//! What one read brought, for as long as messages of it are here, and what those cost.

use std::ops::Deref;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::error::Refusal;
use crate::remote::account::{Account, Charge};
use crate::remote::budget::Part;
use crate::remote::io::spare::READ_LEN;

/// What one read brought is copied out if it is at most this much, in bytes: the payload of a message
/// that comes alone pins no more than what came with it.
pub(super) const COPIED_LEN: usize = 16 * 1024;

/// What counts with each batch of messages that has it, in bytes.
const SMALL_LEN: usize = 4 * 1024;

/// Bytes that the messages of one read share. They count for the connection until the last message is gone,
/// however little of them that is.
#[derive(Clone, Default)]
pub(crate) struct Block {
    bytes: Bytes,
    charge: Option<Arc<Charge>>,
}

impl Block {
    /// What a read brought, which pins its buffer unless it was copied out of it. A small one
    /// [counts with each batch](Self::uncounted_len): most reads bring one message.
    ///
    /// # Errors
    /// There is no room for it.
    pub(super) fn of_read(account: &Arc<Account>, bytes: Bytes) -> Result<Self, Refusal> {
        let len = match bytes.len() {
            0..=SMALL_LEN => return Ok(Self { bytes, charge: None }),
            len @ ..=COPIED_LEN => len,
            len => len.max(READ_LEN),
        };
        let charge = account.charged(Part::Messages, len as u64)?;
        Ok(Self { bytes, charge: Some(Arc::new(charge)) })
    }

    /// Its end, of which nothing else is needed: to share it would take memory.
    pub(super) fn take_end(&mut self, start: usize) -> Bytes {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.advance(start);
        bytes
    }

    /// Bytes that whoever has it is to count.
    pub(super) fn uncounted_len(&self) -> u64 {
        if self.is_counted() { 0 } else { self.bytes.len() as u64 }
    }

    /// Whether it counts by itself.
    pub(super) fn is_counted(&self) -> bool {
        self.charge.is_some()
    }

    /// A part of what a read brought, in its place.
    pub(super) fn copied(account: &Arc<Account>, bytes: Bytes) -> Self {
        let charge = account.count(Part::Messages, bytes.len() as u64);
        Self { bytes, charge: Some(Arc::new(charge)) }
    }
}

impl Deref for Block {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// What messages cost, in bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Of the credit of their receiver.
    pub(crate) credit: u64,
    /// Of the node's budget. Their block counts by itself.
    pub(crate) charge: u64,
}

impl Cost {
    pub(crate) fn add(&mut self, other: Self) {
        self.credit += other.credit;
        self.charge += other.charge;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::resources::tests::resources;

    #[test]
    fn a_block_counts_with_what_it_pins_until_the_last_message_is_gone() {
        let resources = resources();
        let account = Account::new(resources.clone());
        let used = || resources.budget.used(Part::Messages) as usize;
        for (len, counted) in
            [(SMALL_LEN + 1, SMALL_LEN + 1), (COPIED_LEN, COPIED_LEN), (COPIED_LEN + 1, READ_LEN)]
        {
            let block = Block::of_read(&account, Bytes::from(vec![0; len])).expect("there is room");
            let other = block.clone();
            drop(block);
            assert_eq!((other.len(), used()), (len, counted));
            let copied = Block::copied(&account, other.slice(..1));
            drop(other);
            assert_eq!((copied.len(), used()), (1, 1));
        }
        let small = Block::of_read(&account, Bytes::from(vec![0; SMALL_LEN])).expect("it is small");
        assert_eq!((small.uncounted_len() as usize, used()), (SMALL_LEN, 0));
        let _others = resources.budget.crowd(Part::Messages, 1);
        assert!(Block::of_read(&account, Bytes::from(vec![0; SMALL_LEN + 1])).is_err());
    }
}
