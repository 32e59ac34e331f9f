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
    /// Where voters were heard from last, of those that were: the log may say something older.
    heard: BTreeMap<Id, Place>,
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
            let Inner { voters, heard, .. } = &mut *inner;
            heard.retain(|id, _| voters.contains_key(id));
        }
        is_newer
    }

    /// A voter says where it is now.
    pub(crate) fn hear(&self, id: Id, place: &Place) {
        let mut inner = self.inner();
        if inner.voters.contains_key(&id) {
            inner.heard.insert(id, place.clone());
        }
    }

    /// The voters, where they were heard from last, and since which entry of the log they are.
    pub(crate) fn voters(&self) -> (Places, u64) {
        let inner = self.inner();
        let mut voters = inner.voters.clone();
        voters.extend(inner.heard.iter().map(|(id, place)| (*id, place.clone())));
        (voters, inner.as_of)
    }

    pub(crate) fn place(&self, id: Id) -> Option<Place> {
        let inner = self.inner();
        inner.heard.get(&id).or_else(|| inner.voters.get(&id)).cloned()
    }

    /// The voter that is at this place as far as is known, if it is another one than this.
    pub(crate) fn other_at(&self, place: &Place, id: Id) -> Option<Id> {
        let inner = self.inner();
        if inner.voters.contains_key(&id) {
            return None;
        }
        let mut voters = inner.voters.iter();
        voters
            .find(|(voter, at)| inner.heard.get(voter).unwrap_or(at) == place)
            .map(|(voter, _)| *voter)
    }

    pub(crate) fn leader(&self) -> Option<Id> {
        self.inner().leader
    }

    pub(crate) fn set_leader(&self, leader: Option<Id>) {
        self.inner().leader = leader;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ClusterId;

    fn place(port: u16) -> Place {
        Place { host: "localhost".to_owned(), port }
    }

    fn member(as_of: u64, voters: impl IntoIterator<Item = (Id, u16)>) -> Member {
        let voters = voters.into_iter().map(|(id, port)| (id, place(port))).collect();
        Member { cluster: ClusterId([1; 16]), voters, as_of, is_voter: true, is_founder: false }
    }

    #[test]
    fn where_a_voter_was_heard_from_counts_also_once_the_log_says_what_was() {
        let book = Book::default();
        // Told by one who knows that the first has moved, and heard from itself.
        book.learn(&member(1, [(1, 11), (2, 2)]));
        book.hear(1, &place(11));
        // The log, in which nobody has written that down.
        book.learn(&member(2, [(1, 1), (2, 2), (3, 3)]));
        assert_eq!(book.place(1), Some(place(11)));
        assert_eq!(book.voters().0, member(2, [(1, 11), (2, 2), (3, 3)]).voters);
        assert_eq!(book.other_at(&place(11), 9), Some(1));
        assert_eq!(book.other_at(&place(1), 9), None, "it is not there any more");
        // Who is no voter is forgotten.
        book.learn(&member(3, [(2, 2), (3, 3)]));
        book.learn(&member(4, [(1, 1), (2, 2), (3, 3)]));
        assert_eq!(book.place(1), Some(place(1)));
    }
}
