//! What is left to do when most voters are lost for good.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rakt::cluster::Version;
use rakt::error::Cause;
use rakt_cluster::View;

use crate::error::OpenError;
use crate::names::Shown;
use crate::store::{Directory, Remains};

/// How many versions are passed over: more than those that were lost.
const SKIPPED: u64 = 1_000_000;

/// What came of [`recover`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The newest version that the directory had.
    pub found: Version,
    /// The one that the cluster goes on with.
    pub version: Version,
    /// The generation of the view from now on.
    pub generation: u64,
    /// How many members it has, all of which count as dead.
    pub members: usize,
}

/// Why nothing was recovered. The directory is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The directory cannot be had.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its node was no voter, so that there is no log.
    #[error("node {node}, in {}, was no voter of its cluster: take the directory of one", dir.display())]
    NoVoter {
        /// The directory.
        dir: PathBuf,
        /// The id of its node.
        node: String,
    },
    /// The view cannot be read, or not be followed by another.
    #[error("what is in {} is no view that can be recovered", dir.display())]
    NoView {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: Cause,
    },
    /// It cannot be read or written.
    #[error("{} does not work", dir.display())]
    Failed {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: Cause,
    },
}

/// Makes a new cluster of the directory of one voter, whose node is stopped: for when most of the voters are lost for good,
/// and never else.
///
/// The view that it has is swapped for one of a higher generation, in which all members are dead: what they hosted is taken over
/// once their leases are over. `lease` is the longest lease that the cluster may have had since this copy was made, if it was
/// raised; zero if not. **What was decided after the copy is lost.** All of its log counts, also what was not acknowledged.
///
/// The node of the directory is then the only voter of a cluster with a new id. Stop all other nodes first, and empty
/// their directories, or they look for the lost one for ever; they join, and two or four of them
/// [become voters](crate::Embedded::become_voter).
///
/// It works with files, and waits for the disk.
///
/// # Errors
/// [`RecoverError`].
pub fn recover(dir: impl AsRef<Path>, lease: Duration) -> Result<Recovered, RecoverError> {
    let path = dir.as_ref();
    let failed = |source| RecoverError::Failed { dir: path.to_owned(), source };
    let no_view = |source| RecoverError::NoView { dir: path.to_owned(), source };
    let dir = Directory::open(path)?;
    let Some(Remains { place, document }) =
        dir.remains().map_err(|error| failed(Cause::new(error)))?
    else {
        let node = Shown(dir.id()).to_string();
        return Err(RecoverError::NoVoter { dir: path.to_owned(), node });
    };
    let copy = View::decode(document.bytes()).map_err(|error| no_view(Cause::new(error)))?;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let view = rakt_cluster::propose::recover(&copy, since.as_secs(), lease);
    let view = view.map_err(|error| no_view(Cause::new(error)))?;
    let found = document.version();
    let version = found.saturating_add(SKIPPED);
    dir.begin_anew(place, version, view.encode()).map_err(|error| failed(Cause::new(error)))?;
    Ok(Recovered {
        found: Version(found),
        version: Version(version),
        generation: view.stamp().generation,
        members: view.members().len(),
    })
}
