//! What becomes of a handler that does not end: it is told of, and somebody who kills the actor, or a time limit,
//! ends it.
//!
//! A handler that waits is looked at every two seconds. It costs one timer for all of them: the first that waits after
//! a look has its task woken at the next one, where it sees for how many looks it has waited. One that does not wait
//! costs nothing.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use tokio::time::Sleep;

use crate::context::ActorCell;
use crate::error::BoxError;
use crate::sync::atomic::Ordering;

/// From one look at handlers that wait to the next. 2 s.
pub(crate) const LOOK: Duration = Duration::from_secs(2);
/// What waits for longer than this is told of. 10 s.
const TOLD_AFTER: Duration = Duration::from_secs(10);
/// After this many looks it has waited for that long: the first may have come at once.
const LOOKS: u64 = TOLD_AFTER.as_secs() / LOOK.as_secs() + 1;

/// Looks after a handler that waits.
struct Stuck<'a, A> {
    cell: &'a ActorCell<A>,
    /// Names the type of the message.
    message: fn() -> &'static str,
    timer: Option<Pin<Box<Sleep>>>,
    watch: Watch,
}

/// For how long it has waited.
enum Watch {
    Running,
    /// Since that look.
    Waiting(u64),
    Told,
}

/// The outcome of a handler that has just been polled and waits, or why it is to end now.
pub(crate) async fn wait<A, T>(
    mut handling: Pin<&mut impl Future<Output = Result<T, BoxError>>>,
    cell: &ActorCell<A>,
    message: fn() -> &'static str,
) -> Result<T, BoxError>
where
    A: Send + 'static,
{
    let mut stuck = Stuck::new(cell, message);
    let mut is_polled = true;
    poll_fn(|cx| {
        if !std::mem::take(&mut is_polled)
            && let Poll::Ready(handled) = handling.as_mut().poll(cx)
        {
            return Poll::Ready(handled);
        }
        stuck.poll(cx).map(Err)
    })
    .await
}

impl<'a, A: Send + 'static> Stuck<'a, A> {
    fn new(cell: &'a ActorCell<A>, message: fn() -> &'static str) -> Self {
        Self { cell, message, timer: None, watch: Watch::Running }
    }

    /// The code waits: says why it is to end now, if it is.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<BoxError> {
        if self.cell.hold(cx.waker()) {
            return Poll::Ready(Box::new(Killed));
        }
        self.look(cx.waker());
        let Some(limit) = self.cell.setup.handler_timeout() else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        timer.as_mut().poll(cx).map(|()| TimedOut(limit).into())
    }

    /// Tells of the handler if it has waited for long, and has it looked at again otherwise.
    fn look(&mut self, waker: &Waker) {
        let looks = self.cell.system.looks();
        let now = looks.now(waker);
        match self.watch {
            Watch::Told => return,
            Watch::Running => self.watch = Watch::Waiting(now),
            Watch::Waiting(since) if now.saturating_sub(since) >= LOOKS => {
                self.watch = Watch::Told;
                return self.cell.system.tell_stuck(&self.cell.path, (self.message)(), TOLD_AFTER);
            }
            Watch::Waiting(_) => {}
        }
        // Once for each task and look is enough, however many messages it handles.
        let mark = (now as u32).wrapping_add(1).max(1);
        if self.cell.looked.load(Ordering::Relaxed) != mark {
            looks.call(waker, None);
            self.cell.looked.store(mark, Ordering::Relaxed);
        }
    }
}

/// The actor was killed while its code waited.
#[derive(Debug, thiserror::Error)]
#[error("the actor was killed")]
pub(crate) struct Killed;

/// A handler took longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("it took longer than {0:?}")]
pub(crate) struct TimedOut(pub(crate) Duration);
