//! Sending: the futures behind `tell`, `ask`, and their batches.
//!
//! Each is a plain struct that sends when it is first polled, so that the common case costs neither a
//! task nor a boxed future.
//!
//! ```
//! use rakt::prelude::*;
//! use std::time::Duration;
//!
//! #[derive(Message)]
//! #[rakt(reply = u64)]
//! struct Add(u64);
//!
//! #[derive(Default)]
//! struct Sum(u64);
//! impl Actor for Sum {}
//!
//! impl Handler<Add> for Sum {
//!     async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64> {
//!         self.0 += n;
//!         Ok(self.0)
//!     }
//! }
//!
//! # #[tokio::main] async fn main() -> Result {
//! # let system = ActorSystem::builder("doc").start().await?;
//! # let sum = system.spawn("sum", Sum::default).await?;
//! sum.tell(Add(1)).await?;                                                // accepted
//! sum.tell(Add(1)).timeout(Duration::from_millis(100)).confirmed().await?; // in the mailbox
//! assert_eq!(sum.ask(Add(1)).await?, 3);                                  // handled
//! for (outcome, total) in sum.ask_all([Add(1), Add(1)]).await.into_iter().zip(4..) {
//!     assert_eq!(outcome?, total);
//! }
//! # Ok(()) }
//! ```
//!
//! - `message_for`: which messages can be sent to whom; `calls`: what can be done with a reference
//! - `envelope`: a message on its way to be accepted, by a mailbox or a connection
//! - `request`: a message whose outcome is awaited
//! - `batch`: several of those at once
//! - `sink`: many messages to one actor, of which none is awaited

mod batch;
mod calls;
mod envelope;
pub(crate) mod message_for;
mod request;
mod sink;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use rakt_wire::{Metadata, Wish};

use crate::error::{AskError, Refusal, TellError};
use crate::limit::Limit;
use crate::message::allowance::Kept;
use crate::message::{Message, message_name};
use crate::peer::Peer;
use crate::propagate::Extensions;
use crate::reference::ActorRef;

pub use crate::call_options::{DEFAULT_ASK_TIMEOUT, DEFAULT_TELL_TIMEOUT};
pub use batch::{AskAll, TellAll};
pub use sink::TellSink;

use envelope::{Envelope, Held};
use message_for::MessageFor;
use request::Request;

/// The result of [`ActorRef::try_tell`].
pub type TryTell<M> = Result<(), TellError<M>>;

/// The options that a tell and an ask share; `$envelope` is where they keep the message.
macro_rules! message_options {
    ($($envelope:ident).+) => {
        /// Names the sender, whom the receiver can answer.
        pub fn sender<S>(mut self, sender: &ActorRef<S>) -> Self {
            self.$($envelope).+.sender = Some(sender.untyped());
            self
        }

        /// Sends metadata along. Replaces what was given before.
        ///
        /// At most 64 pairs and 16 KiB cross the wire.
        pub fn metadata(mut self, metadata: Metadata) -> Self {
            self.$($envelope).+.enclose(metadata);
            self
        }

        /// Has this be there until the message is handled, where that is in this process.
        pub(crate) fn counted(mut self, token: Option<&Arc<()>>) -> Self {
            if let Some(token) = token {
                self.$($envelope).+.count_in(token.clone());
            }
            self
        }

        /// Has what counts for the message count until it is handled, where that is in this process.
        pub(crate) fn keeping(mut self, kept: Option<Kept>) -> Self {
            if let Some(kept) = kept {
                self.$($envelope).+.keep(kept);
            }
            self
        }

        /// Has the receiver know the peer that the message came from at first, where it is in this process.
        pub(crate) fn of_peer(mut self, peer: Option<Peer>) -> Self {
            if let Some(peer) = peer {
                self.$($envelope).+.set_peer(peer);
            }
            self
        }

        pub(crate) fn carrying(mut self, current: &Extensions) -> Self {
            self.$($envelope).+.carry(current);
            self
        }
    };
}

/// Shows a future as whom it sends to and the type of what it sends: payloads are nobody's business.
macro_rules! show_target {
    ($future:ident, $($envelope:ident).+) => {
        impl<T, M: Message + MessageFor<T>> fmt::Debug for $future<'_, T, M> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($future))
                    .field("target", &*self.$($envelope).+.target)
                    .field("message", &format_args!("{}", message_name::<M>()))
                    .finish_non_exhaustive()
            }
        }
    };
}

show_target!(Tell, envelope);
show_target!(Confirmed, request.envelope);
show_target!(Ask, request.envelope);

/// The future of [`ActorRef::tell`].
#[must_use = "a message is sent when this is awaited"]
pub struct Tell<'a, T, M: Message> {
    envelope: Envelope<'a, T, M>,
    limit: Option<Limit>,
}

impl<'a, T, M: Message + MessageFor<T>> Tell<'a, T, M> {
    pub(crate) fn borrowed(target: &'a ActorRef<T>, message: M) -> Self {
        Self::new(Held::Borrowed(target), message)
    }

    pub(crate) fn owned(target: ActorRef<T>, message: M) -> Self {
        Self::new(Held::Owned(target), message)
    }

    fn new(target: Held<'a, T>, message: M) -> Self {
        Self { envelope: Envelope::new(target, message), limit: None }
    }

    message_options!(envelope);

