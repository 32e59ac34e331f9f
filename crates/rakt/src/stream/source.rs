//! The side that has the stream: a child of the actor that answers.

use std::fmt;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::pull::{Batch, Hold, Pull};
use crate::actor::{Accepts, Actor, Handler};
use crate::context::{Context, ReplyLater};
use crate::error::{BoxError, Declined, Result};
#[cfg(any(feature = "prost", feature = "serde"))]
use crate::message::Codec;
use crate::message::{CodecError, Message};
use crate::portable::PortableRef;
use crate::reference::ActorRef;
use crate::supervision::{Directive, Fault, Supervision};
use crate::sync::Mutex;
use crate::tasks::Task;

/// The reply of a message that is answered by a stream of `T`: see the [module](super). Made by
/// [`Context::reply_stream`].
pub struct Streamed<T: Message>(pub(super) Place<T>);

pub(super) enum Place<T: Message> {
    Here(ActorRef<Source<T>>),
    /// It has crossed the wire.
    #[allow(dead_code, reason = "for codecs, which are features")]
    There(PortableRef),
}

impl<T: Message> fmt::Debug for Streamed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Streamed({})", self.portable())
    }
}

impl<T: Message> Streamed<T> {
    fn portable(&self) -> PortableRef {
        match &self.0 {
            Place::Here(source) => source.portable(),
            Place::There(source) => source.clone(),
        }
    }

    #[allow(dead_code, reason = "for codecs, which are features")]
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.portable().to_string().as_bytes());
    }

    #[allow(dead_code, reason = "for codecs, which are features")]
    fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        let text = std::str::from_utf8(bytes).map_err(CodecError::new)?;
        text.parse().map(|source| Self(Place::There(source))).map_err(CodecError::new)
    }
}

/// All codecs write a reference to the source, as text.
macro_rules! codec {
    ($feature:literal, $codec:ident) => {
        #[cfg(feature = $feature)]
        impl<T: Message> Codec<Streamed<T>> for crate::message::$codec {
            fn encoded_len(_: &Streamed<T>) -> Option<usize> {
                None
            }

            fn encode(reply: &Streamed<T>, out: &mut Vec<u8>) -> Result<(), CodecError> {
                reply.write(out);
                Ok(())
            }

            fn decode(bytes: bytes::Bytes) -> Result<Streamed<T>, CodecError> {
                Streamed::read(&bytes)
            }
        }
    };
}

codec!("prost", Prost);
codec!("serde", Serde);
codec!("postcard", Postcard);

/// How long a source waits for somebody who wants its items.
const UNHELD: Duration = Duration::from_secs(30);

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, BoxError>> + Send>>;

/// A stream, and what it has ended with.
struct Rows<T> {
    stream: Boxed<T>,
    /// To be told after the items before it.
    failed: Option<BoxError>,
    is_over: bool,
    /// Counts it among the streams of the actor that answers.
    _counted: Arc<()>,
}

/// Gives out the items of a stream as they are asked for.
pub(super) struct Source<T: Message> {
    /// Not there while somebody waits for its items.
    rows: Option<Rows<T>>,
    /// Who has asked ahead.
    waiting: Option<(bool, ReplyLater<Batch<T>>)>,
    /// What collects items at the moment.
    collecting: Option<Task>,
    is_held: bool,
}

impl<T: Message> Actor for Source<T> {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.known::<Hold>().known::<Pull<T>>();
    }

    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.send_after(UNHELD, Unheld);
        Ok(())
    }
}

/// The time in which somebody should have come is over.
struct Unheld;

#[diagnostic::do_not_recommend]
impl Message for Unheld {
    type Reply = ();
}

impl<T: Message> Handler<Unheld> for Source<T> {
    async fn handle(&mut self, _: Unheld, ctx: &mut Context<Self>) -> Result {
        if !self.is_held {
            ctx.stop();
        }
        Ok(())
    }
}

/// Nobody wants items any more.
struct Gone;

#[diagnostic::do_not_recommend]
impl Message for Gone {
    type Reply = ();
}

impl<T: Message> Handler<Hold> for Source<T> {
    async fn handle(&mut self, _: Hold, ctx: &mut Context<Self>) -> Result {
        self.is_held = true;
        let (later, deferred) = ctx.defer::<()>();
        let (gone, deadline) = (ctx.cancelled(), ctx.deadline());
        ctx.pipe(async move {
            let _unanswered = later;
            match deadline {
                Some(deadline) => drop(tokio::time::timeout_at(deadline.into(), gone).await),
                None => gone.await,
            }
            Gone
        })?;
        deferred
    }
}

impl<T: Message> Handler<Gone> for Source<T> {
    async fn handle(&mut self, _: Gone, ctx: &mut Context<Self>) -> Result {
        // What has been collected by now is in the mailbox: no dead letter is to tell of it.
        let is_later = self.collecting.take().is_some_and(|collecting| {
            collecting.cancel();
            ctx.me().try_tell(Gone).is_ok()
        });
        if !is_later {
            ctx.stop();
        }
        Ok(())
    }
}

impl<T: Message> Handler<Pull<T>> for Source<T> {
    async fn handle(&mut self, pull: Pull<T>, ctx: &mut Context<Self>) -> Result<Batch<T>> {
        let (later, deferred) = ctx.defer();
        match self.rows.take() {
            Some(rows) => self.collect(rows, pull.is_remote, later, ctx)?,
            None if self.waiting.is_none() => self.waiting = Some((pull.is_remote, later)),
            None => later.decline("items are asked for one batch ahead"),
        }
        deferred
    }
}

