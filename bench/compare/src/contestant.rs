//! What takes part, and the contract it meets.

use std::future::Future;
use std::pin::Pin;

use crate::workload::{Job, Measured};
use crate::{Result, raw};

/// Work for the runtime of one process.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// Says on which port the server listens.
pub(crate) type Ready = Box<dyn FnOnce(u16) -> std::io::Result<()> + Send>;

/// One way to do the work.
///
/// The server counts notes, answers an echo with its payload, and answers a count with how many
/// notes came. Server and client run in a process each.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    /// One line for `--list`.
    pub(crate) about: &'static str,
    /// Listens on a loopback port that it picks, calls `ready` with it, and works until it is killed.
    pub(crate) serve: fn(Ready) -> Work<()>,
    /// Does the job against a server that is ready.
    pub(crate) run: fn(Job) -> Work<Measured>,
}

/// All of them; the first is what the others are compared with.
pub(crate) const ALL: &[Contestant] = &[
    raw::plain::CONTESTANT,
    raw::channel::CONTESTANT,
    raw::channel::YIELDING,
    #[cfg(feature = "rakt")]
    crate::rakt_side::CONTESTANT,
];

pub(crate) fn find(name: &str) -> Result<&'static Contestant> {
    ALL.iter()
        .find(|contestant| contestant.name == name)
        .ok_or_else(|| format!("no contestant {name:?}; --list names them").into())
}
