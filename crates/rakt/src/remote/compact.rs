//! Messages that wait let go of the block of bytes that they were read in.

use bytes::Bytes;

/// Payloads up to this many bytes are worth copying to let go of their block.
const COMPACT_LEN: usize = 16 * 1024;

/// Copies payloads if they are less than so many percent of their block, which may hold much else. Else a peer
/// could make a few bytes keep a whole block each. `span` says where in the block a message is, if it is there.
/// Returns what takes the place of the block.
pub(crate) fn compact<M>(
    block: &Bytes,
    percent: usize,
    messages: &mut [M],
    span: for<'a> fn(&'a mut M) -> Option<(&'a mut u32, u32)>,
) -> Option<Bytes> {
    let most = COMPACT_LEN.max(block.len() / 100 * percent);
    let mut len = 0;
    for (_, more) in messages.iter_mut().filter_map(span) {
        len += more as usize;
        if len > most {
            return None;
        }
    }
    let mut copied = Vec::with_capacity(len);
    for (start, len) in messages.iter_mut().filter_map(span) {
        let from = std::mem::replace(start, copied.len() as u32) as usize;
        copied.extend_from_slice(&block[from..from + len as usize]);
    }
    Some(copied.into())
}
