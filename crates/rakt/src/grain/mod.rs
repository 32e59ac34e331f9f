//! Grains: virtual actors, which are named by a kind and a key, and live as soon as they are sent a message.
//!
//! An actor is spawned, has a reference that means one life of it, and is gone when it ends. A grain is always there
//! to be written to: whoever has its key sends it a message, which brings it to life where it is not. It ends by itself
//! when nobody needs it, and its state is in a [store](GrainStore) meanwhile.
//!
#![cfg_attr(feature = "prost", doc = "```")]
#![cfg_attr(not(feature = "prost"), doc = "```ignore")]
//! use rakt::grain::{Grain, GrainKind, MemoryStore};
//! use rakt::prelude::*;
//!
//! #[derive(Clone, PartialEq, prost::Message, Message)]
//! #[rakt(name = "shop.Lines")]
//! struct Lines {
//!     #[prost(string, repeated, tag = "1")]
//!     skus: Vec<String>,
//! }
//!
//! #[derive(Message)]
//! #[rakt(reply = usize)]
//! struct Add(&'static str);
//!
//! #[derive(Default)]
//! struct Cart(Lines);
//!
//! impl Actor for Cart {}
//!
//! impl Grain for Cart {
//!     const KIND: &'static str = "cart";
//!
//!     async fn activate(&mut self, ctx: &mut Context<Self>) -> Result {
//!         self.0 = ctx.state()?.unwrap_or_default();
//!         Ok(())
//!     }
//! }
//!
//! impl Handler<Add> for Cart {
//!     async fn handle(&mut self, Add(sku): Add, ctx: &mut Context<Self>) -> Result<usize> {
//!         self.0.skus.push(sku.into());
//!         ctx.save(&self.0).await?;
//!         Ok(self.0.skus.len())
//!     }
//! }
//!
//! # #[tokio::main] async fn main() -> Result {
//! let carts = GrainKind::<Cart>::new().store(MemoryStore::new());
//! let system = ActorSystem::builder("shop").grain(carts).start().await?;
//! let cart = system.grain::<Cart>("42"); // no cart lives yet
//! assert_eq!(cart.ask(Add("tea")).await?, 1);
//! # system.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! - `id`: which grain is meant; `epoch`: which life of it
//! - `kind`: what holds for all grains of a kind; `hosted`: the same of a kind whose grains live here; `host`: what is done
//!   for all of those; `table`: their places by their keys; `room`: how there comes to be room for one more
//! - `place`: where a grain lives, one life after the other; `activation`: one such life, and what it has stored
//! - `placement`: on which node of a cluster that is; `consistency`: what becomes of it while that is cut off
//! - `context`: what the code of a grain can do besides
//! - `reference`, `way`: how it is sent messages
//! - `relay`: what peers send for grains that live on other nodes
//! - `portable`: grains in messages
//! - `store`: where grains keep what outlives them; `memory_store`: one that is gone with the process
//! - `reminders`: messages to grains that do not live

mod activation;
pub(crate) mod consistency;
mod context;
mod epoch;
mod host;
mod hosted;
pub(crate) mod id;
mod kind;
mod memory_store;
mod place;
pub(crate) mod placement;
#[cfg(feature = "serde")]
mod portable;
mod reference;
mod relay;
mod reminders;
mod room;
mod store;
mod table;
mod way;

use std::future::Future;

use crate::actor::Actor;
use crate::context::Context;
use crate::error::Result;

pub use consistency::Consistency;
pub use epoch::{Epoch, Writer};
pub use id::GrainId;
pub use kind::GrainKind;
pub use memory_store::MemoryStore;
pub use placement::Placement;
pub use reference::GrainRef;
pub use store::{ClaimError, DueReminder, GrainStore, Reminder, SaveError, StoreError, Stored};

pub use crate::system::GrainReport;

/// An actor that is always there: one for each key, which lives from a message on until it is idle.
///
/// At most one activation of a grain lives at a time. Its messages are handled one by one as those of any actor; what
/// has not been handled as an activation ends is for the next one.
///
/// The hooks are optional. They run besides those of [`Actor`], which know nothing of what is stored.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a grain",
    label = "this is not a grain",
    note = "make it one: `impl rakt::grain::Grain for {Self} {{ const KIND: &'static str = \"..\"; }}`"
)]
pub trait Grain: Actor {
    /// The name of the kind, which is the same on all nodes and in the store: a [name](crate::ActorSystem::spawn) of an
    /// actor.
    const KIND: &'static str;

    /// Takes over what was [stored](Context::state), after `started` and before the first message; also after a restart,
    /// so that a grain which has failed goes on with what it had saved.
    ///
    /// # Errors
    /// An `Err`, a panic, and more time than [`activation_timeout`](GrainKind::activation_timeout) end the activation:
    /// all messages that wait for it are refused with
    /// [`Refusal::ActivationFailed`](crate::Refusal::ActivationFailed), and the next one tries again.
    fn activate(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Result> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// [Saves](Context::save) what is to be kept, before `stopped`, as the grain ends because it is idle, has stopped
    /// itself, or its system shuts down. Not so where it has failed, nor on the bad day on which the process is killed:
    /// what must not be lost is saved where it changes.
    ///
    /// # Errors
    /// An error is logged, and stops nothing.
    fn passivate(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Result> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// A [reminder](Context::remind) is due.
    ///
    /// # Errors
    /// As those of a handler. The reminder comes again after 10 s.
    fn reminded(
        &mut self,
        reminder: &str,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Result> + Send {
        let _ = (reminder, ctx);
        async { Ok(()) }
    }
}
