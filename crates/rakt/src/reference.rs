//! References to actors, here or on another node, and what such an actor is to those who refer to it.

use std::any::{Any, TypeId};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use rakt_wire::native::Staged;
use rakt_wire::{Address, Encode, Metadata, Operation, Outcome, Wish};
use tokio::sync::oneshot;

use crate::answer::RemoteAnswer;
use crate::call_options::CallOptions;
use crate::error::{OperationError, Refusal};
use crate::events::{StopReason, Terminated, WatchId};
use crate::log::may_log;
use crate::mailbox::run::Loose;
use crate::signal::{Signal, Signalled, Watcher};
use crate::sync::Mutex;

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
/// [`Address`] alone refers to whoever has the name, and that of a [grain](crate::grain::GrainRef) to whichever life it has.
pub struct ActorRef<A = AnyActor> {
    target: Target,
    actor: PhantomData<fn() -> A>,
}

/// Where an actor is.
#[derive(Clone)]
pub(crate) enum Target {
    Local(Arc<dyn AnyCell>),
    Remote(Arc<dyn RemoteActor>),
    /// A grain, wherever it lives: whoever sends to it finds out first.
    Grain(Arc<dyn AnyGrain>),
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
            Target::Local(cell) => write!(f, "{}", cell.address()),
            Target::Remote(remote) => write!(f, "{}", remote.address()),
            Target::Grain(grain) => write!(f, "{}", grain.address()),
        }
    }
}

/// Two references are equal if they refer to the same life of the same actor.
impl<A, B> PartialEq<ActorRef<B>> for ActorRef<A> {
    fn eq(&self, other: &ActorRef<B>) -> bool {
        match (&self.target, &other.target) {
            // A cell is one life of one actor; numbers and paths repeat from system to system.
            (Target::Local(a), Target::Local(b)) => std::ptr::addr_eq(a.as_any(), b.as_any()),
            (Target::Remote(a), Target::Remote(b)) => {
                a.address() == b.address() && a.life() == b.life()
            }
            // There is one of the options for each system.
            (Target::Grain(a), Target::Grain(b)) => {
                std::ptr::eq(a.call_options(), b.call_options()) && a.path() == b.path()
            }
            _ => false,
        }
    }
}

impl<A> Eq for ActorRef<A> {}

/// By the same life of the same actor as equality.
impl<A> Hash for ActorRef<A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.target {
            Target::Local(cell) => (&raw const *cell.as_any()).cast::<()>().hash(state),
            Target::Remote(remote) => (remote.address(), remote.life()).hash(state),
            Target::Grain(grain) => grain.path().hash(state),
        }
    }
}

impl Target {
    #[inline]
    pub(crate) fn call_options(&self) -> &CallOptions {
        match self {
            Self::Local(cell) => cell.call_options(),
            Self::Remote(remote) => remote.call_options(),
            Self::Grain(grain) => grain.call_options(),
        }
    }

    /// Which life is meant; `None` for whoever has the address.
    pub(crate) fn life(&self) -> Option<Life> {
        match self {
            Self::Local(cell) => Some(cell.life()),
            Self::Remote(remote) => remote.life(),
            Self::Grain(_) => None,
        }
    }
}

