//! Routing: one reference that stands for several actors.
//!
//! A [`Router`] passes messages on to actors that it is given, a [`Pool`] to children that it spawns itself, each by a
//! [`Strategy`]. Both are actors, so their reference is a [`Recipient`](crate::Recipient) like any other, here and on
//! another node. They pass a message on as [`forward`](crate::Context::forward) does: with its sender, its deadline and
//! its reply, in the order in which they got it.
//!
//! ```
//! use rakt::prelude::*;
//! use rakt::routing::{Pool, Resize, Strategy};
//!
//! #[derive(Message)]
//! #[rakt(reply = usize)]
//! struct Measure(String);
//!
//! #[derive(Default)]
//! struct Worker;
//! impl Actor for Worker {}
//! impl Handler<Measure> for Worker {
//!     async fn handle(&mut self, Measure(text): Measure, _: &mut Context<Self>) -> Result<usize> {
//!         Ok(text.len())
//!     }
//! }
//!
//! # #[tokio::main] async fn main() -> Result {
//! # let system = ActorSystem::builder("doc").start().await?;
//! let pool = || Pool::new(Strategy::<Measure>::least_busy(), 4, Worker::default);
//! let workers = system.spawn("workers", pool).await?;
//! assert_eq!(workers.ask(Measure("four".into())).await?, 4);
//! assert_eq!(workers.ask(Resize::to(8)).await?, 8);
//! # Ok(()) }
//! ```
//!
//! A member whose mailbox is full holds back what is passed on after it, as a full mailbox holds back every sender;
//! [`Strategy::least_busy`] goes around it.
//!
//! - `strategy`: which member a message is for
//! - `route`: the members, and how a message gets to one
//! - `router`, `pool`: the actors

mod pool;
mod route;
mod router;
mod strategy;

pub use pool::{Pool, Resize};
pub use route::Size;
pub use router::{Add, Remove, Router};
pub use strategy::Strategy;
