//! What can be wrong with a directory and with what one is told to do.

use std::path::PathBuf;
use std::time::Duration;

use rakt::error::Cause;

use crate::store::FORMAT;

/// Why a directory could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it, or another register in this one.
    #[error("{} is in use: one node has it at a time; stop the other one", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// There was a voter here, and its log is gone.
    #[error(
        "{} has lost the log of voter {voter}, raft.redb: restore it, or empty the directory to \
         begin as a new node, which then has to be made a voter in place of this one",
        dir.display()
    )]
    Lost {
        /// The directory.
        dir: PathBuf,
        /// The id of the voter.
        voter: String,
    },
    /// The files are of two nodes.
    #[error(
        "{} has the lock of voter {lock} and the log of voter {log}: files of two nodes were \
         mixed; if the log is the right one, remove the file `lock`",
        dir.display()
    )]
    Mixed {
        /// The directory.
        dir: PathBuf,
        /// The voter that the file `lock` names.
        lock: String,
        /// The voter whose log is there.
        log: String,
    },
    /// It was written by another version of this crate.
    #[error("{} is of format {found}, and this version reads {FORMAT}", dir.display())]
    Format {
        /// The directory.
        dir: PathBuf,
        /// What it says.
        found: u64,
    },
    /// It cannot be read or written, or is damaged.
    #[error("{what}, in {}", dir.display())]
    Failed {
        /// The directory.
        dir: PathBuf,
        /// What does not work.
        what: &'static str,
        /// Why.
        source: Cause,
    },
}

/// Why a node has not come into a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The register is told to do what it cannot.
    #[error("{fault}")]
    Options {
        /// What.
        fault: String,
    },
    /// The directory cannot be had.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is in the directory cannot be read or written.
    #[error("the directory of the register does not work")]
    Disk {
        /// Why.
        source: Cause,
    },
    /// The actor that others ask was not started.
    #[error("the actor {name} could not be started: one register runs in a system at a time")]
    Door {
        /// Its name.
        name: &'static str,
        /// Why.
        source: Cause,
    },
    /// The log does not run.
    #[error("the voter of this node does not run")]
    Voter {
        /// Why.
        source: Cause,
    },
    /// There is no cluster yet.
    #[error("there was no cluster within {limit:?}: {waits_for}")]
    Waits {
        /// How long was waited.
        limit: Duration,
        /// For what.
        waits_for: String,
        /// Why others were not found, or one that was not heard, if that was it.
        source: Option<Cause>,
    },
}

impl StartError {
    pub(crate) fn disk(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Disk { source: Cause::new(source) }
    }

    pub(crate) fn ended(source: tokio::task::JoinError) -> Self {
        Self::disk(source)
    }
}
