//! What can be made of a directory when the other voters are lost.

use std::sync::Arc;

use openraft::{EntryPayload, LogId, Membership, Vote};
use redb::ReadableDatabase;

use super::{
    Applied, Broken, Directory, KEY_CHECKPOINT, KEY_COMMITTED, KEY_PURGED, KEY_STANDING, KEY_VOTE,
    LOG, META, set,
};
use crate::blob::Blob;
use crate::document::{Change, Document};
use crate::founding::{Member, Standing};
use crate::names::{ClusterId, Place, Places, random};
use crate::types::{Entry, Voters};

/// What a voter has left.
pub(crate) struct Remains {
    /// Where it was.
    pub(crate) place: Place,
    /// What all of its log makes.
    pub(crate) document: Document,
}

impl Directory {
    /// What is there; `None` if it is the directory of no voter.
    pub(crate) fn remains(&self) -> Result<Option<Remains>, Broken> {
        let mut applied = self.get::<Applied>(KEY_CHECKPOINT)?.unwrap_or_default();
        let from = applied.last.map_or(0, |last| last.index + 1);
        for row in self.db.begin_read()?.open_table(LOG)?.range(from..)? {
            match postcard::from_bytes::<Entry>(row?.1.value())? {
                Entry { payload: EntryPayload::Blank, .. } => {}
                Entry { payload: EntryPayload::Membership(voters), log_id } => {
                    applied.voters = Voters::new(Some(log_id), voters);
                }
                Entry { payload: EntryPayload::Normal(change), .. } => {
                    let document = Arc::make_mut(&mut applied.document);
                    document.apply(change).map_err(|_| Broken::Foreign)?;
                }
            }
        }
        let place = applied.voters.membership().get_node(&self.id).cloned();
        let document = Arc::unwrap_or_clone(applied.document);
        Ok(place.map(|place| Remains { place, document }))
    }

    /// Begins a log of which this node is the only voter, with this view; all in one step.
    pub(crate) fn begin_anew(
        &self,
        place: Place,
        version: u64,
        view: Vec<u8>,
    ) -> Result<(), Broken> {
        let voters: Places = [(self.id, place)].into();
        // As openraft itself begins one, and then as the leader of the first term.
        let first = LogId::default();
        let vote = Vote::new_committed(1, self.id);
        let second = LogId::new(vote.leader_id, 1);
        let change = Change::Restore { version, view: Blob::from(view) };
        let entries = [
            Entry {
                log_id: first,
                payload: EntryPayload::Membership(Membership::from(voters.clone())),
            },
            Entry { log_id: second, payload: EntryPayload::Normal(change) },
        ];
        let member = Member {
            cluster: ClusterId(random()),
            voters,
            as_of: 0,
            is_founder: false,
            is_voter: true,
        };
        self.write(|writing| {
            {
                let mut log = writing.open_table(LOG)?;
                log.retain(|_, _| false)?;
                for entry in &entries {
                    log.insert(entry.log_id.index, &*postcard::to_stdvec(entry)?)?;
                }
                let mut meta = writing.open_table(META)?;
                for key in [KEY_CHECKPOINT, KEY_PURGED] {
                    meta.remove(key)?;
                }
            }
            set(writing, KEY_VOTE, &vote)?;
            set(writing, KEY_COMMITTED, &second)?;
            set(writing, KEY_STANDING, &Standing::Member(member))
        })
    }
}
