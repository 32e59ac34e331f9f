#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod tables;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rakt::error::Cause;
use rakt::grain::{
    ClaimError, DueReminder, Epoch, GrainId, GrainStore, Reminder, SaveError, StoreError, Stored,
    Writer,
};
use redb::{Database, DatabaseError, ReadableDatabase};

use self::writer::{Failed, Shared};

/// The default of [`Builder::cache_len`].
const CACHE_LEN: usize = 64 << 20;
/// The default of [`Builder::lock_timeout`].
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it is looked whether a file is released.
const LOCK_INTERVAL: Duration = Duration::from_millis(5);
/// The largest state, in bytes.
const MAX_STATE_LEN: usize = 1 << 30;

/// Keeps the state and the reminders of grains in a file.
///
/// Clones are the same store. The file is released when the last clone is gone and what it was asked is done.
///
/// # Cancel safety
/// A call whose future is dropped may be carried out all the same.
///
/// # Panics
/// Every call does outside of a tokio runtime.
#[derive(Clone, Debug)]
pub struct RedbStore(Arc<Shared>);

/// Options of a [`RedbStore`].
#[derive(Clone, Debug)]
pub struct Builder {
    cache_len: usize,
    quick_repair: bool,
    lock_timeout: Duration,
}

/// Why a file could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open, or another store in this one.
    #[error("{} is in use: one store in one process has it at a time", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It was written by another version of this crate, which keeps its rows in another way.
    #[error("{} is of format {found}, and this version reads {}", path.display(), tables::FORMAT)]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u64,
    },
    /// It is no file of redb, or cannot be read or written.
    #[error("{} cannot be opened", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
}

impl RedbStore {
    /// Opens the file, which is made where there is none; its directory has to be there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(path).await
    }

    /// With other options than the default ones.
    pub fn builder() -> Builder {
        Builder { cache_len: CACHE_LEN, quick_repair: false, lock_timeout: LOCK_TIMEOUT }
    }
}

impl Builder {
    /// How much of the file is kept in memory, in bytes. Default 64 MiB.
    #[must_use]
    pub fn cache_len(mut self, bytes: usize) -> Self {
        self.cache_len = bytes;
        self
    }

    /// Whether each write notes what a repair would have to find out, so that the file is opened at once also after a
    /// crash, and not looked through. Default: no, as it makes writes slower.
    #[must_use]
    pub fn quick_repair(mut self, quick: bool) -> Self {
        self.quick_repair = quick;
        self
    }

    /// How long it waits for somebody else to let go of the file: a process that ends, or a store before this one that
    /// still does what it was asked by who has not waited for it. Default 1 s.
    #[must_use]
    pub fn lock_timeout(mut self, limit: Duration) -> Self {
        self.lock_timeout = limit;
        self
    }

    /// Opens the file, which is made where there is none; its directory has to be there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(self, path: impl AsRef<Path>) -> Result<RedbStore, OpenError> {
        let path = path.as_ref().to_owned();
        let opening = tokio::task::spawn_blocking({
            let path = path.clone();
            move || self.open_now(&path)
        });
        match opening.await {
            Ok(opened) => opened,
            Err(ended) => Err(OpenError::Failed { path, source: Cause::new(ended) }),
        }
    }

    fn open_now(&self, path: &Path) -> Result<RedbStore, OpenError> {
        let (path, cache_len) = (path.to_owned(), self.cache_len);
        let open = move || open_file(&path, cache_len);
        let until = Instant::now() + self.lock_timeout;
        let db = loop {
            match open() {
                // On a thread for what blocks.
                Err(OpenError::InUse { .. }) if Instant::now() < until => {
                    std::thread::sleep(LOCK_INTERVAL);
                }
                opened => break opened?,
            }
        };
        Ok(RedbStore(Arc::new(Shared::new(db, Box::new(open), self.quick_repair))))
    }
}

fn open_file(path: &Path, cache_len: usize) -> Result<Database, OpenError> {
    let failed = |source| OpenError::Failed { path: path.to_owned(), source };
    let mut builder = Database::builder();
    let db = builder.set_cache_size(cache_len).create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path.to_owned() },
        error => failed(Cause::new(error)),
    })?;
    match tables::prepare(&db) {
        Ok(tables::FORMAT) => {}
        Ok(found) => return Err(OpenError::Format { path: path.to_owned(), found }),
        Err(error) => return Err(failed(Cause::new(error))),
    }
    sync_directory(path).map_err(|error| failed(Cause::new(error)))?;
    Ok(db)
}

/// A new file is one only when its directory says so on the disk.
#[cfg(unix)]
fn sync_directory(path: &Path) -> std::io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> std::io::Result<()> {
    Ok(())
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        Self::new(failed)
    }
}

impl GrainStore for RedbStore {
    async fn claim(
        &self,
        grain: &GrainId,
        epoch: Epoch,
        writer: Writer,
    ) -> Result<Option<Stored>, ClaimError> {
        let grain = grain.clone();
        let claimed = self.0.write(move |tables| tables.claim(&grain, (epoch, writer))).await;
        claimed.map_err(StoreError::from)?.map_err(|by| ClaimError::Superseded { by })
    }

    async fn save(
        &self,
        grain: &GrainId,
        claim: (Epoch, Writer),
        over: u64,
        state: Option<Bytes>,
    ) -> Result<u64, SaveError> {
        if state.as_ref().is_some_and(|state| state.len() > MAX_STATE_LEN) {
            let source = Cause::new(format!("a state has {MAX_STATE_LEN} bytes at most"));
            return Err(SaveError::NotSaved { source });
        }
        let grain = grain.clone();
        let saved = self.0.write(move |tables| tables.save(&grain, claim, over, state.as_deref()));
        match saved.await {
            Ok(Some(version)) => Ok(version),
            Ok(None) => Err(SaveError::Fenced),
            Err(Failed::Before(source)) => Err(SaveError::NotSaved { source }),
            Err(Failed::Unknown(source)) => Err(SaveError::Unknown { source }),
        }
    }

    async fn remind(
        &self,
        grain: &GrainId,
        name: &str,
        reminder: Reminder,
    ) -> Result<(), StoreError> {
        let (grain, name) = (grain.clone(), name.to_owned());
        Ok(self.0.write(move |tables| tables.set(&grain, &name, Some(reminder))).await?)
    }

    async fn forget(&self, grain: &GrainId, name: &str) -> Result<(), StoreError> {
        let (grain, name) = (grain.clone(), name.to_owned());
        Ok(self.0.write(move |tables| tables.set(&grain, &name, None)).await?)
    }

    async fn due(
        &self,
        kind: &str,
        now: SystemTime,
        most: usize,
    ) -> Result<Vec<DueReminder>, StoreError> {
        let (shared, kind) = (self.0.clone(), kind.to_owned());
        let looking = tokio::task::spawn_blocking(move || {
            let found = shared.with(|db| tables::due(&db.begin_read()?, &kind, now, most));
            // Whoever hears of it may take it that the file is released.
            drop(shared);
            found
        });
        Ok(looking.await.map_err(StoreError::new)??)
    }

    async fn settle(&self, due: &DueReminder, next: Option<Reminder>) -> Result<(), StoreError> {
        let due = due.clone();
        Ok(self.0.write(move |tables| tables.settle(&due, next)).await?)
    }
}
