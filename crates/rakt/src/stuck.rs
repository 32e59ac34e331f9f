//! What ends a handler or hook that does not end by itself: somebody who kills the actor, or a time limit.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use crate::context::ActorCell;
use crate::error::BoxError;

/// Looks after a handler that waits.
pub(crate) struct Stuck<'a, A> {
    cell: &'a ActorCell<A>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<'a, A: Send + 'static> Stuck<'a, A> {
    pub(crate) fn new(cell: &'a ActorCell<A>) -> Self {
        Self { cell, timer: None }
    }

    /// The code waits: says why it is to end now, if it is.
    pub(crate) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<BoxError> {
        if self.cell.hold(cx.waker()) {
            return Poll::Ready(Box::new(Killed));
        }
        let Some(limit) = self.cell.setup.handler_timeout() else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        timer.as_mut().poll(cx).map(|()| TimedOut(limit).into())
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
