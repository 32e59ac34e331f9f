//! Tells of one type to one receiver that are written down before a connection takes them.
//!
//! They are frames already, as other plain ones are, with the numbers of names that the last connection gave:
//! what fits the credit and the room of a connection goes to its outbound buffer as one piece, which is not copied if it is
//! long. Where its numbers are others they are put in place of those.

use super::{Dialing, NotSent, Outgoing};
use crate::base::encode::{Encode, EncodeError, cost};
use crate::native::frame::HEADER_LEN;
use crate::native::message::{Head, MessageKind};
use crate::native::outbound::Outbound;
use crate::native::payload::{Payload, SendError};
use crate::native::plain::begin_short_tell;
use crate::native::tables::Alias;
use crate::operation::Wish;

/// What comes before the payload in a staged frame.
const HEAD_LEN: usize = HEADER_LEN + 4;

/// So many bytes are given out where they lie: fewer are copied, which takes less than another piece to write.
const PIECE_LEN: usize = 8 * 1024;
/// Room beyond what was taken the last time.
const MORE_LEN: usize = 1024;

/// Where the numbers of the receiver and of the type are in a frame.
const RECEIVER_AT: usize = HEADER_LEN + 1;
const TYPE_AT: usize = HEADER_LEN + 3;

/// Tells of one type to one receiver that no connection has taken yet. `Debug` shows how many, not what.
#[derive(Default)]
pub struct Staged {
    frames: Vec<u8>,
    /// What comes before has been taken.
    start: usize,
    count: u64,
    /// The longest payload.
    longest: usize,
    /// The numbers in the frames.
    numbers: (u8, u8),
}

impl Staged {
    /// Writes a tell down. Its payload is to be small: one that would need chunks is never sent.
    ///
    /// # Errors
    /// What the payload said; nothing of it is kept.
    #[inline]
    pub fn push(&mut self, payload: &impl Encode) -> Result<(), EncodeError> {
        let (receiver, type_id) = self.numbers;
        let frame = begin_short_tell(&mut self.frames, receiver, type_id);
        let payload_at = frame.out.len();
        payload.encode(frame.out)?;
        let len = frame.out.len().wrapping_sub(payload_at);
        frame.end_with(len.wrapping_add(HEAD_LEN - HEADER_LEN) as u32);
        self.count = self.count.wrapping_add(1);
        self.longest = self.longest.max(len);
        Ok(())
    }

    /// What they cost together.
    fn cost(&self) -> u64 {
        let heads = self.count.saturating_mul(HEAD_LEN as u64);
        let payloads = (self.len() as u64).saturating_sub(heads);
        self.count.saturating_mul(cost(0)).saturating_add(payloads)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many bytes they are.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.frames.len().wrapping_sub(self.start)
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Drops all, and keeps the room.
    pub fn clear(&mut self) {
        self.frames.clear();
        (self.start, self.count, self.longest) = (0, 0, 0);
    }

    fn frames(&self) -> &[u8] {
        self.frames.get(self.start..).unwrap_or_default()
    }

    /// The payload of the first.
    fn first(&self) -> Option<&[u8]> {
        let ([_, len @ ..], _) = self.frames().split_first_chunk::<HEADER_LEN>()?;
        let end = (u32::from_be_bytes(*len) as usize).saturating_add(HEADER_LEN);
        self.frames().get(HEAD_LEN..end)
    }

    /// The first is taken. `len` is that of its payload.
    fn take_first(&mut self, len: usize) {
        self.start = self.start.saturating_add(HEAD_LEN).saturating_add(len);
        self.count = self.count.saturating_sub(1);
        if self.is_empty() {
            self.clear();
        }
    }

    /// Puts other numbers in the frames.
    fn set_numbers(&mut self, (receiver, type_id): (u8, u8)) {
        self.numbers = (receiver, type_id);
        let mut rest = self.frames.get_mut(self.start..).unwrap_or_default();
        while let Some(head) = rest.first_chunk_mut::<HEAD_LEN>() {
            (head[RECEIVER_AT], head[TYPE_AT]) = (receiver, type_id);
            let [_, a, b, c, d, ..] = *head;
            let len = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_add(HEADER_LEN);
            rest = rest.get_mut(len..).unwrap_or_default();
        }
    }
}

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staged")
            .field("count", &self.count)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<P> Dialing<P> {
    /// Accepts staged tells in their order: all, or as many as there are credit and room for. `message` has their
    /// names; it is a tell with nothing else. Returns the number of the receiver.
    ///
    /// # Errors
    /// [`NotSent`] of the first that is left, which stays where it is.
    pub fn tell_staged(
        &mut self,
        message: &Outgoing<'_>,
        staged: &mut Staged,
    ) -> Result<Alias, NotSent<'static>> {
        let mut receiver = self.take_all(message, staged)?;
        while let Some(payload) = staged.first() {
            let len = payload.len();
            let known = Some(receiver);
            receiver = self.tell_one(&Outgoing { known, ..*message }, &payload)?;
            staged.take_first(len);
        }
        Ok(receiver)
    }

