//! The actor system: what actors live in.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rakt_wire::{Address, AddressError, validate_system_name};

use crate::actor::{Accepts, Actor};
use crate::cell::{AnyCell, Cell, Signal, ended};
use crate::error::{Refusal, SpawnError};
use crate::events::{DeadLetter, Event, Events, Outlet, StopReason};
use crate::kind::{Exposed, Kind, Kinds};
use crate::message::DuplicateName;
use crate::propagate::ContextPropagator;
use crate::reference::{ActorRef, Target};
use crate::registry::Registry;
use crate::send::DEFAULT_ASK_TIMEOUT;
use crate::spawn::Spawn;
use crate::supervision::Decision;
use crate::sync::Lock;
use crate::ticks::Ticks;

/// A system of actors: it names them, starts them, and, with remoting, connects them to others.
///
/// Cheap to clone. It lives until [`shutdown`](Self::shutdown), even if every handle is dropped.
#[derive(Clone)]
pub struct ActorSystem(Arc<Inner>);

struct Inner {
    name: String,
    runtime: tokio::runtime::Handle,
    registry: Registry,
    accepts: Mutex<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    outlet: Arc<Outlet>,
    ask_timeout: Duration,
    shutdown_timeout: Duration,
    propagator: Option<Arc<dyn ContextPropagator>>,
    kinds: Kinds,
    shutting_down: AtomicBool,
    ticks: Arc<Ticks>,
    /// Where peers reach this node; nowhere without remoting.
    advertised: OnceLock<(String, u16)>,
    #[cfg(feature = "remote")]
    remote: OnceLock<Arc<crate::remote::Node>>,
}

impl fmt::Debug for ActorSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = self.advertised();
        f.debug_struct("ActorSystem")
            .field("name", &self.0.name)
            .field("at", &format_args!("{host}:{port}"))
            .finish_non_exhaustive()
    }
}

/// What a system is to be, before it starts.
pub struct Builder {
    name: String,
    kinds: Kinds,
    duplicate_kind: Option<String>,
    ask_timeout: Duration,
    shutdown_timeout: Duration,
    propagator: Option<Arc<dyn ContextPropagator>>,
    #[cfg(feature = "remote")]
    remoting: Option<crate::remote::Config>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a system did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name of the system is not valid.
    #[error("{name:?} is no name for a system")]
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: AddressError,
    },
    /// Two kinds have the same name.
    #[error("the kind {0:?} is registered twice")]
    DuplicateKind(String),
    /// Two message types claim one wire name.
    #[error(transparent)]
    DuplicateName(#[from] DuplicateName),
    /// An option of the remoting configuration is out of its range.
    #[cfg(feature = "remote")]
    #[error(transparent)]
    Config(#[from] crate::remote::ConfigError),
    /// The address to listen on could not be bound.
    #[cfg(feature = "remote")]
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl Builder {
    /// Lets peers spawn actors of type `A` under the name `kind`, built by `A::default`. Default: no
    /// kinds. See [`register`](Self::register).
    pub fn kind<A: Actor + Default>(self, kind: &str) -> Self {
        self.register(kind, Kind::new(A::default))
    }

    /// Lets peers spawn actors by the recipe given, under a name that is compared without regard to
    /// case. A name that is registered twice is an error of [`start`](Self::start).
    pub fn register(mut self, name: &str, kind: Kind) -> Self {
        if !self.kinds.add(name, kind) {
            self.duplicate_kind.get_or_insert_with(|| name.to_owned());
        }
        self
    }

    /// How long an `ask`, a confirmed `tell` and an operation on another node (lookup, spawn, stop, …)
    /// wait where they do not say. Default: 5 s.
    pub fn ask_timeout(mut self, limit: Duration) -> Self {
        self.ask_timeout = limit;
        self
    }

    /// How long [`ActorSystem::shutdown`] waits for actors to finish. Default: 30 s. Connections then have 5 s
    /// more.
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.shutdown_timeout = limit;
        self
    }

    /// Carries context along with messages. Default: none.
    pub fn context_propagator(mut self, propagator: impl ContextPropagator) -> Self {
        self.propagator = Some(Arc::new(propagator));
        self
    }

    /// Connects the system to others. Default: no remoting.
    #[cfg(feature = "remote")]
    pub fn remoting(mut self, config: crate::remote::Config) -> Self {
        self.remoting = Some(config);
        self
    }

    /// Starts the system on the tokio runtime of the caller.
    ///
    /// # Errors
    /// [`StartError`]: a name or an option is not valid, or the address cannot be listened on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing is left of the system.
    pub async fn start(self) -> Result<ActorSystem, StartError> {
        validate_system_name(&self.name)
            .map_err(|source| StartError::InvalidName { name: self.name.clone(), source })?;
        if let Some(kind) = self.duplicate_kind {
            return Err(StartError::DuplicateKind(kind));
        }
        self.kinds.check()?;
        #[cfg(feature = "remote")]
        let propagator =
            self.remoting.as_ref().and_then(|config| config.options.propagator.clone());
        #[cfg(not(feature = "remote"))]
        let propagator = None;
        let runtime = tokio::runtime::Handle::current();
        let system = ActorSystem(Arc::new(Inner {
            name: self.name,
            ticks: Ticks::new(runtime.clone()),
            runtime,
            registry: Registry::default(),
            accepts: Mutex::default(),
            outlet: Arc::default(),
            ask_timeout: self.ask_timeout,
            shutdown_timeout: self.shutdown_timeout,
            propagator: self.propagator.or(propagator),
            kinds: self.kinds,
            shutting_down: AtomicBool::new(false),
            advertised: OnceLock::new(),
            #[cfg(feature = "remote")]
            remote: OnceLock::new(),
        }));
        #[cfg(feature = "remote")]
        if let Some(config) = self.remoting {
            let node = crate::remote::Node::start(&system, config).await?;
            system.0.advertised.get_or_init(|| node.advertised());
            system.0.remote.get_or_init(|| node.clone());
            node.listen(system.clone());
        }
        Ok(system)
    }
}

/// What a shutdown left undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Messages that became dead letters during the shutdown, those of unfinished actors among them.
    pub dropped_messages: u64,
    /// Actors that had not ended when the time was up.
    pub unfinished: Vec<String>,
}

