//! What the consensus is about.

use std::io::Cursor;

use openraft::{LogId, Raft, StorageError, StoredMembership};

use crate::document::{Change, Swapped};
use crate::names::{Id, Place};

openraft::declare_raft_types!(
    /// One document, swapped.
    pub(crate) Types:
        D = Change,
        R = Option<Swapped>,
        NodeId = Id,
        Node = Place,
        SnapshotData = Cursor<Vec<u8>>,
);

pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type Voter = Raft<Types>;
pub(crate) type Voters = StoredMembership<Id, Place>;
pub(crate) type At = LogId<Id>;
pub(crate) type StoreError = StorageError<Id>;