impl<A> ActorRef<A> {
    pub(crate) fn from_target(target: Target) -> Self {
        Self { target, actor: PhantomData }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Which life is meant; `None` for whoever has the address.
    pub(crate) fn life(&self) -> Option<Life> {
        self.target.life()
    }

    /// The actor's address, which means the same on every node.
    pub fn address(&self) -> Address {
        match &self.target {
            Target::Local(cell) => cell.address(),
            Target::Remote(remote) => remote.address().clone(),
            Target::Grain(grain) => grain.address(),
        }
    }

    /// The actor's path: its name, after those of its parents.
    pub fn path(&self) -> &str {
        match &self.target {
            Target::Local(cell) => cell.path(),
            Target::Remote(remote) => remote.address().path(),
            Target::Grain(grain) => grain.path(),
        }
    }

    /// Whether the actor lives in this process.
    pub fn is_local(&self) -> bool {
        self.here().is_some()
    }

    /// The actor, where it is in this process.
    fn here(&self) -> Option<Arc<dyn AnyCell>> {
        match &self.target {
            Target::Local(cell) => Some(cell.clone()),
            Target::Remote(_) => None,
            Target::Grain(grain) => grain.living(),
        }
    }

    /// The same reference without the actor's type.
    pub fn untyped(&self) -> ActorRef {
        ActorRef::from_target(self.target.clone())
    }

    /// Completes when the actor has ended, here or on another node, and says why. As
    /// [`Context::watch`](crate::Context::watch), from outside of actors: at once where it has ended already, and
    /// with [`StopReason::NodeLost`] where its node cannot be reached any more. A [grain](crate::grain) never has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn ended(&self) -> StopReason {
        match &self.target {
            Target::Local(cell) => ended(&**cell).await,
            Target::Remote(remote) => ended_there(remote).await,
            Target::Grain(_) => std::future::pending().await,
        }
    }

    /// Whether the actor has not ended, where it is in this process.
    pub fn is_alive(&self) -> Option<bool> {
        match &self.target {
            Target::Local(cell) => Some(!cell.has_ended()),
            Target::Remote(_) => None,
            Target::Grain(grain) => grain.living().map(|_| true),
        }
    }

    /// Messages that wait in the mailbox, where the actor is in this process.
    pub fn queue_len(&self) -> Option<usize> {
        self.here().map(|cell| cell.queue_len())
    }
}

/// Stands in a reference for an actor whose Rust type is not known, such as one found by its address.
///
/// Any message can be sent to it; one that the actor does not [accept](crate::Actor::accepts) is refused at
/// run time with [`Refusal::NotAccepted`](crate::Refusal::NotAccepted).
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "that it has no value is what it is for")]
pub enum AnyActor {}

/// Stands in a reference for an actor of any type that takes `M`: see [`Recipient`].
#[derive(Debug)]
pub struct Takes<M>(PhantomData<fn(M)>);

/// A reference to whatever takes messages of type `M`, here or on another node. It has all that an [`ActorRef`] has.
///
/// [`ActorRef::recipient`] makes one of any reference. Of one that knows the actor's type, the message needs only the
/// handler; of one that does not, the actor refuses what it does not [accept](crate::Actor::accepts).
///
/// ```
/// use rakt::prelude::*;
///
/// #[derive(Message)]
/// struct Alarm(String);
///
/// struct Pager;
/// impl Actor for Pager {}
/// impl Handler<Alarm> for Pager {
///     async fn handle(&mut self, _: Alarm, _: &mut Context<Self>) -> Result {
///         Ok(())
///     }
/// }
///
/// /// Knows nothing of pagers.
/// struct Sensor {
///     alarms: Vec<Recipient<Alarm>>,
/// }
///
/// # #[tokio::main] async fn main() -> Result {
/// # let system = ActorSystem::builder("doc").start().await?;
/// let pager = system.spawn("pager", || Pager).await?;
/// let sensor = Sensor { alarms: vec![pager.recipient()] };
/// for alarm in &sensor.alarms {
///     alarm.tell(Alarm("too hot".into())).await?;
/// }
/// # Ok(()) }
/// ```
pub type Recipient<M> = ActorRef<Takes<M>>;

/// An actor in this process whose type only its own functions know.
pub(crate) trait AnyCell: Signalled + Any {
    fn path(&self) -> &str;
    /// Tells this life of the name from others.
    fn uid(&self) -> u64;
    fn life(&self) -> Life;
    fn parent(&self) -> Option<Arc<dyn AnyCell>>;
    fn address(&self) -> Address;
    fn call_options(&self) -> &CallOptions;
    fn as_any(&self) -> &dyn Any;
    /// Adds a watcher, who hears at once if the actor has ended already.
    fn watch(&self, watcher: Watcher);
    /// Ends the actor at once, whatever its code waits for.
    fn kill(&self);
    /// Ends the actor without a word of its code, since its node may not run that any more.
    fn evict(&self, refusal: &Refusal);
    /// Takes an actor's watch back.
    fn unwatch(&self, watch: WatchId);
    fn has_ended(&self) -> bool;
    fn queue_len(&self) -> usize;
    /// How many messages the mailbox holds at most.
    fn capacity(&self) -> u64;
    fn forget_waiter(&self, ticket: u64);
    /// Puts a letter in the mailbox, if the actor's list has its type.
    fn push_listed(
        &self,
        letter: &mut dyn Loose,
        message: TypeId,
        waiter: Option<(&mut Option<u64>, &Waker)>,
    ) -> Push;
}

