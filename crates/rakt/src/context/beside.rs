//! What runs beside an actor and comes back to it as messages: futures and streams.
//!
//! Each holds no actor alive while it waits for what is to come, and ends with what has set it up.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_core::Stream;

use super::state::{ActorCell, Context};
use crate::error::{Bound, Declined, Refusal};
use crate::events::DeadLetter;
use crate::message::{Message, message_name};
use crate::reference::{ActorRef, AnyCell, Target};
use crate::send::message_for::MessageFor;
use crate::signal::{Signal, Signalled};
use crate::tasks::Task;

/// A message for an actor that has not got it yet. Dropped, it is a dead letter: where the actor has ended, or
/// was built anew, while this waited for room.
struct Pending<A: Send + 'static> {
    me: ActorRef<A>,
    cell: Arc<ActorCell<A>>,
    message: &'static str,
    reason: Option<Refusal>,
}

impl<A: Send + 'static> Drop for Pending<A> {
    fn drop(&mut self) {
        let Some(reason) = self.reason.take() else { return };
        self.cell.system.dead_letter(|| DeadLetter {
            target: self.cell.address().into(),
            sender: None,
            message: self.message.to_owned(),
            reason,
            count: 1,
        });
    }
}

/// One life of an actor, from one start to the next, for what runs beside it.
struct Life<A> {
    actor: Weak<ActorCell<A>>,
    /// Gone as soon as that life is over, while the actor may have a new one.
    tasks: Weak<()>,
}

/// Sends a message to the actor, and waits for room as long as that takes. Says whether the actor takes more.
async fn deliver<A: Send + 'static, M>(to: &Life<A>, message: M) -> bool
where
    M: Message + MessageFor<A>,
{
    let Some(cell) = to.actor.upgrade() else { return false };
    let me = ActorRef::<A>::from_target(Target::Local(cell.clone()));
    let reason = Some(Refusal::Stopped);
    let mut pending = Pending { me, cell, message: message_name::<M>(), reason };
    if to.tasks.strong_count() == 0 {
        return false;
    }
    let sent = pending.me.tell(message).timeout(Duration::MAX).await;
    pending.reason = sent.err().map(|error| error.refusal);
    pending.reason != Some(Refusal::Stopped)
}

