//! Starting actors.

use std::any::TypeId;
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rakt_wire::{ANONYMOUS_PREFIX, MAX_PATH_LEN, validate_name, validate_path};

use crate::actor::{Accepts, Actor};
use crate::cell::{Cell, Setup};
use crate::context::{ActorCell, ActorClass, Children, Context, Origin};
use crate::error::{AddressError, BoxError, Refusal, SpawnError};
use crate::events::StopReason;
use crate::grain::id::GRAINS;
#[cfg(feature = "cluster")]
use crate::hosting::Hosting;
use crate::mailbox::Mailbox;
use crate::mailbox::arrivals::Reachable;
use crate::message::DuplicateName;
use crate::operation;
use crate::reference::{ActorRef, AnyCell, Target};
use crate::runner::Runner;
use crate::signal::Signal;
#[cfg(feature = "testkit")]
use crate::supervision::Directive;
use crate::supervision::{Fault, Supervision};
use crate::system::core::ActorSystem;
use crate::system::core::CLUSTER;

/// An actor about to be started: set what differs from the defaults, then await it.
///
/// ```
/// # use rakt::prelude::*;
/// # #[derive(Default)] struct Worker; impl Actor for Worker {}
/// # #[tokio::main] async fn main() -> Result {
/// # let system = ActorSystem::builder("doc").start().await?;
/// use rakt::supervision::{Directive, Supervision};
/// use std::time::Duration;
///
/// let worker = system
///     .spawn("worker", Worker::default)
///     .mailbox(Mailbox::bounded(100).overflow(Overflow::Refuse))
///     .supervision(Supervision::always(Directive::Suspend))
///     .passivate_after(Duration::from_secs(120))
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "an actor is started when this is awaited"]
pub struct Spawn<'a, A: Actor> {
    system: ActorSystem,
    path: String,
    /// The name is made up: it begins with a prefix that no user's name has.
    is_anonymous: bool,
    origin: Box<dyn Origin<A>>,
    setup: Setup,
    parent: Option<Parent<'a>>,
}

impl<A: Actor> fmt::Debug for Spawn<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawn").field("path", &self.path).finish_non_exhaustive()
    }
}

/// An actor that has its place, and where it comes from.
type Reserved<A> = (Unstarted<A>, Box<dyn Origin<A>>);

/// The parent of a child, and where it keeps its children.
pub(crate) type Parent<'a> = (Arc<dyn AnyCell>, &'a mut Children);

impl<'a, A: Actor> Spawn<'a, A> {
    pub(crate) fn new(
        system: ActorSystem,
        path: String,
        factory: impl Fn() -> A + Send + Sync + 'static,
        setup: Setup,
        parent: Option<Parent<'a>>,
    ) -> Self {
        let origin = Box::new(factory);
        Self { system, path, is_anonymous: false, origin, setup, parent }
    }

    fn anonymous(mut self) -> Self {
        self.is_anonymous = true;
        self
    }

    /// The mailbox. Default: 8192 messages, senders wait when it is full.
    pub fn mailbox(mut self, mailbox: Mailbox) -> Self {
        self.setup.mailbox = mailbox;
        self
    }

    /// What happens when the actor fails. Default: see [`Supervision`].
    pub fn supervision(mut self, supervision: Supervision) -> Self {
        self.setup.options().supervision = Some(Arc::new(supervision));
        self
    }

    /// Stops the actor once it has had no message for this long, at least 1 ms. Default: never.
    ///
    /// What keeps it: a message, also one that it sends itself by a timer; a child, a [pipe](Context::pipe) or a
    /// [stream](Context::attach_stream), until that has ended;
    /// and its own suspension or pause before a restart, until that is over.
    pub fn passivate_after(mut self, idle: Duration) -> Self {
        self.setup.options().passivate_after = Some(idle);
        self
    }

    /// How long the handler of one message may take. One that takes longer is dropped at its next `await`, its asker
    /// hears that it failed, and supervision meets [`Fault::TimedOut`]. Default: without limit.
    pub fn handler_timeout(mut self, limit: Duration) -> Self {
        self.setup.options().handler_timeout = Some(limit);
        self
    }

