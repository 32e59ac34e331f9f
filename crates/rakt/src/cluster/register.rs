//! Where a cluster keeps its view: one document, which is read, confirmed and swapped.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rakt_cluster::register::Version;

use super::discovery::{AnyDiscovery, Discovery, DiscoveryError, Seed};
use crate::error::Cause;
use crate::events::Event;
use crate::reference::{ActorRef, Target};
use crate::sync::Mutex;
use crate::system::core::ActorSystem;

/// Keeps the view of a cluster: the one place where it is decided who is a member. Implemented by
/// [`MemoryRegister`](super::MemoryRegister) and by whoever has a linearizable store;
/// `rakt::testkit::register` tries out whether one keeps its promises.
///
/// All three operations are linearizable: each takes effect at one moment between its call and its answer, for all nodes
/// in the same order. Nothing else is asked of it: no lease, no lock, no clock.
///
/// A future that is dropped may have had its effect, or have it later.
pub trait Register: Send + Sync + 'static {
    /// Gets ready, before anything else is called. Called once, by the node that it was given to. The system is
    /// up, so that it may have actors of its own and ask those of others. Default: nothing.
    ///
    /// # Errors
    /// Then the node does not start.
    ///
    /// # Cancel safety
    /// What it has begun with when the future is dropped is for [`stop`](Self::stop) to give up.
    fn start(&self, starting: Starting) -> impl Future<Output = Result<(), RegisterError>> + Send {
        drop(starting);
        async { Ok(()) }
    }

    /// The newest view and its version; version 0 and no bytes as long as nothing was ever written.
    ///
    /// # Errors
    /// What the register said, or that it did not answer. It is asked again.
    fn read(&self) -> impl Future<Output = Result<(Version, Bytes), RegisterError>> + Send;

    /// Whether `seen` still is the newest version: as strong as [`read`](Self::read), and cheaper where it can be.
    ///
    /// # Errors
    /// What the register said, or that it did not answer. Then nothing is known.
    fn confirm(&self, seen: Version) -> impl Future<Output = Result<bool, RegisterError>> + Send {
        async move { Ok(self.read().await?.0 == seen) }
    }

    /// Replaces the view of version `over`, 0 for none at all, and returns the version of the new one: one that was never
    /// there before.
    ///
    /// # Errors
    /// [`SwapError`]: whether it was not written, or that this is not known.
    fn swap(
        &self,
        over: Version,
        view: Bytes,
    ) -> impl Future<Output = Result<Version, SwapError>> + Send;

    /// Completes when there may be a newer version than `seen`. It may do so for nothing, and miss some: it makes news
    /// travel faster, and decides nothing. Default: never.
    fn changed(&self, seen: Version) -> impl Future<Output = ()> + Send {
        let _ = seen;
        std::future::pending()
    }

    /// Gives up what it has, as the node shuts down: after that nothing more is called. Default: nothing.
    ///
    /// Called as well where its [`start`](Self::start) has failed, or was dropped before it was done since it took too long or the
    /// start of the system was given up.
    fn stop(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Whoever starts a node may keep its register, for what that can do besides.
impl<R: Register> Register for Arc<R> {
    fn start(&self, starting: Starting) -> impl Future<Output = Result<(), RegisterError>> + Send {
        R::start(self, starting)
    }

    fn read(&self) -> impl Future<Output = Result<(Version, Bytes), RegisterError>> + Send {
        R::read(self)
    }

    fn confirm(&self, seen: Version) -> impl Future<Output = Result<bool, RegisterError>> + Send {
        R::confirm(self, seen)
    }

    fn swap(
        &self,
        over: Version,
        view: Bytes,
    ) -> impl Future<Output = Result<Version, SwapError>> + Send {
        R::swap(self, over, view)
    }

    fn changed(&self, seen: Version) -> impl Future<Output = ()> + Send {
        R::changed(self, seen)
    }

    fn stop(&self) -> impl Future<Output = ()> + Send {
        R::stop(self)
    }
}

/// What a register is given to start with.
#[derive(Clone)]
pub struct Starting {
    /// The system of the node, whose remoting is up.
    pub system: ActorSystem,
    pub(crate) discovery: Arc<dyn AnyDiscovery>,
    pub(super) needed: Needed,
    pub(super) limit: Option<Duration>,
}

/// The numbers of actors that a register needs until it is stopped.
pub(super) type Needed = Arc<Mutex<HashSet<u64>>>;

impl Starting {
    /// For who starts a register without a cluster, such as the tests of one.
    pub fn new(system: ActorSystem, discovery: impl Discovery) -> Self {
        let (needed, limit) = Default::default();
        Self { system, discovery: Arc::new(discovery), needed, limit }
    }

    /// How long the node waits for the register to start, where that was [said](super::Config::join_timeout): a register
    /// that gives up by then can say what it has waited for.
    pub fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// From now on only [members](super::Config::members) of the cluster reach the actor at this path, and those below it; others
    /// are denied that as by the policy, and no peer ends it. For a register that lives in the nodes, before it spawns what others
    /// ask.
    pub fn only_for_members(&self, path: &str) {
        if let Some(remoting) = self.system.remoting() {
            remoting.only_for_members(path);
        }
    }

    /// Tells whoever operates the node that a person has to look at the register: in the log, as an error, and by
    /// [`Event::ClusterAlarm`](crate::Event::ClusterAlarm).
    pub fn alarm(&self, what: impl Into<String>) {
        let what = what.into();
        tracing::error!(node = %self.system.name(), "the register: {what}");
        self.system.publish(|| Event::ClusterAlarm { what });
    }

    /// The register needs an actor until it is stopped: when the system shuts down, it does not end with the others, which
    /// may need the register. It is for [`Register::stop`] to end it.
    pub fn needs<A>(&self, actor: &ActorRef<A>) {
        if let Target::Local(cell) = actor.target() {
            self.needed.lock().insert(cell.uid());
        }
    }

    /// Addresses of nodes to ask, as [configured](super::Discovery).
    ///
    /// # Errors
    /// The discovery failed.
    pub async fn find(&self) -> Result<Vec<Seed>, DiscoveryError> {
        self.discovery.find().await
    }
}

impl std::fmt::Debug for Starting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Starting").field("system", &self.system).finish_non_exhaustive()
    }
}

