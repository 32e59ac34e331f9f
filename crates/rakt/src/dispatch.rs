//! The loop that hands messages of one type to their handler.

use std::any::{Any, TypeId};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::actor::{Actor, Handler};
use crate::cell::Door;
use crate::context::{ActorCell, Context, Deferred, Dispatch, Dispatched, Work};
use crate::error::{Cause, Declined, Refusal};
use crate::mailbox::arrivals::{Arrivals, InBlock, Plain};
use crate::mailbox::current::{Current, Exclusive};
use crate::mailbox::letter::{Letter, Run};
use crate::mailbox::reply::Reply;
use crate::mailbox::work_batch::Item;
use crate::message::allowance::Decoded;
use crate::message::reader::reading;
use crate::message::{Message, contained, message_name};
use crate::reference::{ActorRef, AnyActor, AnyCell, Push, Takes, Target};
use crate::send::message_for::sealed::Sealed;
use crate::stuck::{self, Killed};
use crate::system::core::ActorSystem;

/// Handles messages of type `M`. See [`Dispatch`].
pub(crate) fn dispatch<'a, A: Handler<M>, M: Message>(
    actor: &'a mut A,
    ctx: &'a mut Context<A>,
    work: &'a mut Work<A>,
) -> Dispatched<'a> {
    Box::pin(async move {
        let cell = ctx.cell.clone();
        ctx.message = Some(message_name::<M>);
        // Stays where it is from message to message: it is large, and most have none.
        let mut reply = Reply::nowhere();
        let mut plain = Plain::UNKNOWN;
        loop {
            loop {
                let handled = {
                    let handling = match next::<A, M>(work, ctx, &mut reply, &mut plain) {
                        Some(message) => actor.handle(message, ctx),
                        None => break,
                    };
                    let mut handling = pin!(handling);
                    // Most handlers never wait.
                    match poll_fn(|cx| Poll::Ready(handling.as_mut().poll(cx))).await {
                        Poll::Ready(handled) => handled,
                        Poll::Pending => stuck::wait(handling, &cell, message_name::<M>).await,
                    }
                };
                match handled {
                    Ok(value) => reply.send(Ok(value)),
                    Err(error) if error.is::<Deferred>() => {
                        ctx.settle::<M>(reply.take(), Dispatch(dispatch::<A, M>))
                    }
                    Err(error) if error.is::<Declined>() => {
                        let Declined(refusal) = *error.downcast().expect("it is one");
                        refuse::<A, M>(ctx, &mut reply, refusal);
                    }
                    Err(error) if error.is::<Killed>() => {
                        // It may have done a part of its work.
                        let source = Cause::described(&*error);
                        reply.send(Err(Refusal::HandlerFailed { source }));
                        return Ok(());
                    }
                    Err(error) => {
                        let source = Cause::described(&*error);
                        reply.send(Err(Refusal::HandlerFailed { source }));
                        return Err(error);
                    }
                }
                if ctx.count_message() {
                    return Ok(());
                }
            }
            if ctx.is_to_look_up() || !work.is_empty() || !ctx.more(work).await {
                return Ok(());
            }
        }
    })
}

/// The function for the message at the front.
pub(crate) fn front<A: Actor>(work: &mut Work<A>, ctx: &Context<A>) -> Option<Dispatch<A>> {
    loop {
        match work.items().front()? {
            Item::Local { dispatch, .. } => return Some(*dispatch),
            Item::Remote(arrivals) => match arrivals.first() {
                Some(entry) => return Some(ctx.entry(entry).dispatch),
                None => drop(work.pop_front()),
            },
        }
    }
}

/// Turns a message down, whose sender hears of it if it waits for a reply.
#[cold]
fn refuse<A: Actor, M: Message>(ctx: &Context<A>, reply: &mut Reply<M::Reply>, refusal: Refusal) {
    if !reply.is_wanted() {
        ctx.lose::<M>(&refusal);
    }
    reply.send(Err(refusal));
}

