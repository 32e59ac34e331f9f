//! Replies that a task gives, after the handler has returned.

use std::sync::Arc;

use crate::error::{BoxError, Cause, Declined, Refusal};
use crate::mailbox::reply::Reply;
use crate::sync::Mutex;

/// A reply that a task gives. See [`Context::defer`](crate::Context::defer).
///
/// Dropped without a reply, it tells the asker that there is none.
pub struct ReplyLater<R: Send + 'static>(pub(super) Handoff<R>);

impl<R: Send + 'static> std::fmt::Debug for ReplyLater<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplyLater")
    }
}

impl<R: Send + 'static> ReplyLater<R> {
    /// Gives the reply.
    pub fn send(self, reply: R) {
        self.finish(Ok(reply));
    }

    /// Tells the asker that there is no reply, and why.
    pub fn fail(self, error: impl Into<BoxError>) {
        self.finish(Err(Refusal::HandlerFailed { source: Cause::described(&*error.into()) }));
    }

    /// Turns the message down, as a handler does by [`Declined`].
    pub fn decline(self, reason: impl Into<BoxError>) {
        self.finish(Err(Declined::new(reason).0));
    }

    pub(super) fn finish(self, reply: Result<R, Refusal>) {
        self.0.give(reply);
    }
}

impl<R: Send + 'static> Drop for ReplyLater<R> {
    fn drop(&mut self) {
        self.0.give(Err(Refusal::NoReply));
    }
}

/// Where a deferred reply and its destination meet, whichever comes first.
pub(super) struct Handoff<R: Send + 'static>(Arc<Mutex<Meeting<R>>>);

enum Meeting<R: Send + 'static> {
    Neither,
    Given(Result<R, Refusal>),
    Settled(Reply<R>),
    Over,
}

impl<R: Send + 'static> Clone for Handoff<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: Send + 'static> Default for Handoff<R> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Meeting::Neither)))
    }
}

impl<R: Send + 'static> Handoff<R> {
    fn give(&self, reply: Result<R, Refusal>) {
        let mut meeting = self.0.lock();
        match std::mem::replace(&mut *meeting, Meeting::Over) {
            Meeting::Neither => *meeting = Meeting::Given(reply),
            Meeting::Settled(mut to) => {
                drop(meeting);
                to.send(reply);
            }
            given @ Meeting::Given(_) => *meeting = given,
            Meeting::Over => {}
        }
    }

    pub(super) fn settle(&self, mut to: Reply<R>) {
        let mut meeting = self.0.lock();
        match std::mem::replace(&mut *meeting, Meeting::Over) {
            Meeting::Neither => *meeting = Meeting::Settled(to),
            Meeting::Given(reply) => {
                drop(meeting);
                to.send(reply);
            }
            Meeting::Settled(_) | Meeting::Over => {}
        }
    }
}

/// What a handler returns in place of a reply that is given elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("the reply is given later")]
pub(crate) struct Deferred;
