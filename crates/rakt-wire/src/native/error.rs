//! Why a link ends.

use super::frame::FrameKind;
use crate::base::cause::Chain;
use crate::base::codes::codes;
use crate::base::varint::DecodeError;

codes! {
    /// Why a peer says goodbye, in GOAWAY and CLOSE.
    #[non_exhaustive]
    pub enum CloseCode(u8: as_u8, from_u8 or Internal) {
        1 Normal "normal" "Nothing is wrong: the connection was idle, or is no longer needed.";
        2 ShuttingDown "shutting down" "The node is shutting down.";
        3 Protocol "protocol error" "A frame was malformed or out of place.";
        4 TooLong "too long" "A frame or message was longer than a limit.";
        5 Limit "limit exceeded" "A table or count was over its limit.";
        6 Timeout "timeout" "Nothing was heard, or nothing was taken, for too long.";
        7 Denied "denied" "The peer may not be here.";
        8 Internal "internal" "Anything else, codes of newer peers included.";
    }
}

/// Something a peer sent that ends its connection.
///
/// The text is meant for both ends: the driver logs it and sends it in CLOSE, with
/// [`LinkError::close_code`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// A header claims a body above the limit for its kind.
    #[error("a frame claims {len} bytes, the limit is {limit}")]
    FrameTooLong {
        /// The claim in bytes.
        len: u32,
        /// The limit in bytes.
        limit: u32,
    },
    /// A message or reply claims more than the limit.
    #[error("{what} is {len} bytes long, the limit is {limit}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// The claim in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// No frame has this kind.
    #[error("unknown frame kind {kind:#04x}")]
    UnknownFrame {
        /// The first byte of the frame.
        kind: u8,
    },
    /// A frame where a hello belongs.
    #[error("frame kind {kind:#04x} before a hello")]
    BeforeHello {
        /// The first byte of the frame.
        kind: u8,
    },
    /// A frame that this side may not send, or not on an open link.
    #[error("{kind} is not for this side to send now")]
    Direction {
        /// The frame.
        kind: FrameKind,
    },
    /// A body that does not follow its form.
    #[error("malformed {kind}")]
    Malformed {
        /// The frame.
        kind: FrameKind,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A number that stands for nothing in this epoch.
    #[error("{kind} names {what} {alias}, but only {count} are defined")]
    Undefined {
        /// The frame.
        kind: FrameKind,
        /// The table.
        what: &'static str,
        /// The number.
        alias: u32,
        /// How many are defined.
        count: u32,
    },
    /// A definition that does not use the next free number.
    #[error("{kind} defines number {alias}, the next one is {expected}")]
    NotDense {
        /// The frame.
        kind: FrameKind,
        /// The number it defines.
        alias: u32,
        /// The one that was next.
        expected: u32,
    },
    /// A definition above the agreed count.
    #[error("{kind} defines more than the {limit} allowed")]
    TableFull {
        /// The frame.
        kind: FrameKind,
        /// The agreed count.
        limit: u32,
    },
    /// A chunk that does not fit what came before.
    #[error("{kind} of stream {stream}: {what}")]
    Stream {
        /// The frame.
        kind: FrameKind,
        /// The stream.
        stream: u32,
        /// What does not fit.
        what: &'static str,
    },
    /// More for one receiver than it had credit for.
    #[error("more than the window of {limit} bytes is under way to one receiver")]
    Window {
        /// The window in bytes.
        limit: u32,
    },
    /// More requests at a time than agreed.
    #[error("more than {limit} requests in flight")]
    InFlight {
        /// The agreed count.
        limit: u32,
    },
    /// Names for which the node has no room.
    #[error("no room for more names: all peers together may use {limit} bytes")]
    Names {
        /// What all peers may use, in bytes.
        limit: u64,
    },
    /// Unfinished bodies for which the node has no room.
    #[error("no room for more unfinished messages: all peers together may use {limit} bytes")]
    Unfinished {
        /// What all peers may use, in bytes.
        limit: u64,
    },
    /// An answer to a ping that was never sent.
    #[error("PONG of {nonce}, but no PING was above {pinged}")]
    Pong {
        /// Its nonce.
        nonce: u64,
        /// The highest that was sent.
        pinged: u64,
    },
    /// More streams at a time than allowed.
    #[error("more than {limit} streams of chunks at a time")]
    TooManyStreams {
        /// The limit.
        limit: usize,
    },
}

impl LinkError {
    /// What to tell the peer.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::FrameTooLong { .. } | Self::TooLong { .. } => CloseCode::TooLong,
            Self::TableFull { .. }
            | Self::Unfinished { .. }
            | Self::TooManyStreams { .. }
            | Self::Window { .. }
            | Self::InFlight { .. }
            | Self::Names { .. } => CloseCode::Limit,
            Self::UnknownFrame { .. }
            | Self::BeforeHello { .. }
            | Self::Direction { .. }
            | Self::Malformed { .. }
            | Self::Pong { .. }
            | Self::Undefined { .. }
            | Self::NotDense { .. }
            | Self::Stream { .. } => CloseCode::Protocol,
        }
    }

    /// The text for CLOSE: the error and what caused it.
    pub fn close_text(&self) -> String {
        Chain(self).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_are_numbered_without_gaps() {
        for (number, code) in (1..).zip(CloseCode::ALL) {
            assert_eq!(CloseCode::from_u8(number), code);
        }
        assert_eq!(CloseCode::from_u8(200), CloseCode::Internal);
    }

    #[test]
    fn the_text_for_the_peer_names_the_cause() {
        let error = LinkError::Malformed {
            kind: FrameKind::Tell,
            source: DecodeError::Truncated { what: "flags" },
        };
        assert_eq!(error.close_text(), "malformed TELL: flags is cut short");
    }
}
