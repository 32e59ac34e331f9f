//! A node of a cluster: it does what its participant decides.
//!
//! All that happens goes through [`Node::act`]: the participant is told, under a lock, and what it wants done is put in a
//! queue, which one thread at a time works off. So it is done in the order in which it was decided.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rakt_cluster::directory::Grain;
use rakt_cluster::participant::{self, Do, Envelope, Found, Participant};
use rakt_cluster::register::{Confirmed, Swapped};
use rakt_cluster::{Incarnation, View};
use rakt_wire::Address;
use tokio::sync::{Notify, Semaphore, oneshot, watch};

use super::config::{Config, NAME};
use super::ear;
use super::members::Members;
use super::message::Said;
use super::register::{AnyRegister, Starting, SwapError};
use crate::contained::contain;
use crate::error::{BoxError, Cause, Chain, Refusal};
use crate::events::{Event, StopReason};
use crate::grain::{Epoch, GrainId};
use crate::hosting::{Clock, Hosting, May};
use crate::portable::PortableRef;
use crate::reference::{ActorRef, AnyActor, AnyCell, Life, ended};
use crate::signal::Signal;
use crate::sync::Mutex;
use crate::system::core::{
    ActorSystem, CLUSTER, Claiming, Clustering, Finding, Granted, Inner, MEMBER, Refused,
    Whereabouts,
};

/// How often it is looked at whether the lease of the node has ended, for actors with names of the cluster: well within the
/// fifth of a lease for which others wait longer than it lasts.
const LOOK: Duration = Duration::from_millis(100);
/// So many grains end at once where a node leaves.
const ENDING: usize = 64;
/// So many messages wait for a connection to another member; more are dropped, and said again.
const WAITING: usize = 1024;
/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// No answer of the register is waited for longer than this, or a quarter of a lease if that is shorter.
const ANSWER: Duration = Duration::from_secs(2);
/// Between two hints of the register.
const HINTS: Duration = Duration::from_millis(20);

/// A node of a cluster.
pub(super) struct Node {
    /// What it is a part of, which it does not keep alive.
    system: Weak<Inner>,
    me: Weak<Self>,
    register: Arc<dyn AnyRegister>,
    clock: Clock,
    answer_limit: Duration,
    state: Mutex<State>,
    /// There is something new for the loop.
    kick: Notify,
    pub(super) progress: watch::Sender<Progress>,
    /// Messages that wait for a connection.
    waiting: Arc<Semaphore>,
    others: Mutex<HashMap<(String, u16), ActorRef<AnyActor>>>,
    /// By its own wish.
    is_leaving: AtomicBool,
    /// Nothing goes on any more.
    is_stopped: AtomicBool,
    runtime: tokio::runtime::Handle,
}

struct State {
    participant: Participant,
    /// Of the seat that the node has, or is to have.
    hosting: Arc<Hosting>,
    searches: HashMap<u64, oneshot::Sender<Found>>,
    next_search: u64,
    queue: VecDeque<Do>,
    /// Actors of this node with names of the cluster, or about to have them.
    names: HashMap<Arc<str>, Named>,
    /// Somebody works off the queue.
    is_worked_off: bool,
}

/// An actor that has a name of the cluster, or is about to.
struct Named {
    actor: Arc<dyn AnyCell>,
    /// What it was granted under, once it is.
    granted: Option<rakt_cluster::Epoch>,
}

/// How far a node has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) is_ready: bool,
    pub(super) has_left: bool,
    is_stopped: bool,
    pub(super) members: Members,
    alarm: Option<String>,
}

