//! One life of a grain, and what it has stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::epoch::{Epoch, Writer};
use super::id::GrainId;
use super::kind::Terms;
use super::store::{AnyStore, ClaimError, Reminder, SaveError, StoreError};
use crate::error::BoxError;
use crate::sync::Mutex;

/// The longest name of a reminder, in bytes: stores have it in an index.
const MAX_REMINDER_LEN: usize = 255;

/// One life of a grain.
pub(super) struct Activation {
    pub(super) id: GrainId,
    terms: Arc<Terms>,
    held: Mutex<Held>,
    /// It is counted as one that lives.
    is_counted: AtomicBool,
}

struct Held {
    claim: (Epoch, Writer),
    /// The version of what is stored.
    version: u64,
    state: Option<Bytes>,
    /// Somebody else has taken over, or whether the last write is stored is not known: the truth is in the store alone.
    is_out_of_date: bool,
}

/// A grain of a kind without a store was to keep something.
#[derive(Debug, thiserror::Error)]
#[error("the kind {0:?} has no store: see `GrainKind::store`")]
struct NoStore(String);

/// A state is too long to be saved.
#[derive(Debug, thiserror::Error)]
#[error(
    "a state of {len} bytes is longer than the limit of {limit}: see `GrainKind::max_state_len`"
)]
struct StateTooLong {
    len: usize,
    limit: usize,
}

impl Activation {
    pub(super) fn new(id: GrainId, terms: Arc<Terms>, claim: (Epoch, Writer)) -> Self {
        let held = Held { claim, version: 0, state: None, is_out_of_date: false };
        Self { id, terms, held: Mutex::new(held), is_counted: AtomicBool::new(false) }
    }

    /// It lives, and is counted.
    pub(super) fn count_in(&self) {
        self.is_counted.store(true, Ordering::Release);
    }

    /// It lives no more. Says whether it is to be counted as that, once.
    pub(super) fn count_out(&self) -> bool {
        self.is_counted.swap(false, Ordering::AcqRel)
    }

    fn store(&self) -> Result<&dyn AnyStore, NoStore> {
        let store = self.terms.store.as_deref();
        store.ok_or_else(|| NoStore(self.id.kind().to_owned()))
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.held.lock().claim.0
    }

    /// What is stored, as far as this activation knows.
    pub(super) fn state(&self) -> Option<Bytes> {
        self.held.lock().state.clone()
    }

    /// Claims the grain, and reads what is stored. `raise` says what is later than an epoch that the store has seen, where
    /// this node may say so.
    pub(super) async fn claim(
        &self,
        raise: &(dyn Fn(Epoch) -> Option<Epoch> + Sync),
    ) -> Result<(), BoxError> {
        let Ok(store) = self.store() else { return Ok(()) };
        let (epoch, writer) = self.held.lock().claim;
        let claimed = match store.claim(&self.id, epoch, writer).await {
            Err(ClaimError::Superseded { by }) => {
                let Some(epoch) = raise(by) else {
                    return Err(ClaimError::Superseded { by }.into());
                };
                tracing::warn!(grain = %self.id, %by, %epoch, "the store has seen a later epoch");
                self.held.lock().claim.0 = epoch;
                store.claim(&self.id, epoch, writer).await
            }
            claimed => claimed,
        };
        let stored = claimed?;
        let mut held = self.held.lock();
        held.is_out_of_date = false;
        held.version = stored.as_ref().map_or(0, |stored| stored.version);
        held.state = stored.and_then(|stored| stored.state);
        Ok(())
    }

    /// Somebody else has taken over, or may.
    pub(super) fn note_taken_over(&self) {
        self.held.lock().is_out_of_date = true;
    }

    /// Whether somebody else has taken over, or may have: nothing is saved any more.
    pub(super) fn is_out_of_date(&self) -> bool {
        self.held.lock().is_out_of_date
    }

    /// Replaces what is stored. After [`SaveError::Fenced`] and [`SaveError::Unknown`] nothing more is written.
    pub(super) async fn save(&self, state: Option<Bytes>) -> Result<(), SaveError> {
        let not_saved =
            |error: BoxError| SaveError::NotSaved { source: crate::error::Cause::new(error) };
        let store = self.store().map_err(|error| not_saved(error.into()))?;
        let (len, limit) = (state.as_ref().map_or(0, Bytes::len), self.terms.max_state_len);
        if len > limit {
            return Err(not_saved(StateTooLong { len, limit }.into()));
        }
        let (claim, version) = {
            let mut held = self.held.lock();
            if held.is_out_of_date {
                return Err(SaveError::Fenced);
            }
            // Until it has answered: this may be dropped before.
            held.is_out_of_date = true;
            (held.claim, held.version)
        };
        let saved = store.save(&self.id, claim, version, state.clone()).await;
        let mut held = self.held.lock();
        match saved {
            Ok(version) => {
                (held.version, held.state, held.is_out_of_date) = (version, state, false);
                Ok(())
            }
            Err(error) => {
                held.is_out_of_date = !matches!(error, SaveError::NotSaved { .. });
                Err(error)
            }
        }
    }

    pub(super) async fn remind(
        &self,
        name: &str,
        after: Duration,
        every: Option<Duration>,
    ) -> Result<(), StoreError> {
        let store = self.store().map_err(StoreError::new)?;
        let is_name = (1..=MAX_REMINDER_LEN).contains(&name.len());
        if !is_name || every.is_some_and(|every| every.is_zero()) {
            let len = name.len();
            let text = format!(
                "a reminder has a name of 1 to {MAX_REMINDER_LEN} bytes, this one has {len}, and does not repeat itself \
                 after no time"
            );
            return Err(StoreError::new(text));
        }
        let due = SystemTime::now().checked_add(after);
        let due = due.ok_or_else(|| StoreError::new("no clock shows a time so late"))?;
        store.remind(&self.id, name, Reminder { due, every }).await
    }

    pub(super) async fn forget(&self, name: &str) -> Result<(), StoreError> {
        self.store().map_err(StoreError::new)?.forget(&self.id, name).await
    }
}
