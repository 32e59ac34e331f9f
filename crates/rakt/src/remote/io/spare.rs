//! Read buffers: an idle connection keeps none, its thread keeps one for all of them.

use std::cell::Cell;

use bytes::BytesMut;

/// Room made for reads, in bytes. A payload that an actor keeps pins at most this much.
pub(crate) const READ_LEN: usize = 64 * 1024;
/// What a connection that waits for its peer may hold of a frame without being charged for it, in bytes.
pub(crate) const KEPT_LEN: usize = 4 * 1024;
/// With less room than this a buffer is given up for a new one.
const LEAST_ROOM: usize = READ_LEN / 4;

thread_local! {
    /// A read buffer, or the rest of one, for the next connection that has something to read.
    static SPARE: Cell<BytesMut> = Cell::default();
}

/// Makes room for a read behind what is in `buffer`.
#[inline]
pub(crate) fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 {
        *buffer = SPARE.take();
    }
    if buffer.capacity() - buffer.len() < LEAST_ROOM {
        grow(buffer);
    }
}

fn grow(buffer: &mut BytesMut) {
    if buffer.capacity() <= KEPT_LEN {
        let rest = std::mem::replace(buffer, SPARE.take());
        buffer.extend_from_slice(&rest);
    }
    if buffer.capacity() - buffer.len() < LEAST_ROOM {
        buffer.reserve(READ_LEN);
    }
}

/// Takes the buffer of a connection that waits for its peer. The beginning of a frame stays with the
/// connection: a short one in a buffer of its length, a long one where it is.
#[inline]
pub(crate) fn lend(buffer: &mut BytesMut) {
    if buffer.len() <= KEPT_LEN && buffer.capacity() > KEPT_LEN {
        match buffer.is_empty() {
            true => keep(std::mem::take(buffer)),
            false => {
                let rest = BytesMut::from(&buffer[..]);
                let mut spare = std::mem::replace(buffer, rest);
                spare.clear();
                keep(spare);
            }
        }
    }
}

fn keep(mut spare: BytesMut) {
    let has_room = spare.try_reclaim(READ_LEN) || spare.capacity() >= LEAST_ROOM;
    if has_room && spare.capacity() <= 2 * READ_LEN {
        SPARE.set(spare);
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
    fn the_beginning_of_a_frame_stays_and_keeps_no_large_buffer() {
        let text = &b"the beginning of a frame"[..];
        let mut read = BytesMut::new();
        make_room(&mut read);
        let place = read.as_ptr();
        read.extend_from_slice(text);
        lend(&mut read);
        assert_eq!((&read[..], read.capacity()), (text, text.len()));
        make_room(&mut read);
        assert_eq!((&read[..], read.as_ptr()), (text, place));
        assert!(read.capacity() >= READ_LEN);
        read.resize(KEPT_LEN + 1, 0);
        lend(&mut read);
        assert_eq!(read.as_ptr(), place, "it is charged");
    }

    #[test]
    fn what_is_too_large_stays_out_of_it() {
        let mut large = BytesMut::with_capacity(3 * READ_LEN);
        lend(&mut large);
        make_room(&mut large);
        assert!(large.capacity() <= 2 * READ_LEN, "{}", large.capacity());
    }
}