    /// Takes the actor that has the name already, if it is of this type, in place of an error. One that is about to
    /// end is waited for, as long as an ask may take by default, and followed by a new one. Of several that do this at once, one starts the actor and all
    /// get it, some of them before its `started` has run.
    pub fn or_existing(self) -> SpawnOrExisting<'a, A> {
        SpawnOrExisting(self)
    }

    /// Has `observe` told of each fault of the actor and of what its supervision chose.
    #[cfg(feature = "testkit")]
    pub(crate) fn observed(
        self,
        observe: impl Fn(&Fault, Directive) + Send + Sync + 'static,
    ) -> Self {
        let supervision = self.setup.supervision().cloned().unwrap_or_default();
        self.supervision(supervision.observed(observe))
    }

    /// Starts the actor: reserves the name, then runs [`Actor::started`] here.
    ///
    /// The same as awaiting the value, without boxing the future.
    ///
    /// # Errors
    /// [`SpawnError`]: the name is invalid or taken, or the actor did not start.
    ///
    /// # Cancel safety
    /// If the future is dropped while `started` runs, nothing is left of the actor.
    pub async fn start(self) -> Result<ActorRef<A>, SpawnError> {
        self.start_cell().await.map(|cell| ActorRef::from_target(Target::Local(cell)))
    }

    pub(crate) async fn start_cell(self) -> Result<Arc<ActorCell<A>>, SpawnError> {
        let (unstarted, origin) = self.reserve()?;
        match Runner::start(unstarted.cell().clone(), origin).await {
            Ok(()) => Ok(unstarted.defuse()),
            Err(fault) => Err(unstarted.failed(fault)),
        }
    }

    /// The same, once `claim` has said that the cell may start, and only while its node may host it.
    #[cfg(feature = "cluster")]
    pub(crate) async fn start_claimed<F>(
        self,
        claim: impl FnOnce(Arc<ActorCell<A>>) -> F,
    ) -> Result<ActorRef<A>, SpawnError>
    where
        F: Future<Output = Result<Arc<Hosting>, SpawnError>>,
    {
        let (unstarted, origin) = self.reserve()?;
        let hosting = claim(unstarted.cell().clone()).await?;
        let (cell, mut started) = (unstarted.cell().clone(), None);
        let origin = Box::new(Claimed { origin, hosting: hosting.clone() });
        hosting.run(async { started = Some(Runner::start(cell, origin).await) }).await;
        match started {
            Some(Ok(())) => Ok(ActorRef::from_target(Target::Local(unstarted.defuse()))),
            Some(Err(fault)) => Err(unstarted.failed(fault)),
            None => Err(unstarted.failed(Fault::Error(Refusal::Fenced.into()))),
        }
    }

    /// The path, and the system.
    #[cfg(feature = "cluster")]
    pub(crate) fn place(&self) -> (&str, &ActorSystem) {
        (&self.path, &self.system)
    }

    /// The actor's cell, at its place in the registry and among its parent's children.
    fn reserve(self) -> Result<Reserved<A>, SpawnError> {
        let Self { system, path, is_anonymous, origin, setup, parent } = self;
        match is_anonymous {
            true => check_path(&path)?,
            false => check_name(&path, parent.as_ref().map(|(parent, _)| &**parent))?,
        }
        let class = class_of::<A>(&system)
            .map_err(|source| SpawnError::DuplicateName { name: path.clone(), source })?;
        let (parent, children) = parent.unzip();
        let path = path.into_boxed_str();
        let cell = Cell::new(system.clone(), path, system.next_uid(), class, setup, parent);
        register(&system, &cell)?;
        if let Some(children) = children {
            children.insert(cell.uid, cell.clone());
        }
        Ok((Unstarted(Some(cell)), origin))
    }
}

/// An actor with a name of the cluster.
#[cfg(feature = "cluster")]
struct Claimed<A> {
    origin: Box<dyn Origin<A>>,
    hosting: Arc<Hosting>,
}

#[cfg(feature = "cluster")]
impl<A> Origin<A> for Claimed<A> {
    fn build(&self) -> A {
        self.origin.build()
    }

    fn hosting(&self) -> Option<Arc<Hosting>> {
        Some(self.hosting.clone())
    }
}

impl<'a, A: Actor> IntoFuture for Spawn<'a, A> {
    type Output = Result<ActorRef<A>, SpawnError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// An actor about to be started, or to be found under its name: made by [`Spawn::or_existing`].
#[must_use = "an actor is started or found when this is awaited"]
pub struct SpawnOrExisting<'a, A: Actor>(Spawn<'a, A>);

