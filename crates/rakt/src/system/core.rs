//! A system as its actors need it: names, events, and what holds for all of them.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rakt_wire::{Address, AddressError, MAX_TYPE_LEN, SpawnArgument, validate_text};
use tokio::sync::watch;

use crate::call_options::CallOptions;
use crate::error::{Cause, Refusal};
use crate::events::{DeadLetter, Event, Events, Outlet};
use crate::grain::placement::Placement;
use crate::grain::{Epoch, GrainId};
use crate::hosting::{Hosting, May};
use crate::mailbox::arrivals::Reachable;
use crate::message::DuplicateName;
use crate::message::allowance::Room;
use crate::peer::{Identity, Peer};
use crate::portable::PortableRef;
use crate::propagate::ContextPropagator;
use crate::reference::{ActorRef, AnyCell, Life, Target};
use crate::registry::Registry;
use crate::signal::Signal;
use crate::supervision::{Decision, Supervision};
use crate::sync::Mutex;
use crate::ticks::Ticks;
use crate::watchdog::Ward;

/// A system of actors: it names them, starts them, and, with remoting, connects them to others.
///
/// Cheap to clone. It lives until [`shutdown`](Self::shutdown), even if every handle is dropped.
///
/// ```
/// use rakt::prelude::*;
///
/// # #[derive(Default)] struct Worker; impl Actor for Worker {}
/// # #[tokio::main] async fn main() -> Result {
/// let system = ActorSystem::builder("shop").start().await?;
/// let worker = system.spawn("worker", Worker::default).await?;
///
/// // By its name, from anywhere in the process.
/// let found = system.find("worker").and_then(|found| found.typed::<Worker>());
/// assert_eq!(found, Some(worker));
///
/// let report = system.shutdown().await;
/// assert!(report.unfinished.is_empty());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ActorSystem(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) name: String,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) registry: Registry,
    /// What the actors of each type have in common.
    pub(crate) classes: Mutex<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) call_options: Arc<CallOptions>,
    /// Has handlers that wait looked at now and then.
    pub(crate) looks: Arc<Ticks>,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) kinds: Kinds,
    pub(crate) grains: Grains,
    pub(crate) shutting_down: AtomicBool,
    /// The shutdown is over.
    pub(crate) is_over: AtomicBool,
    pub(crate) progress: watch::Sender<Progress>,
    /// Where peers reach this node; nowhere without remoting.
    pub(crate) advertised: OnceLock<(String, u16)>,
    pub(crate) remoting: OnceLock<Arc<dyn Remoting>>,
    pub(crate) cluster: OnceLock<Arc<dyn Clustering>>,
    /// It is in a cluster, or about to be: no grain lives here that was not granted.
    pub(crate) is_clustered: bool,
}

/// How far a system is with its shutdown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Running,
    Ending,
    Over(ShutdownReport),
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

/// The kinds of grains that live here, by name.
pub(crate) type Grains = BTreeMap<&'static str, Arc<dyn GrainHost>>;

