//! Plain tells on their way out: what is known of how far they have come.
//!
//! ```text
//!   accepted ──given out──► given ──PING behind it, given out──► pinged ──its PONG──► proven
//! ```
//!
//! Nobody answers a tell that succeeds. But a peer reads one stream, and answers a PING after it has handed on,
//! or refused, what came before. So the nonce of a PING is the number of tells before it, and its PONG proves
//! that they have all been taken.

use super::error::LinkError;

/// A peer is asked for a proof whenever so many tells have been given out since it was asked last.
const PROOF_STEP: u64 = 4096;

/// The tells of one connection, counted.
#[derive(Debug, Default)]
pub(super) struct Tells {
    accepted: u64,
    /// Large ones that are never given out to their end.
    dropped: u64,
    /// Given out to their end.
    given: u64,
    /// As many of them are before the last ping.
    pinged: u64,
    /// As many the peer has taken, or refused.
    proven: u64,
    /// A proof of all of them is wanted as soon as there can be one.
    is_awaited: bool,
    /// The nonce of a ping behind everything, counted as a tell so that no other has it.
    fence: Option<u64>,
}

impl Tells {
    #[inline]
    pub(super) fn accept(&mut self, count: u64) {
        // Nobody sends that many.
        self.accepted = self.accepted.wrapping_add(count);
    }

    /// So many large ones are dropped.
    pub(super) fn drop_large(&mut self, count: u64) {
        self.dropped = self.dropped.saturating_add(count);
    }

    /// All are given out but so many large ones. Says whether it is time for a ping.
    #[inline]
    pub(super) fn give(&mut self, large: u64) -> bool {
        self.given = self.accepted.saturating_sub(self.dropped).saturating_sub(large);
        let since = self.unpinged();
        since >= PROOF_STEP || (self.is_awaited && since > 0)
    }

    /// Given out since the last ping.
    #[inline]
    pub(super) fn unpinged(&self) -> u64 {
        self.given.saturating_sub(self.pinged)
    }

    /// The nonce of the ping that is sent now, behind all that was given out.
    pub(super) fn ping(&mut self) -> u64 {
        self.pinged = self.given;
        self.given
    }

    /// From now on a proof is wanted as soon as there can be one.
    pub(super) fn await_proof(&mut self) {
        self.is_awaited = true;
    }

    /// The peer has answered a ping.
    pub(super) fn handle_pong(&mut self, nonce: u64) -> Result<(), LinkError> {
        if nonce > self.pinged {
            return Err(LinkError::Pong { nonce, pinged: self.pinged });
        }
        self.proven = self.proven.max(nonce);
        Ok(())
    }

    /// Not given out to their end.
    pub(super) fn unsent(&self) -> u64 {
        self.accepted.saturating_sub(self.given)
    }

    /// Given out, and nobody knows whether they were taken.
    pub(super) fn unproven(&self) -> u64 {
        let is_open = self.fence.is_some_and(|fence| self.proven < fence);
        self.given.saturating_sub(self.proven).saturating_sub(u64::from(is_open))
    }

    /// The nonce of a ping behind all that was given out, requests included: nothing is accepted after it.
    pub(super) fn fence(&mut self) -> u64 {
        self.accept(1);
        self.given = self.given.saturating_add(1);
        self.fence = Some(self.given);
        self.ping()
    }

    /// Whether the peer has answered that ping: it has taken, or refused, all that was ever given out.
    pub(super) fn is_fenced(&self) -> bool {
        self.fence.is_some_and(|fence| self.proven >= fence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_proves_what_is_before_its_ping() {
        let mut tells = Tells::default();
        (0..3).for_each(|_| tells.accept(1));
        assert_eq!((tells.unsent(), tells.unproven(), tells.ping()), (3, 0, 0));
        assert!(!tells.give(2), "two are large");
        assert_eq!((tells.unsent(), tells.unproven(), tells.ping()), (2, 1, 1));
        tells.give(1);
        assert_eq!(tells.handle_pong(1), Ok(()));
        assert_eq!((tells.unsent(), tells.unproven()), (1, 1), "one is behind the ping");
        assert_eq!(tells.handle_pong(0), Ok(()), "of an earlier ping");
        assert_eq!(tells.unproven(), 1);
        let error = tells.handle_pong(2).expect_err("no ping has this nonce");
        assert_eq!(error, LinkError::Pong { nonce: 2, pinged: 1 });
        tells.drop_large(1);
        tells.give(0);
        assert_eq!((tells.unsent(), tells.unproven()), (1, 1), "it is never given out");
    }

    #[test]
    fn a_fence_has_a_nonce_of_its_own_and_is_no_tell() {
        let mut tells = Tells::default();
        tells.accept(1);
        tells.give(0);
        assert_eq!(tells.ping(), 1);
        assert_eq!(tells.fence(), 2);
        assert_eq!((tells.unsent(), tells.unproven()), (0, 1));
        assert_eq!(tells.handle_pong(1), Ok(()));
        assert!(!tells.is_fenced(), "that was the ping before");
        assert_eq!(tells.unproven(), 0);
        assert_eq!(tells.handle_pong(2), Ok(()));
        assert!(tells.is_fenced());
        assert_eq!((tells.unsent(), tells.unproven()), (0, 0));
    }

    #[test]
    fn a_proof_is_asked_for_now_and_then_and_at_once_where_it_is_awaited() {
        let mut tells = Tells::default();
        (1..PROOF_STEP).for_each(|_| tells.accept(1));
        assert!(!tells.give(0));
        tells.accept(1);
        assert!(tells.give(0));
        tells.ping();
        tells.await_proof();
        assert!(!tells.give(0), "there is nothing to prove");
        tells.accept(1);
        assert!(tells.give(0));
    }
}
