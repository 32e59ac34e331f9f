//! The numbers that both ends of a connection go by, whatever they agree on.

/// The lowest protocol version spoken here.
pub const VERSION_MIN: u8 = 1;
/// The highest protocol version spoken here.
pub const VERSION_MAX: u8 = 1;

/// A logical body above this many bytes is cut into chunks of this size. Also at most
/// `max_frame_len - `[`CHUNK_HEADER_LEN`].
pub const CHUNK_LEN: usize = 64 * 1024;
/// Length of the first chunk, in bytes, or that of all fields before the payload if they are longer.
/// Short, since it is read before anybody knows where its bytes belong.
pub const FIRST_LEN: usize = 16 * 1024;
/// Room for the fields before the bytes of a chunk, in bytes.
pub const CHUNK_HEADER_LEN: usize = 32;
/// Most streams of chunks open at a time in one direction.
pub const MAX_STREAMS: usize = 1024;
/// How much longer than its payload a logical body may be, in bytes.
pub const HEADER_ALLOWANCE: usize = 32 * 1024;
/// Longest text of GOAWAY, CLOSE and REFUSE, in bytes. A longer one is cut between two characters.
pub const MAX_REASON_LEN: usize = 1024;