impl<A: Send + 'static> Context<A> {
    /// Futures and streams that may run beside an actor at a time: 1024.
    pub const TASK_CAPACITY: usize = 1024;

    /// Streams that an actor may answer with at a time: 1024. See [`reply_stream`](Self::reply_stream).
    pub const STREAM_CAPACITY: usize = 1024;

    /// Something that is kept for as long as a stream lasts, unless there are as many as there may be.
    pub(crate) fn count_stream(&mut self) -> Result<Arc<()>, Declined> {
        let streams = self.extra.get_or_insert_default().streams.get_or_insert_default();
        if Arc::strong_count(streams) > Self::STREAM_CAPACITY {
            let limit = Self::STREAM_CAPACITY as u64;
            return Err(Declined(Refusal::ResourceExhausted { bound: Bound::Tasks, limit }));
        }
        Ok(streams.clone())
    }

    /// Runs a future beside this actor, which goes on with its messages meanwhile; what comes out of it is sent to
    /// the actor as a message.
    ///
    /// ```
    /// # use rakt::prelude::*;
    /// # async fn fetch(_: u64) -> String { String::new() }
    /// # #[derive(Message)] struct Refresh(u64);
    /// #[derive(Message)]
    /// struct Fetched(String);
    ///
    /// # struct Cache(String);
    /// # impl Actor for Cache {}
    /// impl Handler<Refresh> for Cache {
    ///     async fn handle(&mut self, Refresh(id): Refresh, ctx: &mut Context<Self>) -> Result {
    ///         ctx.pipe(async move { Fetched(fetch(id).await) })?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// impl Handler<Fetched> for Cache {
    ///     async fn handle(&mut self, Fetched(page): Fetched, _: &mut Context<Self>) -> Result {
    ///         self.0 = page;
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// It waits for room in the mailbox, and is a dead letter where the actor does not take it. A panic of the
    /// future is a fault of the actor. The future runs on the runtime of the system, keeps the actor from being
    /// [passivated](crate::Spawn::passivate_after), and is dropped when the actor begins to stop, when it is restarted,
    /// or fails and waits for its restart.
    ///
    /// # Errors
    /// If [`TASK_CAPACITY`](Self::TASK_CAPACITY) run already, the value [turns](Declined) the message at hand
    /// down; the actor goes on.
    pub fn pipe<M>(
        &mut self,
        future: impl Future<Output = M> + Send + 'static,
    ) -> Result<Task, Declined>
    where
        M: Message + MessageFor<A>,
    {
        self.run_beside(|to| async move {
            deliver(&to, future.await).await;
        })
    }

    /// Sends this actor every item of a stream, in order, as a message. The next is taken out of the stream when
    /// the one before has room in the mailbox, so a source that is faster than the actor is held back.
    ///
    /// An item that the actor does not take, because it is suspended or its mailbox refuses or drops what is too
    /// much, is a dead letter, and the next one follows. Otherwise the stream is as a [pipe](Self::pipe): its
    /// panic is a fault of the actor; while it lasts it keeps the actor from being passivated; and it is dropped
    /// as the actor begins to stop or is restarted, so attach it in [`started`](crate::Actor::started).
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe).
    pub fn attach_stream<S>(&mut self, stream: S) -> Result<Task, Declined>
    where
        S: Stream<Item: Message + MessageFor<A>> + Send + 'static,
    {
        self.run_beside(|to| async move {
            feed(&to, stream).await;
        })
    }

    /// As [`attach_stream`](Self::attach_stream), and sends `end` when the stream has ended, after its last item.
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe).
    pub fn attach_stream_then<S, E>(&mut self, stream: S, end: E) -> Result<Task, Declined>
    where
        S: Stream<Item: Message + MessageFor<A>> + Send + 'static,
        E: Message + MessageFor<A>,
    {
        self.run_beside(|to| async move {
            if feed(&to, stream).await {
                deliver(&to, end).await;
            }
        })
    }

    fn run_beside<F>(&mut self, work: impl FnOnce(Life<A>) -> F) -> Result<Task, Declined>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.extra.get_or_insert_default().tasks.get_or_insert_default();
        if tasks.count() >= Self::TASK_CAPACITY {
            let limit = Self::TASK_CAPACITY as u64;
            return Err(Declined(Refusal::ResourceExhausted { bound: Bound::Tasks, limit }));
        }
        let actor = Arc::downgrade(&self.cell);
        let work = work(Life { actor: actor.clone(), tasks: tasks.life() });
        let failed = move |life, fault| {
            if let Some(cell) = actor.upgrade() {
                cell.signal(Signal::TaskFailed { life, fault });
            }
        };
        Ok(tasks.start(self.cell.system.runtime(), work, failed))
    }

    /// Drops what runs beside the actor.
    pub(crate) fn end_tasks(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.tasks = None;
        }
    }

    /// Gives back the memory of what ran beside the actor and is done.
    pub(crate) fn sweep_tasks(&mut self) {
        self.has_tasks();
    }

    /// Whether something runs beside the actor.
    pub(crate) fn has_tasks(&mut self) -> bool {
        let tasks = self.extra.as_mut().and_then(|extra| extra.tasks.as_mut());
        tasks.is_some_and(|tasks| tasks.count() > 0)
    }
}

/// Sends all items of a stream; says whether the actor would take more.
async fn feed<A, S>(to: &Life<A>, stream: S) -> bool
where
    A: Send + 'static,
    S: Stream<Item: Message + MessageFor<A>>,
{
    let mut stream = pin!(stream);
    while let Some(item) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
        if !deliver(to, item).await {
            return false;
        }
        // Where there is always an item and always room, others would have no turn.
        tokio::task::consume_budget().await;
    }
    true
}
