//! What goes wrong with etcd, and how to mend it.

use std::error::Error;
use std::time::Duration;

use rakt::error::Cause;
use tonic::{Code, ConnectError, Status};

/// Why etcd did not do what it was asked: the cause of a [`RegisterError`](rakt::cluster::RegisterError).
///
/// Whether a swap was written all the same, its [`SwapError`](rakt::cluster::SwapError) says; only of [`Refused`](Self::Refused),
/// [`NotReached`](Self::NotReached) and [`BadOptions`](Self::BadOptions) it is known that nothing was.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// The options do not fit together, or are none.
    #[error("the options for etcd cannot be: {what}")]
    #[non_exhaustive]
    BadOptions {
        /// What is wrong with them.
        what: String,
    },
    /// There is no connection.
    #[error(
        "etcd is not reached at {endpoint}: does it run, is its client port open from here, and do the certificates fit?"
    )]
    #[non_exhaustive]
    NotReached {
        /// Where it was asked.
        endpoint: String,
        /// What the connection said.
        source: Cause,
    },
    /// It has said no, and has done nothing.
    #[error("etcd at {endpoint} refuses it: {said}{hint}")]
    #[non_exhaustive]
    Refused {
        /// Where it was asked.
        endpoint: String,
        /// In its words.
        said: String,
        /// What may help, with what separates it from the words before.
        hint: &'static str,
    },
    /// It cannot answer now, as while it has no leader.
    #[error("etcd at {endpoint} has failed: {said}")]
    #[non_exhaustive]
    Failed {
        /// Where it was asked.
        endpoint: String,
        /// In its words.
        said: String,
    },
    /// No answer came in time.
    #[error(
        "etcd at {endpoint} has not answered within {limit:?}: is it overloaded, cut off, or without a majority?"
    )]
    #[non_exhaustive]
    Late {
        /// Where it was asked.
        endpoint: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection broke before the answer came.
    #[error("the connection to etcd at {endpoint} is lost")]
    #[non_exhaustive]
    Lost {
        /// Where it was asked.
        endpoint: String,
        /// What the connection said.
        source: Cause,
    },
    /// It is not the etcd that was there before.
    #[error(
        "etcd at {endpoint} is of the cluster {is:x} and was of {was:x}: check the endpoints; if it was set up anew or restored, \
        stop all nodes before they go on with it"
    )]
    #[non_exhaustive]
    OtherCluster {
        /// Where it was asked.
        endpoint: String,
        /// The id of its cluster.
        is: u64,
        /// The id of the one that answered before.
        was: u64,
    },
    /// It has lost what it had answered. This register answers nothing any more: another one has to be made.
    #[error(
        "etcd at {endpoint} has gone back from revision {was} to {is}, as after a backup was restored: stop all nodes before they \
        go on with it"
    )]
    #[non_exhaustive]
    WentBack {
        /// Where it was asked.
        endpoint: String,
        /// The revision that it is at.
        is: i64,
        /// One that it was at before.
        was: i64,
    },
}

/// What is in an answer that is none.
pub(crate) enum Meaning {
    /// It was never sent.
    NotSent,
    /// The token is not, or no more, one that it takes.
    Token,
    /// It was not carried out, and the connection is well.
    No,
    /// It may have been carried out.
    Unknown,
}

pub(crate) fn meaning(status: &Status) -> Meaning {
    if chain(status).any(|cause| cause.is::<ConnectError>() || cause.is::<Over>()) {
        return Meaning::NotSent;
    }
    // Codes are also made here, of what HTTP/2 says; those have a cause.
    if status.source().is_some() {
        return Meaning::Unknown;
    }
    match status.code() {
        Code::Unauthenticated => Meaning::Token,
        // The second: it asks for users since a moment ago.
        Code::InvalidArgument
            if ["revision of auth store is old", "user name is empty"]
                .iter()
                .any(|said| status.message().contains(said)) =>
        {
            Meaning::Token
        }
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::ResourceExhausted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::NotFound => Meaning::No,
        _ => Meaning::Unknown,
    }
}

impl EtcdError {
    pub(crate) fn options(what: impl Into<String>) -> Self {
        Self::BadOptions { what: what.into() }
    }

    /// What a call was answered with.
    pub(crate) fn of(endpoint: &str, status: Status) -> Self {
        let endpoint = endpoint.to_owned();
        match meaning(&status) {
            Meaning::NotSent => Self::NotReached { endpoint, source: Cause::new(status) },
            Meaning::Token | Meaning::No => {
                let hint = hint(&status);
                Self::Refused { endpoint, said: status.message().to_owned(), hint }
            }
            Meaning::Unknown if status.source().is_none() => Self::Failed {
                endpoint,
                said: format!("{} ({:?})", status.message(), status.code()),
            },
            Meaning::Unknown => Self::Lost { endpoint, source: Cause::new(status) },
        }
    }

    /// Whether waiting may help, as while it starts.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NotReached { .. } | Self::Failed { .. } | Self::Late { .. } | Self::Lost { .. }
        )
    }
}

fn hint(status: &Status) -> &'static str {
    let said = status.message();
    if said.contains("user name is empty") || said.contains("user name not found") {
        "; it wants a user: `Etcd::user`"
    } else if said.contains("authentication failed") {
        "; check the name and the password of `Etcd::user`"
    } else if status.code() == Code::PermissionDenied {
        "; its user needs a role that may read and write the key: \
        etcdctl role grant-permission ROLE readwrite KEY"
    } else if said.contains("database space exceeded") {
        "; compact and defragment it, or raise --quota-backend-bytes, then: etcdctl alarm disarm"
    } else if said.contains("request is too large") || said.contains("larger than max") {
        "; raise --max-request-bytes"
    } else if status.code() == Code::Unimplemented {
        "; is that etcd, of version 3.4 or later?"
    } else {
        ""
    }
}

/// The error and all its causes.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// A connection is used as long as it lasts. Nothing is sent over another one that nobody has looked at.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection is over")]
pub(crate) struct Over;
