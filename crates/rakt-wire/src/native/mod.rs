//! rakt's own protocol, version 1. `docs/PROTOCOL.md` describes it byte by byte.
//!
//! ```text
//!   bytes in  ──► Handshake ──► Session ──► Inbound ──► Replies, Arrivals ──► the host
//!   bytes out ◄── Handshake                 Outbound ◄── Dialing, Accepting ◄── messages, replies, requests
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `bounds.rs`, `role.rs` | the numbers that both ends go by; which end is which |
//! | `frame.rs` | frame kinds and the header |
//! | `hello.rs`, `handshake.rs` | what both sides say first, and the state machine around it |
//! | `message.rs` | the header part of a message, on the way out and in |
//! | `plain.rs` | the frame that most are, written and read without a detour |
//! | `operations.rs` | how operations, outcomes and failures are written |
//! | `payload.rs`, `outbound.rs`, `buffered.rs`, `tables.rs`, `large.rs`, `pieces.rs`, `nacks.rs`, `transmit.rs` | one direction: what is to be sent; its aliases and credit; its chunks; what is not copied; refusals counted together; how it is written |
//! | `event.rs`, `inbound.rs`, `assembly.rs`, `error.rs` | the other: what arrived; its chunks; why a link ends |
//! | `liveness.rs`, `tells.rs` | is the peer still there; what has it certainly taken? |
//! | `writer.rs` | what both sides send through, and how a connection ends |
//! | `dialing/` | the side that dialed: messages and requests out, how they ended in |
//! | `accepting/` | the side that accepted: messages and requests in, answers and credit out |

mod accepting;
mod assembly;
mod bounds;
mod buffered;
mod dialing;
mod error;
mod event;
mod frame;
mod handshake;
mod hello;
mod inbound;
mod large;
mod liveness;
mod message;
mod nacks;
mod operations;
mod outbound;
mod payload;
mod pieces;
mod plain;
mod role;
mod tables;
mod tells;
mod transmit;
mod writer;

/// How every connection starts.
pub use crate::base::magic::MAGIC;
pub use accepting::{
    Accepting, Arrivals, Host, NamedReceiver, NamedSender, Names, ReplyBudget, ReplyError, Request,
    UNCOUNTED_REPLIES,
};
pub use bounds::{
    CHUNK_HEADER_LEN, CHUNK_LEN, FIRST_LEN, HEADER_ALLOWANCE, MAX_REASON_LEN, MAX_STREAMS,
    VERSION_MAX, VERSION_MIN,
};
pub use dialing::{
    Dialing, Freed, Left, Need, NotSent, Outgoing, Refused, Replies, Sender, Sent, Settled, Staged,
    Unanswered,
};
pub use error::{CloseCode, LinkError};
pub use event::{Budget, Event, Sink};
pub use frame::{FrameKind, HEADER_LEN, MAX_CONTROL_LEN};
pub use handshake::{Handshake, HandshakeError, NO_TLS_HERE};
pub use hello::{
    Feature, Hello, Lane, Limits, MAX_AUTH_LEN, MAX_FEATURE_LEN, MAX_FEATURES, MAX_HELLO_LEN,
    RefuseReason, Session,
};
pub use inbound::Inbound;
pub use liveness::{Liveness, LivenessAction};
pub use message::{Body, Head, Message, MessageKind, Span};
/// For tests that speak the protocol badly.
#[doc(hidden)]
pub use operations::{
    put_failure, put_operation, put_outcome, put_terminated, read_failure, read_operation,
    read_outcome, read_terminated,
};
pub use outbound::{BUSY_CAPACITY, IDLE_CAPACITY, Outbound, TRANSMIT_TARGET};
pub use payload::{Payload, SendError};
pub use role::Role;
pub use tables::Alias;
pub use transmit::{Segments, Transmit};
pub use writer::{HIGH_WATER, LARGE_HIGH_WATER, Side, Writer};