/// A kind of grains that live here.
#[allow(dead_code, reason = "for the remote half, which is a feature")]
pub(crate) trait GrainHost: Any + Send + Sync {
    /// Checks what can be wrong with it: its name, and those of its messages.
    fn check(&self) -> Result<(), GrainFault>;
    /// What peers may send to such grains.
    fn wire_names(&self) -> Vec<&'static str>;
    /// The number of a message among those that peers may send to such grains.
    fn accepted(&self, system: &ActorSystem, wire_name: &str) -> Option<u16>;
    /// The activation of a grain that takes in messages, which is not the one of that number; one is begun where there is
    /// none, once there is room for it.
    fn enter(self: Arc<Self>, system: &ActorSystem, key: &str, closed: Option<u64>) -> Entering;
    /// Brings a grain to life, if it does not live, and waits until it does.
    fn activate(&self, system: &ActorSystem, key: &str) -> Activating;
    /// Has a grain end, wherever it lives, and waits for that.
    fn deactivate(&self, system: &ActorSystem, key: &str) -> Activating;
    /// Has go on to its next life what the last one of a grain has left; `token` is there until that has.
    fn pass_on(self: Arc<Self>, system: &ActorSystem, key: &str, ended: Life, token: Token);
    /// Looks after its grains from now on.
    fn begin(self: Arc<Self>, system: &ActorSystem);
    /// What passes messages of peers on to a grain of a cluster, wherever it lives.
    fn relay(self: Arc<Self>, system: &ActorSystem, key: &str) -> Option<Arc<dyn Reachable>>;
    /// Where such grains are placed in a cluster, and the role that a node needs for it.
    fn placing(&self) -> (Placement, Option<String>);
    /// Whether they live on while their node is cut off from its cluster, and may have several lives then.
    fn are_available(&self) -> bool;
    /// Brings a grain to life that the cluster has granted to this node. What comes of it is told to the cluster.
    fn admit(self: Arc<Self>, system: &ActorSystem, granted: Granted);
    /// Ends all activations at once, without their code: they may live elsewhere. Not so those that may do that.
    fn evict(&self, refusal: &Refusal);
    /// Forgets where grains were found, if that was on a run of a node of which this says so.
    fn forget_routes(&self, is_gone: &dyn Fn([u8; 16]) -> bool);
    /// The activations that live now, or are about to.
    fn living(&self) -> Vec<Arc<dyn AnyCell>>;
    /// The same, with what they are.
    fn lives(&self) -> Vec<GrainLife>;
    /// How many of those there are.
    fn count(&self) -> u64;
    /// What there is to know of it.
    fn report(&self) -> GrainReport;
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// What the path begins with of the actor that hears what other members of the cluster say; no other actor has it as its
/// name.
pub(crate) const CLUSTER: &str = "cluster";
/// Its whole path.
#[allow(dead_code, reason = "for the remote half, which is a feature")]
pub(crate) const MEMBER: &str = "cluster/member";

/// A grain that a cluster has granted to this node.
#[allow(dead_code, reason = "for clusters, which are a feature")]
pub(crate) struct Granted {
    pub(crate) key: Arc<str>,
    pub(crate) epoch: Epoch,
    /// Whether it may run at the moment.
    pub(crate) hosting: Arc<Hosting>,
}

/// A life of a grain, and its epoch.
pub(crate) type GrainLife = (GrainId, Epoch, Arc<dyn AnyCell>);

/// What a cluster does for the grains of its nodes.
#[allow(dead_code, reason = "for clusters, which are a feature")]
pub(crate) trait Clustering: Any + Send + Sync {
    /// Whether grains may run here at the moment.
    fn may(&self) -> May;
    /// Where a grain lives: it is brought to life where it does not. It is of no use where it was found before, as `refused`.
    fn find(self: Arc<Self>, grain: &GrainId, refused: Option<Refused>) -> Finding;
    /// Completes when grains may run here again.
    fn until_hosting(self: Arc<Self>) -> Activating;
    /// Where a grain lives, if it does.
    fn look(self: Arc<Self>, grain: &GrainId) -> Locating;
    /// Whether that run of a node hosts nothing any more, by the newest view.
    fn is_gone(&self, run: [u8; 16]) -> bool;
    /// Something is passed on from here to other nodes: this one does not leave as long as what is returned is there.
    fn passing_on(self: Arc<Self>) -> Token;
    /// A grain lives that was granted.
    fn started(&self, grain: &GrainId, epoch: Epoch, uid: u64);
    /// It did not come to life.
    fn failed(&self, grain: &GrainId, epoch: Epoch, why: &Cause);
    /// A life is over, and all that it has saved is saved.
    fn ended(&self, grain: &GrainId, epoch: Epoch);
    /// A store has seen this epoch, later than one that was granted.
    fn superseded(&self, by: Epoch);
    /// Whether it is for this node to see to a grain that does not live.
    fn is_owner(&self, grain: &GrainId) -> bool;
    /// Claims a name in the cluster for an actor that is about to start, and that is to run only while the node may host it.
    /// What that has is given back when it has ended.
    fn claim(self: Arc<Self>, name: &str, actor: Arc<dyn AnyCell>) -> Claiming;
    /// Whether it needs an actor until it has left.
    fn needs(&self, uid: u64) -> bool;
    /// Hands over what lives here, and leaves the cluster.
    fn leave(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Ends all that this has going on, whether the node has left or not.
    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// A life that has not taken what was sent to it.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "for clusters, which are a feature")]
pub(crate) struct Refused {
    pub(crate) life: Life,
    /// Its node has said that it is over; else it could not be reached.
    pub(crate) ended: bool,
}

/// Where a grain lives.
#[allow(dead_code, reason = "for clusters, which are a feature")]
pub(crate) enum Whereabouts {
    Here,
    There(ActorRef),
}

/// A name that is being claimed.
pub(crate) type Claiming = Pin<Box<dyn Future<Output = Result<Arc<Hosting>, Unclaimed>> + Send>>;

/// Why a name was not claimed.
#[cfg_attr(
    not(feature = "cluster"),
    expect(dead_code, reason = "there are such names in clusters")
)]
pub(crate) enum Unclaimed {
    /// It is taken: where, if that is another node.
    Taken(Option<Address>),
    Refused(Refusal),
    /// The cluster did not say within this time.
    Late(Duration),
}

impl From<Refusal> for Unclaimed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A grain that is being looked for.
pub(crate) type Finding = Pin<Box<dyn Future<Output = Result<Whereabouts, Refusal>> + Send>>;

/// Is there for as long as something lasts.
pub(crate) type Token = Arc<dyn Any + Send + Sync>;

/// A grain that is looked for, and not brought to life.
pub(crate) type Locating =
    Pin<Box<dyn Future<Output = Result<Option<Whereabouts>, Refusal>> + Send>>;

/// A grain about to take in messages.
pub(crate) type Entering =
    Pin<Box<dyn Future<Output = Result<Arc<dyn Reachable>, Refusal>> + Send>>;

/// A grain that is brought to life, or to its end.
pub(crate) type Activating = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// What is wrong with a kind of grains.
pub(crate) enum GrainFault {
    Name(AddressError),
    DuplicateName(DuplicateName),
    /// It has a store, and its grains may have several lives.
    StoreOfMany,
}

/// The grains of one kind in this process, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrainReport {
    /// The name of the kind.
    pub kind: &'static str,
    /// How many live: from the first message to the end of `passivate`.
    pub active: usize,
    /// How many may live at once.
    pub limit: usize,
    /// How many activations there were since the start.
    pub activations: u64,
    /// How many of those failed.
    pub failures: u64,
    /// The keys of those that live, in no order.
    pub keys: Vec<String>,
}

