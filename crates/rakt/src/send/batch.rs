//! Several requests to one actor, sent in order and under way together.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use rakt_wire::Wish;

use super::envelope::{Envelope, Held};
use super::message_for::MessageFor;
use super::request::Request;
use crate::call_options::DEFAULT_ASK_TIMEOUT;
use crate::error::AskError;
use crate::limit::Limit;
use crate::message::{Message, message_name};
use crate::propagate::Extensions;
use crate::reference::ActorRef;

/// How a request ended: with a reply, or, where none was asked for, without.
type Ended<M> = Result<Option<<M as Message>::Reply>, AskError<M>>;

/// Several requests to one actor, sent in order and under way together.
struct Batch<'a, T, M: Message> {
    requests: Vec<Part<'a, T, M>>,
    /// One for all: they begin together.
    limit: Limit,
    /// Requests before this one have been sent.
    sent: usize,
    /// Requests before this one have ended.
    ended: usize,
}

enum Part<'a, T, M: Message> {
    UnderWay(Box<Request<'a, T, M>>),
    Ended(Ended<M>),
    Taken,
}

impl<'a, T, M: Message + MessageFor<T>> Batch<'a, T, M> {
    fn new(target: &'a ActorRef<T>, messages: impl IntoIterator<Item = M>, wish: Wish) -> Self {
        let mut limit = DEFAULT_ASK_TIMEOUT;
        let request = |message| {
            let envelope = Envelope::new(Held::Borrowed(target), message);
            limit = envelope.ask_timeout();
            let mut request = Request::new(envelope, Limit::new(limit), wish);
            request.envelope.is_alone = false;
            Part::UnderWay(Box::new(request))
        };
        Self {
            requests: messages.into_iter().map(request).collect(),
            limit: Limit::new(limit),
            sent: 0,
            ended: 0,
        }
    }

    fn set_limit(&mut self, limit: Duration) {
        self.limit = Limit::new(limit);
    }

    fn until(&mut self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            self.limit = Limit::new(self.limit.limit).until(deadline);
        }
    }

    fn set_sender(&mut self, sender: &ActorRef) {
        for request in &mut self.requests {
            if let Part::UnderWay(request) = request {
                request.envelope.sender = Some(sender.clone());
            }
        }
    }

    fn carry(&mut self, current: &Extensions) {
        for request in &mut self.requests {
            if let Part::UnderWay(request) = request {
                request.envelope.carry(current);
            }
        }
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Vec<Ended<M>>> {
        self.limit.begin();
        while let Some(one) = self.requests.get_mut(self.sent) {
            let Part::UnderWay(request) = one else { break };
            match with_limit(request, &mut self.limit, |request| request.poll_send(cx)) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => *one = Part::Ended(Err(error)),
                Poll::Pending => break,
            }
            self.sent += 1;
        }
        // Looking at the first that has not ended is enough: all must end, in any order.
        while self.ended < self.sent {
            let one = &mut self.requests[self.ended];
            if let Part::UnderWay(request) = one {
                match with_limit(request, &mut self.limit, |request| {
                    request.poll(cx, |reply| reply)
                }) {
                    Poll::Ready(ended) => *one = Part::Ended(ended),
                    Poll::Pending => return Poll::Pending,
                }
            }
            self.ended += 1;
        }
        if self.ended < self.requests.len() {
            return Poll::Pending;
        }
        let take = |one: &mut Part<'a, T, M>| match std::mem::replace(one, Part::Taken) {
            Part::Ended(ended) => Some(ended),
            Part::UnderWay(_) | Part::Taken => None,
        };
        Poll::Ready(self.requests.iter_mut().filter_map(take).collect())
    }
}

/// Polls a request under a limit that is not its own.
fn with_limit<'a, T, M: Message + MessageFor<T>, R>(
    request: &mut Request<'a, T, M>,
    limit: &mut Limit,
    poll: impl FnOnce(&mut Request<'a, T, M>) -> R,
) -> R {
    std::mem::swap(&mut request.limit, limit);
    let polled = poll(request);
    std::mem::swap(&mut request.limit, limit);
    polled
}

/// Shows a batch as how many messages of which type it has: payloads are nobody's business.
macro_rules! show_len {
    ($batch:ident) => {
        impl<T, M: Message + MessageFor<T>> fmt::Debug for $batch<'_, T, M> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($batch))
                    .field("message", &format_args!("{}", message_name::<M>()))
                    .field("len", &self.0.requests.len())
                    .finish_non_exhaustive()
            }
        }
    };
}

show_len!(TellAll);
show_len!(AskAll);

/// The options that both kinds of batch share.
macro_rules! batch_options {
    () => {
        /// How long to wait for each outcome. Default: as for an [`ask`](ActorRef::ask).
        pub fn timeout(mut self, limit: Duration) -> Self {
            self.0.set_limit(limit);
            self
        }

        /// Names the sender, whom the receiver can answer.
        pub fn sender<S>(mut self, sender: &ActorRef<S>) -> Self {
            self.0.set_sender(&sender.untyped());
            self
        }

        pub(crate) fn carrying(mut self, current: &Extensions) -> Self {
            self.0.carry(current);
            self
        }

        /// Waits no longer than whoever waits for the message at hand.
        pub(crate) fn until(mut self, deadline: Option<Instant>) -> Self {
            self.0.until(deadline);
            self
        }
    };
}

/// The future of [`ActorRef::tell_all`]: one outcome a message, in the order given.
#[must_use = "messages are sent when this is awaited"]
pub struct TellAll<'a, T, M: Message>(Batch<'a, T, M>);

impl<'a, T, M: Message + MessageFor<T>> TellAll<'a, T, M> {
    pub(crate) fn new(target: &'a ActorRef<T>, messages: impl IntoIterator<Item = M>) -> Self {
        Self(Batch::new(target, messages, Wish::Confirm))
    }

    batch_options!();
}

impl<T, M: Message + MessageFor<T>> Unpin for TellAll<'_, T, M> {}

impl<T, M: Message + MessageFor<T>> Future for TellAll<'_, T, M> {
    type Output = Vec<Result<(), AskError<M>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map(|all| all.into_iter().map(|one| one.map(drop)).collect())
    }
}

/// The future of [`ActorRef::ask_all`]: one outcome a message, in the order given.
#[must_use = "messages are sent when this is awaited"]
pub struct AskAll<'a, T, M: Message>(Batch<'a, T, M>);

impl<'a, T, M: Message + MessageFor<T>> AskAll<'a, T, M> {
    pub(crate) fn new(target: &'a ActorRef<T>, messages: impl IntoIterator<Item = M>) -> Self {
        Self(Batch::new(target, messages, Wish::Ask))
    }

    batch_options!();
}

impl<T, M: Message + MessageFor<T>> Unpin for AskAll<'_, T, M> {}

impl<T, M: Message + MessageFor<T>> Future for AskAll<'_, T, M> {
    type Output = Vec<Result<M::Reply, AskError<M>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let reply = |ended: Ended<M>| ended.map(|reply| reply.expect("an ask ends with a reply"));
        self.0.poll(cx).map(|all| all.into_iter().map(reply).collect())
    }
}
