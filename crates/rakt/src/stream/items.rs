//! The side that wants the items.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use rakt_wire::{Address, Dialect};
use tokio::time::Instant;

use super::MAX_ITEMS;
use super::pull::{Batch, Hold, Pull};
use super::source::{Place, Streamed};
use crate::error::{AskError, Refusal};
use crate::message::Message;
use crate::portable::resolver;
use crate::reference::{ActorRef, Recipient};
use crate::send::Ask;
use crate::send::message_for::MessageFor;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Outcome<T> = Result<T, AskError<()>>;
/// Asks, once it is known how long that may take.
type Opens<T> = dyn FnOnce(Option<Duration>) -> Boxed<Outcome<Open<T>>> + Send;

/// The items of a reply, in order: a stream that is made by [`ActorRef::ask_stream`].
///
/// It ends after its last item, or after an error; then there are no more. Dropped, it has its source end at once.
#[must_use = "nothing is asked before the first item is"]
pub struct Items<T: Message> {
    state: State<T>,
    limit: Option<Duration>,
}

enum State<T: Message> {
    New(Box<Opens<T>>),
    Opening(Boxed<Outcome<Open<T>>>),
    Open(Open<T>),
    Done,
}

/// Nothing in it is pinned in place.
impl<T: Message> Unpin for Items<T> {}

impl<T: Message> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Items")
    }
}

impl<T: Message> Items<T> {
    /// How long all of it may take, from the first poll to the last item. Default: the answer has to come as soon as
    /// that of an [`ask`](ActorRef::ask), its items have any time.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The next item; `None` after the last.
    ///
    /// # Errors
    /// As an [`ask`](ActorRef::ask): the stream has ended before its end. `Refusal::HandlerFailed` is an error of the
    /// stream itself, `Refusal::NoReply` or `Refusal::Stopped` the end of the actor.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<T, AskError<()>>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T: Message> Stream for Items<T> {
    type Item = Result<T, AskError<()>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let next = match &mut self.state {
                State::New(_) => {
                    let State::New(open) = std::mem::replace(&mut self.state, State::Done) else {
                        return Poll::Ready(None);
                    };
                    self.state = State::Opening(open(self.limit));
                    continue;
                }
                State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(open) => {
                        self.state = State::Open(open);
                        continue;
                    }
                    Err(error) => Some(Err(error)),
                },
                State::Open(open) => match ready!(open.poll_next(cx)) {
                    Some(Ok(item)) => return Poll::Ready(Some(Ok(item))),
                    end => end,
                },
                State::Done => return Poll::Ready(None),
            };
            // What is held open is let go of: the source ends.
            self.state = State::Done;
            return Poll::Ready(next);
        }
    }
}

/// A stream that has been answered.
struct Open<T: Message> {
    source: Recipient<Pull<T>>,
    /// Open for as long as items are wanted.
    hold: Option<Boxed<()>>,
    pull: Option<Boxed<Outcome<Batch<T>>>>,
    until: Option<Instant>,
    ready: VecDeque<T>,
    failed: Option<AskError<()>>,
    is_last: bool,
}

impl<T: Message> Open<T> {
    fn new(source: Recipient<Pull<T>>, hold: Boxed<()>, until: Option<Instant>) -> Self {
        let (hold, ready) = (Some(hold), VecDeque::new());
        Self { source, hold, pull: None, until, ready, failed: None, is_last: false }
    }

    fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Outcome<T>>> {
        if self.hold.as_mut().is_some_and(|hold| hold.as_mut().poll(cx).is_ready()) {
            self.hold = None;
        }
        loop {
            if self.pull.is_none() && !self.is_last && self.ready.len() <= MAX_ITEMS / 2 {
                let pull = Pull::new(!self.source.is_local());
                self.pull = Some(Box::pin(asked(self.source.clone(), pull, self.until)));
            }
            if let Some(pull) = &mut self.pull
                && let Poll::Ready(outcome) = pull.as_mut().poll(cx)
            {
                self.pull = None;
                match outcome {
                    Ok(batch) => {
                        self.is_last = batch.is_last;
                        self.ready.extend(batch.items);
                    }
                    Err(error) => (self.failed, self.is_last) = (Some(error), true),
                }
            }
            if let Some(item) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Some(Err(error)));
            }
            if self.is_last {
                return Poll::Ready(None);
            }
            if self.pull.is_some() {
                return Poll::Pending;
            }
        }
    }
}