impl ActorSystem {
    /// A system called `name`: letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder {
            name: name.into(),
            kinds: Kinds::default(),
            duplicate_kind: None,
            ask_timeout: DEFAULT_ASK_TIMEOUT,
            shutdown_timeout: Duration::from_secs(30),
            propagator: None,
            #[cfg(feature = "remote")]
            remoting: None,
        }
    }

    /// The name of the system.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The host and port at which peers reach this system; `127.0.0.1` and 0 without remoting.
    pub fn advertised(&self) -> (&str, u16) {
        self.0.advertised.get().map_or(("127.0.0.1", 0), |(host, port)| (host, *port))
    }

    /// The address of an actor of this system, whether it exists or not.
    ///
    /// # Errors
    /// If `path` is not valid.
    pub fn address(&self, path: &str) -> Result<Address, AddressError> {
        let (host, port) = self.advertised();
        Address::new(path, self.name(), host, port)
    }

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
        Spawn::new(self.clone(), name.into(), factory, None)
    }

    /// The actor of this system at `path`, if there is one. See [`ActorRef::typed`] for its type.
    pub fn find(&self, path: &str) -> Option<ActorRef> {
        self.0.registry.find(path).map(|cell| ActorRef::from_target(Target::Local(cell)))
    }

    /// How many actors there are.
    pub fn actor_count(&self) -> usize {
        self.0.registry.len()
    }

    /// What peers may spawn here and send to what they spawned.
    pub fn exposed(&self) -> Vec<Exposed> {
        self.0.kinds.exposed()
    }

    /// Subscribes to the system's events from now on.
    pub fn events(&self) -> Events {
        self.0.outlet.subscribe()
    }

    /// How many messages have become dead letters so far.
    pub fn dead_letter_count(&self) -> u64 {
        self.0.outlet.dead_letter_count()
    }

    /// How long an `ask` waits where it does not say.
    pub fn ask_timeout(&self) -> Duration {
        self.0.ask_timeout
    }

    /// Shuts the system down: takes no new peers or actors, lets every actor handle what is queued,
    /// children before their parents, then closes the connections.
    ///
    /// Actors that are not done when the [time](Builder::shutdown_timeout) is up are abandoned, and
    /// the report names them. The connections have 5 s more for their last bytes. A second call waits for
    /// nothing and reports nothing.
    ///
    /// # Cancel safety
    /// If the future is dropped the system stays half shut down: nothing new starts.
    pub async fn shutdown(&self) -> ShutdownReport {
        if self.0.shutting_down.swap(true, Ordering::AcqRel) {
            return ShutdownReport::default();
        }
        let dropped_before = self.dead_letter_count();
        #[cfg(feature = "remote")]
        if let Some(node) = self.0.remote.get() {
            node.drain();
        }
        let actors = self.0.registry.top_level();
        for actor in &actors {
            actor.signal(Signal::Stop { finish: true, reason: StopReason::Shutdown });
        }
        let all_ended = async {
            for actor in &actors {
                ended(&**actor).await;
            }
        };
        let mut unfinished = Vec::new();
        if tokio::time::timeout(self.0.shutdown_timeout, all_ended).await.is_err() {
            for actor in self.0.registry.all() {
                actor.abandon(&Refusal::ShuttingDown);
                unfinished.push(actor.path().to_string());
            }
            unfinished.sort();
            tracing::warn!(?unfinished, "actors did not end in time");
        }
        #[cfg(feature = "remote")]
        if let Some(node) = self.0.remote.get() {
            node.close().await;
        }
        ShutdownReport { dropped_messages: self.dead_letter_count() - dropped_before, unfinished }
    }

    /// Waits until the process is told to end, by Ctrl-C or SIGTERM, then shuts down.
    ///
    /// # Panics
    /// If the signal handlers cannot be installed.
    ///
    /// # Cancel safety
    /// Nothing is lost while it waits; after that as [`shutdown`](Self::shutdown). Once this was
    /// called, the signals do not end the process by themselves any more.
    pub async fn until_shutdown_signal(&self) -> ShutdownReport {
        #[cfg(unix)]
        {
            let mut term =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                    .expect("a SIGTERM handler can be installed");
            tokio::select! {
                _ = term.recv() => {}
                result = tokio::signal::ctrl_c() => {
                    result.expect("a Ctrl-C handler can be installed");
                }
            }
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await.expect("a Ctrl-C handler can be installed");
        self.shutdown().await
    }
}

