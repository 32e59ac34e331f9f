//! What one node may ask of another, independent of how a dialect writes it: messages and operations.

use std::fmt;

use bytes::Bytes;

use crate::address::{AddressError, MAX_NAME_LEN, MAX_PATH_LEN, validate_text};
use crate::verb::Verb;

/// Longest name of a kind or a message type, in bytes.
pub const MAX_TYPE_LEN: usize = MAX_NAME_LEN;
/// Longest path in an operation, in bytes.
pub(crate) const MAX_OPERATION_PATH_LEN: usize = MAX_PATH_LEN;
/// Most kinds in one [`Outcome::Kinds`].
pub const MAX_KINDS: usize = 1024;

/// What the sender of a message wants to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Nothing; only a message that is turned down is heard of, in bulk.
    Tell,
    /// That it is in the receiver's mailbox, or why not.
    Confirm,
    /// The receiver's reply, or why there is none.
    Ask,
}

/// A request about actors, as opposed to a message to one.
///
/// Where an operation takes a `uid`, `Some` names one life of the actor and fails as stale when that
/// life is over; `None` means whoever has the path now.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Is there an actor with this path?
    Lookup {
        /// Its path.
        path: String,
    },
    /// Start an actor.
    Spawn {
        /// The path it shall have.
        path: String,
        /// The registered kind to start.
        kind: String,
        /// What the kind is started with.
        argument: Option<SpawnArgument>,
    },
    /// Stop an actor.
    Stop {
        /// Its path.
        path: String,
        /// Which life.
        uid: Option<u64>,
    },
    /// Restart an actor with fresh state.
    Respawn {
        /// Its path.
        path: String,
        /// Which life.
        uid: Option<u64>,
    },
    /// Let a suspended actor go on.
    Reinstate {
        /// Its path.
        path: String,
        /// Which life.
        uid: Option<u64>,
    },
    /// Tell me when the actor ends.
    Watch {
        /// Its path.
        path: String,
        /// Which life.
        uid: Option<u64>,
        /// The asker's number for this watch; unique on its connection.
        watch_id: u64,
    },
    /// I no longer care.
    Unwatch {
        /// The number given to [`Operation::Watch`].
        watch_id: u64,
    },
    /// Are you there? Unlike a heartbeat, this is answered by the node, not by its connection.
    Ping,
    /// Which kinds may I spawn?
    Kinds,
}

impl Operation {
    /// What it does. To give up a watch is a part of watching.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Lookup { .. } => Verb::Lookup,
            Self::Spawn { .. } => Verb::Spawn,
            Self::Stop { .. } => Verb::Stop,
            Self::Respawn { .. } => Verb::Respawn,
            Self::Reinstate { .. } => Verb::Reinstate,
            Self::Watch { .. } | Self::Unwatch { .. } => Verb::Watch,
            Self::Ping => Verb::Ping,
            Self::Kinds => Verb::Kinds,
        }
    }

    /// Checks that no name in it holds a control character: the peer would end the connection.
    ///
    /// # Errors
    /// Says which name holds which.
    pub fn check_names(&self) -> Result<(), AddressError> {
        let path_of = |path: &str| check_name("path", path, MAX_OPERATION_PATH_LEN);
        match self {
            Self::Lookup { path }
            | Self::Stop { path, .. }
            | Self::Respawn { path, .. }
            | Self::Reinstate { path, .. }
            | Self::Watch { path, .. } => path_of(path),
            Self::Spawn { path, kind, argument } => {
                path_of(path)?;
                check_name("kind", kind, MAX_TYPE_LEN)?;
                let argument = argument.as_ref().map_or("", |argument| &argument.type_name);
                check_name("argument type", argument, MAX_TYPE_LEN)
            }
            Self::Unwatch { .. } | Self::Ping | Self::Kinds => Ok(()),
        }
    }
}

/// What a peer would end the connection for.
fn check_name(what: &'static str, name: &str, limit: usize) -> Result<(), AddressError> {
    match name.len() {
        len if len > limit => Err(AddressError::TooLong { what, len, limit }),
        _ => validate_text(what, name),
    }
}

/// What a kind is started with: a typed, encoded value.
#[derive(Clone, PartialEq, Eq)]
pub struct SpawnArgument {
    /// The wire name of its type.
    pub type_name: String,
    /// The value, encoded as the type says.
    pub payload: Bytes,
}

impl fmt::Debug for SpawnArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnArgument")
            .field("type_name", &self.type_name)
            .field("payload_len", &self.payload.len())
            .finish()
    }
}

/// How an [`Operation`] ended well.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The actor exists.
    Found {
        /// This life of it.
        uid: u64,
        /// Its kind; empty when it has none.
        kind: String,
    },
    /// There is no such actor.
    Absent,
    /// It is done.
    Done,
    /// The actor has started.
    Spawned {
        /// Its life.
        uid: u64,
    },
    /// The kinds that this peer may spawn.
    Kinds(Vec<String>),
}
