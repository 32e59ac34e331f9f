//! What a node keeps in its directory, which one process has at a time.
//!
//! | file | holds |
//! | --- | --- |
//! | `lock` | who has the directory, by a lock of the system; and the id of the node, so that a log that is lost is noticed |
//! | `raft.redb` | the id, how far the node is on its way into a cluster, the log and the vote |
//!
//! - `log`: the log and the vote, as openraft wants them
//! - `machine`: the document that the log makes
//! - `remains`: what can be made of it when the other voters are lost

mod log;
mod machine;
mod remains;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rakt::error::Cause;
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::log::Log;
pub(crate) use self::machine::{Applied, Machine};
pub(crate) use self::remains::Remains;
use crate::error::OpenError;
use crate::founding::Standing;
use crate::names::{Id, Shown, random};

/// How the file is laid out.
pub(crate) const FORMAT: u64 = 1;
/// How much of the file is kept in memory, in bytes.
const CACHE_LEN: usize = 16 << 20;
/// How long somebody else may take to let go of the directory.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

const FILE: &str = "raft.redb";
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

const KEY_FORMAT: &str = "format";
const KEY_ID: &str = "id";
const KEY_STANDING: &str = "standing";
const KEY_VOTE: &str = "vote";
const KEY_COMMITTED: &str = "committed";
const KEY_PURGED: &str = "purged";
const KEY_CHECKPOINT: &str = "checkpoint";

/// An open directory. It is let go when the last holder is gone.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    db: Database,
    id: Id,
    _lock: File,
}

/// Something with the file did not work.
#[derive(Debug, thiserror::Error)]
#[error("{} in {}", what, path.display())]
pub(crate) struct Failed {
    path: PathBuf,
    what: &'static str,
    source: Cause,
}

/// What goes wrong with redb, and with what is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error(transparent)]
    Redb(redb::Error),
    #[error("an entry of the log does not belong to those before it")]
    Foreign,
    #[error("what is there cannot be read")]
    Bytes(#[from] postcard::Error),
}

macro_rules! broken {
    ($($error:ty),*) => { $(
        impl From<$error> for Broken {
            fn from(error: $error) -> Self {
                Self::Redb(error.into())
            }
        }
    )* };
}

broken!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);

impl Directory {
    /// Opens the directory, which is made where there is none.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>, OpenError> {
        let failed = |what| {
            let dir = path.to_owned();
            move |error: std::io::Error| OpenError::Failed { dir, what, source: Cause::new(error) }
        };
        std::fs::create_dir_all(path).map_err(failed("the directory cannot be made"))?;
        let mut lock = lock(path)?;
        let mut text = String::new();
        lock.read_to_string(&mut text).map_err(failed("the file `lock` cannot be read"))?;
        let known = Id::from_str_radix(text.trim(), 16).ok();
        let file = path.join(FILE);
        let is_there = file.try_exists().map_err(failed("the log cannot be looked for"))?;
        if !is_there {
            if let Some(id) = known {
                return Err(OpenError::Lost { dir: path.to_owned(), voter: Shown(id).to_string() });
            }
            make(path, &file)?;
            sync(path).map_err(failed("the directory cannot be written to"))?;
        }
        let broken = |source: Broken| OpenError::Failed {
            dir: path.to_owned(),
            what: "the log cannot be opened",
            source: Cause::new(source),
        };
        let db = Database::builder().set_cache_size(CACHE_LEN).open(&file);
        let db = db.map_err(|error| broken(error.into()))?;
        let id = look(&db, path).map_err(broken)??;
        if known.is_some_and(|known| known != id) {
            let (lock, log) = (text.trim().to_owned(), Shown(id).to_string());
            return Err(OpenError::Mixed { dir: path.to_owned(), lock, log });
        }
        if known.is_none() {
            let mut write = || {
                lock.rewind()?;
                writeln!(lock, "{}", Shown(id))?;
                lock.sync_all()
            };
            write().map_err(failed("the file `lock` cannot be written"))?;
        }
        Ok(Arc::new(Self { path: path.to_owned(), db, id, _lock: lock }))
    }

    pub(crate) fn id(&self) -> Id {
        self.id
    }

    /// Carries out what may take the disk, where that holds up nobody.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        what: &'static str,
        work: impl FnOnce(&Self) -> Result<T, Broken> + Send + 'static,
    ) -> Result<T, Failed> {
        let dir = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&dir);
            // Whoever hears of it may take it that nothing holds the directory for it any more.
            drop(dir);
            done
        });
        let failed = |source| Failed { path: self.path.clone(), what, source };
        match done.await {
            Ok(done) => done.map_err(|error| failed(Cause::new(error))),
            Err(ended) => Err(failed(Cause::new(ended))),
        }
    }

    fn write(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let writing = self.db.begin_write()?;
        change(&writing)?;
        Ok(writing.commit()?)
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Broken> {
        let table = self.db.begin_read()?.open_table(META)?;
        let Some(bytes) = table.get(key)? else { return Ok(None) };
        Ok(Some(postcard::from_bytes(bytes.value())?))
    }

    pub(crate) async fn standing(self: &Arc<Self>) -> Result<Standing, Failed> {
        let read = |dir: &Self| dir.get(KEY_STANDING);
        let standing = self.blocking("how far the node is cannot be read", read).await?;
        Ok(standing.unwrap_or(Standing::Fresh))
    }

    /// It is on the disk when this returns.
    pub(crate) async fn set_standing(self: &Arc<Self>, standing: Standing) -> Result<(), Failed> {
        self.blocking("how far the node is cannot be written", move |dir| {
            dir.write(|writing| set(writing, KEY_STANDING, &standing))
        })
        .await
    }
}