/// The node did not become a member in time.
#[derive(Debug, thiserror::Error)]
enum JoinError {
    #[error("the register did not start")]
    Register(#[source] super::RegisterError),
    #[error("the actor that hears other members did not start: {0}")]
    Ear(Refusal),
    #[error("the node was no member within {limit:?}: {why}")]
    Late { limit: Duration, why: String },
}

impl Node {
    /// Makes a system a node of its cluster.
    pub(super) async fn join(system: &ActorSystem, config: Config) -> Result<(), BoxError> {
        let settings = config.settings(system);
        let answer_limit = ANSWER.min(settings.lease / 4);
        let Config { register, discovery, members, join_timeout, clock, .. } = config;
        let node = Arc::new_cyclic(|me| Self {
            system: Arc::downgrade(&system.0),
            me: me.clone(),
            register,
            clock: clock.clone(),
            answer_limit,
            state: Mutex::new(State {
                participant: Participant::new(settings),
                hosting: Hosting::new(clock),
                searches: HashMap::new(),
                next_search: 0,
                queue: VecDeque::new(),
                names: HashMap::new(),
                is_worked_off: false,
            }),
            kick: Notify::new(),
            progress: watch::Sender::default(),
            waiting: Arc::new(Semaphore::new(WAITING)),
            others: Mutex::default(),
            is_leaving: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            runtime: system.runtime().clone(),
        });
        let weak = Arc::downgrade(&node);
        let hear = move |envelope| {
            if let Some(node) = weak.upgrade() {
                node.tell(|participant, now| participant.heard(envelope, now));
            }
        };
        ear::begin(system, members, Arc::new(hear)).await.map_err(JoinError::Ear)?;
        let starting = Starting { system: system.clone(), discovery };
        if let Err(error) = node.register.start(starting).await {
            end_ear(system).await;
            return Err(JoinError::Register(error).into());
        }
        let _ = system.0.cluster.set(node.clone());
        system.runtime().spawn(node.clone().live());
        system.runtime().spawn(node.clone().hear_of_changes());
        let mut progress = node.progress.subscribe();
        let ready = progress.wait_for(|progress| progress.is_ready);
        if tokio::time::timeout(join_timeout, ready).await.is_err() {
            let why = node.progress.borrow().alarm.clone();
            let why = why.unwrap_or_else(|| node.why_late());
            return Err(JoinError::Late { limit: join_timeout, why }.into());
        }
        Ok(())
    }

    /// The system, as long as anybody has it.
    fn system(&self) -> Option<ActorSystem> {
        self.system.upgrade().map(ActorSystem)
    }

    fn why_late(&self) -> String {
        let state = self.state.lock();
        match (state.participant.view(), state.participant.state()) {
            (None, _) => "the register does not answer".to_owned(),
            (Some(view), None) => format!("it is not listed in {view:?}"),
            (Some(view), Some(state)) => format!("it is {state:?} in {view:?}"),
        }
    }

    fn now(&self) -> Duration {
        (self.clock)()
    }

    /// Polls the participant whenever that is due.
    async fn live(self: Arc<Self>) {
        loop {
            self.act(Participant::poll);
            if self.progress.borrow().has_left || self.is_stopped.load(Ordering::Acquire) {
                return;
            }
            let now = self.now();
            let due = self.state.lock().participant.deadline(now);
            let pause = due.saturating_sub(now).max(Duration::from_millis(1));
            let _ = tokio::time::timeout(pause, self.kick.notified()).await;
        }
    }

    /// Listens to the register's hints.
    async fn hear_of_changes(self: Arc<Self>) {
        let mut progress = self.progress.subscribe();
        let heard = async {
            loop {
                let version = self.state.lock().participant.version();
                if let Some(version) = version {
                    self.register.changed(version).await;
                    let is_new = self.state.lock().participant.version() == Some(version);
                    if is_new {
                        self.tell(|participant, now| {
                            participant.hint(now);
                            participant.poll(now)
                        });
                    }
                }
                tokio::time::sleep(HINTS).await;
            }
        };
        tokio::select! {
            () = heard => {}
            _ = progress.wait_for(|progress| progress.has_left || progress.is_stopped) => {}
        }
    }

    /// Tells the participant something, does what it wants done, and has the loop look when it is to be polled next.
    fn tell(&self, tell: impl FnOnce(&mut Participant, Duration) -> Vec<Do>) {
        self.act(tell);
        self.kick.notify_one();
    }

    fn act(&self, tell: impl FnOnce(&mut Participant, Duration) -> Vec<Do>) {
        let mut state = self.state.lock();
        let now = self.now();
        let wanted = tell(&mut state.participant, now);
        state.queue.extend(wanted);
        let is_ready = state.participant.is_ready(now);
        if is_ready != self.progress.borrow().is_ready {
            self.progress.send_modify(|progress| progress.is_ready |= is_ready);
        }
        if std::mem::replace(&mut state.is_worked_off, true) {
            return;
        }
        while let Some(wanted) = state.queue.pop_front() {
            drop(state);
            // What is dropped and told of is in part the user's: if that panics, the rest is done all the same.
            let done = contain(|| self.carry_out(wanted));
            if done.is_err() {
                tracing::error!("what the cluster wanted done has panicked");
            }
            state = self.state.lock();
        }
        state.is_worked_off = false;
    }

