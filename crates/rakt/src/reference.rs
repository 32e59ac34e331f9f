//! References to actors, here or on another node.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Waker;

use rakt_wire::Address;

use crate::actor::{Actor, AnyActor, Handler};
use crate::cell::{AnyCell, Cell, Push};
use crate::mailbox::dispatch;
use crate::mailbox::letter::Letter;
use crate::message::Message;
use crate::operation;
use crate::send::{Ask, AskAll, Tell, TellAll, TryTell};

/// A reference to one actor, in this process or on another node; the calls are the same.
///
/// `A` is the actor's type where it is known: then a message that the actor does not handle does not
/// compile. `ActorRef` alone, that is `ActorRef<AnyActor>`, refers to an actor of unknown type.
///
/// ```compile_fail
/// use rakt::prelude::*;
///
/// struct Deaf;
/// impl Actor for Deaf {}
/// #[derive(Message)]
/// struct Word;
///
/// async fn talk(to: ActorRef<Deaf>) {
///     let _ = to.tell(Word).await; // `Deaf` has no handler for `Word`
/// }
/// ```
///
/// Cheap to clone. It does not keep the actor alive, and refers to one life of it: once the actor has
/// ended, messages are refused even if another actor has taken its name. A reference made from an
/// [`Address`] alone refers to whoever has the name.
pub struct ActorRef<A = AnyActor> {
    target: Target,
    actor: PhantomData<fn() -> A>,
}

/// Where an actor is.
#[derive(Clone)]
pub(crate) enum Target {
    Local(Arc<dyn AnyCell>),
    #[cfg(feature = "remote")]
    Remote(Arc<crate::remote::RemoteTarget>),
}

impl<A> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        Self::from_target(self.target.clone())
    }
}

impl<A> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorRef({self})")
    }
}

/// The actor's address.
impl<A> fmt::Display for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Local(cell) => write!(f, "{}", cell.system().address_of(cell.path())),
            #[cfg(feature = "remote")]
            Target::Remote(remote) => write!(f, "{}", remote.address()),
        }
    }
}

/// Two references are equal if they refer to the same life of the same actor.
impl<A, B> PartialEq<ActorRef<B>> for ActorRef<A> {
    fn eq(&self, other: &ActorRef<B>) -> bool {
        match (&self.target, &other.target) {
            // A cell is one life of one actor; numbers and paths repeat from system to system.
            (Target::Local(a), Target::Local(b)) => {
                std::ptr::addr_eq(&raw const **a, &raw const **b)
            }
            #[cfg(feature = "remote")]
            (Target::Remote(a), Target::Remote(b)) => a == b,
            #[cfg(feature = "remote")]
            _ => false,
        }
    }
}

impl<A> Eq for ActorRef<A> {}

