//! The actor system: what actors live in.
//!
//! - `addresses`: messages by address, and references that arrive as data
//! - `core`: a system as its actors need it
//! - `exposed`: all that peers can reach in it

mod addresses;
pub(crate) mod core;
mod exposed;

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use rakt_wire::{AddressError, validate_system_name};

use crate::actor::Actor;
use crate::call_options::{CallOptions, DEFAULT_ASK_TIMEOUT, next_reader};
#[cfg(feature = "_tls")]
use crate::error::tls::TlsError;
use crate::error::{BoxError, Refusal};
use crate::events::StopReason;
use crate::kind::Kind;
use crate::message::DuplicateName;
use crate::portable::resolve_by;
use crate::propagate::ContextPropagator;
use crate::reference::{AnyCell, ended};
use crate::registry::Registry;
use crate::signal::Signal;
use crate::stuck::LOOK;
use crate::sync::Mutex;
use crate::ticks::Ticks;
use crate::watchdog;

pub use core::{ActorSystem, ExposedKind, GrainReport, ShutdownReport};
use core::{GrainFault, Grains, Inner, Kinds, Progress};
pub use exposed::{Exposed, ExposedActors, ExposedGrains};

/// What a system is to be, before it starts.
#[must_use = "a system is there once this was started"]
pub struct SystemBuilder {
    name: String,
    kinds: Kinds,
    pub(crate) grains: Grains,
    pub(crate) duplicate_kind: Option<String>,
    ask_timeout: Duration,
    shutdown_timeout: Duration,
    propagator: Option<Arc<dyn ContextPropagator>>,
    pub(crate) remoting: Attached,
    /// What it joins, once it can be reached.
    pub(crate) cluster: Attached,
}

/// How a system is to be connected to others.
pub(crate) trait RemotingConfig: Send + Sync {
    /// Connects the system.
    fn start(self: Box<Self>, system: ActorSystem) -> Connecting;
}

/// What connects a system to others, if anything is to.
pub(crate) type Attached = Option<Box<dyn RemotingConfig>>;

pub(crate) type Connecting = Pin<Box<dyn Future<Output = Result<(), StartError>> + Send>>;

impl fmt::Debug for SystemBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemBuilder").field("name", &self.name).finish_non_exhaustive()
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
    /// The name of a kind is not valid.
    #[error("a kind cannot be registered")]
    InvalidKind {
        /// What is wrong with its name.
        source: AddressError,
    },
    /// Two kinds have the same name.
    #[error("the kind {0:?} is registered twice")]
    DuplicateKind(String),
    /// Two message types claim one wire name.
    #[error(transparent)]
    DuplicateName(#[from] DuplicateName),
    /// An option of the remoting configuration is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificates or the key of this node cannot be used.
    #[cfg(feature = "_tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The tokio runtime has no timers, by which every wait of a system is limited.
    #[error("the runtime has no timers: build it with `enable_time` or `enable_all`")]
    NoTimers,
    /// The node did not become a member of its cluster.
    #[error("the node did not join its cluster")]
    Cluster {
        /// Why not.
        source: BoxError,
    },
    /// The address to listen on could not be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// An option is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} is {value}, but must be {allowed}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The option.
    pub option: &'static str,
    /// Its value.
    pub value: String,
    /// What is allowed.
    pub allowed: &'static str,
}

impl SystemBuilder {
    /// Lets peers spawn actors of type `A` under the name `kind`, built by `A::default`. Default: no
    /// kinds. See [`register`](Self::register).
    pub fn kind<A: Actor + Default>(self, kind: &str) -> Self {
        self.register(kind, Kind::new(A::default))
    }

