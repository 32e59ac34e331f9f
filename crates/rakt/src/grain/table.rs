//! Things by their keys, of which some are in a row to be gone through.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};

use crate::sync::Mutex;

/// Lookups on many threads seldom meet at one lock.
const SHARDS: usize = 64;

/// Keeps nothing alive.
pub(super) struct Table<P> {
    shards: Box<[Mutex<Shard<P>>]>,
    /// Peers choose keys, so nobody else is to know how they are hashed.
    random: RandomState,
    row: Mutex<Row<P>>,
}

type Shard<P> = HashMap<Arc<str>, Weak<P>>;

struct Row<P> {
    seats: Vec<Option<Weak<P>>>,
    free: Vec<u32>,
    /// Where the next look begins.
    hand: usize,
}

impl<P> Table<P> {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            random: RandomState::new(),
            row: Mutex::new(Row { seats: Vec::new(), free: Vec::new(), hand: 0 }),
        }
    }

    fn shard(&self, key: &str) -> &Mutex<Shard<P>> {
        // The map goes by the bits at both ends.
        &self.shards[(self.random.hash_one(key) >> 40) as usize % SHARDS]
    }

    /// What has this key, which is made where there is nothing.
    pub(super) fn get_or_make<E>(
        &self,
        key: &str,
        make: impl FnOnce(Arc<str>) -> Result<P, E>,
    ) -> Result<Arc<P>, E> {
        let mut shard = self.shard(key).lock();
        if let Some(known) = shard.get(key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let key: Arc<str> = key.into();
        let made = Arc::new(make(key.clone())?);
        shard.insert(key, Arc::downgrade(&made));
        Ok(made)
    }

    /// Nobody has what had this key any more, unless it was made anew.
    pub(super) fn forget(&self, key: &str) {
        let mut shard = self.shard(key).lock();
        if shard.get(key).is_some_and(|known| known.strong_count() == 0) {
            shard.remove(key);
        }
        // A burst is to leave nothing behind.
        if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
            shard.shrink_to_fit();
        }
    }

    /// Does something with all that there are.
    pub(super) fn each(&self, mut act: impl FnMut(&P)) {
        for shard in &self.shards {
            // Whoever is the last to have one takes the lock of its shard.
            let some: Vec<Arc<P>> = shard.lock().values().filter_map(Weak::upgrade).collect();
            some.iter().for_each(|one| act(one));
        }
    }

    /// Puts it in the row; returns its seat.
    pub(super) fn sit_down(&self, one: &Arc<P>) -> u32 {
        let mut row = self.row.lock();
        let one = Some(Arc::downgrade(one));
        match row.free.pop() {
            Some(seat) => {
                row.seats[seat as usize] = one;
                seat
            }
            None => {
                row.seats.push(one);
                u32::try_from(row.seats.len() - 1).expect("memory is full long before")
            }
        }
    }

    pub(super) fn stand_up(&self, seat: u32) {
        let mut row = self.row.lock();
        row.seats[seat as usize] = None;
        row.free.push(seat);
        if row.free.len() == row.seats.len() {
            (row.seats, row.free) = (Vec::new(), Vec::new());
        }
    }

    /// Those in the next `most` seats, others each time.
    pub(super) fn next_few(&self, most: usize) -> Vec<Arc<P>> {
        let mut row = self.row.lock();
        let len = row.seats.len();
        let few = (0..len.min(most)).map(|n| (row.hand + n) % len);
        let few = few.filter_map(|seat| row.seats[seat].as_ref()?.upgrade()).collect();
        row.hand = (row.hand + most) % len.max(1);
        few
    }

    /// Those in `most` seats from `first` on, and the seat after them if there is one.
    pub(super) fn from(&self, first: usize, most: usize) -> (Vec<Arc<P>>, Option<usize>) {
        let row = self.row.lock();
        let end = first.saturating_add(most).min(row.seats.len());
        let some = row.seats.get(first..end).unwrap_or_default();
        let some = some.iter().filter_map(|one| one.as_ref()?.upgrade()).collect();
        (some, (end < row.seats.len()).then_some(end))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn get(table: &Table<u32>, key: &str, value: u32) -> Arc<u32> {
        table.get_or_make(key, |_| Ok::<_, Infallible>(value)).expect("it is made")
    }

    #[test]
    fn what_somebody_has_is_found_and_the_rest_made_anew() {
        let table = Table::new();
        let one = get(&table, "a", 1);
        assert_eq!(*get(&table, "a", 2), 1);
        table.forget("a");
        assert_eq!(*get(&table, "a", 3), 1, "somebody has it");
        drop(one);
        assert_eq!(*get(&table, "a", 4), 4);
        table.forget("a");
        assert!(table.shard("a").lock().is_empty());
    }

    #[test]
    fn a_burst_leaves_nothing_behind() {
        let table = Table::new();
        for n in 0..100_000 {
            get(&table, &n.to_string(), n);
        }
        for n in 0..100_000 {
            table.forget(&n.to_string());
        }
        assert!(table.shards.iter().all(|shard| shard.lock().capacity() <= 64));
    }

    #[test]
    fn all_in_the_row_are_met_and_seats_are_used_again() {
        let table = Table::new();
        let all: Vec<_> = (0..10).map(|n| get(&table, &n.to_string(), n)).collect();
        let seats: Vec<_> = all.iter().map(|one| table.sit_down(one)).collect();
        let mut met: Vec<_> = (0..4).flat_map(|_| table.next_few(3)).map(|one| *one).collect();
        assert_eq!(met.len(), 12);
        met.sort_unstable();
        met.dedup();
        assert_eq!(met, (0..10).collect::<Vec<_>>());
        table.stand_up(seats[4]);
        let (first, next) = table.from(0, 6);
        assert_eq!(first.iter().map(|one| **one).collect::<Vec<_>>(), [0, 1, 2, 3, 5]);
        let (rest, end) = table.from(next.expect("there are more"), 6);
        assert_eq!((rest.len(), end), (4, None));
        assert_eq!(table.sit_down(&all[4]), seats[4]);
        seats.into_iter().for_each(|seat| table.stand_up(seat));
        assert!(table.next_few(3).is_empty() && table.row.lock().seats.capacity() == 0);
    }
}
