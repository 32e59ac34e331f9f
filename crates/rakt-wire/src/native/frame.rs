//! Frame kinds and the header: one byte of kind, four bytes of body length, most significant first.

use super::hello::Limits;
use super::role::Role;
use crate::base::codes::codes;
use crate::base::varint::Reader;

/// Length of a frame's header in bytes.
pub const HEADER_LEN: usize = 5;
/// Largest body of a frame that carries no payload, in bytes.
pub const MAX_CONTROL_LEN: u32 = 4 * 1024;

codes! {
    /// What a frame is for; its first byte. The texts are the names in the protocol's description.
    pub enum FrameKind(u8: as_u8, from_u8) {
        0x01 Hello "HELLO" "Handshake: who I am and what I can.";
        0x02 Refuse "REFUSE" "Handshake: why I do not talk to you.";
        0x03 Auth "AUTH" "Handshake: reserved for an authentication step.";
        0x10 Receiver "RECEIVER" "A receiver gets a number.";
        0x11 Sender "SENDER" "A sender gets a number.";
        0x12 Type "TYPE" "A message type gets a number.";
        0x13 Reset "RESET" "All numbers are forgotten.";
        0x20 Tell "TELL" "A message that wants no answer.";
        0x21 Confirm "CONFIRM" "A message that wants to hear that it arrived.";
        0x22 Ask "ASK" "A message that wants a reply.";
        0x23 Reply "REPLY" "The reply.";
        0x24 Fail "FAIL" "A confirm, ask or request has failed.";
        0x25 Nack "NACK" "Tells have failed.";
        0x26 Cancel "CANCEL" "The asker has given up.";
        0x28 First "FIRST" "The first chunk of a large body.";
        0x29 More "MORE" "A further chunk.";
        0x2a Abort "ABORT" "The rest of a large body will not come.";
        0x30 Request "REQUEST" "An operation.";
        0x31 Response "RESPONSE" "Its outcome.";
        0x32 Terminated "TERMINATED" "A watched actor has ended.";
        0x40 Credit "CREDIT" "More may be sent to a receiver.";
        0x41 Ping "PING" "Are you there?";
        0x42 Pong "PONG" "I am.";
        0x43 GoAway "GOAWAY" "Send nothing new; I am about to leave.";
        0x44 Close "CLOSE" "I leave now.";
    }
}

impl FrameKind {
    /// Whether `role` may send this kind on an open link.
    #[inline]
    pub fn may_come_from(self, role: Role) -> bool {
        match self {
            Self::Hello | Self::Refuse | Self::Auth => false,
            Self::Receiver
            | Self::Sender
            | Self::Type
            | Self::Reset
            | Self::Tell
            | Self::Confirm
            | Self::Ask
            | Self::Cancel
            | Self::Request => role == Role::Dialer,
            Self::Reply
            | Self::Fail
            | Self::Nack
            | Self::Response
            | Self::Terminated
            | Self::Credit => role == Role::Acceptor,
            Self::First
            | Self::More
            | Self::Abort
            | Self::Ping
            | Self::Pong
            | Self::GoAway
            | Self::Close => true,
        }
    }

    /// Whether a body of this kind may be cut into chunks.
    #[inline]
    pub fn may_be_chunked(self) -> bool {
        matches!(
            self,
            Self::Tell | Self::Confirm | Self::Ask | Self::Reply | Self::Request | Self::Response
        )
    }

    /// Largest body of this kind in one frame, in bytes.
    #[inline]
    pub fn max_len(self, limits: &Limits) -> u32 {
        if self.may_be_chunked() || matches!(self, Self::First | Self::More) {
            limits.max_frame_len
        } else {
            MAX_CONTROL_LEN.min(limits.max_frame_len)
        }
    }
}

/// Writes a header with the length left open; [`end_frame`] fills it in. Returns where the frame starts.
#[inline]
pub(crate) fn begin_frame(out: &mut Vec<u8>, kind: FrameKind) -> usize {
    let start = out.len();
    out.extend_from_slice(&[kind as u8, 0, 0, 0, 0]);
    start
}

/// Fills in the length of the frame that starts at `start` and ends where `out` does.
#[inline]
pub(crate) fn end_frame(out: &mut [u8], start: usize) {
    end_frame_with(out, start, 0);
}

/// The same for a frame of which `more` bytes follow that are not in `out`.
#[inline]
pub(crate) fn end_frame_with(out: &mut [u8], start: usize, more: usize) {
    let Some(frame) = out.get_mut(start..) else { return };
    let body_len = frame.len().saturating_sub(HEADER_LEN).saturating_add(more);
    if let Some([_, len @ ..]) = frame.first_chunk_mut::<HEADER_LEN>() {
        *len = u32::try_from(body_len).unwrap_or(u32::MAX).to_be_bytes();
    }
}

/// Writes a frame of nothing but a nonce.
pub(super) fn put_nonce(out: &mut Vec<u8>, kind: FrameKind, nonce: u64) {
    let start = begin_frame(out, kind);
    out.extend_from_slice(&nonce.to_be_bytes());
    end_frame(out, start);
}

/// The numbers of the requests among whole frames.
pub(super) fn requests_in(mut frames: &[u8]) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(([kind, len @ ..], rest)) = frames.split_first_chunk::<HEADER_LEN>() {
        let len = u32::from_be_bytes(*len) as usize;
        let Some((body, rest)) = rest.split_at_checked(len) else { break };
        let kinds = [FrameKind::Confirm, FrameKind::Ask, FrameKind::Request];
        if kinds.iter().any(|request| request.as_u8() == *kind) {
            numbers.extend(Reader::new(body).varint("number"));
        }
        frames = rest;
    }
    numbers
}

/// A frame that is being written. Unless it is ended, dropping it takes it back: a payload that fails
/// or panics in the middle leaves nothing behind.
pub(crate) struct Draft<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    pub(super) start: usize,
    pub(super) is_done: bool,
}

impl<'a> Draft<'a> {
    #[inline]
    pub(crate) fn begin(out: &'a mut Vec<u8>, kind: FrameKind) -> Self {
        let start = begin_frame(out, kind);
        Self { out, start, is_done: false }
    }

    #[inline]
    pub(crate) fn body(&self) -> &[u8] {
        let start = self.start.saturating_add(HEADER_LEN);
        self.out.get(start..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn body_len(&self) -> usize {
        self.body().len()
    }

    #[inline]
    pub(crate) fn end(mut self) {
        end_frame(self.out, self.start);
        self.is_done = true;
    }

    /// Ends a frame whose body is known to have so many bytes.
    #[inline(always)]
    pub(super) fn end_with(mut self, body_len: u32) {
        let frame = self.out.get_mut(self.start..).unwrap_or_default();
        if let Some([_, len @ ..]) = frame.first_chunk_mut::<HEADER_LEN>() {
            *len = body_len.to_be_bytes();
        }
        self.is_done = true;
    }
}

impl Drop for Draft<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_done {
            self.out.truncate(self.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_numbers_agree() {
        for number in 0..=u8::MAX {
            let known = FrameKind::ALL.into_iter().find(|kind| kind.as_u8() == number);
            assert_eq!(FrameKind::from_u8(number), known, "{number:#x}");
        }
    }

    #[test]
    fn an_open_link_takes_no_handshake_frame() {
        for kind in [FrameKind::Hello, FrameKind::Refuse, FrameKind::Auth] {
            assert!(!kind.may_come_from(Role::Dialer) && !kind.may_come_from(Role::Acceptor));
        }
    }
}
