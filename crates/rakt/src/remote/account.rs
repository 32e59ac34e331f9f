//! What one connection holds of what its node has for all peers together.

use std::sync::Arc;

#[cfg(feature = "goakt")]
use rakt_wire::Failure;
use rakt_wire::native::CHUNK_LEN;
#[cfg(feature = "goakt")]
use rakt_wire::native::UNCOUNTED_REPLIES;

use super::admission::Source;
use super::budget::{Part, Share};
use super::io::Farewell;
use super::io::spare::{KEPT_LEN, READ_LEN};
use super::resources::Resources;
use crate::error::{Bound, Refusal};
use crate::message::allowance::{Hold, Room};

/// What one read leaves of an unfinished frame at most, but for one that is longer than a chunk.
const FRAME_LEN: usize = READ_LEN + CHUNK_LEN;

/// Where one part in so many of what there is for messages is in use, less is read for a while.
const AHEAD_PART: u64 = 8;

/// What has been read and cannot be handled yet, as it counts, in bytes.
#[derive(Default)]
pub(crate) struct Unread {
    frames: u64,
    messages: u64,
}

/// One connection's part of the node's memory budget. All of it is given back when this is dropped.
pub(crate) struct Account {
    resources: Arc<Resources>,
    share: Share,
}

impl Account {
    /// That of a connection whose address does not count.
    pub(crate) fn new(resources: Arc<Resources>) -> Arc<Self> {
        Arc::new(Self { resources, share: Share::default() })
    }

    /// That of a connection from an address, with which it shares the address's part.
    pub(crate) fn of(resources: Arc<Resources>, source: Source) -> Arc<Self> {
        let share = resources.budget.share(source);
        Arc::new(Self { resources, share })
    }

    pub(crate) fn resources(&self) -> &Arc<Resources> {
        &self.resources
    }

    /// Counts bytes that the peer may leave here for as long as it likes; false if there is no room.
    pub(crate) fn admit(&self, part: Part, bytes: u64) -> bool {
        self.resources.budget.try_add(&self.share, part, bytes)
    }

    /// Counts bytes that are here already; false if that is more than there is room for. Either way they
    /// count until they are [released](Self::release).
    pub(crate) fn charge(&self, part: Part, bytes: u64) -> bool {
        self.resources.budget.add(&self.share, part, bytes)
    }

    /// Whether messages that are not handled yet take up a good part of what all may have, and this connection has had its
    /// share in that.
    pub(crate) fn is_ahead(&self) -> bool {
        let all = self.limit(Part::Messages) / AHEAD_PART;
        let own = self.share.used(Part::Messages);
        own > all / 16 && self.resources.budget.used(Part::Messages) > all
    }

    /// Counts bytes that are here already until the result is dropped.
    ///
    /// # Errors
    /// There is no room for them.
    pub(crate) fn charged(self: &Arc<Self>, part: Part, bytes: u64) -> Result<Charge, Refusal> {
        let has_room = self.charge(part, bytes);
        let charge = Charge { account: self.clone(), part, bytes };
        if has_room { Ok(charge) } else { Err(self.exhausted(part)) }
    }

    /// Counts the rest of an unfinished body.
    ///
    /// # Errors
    /// How much all peers together may leave here of such, in bytes, if there is no room.
    pub(crate) fn admit_head(&self, bytes: usize) -> Result<(), u64> {
        let has_room = self.charge(Part::Frames, bytes as u64);
        if !has_room {
            self.release(Part::Frames, bytes as u64);
        }
        if has_room { Ok(()) } else { Err(self.limit(Part::Frames)) }
    }

    /// The body is complete, or dropped.
    pub(crate) fn release_head(&self, bytes: usize) {
        self.release(Part::Frames, bytes as u64);
    }

    /// `bytes` as the last that the peer is told; `None` where there is no room for them any more.
    pub(crate) fn farewell(self: &Arc<Self>, bytes: Vec<u8>) -> Option<Farewell> {
        let charge = self.charged(Part::Replies, bytes.len() as u64).ok()?;
        Some(Farewell::new(bytes, charge))
    }

    /// Counts bytes that are here in the place of others, until the result is dropped.
    pub(crate) fn count(self: &Arc<Self>, part: Part, bytes: u64) -> Charge {
        self.charge(part, bytes);
        Charge { account: self.clone(), part, bytes }
    }

    pub(crate) fn release(&self, part: Part, bytes: u64) {
        self.resources.budget.give_back(&self.share, part, bytes);
    }

    /// All that was counted for a part is gone.
    pub(crate) fn release_all(&self, part: Part) {
        self.resources.budget.give_back_all(&self.share, part);
    }