fn set<T: Serialize>(writing: &WriteTransaction, key: &str, value: &T) -> Result<(), Broken> {
    let bytes = postcard::to_stdvec(value)?;
    writing.open_table(META)?.insert(key, &*bytes)?;
    Ok(())
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |error| OpenError::Failed {
        dir: path.to_owned(),
        what: "the file `lock` cannot be opened",
        source: Cause::new(error),
    };
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false);
    let file = file.open(path.join("lock")).map_err(failed)?;
    let until = Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // On a thread for what blocks.
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                std::thread::sleep(LOCK_INTERVAL);
            }
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

/// Makes a file that is either there as a whole or not at all.
fn make(path: &Path, file: &Path) -> Result<(), OpenError> {
    let id = loop {
        match Id::from_be_bytes(random()) {
            // What a log has as the id of nobody.
            0 => {}
            id => break id,
        }
    };
    let new = path.join("raft.redb.new");
    let write = || {
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Broken::Redb(redb::Error::Io(error)));
            }
            _ => {}
        }
        let db = Database::create(&new)?;
        let writing = db.begin_write()?;
        set(&writing, KEY_FORMAT, &FORMAT)?;
        set(&writing, KEY_ID, &id)?;
        writing.open_table(LOG)?;
        writing.commit()?;
        drop(db);
        std::fs::rename(&new, file).map_err(|error| Broken::Redb(redb::Error::Io(error)))
    };
    write().map_err(|error| OpenError::Failed {
        dir: path.to_owned(),
        what: "the log cannot be made",
        source: Cause::new(error),
    })
}

fn look(db: &Database, path: &Path) -> Result<Result<Id, OpenError>, Broken> {
    let table = db.begin_read()?.open_table(META)?;
    let number = |key| -> Result<u64, Broken> {
        let found = table.get(key)?;
        let bytes = found.as_ref().map_or(&[][..], |found| found.value());
        Ok(postcard::from_bytes(bytes)?)
    };
    match number(KEY_FORMAT)? {
        FORMAT => Ok(Ok(number(KEY_ID)?)),
        found => Ok(Err(OpenError::Format { dir: path.to_owned(), found })),
    }
}

/// What is new in a directory is there only when the directory says so on the disk.
fn sync(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}