impl<A> ActorRef<A> {
    pub(crate) fn from_target(target: Target) -> Self {
        Self { target, actor: PhantomData }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The actor's address, which means the same on every node.
    pub fn address(&self) -> Address {
        match &self.target {
            Target::Local(cell) => cell.system().address_of(cell.path()),
            #[cfg(feature = "remote")]
            Target::Remote(remote) => remote.address().clone(),
        }
    }

    /// The actor's path: its name, after those of its parents.
    pub fn path(&self) -> &str {
        match &self.target {
            Target::Local(cell) => cell.path(),
            #[cfg(feature = "remote")]
            Target::Remote(remote) => remote.path(),
        }
    }

    /// Whether the actor lives in this process.
    pub fn is_local(&self) -> bool {
        matches!(self.target, Target::Local(_))
    }

    /// The same reference without the actor's type.
    pub fn untyped(&self) -> ActorRef {
        ActorRef::from_target(self.target.clone())
    }

    /// Sends a message. Await the result for the message to be sent.
    ///
    /// The future completes when the message is accepted: into the actor's mailbox if the actor is in
    /// this process, into the bounded outbound queue of the connection if it is on another node.
    /// While that is full it waits, at most as long as [`Tell::timeout`] says. If the far side then
    /// turns the message down, it becomes a [dead letter](crate::Event::DeadLetter) here. Use
    /// [`Tell::confirmed`] to wait for the receiving mailbox.
    ///
    /// Messages from one sender to one actor arrive in the order sent, and each at most once.
    ///
    /// # Errors
    /// [`TellError`](crate::TellError) says why the message was not accepted, and holds it.
    ///
    /// # Cancel safety
    /// If the future is dropped before it completes, the message was not sent.
    pub fn tell<M: Message>(&self, message: M) -> Tell<'_, A, M>
    where
        A: Receives<M>,
    {
        Tell::borrowed(self, message)
    }

    /// Sends a message if that takes no waiting.
    ///
    /// # Errors
    /// As [`tell`](Self::tell), and [`Refusal::MailboxFull`](crate::Refusal::MailboxFull) or
    /// [`Refusal::ResourceExhausted`](crate::Refusal::ResourceExhausted) where `tell` would wait.
    pub fn try_tell<M: Message>(&self, message: M) -> TryTell<M>
    where
        A: Receives<M>,
    {
        Tell::borrowed(self, message).now()
    }

    /// Sends a message and awaits the reply, 5 s unless [`Ask::timeout`] or the system says otherwise.
    ///
    /// # Errors
    /// [`AskError`](crate::AskError) says what happened and whether trying again is safe.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request: a message that was not sent is not sent any more;
    /// otherwise the other side is told, and the handler's [`Context`](crate::Context) says so.
    pub fn ask<M: Message>(&self, message: M) -> Ask<'_, A, M>
    where
        A: Receives<M>,
    {
        Ask::borrowed(self, message)
    }

    /// Sends messages in order; each is confirmed by the receiving mailbox and has its own outcome,
    /// in the order given. One that fails does not hold back those after it.
    ///
    /// # Errors
    /// Each outcome is that of a [confirmed](Tell::confirmed) `tell`.
    ///
    /// # Cancel safety
    /// If the future is dropped, messages that were not sent are not sent any more; what became of
    /// the others is not known.
    pub fn tell_all<M: Message>(&self, messages: impl IntoIterator<Item = M>) -> TellAll<'_, A, M>
    where
        A: Receives<M>,
    {
        TellAll::new(self, messages)
    }

    /// Asks with several messages at once, sent in order; each has its own outcome, in the order given.
    /// One that fails does not hold back those after it.
    ///
    /// # Errors
    /// Each outcome is that of an [`ask`](Self::ask).
    ///
    /// # Cancel safety
    /// Dropping the future cancels all requests that have no outcome, as for one `ask`.
    pub fn ask_all<M: Message>(&self, messages: impl IntoIterator<Item = M>) -> AskAll<'_, A, M>
    where
        A: Receives<M>,
    {
        AskAll::new(self, messages)
    }

    /// Stops the actor once it has handled what is queued, and waits for its end. An actor that has
    /// ended already counts as stopped; a suspended one stops at once, and what is queued becomes dead
    /// letters.
    ///
    /// To another node this keeps its order behind the messages sent before, but for one of more than
    /// 64 KiB that is still under way. It waits as long as an `ask` does by default.
    ///
    /// # Errors
    /// For an actor on another node, [`OperationError`](crate::OperationError) says what happened.
    ///
    /// # Cancel safety
    /// The actor stops even if the future is dropped after its first poll, except on another node that
    /// was not reached by then.
    pub async fn stop(&self) -> Result<(), crate::OperationError> {
        operation::stop(&self.target).await
    }

    /// Builds the actor anew, as supervision does on a restart, and puts it back to work if it is
    /// suspended. What is queued stays. Waits until it has started.
    ///
    /// # Errors
    /// [`OperationError`](crate::OperationError): the actor has ended, its `started` hook failed, or
    /// its node could not be asked.
    ///
    /// # Cancel safety
    /// The actor is built anew even if the future is dropped after its first poll, except on another
    /// node that was not reached by then.
    pub async fn respawn(&self) -> Result<(), crate::OperationError> {
        operation::respawn(&self.target).await
    }

    /// Lets a suspended actor take messages again, with the state it had. Has no effect on others.
    ///
    /// # Errors
    /// [`OperationError`](crate::OperationError): the actor has ended, or its node could not be asked.
    ///
    /// # Cancel safety
    /// As [`respawn`](Self::respawn).
    pub async fn reinstate(&self) -> Result<(), crate::OperationError> {
        operation::reinstate(&self.target).await
    }

    /// Messages that wait in the mailbox, where the actor is in this process.
    pub fn queue_len(&self) -> Option<usize> {
        match &self.target {
            Target::Local(cell) => Some(cell.queue_len()),
            #[cfg(feature = "remote")]
            Target::Remote(_) => None,
        }
    }
}

impl<A: Actor> ActorRef<A> {
    pub(crate) fn local(cell: Arc<Cell<A>>) -> Self {
        Self::from_target(Target::Local(cell))
    }
}

impl ActorRef {
    /// The same reference with the actor's type, which the caller vouches for.
    ///
    /// `None` if the actor is in this process and of another type. For an actor on another node the
    /// type only says which messages compile; the actor refuses what it does not accept.
    pub fn typed<A: Actor>(&self) -> Option<ActorRef<A>> {
        match &self.target {
            Target::Local(cell) if !cell.as_any().is::<Cell<A>>() => None,
            target => Some(ActorRef::from_target(target.clone())),
        }
    }
}

/// Says that messages of type `M` can be sent to a reference: to one of a type that handles `M`, and
/// to one of unknown type.
///
/// Implemented by rakt alone.
#[diagnostic::on_unimplemented(
    message = "an `ActorRef<{Self}>` does not take `{M}`: `{Self}` has no handler for it",
    label = "`{Self}` does not handle `{M}`",
    note = "write `impl rakt::Handler<{M}> for {Self}`, with an `async fn handle`"
)]
pub trait Receives<M: Message>: sealed::Sealed<M> {}

#[diagnostic::do_not_recommend]
impl<M: Message, T: sealed::Sealed<M>> Receives<M> for T {}

pub(crate) mod sealed {
    use super::*;

    /// How a letter gets into the mailbox of an actor in this process.
    pub trait Sealed<M: Message> {
        #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
        fn push(
            cell: &dyn AnyCell,
            letter: &mut Option<Letter<M>>,
            waiter: Option<(&mut Option<u64>, &Waker)>,
        ) -> Push;
    }

    // `Actor` is named although `Handler` implies it: it is what tells the two impls apart.
    impl<A: Actor + Handler<M>, M: Message> Sealed<M> for A {
        #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
        fn push(
            cell: &dyn AnyCell,
            letter: &mut Option<Letter<M>>,
            waiter: Option<(&mut Option<u64>, &Waker)>,
        ) -> Push {
            match cell.as_any().downcast_ref::<Cell<A>>() {
                Some(cell) => cell.push(letter, dispatch::<A, M>, waiter),
                None => cell.push_listed(letter, std::any::TypeId::of::<M>(), waiter),
            }
        }
    }

    impl<M: Message> Sealed<M> for AnyActor {
        #[expect(private_interfaces, reason = "sealed: nobody outside can call or implement it")]
        fn push(
            cell: &dyn AnyCell,
            letter: &mut Option<Letter<M>>,
            waiter: Option<(&mut Option<u64>, &Waker)>,
        ) -> Push {
            cell.push_listed(letter, std::any::TypeId::of::<M>(), waiter)
        }
    }
}
