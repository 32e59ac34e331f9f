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
//!   1024 messages wait here while its connection is made, or has no room, 65,536 for all of a topic. What waits when it unsubscribes, or when
//!   the topic ends, are dead letters too.
//! - **A grain** subscribes as any actor, and hears of everything in whichever life it has. It never ends, so it hears until it
//!   unsubscribes.
//! - **The end of a subscriber ends its subscription**, also where its node is lost, and nobody is told. One that is to
//!   outlive that subscribes again, for instance from a timer: a second subscription is none.
//! - The sender and the metadata of what is published arrive with it; its deadline does not.
//! - **Other nodes.** Where the message has a name on the wire, peers may publish, and subscribe actors of theirs. What
//!   is published crosses the wire once for each subscriber. Where a node has many, let a topic of its own subscribe,
//!   and them to it. Actors of Go nodes cannot be watched, so they cannot subscribe.
//! - **Memory.** Each subscriber gets a clone. What a large message of a peer takes up counts against the budget once
//!   for each that waits; `Bytes` or an `Arc` inside the message makes clones cheap.
//!
//! - `messages`: what a topic is asked
//! - `courier`: how messages get to another node

mod courier;
mod messages;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rakt_wire::{Address, Dialect};
use tokio::sync::Semaphore;

use crate::actor::{Accepts, Actor, Handler};
use crate::context::Context;
use crate::error::{AskError, Bound, Declined, Refusal, Result};
use crate::events::{Terminated, WatchId};
use crate::message::Message;
use crate::message::allowance::Kept;
use crate::portable::PortableRef;
use crate::reference::{ActorRef, Recipient, Target};
use crate::send::message_for::MessageFor;
use crate::system::ActorSystem;

use courier::{About, Courier, Parcel};
use messages::Who;
pub use messages::{Subscribe, Subscribers, Unsubscribe};

/// Passes messages of type `M` on to whoever has subscribed. See the [module](self).
///
/// Subscriptions live as long as the actor: they are gone when it is respawned.
pub struct Topic<M: Message> {
    /// By address: one actor has several lives there at most for a moment.
    subscribers: BTreeMap<Address, Vec<Subscriber<M>>>,
    /// Whose end is heard of by which watch.
    watches: BTreeMap<WatchId, Address>,
    max_subscribers: usize,
    /// For what waits for subscribers on other nodes.
    room: Arc<Semaphore>,
}

struct Subscriber<M: Message> {
    who: PortableRef,
    to: Recipient<M>,
    watch: WatchId,
    /// For one on another node, and for a grain.
    courier: Option<Courier<M>>,
}

impl<M: Message> Subscriber<M> {
    /// Gives it a message, unless there is no room for a copy of that.
    fn pass_on(
        &self,
        message: M,
        about: &About,
        kept: Result<Option<Kept>, Refusal>,
        system: &ActorSystem,
    ) {
        let mut parcel = Parcel {
            to: self.to.clone(),
            message: Some(message),
            about: about.clone(),
            kept: None,
            place: None,
            system: system.clone(),
            refusal: Refusal::Stopped,
        };
        match kept {
            Ok(kept) => parcel.kept = kept,
            Err(refusal) => {
                parcel.refusal = refusal;
                return;
            }
        }
        match &self.courier {
            Some(courier) => courier.take(parcel),
            None => parcel.give(),
        }
    }
}

impl<M: Message> fmt::Debug for Topic<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("subscribers", &self.watches.len()).finish_non_exhaustive()
    }
}

impl<M: Message> Default for Topic<M> {
    fn default() -> Self {
        Self {
            subscribers: BTreeMap::new(),
            watches: BTreeMap::new(),
            max_subscribers: Self::MAX_SUBSCRIBERS,
            room: courier::room(),
        }
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

    /// Takes the subscriptions of an actor out.
    fn take(
        &mut self,
        address: &Address,
        is_meant: impl Fn(&Subscriber<M>) -> bool,
    ) -> Vec<Subscriber<M>> {
        let Some(there) = self.subscribers.get_mut(address) else { return Vec::new() };
        let taken: Vec<_> = there.extract_if(.., |subscriber| is_meant(subscriber)).collect();
        if there.is_empty() {
            self.subscribers.remove(address);
        }
        for subscriber in &taken {
            self.watches.remove(&subscriber.watch);
        }
        taken
    }
}

impl<M: Message<Reply = ()> + Clone> Actor for Topic<M> {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.known::<M>().local::<Subscribers>();
        match M::wire() {
            Some(_) => accepts.remote::<Subscribe>().remote::<Unsubscribe>(),
            None => accepts.local::<Subscribe>().local::<Unsubscribe>(),
        };
    }

    async fn terminated(&mut self, terminated: &Terminated, _: &mut Context<Self>) -> Result {
        if let Some(address) = self.watches.remove(&terminated.watch) {
            self.take(&address, |subscriber| subscriber.watch == terminated.watch);
        }
        Ok(())
    }
}

impl<M: Message<Reply = ()> + Clone> Handler<M> for Topic<M> {
    async fn handle(&mut self, message: M, ctx: &mut Context<Self>) -> Result {
        let kept = ctx.take_kept()?;
        let (sender, peer) = (ctx.sender().cloned(), ctx.peer().cloned());
        let about = About { sender, peer, metadata: ctx.metadata().cloned() };
        let system = ctx.system();
        for subscriber in self.subscribers.values().flatten() {
            // What there is no room for is lost for that one.
            let kept = kept.as_ref().map(Kept::of_copy).transpose();
            subscriber.pass_on(message.clone(), &about, kept, system);
        }
        Ok(())
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

impl<M: Message<Reply = ()> + Clone> Handler<Subscribe> for Topic<M> {
    async fn handle(&mut self, Subscribe(who): Subscribe, ctx: &mut Context<Self>) -> Result {
        let actor = who.resolve(ctx.system())?;
        let (who, to) = (actor.portable(), actor.recipient());
        let address = who.address().clone();
        if address.dialect() == Dialect::GoAkt {
            let text = format!("{address} is an actor of a Go node: nobody hears of its end");
            return Err(Declined::new(text).into());
        }
        let there = self.subscribers.get(&address);
        if there.is_some_and(|there| there.iter().any(|subscriber| subscriber.who.is_same(&who))) {
            return Ok(());
        }
        if self.watches.len() >= self.max_subscribers {
            let (bound, limit) = (Bound::Subscribers, self.max_subscribers as u64);
            return Err(Declined(Refusal::ResourceExhausted { bound, limit }).into());
        }
        let is_here = matches!(actor.target(), Target::Local(_));
        let courier = (!is_here).then(|| Courier::start(ctx.system(), &self.room));
        let watch = ctx.watch(&actor);
        self.watches.insert(watch, address.clone());
        self.subscribers.entry(address).or_default().push(Subscriber { who, to, watch, courier });
        Ok(())
    }
}

impl<M: Message<Reply = ()> + Clone> Handler<Unsubscribe> for Topic<M> {
    async fn handle(&mut self, Unsubscribe(who): Unsubscribe, ctx: &mut Context<Self>) -> Result {
        let who = who.resolve(ctx.system())?.portable();
        for subscriber in self.take(who.address(), |subscriber| subscriber.who.is_same(&who)) {
            ctx.unwatch(subscriber.watch);
        }
        Ok(())
    }
}

impl<M: Message<Reply = ()> + Clone> Handler<Subscribers> for Topic<M> {
    async fn handle(&mut self, _: Subscribers, _: &mut Context<Self>) -> Result<usize> {
        Ok(self.watches.len())
    }
}
