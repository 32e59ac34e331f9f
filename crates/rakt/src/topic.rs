//! Topics: one message for everybody who wants to hear of it.
//!
//! A [`Topic`] is an actor that passes what it is told on to its subscribers, here and on other nodes. Its reference is
//! a [`Recipient`] like any other: whoever publishes need not know that it is one, and a topic can subscribe to another.
//!
//! ```
//! use rakt::prelude::*;
//! use rakt::topic::Topic;
//!
//! #[derive(Clone, Message)]
//! struct Price(u64);
//!
//! struct Buyer;
//! impl Actor for Buyer {}
//! impl Handler<Price> for Buyer {
//!     async fn handle(&mut self, _: Price, _: &mut Context<Self>) -> Result {
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main] async fn main() -> Result {
//! # let system = ActorSystem::builder("doc").start().await?;
//! let prices = system.spawn("prices", Topic::<Price>::new).await?;
//! let buyer = system.spawn("buyer", || Buyer).await?;
//! prices.subscribe(&buyer).await?;
//! prices.tell(Price(42)).await?;
//! # Ok(()) }
//! ```
//!
//! - **Order.** A subscriber hears what one publisher tells in the order in which that was told.
//! - **A slow subscriber holds up nobody.** What its mailbox has no room for becomes a
//!   [dead letter](crate::Event::DeadLetter); the others and the publisher do not wait for it. For one on another node
//!   1024 messages wait here while its connection is made, or has no room.
//! - **The end of a subscriber ends its subscription**, also where its node is lost. One that is to outlive that
//!   subscribes again.
//! - The sender and the metadata of what is published arrive with it; its deadline does not.
//! - **Other nodes.** Where the message has a name on the wire, peers may publish and subscribe. What is published
//!   crosses the wire once for each subscriber. Where a node has many, let a topic of its own subscribe, and them to it.

use bytes::Bytes;
use rakt_wire::{Metadata, is_reserved};

use crate::actor::{Accepts, Actor, Handler};
use crate::context::Context;
use crate::error::{AskError, Bound, Declined, Refusal, Result, TellError};
use crate::events::{DeadLetter, Terminated, WatchId};
use crate::mailbox::Mailbox;
use crate::message::{Codec, CodecError, Message, WireMessage, WireType, message_name};
use crate::portable::PortableRef;
use crate::reference::{ActorRef, Recipient, Takes};
use crate::send::Tell;
use crate::send::message_for::MessageFor;
use crate::system::ActorSystem;

/// Passes messages of type `M` on to whoever has subscribed. See the [module](self).
///
/// Subscriptions live as long as the actor: they are gone when it is respawned.
#[derive(Debug)]
pub struct Topic<M: Message> {
    subscribers: Vec<Subscriber<M>>,
    max_subscribers: usize,
}

#[derive(Debug)]
struct Subscriber<M: Message> {
    /// Who has subscribed.
    who: ActorRef,
    /// Where messages go: to the subscriber, or to its courier.
    to: Recipient<M>,
    watch: WatchId,
    courier: Option<ActorRef<Courier<M>>>,
}

/// Messages that wait for one subscriber on another node.
const WAITING: u32 = 1024;

/// Brings messages to a subscriber on another node, and waits where its connection makes it wait. Ends with it.
struct Courier<M: Message> {
    to: Recipient<M>,
}

impl<M: Message<Reply = ()>> Actor for Courier<M> {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.watch(&self.to);
        Ok(())
    }

    async fn terminated(&mut self, _: &Terminated, ctx: &mut Context<Self>) -> Result {
        ctx.stop();
        Ok(())
    }
}

impl<M: Message<Reply = ()>> Handler<M> for Courier<M> {
    async fn handle(&mut self, message: M, ctx: &mut Context<Self>) -> Result {
        let (sender, metadata) = (ctx.sender().cloned(), ctx.metadata().cloned());
        let sent = addressed(&self.to, message, (&sender, &metadata)).await;
        // Nobody waits for it: it becomes a dead letter.
        sent.map_err(|error| Declined(error.refusal))?;
        Ok(())
    }
}

impl<M: Message> Default for Topic<M> {
    fn default() -> Self {
        Self { subscribers: Vec::new(), max_subscribers: Self::MAX_SUBSCRIBERS }
    }
}

impl<M: Message> Topic<M> {
    /// Subscribers that a topic has at most unless told otherwise: 10,000.
    pub const MAX_SUBSCRIBERS: usize = 10_000;

