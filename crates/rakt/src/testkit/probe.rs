//! An actor that the test plays.

use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::actor::{Accepts, Actor, Handler};
use crate::context::{Context, ReplyLater};
use crate::error::{BoxError, Result, SpawnError};
use crate::message::{Message, message_name};
use crate::reference::{ActorRef, Recipient};
use crate::system::core::ActorSystem;

/// An actor whose messages the test receives: the partner of the actor under test.
///
/// It takes messages of type `M`, from this process and, if `M` has a name on the wire, from other nodes.
///
/// ```
/// use rakt::prelude::*;
/// use rakt::testkit::Probe;
/// use std::time::Duration;
///
/// #[derive(Clone, PartialEq, prost::Message, rakt::Message)]
/// #[rakt(name = "doc.Alarm")]
/// struct Alarm {
///     #[prost(string, tag = "1")]
///     what: String,
/// }
///
/// // The partner that the thermometer has in production.
/// struct Siren;
/// impl Actor for Siren {}
/// impl Handler<Alarm> for Siren {
///     async fn handle(&mut self, _: Alarm, _: &mut Context<Self>) -> Result { Ok(()) }
/// }
///
/// struct Thermometer { siren: ActorRef<Siren> }
/// impl Actor for Thermometer {}
///
/// #[derive(Message)]
/// struct Degrees(u32);
///
/// impl Handler<Degrees> for Thermometer {
///     async fn handle(&mut self, Degrees(n): Degrees, ctx: &mut Context<Self>) -> Result {
///         if n > 100 {
///             ctx.tell(&self.siren, Alarm { what: format!("{n} degrees") }).await?;
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result {
/// let system = ActorSystem::builder("test").start().await?;
/// let mut siren = Probe::<Alarm>::spawn(&system, "siren").await?;
/// let reference = siren.stand_in::<Siren>();
/// let thermometer = system.spawn("t", move || Thermometer { siren: reference.clone() }).await?;
///
/// thermometer.ask(Degrees(20)).await?;
/// siren.expect_no_message(Duration::from_secs(1)).await;
/// thermometer.ask(Degrees(200)).await?;
/// assert_eq!(siren.expect().await.what, "200 degrees");
/// # Ok(()) }
/// ```
///
/// The messages that the test has not looked at are kept, however many there are.
pub struct Probe<M: Message> {
    actor: ActorRef,
    received: UnboundedReceiver<Request<M>>,
    limit: Duration,
}

impl<M: Message> fmt::Debug for Probe<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("path", &self.actor.path())
            .field("message", &message_name::<M>())
            .finish_non_exhaustive()
    }
}

impl<M: Message> Probe<M> {
    /// A probe called `name`. What has no reply (`()`) is answered as it comes; everything else waits for the test,
    /// which answers what it gets from [`expect_request`](Self::expect_request).
    ///
    /// # Errors
    /// [`SpawnError`]: the name is invalid or taken, or another type has the wire name of `M`.
    pub async fn spawn(system: &ActorSystem, name: &str) -> Result<Self, SpawnError> {
        Self::start(system, name, |_| nothing::<M::Reply>()).await
    }