/// A register did not do what it was asked, or may have.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the register of the cluster failed")]
#[non_exhaustive]
pub struct RegisterError {
    /// What it said.
    pub source: Cause,
}

impl RegisterError {
    /// With what went wrong.
    pub fn new(source: impl Into<crate::BoxError>) -> Self {
        Self { source: Cause::new(source) }
    }
}

/// Why a view was not replaced, or may not have been.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwapError {
    /// Another version was there: it was not replaced, and never will be.
    #[error("there is another view")]
    Conflict,
    /// It may have been replaced, may be yet, or never.
    #[error("whether the view was replaced is not known")]
    Unknown(#[source] RegisterError),
}

/// A register that starts. Unless it does, it is stopped, in a task of its own.
pub(super) struct Beginning {
    register: Option<Arc<dyn AnyRegister>>,
    runtime: tokio::runtime::Handle,
}

impl Beginning {
    pub(super) fn new(register: &Arc<dyn AnyRegister>, runtime: &tokio::runtime::Handle) -> Self {
        Self { register: Some(register.clone()), runtime: runtime.clone() }
    }

    /// It has started.
    pub(super) fn done(mut self) {
        self.register = None;
    }

    /// It has not: waits until it has stopped, for so long at most.
    pub(super) async fn failed(mut self, limit: Duration) {
        if let Some(stopping) = self.stop() {
            // One that panics has stopped as well.
            drop(tokio::time::timeout(limit, stopping).await);
        }
    }

    fn stop(&mut self) -> Option<tokio::task::JoinHandle<()>> {
        let register = self.register.take()?;
        Some(self.runtime.spawn(async move { register.stop().await }))
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

pub(crate) type Registering<'a, T, E = RegisterError> =
    Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// A register whose type is not known any more.
pub(crate) trait AnyRegister: Send + Sync {
    fn start(&self, starting: Starting) -> Registering<'_, ()>;
    fn read(&self) -> Registering<'_, (Version, Bytes)>;
    fn confirm(&self, seen: Version) -> Registering<'_, bool>;
    fn swap(&self, over: Version, view: Bytes) -> Registering<'_, Version, SwapError>;
    fn changed(&self, seen: Version) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl<R: Register> AnyRegister for R {
    fn start(&self, starting: Starting) -> Registering<'_, ()> {
        Box::pin(Register::start(self, starting))
    }

    fn read(&self) -> Registering<'_, (Version, Bytes)> {
        Box::pin(Register::read(self))
    }

    fn confirm(&self, seen: Version) -> Registering<'_, bool> {
        Box::pin(Register::confirm(self, seen))
    }

    fn swap(&self, over: Version, view: Bytes) -> Registering<'_, Version, SwapError> {
        Box::pin(Register::swap(self, over, view))
    }

    fn changed(&self, seen: Version) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(Register::changed(self, seen))
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(Register::stop(self))
    }
}