    /// A topic without subscribers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has so many subscribers at most; further ones are refused. Default:
    /// [`MAX_SUBSCRIBERS`](Self::MAX_SUBSCRIBERS).
    #[must_use]
    pub fn max_subscribers(mut self, most: usize) -> Self {
        self.max_subscribers = most;
        self
    }
}

impl<M: Message<Reply = ()> + Clone> Actor for Topic<M> {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.known::<M>().remote::<Subscribe>().remote::<Unsubscribe>().local::<Subscribers>();
    }

    async fn terminated(&mut self, terminated: &Terminated, _: &mut Context<Self>) -> Result {
        self.subscribers.retain(|subscriber| subscriber.watch != terminated.watch);
        Ok(())
    }
}

impl<M: Message<Reply = ()> + Clone> Handler<M> for Topic<M> {
    async fn handle(&mut self, message: M, ctx: &mut Context<Self>) -> Result {
        let (sender, metadata) = (ctx.sender().cloned(), ctx.metadata().cloned());
        let Some((last, others)) = self.subscribers.split_last() else { return Ok(()) };
        for subscriber in others {
            pass_on(&subscriber.to, message.clone(), (&sender, &metadata), ctx.system());
        }
        pass_on(&last.to, message, (&sender, &metadata), ctx.system());
        Ok(())
    }
}

/// The message with what came with it.
fn addressed<'a, M: Message>(
    to: &'a Recipient<M>,
    message: M,
    (sender, metadata): (&Option<ActorRef>, &Option<Metadata>),
) -> Tell<'a, Takes<M>, M> {
    let mut tell = to.tell(message);
    if let Some(sender) = sender {
        tell = tell.sender(sender);
    }
    if let Some(metadata) = metadata {
        tell = tell.metadata(metadata.clone());
    }
    tell
}

/// Gives a subscriber a message, if there is room for it.
fn pass_on<M: Message>(
    to: &Recipient<M>,
    message: M,
    about: (&Option<ActorRef>, &Option<Metadata>),
    system: &ActorSystem,
) {
    // That its end is noted is a matter of the watch.
    if let Err(TellError { target, refusal, .. }) = addressed(to, message, about).now() {
        system.dead_letter(|| DeadLetter {
            target: target.into(),
            sender: about.0.as_ref().map(ActorRef::address),
            message: message_name::<M>().to_owned(),
            reason: refusal,
            count: 1,
        });
    }
}

impl<M: Message<Reply = ()> + Clone> ActorRef<Topic<M>> {
    /// Has an actor hear what is published from now on. A second subscription of the same is none.
    ///
    /// # Errors
    /// [`AskError`]: the topic could not be asked, or has as many subscribers as it
    /// [may](Topic::max_subscribers).
    ///
    /// # Cancel safety
    /// If the future is dropped, the actor may have been subscribed.
    pub async fn subscribe<A>(&self, subscriber: &ActorRef<A>) -> Result<(), AskError<Subscribe>>
    where
        M: MessageFor<A>,
    {
        self.ask(Subscribe(Who::Known(subscriber.recipient::<M>().untyped()))).await
    }

    /// Has an actor hear nothing more. What was published before may still arrive.
    ///
    /// # Errors
    /// [`AskError`]: the topic could not be asked.
    ///
    /// # Cancel safety
    /// If the future is dropped, the subscription may have ended.
    pub async fn unsubscribe<A>(
        &self,
        subscriber: &ActorRef<A>,
    ) -> Result<(), AskError<Unsubscribe>> {
        self.ask(Unsubscribe(Who::Known(subscriber.untyped()))).await
    }
}

/// What [`ActorRef::subscribe`] sends.
#[derive(Debug)]
pub struct Subscribe(Who);

/// What [`ActorRef::unsubscribe`] sends.
#[derive(Debug)]
pub struct Unsubscribe(Who);

/// Asks a topic in this process how many subscribers it has.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to say")]
pub struct Subscribers;

impl Message for Subscribers {
    type Reply = usize;
}

/// Who is to hear, or is to hear no more.
#[derive(Debug)]
enum Who {
    Known(ActorRef),
    /// As it came from a peer.
    Portable(PortableRef),
}

impl Who {
    fn portable(&self) -> PortableRef {
        match self {
            Self::Known(actor) => actor.portable(),
            Self::Portable(portable) => portable.clone(),
        }
    }