impl<A: Actor> fmt::Debug for SpawnOrExisting<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<A: Actor> SpawnOrExisting<'_, A> {
    async fn find_or_start(self) -> Result<Arc<ActorCell<A>>, SpawnError> {
        let Self(spawn) = self;
        let (system, path) = (spawn.system.clone(), spawn.path.clone());
        while let Some(found) = system.find(&path) {
            match of_type(&found) {
                None => return Err(SpawnError::OtherType { name: path }),
                Some(cell) if cell.takes_messages() => return Ok(cell),
                // It waits for its end, which the actor's own code cannot.
                Some(cell) => {
                    let ended = operation::end_of(&*cell).await;
                    ended.map_err(|_| taken(path.clone()))?;
                }
            }
        }
        match spawn.start_cell().await {
            // Somebody else was faster.
            Err(SpawnError::NameTaken { name, at }) => {
                let found = system.find(&path).as_ref().and_then(of_type::<A>);
                found.filter(|cell| cell.takes_messages()).ok_or(SpawnError::NameTaken { name, at })
            }
            started => started,
        }
    }
}

impl<'a, A: Actor> IntoFuture for SpawnOrExisting<'a, A> {
    type Output = Result<ActorRef<A>, SpawnError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async {
            let cell = self.find_or_start().await?;
            Ok(ActorRef::from_target(Target::Local(cell)))
        })
    }
}

/// The cell of an actor in this process, if it is of type `A`.
fn of_type<A: Actor>(found: &ActorRef) -> Option<Arc<ActorCell<A>>> {
    let Target::Local(cell) = found.target() else { return None };
    cell.as_any().downcast_ref().map(ActorCell::<A>::me)
}

/// Another actor of this node has the name.
fn taken(name: String) -> SpawnError {
    SpawnError::NameTaken { name, at: None }
}

/// What all actors of this type have in common, made once.
pub(crate) fn class_of<A: Actor>(
    system: &ActorSystem,
) -> Result<Arc<ActorClass<A>>, DuplicateName> {
    let classes = &system.0.classes;
    if let Some(known) = classes.lock().get(&TypeId::of::<A>())
        && let Ok(class) = known.clone().downcast()
    {
        return Ok(class);
    }
    // The list is user code, so it is made outside of the lock.
    let class = Arc::new(Accepts::<A>::of_actor()?.class);
    classes.lock().insert(TypeId::of::<A>(), class.clone());
    Ok(class)
}

fn register<A: Actor>(system: &ActorSystem, cell: &Arc<ActorCell<A>>) -> Result<(), SpawnError> {
    if !system.0.registry.add(cell.clone()) {
        return Err(taken(cell.path.to_string()));
    }
    // Looked at last: a shutdown that this check does not see finds the actor in the registry.
    if system.is_shutting_down() {
        system.0.registry.remove(&**cell);
        // The shutdown may have seen it meanwhile, and wait for its end.
        cell.abandon(&Refusal::ShuttingDown);
        cell.end(&StopReason::Shutdown);
        return Err(SpawnError::ShuttingDown { name: cell.path.to_string() });
    }
    crate::metrics::actor_started();
    Ok(())
}

/// The name is all that follows the parent's path: with a `/` in it, it would pose as the child of
/// an actor that knows nothing of it.
fn check_name(path: &str, parent: Option<&dyn AnyCell>) -> Result<(), SpawnError> {
    let name = match parent {
        Some(parent) => &path[parent.path().len() + 1..],
        None if path == GRAINS || path == CLUSTER => {
            let prefix = if path == GRAINS { GRAINS } else { CLUSTER };
            let source = AddressError::Reserved { name: path.to_owned(), prefix };
            return Err(SpawnError::InvalidName { name: path.to_owned(), source });
        }
        None => path,
    };
    // The parent's path is valid, so with the name's only the length of both is left to look at.
    let validated = match path.len() {
        ..=MAX_PATH_LEN => validate_name(name),
        _ => validate_name(name).and_then(|()| validate_path(path)),
    };
    validated.map_err(|source| SpawnError::InvalidName { name: path.to_owned(), source })
}