/// A batch is ready to be given out.
struct Collected<T: Message> {
    rows: Rows<T>,
    batch: Result<Batch<T>, BoxError>,
    later: ReplyLater<Batch<T>>,
}

#[diagnostic::do_not_recommend]
impl<T: Message> Message for Collected<T> {
    type Reply = ();
}

impl<T: Message> Handler<Collected<T>> for Source<T> {
    async fn handle(&mut self, collected: Collected<T>, ctx: &mut Context<Self>) -> Result {
        let Collected { rows, batch, later } = collected;
        self.collecting = None;
        match self.waiting.take() {
            Some((is_remote, next)) => self.collect(rows, is_remote, next, ctx)?,
            None => self.rows = Some(rows),
        }
        match batch {
            Ok(batch) => later.send(batch),
            Err(error) => later.fail(error),
        }
        Ok(())
    }
}

impl<T: Message> Source<T> {
    /// Collects a batch beside the actor, which can end meanwhile.
    fn collect(
        &mut self,
        mut rows: Rows<T>,
        is_remote: bool,
        later: ReplyLater<Batch<T>>,
        ctx: &mut Context<Self>,
    ) -> Result<(), Declined> {
        self.collecting = Some(ctx.pipe(async move {
            let mut batch = Batch::new(is_remote);
            let collected = poll_fn(|cx| rows.poll_batch(&mut batch, cx)).await;
            Collected { rows, batch: collected.map(|()| batch), later }
        })?);
        Ok(())
    }
}

impl<T: Message> Rows<T> {
    /// Fills the batch with what is there, and waits for the first item alone.
    fn poll_batch(
        &mut self,
        batch: &mut Batch<T>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), BoxError>> {
        while !batch.is_full() && !self.is_over {
            match self.poll_item(cx) {
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
                Poll::Ready(Some(item)) => {
                    if let Err(error) = item.and_then(|item| Ok(batch.add(item)?)) {
                        self.failed = Some(error);
                        self.is_over = true;
                    }
                }
                Poll::Ready(None) => self.is_over = true,
            }
        }
        if batch.is_empty()
            && let Some(error) = self.failed.take()
        {
            return Poll::Ready(Err(error));
        }
        batch.is_last = self.is_over && self.failed.is_none();
        Poll::Ready(Ok(()))
    }

    /// The next item; a panic of the stream is an error of it.
    fn poll_item(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<T, BoxError>>> {
        let next = AssertUnwindSafe(|| self.stream.as_mut().poll_next(cx));
        std::panic::catch_unwind(next).unwrap_or_else(|panic| {
            let text = format!("the stream {}", Fault::of_panic(panic));
            Poll::Ready(Some(Err(text.into())))
        })
    }
}

/// A stream whose items cannot fail, as one whose items can.
struct Certain<S>(Pin<Box<S>>);

impl<S: Stream> Stream for Certain<S> {
    type Item = Result<S::Item, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx).map(|item| item.map(Ok))
    }
}

/// A stream with errors of some type, as one with errors of any.
struct Fallible<S>(Pin<Box<S>>);

impl<T, E: Into<BoxError>, S: Stream<Item = Result<T, E>>> Stream for Fallible<S> {
    type Item = Result<T, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx).map(|item| item.map(|item| item.map_err(Into::into)))
    }
}

impl<A: Actor> Context<A> {
    /// Answers the message at hand by a stream; return what this returns. See [`stream`](crate::stream).
    ///
    /// The stream runs beside a child of this actor, so this goes on with its messages. It is polled as the asker
    /// wants items, and dropped as soon as the asker wants no more, or cannot be reached, and when this actor ends or is
    /// built anew: then the asker is told that the stream was cut short. A panic of the stream is told to the asker too.
    /// If nobody takes the items at all it is dropped after 30 s.
    ///
    /// # Errors
    /// There are [`STREAM_CAPACITY`](Self::STREAM_CAPACITY) already, the system shuts down, or the path of this actor is
    /// too long to have a child: the asker is refused, and the actor goes on.
    pub async fn reply_stream<T: Message>(
        &mut self,
        stream: impl Stream<Item = T> + Send + 'static,
    ) -> Result<Streamed<T>> {
        self.spawn_source(Box::pin(Certain(Box::pin(stream)))).await
    }

    /// The same for a stream of results: its first error ends it, and is told to the asker as that of a handler is. It is
    /// no fault of this actor.
    ///
    /// # Errors
    /// As [`reply_stream`](Self::reply_stream).
    pub async fn reply_try_stream<T: Message, E: Into<BoxError>>(
        &mut self,
        stream: impl Stream<Item = Result<T, E>> + Send + 'static,
    ) -> Result<Streamed<T>> {
        self.spawn_source(Box::pin(Fallible(Box::pin(stream)))).await
    }

    async fn spawn_source<T: Message>(&mut self, stream: Boxed<T>) -> Result<Streamed<T>> {
        let counted = self.count_stream()?;
        let rows = Rows { stream, failed: None, is_over: false, _counted: counted };
        let rows = Arc::new(Mutex::new(Some(rows)));
        let factory = move || {
            let rows = rows.lock().take();
            Source { rows, waiting: None, collecting: None, is_held: false }
        };
        let spawn = self.spawn_anonymous(factory);
        let source = spawn.supervision(Supervision::always(Directive::Stop)).start().await;
        Ok(Streamed(Place::Here(source.map_err(Declined::new)?)))
    }
}
