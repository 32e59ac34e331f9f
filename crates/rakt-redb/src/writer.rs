//! Who writes: one task at a time, and all that waits by then in one transaction, as what takes long is that it gets
//! to the disk.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rakt::error::Cause;
use redb::Database;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::OpenError;
use crate::tables::{Change, Tables};

/// Most calls in one transaction.
const MOST_AT_ONCE: usize = 256;
/// Most calls that wait to be written; more of them wait for a place.
const MOST_WAITING: usize = 4_096;

/// Why a call was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// Nothing was written.
    #[error("nothing was written")]
    Before(#[source] Cause),
    /// It may be written.
    #[error("whether it was written is not known")]
    Unknown(#[source] Cause),
}

/// Opens the file.
type Open = Box<dyn Fn() -> Result<Database, OpenError> + Send + Sync>;

/// What the clones of a store share.
pub(crate) struct Shared {
    /// None while it cannot be opened again.
    db: RwLock<Option<Database>>,
    open: Open,
    quick_repair: bool,
    places: Arc<Semaphore>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Box<dyn Call>>,
    /// Whether there is somebody who writes.
    is_written: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("waiting", &self.queue().waiting.len())
            .finish_non_exhaustive()
    }
}

/// A call that waits for its transaction.
trait Call: Send {
    /// Says whether it has changed anything.
    fn apply(&mut self, tables: &mut Tables<'_>) -> Result<bool, redb::StorageError>;
    fn finish(self: Box<Self>, outcome: Result<(), Failed>);
}

struct Waiting<F, T> {
    /// Until it is carried out.
    work: Option<F>,
    /// From then on.
    came_to: Option<T>,
    reply: oneshot::Sender<Result<T, Failed>>,
    _place: OwnedSemaphorePermit,
}

impl<F, T> Call for Waiting<F, T>
where
    F: FnOnce(&mut Tables<'_>) -> Change<T> + Send,
    T: Send,
{
    fn apply(&mut self, tables: &mut Tables<'_>) -> Result<bool, redb::StorageError> {
        let Some(work) = self.work.take() else { return Ok(false) };
        let (changed, came_to) = work(tables)?;
        self.came_to = Some(came_to);
        Ok(changed)
    }

    fn finish(self: Box<Self>, outcome: Result<(), Failed>) {
        let Self { came_to, reply, .. } = *self;
        let outcome = outcome.and_then(|()| came_to.ok_or_else(gone));
        // Whoever has called may have given up.
        let _ = reply.send(outcome);
    }
}

fn gone() -> Failed {
    Failed::Unknown(Cause::new("the task that writes has ended"))
}

impl Shared {
    pub(crate) fn new(db: Database, open: Open, quick_repair: bool) -> Self {
        let places = Arc::new(Semaphore::new(MOST_WAITING));
        Self { db: RwLock::new(Some(db)), open, quick_repair, places, queue: Mutex::default() }
    }

    /// Begins something with the database. After an error of the disk that does nothing more until it is opened again,
    /// which may succeed: there is room again, or the network is back.
    pub(crate) fn with<T>(
        &self,
        begin: impl Fn(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, Failed> {
        let before = |error| Failed::Before(Cause::new(error));
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        match db.as_ref().map(&begin) {
            Some(Err(redb::Error::PreviousIo)) | None => {}
            Some(outcome) => return outcome.map_err(before),
        }
        drop(db);
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // It lets go of the file first.
        *db = None;
        let opened = (self.open)().map_err(|error| Failed::Before(Cause::new(error)))?;
        begin(db.insert(opened)).map_err(before)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a call, and waits until what it has changed is on the disk.
    pub(crate) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Tables<'_>) -> Change<T> + Send + 'static,
    ) -> Result<T, Failed> {
        let place = self.places.clone().acquire_owned().await;
        let place = place.expect("the places are never closed");
        let (reply, replied) = oneshot::channel();
        let call = Waiting { work: Some(work), came_to: None, reply, _place: place };
        let is_written = {
            let mut queue = self.queue();
            queue.waiting.push_back(Box::new(call));
            std::mem::replace(&mut queue.is_written, true)
        };
        if !is_written {
            let writer = Writing(Some(self.clone()));
            tokio::task::spawn_blocking(move || writer.run());
        }
        replied.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Carries out all of them, or none.
    fn commit(&self, calls: &mut [Box<dyn Call>]) -> Result<(), Failed> {
        fn before(error: impl Into<redb::Error>) -> Failed {
            Failed::Before(Cause::new(error.into()))
        }
        let mut writing = self.with(|db| Ok(db.begin_write()?))?;
        writing.set_quick_repair(self.quick_repair);
        let mut changed = false;
        {
            let mut tables = Tables::open(&writing).map_err(before)?;
            for call in calls {
                changed |= call.apply(&mut tables).map_err(before)?;
            }
        }
        if !changed {
            return writing.abort().map_err(before);
        }
        writing.commit().map_err(|error| Failed::Unknown(Cause::new(redb::Error::from(error))))
    }
}

/// The one who writes. If it is dropped on the way nobody is left waiting for it.
struct Writing(Option<Arc<Shared>>);

impl Writing {
    fn run(mut self) {
        while let Some(shared) = &self.0 {
            let mut calls: Vec<_> = {
                let waiting = &mut shared.queue().waiting;
                let len = waiting.len().min(MOST_AT_ONCE);
                waiting.drain(..len).collect()
            };
            let outcome = shared.commit(&mut calls);
            {
                let mut queue = shared.queue();
                if queue.waiting.is_empty() {
                    queue.is_written = false;
                    drop(queue);
                    // Whoever hears of the last write may take it that the file is released.
                    self.0 = None;
                }
            }
            for call in calls {
                call.finish(outcome.clone());
            }
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            let waiting = {
                let mut queue = shared.queue();
                queue.is_written = false;
                std::mem::take(&mut queue.waiting)
            };
            drop(waiting);
        }
    }
}
