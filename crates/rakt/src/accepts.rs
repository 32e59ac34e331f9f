//! The list of messages that an actor takes from peers and through untyped references.

use std::any::TypeId;
use std::fmt;

use bytes::Bytes;

use crate::actor::{Accepts, Actor, Handler};
use crate::cell::{Class, Entry};
use crate::context::Dispatch;
use crate::dispatch::dispatch;
use crate::error::Refusal;
use crate::mailbox::packed::pack;
use crate::message::allowance::Room;
use crate::message::{DuplicateName, Message, WireMessage, WireType, claim_name};
use crate::runner::run;

impl<A: Actor> fmt::Debug for Accepts<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.class.entries.iter().map(|entry| entry.rust_name)).finish()
    }
}

impl<A: Actor> Accepts<A> {
    /// The list as [`Actor::accepts`] gives it: what peers may send to such actors, to be printed.
    ///
    /// # Errors
    /// [`DuplicateName`] if two of its message types claim one wire name.
    pub fn of_actor() -> Result<Self, DuplicateName> {
        let mut accepts = Self { class: Class::new(run), duplicate: None };
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

    /// Whoever can have `M` may send it: peers as well, if it has a name on the wire.
    pub(crate) fn known<M: Message>(&mut self) -> &mut Self
    where
        A: Handler<M>,
    {
        let wire = M::wire();
        if let Some(Err(duplicate)) = wire.map(claim_name) {
            self.duplicate.get_or_insert(duplicate);
        }
        self.add::<M>(wire.map(WireType::name))
    }

    fn add<M: Message>(&mut self, wire_name: Option<&'static str>) -> &mut Self
    where
        A: Handler<M>,
    {
        self.class.add(Entry {
            wire_name,
            reply_name: M::wire().and_then(WireType::reply_name),
            rust_name: std::any::type_name::<M>(),
            type_id: TypeId::of::<M>(),
            dispatch: Dispatch(dispatch::<A, M>),
            pack: pack::<M>,
            check: check::<M>,
        });
        self
    }

    /// The wire names that peers may send, in the order given.
    pub fn wire_names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.class.entries.iter().filter_map(|entry| entry.wire_name)
    }
}

fn check<M: Message>(payload: Bytes, room: &dyn Room) -> Result<(), Refusal> {
    match M::wire() {
        Some(wire) => wire.message.decode(payload, room).map(drop),
        None => {
            let source = "the type has no codec".into();
            Err(Refusal::Undecodable { source })
        }
    }
}
