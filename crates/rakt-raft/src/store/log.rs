//! The log and the vote, as openraft wants them.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, LogState, OptionalSend, RaftLogReader, StorageIOError, Vote};
use redb::{ReadableDatabase, ReadableTable};

use super::{Broken, Directory, Failed, KEY_COMMITTED, KEY_PURGED, KEY_VOTE, LOG, set};
use crate::names::Id;
use crate::types::{At, Entry, StoreError, Types};

/// How much of the log is sent at once: about so many bytes, and one entry at least.
const MOST_BYTES: usize = 1 << 20;

/// The log of a directory, and the vote.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    dir: Arc<Directory>,
    /// Known to be committed, and written with the next entries: on the disk it may be older, which costs a little work at
    /// the next start.
    committed: Option<At>,
}

impl Log {
    pub(crate) fn new(dir: Arc<Directory>) -> Self {
        Self { dir, committed: None }
    }

    /// Writes, with what is known to be committed.
    async fn write(
        &self,
        what: &'static str,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<(), Broken> + Send + 'static,
    ) -> Result<(), Failed> {
        let committed = self.committed;
        let write = move |dir: &Directory| {
            dir.write(|writing| {
                change(writing)?;
                match committed {
                    Some(committed) => set(writing, KEY_COMMITTED, &committed),
                    None => Ok(()),
                }
            })
        };
        self.dir.blocking(what, write).await
    }

    async fn entries(
        &self,
        range: (Bound<u64>, Bound<u64>),
        most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let read = move |dir: &Directory| {
            let table = dir.db.begin_read()?.open_table(LOG)?;
            let (mut entries, mut len) = (Vec::new(), 0);
            for row in table.range(range)? {
                let (_, bytes) = row?;
                len += bytes.value().len();
                if len > most && !entries.is_empty() {
                    break;
                }
                entries.push(postcard::from_bytes(bytes.value())?);
            }
            Ok(entries)
        };
        let entries = self.dir.blocking("the log cannot be read", read).await;
        entries.map_err(|error| StorageIOError::read_logs(AnyError::new(&error)).into())
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StoreError> {
        let range = (range.start_bound().cloned(), range.end_bound().cloned());
        self.entries(range, usize::MAX).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        self.entries((Bound::Included(start), Bound::Excluded(end)), MOST_BYTES).await
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StoreError> {
        let read = |dir: &Directory| {
            let table = dir.db.begin_read()?.open_table(LOG)?;
            let last = match table.last()? {
                Some((_, bytes)) => Some(postcard::from_bytes::<Entry>(bytes.value())?.log_id),
                None => None,
            };
            let last_purged_log_id = dir.get::<At>(KEY_PURGED)?;
            Ok(LogState { last_purged_log_id, last_log_id: last.or(last_purged_log_id) })
        };
        let state = self.dir.blocking("the end of the log cannot be read", read).await;
        state.map_err(|error| StorageIOError::read_logs(AnyError::new(&error)).into())
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<Id>) -> Result<(), StoreError> {
        let vote = *vote;
        let saved =
            self.write("the vote cannot be written", move |writing| set(writing, KEY_VOTE, &vote));
        saved.await.map_err(|error| StorageIOError::write_vote(AnyError::new(&error)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<Id>>, StoreError> {
        let vote = self.dir.blocking("the vote cannot be read", |dir| dir.get(KEY_VOTE)).await;
        let mut vote: Option<Vote<Id>> =
            vote.map_err(|error| StorageIOError::read_vote(AnyError::new(&error)))?;
        // Who led when it ended is elected anew, in a later term. openraft would have it lead on, and answer reads before it
        // knows again how far the log was committed.
        if let Some(vote) = vote.as_mut().filter(|vote| vote.leader_id.node_id == self.dir.id()) {
            vote.committed = false;
        }
        Ok(vote)
    }

    async fn save_committed(&mut self, committed: Option<At>) -> Result<(), StoreError> {
        self.committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<At>, StoreError> {
        let read = |dir: &Directory| dir.get(KEY_COMMITTED);
        let committed = self.dir.blocking("what is committed cannot be read", read).await;
        committed.map_err(|error| StorageIOError::read_logs(AnyError::new(&error)).into())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StoreError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let append = move |writing: &redb::WriteTransaction| {
            let mut table = writing.open_table(LOG)?;
            for entry in &entries {
                table.insert(entry.log_id.index, &*postcard::to_stdvec(entry)?)?;
            }
            Ok(())
        };
        let written = self.write("the log cannot be written", append).await;
        written.map_err(|error| StorageIOError::write_logs(AnyError::new(&error)))?;
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: At) -> Result<(), StoreError> {
        let truncate = move |writing: &redb::WriteTransaction| {
            writing.open_table(LOG)?.retain_in(from.index.., |_, _| false)?;
            Ok(())
        };
        let written = self.write("the end of the log cannot be taken back", truncate).await;
        written.map_err(|error| StorageIOError::write_logs(AnyError::new(&error)).into())
    }

    /// Nothing here calls it: the log is kept as a whole.
    async fn purge(&mut self, upto: At) -> Result<(), StoreError> {
        let purge = move |writing: &redb::WriteTransaction| {
            set(writing, KEY_PURGED, &upto)?;
            writing.open_table(LOG)?.retain_in(..=upto.index, |_, _| false)?;
            Ok(())
        };
        let written = self.write("the beginning of the log cannot be removed", purge).await;
        written.map_err(|error| StorageIOError::write_logs(AnyError::new(&error)).into())
    }
}
