//! Where bytes wait on their way between a connection and its socket.
//!
//! An idle connection keeps no buffer: its thread keeps a few for all of them, as in
//! [`spare`](crate::remote::io::spare).

use std::cell::RefCell;
use std::mem::replace;

/// Data in the longest record, in bytes.
pub(super) const RECORD_LEN: usize = 16 * 1024;
/// Data that becomes records at once, in bytes. With it, this is what waits for a peer that takes nothing.
pub(super) const SEALED_LEN: usize = 4 * RECORD_LEN;

/// What comes before each record: its type, a version and its length, in bytes.
const HEADER_LEN: usize = 5;
/// What a record is longer than its data, in bytes: the header, the true type and the tag.
const OVERHEAD_LEN: usize = HEADER_LEN + 1 + 16;
/// For one read and what was left of the one before; or for all that is sealed at once and a record that is joined.
const ROOM_LEN: usize = SEALED_LEN + RECORD_LEN + 2 * 1024;
/// What moves to a buffer of its own length where it has to wait, in bytes: as much as a record.
const KEPT_LEN: usize = RECORD_LEN + 512;
/// Most buffers that a thread keeps: a read and a write are what goes on at once.
const MAX_SPARE: usize = 2;

thread_local! {
    /// Buffers of `ROOM_LEN`.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer while there is something in it.
#[derive(Default)]
pub(super) struct Room {
    /// As long as what waits, or `ROOM_LEN`, or longer.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Room {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(super) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// What it takes up while nothing happens, in bytes.
    pub(super) fn kept_len(&self) -> usize {
        match self.end - self.start {
            waiting if waiting > KEPT_LEN => self.bytes.len(),
            waiting => waiting,
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether it begins with a whole record of no more than `len` bytes of data.
    pub(super) fn has_record(&self, len: usize) -> bool {
        let Some((&[_, _, _, high, low], body)) = self.filled().split_first_chunk::<HEADER_LEN>()
        else {
            return false;
        };
        let body_len = usize::from(u16::from_be_bytes([high, low]));
        body_len <= body.len() && HEADER_LEN + body_len <= len + OVERHEAD_LEN
    }

    /// The room behind what waits: at least `SEALED_LEN` and a record, unless more than a record waits.
    pub(super) fn vacant(&mut self) -> &mut [u8] {
        let waiting = self.end - self.start;
        if self.bytes.len() < ROOM_LEN {
            let spare = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; ROOM_LEN]);
            let small = replace(&mut self.bytes, spare);
            self.bytes[..waiting].copy_from_slice(&small[self.start..self.end]);
        } else if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
        }
        (self.start, self.end) = (0, waiting);
        &mut self.bytes[waiting..]
    }

    /// The same, with at least `len` bytes.
    pub(super) fn grow(&mut self, len: usize) -> &mut [u8] {
        if self.vacant().len() < len {
            self.bytes.resize(self.end + len, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// The first `len` bytes of the vacant ones are filled.
    pub(super) fn fill(&mut self, len: usize) {
        self.end += len;
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.grow(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.fill(bytes.len());
    }

    /// The first `len` bytes are done with.
    pub(super) fn advance(&mut self, len: usize) {
        self.start += len;
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    pub(super) fn clear(&mut self) {
        self.advance(self.end - self.start);
        self.lend();
    }

    /// Nothing happens for a while: the thread gets its buffer back, unless too much waits in it.
    pub(super) fn lend(&mut self) {
        if self.bytes.len() < ROOM_LEN || self.end - self.start > KEPT_LEN {
            return;
        }
        let waiting = self.filled().to_vec();
        (self.start, self.end) = (0, waiting.len());
        let spare = replace(&mut self.bytes, waiting);
        SPARE.with_borrow_mut(|spares| {
            if spare.len() == ROOM_LEN && spares.len() < MAX_SPARE {
                spares.push(spare);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_buffer_serves_all_connections_of_a_thread() {
        let (mut one, mut other) = (Room::default(), Room::default());
        let place = one.vacant().as_ptr();
        one.lend();
        assert_eq!(one.bytes.capacity(), 0);
        assert_eq!(other.vacant().as_ptr(), place);
    }

    #[test]
    fn what_waits_stays_in_a_buffer_of_its_length() {
        let mut room = Room::default();
        room.put(b"--the beginning of a record");
        room.advance(2);
        room.lend();
        assert_eq!(room.filled(), b"the beginning of a record");
        assert_eq!(room.bytes.capacity(), 25);
        assert!(room.vacant().len() >= SEALED_LEN + RECORD_LEN);
        assert_eq!(room.filled(), b"the beginning of a record");
    }

    #[test]
    fn what_is_too_much_stays_where_it_is() {
        let mut room = Room::default();
        let place = room.vacant().as_ptr();
        room.fill(KEPT_LEN + 1);
        room.lend();
        assert_eq!(room.filled().as_ptr(), place);
        room.advance(1);
        room.lend();
        assert_ne!(room.filled().as_ptr(), place);
        assert_eq!(room.filled().len(), KEPT_LEN);
    }

    #[test]
    fn a_thread_keeps_few_buffers_and_none_that_grew() {
        let mut rooms: Vec<Room> = (0..5).map(|_| Room::default()).collect();
        for (i, room) in rooms.iter_mut().enumerate() {
            room.grow(if i == 0 { 2 * ROOM_LEN } else { 1 });
        }
        rooms.iter_mut().for_each(Room::lend);
        let kept = SPARE.with_borrow(|spares| spares.iter().map(Vec::len).collect::<Vec<_>>());
        assert_eq!(kept, [ROOM_LEN; MAX_SPARE]);
    }

    #[test]
    fn a_record_is_found_if_it_is_whole_and_fits() {
        let mut room = Room::default();
        room.put(&[23, 3, 3, 0, 20]);
        room.put(&[0; 19]);
        assert!(!room.has_record(100));
        room.put(&[0]);
        assert!(!room.has_record(2));
        assert!(room.has_record(3));
    }
}
