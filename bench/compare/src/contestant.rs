//! What takes part, and the contract it meets.

use std::ffi::OsString;
use std::future::Future;
use std::pin::Pin;

use crate::measured::Measured;
use crate::workload::{Job, Workload};
use crate::{Result, external, local, peers, raw};

/// Work for the runtime of one process.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// Says on which port the server listens, and which processes belong to it besides this one.
pub(crate) type Ready = Box<dyn FnOnce(u16, &[u32]) -> std::io::Result<()> + Send>;

/// One way to do the work.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    /// One line: what it is, and how it is set up.
    pub(crate) about: &'static str,
    /// What it promises that others do not, or the other way round: acked or not, bounded or not,
    /// compressed or not. A few words for the legend below the table.
    pub(crate) marks: &'static str,
    /// What it takes part in.
    pub(crate) workloads: &'static [Workload],
    /// Multiplies the count of a workload, so that each takes it a second or two.
    pub(crate) scale: fn(Workload) -> f64,
    /// Whether it can run on this machine, and why not. Asked once.
    pub(crate) check: fn() -> Result,
    pub(crate) halves: Halves,
}

impl Contestant {
    /// Whether both halves are this program, as far as it starts them.
    pub(crate) fn is_this_program(&self) -> bool {
        matches!(self.halves, Halves::Rust { .. } | Halves::Local { .. })
    }
}

/// How the halves of a contestant are started; each is a process of its own.
///
/// A server has one actor that counts notes, answers an echo with its payload, and answers a count
/// with how many notes came; and [`TARGETS`](crate::workload::TARGETS) more of its kind.
pub(crate) enum Halves {
    /// Both are this program.
    Rust {
        /// Listens on a loopback port that it picks, calls [`Ready`], and works until it is killed.
        serve: fn(Ready) -> Work<()>,
        /// Does the job: against a server that is ready, or alone if the workload is local.
        run: fn(Job) -> Work<Measured>,
    },
    /// This program, for workloads that are local.
    Local { run: fn(Job) -> Work<Measured> },
    /// A program of its own; `bench/README.md` has the contract of its command line.
    Program { program: Program },
    /// The server is this program, the client is another.
    #[cfg(feature = "rakt")]
    RustServer { serve: fn(Ready) -> Work<()>, client: Program },
    /// The client is this program, the server is another.
    #[cfg(feature = "rakt")]
    RustClient { server: Program, run: fn(Job) -> Work<Measured> },
}

/// Builds another program where that is needed, and gives what comes before `serve`, `client` or
/// `local` on its command line. Asked once.
pub(crate) type Program = fn() -> Result<Vec<OsString>>;

/// For [`Contestant::scale`]: everyone's count.
pub(crate) const SAME: fn(Workload) -> f64 = |_| 1.0;
/// For [`Contestant::check`]: there is nothing that could be missing.
pub(crate) const EVERYWHERE: fn() -> Result = || Ok(());

/// All of them, the bare ones first.
pub(crate) fn all() -> impl Iterator<Item = &'static Contestant> {
    const OURS: &[Contestant] = &[
        raw::plain::CONTESTANT,
        raw::mux::CONTESTANT,
        raw::mux::YIELDING,
        raw::channel::CONTESTANT,
        local::DEFAULT,
        local::TIGHT,
        #[cfg(feature = "rakt")]
        crate::rakt_side::CONTESTANT,
        #[cfg(feature = "rakt")]
        crate::rakt_side::SINK,
        #[cfg(feature = "rakt")]
        crate::rakt_side::TLS,
    ];
    OURS.iter().chain(peers::ALL).chain(external::ALL)
}

pub(crate) fn find(name: &str) -> Result<&'static Contestant> {
    all()
        .find(|contestant| contestant.name == name)
        .ok_or_else(|| format!("no contestant {name:?}; --list names them").into())
}