    /// The actor.
    ///
    /// # Errors
    /// A peer must not have this node talk to an actor of the system in its name.
    fn resolve(self, system: &ActorSystem) -> Result<ActorRef, Declined> {
        match self {
            Self::Known(actor) => Ok(actor),
            Self::Portable(portable) if is_reserved(portable.address().path()) => {
                Err(Declined::new(format!("{portable} is an actor of the system")))
            }
            Self::Portable(portable) => Ok(system.resolve(&portable)),
        }
    }
}

impl<M: Message<Reply = ()> + Clone> Handler<Subscribe> for Topic<M> {
    async fn handle(&mut self, Subscribe(who): Subscribe, ctx: &mut Context<Self>) -> Result {
        let to = who.resolve(ctx.system())?;
        if self.subscribers.iter().any(|subscriber| subscriber.who == to) {
            return Ok(());
        }
        if self.subscribers.len() >= self.max_subscribers {
            let (bound, limit) = (Bound::Subscribers, self.max_subscribers as u64);
            return Err(Declined(Refusal::ResourceExhausted { bound, limit }).into());
        }
        self.subscribers.push(subscriber(to, ctx).await?);
        Ok(())
    }
}

async fn subscriber<M>(who: ActorRef, ctx: &mut Context<Topic<M>>) -> Result<Subscriber<M>>
where
    M: Message<Reply = ()> + Clone,
{
    if who.is_local() {
        let watch = ctx.watch(&who);
        return Ok(Subscriber { to: who.recipient(), who, watch, courier: None });
    }
    let to = who.recipient();
    let courier = ctx.spawn_anonymous(move || Courier { to: to.clone() });
    let courier = courier.mailbox(Mailbox::bounded(WAITING)).await?;
    let watch = ctx.watch(&courier);
    Ok(Subscriber { who, to: courier.recipient(), watch, courier: Some(courier) })
}

impl<M: Message<Reply = ()> + Clone> Handler<Unsubscribe> for Topic<M> {
    async fn handle(&mut self, Unsubscribe(who): Unsubscribe, ctx: &mut Context<Self>) -> Result {
        let whom = who.resolve(ctx.system())?;
        let Some(at) = self.subscribers.iter().position(|subscriber| subscriber.who == whom) else {
            return Ok(());
        };
        let Subscriber { watch, courier, .. } = self.subscribers.swap_remove(at);
        ctx.unwatch(watch);
        if let Some(courier) = courier {
            // What it still has to bring it brings.
            tokio::spawn(async move { courier.stop().await });
        }
        Ok(())
    }
}

impl<M: Message<Reply = ()> + Clone> Handler<Subscribers> for Topic<M> {
    async fn handle(&mut self, _: Subscribers, _: &mut Context<Self>) -> Result<usize> {
        Ok(self.subscribers.len())
    }
}

/// Writes who it is as the text of its [`PortableRef`], and the reply as nothing.
enum AsText {}

macro_rules! by_text {
    ($($message:ident as $name:literal),*) => {$(
        impl Message for $message {
            type Reply = ();

            fn wire() -> Option<&'static WireType<Self>> {
                Some(Self::wire_type())
            }
        }

        impl WireMessage for $message {
            fn wire_type() -> &'static WireType<Self> {
                static WIRE: WireType<$message> = WireType::new::<AsText>($name);
                &WIRE
            }
        }

        impl Codec<$message> for AsText {
            fn encoded_len(_: &$message) -> Option<usize> {
                None
            }

            fn encode($message(who): &$message, out: &mut Vec<u8>) -> Result<(), CodecError> {
                out.extend(who.portable().to_string().into_bytes());
                Ok(())
            }

            fn decode(bytes: Bytes) -> Result<$message, CodecError> {
                let text = std::str::from_utf8(&bytes).map_err(CodecError::new)?;
                text.parse().map(|portable| $message(Who::Portable(portable))).map_err(CodecError::new)
            }
        }
    )*};
}

by_text!(Subscribe as "rakt.Subscribe", Unsubscribe as "rakt.Unsubscribe");

impl Codec<()> for AsText {
    fn encoded_len((): &()) -> Option<usize> {
        Some(0)
    }

    fn encode((): &(), _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<(), CodecError> {
        match bytes.len() {
            0 => Ok(()),
            len => Err(CodecError::new(format!("{len} bytes where none belong"))),
        }
    }
}
