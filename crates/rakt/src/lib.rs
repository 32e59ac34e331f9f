//! rakt: typed actors that talk across machines.
//!
//! - [`actor`], [`message`]: what you write
//! - [`system`], [`spawn`], [`kind`]: starting actors
//! - [`reference`](ActorRef), [`send`]: talking to them
//! - [`context`]: what a handler sees and can do
//! - [`supervision`]: what happens when one fails
//! - [`events`]: dead letters, lifecycle, links
//! - [`propagate`]: carrying context along
#![cfg_attr(feature = "remote", doc = "- [`remote`]: actors on other nodes")]
//!
//! ```
//! use rakt::prelude::*;
//!
//! #[derive(Default)]
//! struct Counter(u64);
//!
//! struct Add(u64);
//! rakt::messages! { local Add => u64 }
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

#![cfg_attr(
    not(feature = "remote"),
    allow(dead_code, reason = "the seams to the remote half lie idle without it")
)]

pub mod actor;
mod cell;
pub mod context;
pub mod error;
pub mod events;
pub mod kind;
mod life;
pub mod mailbox;
pub mod message;
mod metrics;
mod operation;
pub mod propagate;
mod reference;
mod registry;
#[cfg(feature = "remote")]
pub mod remote;
pub mod send;
mod slot;
pub mod spawn;
pub mod supervision;
mod sync;
pub mod system;
mod ticks;
mod timers;

pub use actor::{Accepts, Actor, AnyActor, Handler};
pub use context::{Context, ReplyLater};
pub use error::{AskError, BoxError, OperationError, Refusal, Result, SpawnError, TellError};
pub use events::{DeadLetter, Event, Events, StopReason, Terminated};
pub use kind::Kind;
pub use mailbox::{Mailbox, Overflow};
pub use message::Message;
pub use rakt_wire::{Address, Dialect, Metadata};
pub use reference::{ActorRef, Receives};
pub use spawn::Spawn;
pub use supervision::Supervision;
pub use system::{ActorSystem, Builder, ShutdownReport, StartError};
pub use timers::Timer;

/// What most files that define or use actors need.
pub mod prelude {
    #[cfg(feature = "remote")]
    pub use crate::remote;
    pub use crate::{
        Accepts, Actor, ActorRef, ActorSystem, Address, AnyActor, AskError, Context, Handler, Kind,
        Mailbox, Message, Overflow, Refusal, Result, Supervision, Terminated,
    };
}
