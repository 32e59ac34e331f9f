//! rakt: typed actors that talk across machines.
//!
//! What everybody needs is here at the root, the rest in a module each:
//!
//! - [`grain`]: actors with a key, which live while they are needed
//! - [`message`]: names and codecs of messages that cross the wire
//! - [`send`]: the futures of `tell`, `ask` and their batches
//! - [`supervision`]: what happens when an actor fails
//! - [`error`]: causes and bounds in errors
//! - [`name`]: names of actors made of other names
//! - [`propagate`]: carrying context along
//! - [`topic`]: one message for everybody who wants to hear of it
//! - [`routing`]: one reference for several actors
//! - [`stream`]: replies as streams
#![cfg_attr(feature = "remote", doc = "- [`remote`]: actors on other nodes")]
#![cfg_attr(
    feature = "remote",
    doc = "- [`cluster`]: nodes that live together, and grains on any of them (feature `cluster`); those of another cluster"
)]
#![cfg_attr(feature = "testkit", doc = "- [`testkit`]: for the tests of your own code")]
//!
//! ```
//! use rakt::prelude::*;
//!
//! #[derive(Default)]
//! struct Counter(u64);
//!
//! #[derive(Message)]
//! #[rakt(reply = u64)]
//! struct Add(u64);
//!
//! impl Actor for Counter {}
//!
//! impl Handler<Add> for Counter {
//!     async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64> {
//!         self.0 += n;
//!         Ok(self.0)
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result {
//!     let system = ActorSystem::builder("counting").start().await?;
//!     let counter = system.spawn("counter", Counter::default).await?;
//!     counter.tell(Add(40)).await?;
//!     assert_eq!(counter.ask(Add(2)).await?, 42);
//!     system.shutdown().await;
//!     Ok(())
//! }
//! ```
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod accepts;
mod actor;
#[allow(dead_code, reason = "for the remote half, which is a feature")]
mod answer;
mod call_options;
mod cell;
#[cfg(feature = "remote")]
pub mod cluster;
mod contained;
mod context;
mod dispatch;
pub mod error;
mod events;
pub mod grain;
#[allow(dead_code, reason = "for clusters, which are a feature")]
mod hosting;
mod inside;
mod kind;
mod limit;
mod line;
mod log;
mod mailbox;
pub mod message;
#[allow(dead_code, reason = "for the remote half, which is a feature")]
mod metrics;
#[cfg(all(test, rakt_model))]
mod models;
pub mod name;
mod operation;
mod peer;
mod portable;
#[cfg(feature = "serde")]
mod portable_serde;
pub mod propagate;
mod reference;
mod registry;
#[cfg(feature = "remote")]
pub mod remote;
pub mod routing;
mod runner;
pub mod send;
mod signal;
mod slot;
mod spawn;
pub mod stream;
mod stuck;
pub mod supervision;
mod sync;
mod system;
mod tasks;
#[cfg(feature = "testkit")]
pub mod testkit;
mod ticks;
mod timers;
pub mod topic;
mod watchdog;

pub use actor::{Accepts, Actor, Handler};
pub use context::{Context, ReplyLater};
pub use dispatch::ActorType;
pub use error::declined::{Declined, OrDecline};
pub use error::outcome::{AskError, FeedError, OperationError, SpawnError, TellError};
pub use error::refusal::Refusal;
pub use error::returned::{BoxError, Result};
pub use events::{DeadLetter, Event, Events, RestartReason, StopReason, Terminated, WatchId};
pub use kind::Kind;
pub use mailbox::{Mailbox, Overflow};
pub use message::declared::Message;
pub use peer::{Identity, Peer};
pub use portable::PortableRef;
/// Declares the type as a [message](trait@Message), with attributes that say the rest:
///
/// ```
/// #[derive(rakt::Message)]                                  // stays in the process, no reply
/// struct Tick;
///
/// #[derive(rakt::Message)]
/// #[rakt(reply = u64)]                                      // stays in the process, has a reply
/// struct Count { from: u64 }
///
/// # #[cfg(feature = "prost")] mod wire {
/// #[derive(Clone, PartialEq, prost::Message, rakt::Message)]
/// #[rakt(name = "demo.Work", reply = String)]               // crosses the wire under that name
/// struct Work {
///     #[prost(string, tag = "1")]
///     job: String,
/// }
/// # }
/// ```
///
/// | attribute | what it says | default |
/// | --- | --- | --- |
/// | `reply = Type` | what an `ask` returns | `()` |
/// | `reply = Result<Type, Error>` | the same, and an error that is the asker's alone; of prost types, a [`oneof`](message::ProstResult) | |
/// | `reply = Type as "demo.Reply"` | its name on the wire too, which GoAkt peers need | none |
/// | `name = "demo.Work"` | the message crosses the wire, and peers know it by this name | it stays in the process |
/// | `name = _`, `reply = Type as _` | the name that `prost::Name` gives | |
/// | `codec = "serde"` | message and reply are written by [`Serde`](message::Serde), as MessagePack | `"prost"` |
/// | `codec = "postcard"` | they are written by [`Postcard`](message::Postcard) | |
/// | `codec = Type` | they are written by a [`Codec`](message::Codec) of your own | |
/// | `crate = path` | where rakt is, if it has another name | `::rakt` |
///
/// A name is never made up from the name of the type: peers of another version know the message by it, and
/// a refactoring must not change it.
///
/// A generic message has no single name; declare the types that you send with
/// [`messages!`], `rakt::messages! { Batch<u64> as "demo.Numbers" }`. A message borrows nothing.
pub use rakt_macros::Message;
pub use rakt_wire::{Address, Dialect, Metadata};
pub use reference::{ActorRef, AnyActor, Recipient, Takes};
pub use send::message_for::MessageFor;
pub use spawn::{Spawn, SpawnOrExisting};
pub use system::{
    ActorSystem, ConfigError, Exposed, ExposedActors, ExposedGrains, ExposedKind, ShutdownReport,
    StartError, SystemBuilder,
};
pub use tasks::Task;
pub use timers::Timer;

/// What most files that define or use actors need. Every other path to a type is its only one.
pub mod prelude {
    pub use crate::grain::{Grain, GrainKind, GrainRef};
    #[cfg(feature = "remote")]
    pub use crate::remote;
    pub use crate::{
        Accepts, Actor, ActorRef, ActorSystem, Address, AnyActor, AskError, Context, Declined,
        Handler, Kind, Mailbox, Message, OrDecline, Overflow, Recipient, Refusal, Result,
        Terminated, supervision::Supervision,
    };
}
