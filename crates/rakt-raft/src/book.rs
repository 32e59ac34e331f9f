//! Where the voters are, and which of them leads, as far as is known.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::founding::Member;
use crate::names::{Id, Place, Places};

/// What is known of the voters. It decides nothing: whoever is asked says whether he is the one.
#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    voters: Places,
    as_of: u64,
    /// Where voters were heard from that have other addresses than the log says.
    moved: BTreeMap<Id, Place>,
    leader: Option<Id>,
}

impl Book {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over who the voters are, if that is newer; says whether it was.
    pub(crate) fn learn(&self, member: &Member) -> bool {
        let mut inner = self.inner();
        let is_newer = inner.voters.is_empty() || member.as_of > inner.as_of;
        if is_newer {
            inner.voters.clone_from(&member.voters);
            inner.as_of = member.as_of;
            let Inner { voters, moved, .. } = &mut *inner;
            moved.retain(|id, place| voters.get(id).is_some_and(|known| known != place));
        }
        is_newer
    }

    /// A voter says where it is now.
    pub(crate) fn hear(&self, id: Id, place: &Place) {
        let mut inner = self.inner();
        match inner.voters.get(&id) {
            Some(known) if known == place => drop(inner.moved.remove(&id)),
            Some(_) => drop(inner.moved.insert(id, place.clone())),
            None => {}
        }
    }

    /// The voters, where they were heard from last, and since which entry of the log they are.
    pub(crate) fn voters(&self) -> (Places, u64) {
        let inner = self.inner();
        let mut voters = inner.voters.clone();
        voters.extend(inner.moved.iter().map(|(id, place)| (*id, place.clone())));
        (voters, inner.as_of)
    }

    pub(crate) fn place(&self, id: Id) -> Option<Place> {
        let inner = self.inner();
        inner.moved.get(&id).or_else(|| inner.voters.get(&id)).cloned()
    }

    /// The voter that the log has at this place, if it is another one than this.
    pub(crate) fn other_at(&self, place: &Place, id: Id) -> Option<Id> {
        let inner = self.inner();
        if inner.voters.contains_key(&id) {
            return None;
        }
        let mut voters = inner.voters.iter();
        voters
            .find(|(voter, at)| *at == place && !inner.moved.contains_key(voter))
            .map(|(voter, _)| *voter)
    }

    pub(crate) fn leader(&self) -> Option<Id> {
        self.inner().leader
    }

    pub(crate) fn set_leader(&self, leader: Option<Id>) {
        self.inner().leader = leader;
    }
}