/// What the rest of the crate does with a system.
impl ActorSystem {
    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.0.runtime
    }

    pub(crate) fn ticks(&self) -> &Arc<Ticks> {
        &self.0.ticks
    }

    pub(crate) fn outlet(&self) -> &Arc<Outlet> {
        &self.0.outlet
    }

    pub(crate) fn next_uid(&self) -> u64 {
        // One count for the whole process: actors of two systems are told apart as well.
        static UIDS: AtomicU64 = AtomicU64::new(1);
        UIDS.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn propagator(&self) -> Option<&Arc<dyn ContextPropagator>> {
        self.0.propagator.as_ref()
    }

    pub(crate) fn address_of(&self, path: &str) -> Address {
        self.address(path).expect("the path of an actor is valid")
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.0.shutting_down.load(Ordering::Acquire)
    }

    /// The list of what actors of this type accept, made once.
    pub(crate) fn accepts_of<A: Actor>(&self) -> Result<Arc<Accepts<A>>, DuplicateName> {
        if let Some(known) = self.0.accepts.hold().get(&TypeId::of::<A>())
            && let Ok(accepts) = known.clone().downcast()
        {
            return Ok(accepts);
        }
        // The list is user code, so it is made outside of the lock.
        let accepts = Arc::new(Accepts::<A>::of_actor()?);
        self.0.accepts.hold().insert(TypeId::of::<A>(), accepts.clone());
        Ok(accepts)
    }

    pub(crate) fn register<A: Actor>(&self, cell: Arc<Cell<A>>) -> Result<(), SpawnError> {
        if !self.0.registry.add(cell.clone()) {
            return Err(SpawnError::NameTaken { name: cell.path.to_string() });
        }
        // Looked at last: a shutdown that this check does not see finds the actor in the registry.
        if self.is_shutting_down() {
            self.0.registry.remove(&*cell);
            // The shutdown may have seen it meanwhile, and wait for its end.
            cell.abandon(&Refusal::ShuttingDown);
            cell.end(&StopReason::Shutdown);
            return Err(SpawnError::ShuttingDown { name: cell.path.to_string() });
        }
        crate::metrics::actor_started();
        Ok(())
    }

    pub(crate) fn forget(&self, cell: &dyn AnyCell) {
        if self.0.registry.remove(cell) {
            crate::metrics::actor_ended();
        }
    }

    pub(crate) fn find_cell(&self, path: &str) -> Option<Arc<dyn AnyCell>> {
        self.0.registry.find(path)
    }

    pub(crate) fn kinds(&self) -> &Kinds {
        &self.0.kinds
    }

    #[cfg(feature = "remote")]
    pub(crate) fn remote_node(&self) -> Option<&Arc<crate::remote::Node>> {
        self.0.remote.get()
    }

    /// Publishes an event, which is made only if somebody listens.
    pub(crate) fn publish(&self, event: impl FnOnce() -> Event) {
        self.0.outlet.publish(event);
    }

    pub(crate) fn dead_letter(&self, letter: impl FnOnce() -> DeadLetter) {
        self.dead_letters(1, letter);
    }

    pub(crate) fn dead_letters(&self, count: u64, letter: impl FnOnce() -> DeadLetter) {
        self.0.outlet.dead_letters(count, letter);
    }

    /// Applies a decision about `failed` to all actors with the same parent.
    pub(crate) fn apply_to_siblings<A: Actor>(
        &self,
        failed: &Cell<A>,
        decision: Decision,
        fault: &Arc<str>,
    ) {
        let decision = match decision {
            // One of them tells the parent; the others just stop.
            Decision::Escalate => Decision::Stop,
            decision => decision,
        };
        match &failed.parent {
            Some(parent) => {
                let (failed, fault) = (failed.uid, fault.clone());
                parent.signal(Signal::ApplyToOthers { failed, decision, fault });
            }
            None => {
                for actor in self.0.registry.top_level() {
                    if actor.uid() != failed.uid {
                        actor.signal(Signal::Apply { decision, fault: fault.clone() });
                    }
                }
            }
        }
    }
}
