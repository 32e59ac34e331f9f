//! One actor without its surroundings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::actor::{Actor, Handler};
use crate::context::{ActorCell, Context, Dispatch, Dispatched, Work};
use crate::dispatch::next;
use crate::error::{AskError, Chain, Refusal, SpawnError, TellError};
use crate::events::Event;
use crate::mailbox::arrivals::Plain;
use crate::mailbox::letter::{Asker, Letter};
use crate::mailbox::queue::Intake;
use crate::mailbox::reply::Reply;
use crate::message::Message;
use crate::reference::{ActorRef, Push, Target};
use crate::spawn::Spawn;
use crate::supervision::Directive;
use crate::sync::GlobalMutex;
use crate::system::core::ActorSystem;

/// One actor in a system of its own: the test sends it a message, has it run until it is idle, and looks at its
/// state, at what it answers, and at what supervision makes of its faults.
///
/// ```
/// use rakt::prelude::*;
/// use rakt::supervision::Directive;
/// use rakt::testkit::Solo;
///
/// #[derive(Default)]
/// struct Account { cents: u64 }
/// impl Actor for Account {}
///
/// #[derive(Message)]
/// #[rakt(reply = u64)]
/// struct Withdraw(u64);
///
/// impl Handler<Withdraw> for Account {
///     async fn handle(&mut self, Withdraw(n): Withdraw, _: &mut Context<Self>) -> Result<u64> {
///         self.cents = self.cents.checked_sub(n).ok_or("not covered")?;
///         Ok(self.cents)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result {
/// let account = Solo::start(|| Account { cents: 100 }).await?;
/// assert_eq!(account.ask(Withdraw(30)).await?, 70);
/// assert_eq!(account.state(|account| account.cents).await, 70);
///
/// account.tell(Withdraw(100)).await?;
/// account.idle().await;
/// let [failure] = &account.failures()[..] else { panic!("it failed once") };
/// assert_eq!((failure.fault.as_str(), failure.directive), ("not covered", Directive::Restart));
/// assert_eq!(account.state(|account| account.cents).await, 100); // a new one
/// # Ok(()) }
/// ```
///
/// Its partners are [probes](super::Probe) in the same [`system`](Self::system).
pub struct Solo<A: Actor> {
    cell: Arc<ActorCell<A>>,
    actor: ActorRef<A>,
    failures: Arc<GlobalMutex<Vec<Failure>>>,
}

/// A fault of the actor, and what its supervision chose.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The fault and its causes, in one line.
    pub fault: String,
    /// What supervision chose. A [restart](Directive::Restart) that is one too many stops the actor all the same;
    /// [`ActorRef::ended`] tells.
    pub directive: Directive,
}

impl<A: Actor> fmt::Debug for Solo<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Solo").field("actor", &self.actor).finish_non_exhaustive()
    }
}

/// The system of the actor shuts down.
impl<A: Actor> Drop for Solo<A> {
    fn drop(&mut self) {
        let system = self.cell.system.clone();
        self.cell.system.runtime().spawn(async move { system.shutdown().await });
    }
}

impl<A: Actor> Solo<A> {
    /// Starts an actor as [`ActorSystem::spawn`] does, in a system of its own, where it is called `solo`.
    ///
    /// # Errors
    /// [`SpawnError`]: the actor did not start.
    ///
    /// # Panics
    /// If the runtime has no timers.
    pub async fn start(
        factory: impl Fn() -> A + Send + Sync + 'static,
    ) -> Result<Self, SpawnError> {
        Self::with(factory, |spawn| spawn).await
    }

