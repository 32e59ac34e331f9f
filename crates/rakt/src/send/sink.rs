//! Many tells to one actor: fed to a sink, or taken from a stream.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use rakt_wire::native::Staged;

use super::Tell;
use super::message_for::MessageFor;
use crate::error::outcome::FeedError;
use crate::error::{Cause, Refusal};
use crate::message::{Bare, CodecError, Message, contained, message_name};
use crate::reference::{ActorRef, Stage, Target};

/// A connection is given what is written down once it has as many bytes.
const FULL_LEN: usize = 16 * 1024;

/// So many messages of a stream are taken before other tasks have their turn.
const TURN: usize = 1024;

impl<A: 'static> ActorRef<A> {
    /// A sink for messages to this actor, for a producer that has many of them. What is fed is encoded at once and kept
    /// here; a connection takes it together, when it is 16 KiB or by a [`flush`](TellSink::flush), which costs less than as
    /// many tells. Nothing else sends it: **what is not flushed is lost with the sink**. An actor of this process, or of a Go node,
    /// takes messages one by one.
    ///
    /// Accepted means what it does for a `tell`: what the far side turns down after that becomes a dead letter here.
    ///
    /// ```
    /// use rakt::prelude::*;
    ///
    /// #[derive(Message)]
    /// struct Reading(f64);
    ///
    /// # struct Meter;
    /// # impl Actor for Meter {}
    /// # impl Handler<Reading> for Meter {
    /// #     async fn handle(&mut self, _: Reading, _: &mut Context<Self>) -> Result { Ok(()) }
    /// # }
    /// # #[tokio::main] async fn main() -> Result {
    /// # let system = ActorSystem::builder("doc").start().await?;
    /// # let meter = system.spawn("meter", || Meter).await?;
    /// let mut sink = meter.sink();
    /// for value in [20.1, 20.4, 20.2] {
    ///     sink.feed(Reading(value)).await?;
    /// }
    /// sink.flush().await?;
    /// assert_eq!(sink.accepted(), 3);
    /// # Ok(()) }
    /// ```
    pub fn sink<M: Message + MessageFor<A>>(&self) -> TellSink<A, M> {
        let stage = match (self.target(), M::wire()) {
            (Target::Remote(remote), Some(_)) => remote.clone().stage(),
            _ => None,
        };
        let (stage, short_below) = stage.map_or((None, 0), |(stage, below)| (Some(stage), below));
        let (target, tells) = (self.clone(), Staged::default());
        TellSink { target, tells, short_below, stage, one: None, accepted: 0 }
    }

    /// Tells all messages of a stream in its order, as by [`sink`](Self::sink), and returns how many they were once they
    /// are accepted. While the stream has none, what came of it is sent.
    ///
    /// # Errors
    /// [`FeedError`]: why a message was not accepted, and how many were before it.
    ///
    /// # Cancel safety
    /// If the future is dropped, what was taken from the stream may have been sent or not.
    pub async fn tell_stream<M: Message + MessageFor<A>>(
        &self,
        messages: impl Stream<Item = M>,
    ) -> Result<u64, FeedError> {
        let (mut sink, mut messages) = (self.sink(), pin!(messages));
        std::future::poll_fn(|cx| {
            for _ in 0..TURN {
                std::task::ready!(sink.poll_room(cx))?;
                match messages.as_mut().poll_next(cx) {
                    Poll::Ready(Some(message)) => sink.take(message)?,
                    Poll::Ready(None) => return sink.poll_all(cx),
                    Poll::Pending => {
                        std::task::ready!(sink.poll_all(cx))?;
                        return Poll::Pending;
                    }
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await?;
        Ok(sink.accepted)
    }
}

/// Takes messages to one actor; see [`ActorRef::sink`]. It is a [`Sink`] as well.
///
/// Messages are accepted in the order in which they are fed, and what is promised of a [`tell`](ActorRef::tell) is promised
/// of each: it arrives at most once, and becomes a [dead letter](crate::Event::DeadLetter) here if the far side turns it
/// down. The sink waits for room as long as that takes; a limit is the caller's to set. A tell by another way overtakes
/// what is fed and not flushed.
///
/// After an error the sink goes on with what is fed to it next.
#[must_use = "what is fed is sent by a flush, and dropped with the sink"]
pub struct TellSink<T: 'static, M: Message> {
    target: ActorRef<T>,
    /// What is written down.
    tells: Staged,
    /// What has payloads below so many bytes is, as long as something takes it.
    short_below: usize,
    stage: Option<Box<dyn Stage>>,
    /// A message that is told by itself, behind those.
    one: Option<Tell<'static, T, M>>,
    accepted: u64,
}

impl<T: 'static, M: Message + MessageFor<T>> TellSink<T, M> {
    /// Takes a message, once there is room for it. It is sent when there are enough of them, or by a
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`FeedError`]: why this message, or one fed before, was not accepted.
    ///
    /// # Cancel safety
    /// If the future is dropped before it completes, the message was not taken.
    #[inline]
    pub fn feed(&mut self, message: M) -> impl Future<Output = Result<(), FeedError>> {
        let mut message = Some(message);
        std::future::poll_fn(move |cx| {
            std::task::ready!(self.poll_room(cx))?;
            Poll::Ready(message.take().map_or(Ok(()), |message| self.take(message)))
        })
    }

    /// Completes when all that was fed is accepted: by a mailbox of this process, or by the outbound queue of a connection.
    ///
    /// # Errors
    /// [`FeedError`]: why a message was not accepted, and how many of those after it are dropped.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped: what is fed stays here.
    pub async fn flush(&mut self) -> Result<(), FeedError> {
        std::future::poll_fn(|cx| self.poll_all(cx)).await
    }

    /// How many messages were accepted since the sink was made.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// How many are fed and not accepted yet.
    pub fn staged(&self) -> u64 {
        self.tells.count() + u64::from(self.one.is_some())
    }

    /// Ready when a message may be taken.
    #[inline]
    fn poll_room(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), FeedError>> {
        let has_room = self.tells.len() < FULL_LEN && self.one.is_none();
        if has_room { Poll::Ready(Ok(())) } else { self.poll_all(cx) }
    }

    #[inline]
    fn take(&mut self, message: M) -> Result<(), FeedError> {
        assert!(self.one.is_none(), "a sink takes a message only once it is ready for one");
        if M::wire().is_some_and(|wire| wire.is_claimed()) {
            let written = contained(|| {
                let is_short = message.wire_len().is_some_and(|len| len < self.short_below);
                if is_short {
                    self.tells.push(&Bare(&message)).map_err(CodecError::new)?;
                }
                Ok(is_short)
            });
            match written {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    let source = Cause::from(error);
                    return Err(self.failed(Refusal::Unencodable { source }, 1));
                }
            }
        }
        self.tell_apart(message);
        Ok(())
    }

    #[inline(never)]
    fn tell_apart(&mut self, message: M) {
        self.one = Some(Tell::owned(self.target.clone(), message));
    }

    fn poll_all(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), FeedError>> {
        if let Some(stage) = self.stage.as_mut().filter(|_| !self.tells.is_empty()) {
            let before = self.tells.count();
            let flushed = stage.poll_flush(message_name::<M>(), &mut self.tells, cx.waker());
            let left = self.tells.count();
            self.accepted += before - left;
            if let Err(refusal) = std::task::ready!(flushed) {
                self.tells.clear();
                let dropped = left + u64::from(self.one.take().is_some());
                return Poll::Ready(Err(self.failed(refusal, dropped)));
            }
        }
        if let Some(one) = &mut self.one {
            let told = std::task::ready!(one.poll_accepted(cx));
            self.one = None;
            if let Err(error) = told {
                return Poll::Ready(Err(self.failed(error.refusal, 1)));
            }
            self.accepted += 1;
        }
        Poll::Ready(Ok(()))
    }

    #[cold]
    fn failed(&self, refusal: Refusal, dropped: u64) -> FeedError {
        FeedError { target: self.target.address(), refusal, accepted: self.accepted, dropped }
    }
}

impl<T: 'static, M: Message> Unpin for TellSink<T, M> {}

/// `start_send` panics where `poll_ready` was not ready before.
impl<T: 'static, M: Message + MessageFor<T>> Sink<M> for TellSink<T, M> {
    type Error = FeedError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), FeedError>> {
        self.poll_room(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: M) -> Result<(), FeedError> {
        self.take(message)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), FeedError>> {
        self.poll_all(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), FeedError>> {
        self.poll_all(cx)
    }
}

impl<T: 'static, M: Message> fmt::Debug for TellSink<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TellSink")
            .field("target", &self.target)
            .field("message", &format_args!("{}", message_name::<M>()))
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}
