//! How much there is to be sent on one connection.

use super::outbound::{IDLE_CAPACITY, Outbound};

impl Outbound {
    /// Bytes accepted and not yet given out. A large body counts whole until its last chunk is given out.
    #[inline]
    pub fn buffered(&self) -> usize {
        self.buffered_small().saturating_add(self.large.held_len())
    }

    /// The part of [`Outbound::buffered`] that is frames.
    #[inline(always)]
    pub(super) fn buffered_small(&self) -> usize {
        // They are in memory together: no sum of their lengths is too large.
        let short = self.control.len().wrapping_add(self.close.len());
        self.data.len().wrapping_add(short).wrapping_add(self.pieces.len())
    }

    /// The part of [`Outbound::buffered`] that is large bodies.
    #[inline]
    pub fn buffered_large(&self) -> usize {
        self.large.held_len()
    }

    /// Whether [`Outbound::poll_transmit`] has nothing to give.
    pub fn is_empty(&self) -> bool {
        self.buffered() == 0 && self.pong.is_none() && self.nacks.is_empty() && !self.wants_fence
    }

    /// Whether there is something to give, all of it in small buffers.
    #[inline]
    pub(super) fn is_little(&self) -> bool {
        let is_small = self.pieces.len() == 0 && self.large.is_empty();
        self.capacity() <= IDLE_CAPACITY && is_small && !self.is_empty()
    }

    /// Whether there is nothing to give, and no large buffer to be given up.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        self.is_empty() && self.capacity() <= IDLE_CAPACITY
    }

    fn capacity(&self) -> usize {
        self.control.capacity().max(self.data.capacity())
    }
}