    /// Counts what the peer leaves here as `len` bytes instead of `held`; false if there is no room for
    /// more.
    pub(crate) fn hold(&self, part: Part, held: &mut u64, len: u64) -> bool {
        if len <= *held {
            self.release(part, *held - len);
        } else if !self.admit(part, len - *held) {
            return false;
        }
        *held = len;
        true
    }

    /// Counts `len` bytes that were read and cannot be handled yet. A few KiB do not count, and as much as
    /// one read leaves counts as an unfinished frame, with its buffer.
    ///
    /// # Errors
    /// How much all peers together may leave here of what there is no room for, in bytes. The connection is
    /// to end.
    #[inline]
    pub(crate) fn hold_unread(&self, unread: &mut Unread, len: usize) -> Result<(), u64> {
        if len <= KEPT_LEN && unread.frames == 0 {
            return Ok(());
        }
        self.hold_much_unread(unread, len)
    }

    fn hold_much_unread(&self, unread: &mut Unread, len: usize) -> Result<(), u64> {
        let frames = match len <= KEPT_LEN {
            true => 0,
            false => len.clamp(READ_LEN, FRAME_LEN) as u64,
        };
        if frames != unread.frames {
            let before = std::mem::replace(&mut unread.frames, frames);
            if !self.replace(Part::Frames, before, frames) {
                return Err(self.limit(Part::Frames));
            }
        }
        let messages = len.saturating_sub(FRAME_LEN) as u64;
        let has_room = self.hold(Part::Messages, &mut unread.messages, messages);
        if has_room { Ok(()) } else { Err(self.limit(Part::Messages)) }
    }

    /// Nothing is unread any more.
    pub(crate) fn release_unread(&self, unread: &mut Unread) {
        let Unread { frames, messages } = std::mem::take(unread);
        self.release(Part::Frames, frames);
        self.release(Part::Messages, messages);
    }

    /// Counts `now` bytes that are here already where it was `before`; false if that is more than there is
    /// room for. They count all the same.
    pub(crate) fn replace(&self, part: Part, before: u64, now: u64) -> bool {
        self.release(part, before);
        self.charge(part, now)
    }

    /// How much all peers together may leave here for a part, in bytes.
    pub(crate) fn limit(&self, part: Part) -> u64 {
        self.resources.budget.limit(part)
    }

    /// What a peer hears where there is no room for what it leaves here.
    pub(crate) fn exhausted(&self, part: Part) -> Refusal {
        let bound = match part {
            Part::Replies => Bound::BufferedReplies,
            Part::Operations => Bound::OperationMemory,
            Part::Tables => Bound::TableMemory,
            _ => Bound::MessageMemory,
        };
        Refusal::ResourceExhausted { bound, limit: self.limit(part) }
    }

    /// The same, and how many bytes there is no room for.
    #[cfg(feature = "goakt")]
    pub(crate) fn no_room(&self, part: Part, bytes: u64) -> Failure {
        let mut failure = self.exhausted(part).to_wire();
        failure.detail = format!("{}: no room for {bytes} more", failure.detail);
        failure
    }

    /// Tells the node how many bytes of replies wait for the peer, where that is much; false if there is no
    /// room for more. To be called under the lock of the connection.
    #[cfg(feature = "goakt")]
    pub(crate) fn note_replies(&self, buffered: usize) -> bool {
        let noted = self.share.used(Part::Replies);
        if noted == 0 && buffered <= UNCOUNTED_REPLIES {
            return true;
        }
        self.replace(Part::Replies, noted, buffered as u64)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.resources.budget.close(&self.share);
    }
}

/// Bytes that count for a connection until this is dropped.
pub(crate) struct Charge {
    account: Arc<Account>,
    part: Part,
    bytes: u64,
}

impl Charge {
    /// What it counts in.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// So many of the bytes count by themselves from now on.
    pub(crate) fn split(&mut self, bytes: u64) -> Self {
        self.bytes -= bytes;
        Self { account: self.account.clone(), part: self.part, bytes }
    }
}

#[cfg(feature = "goakt")]
impl Charge {
    /// So many of the bytes do not count with the others any more: somebody else releases them.
    pub(crate) fn leave(&mut self, bytes: u64) {
        self.bytes -= bytes;
    }
}

impl Room for Arc<Account> {
    fn max_decoded(&self, encoded: usize) -> u64 {
        self.resources.options.max_decoded(encoded)
    }

    fn begin(&self) -> Box<dyn Hold> {
        Box::new(Charge { account: self.clone(), part: Part::Messages, bytes: 0 })
    }
}

