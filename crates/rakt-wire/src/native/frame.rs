//! Frame kinds and the header: one byte of kind, four bytes of body length, most significant first.

use std::fmt;

use super::hello::Limits;
use super::role::Role;

/// Length of a frame's header in bytes.
pub const HEADER_LEN: usize = 5;
/// Largest body of a frame that carries no payload, in bytes.
pub const MAX_CONTROL_LEN: u32 = 4 * 1024;

/// What a frame is for; its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum FrameKind {
    /// Handshake: who I am and what I can.
    Hello = 0x01,
    /// Handshake: why I do not talk to you.
    Refuse = 0x02,
    /// Handshake: reserved for an authentication step.
    Auth = 0x03,
    /// A receiver gets a number.
    Receiver = 0x10,
    /// A sender gets a number.
    Sender = 0x11,
    /// A message type gets a number.
    Type = 0x12,
    /// All numbers are forgotten.
    Reset = 0x13,
    /// A message that wants no answer.
    Tell = 0x20,
    /// A message that wants to hear that it arrived.
    Confirm = 0x21,
    /// A message that wants a reply.
    Ask = 0x22,
    /// The reply.
    Reply = 0x23,
    /// A confirm, ask or request has failed.
    Fail = 0x24,
    /// Tells have failed.
    Nack = 0x25,
    /// The asker has given up.
    Cancel = 0x26,
    /// The first chunk of a large body.
    First = 0x28,
    /// A further chunk.
    More = 0x29,
    /// The rest of a large body will not come.
    Abort = 0x2a,
    /// An operation.
    Request = 0x30,
    /// Its outcome.
    Response = 0x31,
    /// A watched actor has ended.
    Terminated = 0x32,
    /// More may be sent to a receiver.
    Credit = 0x40,
    /// Are you there?
    Ping = 0x41,
    /// I am.
    Pong = 0x42,
    /// Send nothing new; I am about to leave.
    GoAway = 0x43,
    /// I leave now.
    Close = 0x44,
}

impl FrameKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 25] = [
        Self::Hello,
        Self::Refuse,
        Self::Auth,
        Self::Receiver,
        Self::Sender,
        Self::Type,
        Self::Reset,
        Self::Tell,
        Self::Confirm,
        Self::Ask,
        Self::Reply,
        Self::Fail,
        Self::Nack,
        Self::Cancel,
        Self::First,
        Self::More,
        Self::Abort,
        Self::Request,
        Self::Response,
        Self::Terminated,
        Self::Credit,
        Self::Ping,
        Self::Pong,
        Self::GoAway,
        Self::Close,
    ];

    /// The kind with this number.
    #[inline]
    pub fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            0x01 => Self::Hello,
            0x02 => Self::Refuse,
            0x03 => Self::Auth,
            0x10 => Self::Receiver,
            0x11 => Self::Sender,
            0x12 => Self::Type,
            0x13 => Self::Reset,
            0x20 => Self::Tell,
            0x21 => Self::Confirm,
            0x22 => Self::Ask,
            0x23 => Self::Reply,
            0x24 => Self::Fail,
            0x25 => Self::Nack,
            0x26 => Self::Cancel,
            0x28 => Self::First,
            0x29 => Self::More,
            0x2a => Self::Abort,
            0x30 => Self::Request,
            0x31 => Self::Response,
            0x32 => Self::Terminated,
            0x40 => Self::Credit,
            0x41 => Self::Ping,
            0x42 => Self::Pong,
            0x43 => Self::GoAway,
            0x44 => Self::Close,
            _ => return None,
        })
    }

    /// The number on the wire.
    pub fn as_u8(self) -> u8 {
        self as u8
    }

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

    /// The name used in the protocol's description.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "HELLO",
            Self::Refuse => "REFUSE",
            Self::Auth => "AUTH",
            Self::Receiver => "RECEIVER",
            Self::Sender => "SENDER",
            Self::Type => "TYPE",
            Self::Reset => "RESET",
            Self::Tell => "TELL",
            Self::Confirm => "CONFIRM",
            Self::Ask => "ASK",
            Self::Reply => "REPLY",
            Self::Fail => "FAIL",
            Self::Nack => "NACK",
            Self::Cancel => "CANCEL",
            Self::First => "FIRST",
            Self::More => "MORE",
            Self::Abort => "ABORT",
            Self::Request => "REQUEST",
            Self::Response => "RESPONSE",
            Self::Terminated => "TERMINATED",
            Self::Credit => "CREDIT",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::GoAway => "GOAWAY",
            Self::Close => "CLOSE",
        }
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

/// A frame that is being written. Unless it is ended, dropping it takes it back: a payload that fails
/// or panics in the middle leaves nothing behind.
pub(crate) struct Draft<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    start: usize,
    is_done: bool,
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