    fn carry_out(&self, wanted: Do) {
        let Some(system) = self.system() else { return };
        match wanted {
            Do::Read => self.ask_register(
                |node| async move {
                    let read = node.register.read().await;
                    let read = node.note(read).map(|(version, view)| (version, view.to_vec()));
                    node.tell(|participant, now| participant.read(read, now));
                },
                |node| node.tell(|participant, now| participant.read(None, now)),
            ),
            Do::Confirm(version) => self.ask_register(
                move |node| async move {
                    let confirmed = match node.register.confirm(version).await {
                        Ok(true) => Confirmed::Newest,
                        Ok(false) => Confirmed::Older,
                        Err(error) => {
                            node.note::<()>(Err(error));
                            Confirmed::Unknown
                        }
                    };
                    node.tell(|participant, now| participant.confirmed(confirmed, now));
                },
                |node| node.tell(|participant, now| participant.confirmed(Confirmed::Unknown, now)),
            ),
            Do::Swap(attempt) => self.ask_register(
                move |node| async move {
                    let swapped = match node.register.swap(attempt.over, attempt.bytes.into()).await
                    {
                        Ok(version) => Swapped::Done(version),
                        Err(SwapError::Conflict) => Swapped::Conflict,
                        Err(SwapError::Unknown(error)) => {
                            node.note::<()>(Err(error));
                            Swapped::Unknown
                        }
                    };
                    node.tell(|participant, now| participant.swapped(swapped, now));
                },
                |node| node.tell(|participant, now| participant.swapped(Swapped::Unknown, now)),
            ),
            Do::Send { to, envelope } => self.send(to, &envelope),
            Do::Host(until) => self.hosting().extend(until),
            Do::Start { grain, epoch } => self.start(&grain, epoch),
            Do::EndAll => self.end_all(),
            Do::Drain => self.drain(),
            Do::Found { ticket, found } => {
                let search = self.state.lock().searches.remove(&ticket);
                if let Some(search) = search {
                    // Nobody may wait for it any more.
                    let _ = search.send(found);
                }
            }
            Do::View(view) => self.note_view(&view),
            Do::Alarm(what) => {
                tracing::error!(node = %system.name(), "the cluster: {what}");
                self.progress.send_modify(|progress| progress.alarm = Some(what.clone()));
                system.publish(|| Event::ClusterAlarm { what });
            }
            Do::Left => {
                self.hosting().end();
                self.progress.send_modify(|progress| progress.has_left = true);
            }
            _ => {}
        }
    }

    /// Asks the register something, in a task of its own; `late` is done where that does not answer in time.
    fn ask_register<F>(
        &self,
        ask: impl FnOnce(Arc<Self>) -> F + Send + 'static,
        late: impl FnOnce(&Self) + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(node) = self.me.upgrade() else { return };
        self.runtime.spawn(async move {
            let limit = node.answer_limit;
            // In a task of its own: if it panics, there is no answer.
            let asked = tokio::spawn(tokio::time::timeout(limit, ask(node.clone())));
            if !matches!(asked.await, Ok(Ok(()))) {
                late(&node);
            }
        });
    }

    /// Tells of an error of the register, now and then.
    fn note<T>(&self, asked: Result<T, super::RegisterError>) -> Option<T> {
        let Err(error) = asked else { return asked.ok() };
        let may_log =
            |system: ActorSystem| system.outlet().actor_log.allows("the register failed", CLUSTER);
        if self.system().is_some_and(may_log) {
            tracing::warn!(error = %Chain(&error), "the register of the cluster failed");
        }
        let text = Chain(&error).to_string();
        self.progress.send_modify(|progress| progress.alarm = Some(text));
        None
    }

    /// Says something to another member: at once if there is a connection, or soon. It may be lost.
    fn send(&self, to: (String, u16), envelope: &Envelope) {
        let said = Said(envelope.encode().into());
        let Some(other) = self.other(to) else { return };
        let Err(error) = other.try_tell(said) else { return };
        let Ok(place) = self.waiting.clone().try_acquire_owned() else { return };
        self.runtime.spawn(async move {
            // What is not taken is said again anyway.
            let _ = other.tell(error.message).timeout(PATIENCE).await;
            drop(place);
        });
    }