    /// Lets peers spawn actors by the recipe given, under a name that is compared without regard to
    /// case. A name that is registered twice is an error of [`start`](Self::start), and so is one that holds
    /// a control character.
    pub fn register(mut self, name: &str, kind: Kind) -> Self {
        if !self.kinds.add(name, Box::new(kind)) {
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

    /// Starts the system on the tokio runtime of the caller.
    ///
    /// # Errors
    /// [`StartError`]: a name or an option is not valid, or the address cannot be listened on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing is left of the system; one that was about to join a cluster shuts down in a task of
    /// its own.
    pub async fn start(self) -> Result<ActorSystem, StartError> {
        crate::metrics::describe();
        validate_system_name(&self.name)
            .map_err(|source| StartError::InvalidName { name: self.name.clone(), source })?;
        if let Some(kind) = &self.duplicate_kind {
            return Err(StartError::DuplicateKind(kind.clone()));
        }
        self.kinds.check_names().map_err(|source| StartError::InvalidKind { source })?;
        self.kinds.check()?;
        for (name, grains) in &self.grains {
            grains.check().map_err(|fault| match fault {
                GrainFault::Name(source) => StartError::InvalidKind { source },
                GrainFault::DuplicateName(duplicate) => duplicate.into(),
                GrainFault::StoreOfMany => {
                    let (option, allowed) = ("consistency", "Consistent for a kind with a store");
                    let value = format!("Available for the kind {name:?}, which has a store");
                    ConfigError { option, value, allowed }.into()
                }
            })?;
        }
        let runtime = tokio::runtime::Handle::current();
        if std::panic::catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_err() {
            return Err(StartError::NoTimers);
        }
        let (remoting, cluster, system) = self.assemble(runtime);
        if let Some(config) = remoting {
            config.start(system.clone()).await?;
        }
        if let Some(cluster) = cluster {
            // The lists of messages are user code: they are asked for now, and not as grains come to live here.
            for grains in system.0.grains.values() {
                let _ = grains.accepted(&system, "");
            }
            let joining = Joining(Some(system.clone()));
            let joined = cluster.start(system.clone()).await;
            joining.done();
            if joined.is_err() {
                system.shutdown().await;
            }
            joined?;
        }
        for grains in system.0.grains.values() {
            grains.clone().begin(&system);
        }
        let inner = Arc::downgrade(&system.0);
        watchdog::look_after(inner);
        end_with_runtime(&system);
        Ok(system)
    }

    /// The system on its own: not connected, and nobody looks after it.
    pub(crate) fn assemble(
        self,
        runtime: tokio::runtime::Handle,
    ) -> (Attached, Attached, ActorSystem) {
        let call_options = CallOptions {
            ask_timeout: self.ask_timeout,
            propagator: self.propagator,
            ticks: Ticks::new(runtime.clone()),
            reader: next_reader(),
        };
        let system = ActorSystem(Arc::new(Inner {
            name: self.name,
            looks: Ticks::every(LOOK, runtime.clone()),
            runtime,
            registry: Registry::default(),
            classes: Mutex::default(),
            outlet: Arc::default(),
            call_options: Arc::new(call_options),
            shutdown_timeout: self.shutdown_timeout,
            kinds: self.kinds,
            grains: self.grains,
            shutting_down: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            progress: tokio::sync::watch::Sender::new(Progress::Running),
            advertised: OnceLock::new(),
            remoting: OnceLock::new(),
            cluster: OnceLock::new(),
            is_clustered: self.cluster.is_some(),
        }));
        let inner: Weak<Inner> = Arc::downgrade(&system.0);
        resolve_by(system.call_options(), inner);
        (self.remoting, self.cluster, system)
    }
}

impl ActorSystem {
    /// A system called `name`: letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
    pub fn builder(name: impl Into<String>) -> SystemBuilder {
        SystemBuilder {
            name: name.into(),
            kinds: Kinds::default(),
            grains: Grains::new(),
            duplicate_kind: None,
            ask_timeout: DEFAULT_ASK_TIMEOUT,
            shutdown_timeout: Duration::from_secs(30),
            propagator: None,
            remoting: None,
            cluster: None,
        }
    }

    /// Shuts the system down: takes no new peers or actors, lets every actor handle what is queued,
    /// children before their parents, then closes the connections.
    ///
    /// Messages and requests that were on their way when peers heard of it are handled or refused: their
    /// senders know which. Peers have 2 s, once the actors have ended, to say that they have sent their last,
    /// and as long to answer requests that were sent from here.
    ///
    /// Actors that are not done when the [time](SystemBuilder::shutdown_timeout) is up are abandoned, and
    /// the report names them. The connections have 5 s more for their last bytes. A second call waits for
    /// nothing and reports nothing.
    ///
    /// # Cancel safety
    /// If the future is dropped the system stays half shut down: nothing new starts.
    pub async fn shutdown(&self) -> ShutdownReport {
        if self.0.shutting_down.swap(true, Ordering::AcqRel) {
            return ShutdownReport::default();
        }
        let mut progress = Ending { system: self, report: ShutdownReport::default() };
        self.0.progress.send_replace(Progress::Ending);
        let dropped_before = self.dead_letter_count();
        let until = tokio::time::Instant::now() + self.0.shutdown_timeout;
        let actors_ended = async {
            let mut actors = self.0.registry.top_level();
            let is_needed = |uid| self.cluster().is_some_and(|cluster| cluster.needs(uid));
            actors.retain(|actor| !is_needed(actor.uid()));
            stop_all(actors.iter().map(|actor| &**actor as &dyn AnyCell)).await;
        };
        let mut actors_ended = std::pin::pin!(actors_ended);
        let mut have_ended = false;
        if let Some(cluster) = self.cluster() {
            // Actors first, which may need grains on whichever node; then its grains go elsewhere. Peers may say what they
            // have to until then: the cluster speaks over the same connections.
            have_ended = tokio::time::timeout_at(until, actors_ended.as_mut()).await.is_ok();
            if tokio::time::timeout_at(until, cluster.leave()).await.is_err() {
                tracing::warn!(
                    "the node has not left its cluster in time: others will find it dead"
                );
            }
            cluster.stop().await;
        }
        if let Some(node) = self.remoting() {
            node.drain();
        }
        // Grains last, since the others may still need them; again and again, since they may need each other.
        let all_ended = async {
            if !have_ended {
                actors_ended.await;
            }
            let left = self.0.registry.top_level();
            stop_all(left.iter().map(|actor| &**actor as &dyn AnyCell)).await;
            loop {
                let living = self.0.grains.values().flat_map(|kind| kind.living());
                let living: Vec<_> = living.collect();
                if living.is_empty() {
                    break;
                }
                stop_all(living.iter().map(|grain| &**grain)).await;
            }
        };
        let mut unfinished = Vec::new();
        if tokio::time::timeout_at(until, all_ended).await.is_err() {
            for actor in self.0.registry.all() {
                actor.abandon(&Refusal::ShuttingDown);
                unfinished.push(actor.path().to_string());
            }
            unfinished.sort();
            tracing::warn!(?unfinished, "actors did not end in time");
        }
        if let Some(node) = self.remoting() {
            node.close().await;
        }
        self.0.is_over.store(true, Ordering::Release);
        let dropped_messages = self.dead_letter_count() - dropped_before;
        progress.report = ShutdownReport { dropped_messages, unfinished };
        progress.report.clone()
    }

    /// Completes once a shutdown has begun, whoever asked for it: for what is to end together with the
    /// system, such as a web server.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub fn shutdown_begun(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut progress = self.0.progress.subscribe();
        async move {
            // The sender is gone with the system.
            let _ = progress.wait_for(|progress| *progress != Progress::Running).await;
        }
    }

    /// Waits until the process is told to end, by Ctrl-C or SIGTERM, then shuts down. Where somebody else asks for
    /// the shutdown before that, this waits for its end and has the same report.
    ///
    /// # Panics
    /// If the signal handlers cannot be installed.
    ///
    /// # Cancel safety
    /// Nothing is lost while it waits; after that as [`shutdown`](Self::shutdown). Once this was
    /// called, the signals do not end the process by themselves any more.
    pub async fn until_shutdown_signal(&self) -> ShutdownReport {
        let mut progress = self.0.progress.subscribe();
        tokio::select! {
            () = told_to_end() => drop(self.shutdown().await),
            () = self.shutdown_begun() => {}
        }
        let is_over = |progress: &Progress| matches!(progress, Progress::Over(_));
        match progress.wait_for(is_over).await.as_deref() {
            Ok(Progress::Over(report)) => report.clone(),
            _ => ShutdownReport::default(),
        }
    }
}

/// A system that is about to be a member of a cluster. Dropped before it is, it shuts down.
struct Joining(Option<ActorSystem>);

impl Joining {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        if let Some(system) = self.0.take() {
            let runtime = system.runtime().clone();
            runtime.spawn(async move { system.shutdown().await });
        }
    }
}