    /// A probe that answers every message by `answer` as it comes.
    ///
    /// ```
    /// # use rakt::prelude::*;
    /// # use rakt::testkit::Probe;
    /// #[derive(Message)]
    /// #[rakt(reply = u32)]
    /// struct Double(u32);
    ///
    /// # #[tokio::main] async fn main() -> Result {
    /// # let system = ActorSystem::builder("test").start().await?;
    /// let mut probe = Probe::answering(&system, "doubler", |Double(n)| n * 2).await?;
    /// assert_eq!(probe.actor().ask(Double(21)).await?, 42);
    /// assert_eq!(probe.expect().await.0, 21);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub async fn answering(
        system: &ActorSystem,
        name: &str,
        answer: impl Fn(&M) -> M::Reply + Send + Sync + 'static,
    ) -> Result<Self, SpawnError> {
        Self::start(system, name, move |message| Some(answer(message))).await
    }

    async fn start(
        system: &ActorSystem,
        name: &str,
        answer: impl Fn(&M) -> Option<M::Reply> + Send + Sync + 'static,
    ) -> Result<Self, SpawnError> {
        let (sender, received) = unbounded_channel();
        let answer: Arc<Answer<M>> = Arc::new(answer);
        let part = move || Part { answer: answer.clone(), received: sender.clone() };
        let actor = system.spawn(name, part).await?.untyped();
        Ok(Self { actor, received, limit: super::LIMIT })
    }

    /// How long the test waits for a message. Default: [`LIMIT`](super::LIMIT).
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// A reference to the probe.
    pub fn actor(&self) -> ActorRef {
        self.actor.clone()
    }

    /// A reference to the probe as one that takes `M`.
    pub fn recipient(&self) -> Recipient<M> {
        ActorRef::from_target(self.actor.target().clone())
    }

    /// A reference to the probe that passes for one to an actor of type `A`, for code that asks for that. Messages of
    /// other types than `M` are refused as not accepted.
    pub fn stand_in<A: Handler<M>>(&self) -> ActorRef<A> {
        ActorRef::from_target(self.actor.target().clone())
    }

    /// The next message. One that waits for a reply has none: see [`expect_request`](Self::expect_request).
    ///
    /// # Panics
    /// The future does, with the place of this call, if none comes within the [limit](Self::limit).
    ///
    /// # Cancel safety
    /// No message is lost when the future is dropped.
    #[track_caller]
    pub fn expect(&mut self) -> impl Future<Output = M> + Send + '_ {
        let request = self.expect_request();
        async { request.await.message }
    }

    /// The next message, with what is needed to answer it.
    ///
    /// # Panics
    /// The future does, with the place of this call, if none comes within the [limit](Self::limit).
    ///
    /// # Cancel safety
    /// No message is lost when the future is dropped.
    #[track_caller]
    pub fn expect_request(&mut self) -> impl Future<Output = Request<M>> + Send + '_ {
        let (at, limit) = (Location::caller(), self.limit);
        async move {
            match tokio::time::timeout(limit, self.received.recv()).await {
                Ok(Some(request)) => request,
                Ok(None) => panic!("{at}: {} has ended without a {}", self.name(), Self::what()),
                Err(_) => panic!("{at}: {} got no {} within {limit:?}", self.name(), Self::what()),
            }
        }
    }

    /// Sees to it that no message comes for this long.
    ///
    /// # Panics
    /// The future does, with the place of this call, if one comes, or is there already.
    #[track_caller]
    pub fn expect_no_message(&mut self, time: Duration) -> impl Future<Output = ()> + Send + '_ {
        let at = Location::caller();
        async move {
            let since = tokio::time::Instant::now();
            if let Ok(Some(_)) = tokio::time::timeout(time, self.received.recv()).await {
                let after = since.elapsed();
                let (name, what) = (self.name(), Self::what());
                panic!(
                    "{at}: {name} got a {what} after {after:?}, and was to get none for {time:?}"
                );
            }
        }
    }

    /// The messages that have come and that the test has not looked at.
    pub fn so_far(&mut self) -> Vec<M> {
        std::iter::from_fn(|| self.received.try_recv().ok())
            .map(|request| request.message)
            .collect()
    }

    fn name(&self) -> String {
        format!("the probe {:?}", self.actor.path())
    }

    fn what() -> &'static str {
        message_name::<M>()
    }
}

/// The reply of messages that have none.
fn nothing<R: 'static>() -> Option<R> {
    let nothing: Box<dyn Any> = Box::new(());
    nothing.downcast().ok().map(|reply| *reply)
}

/// A message that a [`Probe`] got, and its sender, who may wait for a reply.
///
/// Dropped without one, the sender hears that there is none.
pub struct Request<M: Message> {
    message: M,
    sender: Option<ActorRef>,
    /// There as long as it is not answered.
    reply: Option<ReplyLater<M::Reply>>,
}

impl<M: Message> fmt::Debug for Request<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("message", &message_name::<M>()).finish_non_exhaustive()
    }
}

impl<M: Message> Request<M> {
    /// The message.
    pub fn message(&self) -> &M {
        &self.message
    }

    /// The actor that sent it, if one did.
    pub fn sender(&self) -> Option<&ActorRef> {
        self.sender.as_ref()
    }

    /// Gives the reply. It has no effect where the message was answered as it came.
    pub fn reply(self, reply: M::Reply) {
        if let Some(later) = self.reply {
            later.send(reply);
        }
    }

    /// Has the sender hear that the handler failed, as if the probe's had returned this error.
    pub fn fail(self, error: impl Into<BoxError>) {
        if let Some(later) = self.reply {
            later.fail(error);
        }
    }

    /// Turns the message down, as a handler does by [`Declined`](crate::Declined).
    pub fn decline(self, reason: impl Into<BoxError>) {
        if let Some(later) = self.reply {
            later.decline(reason);
        }
    }
}

type Answer<M> = dyn Fn(&M) -> Option<<M as Message>::Reply> + Send + Sync;

/// The actor of a probe.
struct Part<M: Message> {
    answer: Arc<Answer<M>>,
    received: UnboundedSender<Request<M>>,
}

impl<M: Message> Actor for Part<M> {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.known::<M>();
    }
}

impl<M: Message> Handler<M> for Part<M> {
    async fn handle(&mut self, message: M, ctx: &mut Context<Self>) -> Result<M::Reply> {
        let sender = ctx.sender().cloned();
        let answer = (self.answer)(&message);
        let (reply, result) = match answer {
            Some(answer) => (None, Ok(answer)),
            None => {
                let (later, deferred) = ctx.defer();
                (Some(later), deferred)
            }
        };
        // Fails only when the test has dropped the probe.
        let _ = self.received.send(Request { message, sender, reply });
        result
    }
}
