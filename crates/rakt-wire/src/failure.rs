//! Why a request failed, and how an actor ended, in the form that crosses the wire.

use std::error::Error;
use std::fmt;

use crate::base::cause::{Cause, Chain, Lines};
use crate::base::codes::codes;
use crate::base::text::Shown;

/// Longest detail of a [`Failure`] on the wire, in bytes. A longer one is cut between two characters.
pub const MAX_DETAIL_LEN: usize = 1024;

codes! {
    /// What went wrong with a request, as a number that both ends agree on.
    #[non_exhaustive]
    pub enum Code(u8: as_u8, from_u8) {
        1 NotFound "not found" "There is no such actor.";
        2 StaleIncarnation "stale incarnation" "The reference belongs to an earlier life of the actor or its node.";
        3 Suspended "suspended" "The actor is suspended after a failure.";
        4 Stopped "stopped" "The actor has stopped.";
        5 MailboxFull "mailbox full" "The actor's mailbox is full.";
        6 ResourceExhausted "resource exhausted" "The node has no budget left for the message.";
        7 DeadlineExceeded "deadline exceeded" "The time remaining ran out before an outcome was known.";
        8 Cancelled "cancelled" "The one who asked has given up.";
        9 TooLarge "too large" "Larger than a limit; the failure carries size and limit.";
        10 NotAccepted "not accepted" "The actor does not accept this type of message from peers.";
        11 Undecodable "undecodable" "The payload could not be decoded or decompressed.";
        12 Unencodable "unencodable" "The reply has no codec, or its codec failed.";
        13 HandlerFailed "handler failed" "The handler returned an error or panicked.";
        14 Denied "denied" "The peer may not do this.";
        15 KindNotRegistered "kind not registered" "No kind of that name may be spawned here.";
        16 NameTaken "name taken" "An actor of that name exists already.";
        17 InvalidArgument "invalid argument" "A name, path or argument is not valid.";
        18 RemotingOff "remoting off" "The node does not take part in remoting.";
        19 ShuttingDown "shutting down" "The node is shutting down.";
        20 NoReply "no reply" "The handler dropped the request without a reply.";
        21 Dropped "dropped" "The mailbox dropped the message, as its policy says.";
        22 Unsupported "unsupported" "The node does not know this operation.";
        23 Internal "internal" "Anything else, codes of newer peers included.";
        24 Declined "declined" "The handler turned the request down, and is well.";
        25 ActivationFailed "activation failed" "The grain did not come to life, so the message was not handled.";
        26 Fenced "fenced" "The node cannot show that it is a member of its cluster, so the message was not handled.";
        27 Lost "lost" "Whoever was to handle it, to whom the node had passed it on, was lost. It may have been handled.";
    }
}

/// A bound that was reached. It has a name and a unit, and a number on the wire.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// What is written to one connection and has not left yet, in bytes.
    OutboundBuffer,
    /// What is under way to one receiver over one connection, in bytes.
    ReceiverWindow,
    /// Requests of one connection that have no answer yet.
    InFlight,
    /// Answers that a peer has not taken yet, in bytes.
    BufferedReplies,
    /// Messages from all peers that are not handled yet, in bytes.
    MessageMemory,
    /// Watches that came over one connection.
    Watches,
    /// Messages that an actor has put aside.
    Stash,
    /// Answers to asynchronous requests that are on their way.
    AsyncAnswers,
    /// Operations of all peers that are being carried out, in bytes.
    OperationMemory,
    /// Watches of all peers, in bytes.
    TableMemory,
    /// Living actors that one peer has spawned.
    SpawnedByPeer,
    /// Living actors that all peers together have spawned.
    Spawned,
    /// Spawns of one peer in a second.
    SpawnRate,
    /// Actors that hear what is published on one topic.
    Subscribers,
    /// Futures and streams that run beside an actor.
    Tasks,
    /// Grains of a kind that live at once.
    Grains,
    /// One that this version does not know.
    Other(Box<OtherBound>),
}

/// A bound of a peer that knows more of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OtherBound {
    /// Its number on the wire; 0 from a peer whose bounds have none.
    pub number: u64,
    /// What the peer calls it; empty if it does not say.
    pub name: String,
}

impl Bound {
    const KNOWN: [Self; 16] = [
        Self::OutboundBuffer,
        Self::ReceiverWindow,
        Self::InFlight,
        Self::BufferedReplies,
        Self::MessageMemory,
        Self::Watches,
        Self::Stash,
        Self::AsyncAnswers,
        Self::OperationMemory,
        Self::TableMemory,
        Self::SpawnedByPeer,
        Self::Spawned,
        Self::SpawnRate,
        Self::Subscribers,
        Self::Tasks,
        Self::Grains,
    ];

    fn parts(&self) -> (u64, &str, &str) {
        match self {
            Self::OutboundBuffer => (1, "outbound buffer", "bytes"),
            Self::ReceiverWindow => (2, "receiver window", "bytes"),
            Self::InFlight => (3, "requests in flight", "requests"),
            Self::BufferedReplies => (4, "buffered replies", "bytes"),
            Self::MessageMemory => (5, "memory for messages", "bytes"),
            Self::Watches => (6, "watches of one connection", "watches"),
            Self::Stash => (7, "stash", "messages"),
            Self::AsyncAnswers => (8, "answers to asynchronous requests under way", "answers"),
            Self::OperationMemory => (9, "memory for operations", "bytes"),
            Self::TableMemory => (10, "memory for watches", "bytes"),
            Self::SpawnedByPeer => (11, "actors that one peer has spawned", "actors"),
            Self::Spawned => (12, "actors that all peers have spawned", "actors"),
            Self::SpawnRate => (13, "spawns of one peer in a second", "spawns"),
            Self::Subscribers => (14, "subscribers of one topic", "subscribers"),
            Self::Tasks => (15, "futures and streams beside an actor", "tasks"),
            Self::Grains => (16, "room for living grains of one kind", "grains"),
            Self::Other(other) => (other.number, &other.name, ""),
        }
    }

