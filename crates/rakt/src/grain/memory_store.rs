//! A store that is gone with the process.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use bytes::Bytes;

use super::epoch::{Epoch, Writer};
use super::id::GrainId;
use super::store::{ClaimError, DueReminder, GrainStore, Reminder, SaveError, StoreError, Stored};
use crate::sync::Mutex;

/// Keeps the state of grains in this process: it outlives their activations, and not the process. For tests, and for
/// what can be made again.
///
/// It grows with the number of grains that were ever claimed.
#[derive(Default)]
pub struct MemoryStore {
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    grains: HashMap<GrainId, Row>,
    reminders: BTreeMap<(GrainId, String), Reminder>,
}

struct Row {
    claim: (Epoch, Writer),
    version: u64,
    state: Option<Bytes>,
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows = self.rows.lock();
        f.debug_struct("MemoryStore")
            .field("grains", &rows.grains.len())
            .field("reminders", &rows.reminders.len())
            .finish()
    }
}

impl MemoryStore {
    /// A store with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }
}

impl GrainStore for MemoryStore {
    async fn claim(
        &self,
        grain: &GrainId,
        epoch: Epoch,
        writer: Writer,
    ) -> Result<Option<Stored>, ClaimError> {
        let mut rows = self.rows.lock();
        let claim = (epoch, writer);
        let new = || Row { claim, version: 0, state: None };
        let row = rows.grains.entry(grain.clone()).or_insert_with(new);
        let (by, holder) = row.claim;
        if epoch < by || (epoch == by && writer != holder) {
            return Err(ClaimError::Superseded { by });
        }
        row.claim = claim;
        let Row { version, ref state, .. } = *row;
        Ok((version > 0).then(|| Stored { version, state: state.clone() }))
    }

    async fn save(
        &self,
        grain: &GrainId,
        claim: (Epoch, Writer),
        over: u64,
        state: Option<Bytes>,
    ) -> Result<u64, SaveError> {
        let mut rows = self.rows.lock();
        match rows.grains.get_mut(grain) {
            Some(row) if row.claim == claim && row.version == over => {
                row.version += 1;
                row.state = state;
                Ok(row.version)
            }
            _ => Err(SaveError::Fenced),
        }
    }

    async fn remind(
        &self,
        grain: &GrainId,
        name: &str,
        reminder: Reminder,
    ) -> Result<(), StoreError> {
        self.rows.lock().reminders.insert((grain.clone(), name.to_owned()), cut(reminder));
        Ok(())
    }

    async fn forget(&self, grain: &GrainId, name: &str) -> Result<(), StoreError> {
        self.rows.lock().reminders.remove(&(grain.clone(), name.to_owned()));
        Ok(())
    }

    async fn due(
        &self,
        kind: &str,
        now: SystemTime,
        most: usize,
    ) -> Result<Vec<DueReminder>, StoreError> {
        let rows = self.rows.lock();
        let of_kind = rows
            .reminders
            .iter()
            .filter(|((grain, _), reminder)| grain.kind() == kind && reminder.due <= now);
        let mut due: Vec<_> = of_kind
            .map(|((grain, name), reminder)| DueReminder {
                grain: grain.clone(),
                name: name.clone(),
                reminder: *reminder,
            })
            .collect();
        due.sort_by_key(|due| due.reminder.due);
        due.truncate(most);
        Ok(due)
    }

    async fn settle(&self, due: &DueReminder, next: Option<Reminder>) -> Result<(), StoreError> {
        let mut rows = self.rows.lock();
        let key = (due.grain.clone(), due.name.clone());
        if rows.reminders.get(&key) != Some(&cut(due.reminder)) {
            return Ok(());
        }
        match next {
            Some(next) => rows.reminders.insert(key, cut(next)),
            None => rows.reminders.remove(&key),
        };
        Ok(())
    }
}

/// As every other store would have it.
fn cut(reminder: Reminder) -> Reminder {
    let (due, every) = reminder.to_millis();
    Reminder::from_millis(due, every)
}
