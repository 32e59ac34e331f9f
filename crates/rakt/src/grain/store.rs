//! Where grains keep what outlives them: their state, and their reminders.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::epoch::{Epoch, Writer};
use super::id::GrainId;
use crate::error::Cause;

/// Keeps the state and the reminders of grains. Implemented by [`MemoryStore`](super::MemoryStore), by the crates
/// `rakt-redb` and `rakt-postgres`, and by whoever has another place for them;
/// `rakt::testkit::store` tries out whether one keeps its promises.
///
/// # Fencing
/// Where a node is cut off or paused, another one may activate a grain that still lives there. The store is what
/// keeps the older of the two from writing: [`claim`](Self::claim) notes the epoch of the newer one, and from then on
/// every write of an older epoch is refused, also one that is under way. Whatever an implementation does, it has
/// to check and to write in one step.
pub trait GrainStore: Send + Sync + 'static {
    /// Claims the grain for an activation, and reads what is stored. From here on every older epoch is refused. A grain
    /// that was never stored is claimed as well: a claim of it is written down.
    ///
    /// # Errors
    /// [`ClaimError::Superseded`] if the grain was claimed for a later epoch, or for the same one by another writer.
    fn claim(
        &self,
        grain: &GrainId,
        epoch: Epoch,
        writer: Writer,
    ) -> impl Future<Output = Result<Option<Stored>, ClaimError>> + Send;

    /// Replaces what is stored, or deletes it, if `epoch` and `writer` still hold the claim, and the version of what is
    /// stored is `over`, 0 where nothing is. Returns the version of what is stored now: one that it never had before.
    /// What is deleted leaves its claim and version behind.
    ///
    /// # Errors
    /// [`SaveError`]: whether it was not written, or that this is not known.
    fn save(
        &self,
        grain: &GrainId,
        claim: (Epoch, Writer),
        over: u64,
        state: Option<Bytes>,
    ) -> impl Future<Output = Result<u64, SaveError>> + Send;

    /// Notes a reminder, in place of one of that name.
    ///
    /// # Errors
    /// What the store said. Then it may be noted or not.
    fn remind(
        &self,
        grain: &GrainId,
        name: &str,
        reminder: Reminder,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes a reminder back; without one of that name nothing happens.
    ///
    /// # Errors
    /// What the store said. Then it may be there or not.
    fn forget(
        &self,
        grain: &GrainId,
        name: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The reminders of grains of `kind` that are due at `now` or before, those that are due first at the front, `most`
    /// at most.
    ///
    /// # Errors
    /// What the store said.
    fn due(
        &self,
        kind: &str,
        now: SystemTime,
        most: usize,
    ) -> impl Future<Output = Result<Vec<DueReminder>, StoreError>> + Send;

    /// Replaces a reminder by the next one, or removes it, if it is what it was: somebody may have set it anew, or
    /// taken it back.
    ///
    /// # Errors
    /// What the store said. Then it may be what it was.
    fn settle(
        &self,
        due: &DueReminder,
        next: Option<Reminder>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What a store has of a grain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it, and it is all there is")]
pub struct Stored {
    /// Which write it is of. A version is never given to another state of the grain.
    pub version: u64,
    /// The state as it was saved; `None` where it was deleted.
    pub state: Option<Bytes>,
}

/// When a grain is to be reminded, and how often. Stores keep both to the millisecond, and [may](Self::to_millis) cut
/// off the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it, and it is all there is")]
pub struct Reminder {
    /// When it is due.
    pub due: SystemTime,
    /// After how long again, for one that repeats itself.
    pub every: Option<Duration>,
}

/// From 1970 to the end of the year 9999.
const END_OF_TIMES: Duration = Duration::from_secs(253_402_300_799);

impl Reminder {
    /// When it is due, in milliseconds since 1970, and after how many again, for a store that keeps numbers: what is
    /// finer is cut off, but a repetition is never 0 that was more. What is too far away is as far as can be.
    pub fn to_millis(&self) -> (i64, Option<i64>) {
        let whole = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let due = match self.due.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => whole(after),
            Err(error) => {
                let before = error.duration();
                let cut = Duration::from_nanos(999_999);
                whole(before.saturating_add(cut)).saturating_neg()
            }
        };
        let some = |every: Duration| whole(every).max(i64::from(!every.is_zero()));
        (due, self.every.map(some))
    }

    /// The reminder of which these are the [milliseconds](Self::to_millis).
    pub fn from_millis(due: i64, every: Option<i64>) -> Self {
        let away = Duration::from_millis(due.unsigned_abs());
        let epoch = SystemTime::UNIX_EPOCH;
        // What one system has a time for, another one may not have: then it is as far away as every system's times are.
        let due = match due {
            ..0 => epoch.checked_sub(away).unwrap_or(epoch),
            0.. => epoch.checked_add(away).unwrap_or(epoch + END_OF_TIMES),
        };
        let every = every.map(|every| Duration::from_millis(every.try_into().unwrap_or(0)));
        Self { due, every }
    }
}

/// A reminder whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it, and it is all there is")]
pub struct DueReminder {
    /// Whose it is.
    pub grain: GrainId,
    /// Its name among those of the grain.
    pub name: String,
    /// What is noted of it.
    pub reminder: Reminder,
}

/// A store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store of the grains failed")]
#[non_exhaustive]
pub struct StoreError {
    /// What it said.
    pub source: Cause,
}

impl StoreError {
    /// With what went wrong.
    pub fn new(source: impl Into<crate::BoxError>) -> Self {
        Self { source: Cause::new(source) }
    }
}

/// Why a grain could not be claimed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// It is claimed for this epoch, which is a later one or that of another writer.
    #[error(
        "the grain is claimed for epoch {by}: it lives elsewhere, or can be tried again once the generation is raised above that"
    )]
    Superseded {
        /// The epoch that holds the claim.
        by: Epoch,
    },
    /// The store failed, and the grain may be claimed or not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a state was not saved, or may not have been.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// Another activation has the claim, or has written something else: nothing was written.
    #[error("another activation of the grain has taken over")]
    Fenced,
    /// The store failed before it wrote anything.
    #[error("the state was not saved")]
    NotSaved {
        /// What it said.
        source: Cause,
    },
    /// The store failed, and the state may be saved or not.
    #[error("whether the state was saved is not known")]
    Unknown {
        /// What it said.
        source: Cause,
    },
}