/// Which actor of an address is meant, and which life of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Life {
    pub(crate) uid: u64,
    pub(crate) incarnation: [u8; 16],
}

/// A message on its way to another node.
#[allow(dead_code, reason = "for the remote half, which is a feature")]
pub(crate) struct Outgoing<'a> {
    pub(crate) wish: Wish,
    pub(crate) type_name: &'static str,
    pub(crate) reply_name: Option<&'static str>,
    pub(crate) payload: &'a dyn Encode,
    pub(crate) sender: Option<&'a ActorRef>,
    pub(crate) remaining: Option<Duration>,
    pub(crate) metadata: Option<&'a Metadata>,
    /// The task that sends it looks for the outcome next, and waits for nothing else.
    pub(crate) is_alone: bool,
}

/// Where a sender stands in a line for a connection, and what it has prepared; it leaves as this is dropped.
pub(crate) type SendState = Box<dyn Any + Send>;

/// An operation on an actor of another node.
pub(crate) type Requested<'a> =
    Pin<Box<dyn Future<Output = Result<Outcome, OperationError>> + Send + 'a>>;

/// An actor on another node, in the dialect of that.
pub(crate) trait RemoteActor: Send + Sync {
    fn address(&self) -> &Address;

    /// The life that is meant; `None` for whoever has the address.
    fn life(&self) -> Option<Life> {
        None
    }

    fn call_options(&self) -> &CallOptions;

    /// Gives a message to a connection, waiting for one, and for room, where needed. Without a waker it
    /// does not wait. While it waits, `state` is the sender's.
    fn poll_send(
        &self,
        outgoing: &Outgoing<'_>,
        state: &mut Option<SendState>,
        waker: Option<&Waker>,
    ) -> Poll<Result<Option<RemoteAnswer>, Refusal>>;

    /// Gives a tell to a connection that has its names already, credit and room for it. The tell has no sender and
    /// nothing with it, and is `len` bytes long, where that is known. False where anything is not so: then nothing was sent, and [`poll_send`](Self::poll_send) does
    /// it, or says why it cannot be done.
    fn tell(&self, type_name: &'static str, len: Option<usize>, payload: &dyn Encode) -> bool {
        let _ = (type_name, len, payload);
        false
    }

    /// What takes tells to it that are written down, if their payloads are below so many bytes; `None` where all are to be
    /// told one by one.
    fn stage(self: Arc<Self>) -> Option<(Box<dyn Stage>, usize)> {
        None
    }

    /// Whether messages can be given to a connection, of which one is made where there is none. Without a waker it does not
    /// wait.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    fn poll_ready(&self, waker: Option<&Waker>) -> Poll<Result<(), Refusal>> {
        let _ = waker;
        Poll::Ready(Ok(()))
    }

    /// What a sender waits for, whose `state` that is: a connection that is being made, or room.
    fn why_waiting(&self, state: Option<&SendState>) -> Option<Refusal> {
        let _ = state;
        None
    }

    /// Carries out an operation on the actor, behind the messages that were sent before.
    fn request(&self, operation: Operation) -> Requested<'_>;

    /// Has `watcher` hear of its end, once.
    fn watch(self: Arc<Self>, watcher: Weak<dyn Signalled>, watch: WatchId);

    fn unwatch(&self, watch: WatchId);
}

