//! Tasks that belong to an actor: each ends with what has set it up, and its panic is heard of.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

use crate::supervision::Fault;

/// A future or a stream that runs beside an actor: see [`Context::pipe`](crate::Context::pipe) and [`Context::attach_stream`](crate::Context::attach_stream).
///
/// Dropping this changes nothing.
#[derive(Clone, Debug)]
pub struct Task(AbortHandle);

impl Task {
    /// Drops the future or the stream. What is in the mailbox already is still handled.
    pub fn cancel(&self) {
        self.0.abort();
    }

    /// Whether nothing more will come of it.
    pub fn is_done(&self) -> bool {
        self.0.is_finished()
    }
}

/// The tasks of one actor, from one start to the next. Dropped, they are.
#[derive(Default)]
pub(crate) struct Tasks {
    running: JoinSet<()>,
    /// What a task says of itself counts only as long as this is there.
    life: Arc<()>,
}

impl Tasks {
    /// How many have not ended. What that costs does not grow with their number, but with that of those that
    /// have ended since.
    pub(crate) fn count(&mut self) -> usize {
        while !self.running.is_empty() && self.running.try_join_next().is_some() {}
        self.running.len()
    }

    /// What is gone once these tasks have been dropped. A poll that goes on on another thread is not over by then.
    pub(crate) fn life(&self) -> Weak<()> {
        Arc::downgrade(&self.life)
    }

    /// Starts one more; `failed` hears of its panic, with what is gone once nobody wants to know of it.
    pub(crate) fn start(
        &mut self,
        runtime: &Handle,
        work: impl Future<Output = ()> + Send + 'static,
        failed: impl FnOnce(Weak<()>, Fault) + Send + 'static,
    ) -> Task {
        let life = self.life();
        let work = async move {
            if let Err(fault) = contained(work).await {
                failed(life, fault);
            }
        };
        Task(self.running.spawn_on(work, runtime))
    }
}

/// Runs foreign code to its end, or to its panic.
async fn contained(work: impl Future<Output = ()>) -> Result<(), Fault> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let polled = AssertUnwindSafe(|| work.as_mut().poll(cx));
        match std::panic::catch_unwind(polled) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(Fault::of_panic(panic))),
        }
    })
    .await
}
