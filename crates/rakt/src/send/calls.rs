//! What can be done with a reference.

use crate::error::AskError;
use crate::message::Message;
use crate::operation;
use crate::reference::{ActorRef, Recipient};

use super::message_for::MessageFor;
use super::{Ask, AskAll, Tell, TellAll, TryTell};

impl<A> ActorRef<A> {
    /// Sends a message. Await the result for the message to be sent.
    ///
    /// The future completes when the message is accepted: into the actor's mailbox if the actor is in
    /// this process, into the bounded outbound queue of the connection if it is on another node.
    /// While that is full it waits, at most as long as [`Tell::timeout`] says; not so in the code of the
    /// receiver itself, where it is refused at once as by [`try_tell`](Self::try_tell). If the far side then
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
    pub fn tell<M: Message + MessageFor<A>>(&self, message: M) -> Tell<'_, A, M> {
        Tell::borrowed(self, message)
    }

    /// Sends a message if that takes no waiting.
    ///
    /// # Errors
    /// As [`tell`](Self::tell), and [`Refusal::MailboxFull`](crate::Refusal::MailboxFull) or
    /// [`Refusal::ResourceExhausted`](crate::Refusal::ResourceExhausted) where `tell` would wait.
    pub fn try_tell<M: Message + MessageFor<A>>(&self, message: M) -> TryTell<M> {
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
    pub fn ask<M: Message + MessageFor<A>>(&self, message: M) -> Ask<'_, A, M> {
        Ask::borrowed(self, message)
    }

    /// As [`tell`](Self::tell), for code that is not async: blocks the thread until the message is accepted.
    ///
    /// # Errors
    /// As [`tell`](Self::tell).
    ///
    /// # Panics
    /// In async code, where it would keep a thread of the runtime from its work.
    pub fn blocking_tell<M: Message + MessageFor<A>>(&self, message: M) -> TryTell<M> {
        self.runtime().block_on(self.tell(message))
    }

    /// As [`ask`](Self::ask), for code that is not async: blocks the thread until the reply is there.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    ///
    /// # Panics
    /// In async code, where it would keep a thread of the runtime from its work.
    pub fn blocking_ask<M: Message + MessageFor<A>>(
        &self,
        message: M,
    ) -> Result<M::Reply, AskError<M>> {
        self.runtime().block_on(self.ask(message))
    }

    /// The same reference as one to whatever takes `M`: for those who need not know the type of the actor.
    pub fn recipient<M: Message + MessageFor<A>>(&self) -> Recipient<M> {
        ActorRef::from_target(M::receiving(self.target()))
    }

    fn runtime(&self) -> &tokio::runtime::Handle {
        self.target().call_options().ticks.runtime()
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
    pub fn tell_all<M: Message + MessageFor<A>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> TellAll<'_, A, M> {
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
    pub fn ask_all<M: Message + MessageFor<A>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> AskAll<'_, A, M> {
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
    /// [`OperationError`](crate::OperationError) says what happened: the actor has not ended in time, and is
    /// still going to; or this is called by the actor's own code, or that of one below it, which would wait for
    /// itself. An actor stops itself by [`Context::stop`](crate::Context::stop).
    ///
    /// # Cancel safety
    /// The actor stops even if the future is dropped after its first poll, except on another node that
    /// was not reached by then.
    pub async fn stop(&self) -> Result<(), crate::OperationError> {
        operation::stop(self.target()).await
    }

    /// Ends an actor of this process at once, with its children, and waits for its end: what their handlers and hooks
    /// wait for is dropped, what is queued becomes dead letters, and who watches hears that it failed, "it was
    /// killed". `stopped` still runs, for 5 s at most. For an actor that is stuck; [`stop`](Self::stop) is for others.
    ///
    /// Code that keeps its thread without an `await` cannot be ended from outside.
    ///
    /// # Errors
    /// [`OperationError`](crate::OperationError): the actor is on another node, has not ended in the time that an
    /// `ask` has by default, or would wait for itself, as for [`stop`](Self::stop).
    ///
    /// # Cancel safety
    /// The actor ends even if the future is dropped after its first poll.
    pub async fn kill(&self) -> Result<(), crate::OperationError> {
        operation::kill(self.target()).await
    }

    /// Builds the actor anew, as supervision does on a restart, and puts it back to work if it is
    /// suspended. What is queued stays. Waits until it has started.
    ///
    /// # Errors
    /// [`OperationError`](crate::OperationError): the actor has ended, its `started` hook failed, its node
    /// could not be asked, or it has not started in the time that an `ask` has by default; and at once if this
    /// is called by its own code or that of an actor below it.
    ///
    /// # Cancel safety
    /// The actor is built anew even if the future is dropped after its first poll, except on another
    /// node that was not reached by then.
    pub async fn respawn(&self) -> Result<(), crate::OperationError> {
        operation::respawn(self.target()).await
    }

    /// Lets a suspended actor take messages again, with the state it had. Has no effect on others.
    ///
    /// # Errors
    /// [`OperationError`](crate::OperationError): the actor has ended, its node could not be asked, or nothing
    /// was heard in the time that an `ask` has by default; and at once if this is called by its own code.
    ///
    /// # Cancel safety
    /// As [`respawn`](Self::respawn).
    pub async fn reinstate(&self) -> Result<(), crate::OperationError> {
        operation::reinstate(self.target()).await
    }
}
