//! What a user implements: [`Actor`], and [`Handler`] for each message.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;

use bytes::Bytes;

use crate::context::Context;
use crate::error::Result;
use crate::events::Terminated;
use crate::mailbox::{Dispatch, dispatch};
use crate::message::{CodecError, DuplicateName, Message, WireMessage, claim_name};

/// State that handles messages one at a time.
///
/// The hooks below are all optional. An `Err` or a panic in [`started`](Actor::started) fails the
/// spawn (or counts as another failure where the actor was being restarted); in the other hooks it
/// meets the actor's [supervision](crate::supervision).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    label = "this is not an actor",
    note = "make it one: `impl rakt::Actor for {Self} {{}}`"
)]
pub trait Actor: Sized + Send + 'static {
    /// Lists what may be sent to this actor from outside its Rust type: by peers, and through
    /// references that do not know the type. Default: nothing.
    fn accepts(accepts: &mut Accepts<Self>) {
        let _ = accepts;
    }

    /// Runs before the first message, at the start and after every restart.
    fn started(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Result> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// Runs after the last message and after the children have stopped, at the end and before every
    /// restart. An error is logged, and stops nothing.
    fn stopped(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Result> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// An actor that this one [watches](Context::watch) has ended. Comes exactly once for each, and
    /// ahead of messages that wait, so also of some that the other sent before it ended.
    fn terminated(
        &mut self,
        terminated: &Terminated,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Result> + Send {
        let _ = (terminated, ctx);
        async { Ok(()) }
    }
}

/// How an actor handles one type of message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no handler for `{M}`",
    label = "no `impl Handler<{M}> for {Self}`",
    note = "write `impl rakt::Handler<{M}> for {Self}`, with an `async fn handle`"
)]
pub trait Handler<M: Message>: Actor {
    /// Handles one message; what it returns answers an `ask`, and is dropped for a `tell`.
    ///
    /// # Errors
    /// An `Err` tells the asker that the handler failed, and meets the actor's supervision.
    fn handle(
        &mut self,
        message: M,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Result<M::Reply>> + Send;
}

/// Stands in a reference for an actor whose Rust type is not known, such as one found by its address.
///
/// Any message can be sent to it; one that the actor does not [accept](Actor::accepts) is refused at
/// run time with [`Refusal::NotAccepted`](crate::Refusal::NotAccepted).
#[derive(Debug)]
pub enum AnyActor {}

/// One line of an actor's list.
pub(crate) struct Entry<A: Actor> {
    /// The wire name; peers may send this message exactly when there is one.
    pub(crate) wire_name: Option<&'static str>,
    pub(crate) rust_name: &'static str,
    pub(crate) type_id: TypeId,
    pub(crate) dispatch: Dispatch<A>,
    /// Whether a payload can be decoded; for those who must know before the message is handled.
    pub(crate) check: fn(Bytes) -> Result<(), CodecError>,
}

/// The list of messages that an actor takes from peers and through untyped references.
pub struct Accepts<A: Actor> {
    pub(crate) entries: Vec<Entry<A>>,
    by_name: HashMap<&'static str, u16>,
    duplicate: Option<DuplicateName>,
}

impl<A: Actor> fmt::Debug for Accepts<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| entry.rust_name)).finish()
    }
}

impl<A: Actor> Accepts<A> {
    /// The list as [`Actor::accepts`] gives it: what peers may send to such actors, to be printed.
    ///
    /// # Errors
    /// [`DuplicateName`] if two of its message types claim one wire name.
    pub fn of_actor() -> Result<Self, DuplicateName> {
        let mut accepts = Self { entries: Vec::new(), by_name: HashMap::new(), duplicate: None };
        A::accepts(&mut accepts);
        match accepts.duplicate.take() {
            Some(duplicate) => Err(duplicate),
            None => Ok(accepts),
        }
    }

    /// Peers may send `M`, and so may holders of an untyped reference.
    pub fn remote<M: WireMessage>(&mut self) -> &mut Self
    where
        A: Handler<M>,
    {
        let wire = M::wire_type();
        if let Err(duplicate) = claim_name(wire) {
            self.duplicate.get_or_insert(duplicate);
        }
        self.add::<M>(Some(wire.name()))
    }

    /// Holders of an untyped reference in this process may send `M`; peers may not.
    pub fn local<M: Message>(&mut self) -> &mut Self
    where
        A: Handler<M>,
    {
        self.add::<M>(None)
    }

    fn add<M: Message>(&mut self, wire_name: Option<&'static str>) -> &mut Self
    where
        A: Handler<M>,
    {
        let type_id = TypeId::of::<M>();
        let known = self.entries.iter().position(|entry| entry.type_id == type_id);
        if let Some(name) = wire_name {
            let index = known.unwrap_or(self.entries.len());
            self.by_name.insert(name, u16::try_from(index).expect("fewer than 65536 messages"));
        }
        if let Some(known) = known {
            let entry = &mut self.entries[known];
            entry.wire_name = entry.wire_name.or(wire_name);
            return self;
        }
        let rust_name = std::any::type_name::<M>();
        self.entries.push(Entry {
            wire_name,
            rust_name,
            type_id,
            dispatch: dispatch::<A, M>,
            check: check::<M>,
        });
        self
    }

    /// The wire names that peers may send, in the order given.
    pub fn wire_names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.entries.iter().filter_map(|entry| entry.wire_name)
    }

    pub(crate) fn find(&self, wire_name: &str) -> Option<u16> {
        self.by_name.get(wire_name).copied()
    }
}

fn check<M: Message>(payload: Bytes) -> Result<(), CodecError> {
    match M::wire() {
        Some(wire) => wire.message.decode(payload).map(drop),
        None => Err(CodecError::new("the type has no codec")),
    }
}

/// The name of a message for people: its wire name, or else its Rust name.
pub(crate) fn message_name<M: Message>() -> &'static str {
    M::wire().map_or_else(std::any::type_name::<M>, |wire| wire.name())
}