/// Tells members of a cluster from other peers.
pub(crate) type Members = Box<dyn Fn(&Peer) -> bool + Send + Sync>;

/// What connects a system to other nodes.
#[allow(dead_code, reason = "for the remote half, which is a feature")]
pub(crate) trait Remoting: Any + Send + Sync {
    /// A reference to whoever has the address.
    fn actor(&self, address: &Address) -> ActorRef;
    /// A reference to what is meant, on another node.
    fn reference(&self, portable: &PortableRef) -> ActorRef;
    /// Tells this start of the node from others.
    fn incarnation(&self) -> [u8; 16];
    /// Only those peers reach the actor that hears other members of the cluster, and others that are for members.
    fn hear_members(&self, are: Members);
    /// From now on an actor, and all below it, is for members.
    fn only_for_members(&self, path: &str);
    /// Takes no more connections, and tells peers to send nothing new.
    fn drain(&self);
    /// Closes all connections, after what is buffered is written.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Helps connections that are held up by handlers which block; see [`Ward::help`].
    fn help(&self, stands_for: Option<Duration>);
    /// What peers may do, to be printed.
    fn policy(&self) -> String;
    /// What this node is known by to its peers, where it proves that.
    fn known_as(&self) -> Option<Identity>;
    fn as_any(&self) -> &dyn Any;
}

/// How actors of a kind are started for peers.
#[allow(dead_code, reason = "for the remote half, which is a feature")]
pub(crate) trait Recipe: Send + Sync {
    fn spawn(
        &self,
        system: ActorSystem,
        path: String,
        kind: (Arc<str>, Arc<Lease>),
        argument: Option<Argument<'_>>,
        changes: Changes,
    ) -> Spawned;
    /// What peers may send to such actors.
    fn wire_names(&self) -> Result<Vec<&'static str>, DuplicateName>;
    /// The wire name of the argument that it takes.
    fn argument_name(&self) -> Option<&'static str>;
}

/// The argument of a spawn, and room for what it becomes when it is decoded, where a peer gave it.
#[allow(dead_code, reason = "for the remote half, which is a feature")]
pub(crate) struct Argument<'a> {
    pub(crate) argument: SpawnArgument,
    pub(crate) room: Option<&'a dyn Room>,
}

/// What a peer wants of one actor otherwise than its kind has it.
#[derive(Default)]
#[allow(dead_code, reason = "for the remote half, which is a feature")]
pub(crate) struct Changes {
    pub(crate) supervision: Option<Supervision>,
    /// [`Duration::MAX`]: never.
    pub(crate) passivate_after: Option<Duration>,
}

/// An actor that is being started for a peer.
pub(crate) type Spawned = Pin<Box<dyn Future<Output = Result<Arc<dyn Reachable>, Refusal>> + Send>>;