    fn other(&self, to: (String, u16)) -> Option<ActorRef<AnyActor>> {
        let mut others = self.others.lock();
        if let Some(known) = others.get(&to) {
            return Some(known.clone());
        }
        let (host, port) = (&to.0, to.1);
        let system = self.system()?;
        let address = Address::new(MEMBER, system.name(), host, port).ok()?;
        let other = system.actor(&address);
        others.insert(to, other.clone());
        Some(other)
    }

    fn note_view(&self, view: &View) {
        let places = |to: &(String, u16)| {
            view.members().iter().any(|member| (&member.host, member.port) == (&to.0, to.1))
        };
        self.others.lock().retain(|to, _| places(to));
        let members = Members::of(view);
        tracing::info!(view = ?view, "the cluster has a new view");
        if let Some(system) = self.system() {
            system.publish(|| Event::ClusterChanged { members: members.to_string() });
        }
        self.progress.send_modify(|progress| progress.members = members);
    }

    fn hosting(&self) -> Arc<Hosting> {
        self.state.lock().hosting.clone()
    }

    /// Brings a grain to life.
    fn start(&self, grain: &Grain, epoch: rakt_cluster::Epoch) {
        if &*grain.kind == NAME {
            return self.grant_name(grain, epoch);
        }
        let Some(system) = self.system() else { return };
        let host = system.0.grains.get(&*grain.kind).cloned();
        let Some(host) = host else {
            let refusal = Refusal::KindNotRegistered { kind: grain.kind.to_string() };
            let grain = grain.clone();
            return self.tell(move |participant, now| {
                participant.failed(&grain, epoch, refusal.to_string());
                participant.finished(&grain, epoch, now)
            });
        };
        let hosting = self.hosting();
        let epoch = of_core(epoch);
        host.admit(&system, Granted { key: grain.key.clone(), epoch, hosting });
    }

    /// Nothing that lives here goes on: it may live elsewhere.
    fn end_all(&self) {
        let Some(system) = self.system() else { return };
        let before = {
            let mut state = self.state.lock();
            let new = Hosting::new(self.clock.clone());
            std::mem::replace(&mut state.hosting, new)
        };
        before.end();
        if !self.is_leaving.load(Ordering::Relaxed) {
            tracing::error!(
                node = %system.name(),
                "this node is no member of its cluster any more: all grains that lived here have ended"
            );
            system.publish(|| Event::Fenced);
        }
        for host in system.0.grains.values() {
            host.evict(&Refusal::Fenced);
        }
        self.end_named();
    }

    /// A name is this node's. There is somebody who wants it, or the grant is an old one.
    fn grant_name(&self, grain: &Grain, epoch: rakt_cluster::Epoch) {
        let uid = {
            let mut state = self.state.lock();
            let named = state.names.get_mut(&grain.key).filter(|named| named.granted.is_none());
            named.map(|named| {
                named.granted = Some(epoch);
                named.actor.uid()
            })
        };
        let grain = grain.clone();
        self.tell(move |participant, now| match uid {
            Some(uid) => participant.started(&grain, epoch, uid, now),
            None => participant.finished(&grain, epoch, now),
        });
    }

    /// The actors with names of the cluster end at once: others may take the names.
    fn end_named(&self) {
        let names = std::mem::take(&mut self.state.lock().names);
        for named in names.into_values() {
            named.actor.signal(Signal::Stop { finish: false, reason: StopReason::Stopped });
            named.actor.kill();
        }
    }

    /// Sees to it that an actor with a name of the cluster ends with the lease of its node, and gives the name back when it
    /// has ended.
    async fn look_after_named(self: Arc<Self>, grain: Grain, actor: Arc<dyn AnyCell>) {
        let fenced = async {
            while self.may() == May::Run {
                tokio::time::sleep(LOOK).await;
            }
            actor.signal(Signal::Stop { finish: false, reason: StopReason::Stopped });
            actor.kill();
            std::future::pending().await
        };
        tokio::select! {
            _ = ended(&*actor) => {}
            () = fenced => {}
        }
        let granted = {
            let mut state = self.state.lock();
            let is_it = |named: &Named| named.actor.uid() == actor.uid();
            let known = state.names.get(&grain.key).is_some_and(is_it);
            if known {
                state.names.remove(&grain.key).and_then(|named| named.granted)
            } else {
                None
            }
        };
        if let Some(epoch) = granted {
            self.tell(|participant, now| participant.finished(&grain, epoch, now));
        }
    }

