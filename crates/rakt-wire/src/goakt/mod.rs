//! The GoAkt dialect: what nodes of GoAkt v3.14.0 say to each other, from both sides.
//!
//! What is stated here about GoAkt was observed with v3.14.0 of `github.com/tochemey/goakt/v3`. Its
//! v4 has the same frames, but other payloads and another meaning of deadlines, and is not understood.
//!
//! ```text
//!   Call ──► Client ──► bytes ──► Server ──► Request, Local ──► what it asks for
//!   Answer ◄── Client ◄── bytes ◄── Server ◄── Response ◄────── what came of it
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `sniff.rs` | which protocol and compression a connection starts with |
//! | `stream/` | compression of a whole connection |
//! | `frame.rs`, `metadata.rs` | frames in both forms; headers and deadlines |
//! | `procedure.rs` | the names of requests and responses |
//! | `fields.rs`, `messages.rs` | protobuf in place: messages to actors, and replies |
//! | `proto.rs` | all other messages |
//! | `request.rs`, `response.rs` | what is asked and answered |
//! | `error.rs` | failures, with the codes and texts that Go nodes look for |
//! | `address.rs` | addresses, kinds, grains |
//! | `system.rs` | messages that mean something to the node itself |
//! | `local.rs` | is a request meant for this node, and allowed? |
//! | `server.rs`, `client.rs` | the two sides of a connection |
//! | `ledger.rs` | whose response is it, where a node may leave one out? |

mod address;
mod client;
mod error;
mod fields;
mod frame;
mod ledger;
mod local;
mod messages;
mod metadata;
mod procedure;
pub mod proto;
mod request;
mod response;
mod server;
mod sniff;
mod stream;
mod system;

pub use address::{GoAddress, GrainIdentity, GrainIdentityError, NO_SENDER, ParseError, is_host};
pub use client::{Client, ClientConfig, ClientError, Lost, SendError};
pub use error::{ErrorCode, GoError};
pub use fields::Malformed;
pub use frame::{DEFAULT_MAX_FRAME_LEN, EncodeError, Frame, FrameError, HIGHEST_MAX_FRAME_LEN};
pub use local::{Local, grain};
pub use messages::{Any, Outgoing, Packed, Payload, RemoteMessage, RemoteMessages, Replies};
pub use metadata::{Deadline, Section, SectionError};
pub use procedure::{ERROR_NAME, Procedure};
pub use request::{
    ARGUMENT_ID, Call, DEFAULT_ASK_TIMEOUT, MAX_SETUP_LEN, Purpose, Request, RequestError,
};
pub use response::{Answer, AnswerError, RespondError, Response};
pub use server::{IDLE_TIMEOUT, Incoming, Server, ServerConfig, ServerError};
pub use sniff::{Opening, sniff};
pub use stream::{MAX_STEP, ReadError, StreamDecoder, StreamEncoder};
pub use system::{ASYNC_RESPONSE, ASYNC_TIMEOUT, HEALTH_CHECK_RESPONSE, SystemMessage};