/// Has the system end with its runtime, whose tasks are gone then without a word: nobody would ever be answered.
fn end_with_runtime(system: &ActorSystem) {
    let (runs, mut progress) = (Runs(Arc::downgrade(&system.0)), system.0.progress.subscribe());
    system.runtime().spawn(async move {
        let mut runs = runs;
        // An error: the system is gone.
        let _ = progress.wait_for(|progress| matches!(progress, Progress::Over(_))).await;
        runs.0 = Weak::new();
    });
}

/// A system that has not ended. Dropped before it has, it was its runtime that did.
struct Runs(Weak<Inner>);

impl Drop for Runs {
    fn drop(&mut self) {
        let Some(system) = self.0.upgrade().map(ActorSystem) else { return };
        tracing::info!(
            system = system.name(),
            "the runtime that the system was started in has ended, and the system with it"
        );
        system.0.shutting_down.store(true, Ordering::Release);
        let mut ending = Ending { system: &system, report: ShutdownReport::default() };
        for actor in system.0.registry.all() {
            actor.abandon(&Refusal::ShuttingDown);
            ending.report.unfinished.push(actor.path().to_owned());
        }
        ending.report.unfinished.sort();
        system.0.is_over.store(true, Ordering::Release);
    }
}

/// Has actors handle what is queued, and waits for their end.
async fn stop_all(actors: impl Iterator<Item = &dyn AnyCell> + Clone) {
    for actor in actors.clone() {
        actor.signal(Signal::Stop { finish: true, reason: StopReason::Shutdown });
    }
    for actor in actors {
        ended(actor).await;
    }
}

/// Completes when the process is told to end.
async fn told_to_end() {
    #[cfg(unix)]
    {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .expect("a SIGTERM handler can be installed");
        tokio::select! {
            _ = term.recv() => {}
            result = tokio::signal::ctrl_c() => result.expect("a Ctrl-C handler can be installed"),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.expect("a Ctrl-C handler can be installed");
}

/// A shutdown under way. However it ends, those who wait for its end hear of it.
struct Ending<'a> {
    system: &'a ActorSystem,
    report: ShutdownReport,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.system.0.outlet.close();
        self.system.0.progress.send_replace(Progress::Over(std::mem::take(&mut self.report)));
    }
}