    /// Who has a name of the cluster.
    pub(super) async fn look_up(self: Arc<Self>, name: &str) -> Result<Option<ActorRef>, Refusal> {
        let grain = Grain::new(NAME, name);
        let found = self.clone().search(grain, None, false).await;
        match self.whereabouts(name, found) {
            Ok(Some(Whereabouts::Here)) => Ok(self.system().and_then(|system| system.find(name))),
            Ok(Some(Whereabouts::There(found))) => Ok(Some(found)),
            Ok(None) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// What a search has found, for whoever sends to the actor at `path`.
    fn whereabouts(&self, path: &str, found: Found) -> Result<Option<Whereabouts>, Refusal> {
        let failed = |source: Cause| Refusal::ActivationFailed { source };
        match found {
            Found::Here { .. } => Ok(Some(Whereabouts::Here)),
            Found::There { host: (host, port), incarnation, uid } => {
                let system = self.system().ok_or(Refusal::ShuttingDown)?;
                let address = Address::new(path, system.name(), &host, port);
                let address = address.map_err(|error| failed(Cause::new(error)))?;
                let life = Life { uid, incarnation: incarnation.0.to_be_bytes() };
                let found = system.resolve(&PortableRef::of_life(address, life));
                Ok(Some(Whereabouts::There(found)))
            }
            Found::Failed(why) => Err(failed(Cause::from_lines(&why))),
            Found::Nobody => Ok(None),
            Found::NoHost => Err(failed("no member of the cluster may host it".into())),
            _ => Err(Refusal::Fenced),
        }
    }

    /// Has all grains end that live here, some at a time.
    fn drain(&self) {
        let Some(node) = self.me.upgrade() else { return };
        self.runtime.spawn(async move {
            loop {
                let Some(system) = node.system() else { return };
                if node.is_stopped.load(Ordering::Acquire) {
                    return;
                }
                let grains = system.0.grains.values().flat_map(|kind| kind.living());
                let living: Vec<_> = grains.chain(node.named()).collect();
                if living.is_empty() {
                    return;
                }
                for some in living.chunks(ENDING) {
                    let stop = || Signal::Stop { finish: true, reason: StopReason::Shutdown };
                    some.iter().for_each(|grain| grain.signal(stop()));
                    for grain in some {
                        ended(&**grain).await;
                    }
                }
            }
        });
    }

    fn named(&self) -> Vec<Arc<dyn AnyCell>> {
        self.state.lock().names.values().map(|named| named.actor.clone()).collect()
    }

    /// Looks for a grain, and wakes it where it is to.
    async fn search(self: Arc<Self>, grain: Grain, refused: Option<Refused>, wakes: bool) -> Found {
        let (send, found) = oneshot::channel();
        let ticket = {
            let mut state = self.state.lock();
            state.next_search += 1;
            let ticket = state.next_search;
            state.searches.insert(ticket, send);
            ticket
        };
        let search = Search { node: &self, ticket };
        let refused = refused.map(|refused| participant::Refused {
            incarnation: Incarnation(u128::from_be_bytes(refused.life.incarnation)),
            uid: refused.life.uid,
            ended: refused.ended,
        });
        self.tell(|participant, now| match wakes {
            true => participant.find(ticket, grain, refused, now),
            false => participant.look_for(ticket, grain, now),
        });
        let found = found.await.unwrap_or(Found::Fenced);
        drop(search);
        found
    }
}

/// Nobody hears what other members say any more.
async fn end_ear(system: &ActorSystem) {
    if let Some(ear) = system.0.registry.find(MEMBER) {
        ear.signal(Signal::Stop { finish: false, reason: StopReason::Shutdown });
        ended(&*ear).await;
    }
}

/// A search that ends when nobody waits for it any more.
struct Search<'a> {
    node: &'a Node,
    ticket: u64,
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        let mut state = self.node.state.lock();
        state.searches.remove(&self.ticket);
        state.participant.give_up(self.ticket);
    }
}

fn of_core(epoch: rakt_cluster::Epoch) -> Epoch {
    let rakt_cluster::Epoch { stamp, counter } = epoch;
    Epoch { generation: stamp.generation, view: stamp.version, counter }
}

fn to_core(epoch: Epoch) -> rakt_cluster::Epoch {
    let stamp = rakt_cluster::Stamp { generation: epoch.generation, version: epoch.view };
    rakt_cluster::Epoch { stamp, counter: epoch.counter }
}

fn grain_of(id: &GrainId) -> Grain {
    Grain::new(id.kind(), id.key())
}

impl Clustering for Node {
    fn may(&self) -> May {
        self.hosting().may()
    }

