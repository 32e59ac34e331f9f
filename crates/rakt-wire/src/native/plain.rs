//! The frame that most are: a tell without options or a sender, written and read without a detour.
//!
//! It goes by the same rules as any message. Where one of them would have more done than to write a frame or to note one, or
//! would refuse it, the tell is left to the code for all messages, which finds that out once more and says it.

use super::frame::{Draft, FrameKind, HEADER_LEN};
use super::inbound::Inbound;
use super::message::{Body, Message, MessageKind, Span};
use super::outbound::Outbound;
use super::tables::{Alias, key_of};
use super::writer::HIGH_WATER;
use crate::base::encode::{Encode, cost};
use crate::base::varint::put_varint;

impl Outbound {
    /// Accepts a tell of which nothing has to be looked up, and which nothing keeps waiting. False where that is not so:
    /// nothing was sent.
    #[inline(always)]
    pub(super) fn tell(
        &mut self,
        receiver: Alias,
        type_name: &'static str,
        payload: &dyn Encode,
    ) -> bool {
        let Some(type_id) = self.tables.types.last(key_of(type_name)) else { return no() };
        if self.data.capacity() == 0 {
            self.make_room();
        }
        let is_current = self.is_current(receiver);
        let small = self.buffered_small();
        let Some(entry) = self.tables.get_mut(receiver.id) else { return no() };
        if !(is_current & (entry.credit > 0) & !entry.is_busy & (small < HIGH_WATER)) {
            return no();
        }
        let body_at = self.data.len().wrapping_add(HEADER_LEN);
        let frame = begin_tell(&mut self.data, receiver.id, type_id);
        let payload_at = frame.out.len();
        if payload.encode(frame.out).is_err() {
            return no();
        }
        let body_len = frame.out.len().wrapping_sub(body_at);
        let payload_len = frame.out.len().wrapping_sub(payload_at) as u32;
        if body_len > self.short_len {
            return no();
        }
        frame.end_with(body_len as u32);
        // It gets no lower than a chunk is long.
        entry.credit = entry.credit.wrapping_sub(cost(payload_len as usize) as i64);
        self.tells.accept(1);
        true
    }
}

/// Says that something is rare, so that the compiler inlines what is called where it is not so.
#[cold]
#[inline(never)]
pub(super) fn no() -> bool {
    false
}

/// Begins a tell whose numbers are both below 128, up to its payload.
#[inline(always)]
pub(super) fn begin_short_tell(out: &mut Vec<u8>, receiver: u8, type_id: u8) -> Draft<'_> {
    let start = out.len();
    put(out, [FrameKind::Tell as u8, 0, 0, 0, 0, 0, receiver, 0, type_id]);
    Draft { out, start, is_done: false }
}

/// Begins a tell, up to its payload.
#[inline(always)]
fn begin_tell(out: &mut Vec<u8>, receiver: u32, type_id: u32) -> Draft<'_> {
    match (receiver, type_id) {
        (0..0x80, 0..0x80) => begin_short_tell(out, receiver as u8, type_id as u8),
        _ => begin_long_tell(out, receiver, type_id),
    }
}

#[cold]
#[inline(never)]
fn begin_long_tell(out: &mut Vec<u8>, receiver: u32, type_id: u32) -> Draft<'_> {
    let frame = Draft::begin(out, FrameKind::Tell);
    frame.out.push(0);
    put_varint(frame.out, receiver.into());
    frame.out.push(0);
    put_varint(frame.out, type_id.into());
    frame
}

/// Appends a few bytes, as `extend_from_slice` does, which would be a call of its own for so few.
#[inline(always)]
fn put<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    out.extend((0..N).map(|at| bytes.get(at).copied().unwrap_or_default()));
}

impl Inbound {
    /// Reads what most frames are: a tell without options or sender, whose receiver has a number of two bytes at most and
    /// whose type one of one. Returns it with a body of the right length, and what comes after it; nothing where it is
    /// another frame, is not all there, or breaks a rule, which the long way finds out.
    #[inline(always)]
    pub(super) fn read_tell<'a>(
        &self,
        header: &[u8; HEADER_LEN],
        after: &'a [u8],
    ) -> Option<(Message, &'a [u8])> {
        const TELL: u8 = FrameKind::Tell as u8;
        let &[TELL, ref len @ ..] = header else { return None };
        let (receiver, type_id, head_len) = match *after {
            [0, receiver @ 0..0x80, 0, type_id, ..] => (receiver.into(), type_id, 4),
            [0, low @ 0x80..=0xff, high @ 1..0x80, 0, type_id, ..] => {
                (u32::from(low & 0x7f) | (u32::from(high) << 7), type_id, 5)
            }
            _ => return None,
        };
        let len = u32::from_be_bytes(*len);
        let payload_len = len.checked_sub(head_len)?;
        let next = after.get(len as usize..)?;
        // Who has named a receiver is a dialer.
        let is_fine = type_id < 0x80
            && receiver < self.receivers
            && u32::from(type_id) < self.types
            && len <= self.short_len;
        is_fine.then_some((
            Message {
                kind: MessageKind::Tell,
                receiver,
                sender: None,
                type_id: type_id.into(),
                remaining: None,
                metadata: None,
                raw_len: None,
                body: Body::Block(Span { start: 0, len: payload_len }),
            },
            next,
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::native::{Limits, Role};

    proptest! {
        #[test]
        fn what_is_read_shortly_reads_the_same_at_length(
            body in prop::collection::vec(select(&[0, 1, 2, 5, 0x7f, 0x80, 0x81, 0xff]), 0..10),
            more in prop::collection::vec(any::<u8>(), 0..4),
            is_of_dialer: bool,
        ) {
            let role = if is_of_dialer { Role::Acceptor } else { Role::Dialer };
            let mut inbound = Inbound::new(role, Limits::default());
            // Nobody else may name any.
            (inbound.receivers, inbound.types) = if is_of_dialer { (1000, 3) } else { (0, 0) };
            let [a, b, c, d] = (body.len() as u32).to_be_bytes();
            let header = [FrameKind::Tell as u8, a, b, c, d];
            let after: Vec<u8> = body.iter().chain(&more).copied().collect();
            let short = inbound.read_tell(&header, &after);
            let long = inbound.read_message(FrameKind::Tell, &body, body.len());
            if let Some((short, next)) = short {
                let long = long.expect("it is as good as any");
                prop_assert!(is_of_dialer);
                prop_assert_eq!(next, more);
                prop_assert_eq!(short.body.len(), long.body.len());
                prop_assert_eq!(Message { body: long.body.clone(), ..short }, long);
            } else if long.is_ok() && is_of_dialer {
                let is_short = match *body {
                    [0, 0..0x80, 0, type_id, ..] => type_id < 0x80,
                    [0, 0x80..=0xff, 1..0x80, 0, type_id, ..] => type_id < 0x80,
                    _ => false,
                };
                prop_assert!(!is_short, "{body:?} is left to the long way");
            }
        }
    }
}
