//! Why a request failed, and how an actor ended, in the form that crosses the wire.

use std::fmt;

/// Longest detail of a [`Failure`] on the wire, in bytes. A longer one is cut between two characters.
pub const MAX_DETAIL_LEN: usize = 1024;

/// What went wrong with a request, as a number that both ends agree on.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Code {
    /// There is no such actor.
    NotFound = 1,
    /// The reference belongs to an earlier life of the actor or its node.
    StaleIncarnation = 2,
    /// The actor is suspended after a failure.
    Suspended = 3,
    /// The actor has stopped.
    Stopped = 4,
    /// The actor's mailbox is full.
    MailboxFull = 5,
    /// The node has no budget left for the message.
    ResourceExhausted = 6,
    /// The time remaining ran out before an outcome was known.
    DeadlineExceeded = 7,
    /// The one who asked has given up.
    Cancelled = 8,
    /// Larger than a limit; the failure carries size and limit.
    TooLarge = 9,
    /// The actor does not accept this type of message from peers.
    NotAccepted = 10,
    /// The payload could not be decoded or decompressed.
    Undecodable = 11,
    /// The reply has no codec, or its codec failed.
    Unencodable = 12,
    /// The handler returned an error or panicked.
    HandlerFailed = 13,
    /// The peer may not do this.
    Denied = 14,
    /// No kind of that name may be spawned here.
    KindNotRegistered = 15,
    /// An actor of that name exists already.
    NameTaken = 16,
    /// A name, path or argument is not valid.
    InvalidArgument = 17,
    /// The node does not take part in remoting.
    RemotingOff = 18,
    /// The node is shutting down.
    ShuttingDown = 19,
    /// The handler dropped the request without a reply.
    NoReply = 20,
    /// The mailbox dropped the message, as its policy says.
    Dropped = 21,
    /// The node does not know this operation.
    Unsupported = 22,
    /// Anything else, codes of newer peers included.
    Internal = 23,
}

impl Code {
    /// Every code, in the order of their numbers.
    pub const ALL: [Self; 23] = [
        Self::NotFound,
        Self::StaleIncarnation,
        Self::Suspended,
        Self::Stopped,
        Self::MailboxFull,
        Self::ResourceExhausted,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::TooLarge,
        Self::NotAccepted,
        Self::Undecodable,
        Self::Unencodable,
        Self::HandlerFailed,
        Self::Denied,
        Self::KindNotRegistered,
        Self::NameTaken,
        Self::InvalidArgument,
        Self::RemotingOff,
        Self::ShuttingDown,
        Self::NoReply,
        Self::Dropped,
        Self::Unsupported,
        Self::Internal,
    ];

    /// The code with this number; `None` for one of a newer peer.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| *code as u8 == number)
    }

    /// The number on the wire.
    pub fn as_u8(self) -> u8 {
        self as u8
    }

    /// A few words for a log line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::StaleIncarnation => "stale incarnation",
            Self::Suspended => "suspended",
            Self::Stopped => "stopped",
            Self::MailboxFull => "mailbox full",
            Self::ResourceExhausted => "resource exhausted",
            Self::DeadlineExceeded => "deadline exceeded",
            Self::Cancelled => "cancelled",
            Self::TooLarge => "too large",
            Self::NotAccepted => "not accepted",
            Self::Undecodable => "undecodable",
            Self::Unencodable => "unencodable",
            Self::HandlerFailed => "handler failed",
            Self::Denied => "denied",
            Self::KindNotRegistered => "kind not registered",
            Self::NameTaken => "name taken",
            Self::InvalidArgument => "invalid argument",
            Self::RemotingOff => "remoting off",
            Self::ShuttingDown => "shutting down",
            Self::NoReply => "no reply",
            Self::Dropped => "dropped",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a request failed at the far side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub code: Code,
    /// More about it, for people. At most [`MAX_DETAIL_LEN`] bytes cross the wire.
    pub detail: String,
    /// For a broken limit, what was measured, in bytes or items; else 0.
    pub size: u64,
    /// For a broken limit, the limit, in the same unit; else 0.
    pub limit: u64,
}

impl Failure {
    /// A failure that its code describes well enough.
    pub fn new(code: Code) -> Self {
        Self { code, detail: String::new(), size: 0, limit: 0 }
    }

    /// A failure with a few words about it.
    pub fn with_detail(code: Code, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..Self::new(code) }
    }

    /// Something of `size` bytes is over a limit of `limit` bytes.
    pub fn too_large(size: u64, limit: u64) -> Self {
        Self { size, limit, ..Self::new(Code::TooLarge) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.as_str())?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        if self.size != 0 || self.limit != 0 {
            write!(f, " (size {}, limit {})", self.size, self.limit)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// How a watched actor ended.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminated {
    /// It was stopped in an orderly way.
    Stopped,
    /// It failed and was not restarted; the text says why.
    Failed(String),
    /// It was idle and left memory; a message may bring it back.
    Passivated,
    /// There was no such actor when the watch began.
    NotFound,
    /// The reference belongs to an earlier life of the actor.
    StaleIncarnation,
    /// The connection to its node was lost; the actor may live on.
    NodeLost,
    /// Its node shut down.
    Shutdown,
}

impl fmt::Display for Terminated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Failed(detail) if detail.is_empty() => f.write_str("failed"),
            Self::Failed(detail) => write!(f, "failed: {detail}"),
            Self::Passivated => f.write_str("passivated"),
            Self::NotFound => f.write_str("not found"),
            Self::StaleIncarnation => f.write_str("stale incarnation"),
            Self::NodeLost => f.write_str("node lost"),
            Self::Shutdown => f.write_str("node shut down"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbered_without_gaps() {
        for (number, code) in (1..).zip(Code::ALL) {
            assert_eq!(code.as_u8(), number);
            assert_eq!(Code::from_u8(number), Some(code));
        }
        assert_eq!(Code::from_u8(0), None);
        assert_eq!(Code::from_u8(24), None);
    }

    #[test]
    fn a_failure_says_what_it_knows() {
        assert_eq!(Failure::new(Code::NotFound).to_string(), "not found");
        assert_eq!(Failure::with_detail(Code::Denied, "spawn").to_string(), "denied: spawn");
        assert_eq!(Failure::too_large(9, 8).to_string(), "too large (size 9, limit 8)");
    }
}