    /// The same, for an actor that is spawned with other options than the default ones:
    ///
    /// ```
    /// # use rakt::prelude::*;
    /// # use rakt::testkit::Solo;
    /// # struct Worker; impl Actor for Worker {}
    /// # #[tokio::main] async fn main() -> Result {
    /// let worker = Solo::with(|| Worker, |spawn| spawn.mailbox(Mailbox::bounded(10))).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SpawnError`]: the actor did not start.
    ///
    /// # Panics
    /// If the runtime has no timers.
    pub async fn with(
        factory: impl Fn() -> A + Send + Sync + 'static,
        options: impl FnOnce(Spawn<'static, A>) -> Spawn<'static, A>,
    ) -> Result<Self, SpawnError> {
        let system = ActorSystem::builder("solo").start().await.expect("the runtime has timers");
        let failures = Arc::<GlobalMutex<Vec<Failure>>>::default();
        let seen = failures.clone();
        let observed = options(system.spawn("solo", factory)).observed(move |fault, directive| {
            let fault = Chain(fault).to_string();
            seen.lock().push(Failure { fault, directive });
        });
        let cell = observed.start_cell().await?;
        let actor = ActorRef::from_target(Target::Local(cell.clone()));
        Ok(Self { cell, actor, failures })
    }

    /// A reference to the actor.
    pub fn actor(&self) -> &ActorRef<A> {
        &self.actor
    }

    /// The system of the actor, for its partners.
    pub fn system(&self) -> &ActorSystem {
        &self.cell.system
    }

    /// Sends a message. See [`ActorRef::tell`].
    ///
    /// # Errors
    /// As [`ActorRef::tell`].
    pub async fn tell<M: Message>(&self, message: M) -> Result<(), TellError<M>>
    where
        A: Handler<M>,
    {
        self.actor.tell(message).await
    }

    /// Sends a message and returns the reply. See [`ActorRef::ask`].
    ///
    /// # Errors
    /// As [`ActorRef::ask`].
    pub async fn ask<M: Message>(&self, message: M) -> Result<M::Reply, AskError<M>>
    where
        A: Handler<M>,
    {
        self.actor.ask(message).await
    }

    /// Waits until the actor has handled all that it was sent, and what it has sent to itself meanwhile; or refuses
    /// to, as it has ended or is suspended. Timers that are set are not waited for: on a paused clock
    /// [`tokio::time::sleep`] is what has them fire.
    ///
    /// # Panics
    /// If it is not idle within the [limit](super::LIMIT).
    pub async fn idle(&self) {
        let idle = async {
            while self.look(|_| ()).await.is_some() && self.actor.queue_len() != Some(0) {}
        };
        super::within(idle).await;
    }

    /// What `look` makes of the actor's state, after everything that it was sent before.
    ///
    /// # Panics
    /// If the actor has ended, is suspended, or does not get so far within the [limit](super::LIMIT).
    pub async fn state<T: Send + 'static>(&self, look: impl FnOnce(&A) -> T + Send + 'static) -> T {
        let found = super::within(self.look(look)).await;
        found.expect("only the state of an actor that takes messages can be looked at")
    }

    /// The faults of the actor so far, oldest first.
    pub fn failures(&self) -> Vec<Failure> {
        self.failures.lock().clone()
    }

    /// Whether the actor is [suspended](Directive::Suspend).
    pub fn is_suspended(&self) -> bool {
        self.cell.intake() == Intake::Suspended
    }

    /// `None` if the actor does not take it.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&A) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let look = Box::new(move |actor: &A| drop(sender.send(look(actor))));
        let mut letter =
            Some(Letter { message: Look(look), asker: Asker(None), sender: None, about: None });
        let mut events = self.system().events();
        let suspended = events.find(|event| match event {
            Event::ActorSuspended { path, .. } => (*path == *self.cell.path).then_some(()),
            _ => None,
        });
        loop {
            match self.cell.push(&mut letter, Dispatch(show::<A>), None) {
                Push::Accepted => break,
                Push::Refused(Refusal::MailboxFull { .. }) | Push::Waiting => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Push::Refused(_) => return None,
            }
        }
        tokio::select! {
            biased;
            found = receiver => found.ok(),
            // It keeps what is queued, and so this as well.
            _ = suspended => None,
        }
    }
}

/// A message that every actor handles: it looks at the state.
struct Look<A>(Box<dyn FnOnce(&A) + Send>);

#[diagnostic::do_not_recommend]
impl<A: 'static> Message for Look<A> {
    type Reply = ();
}

/// Handles the [`Look`]s at the front.
fn show<'a, A: Actor>(
    actor: &'a mut A,
    ctx: &'a mut Context<A>,
    work: &'a mut Work<A>,
) -> Dispatched<'a> {
    Box::pin(async move {
        let (mut reply, mut plain) = (Reply::nowhere(), Plain::UNKNOWN);
        while let Some(Look(look)) = next::<A, Look<A>>(work, ctx, &mut reply, &mut plain) {
            look(actor);
            if ctx.count_message() {
                break;
            }
        }
        Ok(())
    })
}