    fn find(self: Arc<Self>, grain: &GrainId, refused: Option<Refused>) -> Finding {
        let (grain, path) = (grain_of(grain), grain.path());
        Box::pin(async move {
            if self.progress.borrow().has_left || self.is_stopped.load(Ordering::Acquire) {
                return Err(Refusal::ShuttingDown);
            }
            let found = self.clone().search(grain, refused, true).await;
            // Nobody is no answer to that.
            self.whereabouts(&path, found)?.ok_or(Refusal::NotFound)
        })
    }

    fn started(&self, grain: &GrainId, epoch: Epoch, uid: u64) {
        let (grain, epoch) = (grain_of(grain), to_core(epoch));
        self.tell(|participant, now| participant.started(&grain, epoch, uid, now));
    }

    fn failed(&self, grain: &GrainId, epoch: Epoch, why: &Cause) {
        let (grain, epoch, why) = (grain_of(grain), to_core(epoch), Chain(why).to_string());
        self.tell(|participant, _| {
            participant.failed(&grain, epoch, why);
            Vec::new()
        });
    }

    fn ended(&self, grain: &GrainId, epoch: Epoch) {
        let (grain, epoch) = (grain_of(grain), to_core(epoch));
        self.tell(|participant, now| participant.finished(&grain, epoch, now));
    }

    fn superseded(&self, by: Epoch) {
        self.tell(|participant, now| {
            participant.superseded(by.generation);
            participant.poll(now)
        });
    }

    fn is_owner(&self, grain: &GrainId) -> bool {
        let state = self.state.lock();
        state.participant.is_owner(&grain_of(grain), self.now())
    }

    fn claim(self: Arc<Self>, name: &str, actor: Arc<dyn AnyCell>) -> Claiming {
        let grain = Grain::new(NAME, name);
        Box::pin(async move {
            let uid = actor.uid();
            {
                let mut state = self.state.lock();
                if state.names.contains_key(&grain.key) {
                    return Err(Refusal::NameTaken);
                }
                let named = Named { actor: actor.clone(), granted: None };
                state.names.insert(grain.key.clone(), named);
            }
            // From here on it is given back whatever comes.
            let watched = self.clone().look_after_named(grain.clone(), actor);
            self.runtime.spawn(watched);
            let limit = self.system().ok_or(Refusal::ShuttingDown)?.ask_timeout();
            let found = self.clone().search(grain.clone(), None, true);
            let found = tokio::time::timeout(limit, found).await;
            match found.map_err(|_| Refusal::DeadlineExceeded)? {
                Found::Here { .. } => {
                    let state = self.state.lock();
                    let named = state.names.get(&grain.key);
                    let is_granted = named
                        .is_some_and(|named| named.actor.uid() == uid && named.granted.is_some());
                    is_granted.then_some(()).ok_or(Refusal::NameTaken)
                }
                Found::There { .. } => Err(Refusal::NameTaken),
                found => self.whereabouts(&grain.key, found).map(drop),
            }
        })
    }

    fn leave(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            self.is_leaving.store(true, Ordering::Relaxed);
            self.tell(|participant, now| {
                participant.leave();
                participant.poll(now)
            });
            let mut progress = self.progress.subscribe();
            drop(progress.wait_for(|progress| progress.has_left).await);
        })
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if self.is_stopped.swap(true, Ordering::AcqRel) {
                return;
            }
            self.progress.send_modify(|progress| progress.is_stopped = true);
            self.kick.notify_one();
            self.register.stop().await;
            if let Some(system) = self.system() {
                end_ear(&system).await;
            }
        })
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
