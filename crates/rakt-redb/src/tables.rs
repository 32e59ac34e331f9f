//! The rows, and what a call makes of them.

use std::time::SystemTime;

use bytes::Bytes;
use rakt::grain::{DueReminder, Epoch, GrainId, Reminder, Stored, Writer};
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageError, Table,
    TableDefinition, TableError, WriteTransaction,
};

/// How the rows are kept.
pub(crate) const FORMAT: u64 = 1;

/// A kind and a key.
type Grain = (&'static str, &'static str);
/// Epoch and writer as bytes, and the version of what is stored.
type Claim = (&'static [u8; 24], &'static [u8; 24], u64);
/// When it is due, and after how long again or [`ONCE`], in milliseconds.
type Times = (i64, i64);
/// Of a reminder that does not repeat itself.
const ONCE: i64 = -1;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("rakt");
const CLAIMS: TableDefinition<'_, Grain, Claim> = TableDefinition::new("claims");
/// Apart from the claims, so that a claim does not write the state again.
const STATES: TableDefinition<'_, Grain, &[u8]> = TableDefinition::new("states");
/// By kind, key and name.
const REMINDERS: TableDefinition<'_, (&str, &str, &str), Times> = TableDefinition::new("reminders");
/// The same by kind, time, key and name.
const DUE: TableDefinition<'_, (&str, i64, &str, &str), ()> = TableDefinition::new("due");

/// What a call comes to, and whether it has changed anything.
pub(crate) type Change<T> = Result<(bool, T), StorageError>;

/// Makes the tables where there are none. Returns the format.
pub(crate) fn prepare(db: &Database) -> Result<u64, redb::Error> {
    let reading = db.begin_read()?;
    match reading.open_table(META) {
        Ok(meta) => return Ok(meta.get("format")?.map_or(0, |format| format.value())),
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let writing = db.begin_write()?;
    writing.open_table(META)?.insert("format", FORMAT)?;
    Tables::open(&writing)?;
    writing.commit()?;
    Ok(FORMAT)
}

/// The tables in one transaction.
pub(crate) struct Tables<'t> {
    claims: Table<'t, Grain, Claim>,
    states: Table<'t, Grain, &'static [u8]>,
    reminders: Table<'t, (&'static str, &'static str, &'static str), Times>,
    due: Table<'t, (&'static str, i64, &'static str, &'static str), ()>,
}

impl<'t> Tables<'t> {
    pub(crate) fn open(writing: &'t WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            claims: writing.open_table(CLAIMS)?,
            states: writing.open_table(STATES)?,
            reminders: writing.open_table(REMINDERS)?,
            due: writing.open_table(DUE)?,
        })
    }

    /// What is stored, or the epoch that has the claim.
    pub(crate) fn claim(
        &mut self,
        grain: &GrainId,
        (epoch, writer): (Epoch, Writer),
    ) -> Change<Result<Option<Stored>, Epoch>> {
        let row = self.row(grain)?;
        if let Some((by, has, _)) = row
            && (epoch < by || (epoch == by && writer.to_bytes() != has))
        {
            return Ok((false, Err(by)));
        }
        let version = row.map_or(0, |(.., version)| version);
        let again = row.is_some_and(|(by, ..)| by == epoch);
        if !again {
            self.put(grain, (epoch, writer), version)?;
        }
        if version == 0 {
            return Ok((!again, Ok(None)));
        }
        let state = self.states.get((grain.kind(), grain.key()))?;
        let state = state.map(|state| Bytes::copy_from_slice(state.value()));
        Ok((!again, Ok(Some(Stored { version, state }))))
    }

    /// The new version, unless it is fenced.
    pub(crate) fn save(
        &mut self,
        grain: &GrainId,
        (epoch, writer): (Epoch, Writer),
        over: u64,
        state: Option<&[u8]>,
    ) -> Change<Option<u64>> {
        if self.row(grain)? != Some((epoch, writer.to_bytes(), over)) {
            return Ok((false, None));
        }
        let version = over + 1;
        self.put(grain, (epoch, writer), version)?;
        let key = (grain.kind(), grain.key());
        match state {
            Some(state) => drop(self.states.insert(key, state)?),
            None => drop(self.states.remove(key)?),
        }
        Ok((true, Some(version)))
    }

    fn row(&self, grain: &GrainId) -> Result<Option<(Epoch, [u8; 24], u64)>, StorageError> {
        let row = self.claims.get((grain.kind(), grain.key()))?;
        Ok(row.map(|row| {
            let (epoch, writer, version) = row.value();
            (Epoch::from_bytes(*epoch), *writer, version)
        }))
    }

    fn put(
        &mut self,
        grain: &GrainId,
        (epoch, writer): (Epoch, Writer),
        version: u64,
    ) -> Result<(), StorageError> {
        let row = (&epoch.to_bytes(), &writer.to_bytes(), version);
        self.claims.insert((grain.kind(), grain.key()), row)?;
        Ok(())
    }

    /// Notes a reminder, or takes it back.
    pub(crate) fn set(&mut self, grain: &GrainId, name: &str, to: Option<Reminder>) -> Change<()> {
        let key = (grain.kind(), grain.key(), name);
        let was = match to.map(times) {
            Some(to) => self.reminders.insert(key, to)?.map(|was| was.value()),
            None => self.reminders.remove(key)?.map(|was| was.value()),
        };
        if let Some((due, _)) = was {
            self.due.remove((grain.kind(), due, grain.key(), name))?;
        }
        if let Some((due, _)) = to.map(times) {
            self.due.insert((grain.kind(), due, grain.key(), name), ())?;
        }
        Ok((was.is_some() || to.is_some(), ()))
    }

    /// The same, if it is what it was.
    pub(crate) fn settle(&mut self, due: &DueReminder, next: Option<Reminder>) -> Change<()> {
        let DueReminder { grain, name, reminder } = due;
        let key = (grain.kind(), grain.key(), name.as_str());
        let found = self.reminders.get(key)?.map(|found| found.value());
        if found != Some(times(*reminder)) {
            return Ok((false, ()));
        }
        self.set(grain, name, next)
    }
}

/// The reminders of a kind that are due.
pub(crate) fn due(
    reading: &ReadTransaction,
    kind: &str,
    now: SystemTime,
    most: usize,
) -> Result<Vec<DueReminder>, redb::Error> {
    let (index, reminders) = (reading.open_table(DUE)?, reading.open_table(REMINDERS)?);
    let (now, _) = times(Reminder { due: now, every: None });
    let mut found = Vec::new();
    for row in index.range((kind, i64::MIN, "", "")..)?.take(most) {
        let (row, _) = row?;
        let (of, due, key, name) = row.value();
        if of != kind || due > now {
            break;
        }
        let Some(times) = reminders.get((kind, key, name))? else { continue };
        let (due, every) = times.value();
        let grain = GrainId::new(kind, key).map_err(|error| {
            StorageError::Corrupted(format!("there is a reminder of no grain: {error}"))
        })?;
        let reminder = Reminder::from_millis(due, (every != ONCE).then_some(every));
        found.push(DueReminder { grain, name: name.to_owned(), reminder });
    }
    Ok(found)
}

fn times(reminder: Reminder) -> Times {
    let (due, every) = reminder.to_millis();
    (due, every.unwrap_or(ONCE))
}
