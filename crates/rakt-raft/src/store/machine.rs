//! The document that the log makes.

use std::io::Cursor;
use std::sync::Arc;

use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder, Snapshot,
    SnapshotMeta, StorageIOError,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Directory, Failed, KEY_CHECKPOINT, set};
use crate::document::{Document, Swapped};
use crate::names::{Id, Place};
use crate::types::{At, Entry, StoreError, Types, Voters};

/// After how many entries it is written down what they have made, so that a start has to go through so many at most. The
/// log is kept all the same.
pub(crate) const CHECKPOINT_INTERVAL: u64 = 10_000;

/// What the log has made up to an entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) last: Option<At>,
    pub(crate) voters: Voters,
    pub(crate) document: Arc<Document>,
}

/// Carries out what is committed. Whoever wants the newest looks into the watch.
#[derive(Debug)]
pub(crate) struct Machine {
    dir: Arc<Directory>,
    applied: Arc<watch::Sender<Applied>>,
    /// Since it was written down.
    entries: u64,
    snapshot: Option<(SnapshotMeta<Id, Place>, Vec<u8>)>,
}

impl Machine {
    pub(crate) async fn open(dir: Arc<Directory>) -> Result<Self, Failed> {
        let applied =
            dir.blocking("what the log has made cannot be read", |dir| dir.get(KEY_CHECKPOINT));
        let applied = Arc::new(watch::Sender::new(applied.await?.unwrap_or_default()));
        Ok(Self { dir, applied, entries: 0, snapshot: None })
    }

    pub(crate) fn watch(&self) -> Arc<watch::Sender<Applied>> {
        self.applied.clone()
    }

    /// Writes down what was made. All its entries are on this disk: they are appended before they count as committed.
    async fn write_down(&mut self) -> Result<(), StoreError> {
        self.entries = 0;
        let applied = self.applied.borrow().clone();
        let write =
            move |dir: &Directory| dir.write(|writing| set(writing, KEY_CHECKPOINT, &applied));
        let written = self.dir.blocking("what the log has made cannot be written", write).await;
        written.map_err(|error| StorageIOError::write_state_machine(AnyError::new(&error)).into())
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<At>, Voters), StoreError> {
        let applied = self.applied.borrow();
        Ok((applied.last, applied.voters.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Option<Swapped>>, StoreError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut applied = self.applied.borrow().clone();
        let mut replies = Vec::new();
        for entry in entries {
            applied.last = Some(entry.log_id);
            self.entries += 1;
            replies.push(match entry.payload {
                EntryPayload::Blank => None,
                EntryPayload::Membership(voters) => {
                    applied.voters = Voters::new(Some(entry.log_id), voters);
                    None
                }
                EntryPayload::Normal(change) => {
                    let swapped = Arc::make_mut(&mut applied.document).apply(change);
                    let foreign =
                        |error| StorageIOError::apply(entry.log_id, AnyError::new(&error));
                    Some(swapped.map_err(foreign)?)
                }
            });
        }
        self.applied.send_replace(applied);
        if self.entries >= CHECKPOINT_INTERVAL {
            self.write_down().await?;
        }
        Ok(replies)
    }

    // Nothing below is called: there are no snapshots, as where they were sent and installed is where consensus has been
    // wrong most often. They do what they have to all the same.

    async fn get_snapshot_builder(&mut self) -> Builder {
        let builder = Builder(self.applied.borrow().clone());
        // As if it were built and kept at once: the builder makes the same of the same.
        self.snapshot = builder.build().ok();
        builder
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StoreError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<Id, Place>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StoreError> {
        let bytes = snapshot.into_inner();
        let applied = postcard::from_bytes(&bytes);
        let applied = applied.map_err(|error| {
            StorageIOError::read_snapshot(Some(meta.signature()), AnyError::new(&error))
        })?;
        self.applied.send_replace(applied);
        self.snapshot = Some((meta.clone(), bytes));
        self.write_down().await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StoreError> {
        let snapshot = self.snapshot.clone();
        Ok(snapshot.map(|(meta, bytes)| Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) }))
    }
}

/// Makes bytes of what was applied.
#[derive(Debug)]
pub(crate) struct Builder(Applied);

impl Builder {
    fn build(&self) -> Result<(SnapshotMeta<Id, Place>, Vec<u8>), postcard::Error> {
        let bytes = postcard::to_stdvec(&self.0)?;
        let (last_log_id, last_membership) = (self.0.last, self.0.voters.clone());
        let snapshot_id = last_log_id.map_or(0, |last| last.index).to_string();
        Ok((SnapshotMeta { last_log_id, last_membership, snapshot_id }, bytes))
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StoreError> {
        let (meta, bytes) = self.build().map_err(|error| {
            StorageIOError::new(
                ErrorSubject::Snapshot(None),
                ErrorVerb::Write,
                AnyError::new(&error),
            )
        })?;
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) })
    }
}

#[cfg(test)]
mod tests {
    use openraft::testing::{StoreBuilder, Suite};
    use tempfile::TempDir;

    use super::*;
    use crate::store::Log;

    struct Stores;

    impl StoreBuilder<Types, Log, Machine, TempDir> for Stores {
        async fn build(&self) -> Result<(TempDir, Log, Machine), StoreError> {
            // In memory where that can be had: what a disk keeps is tried elsewhere.
            let memory = std::path::Path::new("/dev/shm");
            let temporary = match memory.is_dir() {
                true => tempfile::tempdir_in(memory),
                false => tempfile::tempdir(),
            };
            let temporary = temporary.expect("a directory");
            let dir = Directory::open(temporary.path()).expect("it is new");
            let machine = Machine::open(dir.clone()).await.expect("it is empty");
            Ok((temporary, Log::new(dir), machine))
        }
    }

    #[test]
    fn openraft_finds_nothing_wrong_with_the_store() {
        Suite::test_all(Stores).expect("all is well");
    }
}
