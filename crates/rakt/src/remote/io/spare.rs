//! Read buffers: an idle connection keeps none, its thread keeps one for all of them.

use std::cell::Cell;

use bytes::BytesMut;

/// Room made for reads, in bytes. A payload that an actor keeps pins at most this much.
pub(crate) const READ_LEN: usize = 64 * 1024;
/// With less room than this a buffer is given up for a new one.
const LEAST_ROOM: usize = READ_LEN / 4;

thread_local! {
    /// A read buffer, or the rest of one, for the next connection that has something to read.
    static SPARE: Cell<BytesMut> = Cell::default();
}

/// Makes room for a read behind what is in `buffer`.
pub(crate) fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 {
        *buffer = SPARE.take();
    }
    if buffer.capacity() - buffer.len() < LEAST_ROOM {
        buffer.reserve(READ_LEN);
    }
}

/// Takes the buffer of a connection that waits for its peer, unless something is in it.
pub(crate) fn lend(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > 0 {
        let mut spare = std::mem::take(buffer);
        let has_room = spare.try_reclaim(READ_LEN) || spare.capacity() >= LEAST_ROOM;
        if has_room && spare.capacity() <= 2 * READ_LEN {
            SPARE.set(spare);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_buffer_serves_all_connections_of_a_thread() {
        let (mut one, mut other) = (BytesMut::new(), BytesMut::new());
        make_room(&mut one);
        assert!(one.capacity() >= READ_LEN);
        let place = one.as_ptr();
        lend(&mut one);
        assert_eq!(one.capacity(), 0);
        make_room(&mut other);
        assert_eq!(other.as_ptr(), place);
    }

    #[test]
    fn what_has_been_read_and_what_is_too_large_stays_out_of_it() {
        let mut read = BytesMut::from(&b"the beginning of a frame"[..]);
        lend(&mut read);
        assert!(!read.is_empty());
        let mut large = BytesMut::with_capacity(3 * READ_LEN);
        lend(&mut large);
        make_room(&mut large);
        assert!(large.capacity() <= 2 * READ_LEN, "{}", large.capacity());
    }
}