/// A grain whose type only its own functions know.
pub(crate) trait AnyGrain: Send + Sync {
    /// Its path, or that of all grains where none can have its key.
    fn path(&self) -> &str;
    fn address(&self) -> Address;
    fn call_options(&self) -> &CallOptions;
    /// The type of the actors that it has its lives as; [`AnyActor`] where it may be any.
    fn actor_type(&self) -> TypeId;
    /// The life of it in this process.
    fn living(&self) -> Option<Arc<dyn AnyCell>>;
    /// Where it is known to live, if it can be sent to there without a wait.
    fn known(&self) -> Option<Target>;
    /// The way of one message to it, which was sent to that life of it already, if any.
    fn way(self: Arc<Self>, sent_to: Option<&Target>) -> Box<dyn Way>;
    /// The same grain; each life of it that lives here is reached through what `door` makes of it.
    fn through(&self, door: fn(&Target) -> Target) -> Arc<dyn AnyGrain>;
    /// Where it lives; nothing brings it to life.
    fn look(self: Arc<Self>) -> Looking;
}

/// A grain that is looked for, and not to be brought to life.
pub(crate) type Looking = Pin<Box<dyn Future<Output = Result<Option<Target>, Refusal>> + Send>>;

/// The way of one message to a grain: to one life of it after the other, until one takes it.
pub(crate) trait Way: Send {
    /// The life to send to next, which is none that has refused the message. Without a waker it does not wait.
    fn poll(&mut self, waker: Option<&Waker>) -> Poll<Result<Target, Refusal>>;
    /// The life that was found last has refused the message, and nobody has handled it. Says where to go on: at the grain,
    /// if that is of use.
    fn go_on(&mut self, refusal: &Refusal) -> Option<Target>;
    /// Why nothing is found yet, if that can be said.
    fn why_waiting(&self) -> Option<Refusal>;
}

/// What takes tells of one type to an actor on another node that are written down.
pub(crate) trait Stage: Send {
    /// Has a connection take all of them, waiting for one, and for room, where needed. After an error those that were
    /// not taken are there still.
    fn poll_flush(
        &mut self,
        type_name: &'static str,
        tells: &mut Staged,
        waker: &Waker,
    ) -> Poll<Result<(), Refusal>>;
}

/// Tells a watcher that an actor cannot be watched where it is.
pub(crate) fn unwatchable(address: &Address, watcher: &Weak<dyn Signalled>, watch: WatchId) {
    let Some(watcher) = watcher.upgrade() else { return };
    let topic = "an actor cannot be watched there";
    if may_log(topic, (address.host(), address.port())) {
        tracing::warn!(actor = %address, "{topic}");
    }
    let (address, reason) = (address.clone(), StopReason::NotFound);
    watcher.signal(Signal::Terminated(Terminated { address, reason, watch }));
}

/// What became of a letter. It was taken only if it was accepted.
pub(crate) enum Push {
    Accepted,
    Waiting,
    Refused(Refusal),
}

/// Tells one task of the end of an actor on another node.
struct End(Mutex<Option<oneshot::Sender<StopReason>>>);

impl Signalled for End {
    fn signal(&self, signal: Signal) {
        if let (Signal::Terminated(terminated), Some(told)) = (signal, self.0.lock().take()) {
            let _ = told.send(terminated.reason);
        }
    }
}

/// Takes a watch back when nobody waits for it any more.
struct Watching<'a>(&'a dyn RemoteActor, WatchId);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.unwatch(self.1);
    }
}

/// Completes when an actor on another node has ended, as far as can be told.
async fn ended_there(remote: &Arc<dyn RemoteActor>) -> StopReason {
    let (told, hears) = oneshot::channel();
    let watcher: Arc<dyn Signalled> = Arc::new(End(Mutex::new(Some(told))));
    let watch = WatchId::next();
    remote.clone().watch(Arc::downgrade(&watcher), watch);
    let _watching = Watching(&**remote, watch);
    hears.await.unwrap_or(StopReason::Gone)
}

/// Completes when the actor has ended.
pub(crate) async fn ended(cell: &dyn AnyCell) -> StopReason {
    let (sender, receiver) = oneshot::channel();
    cell.watch(Watcher::Once(sender));
    receiver.await.unwrap_or(StopReason::Gone)
}