    /// Takes all as one piece, if nothing is in the way of that. Returns the number of the receiver.
    fn take_all(
        &mut self,
        message: &Outgoing<'_>,
        staged: &mut Staged,
    ) -> Result<Alias, NotSent<'static>> {
        if !self.writer.is_open() {
            return Err(NotSent::Closed);
        }
        let resolved = self.resolve(message).ok_or(NotSent::Failed(SendError::Tables))?;
        let (receiver, (type_id, _)) = resolved;
        let nothing = Payload::Encode(&[].as_slice());
        if self.need(receiver, Wish::Tell, &nothing).is_none()
            && self.writer.out.take_all(receiver, type_id, staged)
        {
            self.is_used = true;
        }
        Ok(receiver)
    }

    fn tell_one(
        &mut self,
        message: &Outgoing<'_>,
        payload: &dyn Encode,
    ) -> Result<Alias, NotSent<'static>> {
        let resolved = self.resolve(message).ok_or(NotSent::Failed(SendError::Tables))?;
        let (receiver, (type_id, sender)) = resolved;
        let payload = Payload::Encode(payload);
        if let Some(need) = self.need(receiver, Wish::Tell, &payload) {
            let nothing = Payload::Ready { bytes: bytes::Bytes::new(), raw_len: None };
            return Err(NotSent::Wait(need, nothing));
        }
        let (remaining, metadata) = (None, None);
        let head = Head { receiver: receiver.id, sender, type_id, remaining, metadata };
        let sent = self.writer.out.message(MessageKind::Tell, &head, payload);
        sent.map_err(NotSent::Failed)?;
        self.writer.out.tells.accept(1);
        self.is_used = true;
        Ok(receiver)
    }
}

impl Outbound {
    fn take_all(&mut self, receiver: Alias, type_id: u32, staged: &mut Staged) -> bool {
        let (Ok(number @ 0..0x80), Ok(type_number @ 0..0x80)) =
            (u8::try_from(receiver.id), u8::try_from(type_id))
        else {
            return false;
        };
        let body_len = staged.longest.saturating_add(HEAD_LEN - HEADER_LEN);
        let Some(entry) = self.tables.get_mut(receiver.id) else { return false };
        let cost = i64::try_from(staged.cost()).unwrap_or(i64::MAX);
        if body_len > self.short_len || cost > entry.credit {
            return false;
        }
        entry.credit = entry.credit.saturating_sub(cost);
        if staged.numbers != (number, type_number) {
            staged.set_numbers((number, type_number));
        }
        self.tells.accept(staged.count);
        if staged.start == 0 && staged.len() >= PIECE_LEN {
            // Likely as many come again; the last of them may be a little longer.
            let next = Vec::with_capacity(staged.len().saturating_add(MORE_LEN));
            self.pieces.push(self.data.len(), std::mem::replace(&mut staged.frames, next));
        } else {
            if self.data.capacity() == 0 {
                self.make_room();
            }
            self.data.extend_from_slice(staged.frames());
        }
        staged.clear();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staged_tells_cost_what_each_does_alone() {
        let mut staged = Staged::default();
        let payloads = [&[1_u8; 5][..], &[], &[2; 900]];
        for payload in payloads {
            staged.push(&payload).expect("it is bytes");
        }
        assert_eq!((staged.count(), staged.longest), (3, 900));
        let mut left = payloads.iter().map(|payload| cost(payload.len())).sum::<u64>();
        assert_eq!(staged.cost(), left);
        for payload in payloads {
            assert_eq!(staged.first(), Some(payload));
            staged.take_first(payload.len());
            left -= cost(payload.len());
            assert_eq!(staged.cost(), left);
        }
        assert!(staged.is_empty());
    }
}