    /// Whether it may be met by a handler that has begun, so that doing again what it was asked may do it twice.
    pub fn is_met_by_handlers(&self) -> bool {
        match self {
            Self::BufferedReplies | Self::Stash | Self::Tasks | Self::Other(_) => true,
            // One that is passed on was not handled.
            Self::OutboundBuffer
            | Self::ReceiverWindow
            | Self::InFlight
            | Self::MessageMemory
            | Self::Watches
            | Self::AsyncAnswers
            | Self::OperationMemory
            | Self::TableMemory
            | Self::SpawnedByPeer
            | Self::Spawned
            | Self::SpawnRate
            | Self::Subscribers
            | Self::Grains => false,
        }
    }

    /// The number on the wire.
    pub fn number(&self) -> u64 {
        self.parts().0
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        self.parts().1
    }

    /// What its limit counts: bytes, or which items. Empty for one that is not known here.
    pub fn unit(&self) -> &str {
        self.parts().2
    }

    /// The bound of a peer. One without a number may be known by its text.
    fn of_peer(number: u64, text: String) -> Self {
        let is_meant = |bound: &Self| bound.number() == number || bound.to_string() == text;
        let known = Self::KNOWN.into_iter().find(is_meant);
        known.unwrap_or_else(|| Self::Other(Box::new(OtherBound { number, name: text })))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (number, "", _) => write!(f, "bound {number}, which is not known here"),
            (_, name, unit) if name.starts_with(unit) => Shown(name).fmt(f),
            (_, name, unit) => write!(f, "{name} ({unit})"),
        }
    }
}

/// How a request failed at the far side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub code: Code,
    /// More about it, for people; each further cause on a line of its own. At most [`MAX_DETAIL_LEN`]
    /// bytes cross the wire.
    pub detail: String,
    /// For a broken limit, what was measured, in bytes or items; for an exhausted resource, the number of
    /// the [`Bound`]; else 0.
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

    /// A bound is reached. Its name goes along, for people and for peers that do not know its number.
    pub fn exhausted(bound: &Bound, limit: u64) -> Self {
        let failure = Self::with_detail(Code::ResourceExhausted, bound.to_string());
        Self { size: bound.number(), limit, ..failure }
    }

    /// A failure with its cause, and what caused that.
    pub fn with_cause(code: Code, cause: &(dyn Error + 'static)) -> Self {
        Self::with_detail(code, Lines(cause).to_string())
    }

    /// The bound that is reached, where the code says so.
    pub fn into_bound(self) -> Bound {
        Bound::of_peer(self.size, self.detail)
    }

    /// What the detail tells: a cause, and what caused that.
    pub fn cause(&self) -> Cause {
        Cause::from_lines(&self.detail)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.as_str())?;
        if !self.detail.is_empty() {
            write!(f, ": {}", Chain(&self.cause()))?;
        }
        // The number of a bound is no size, and its name stands there already.
        let size = if self.code == Code::ResourceExhausted { 0 } else { self.size };
        match (size, self.limit) {
            (0, 0) => Ok(()),
            (0, limit) => write!(f, " (limit {limit})"),
            (size, limit) => write!(f, " (size {size}, limit {limit})"),
        }
    }
}

impl Error for Failure {}

/// How a watched actor ended.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminated {
    /// It was stopped in an orderly way.
    Stopped,
    /// It failed and was not restarted.
    Failed(Cause),
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
            Self::Failed(cause) => write!(f, "failed: {}", Chain(cause)),
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
        assert_eq!(Code::from_u8(Code::ALL.len() as u8 + 1), None);
    }

    #[test]
    fn a_failure_says_what_it_knows() {
        assert_eq!(Failure::new(Code::NotFound).to_string(), "not found");
        assert_eq!(Failure::with_detail(Code::Denied, "spawn").to_string(), "denied: spawn");
        assert_eq!(Failure::too_large(9, 8).to_string(), "too large (size 9, limit 8)");
    }

    #[test]
    fn bounds_are_numbered_without_gaps() {
        for (number, bound) in (1..).zip(Bound::KNOWN) {
            assert_eq!(bound.number(), number);
            let failure = Failure::exhausted(&bound, 7);
            assert_eq!(failure.clone().into_bound(), bound);
            // The number is enough, and so is the text.
            assert_eq!(Failure { detail: String::new(), ..failure.clone() }.into_bound(), bound);
            assert_eq!(Failure { size: 0, ..failure }.into_bound(), bound);
        }
    }

    #[test]
    fn a_bound_of_a_newer_peer_is_kept() {
        let name = "grains (grains)".to_owned();
        let grains = Bound::Other(Box::new(OtherBound { number: 99, name }));
        assert_eq!((grains.to_string(), grains.unit()), ("grains (grains)".to_owned(), ""));
        assert_eq!(Failure::exhausted(&grains, 7).into_bound(), grains);
        let unnamed = Failure { size: 99, ..Failure::new(Code::ResourceExhausted) }.into_bound();
        assert_eq!(unnamed.to_string(), "bound 99, which is not known here");
    }

    #[test]
    fn a_failure_for_want_of_room_names_the_bound() {
        let failure = Failure::exhausted(&Bound::MessageMemory, 9);
        let text = "resource exhausted: memory for messages (bytes) (limit 9)";
        assert_eq!(failure.to_string(), text);
        assert_eq!(Failure::exhausted(&Bound::InFlight, 9).detail, "requests in flight");
    }
}
