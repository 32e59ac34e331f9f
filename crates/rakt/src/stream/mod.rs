//! Replies as streams: one request, and items that come as they are wanted.
//!
//! A message that is answered by a stream has [`Streamed<T>`](Streamed) as its reply, and its handler makes one of a
//! stream by [`Context::reply_stream`](crate::Context::reply_stream). Whoever asks by [`ActorRef::ask_stream`](crate::ActorRef::ask_stream) gets [`Items`], here or from another node.
//!
//! ```
//! use std::pin::Pin;
//! use std::task::{Context as TaskContext, Poll};
//!
//! use futures_core::Stream;
//! use rakt::prelude::*;
//! use rakt::stream::Streamed;
//!
//! /// An item is a message type: with a name it crosses the wire.
//! #[derive(Message)]
//! struct Row(u64);
//!
//! #[derive(Message)]
//! #[rakt(reply = Streamed<Row>)]
//! struct Rows {
//!     below: u64,
//! }
//!
//! struct Table;
//! impl Actor for Table {}
//!
//! impl Handler<Rows> for Table {
//!     async fn handle(&mut self, Rows { below }: Rows, ctx: &mut Context<Self>) -> Result<Streamed<Row>> {
//!         ctx.reply_stream(Count { next: 0, below }).await
//!     }
//! }
//!
//! struct Count { next: u64, below: u64 }
//! impl Stream for Count {
//!     type Item = Row;
//!     fn poll_next(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Option<Row>> {
//!         let n = self.next;
//!         self.next += 1;
//!         Poll::Ready((n < self.below).then_some(Row(n)))
//!     }
//! }
//!
//! # #[tokio::main] async fn main() -> Result {
//! # let system = ActorSystem::builder("doc").start().await?;
//! # let table = system.spawn("table", || Table).await?;
//! let mut rows = table.ask_stream(Rows { below: 1000 });
//! let mut sum = 0;
//! while let Some(row) = rows.next().await {
//!     let Row(n) = row?;
//!     sum += n;
//! }
//! assert_eq!(sum, 499_500);
//! # Ok(()) }
//! ```
//!
//! Nothing of this is new on the wire. The stream runs beside a child of the actor that answers, its *source*; the reply is a
//! reference to that. Whoever asked keeps one ask at the source open for as long as it wants items, so that the source
//! ends with whatever ends an ask: when [`Items`] is dropped, at its deadline, and when the connection is lost. Items are pulled in
//! batches, the next while the one before is being taken, so a consumer that is slow holds its source back.
//!
//! - `pull`: the messages between both sides, and how they cross the wire
//! - `source`: the side that has the stream
//! - `items`: the side that wants it

mod items;
mod pull;
mod source;

pub use items::Items;
pub use source::Streamed;

/// Items of one batch: no more are on their way at a time.
const MAX_ITEMS: usize = 256;

/// A batch to another node is full when it has as many bytes; its last item may lead beyond.
const MAX_BYTES: usize = 64 * 1024;