impl fmt::Debug for ActorSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = self.advertised();
        f.debug_struct("ActorSystem")
            .field("name", &self.0.name)
            .field("at", &format_args!("{host}:{port}"))
            .finish_non_exhaustive()
    }
}

impl ActorSystem {
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

    /// The actor of this system at `path`, if there is one. See [`ActorRef::typed`] for its type.
    pub fn find(&self, path: &str) -> Option<ActorRef> {
        self.0.registry.find(path).map(|cell| ActorRef::from_target(Target::Local(cell)))
    }

    /// How many actors there are.
    pub fn actor_count(&self) -> usize {
        self.0.registry.len()
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
        self.0.call_options.ask_timeout
    }
}

/// What the rest of the crate does with a system.
impl ActorSystem {
    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.0.runtime
    }

    pub(crate) fn ticks(&self) -> &Arc<Ticks> {
        &self.0.call_options.ticks
    }

    pub(crate) fn looks(&self) -> &Arc<Ticks> {
        &self.0.looks
    }

    /// The handler of an actor waits for so long by now.
    pub(crate) fn tell_stuck(&self, path: &str, message: &'static str, stuck_for: Duration) {
        let outlet = self.outlet();
        if outlet.actor_log.allows("an actor is stuck", path) {
            tracing::warn!(actor = %path, message_type = message, ?stuck_for, "an actor is stuck");
        }
        let (path, message) = (path.to_owned(), message.to_owned());
        outlet.publish(|| Event::ActorStuck { path, message, stuck_for });
    }

    pub(crate) fn call_options(&self) -> &Arc<CallOptions> {
        &self.0.call_options
    }

    /// What this node does in a cluster, if it is in one.
    pub(crate) fn cluster(&self) -> Option<&Arc<dyn Clustering>> {
        self.0.cluster.get()
    }

    pub(crate) fn remoting(&self) -> Option<&Arc<dyn Remoting>> {
        self.0.remoting.get()
    }

    /// Tells this start of the node from others; without remoting nobody asks.
    pub(crate) fn incarnation(&self) -> [u8; 16] {
        self.remoting().map_or([0; 16], |node| node.incarnation())
    }

    pub(crate) fn next_uid(&self) -> u64 {
        // One count for the whole process: actors of two systems are told apart as well.
        static UIDS: AtomicU64 = AtomicU64::new(1);
        UIDS.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn propagator(&self) -> Option<&Arc<dyn ContextPropagator>> {
        self.0.call_options.propagator.as_ref()
    }

    pub(crate) fn address_of(&self, path: &str) -> Address {
        self.address(path).expect("the path of an actor is valid")
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.0.shutting_down.load(Ordering::Acquire)
    }

    pub(crate) fn forget(&self, cell: &dyn AnyCell) {
        if self.0.registry.remove(cell) {
            crate::metrics::actor_ended();
        }
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
    pub(crate) fn apply_to_siblings(
        &self,
        failed: &dyn AnyCell,
        parent: Option<&Arc<dyn AnyCell>>,
        decision: Decision,
        cause: &Cause,
    ) {
        let decision = match decision {
            // One of them tells the parent; the others just stop.
            Decision::Escalate => Decision::Stop,
            decision => decision,
        };
        match parent {
            Some(parent) => {
                let (failed, cause) = (failed.uid(), cause.clone());
                parent.signal(Signal::ApplyToOthers { failed, decision, cause });
            }
            // Grains have nothing to do with each other.
            None if failed.path().contains('/') => {}
            None => {
                for actor in self.0.registry.top_level() {
                    if actor.uid() != failed.uid() {
                        actor.signal(Signal::Apply { decision, cause: cause.clone() });
                    }
                }
            }
        }
    }
}

/// What the remote half does with a system.
#[allow(dead_code, reason = "for the remote half, which is a feature")]
impl ActorSystem {
    /// From now on there are other nodes.
    pub(crate) fn connect(&self, advertised: (String, u16), remoting: Arc<dyn Remoting>) {
        self.0.advertised.get_or_init(|| advertised);
        self.0.remoting.get_or_init(|| remoting);
    }

    pub(crate) fn outlet(&self) -> &Arc<Outlet> {
        &self.0.outlet
    }

    pub(crate) fn find_cell(&self, path: &str) -> Option<Arc<dyn Reachable>> {
        self.0.registry.find(path)
    }

    pub(crate) fn kinds(&self) -> &Kinds {
        &self.0.kinds
    }
}

/// What the watchdog does with a system.
impl Ward for Inner {
    fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn help(&self, stands_for: Option<Duration>) {
        // What runs the clock may be held up.
        self.call_options.ticks.tick();
        if let Some(remoting) = self.remoting.get() {
            remoting.help(stands_for);
        }
    }

    fn tell(&self, actor: u64, blocked_for: Duration, stands_still: bool) -> bool {
        let Some(cell) = self.registry.find_uid(actor) else { return false };
        let (path, seconds) = (cell.path(), blocked_for.as_secs());
        let may_log = self.outlet.actor_log.allows("an actor blocks", path);
        match stands_still {
            _ if !may_log => {}
            true => tracing::warn!("actor {path} has blocked the runtime for {seconds} s"),
            false => tracing::warn!("actor {path} has blocked a thread for {seconds} s"),
        }
        let path = path.to_owned();
        self.outlet.publish(|| Event::ActorBlocks { path, blocked_for, stands_still });
        true
    }
}

/// The kinds of a system. Names are compared trimmed and without regard to case.
#[derive(Default)]
pub(crate) struct Kinds(BTreeMap<String, Registered>);

struct Registered {
    name: Arc<str>,
    recipe: Box<dyn Recipe>,
    /// One for each living actor that a peer has spawned, and one more.
    living: Arc<()>,
}

/// What is held for an actor that a peer has spawned, until it ends.
pub(crate) struct Lease {
    held: Mutex<Option<Held>>,
    /// The peer; `None` if it was this node, by its own address.
    spawner: Option<Peer>,
}

/// Whatever counts the actor, and the count of its kind.
type Held = (Box<dyn Any + Send>, Arc<()>);

impl Lease {
    /// The actor has ended; references to it may stay.
    pub(crate) fn give_back(&self) {
        let held = self.held.lock().take();
        drop(held);
    }

    pub(crate) fn spawner(&self) -> Option<&Peer> {
        self.spawner.as_ref()
    }
}

/// A kind that peers may spawn, and what they may send to such actors.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExposedKind {
    /// The name of the kind.
    pub kind: String,
    /// The wire name of the argument it takes.
    pub argument: Option<&'static str>,
    /// The wire names of the messages its actors accept from peers.
    pub accepts: Vec<&'static str>,
    /// How many actors of the kind live that peers have spawned.
    pub spawned: usize,
}