/// Longer than anybody waits; what a duration may be on the wire.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Asks, until the stream has to have ended.
async fn asked<A: 'static, M: Message + MessageFor<A>>(
    target: ActorRef<A>,
    message: M,
    until: Option<Instant>,
) -> Outcome<M::Reply> {
    let left = until.map_or(FOR_EVER, |until| until.saturating_duration_since(Instant::now()));
    Ask::owned(target, message).timeout(left).await.map_err(without_message)
}

fn without_message<M>(error: AskError<M>) -> AskError<()> {
    match error {
        AskError::NotSent { target, refusal, .. } => {
            AskError::NotSent { target, refusal, message: () }
        }
        AskError::Refused { target, refusal } => AskError::Refused { target, refusal },
        AskError::Timeout { target, limit } => AskError::Timeout { target, limit },
        AskError::ConnectionLost { target, source } => AskError::ConnectionLost { target, source },
        AskError::BadReply { target, source } => AskError::BadReply { target, source },
    }
}

fn unsupported(target: Address, why: &'static str) -> AskError<()> {
    let refusal = Refusal::Unsupported { source: why.into() };
    AskError::NotSent { target, refusal, message: () }
}

impl<A: 'static> ActorRef<A> {
    /// Asks for a reply that is a stream: see [`stream`](crate::stream). Nothing is sent before the first item is asked
    /// for.
    ///
    /// Items arrive in the order in which the stream gives them out, each at most once. They are pulled in batches of 256
    /// items at most, to another node of 64 KiB and one item, so a consumer that is slow holds two batches and its source
    /// back. Dropping what this returns has the source end at once.
    ///
    /// An actor of a Go node is refused with [`Refusal::Unsupported`].
    pub fn ask_stream<M, T>(&self, message: M) -> Items<T>
    where
        M: Message<Reply = Streamed<T>> + MessageFor<A>,
        T: Message,
    {
        let target = self.clone();
        let open = move |limit| -> Boxed<_> { Box::pin(open(target, message, limit)) };
        Items { state: State::New(Box::new(open)), limit: None }
    }
}

async fn open<A, M, T>(target: ActorRef<A>, message: M, limit: Option<Duration>) -> Outcome<Open<T>>
where
    A: 'static,
    M: Message<Reply = Streamed<T>> + MessageFor<A>,
    T: Message,
{
    let address = target.address();
    if address.dialect() == Dialect::GoAkt {
        return Err(unsupported(address, "a Go node has no streams of replies"));
    }
    let until = limit.and_then(|limit| Instant::now().checked_add(limit));
    let reader = target.target().call_options().reader;
    let mut ask = Ask::owned(target, message);
    if let Some(limit) = limit {
        ask = ask.timeout(limit);
    }
    let Streamed(place) = ask.await.map_err(without_message)?;
    let (source, hold) = match place {
        Place::Here(source) => (source.recipient(), holding(source, until)),
        Place::There(portable) => {
            let resolver = resolver(reader);
            let Some(resolver) = resolver else {
                return Err(unsupported(address, "the system that asked has ended"));
            };
            let source = resolver.resolve(&portable);
            (source.recipient(), holding(source, until))
        }
    };
    Ok(Open::new(source, hold, until))
}

fn holding<A: 'static>(source: ActorRef<A>, until: Option<Instant>) -> Boxed<()>
where
    Hold: MessageFor<A>,
{
    Box::pin(async move { drop(asked(source, Hold, until).await) })
}
