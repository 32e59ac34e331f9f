//! What one connection holds of what its node has for all peers together.

use std::sync::Arc;

#[cfg(feature = "goakt")]
use rakt_wire::native::{MAX_BUFFERED_REPLIES, UNCOUNTED_REPLIES};

use super::budget::Share;
use super::resources::Resources;
use crate::error::{Bound, Refusal};

/// One connection's part of the node's budgets. All of it is given back when this is dropped.
pub(crate) struct Account {
    resources: Arc<Resources>,
    inbound: Share,
    names: Share,
    replies: Share,
}

impl Account {
    pub(crate) fn new(resources: Arc<Resources>) -> Arc<Self> {
        let (inbound, names, replies) = Default::default();
        Arc::new(Self { resources, inbound, names, replies })
    }

    pub(crate) fn resources(&self) -> &Arc<Resources> {
        &self.resources
    }

    /// Counts bytes that the peer may leave here for as long as it likes; false if there is no room.
    pub(crate) fn admit(&self, bytes: u64) -> bool {
        self.resources.budgets.inbound.try_add(&self.inbound, bytes)
    }

    /// Counts bytes that are here already; false if that is more than there is room for. Either way they
    /// count until they are [released](Self::release).
    pub(crate) fn charge(&self, bytes: u64) -> bool {
        self.resources.budgets.inbound.add(&self.inbound, bytes)
    }

    /// Counts bytes that are here already until the result is dropped.
    ///
    /// # Errors
    /// There is no room for them.
    pub(crate) fn charged(self: &Arc<Self>, bytes: u64) -> Result<Charge, Refusal> {
        let has_room = self.charge(bytes);
        let charge = Charge { account: self.clone(), bytes };
        if has_room { Ok(charge) } else { Err(self.exhausted_inbound()) }
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.resources.budgets.inbound.give_back(&self.inbound, bytes);
    }

    /// Counts what the peer leaves here as `len` bytes instead of `held`; false if there is no room for
    /// more.
    pub(crate) fn hold(&self, held: &mut u64, len: u64) -> bool {
        if len <= *held {
            self.release(*held - len);
        } else if !self.admit(len - *held) {
            return false;
        }
        *held = len;
        true
    }

    /// The bound for what peers may leave here, in bytes.
    pub(crate) fn inbound_limit(&self) -> u64 {
        self.resources.budgets.inbound.limit()
    }

    /// What a peer hears where there is no room for its bytes.
    pub(crate) fn exhausted_inbound(&self) -> Refusal {
        let bound = Bound::InboundBudget;
        Refusal::ResourceExhausted { bound, limit: self.inbound_limit() }
    }

    /// Counts bytes of names that the peer has defined; false if that is more than there is room for.
    pub(crate) fn charge_names(&self, bytes: u64) -> bool {
        self.resources.budgets.names.add(&self.names, bytes)
    }

    pub(crate) fn release_names(&self) {
        self.resources.budgets.names.give_back_all(&self.names);
    }

    /// Bytes of replies wait for the peer, `now` where it was `before`; false if that is more than there is
    /// room for. They count all the same.
    pub(crate) fn replace_replies(&self, before: u64, now: u64) -> bool {
        let budget = &self.resources.budgets.replies;
        budget.give_back(&self.replies, before);
        budget.add(&self.replies, now)
    }

    /// Tells the node how many bytes of replies wait for the peer, where that is much; false if there is no
    /// room for more. To be called under the lock of the connection.
    #[cfg(feature = "goakt")]
    pub(crate) fn note_replies(&self, buffered: usize) -> bool {
        let noted = self.replies.used();
        if noted == 0 && buffered <= UNCOUNTED_REPLIES {
            return true;
        }
        self.replace_replies(noted, buffered as u64) && buffered <= MAX_BUFFERED_REPLIES
    }

    /// The replies that waited are gone.
    #[cfg(feature = "goakt")]
    pub(crate) fn release_replies(&self) {
        self.resources.budgets.replies.give_back_all(&self.replies);
    }
}

/// What a peer hears in the place of a reply that there is no room for.
#[cfg(feature = "goakt")]
pub(crate) fn exhausted_replies() -> Refusal {
    let bound = Bound::BufferedReplies;
    Refusal::ResourceExhausted { bound, limit: MAX_BUFFERED_REPLIES as u64 }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.resources.budgets.inbound.give_back_all(&self.inbound);
        self.release_names();
        self.resources.budgets.replies.give_back_all(&self.replies);
    }
}

/// Bytes that count for a connection until this is dropped.
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: u64,
}

#[cfg(feature = "goakt")]
impl Charge {
    /// So many of the bytes do not count with the others any more: somebody else releases them.
    pub(crate) fn leave(&mut self, bytes: u64) {
        self.bytes -= bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.release(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::resources::tests::resources;

    #[test]
    fn what_is_held_follows_its_length_and_is_given_back_at_the_end() {
        let resources = resources();
        let (account, mut held) = (Account::new(resources.clone()), 0);
        let used = || resources.budgets.inbound.used();
        assert!(account.hold(&mut held, 1000) && used() == 1000);
        assert!(account.hold(&mut held, 10) && used() == 10);
        assert!(!account.hold(&mut held, account.inbound_limit()));
        assert_eq!((held, used()), (10, 10), "what does not fit changes nothing");
        drop(account);
        assert_eq!(used(), 0);
    }

    #[test]
    fn a_charge_counts_as_long_as_it_is_kept() {
        let account = Account::new(resources());
        let charge = account.charged(1000).expect("there is room");
        assert_eq!(account.inbound.used(), 1000);
        let refused = account.charged(account.inbound_limit());
        assert!(refused.is_err() && account.inbound.used() == 1000);
        drop(charge);
        assert_eq!(account.inbound.used(), 0);
    }

    #[cfg(feature = "goakt")]
    #[test]
    fn few_replies_do_not_count_and_many_are_refused() {
        let account = Account::new(resources());
        assert!(account.note_replies(UNCOUNTED_REPLIES) && account.replies.used() == 0);
        assert!(account.note_replies(MAX_BUFFERED_REPLIES));
        assert!(!account.note_replies(MAX_BUFFERED_REPLIES + 1));
        assert!(account.note_replies(1) && account.replies.used() == 1);
        account.release_replies();
        assert_eq!(account.replies.used(), 0);
    }
}