impl Kinds {
    /// Adds a kind; false if the name is taken.
    pub(crate) fn add(&mut self, name: &str, recipe: Box<dyn Recipe>) -> bool {
        let name = name.trim();
        let kind = Registered { name: name.into(), recipe, living: Arc::default() };
        self.0.insert(name.to_lowercase(), kind).is_none()
    }

    /// Checks that the name of each can be shown.
    pub(crate) fn check_names(&self) -> Result<(), AddressError> {
        self.0.values().try_for_each(|kind| match kind.name.len() {
            len if len > MAX_TYPE_LEN => {
                Err(AddressError::TooLong { what: "kind", len, limit: MAX_TYPE_LEN })
            }
            _ => validate_text("kind", &kind.name),
        })
    }

    /// Checks that no two message types of these kinds claim one wire name.
    pub(crate) fn check(&self) -> Result<(), DuplicateName> {
        self.0.values().try_for_each(|kind| kind.recipe.wire_names().map(drop))
    }

    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.values().map(|kind| kind.name.to_string()).collect()
    }

    pub(crate) fn exposed(&self) -> Vec<ExposedKind> {
        let line = |Registered { name, recipe, living }: &Registered| ExposedKind {
            kind: name.to_string(),
            argument: recipe.argument_name(),
            accepts: recipe.wire_names().unwrap_or_default(),
            spawned: Arc::strong_count(living) - 1,
        };
        self.0.values().map(line).collect()
    }

    /// Starts an actor, which holds `place` until it ends, for a peer or this node itself.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn spawn(
        &self,
        system: ActorSystem,
        path: String,
        kind: &str,
        (argument, changes): (Option<Argument<'_>>, Changes),
        (place, spawner): (impl Any + Send, Option<Peer>),
    ) -> Spawned {
        match self.0.get(&kind.trim().to_lowercase()) {
            Some(Registered { name, recipe, living }) => {
                let held: Held = (Box::new(place), living.clone());
                let lease = Arc::new(Lease { held: Mutex::new(Some(held)), spawner });
                recipe.spawn(system, path, (name.clone(), lease), argument, changes)
            }
            None => {
                let kind = kind.to_owned();
                Box::pin(async { Err(Refusal::KindNotRegistered { kind }) })
            }
        }
    }
}