    /// How long to wait for room. Default: [`DEFAULT_TELL_TIMEOUT`].
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(Limit::new(limit));
        self
    }

    /// Waits no longer than whoever waits for the message at hand.
    pub(crate) fn until(mut self, deadline: Option<Instant>) -> Self {
        if let Some(deadline) = deadline {
            self.limit = Some(Limit::new(DEFAULT_TELL_TIMEOUT).until(deadline));
        }
        self
    }

    /// Waits until the message is in the receiver's mailbox, also on another node, or for the reason
    /// why not. Takes as long as an [`ask`](ActorRef::ask) may, unless a timeout is given.
    ///
    /// # Errors
    /// [`AskError`]: why it is not in the mailbox, or that this is not known.
    ///
    /// # Cancel safety
    /// If the future is dropped, the message may have been sent.
    pub fn confirmed(self) -> Confirmed<'a, T, M> {
        let usual = self.envelope.ask_timeout();
        let limit = match self.limit {
            Some(limit) => limit.or_usual(usual),
            None => Limit::new(usual),
        };
        Confirmed { request: Request::new(self.envelope, limit, Wish::Confirm) }
    }

    pub(crate) fn now(mut self) -> TryTell<M> {
        match self.envelope.poll_accept(Wish::Tell, None, None) {
            Poll::Ready(Ok(_)) => Ok(()),
            Poll::Ready(Err((refusal, message))) => Err(self.error(refusal, message)),
            Poll::Pending => unreachable!("nothing waits without a waker"),
        }
    }

    /// Ready when the message is accepted, however long that takes.
    fn poll_accepted(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), TellError<M>>> {
        let accepted = self.envelope.poll_accept(Wish::Tell, None, Some(cx.waker()));
        accepted.map(|accepted| match accepted {
            Ok(_) => Ok(()),
            Err((refusal, message)) => Err(self.error(refusal, message)),
        })
    }

    /// Ready when the message is accepted, or when its time is over.
    #[inline(never)]
    fn poll_within_limit(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), TellError<M>>> {
        let accepted = self.poll_accepted(cx);
        if accepted.is_ready() {
            return accepted;
        }
        let limit = self.limit.get_or_insert_with(|| Limit::new(DEFAULT_TELL_TIMEOUT));
        if limit.poll(cx, self.envelope.ticks()).is_pending() {
            return Poll::Pending;
        }
        let refusal = self.envelope.late();
        match self.envelope.take_back() {
            Some(message) => Poll::Ready(Err(self.error(refusal, message))),
            None => Poll::Pending,
        }
    }

    fn error(&self, refusal: Refusal, message: M) -> TellError<M> {
        TellError { target: self.envelope.target.address(), refusal, message }
    }
}

impl<T, M: Message + MessageFor<T>> Unpin for Tell<'_, T, M> {}

impl<T, M: Message + MessageFor<T>> Future for Tell<'_, T, M> {
    type Output = Result<(), TellError<M>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if self.envelope.tell_shortly() {
            return Poll::Ready(Ok(()));
        }
        self.poll_within_limit(cx)
    }
}

/// The future of [`Tell::confirmed`].
#[must_use = "a message is sent when this is awaited"]
pub struct Confirmed<'a, T, M: Message> {
    request: Request<'a, T, M>,
}

impl<T, M: Message + MessageFor<T>> Unpin for Confirmed<'_, T, M> {}

impl<T, M: Message + MessageFor<T>> Future for Confirmed<'_, T, M> {
    type Output = Result<(), AskError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.request.poll(cx, drop)
    }
}

impl<T, M: Message + MessageFor<T>> Confirmed<'_, T, M> {
    /// How long to wait for the confirmation. Default: as for an [`ask`](ActorRef::ask).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.request.limit = Limit::new(limit);
        self
    }
}

/// The future of [`ActorRef::ask`].
#[must_use = "a message is sent when this is awaited"]
pub struct Ask<'a, T, M: Message> {
    request: Request<'a, T, M>,
}

impl<'a, T, M: Message + MessageFor<T>> Ask<'a, T, M> {
    pub(crate) fn borrowed(target: &'a ActorRef<T>, message: M) -> Self {
        Self::new(Held::Borrowed(target), message)
    }

    pub(crate) fn owned(target: ActorRef<T>, message: M) -> Self {
        Self::new(Held::Owned(target), message)
    }

    fn new(target: Held<'a, T>, message: M) -> Self {
        let envelope = Envelope::new(target, message);
        let limit = Limit::new(envelope.ask_timeout());
        Self { request: Request::new(envelope, limit, Wish::Ask) }
    }

    /// Waits no longer than whoever waits for the message at hand.
    pub(crate) fn until(mut self, deadline: Option<Instant>) -> Self {
        if let Some(deadline) = deadline {
            self.request.limit = Limit::new(self.request.envelope.ask_timeout()).until(deadline);
        }
        self
    }

    /// Has the message accepted, and no more. The first poll of the future after that is to be by the same
    /// task.
    pub(crate) fn poll_sent(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), AskError<M>>> {
        self.request.poll_send(cx)
    }

    /// How long to wait for the reply. Default: that of the system, 5 s if it has none.
    ///
    /// The time that remains travels with the message, as a duration: clocks need not agree.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.request.limit = Limit::new(limit);
        self
    }

    message_options!(request.envelope);
}

impl<T, M: Message + MessageFor<T>> Unpin for Ask<'_, T, M> {}

impl<T, M: Message + MessageFor<T>> Future for Ask<'_, T, M> {
    type Output = Result<M::Reply, AskError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.request.poll(cx, |reply| reply.expect("an ask ends with a reply or an error"))
    }
}