/// Takes the first `M` from the front that is still wanted, and has the context tell of it. Those that are
/// not count as well: however many there are, others get their turn.
///
/// `reply` is nowhere before, and where the reply to the message goes after. `plain` is what plain messages of the type
/// have, once that is known.
#[inline(always)]
pub(crate) fn next<A: Actor, M: Message>(
    work: &mut Work<A>,
    ctx: &mut Context<A>,
    reply: &mut Reply<M::Reply>,
    plain: &mut Plain,
) -> Option<M> {
    // What most messages are, inlined without what is in the way of the others.
    let taken = match work.items().front_mut()? {
        Item::Remote(arrivals) => match arrivals.take_plain(*plain, &mut ctx.current) {
            None => return next_at_length(work, ctx, reply, plain),
            Some(payload) => match read::<M>(payload, &ctx.cell.system) {
                Ok(message) => return Some(message),
                Err(refusal) => {
                    arrivals.refuse_plain(&refusal);
                    None
                }
            },
        },
        Item::Local { run, .. } => {
            let run = (&mut **run as &mut dyn Any).downcast_mut::<Run<M>>()?;
            let letter = run.next();
            if run.is_empty() {
                work.end_run();
            }
            match letter.map(Letter::into_plain) {
                Some(Ok((message, sender))) => {
                    ctx.current.begin_plain(sender);
                    return Some(message);
                }
                Some(Err(letter)) => Some(letter.open(&mut ctx.current, reply)),
                None => None,
            }
        }
    };
    match taken.and_then(|message| if_wanted(message, ctx, reply)) {
        None if !ctx.count_message() => next_at_length(work, ctx, reply, plain),
        taken => taken,
    }
}

/// The same for whatever is at the front.
#[inline(never)]
fn next_at_length<A: Actor, M: Message>(
    work: &mut Work<A>,
    ctx: &mut Context<A>,
    reply: &mut Reply<M::Reply>,
    plain: &mut Plain,
) -> Option<M> {
    loop {
        let taken = match work.items().front_mut()? {
            Item::Local { run, .. } => {
                let run = (&mut **run as &mut dyn Any).downcast_mut::<Run<M>>()?;
                let letter = run.next();
                if run.is_empty() {
                    work.end_run();
                }
                letter.map(|letter| letter.open(&mut ctx.current, reply))
            }
            Item::Remote(arrivals) => match arrivals.first() {
                None => {
                    work.pop_front();
                    continue;
                }
                Some(entry) if ctx.entry(entry).type_id != TypeId::of::<M>() => return None,
                Some(entry) => {
                    *plain = Plain::of(entry);
                    open(&mut **arrivals, &ctx.cell.system, &mut ctx.current, reply)
                }
            },
        };
        if let Some(message) = taken.and_then(|message| if_wanted(message, ctx, reply)) {
            return Some(message);
        }
        if ctx.count_message() {
            return None;
        }
    }
}

/// A message, unless it is turned down: nobody waits for its reply any more, or what came with it cannot be read.
#[inline(always)]
fn if_wanted<A: Actor, M: Message>(
    message: M,
    ctx: &mut Context<A>,
    reply: &mut Reply<M::Reply>,
) -> Option<M> {
    let unwanted = if reply.is_wanted() { ctx.why_unwanted() } else { None };
    match unwanted.map_or_else(|| ctx.extract(), Err) {
        Ok(()) => Some(message),
        Err(refusal) => {
            refuse::<A, M>(ctx, reply, refusal);
            None
        }
    }
}

/// Reads a plain one of those that a connection brought.
#[inline(always)]
fn read<M: Message>(payload: InBlock<'_>, system: &ActorSystem) -> Result<M, Refusal> {
    let (start, len) = payload.place();
    reading(system.call_options().reader, || {
        contained(|| M::wire_decode(payload.block, start, len))
            .map_err(|error| Refusal::Undecodable { source: error.into() })
    })
}