pub(super) type Storing<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// A store whose type is not known any more.
pub(super) trait AnyStore: Send + Sync {
    fn claim<'a>(
        &'a self,
        grain: &'a GrainId,
        epoch: Epoch,
        writer: Writer,
    ) -> Storing<'a, Option<Stored>, ClaimError>;
    fn save<'a>(
        &'a self,
        grain: &'a GrainId,
        claim: (Epoch, Writer),
        over: u64,
        state: Option<Bytes>,
    ) -> Storing<'a, u64, SaveError>;
    fn remind<'a>(
        &'a self,
        grain: &'a GrainId,
        name: &'a str,
        reminder: Reminder,
    ) -> Storing<'a, (), StoreError>;
    fn forget<'a>(&'a self, grain: &'a GrainId, name: &'a str) -> Storing<'a, (), StoreError>;
    fn due<'a>(
        &'a self,
        kind: &'a str,
        now: SystemTime,
        most: usize,
    ) -> Storing<'a, Vec<DueReminder>, StoreError>;
    fn settle<'a>(
        &'a self,
        due: &'a DueReminder,
        next: Option<Reminder>,
    ) -> Storing<'a, (), StoreError>;
}

impl<S: GrainStore> AnyStore for S {
    fn claim<'a>(
        &'a self,
        grain: &'a GrainId,
        epoch: Epoch,
        writer: Writer,
    ) -> Storing<'a, Option<Stored>, ClaimError> {
        Box::pin(GrainStore::claim(self, grain, epoch, writer))
    }

    fn save<'a>(
        &'a self,
        grain: &'a GrainId,
        claim: (Epoch, Writer),
        over: u64,
        state: Option<Bytes>,
    ) -> Storing<'a, u64, SaveError> {
        Box::pin(GrainStore::save(self, grain, claim, over, state))
    }

    fn remind<'a>(
        &'a self,
        grain: &'a GrainId,
        name: &'a str,
        reminder: Reminder,
    ) -> Storing<'a, (), StoreError> {
        Box::pin(GrainStore::remind(self, grain, name, reminder))
    }

    fn forget<'a>(&'a self, grain: &'a GrainId, name: &'a str) -> Storing<'a, (), StoreError> {
        Box::pin(GrainStore::forget(self, grain, name))
    }

    fn due<'a>(
        &'a self,
        kind: &'a str,
        now: SystemTime,
        most: usize,
    ) -> Storing<'a, Vec<DueReminder>, StoreError> {
        Box::pin(GrainStore::due(self, kind, now, most))
    }

    fn settle<'a>(
        &'a self,
        due: &'a DueReminder,
        next: Option<Reminder>,
    ) -> Storing<'a, (), StoreError> {
        Box::pin(GrainStore::settle(self, due, next))
    }
}

/// Several kinds, and those who look into it from outside, may share a store.
impl<S: GrainStore> GrainStore for Arc<S> {
    fn claim(
        &self,
        grain: &GrainId,
        epoch: Epoch,
        writer: Writer,
    ) -> impl Future<Output = Result<Option<Stored>, ClaimError>> + Send {
        S::claim(self, grain, epoch, writer)
    }

    fn save(
        &self,
        grain: &GrainId,
        claim: (Epoch, Writer),
        over: u64,
        state: Option<Bytes>,
    ) -> impl Future<Output = Result<u64, SaveError>> + Send {
        S::save(self, grain, claim, over, state)
    }

    fn remind(
        &self,
        grain: &GrainId,
        name: &str,
        reminder: Reminder,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::remind(self, grain, name, reminder)
    }

    fn forget(
        &self,
        grain: &GrainId,
        name: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::forget(self, grain, name)
    }

    fn due(
        &self,
        kind: &str,
        now: SystemTime,
        most: usize,
    ) -> impl Future<Output = Result<Vec<DueReminder>, StoreError>> + Send {
        S::due(self, kind, now, most)
    }

    fn settle(
        &self,
        due: &DueReminder,
        next: Option<Reminder>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::settle(self, due, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reminders_are_cut_to_the_millisecond_and_to_what_there_is() {
        let epoch = SystemTime::UNIX_EPOCH;
        let (ms, micros) = (Duration::from_millis, Duration::from_micros);
        let millis = |due, every| Reminder { due, every }.to_millis();
        assert_eq!(millis(epoch + micros(1_999), Some(micros(1_999))), (1, Some(1)));
        assert_eq!(millis(epoch - micros(1_999), Some(micros(1))), (-2, Some(1)));
        assert_eq!(millis(epoch - ms(2), Some(ms(0))), (-2, Some(0)));
        assert_eq!(millis(epoch, Some(Duration::MAX)), (0, Some(i64::MAX)));
        for whole in [-1_000, -1, 0, 1, 1_000, END_OF_TIMES.as_millis() as i64] {
            let reminder = Reminder::from_millis(whole, Some(5));
            assert_eq!(reminder.to_millis(), (whole, Some(5)));
        }
        let _ = (Reminder::from_millis(i64::MIN, Some(-1)), Reminder::from_millis(i64::MAX, None));
    }
}
