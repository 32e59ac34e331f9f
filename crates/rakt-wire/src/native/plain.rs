//! The frame that most are: a tell without options or a sender, written and read without a detour.
//!
//! It goes by the same rules as any message. Where one of them would have more done than to write a frame or to note one, or
//! would refuse it, the tell is left to the code for all messages, which finds that out once more and says it.

use super::frame::{Draft, FrameKind, HEADER_LEN, begin_frame};
use super::inbound::Inbound;
use super::message::{Body, Message, MessageKind, Span};
use super::outbound::Outbound;
use super::role::Role;
use super::tables::{Alias, key_of};
use super::writer::HIGH_WATER;
use crate::base::encode::{Encode, cost};
use crate::base::varint::put_varint;

impl Outbound {
    /// Accepts a tell of which nothing has to be looked up, and which nothing keeps waiting. False where that is not so:
    /// nothing was sent.
    #[inline]
    pub(super) fn tell(
        &mut self,
        receiver: Alias,
        type_name: &'static str,
        payload: &dyn Encode,
    ) -> bool {
        let Some(type_id) = self.tables.types.last(key_of(type_name)) else { return false };
        if self.data.capacity() == 0 {
            self.make_room();
        }
        let is_current = self.is_current(receiver);
        let others = self.control.len().saturating_add(self.close.len());
        let small = self.data.len().saturating_add(others);
        let Some(entry) = self.tables.get_mut(receiver.id) else { return false };
        if !is_current || entry.credit <= 0 || entry.is_busy || small >= HIGH_WATER {
            return false;
        }
        let frame = begin_tell(&mut self.data, receiver.id, type_id);
        let head_len = frame.body_len();
        if payload.encode(frame.out).is_err() {
            return false;
        }
        let body_len = frame.body_len();
        let payload_len = body_len.saturating_sub(head_len);
        if body_len > self.chunk_len || payload_len as u64 > self.limits.max_message_len.into() {
            return false;
        }
        frame.end();
        entry.credit = entry.credit.saturating_sub(cost(payload_len) as i64);
        self.tells.accept(1);
        true
    }
}

/// Begins a tell, up to its payload.
#[inline]
pub(super) fn begin_tell(out: &mut Vec<u8>, receiver: u32, type_id: u32) -> Draft<'_> {
    let start = out.len();
    match (u8::try_from(receiver), u8::try_from(type_id)) {
        (Ok(receiver @ 0..0x80), Ok(type_id @ 0..0x80)) => {
            let kind = FrameKind::Tell as u8;
            out.extend_from_slice(&[kind, 0, 0, 0, 0, 0, receiver, 0, type_id]);
        }
        _ => {
            begin_frame(out, FrameKind::Tell);
            out.push(0);
            put_varint(out, receiver.into());
            out.push(0);
            put_varint(out, type_id.into());
        }
    }
    Draft { out, start, is_done: false }
}

impl Inbound {
    /// Reads what most frames are: a tell without options or sender, whose numbers have a byte each. Returns it with a
    /// body of the right length, and what comes after it; nothing where it is another frame, is not all there, or breaks
    /// a rule, which the long way finds out.
    #[inline(always)]
    pub(super) fn read_tell<'a>(
        &self,
        header: &[u8; HEADER_LEN],
        after: &'a [u8],
    ) -> Option<(Message, &'a [u8])> {
        const TELL: u8 = FrameKind::Tell as u8;
        let (&[TELL, ref len @ ..], &[0, receiver, 0, type_id, ..]) = (header, after) else {
            return None;
        };
        let len = u32::from_be_bytes(*len);
        let payload_len = len.checked_sub(4)?;
        let next = after.get(len as usize..)?;
        let (receiver, type_id) = (u32::from(receiver), u32::from(type_id));
        let is_fine = self.peer == Role::Dialer
            && (receiver | type_id) < 0x80
            && receiver < self.receivers
            && type_id < self.types
            && len <= self.limits.max_frame_len
            && payload_len <= self.limits.max_message_len;
        is_fine.then_some((
            Message {
                kind: MessageKind::Tell,
                receiver,
                sender: None,
                type_id,
                remaining: None,
                metadata: None,
                raw_len: None,
                body: Body::Block(Span { start: 0, len: payload_len }),
            },
            next,
        ))
    }
}