/// Takes the first of those that a connection brought; `None` if it cannot be read.
fn open<M: Message>(
    arrivals: &mut dyn Arrivals,
    system: &ActorSystem,
    current: &mut Current,
    reply: &mut Reply<M::Reply>,
) -> Option<M> {
    let wire = M::wire().expect("only messages with a wire type are accepted from peers");
    let reader = system.call_options().reader;
    let payload = arrivals.payload();
    let decode = |payload| reading(reader, || wire.message.decode(payload, arrivals.room()));
    match payload.and_then(decode) {
        Ok(Decoded { value, kept }) => {
            let asker = arrivals.take(current);
            if kept.is_some() {
                current.attached().kept = Exclusive::new(kept);
            }
            if let Some(asker) = asker {
                *reply = Reply::remote(asker, &wire.reply);
            }
            Some(value)
        }
        Err(refusal) => {
            arrivals.refuse_first(&refusal);
            None
        }
    }
}

// `Actor` is named although `Handler` implies it: it is what tells this from the impl for `AnyActor`.
impl<A: Actor + Handler<M>, M: Message> Sealed<A> for M {
    #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
    fn push(
        cell: &dyn AnyCell,
        letter: &mut Option<Letter<M>>,
        waiter: Option<(&mut Option<u64>, &Waker)>,
    ) -> Push {
        match cell.as_any().downcast_ref::<ActorCell<A>>() {
            Some(cell) => cell.push(letter, Dispatch(dispatch::<A, M>), waiter),
            None => cell.push_listed(letter, TypeId::of::<M>(), waiter),
        }
    }

    #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
    fn receiving(target: &Target) -> Target {
        let cell = match target {
            Target::Local(cell) => cell.as_any().downcast_ref::<ActorCell<A>>(),
            Target::Remote(_) => None,
            Target::Grain(grain) => {
                return Target::Grain(grain.through(<M as Sealed<A>>::receiving));
            }
        };
        match cell {
            Some(cell) => {
                let (message, dispatch) = (TypeId::of::<M>(), Dispatch(dispatch::<A, M>));
                Target::Local(Arc::new(Door::new(cell.me(), message, dispatch)))
            }
            None => target.clone(),
        }
    }
}

impl ActorRef {
    /// The same reference as one to an actor of type `A`, which may be unknown; `None` if it is of another.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn of_type<A: ActorType>(&self) -> Option<ActorRef<A>> {
        A::is_type_of(self.target()).then(|| ActorRef::from_target(self.target().clone()))
    }

    /// The same reference with the actor's type, which the caller vouches for.
    ///
    /// `None` if the actor is in this process and of another type. For an actor on another node the
    /// type only says which messages compile; the actor refuses what it does not accept.
    pub fn typed<A: Actor>(&self) -> Option<ActorRef<A>> {
        self.of_type()
    }
}

/// What an [`ActorRef`] may be of: a type of actors, [`AnyActor`], or [`Takes`] a message.
///
/// Implemented by rakt alone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor, `AnyActor` or `Takes<M>`",
    label = "no reference is of this type"
)]
pub trait ActorType: typed::Sealed + 'static {}

#[diagnostic::do_not_recommend]
impl<A: typed::Sealed + 'static> ActorType for A {}

mod typed {
    use std::any::TypeId;

    use super::{Actor, ActorCell, AnyActor, Takes, Target};

    #[expect(unnameable_types, reason = "sealed: nobody outside can call or implement it")]
    pub trait Sealed {
        /// Whether an actor may be one: that of another node may be any.
        #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
        fn is_type_of(target: &Target) -> bool;
    }

    impl<A: Actor> Sealed for A {
        #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
        fn is_type_of(target: &Target) -> bool {
            match target {
                Target::Local(cell) => cell.as_any().is::<ActorCell<A>>(),
                Target::Remote(_) => true,
                Target::Grain(grain) => {
                    [TypeId::of::<A>(), TypeId::of::<AnyActor>()].contains(&grain.actor_type())
                }
            }
        }
    }

    impl Sealed for AnyActor {
        #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
        fn is_type_of(_: &Target) -> bool {
            true
        }
    }

    /// The actor says what it takes when it is sent something.
    impl<M> Sealed for Takes<M> {
        #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
        fn is_type_of(_: &Target) -> bool {
            true
        }
    }
}