impl Hold for Charge {
    fn again(&self) -> Box<dyn Hold> {
        Box::new(Self { account: self.account.clone(), part: self.part, bytes: 0 })
    }

    fn add(&mut self, bytes: u64) -> Result<(), Refusal> {
        if !self.account.charge(self.part, bytes) {
            self.account.release(self.part, bytes);
            return Err(self.account.exhausted(self.part));
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.release(self.part, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "goakt")]
    use super::Part::Replies;
    use super::Part::{Frames, Messages};
    use super::*;
    use crate::remote::resources::tests::resources;

    #[test]
    fn what_is_held_follows_its_length_and_is_given_back_at_the_end() {
        let resources = resources();
        let (account, mut held) = (Account::new(resources.clone()), 0);
        let used = || resources.budget.used(Messages);
        assert!(account.hold(Messages, &mut held, 1000) && used() == 1000);
        assert!(account.hold(Messages, &mut held, 10) && used() == 10);
        assert!(!account.hold(Messages, &mut held, account.limit(Messages)));
        assert_eq!((held, used()), (10, 10), "what does not fit changes nothing");
        drop(account);
        assert_eq!(used(), 0);
    }

    #[test]
    fn a_connection_is_ahead_once_much_waits_of_which_it_has_its_share() {
        let resources = resources();
        let [one, other, idle] = [(); 3].map(|()| Account::new(resources.clone()));
        let much = one.limit(Messages) / AHEAD_PART;
        one.charge(Messages, much / 2);
        assert!(!one.is_ahead(), "there is room");
        // However many connections it comes by.
        other.charge(Messages, much / 2 + 1);
        idle.charge(Messages, 1000);
        assert!(one.is_ahead() && other.is_ahead());
        assert!(!idle.is_ahead(), "it is not its fault");
        other.release_all(Messages);
        assert!(!one.is_ahead());
    }

    #[test]
    fn a_charge_counts_as_long_as_it_is_kept() {
        let account = Account::new(resources());
        let charge = account.charged(Messages, 1000).expect("there is room");
        assert_eq!(account.share.used(Messages), 1000);
        let refused = account.charged(Messages, account.limit(Messages));
        assert!(refused.is_err() && account.share.used(Messages) == 1000);
        drop(charge);
        assert_eq!(account.share.used(Messages), 0);
    }

    #[test]
    fn what_is_decoded_counts_as_it_grows_and_is_given_back() {
        let account = Account::new(resources());
        let mut held = account.begin();
        held.add(1000).and_then(|()| held.add(500)).expect("there is room");
        assert_eq!(account.share.used(Messages), 1500);
        let refused = held.add(account.limit(Messages)).expect_err("there is no room");
        assert_eq!(refused, account.exhausted(Messages));
        assert_eq!(account.share.used(Messages), 1500, "what is refused does not count");
        drop(held);
        assert_eq!(account.share.used(Messages), 0);
    }

    #[test]
    fn what_is_unread_counts_with_its_buffer_beyond_a_few_kib() {
        let resources = resources();
        let (account, mut unread) = (Account::new(resources.clone()), Unread::default());
        let mut held = |len: usize| {
            account.hold_unread(&mut unread, len).expect("there is room");
            (resources.budget.used(Frames) as usize, resources.budget.used(Messages) as usize)
        };
        assert_eq!(held(KEPT_LEN), (0, 0));
        assert_eq!(held(KEPT_LEN + 1), (READ_LEN, 0));
        assert_eq!(held(FRAME_LEN), (FRAME_LEN, 0));
        assert_eq!(held(FRAME_LEN + 10), (FRAME_LEN, 10));
        assert_eq!(held(0), (0, 0));
        let others = resources.budget.crowd(Frames, 0);
        assert_eq!(account.hold_unread(&mut unread, KEPT_LEN), Ok(()));
        let refused = account.hold_unread(&mut unread, KEPT_LEN + 1);
        assert_eq!(refused, Err(account.limit(Frames)));
        account.release_unread(&mut unread);
        resources.budget.disperse(&others);
        assert_eq!(resources.budget.used(Frames), 0);
    }

    #[cfg(feature = "goakt")]
    #[test]
    fn few_replies_do_not_count_and_many_are_refused() {
        let account = Account::new(resources());
        assert!(account.note_replies(UNCOUNTED_REPLIES) && account.share.used(Replies) == 0);
        let most = account.limit(Replies) as usize * 2 / 3;
        assert!(account.note_replies(most));
        assert!(!account.note_replies(most + 2));
        assert!(account.note_replies(1) && account.share.used(Replies) == 1);
        account.release_all(Replies);
        assert_eq!(account.share.used(Replies), 0);
    }
}
