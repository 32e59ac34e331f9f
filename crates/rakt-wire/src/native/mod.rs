//! rakt's own protocol, version 1. `docs/PROTOCOL.md` describes it byte by byte.
//!
//! ```text
//!   bytes in  ──► Handshake ──► Session ──► Inbound ──► events
//!   bytes out ◄── Handshake                 Outbound ◄── messages, replies, requests, grants
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `varint.rs` | reading and writing the fields of a frame |
//! | `frame.rs` | frame kinds and the header |
//! | `hello.rs`, `handshake.rs` | what both sides say first, and the state machine around it |
//! | `message.rs` | the header part of a message, on the way out and in |
//! | `operations.rs` | how operations, outcomes and failures are written |
//! | `payload.rs`, `outbound.rs`, `tables.rs`, `large.rs`, `transmit.rs` | one direction: what is to be sent; its aliases and credit; its chunks; how it is written |
//! | `event.rs`, `inbound.rs`, `assembly.rs`, `error.rs` | the other: what arrived; its chunks; why a link ends |
//! | `liveness.rs` | is the peer still there? |
//! | `link/` | all of it put together, for tests and as an example of use |

mod assembly;
pub mod error;
pub mod event;
pub mod frame;
pub mod handshake;
pub mod hello;
pub mod inbound;
mod large;
pub mod link;
pub mod liveness;
pub mod message;
pub mod operations;
pub mod outbound;
pub mod payload;
mod tables;
pub mod transmit;
pub mod varint;

pub use error::{CloseCode, LinkError};
pub use event::{Event, Sink};
pub use frame::{FrameKind, HEADER_LEN};
pub use handshake::{Handshake, HandshakeError};
pub use hello::{Feature, Hello, Lane, Limits, Refusal, RefuseReason, Session};
pub use inbound::Inbound;
pub use liveness::{Liveness, LivenessAction};
pub use message::{Body, Head, Message, MessageKind, Span, cost};
pub use outbound::{Alias, Outbound};
pub use payload::{Encode, EncodeError, Payload, SendError};
pub use transmit::{Segments, Transmit};

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
/// What a message costs in credit besides its payload, in bytes: about what it costs in memory.
pub const MESSAGE_OVERHEAD: u64 = 256;

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opened the connection. Sends messages and requests.
    Dialer,
    /// Took the connection. Sends replies, credit and news of watched actors.
    Acceptor,
}

impl Role {
    /// The other end.
    pub fn peer(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}