/// A name that was made up is valid, and may still make the path too long.
fn check_path(path: &str) -> Result<(), SpawnError> {
    validate_path(path).map_err(|source| SpawnError::InvalidName { name: path.to_owned(), source })
}

/// A name that nobody else has, now or after the node has started again: a number of this system, and random
/// bits. It takes up 48 bytes at most.
fn anonymous_name(system: &ActorSystem) -> String {
    format!("{ANONYMOUS_PREFIX}{:x}-{:016x}", system.next_uid(), fastrand::u64(..))
}

/// An actor that has not finished starting: gone without a trace unless it does.
struct Unstarted<A: Actor>(Option<Arc<ActorCell<A>>>);

impl<A: Actor> Unstarted<A> {
    const IS_THERE: &str = "the cell is taken out at the end alone";

    fn cell(&self) -> &Arc<ActorCell<A>> {
        self.0.as_ref().expect(Self::IS_THERE)
    }

    fn defuse(mut self) -> Arc<ActorCell<A>> {
        self.0.take().expect(Self::IS_THERE)
    }

    fn failed(self, fault: Fault) -> SpawnError {
        let name = self.cell().path.to_string();
        let source: BoxError = match fault {
            Fault::Error(error) => error,
            other => other.to_string().into(),
        };
        SpawnError::Start { name, source }
    }
}

impl<A: Actor> Drop for Unstarted<A> {
    fn drop(&mut self) {
        let Some(cell) = self.0.take() else { return };
        cell.abandon(&Refusal::Stopped);
        cell.system.forget(&*cell);
        cell.end(&StopReason::Failed("it did not start".into()));
        if let Some(parent) = &cell.parent {
            parent.signal(Signal::ChildGone { uid: cell.uid });
        }
    }
}

impl ActorSystem {
    /// Starts an actor called `name`; `factory` builds it, now and on every restart.
    ///
    /// Await the result, after setting what differs from the defaults: see [`Spawn`].
    ///
    /// A name is unique in its system, 1 to 255 bytes of letters, digits, `-`, `_` and `.`, beginning
    /// with a letter or digit; names that begin with `rakt.` or `GoAkt` are reserved.
    pub fn spawn<A: Actor>(
        &self,
        name: impl Into<String>,
        factory: impl Fn() -> A + Send + Sync + 'static,
    ) -> Spawn<'static, A> {
        Spawn::new(self.clone(), name.into(), factory, Setup::default(), None)
    }

    /// Starts an actor without a name of yours. See [`spawn`](Self::spawn).
    ///
    /// It gets one that nobody else can have, of the form `rakt.anonymous.1f-8d3a6e0b52c94f17`, 48 bytes at most: the
    /// reserved prefix, a number and random bits. So its address, which peers may be told, leads nobody to another
    /// actor, also after this node has started again. The name is no secret.
    pub fn spawn_anonymous<A: Actor>(
        &self,
        factory: impl Fn() -> A + Send + Sync + 'static,
    ) -> Spawn<'static, A> {
        let name = anonymous_name(self);
        Spawn::new(self.clone(), name, factory, Setup::default(), None).anonymous()
    }
}

impl<A: Actor> Context<A> {
    /// Starts a child. It is stopped when this actor stops or is restarted. See
    /// [`ActorSystem::spawn`].
    pub fn spawn<C: Actor>(
        &mut self,
        name: impl Into<String>,
        factory: impl Fn() -> C + Send + Sync + 'static,
    ) -> Spawn<'_, C> {
        self.spawn_below(&name.into(), factory)
    }

    /// Starts a child without a name of yours. See [`ActorSystem::spawn_anonymous`].
    pub fn spawn_anonymous<C: Actor>(
        &mut self,
        factory: impl Fn() -> C + Send + Sync + 'static,
    ) -> Spawn<'_, C> {
        let name = anonymous_name(&self.cell.system);
        self.spawn_below(&name, factory).anonymous()
    }

    fn spawn_below<C: Actor>(
        &mut self,
        name: &str,
        factory: impl Fn() -> C + Send + Sync + 'static,
    ) -> Spawn<'_, C> {
        let path = format!("{}/{name}", self.cell.path);
        let system = self.cell.system.clone();
        let parent: Arc<dyn AnyCell> = self.cell.clone();
        let children = self.children_mut();
        Spawn::new(system, path, factory, Setup::default(), Some((parent, children)))
    }
}
