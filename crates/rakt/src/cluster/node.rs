//! A node of a cluster: it does what its participant decides.
//!
//! All that happens goes through [`Node::act`]: the participant is told, under a lock, and what it wants done is put in a
//! queue, which one thread at a time works off. So it is done in the order in which it was decided.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rakt_cluster::View;
use rakt_cluster::participant::{Counts, Do, Envelope, Found, Participant};
use rakt_cluster::register::{Confirmed, Swapped};
use rakt_cluster::view::State as Reached;
use rakt_wire::Address;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::Instant;

use super::admission::Admission;
use super::config::Config;
use super::ear;
use super::members::Members;
use super::message::Said;
use super::register::{AnyRegister, Beginning, Needed, Starting, SwapError};
use crate::contained::contain;
use crate::error::{BoxError, Chain, Refusal};
use crate::events::{Event, StopReason};
use crate::hosting::{Clock, Hosting, May};
use crate::metrics::of_cluster;
use crate::reference::{ActorRef, AnyActor, AnyCell, ended};
use crate::signal::Signal;
use crate::sync::Mutex;
use crate::system::core::{ActorSystem, CLUSTER, Clustering, Inner, MEMBER};

/// So many messages wait for a connection to another member; more are dropped, and said again.
const WAITING: usize = 1024;
/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// No answer of the register is waited for longer than this, or a quarter of a lease if that is shorter.
const ANSWER: Duration = Duration::from_secs(2);
/// A node becomes a member within this time from when its register has started, unless told otherwise.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// A register that has not started in time has so long to say why.
const REASON_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two hints of the register.
const HINTS: Duration = Duration::from_millis(20);

/// A node of a cluster.
pub(super) struct Node {
    /// What it is a part of, which it does not keep alive.
    pub(super) system: Weak<Inner>,
    pub(super) me: Weak<Self>,
    pub(super) register: Arc<dyn AnyRegister>,
    pub(super) clock: Clock,
    pub(super) answer_limit: Duration,
    pub(super) state: Mutex<State>,
    /// Of the seat that the node has, or is to have.
    pub(super) hosting: Mutex<Arc<Hosting>>,
    /// There is something new for the loop.
    pub(super) kick: Notify,
    pub(super) progress: watch::Sender<Progress>,
    /// Messages that wait for a connection.
    pub(super) waiting: Arc<Semaphore>,
    pub(super) others: Mutex<HashMap<(String, u16), ActorRef<AnyActor>>>,
    /// The runs of nodes that host, by the last view.
    pub(super) living: Mutex<HashSet<[u8; 16]>>,
    /// By its own wish.
    pub(super) is_leaving: AtomicBool,
    pub(super) needed: Needed,
    pub(super) runtime: tokio::runtime::Handle,
}

pub(super) struct State {
    pub(super) participant: Participant,
    pub(super) searches: HashMap<u64, oneshot::Sender<Found>>,
    pub(super) next_search: u64,
    /// What was reported last of what the participant has counted.
    pub(super) reported: Counts,
    /// Since when the node is without a lease, once that was reported.
    pub(super) fenced_since: Option<Duration>,
    pub(super) queue: VecDeque<Do>,
    /// Actors of this node with names of the cluster, or about to have them.
    pub(super) names: HashMap<Arc<str>, Named>,
    /// Somebody works off the queue.
    pub(super) is_worked_off: bool,
}

/// An actor that has a name of the cluster, or is about to.
pub(super) struct Named {
    pub(super) actor: Arc<dyn AnyCell>,
    /// What it was granted under, once it is, and by the lease of which seat it runs.
    pub(super) granted: Option<(rakt_cluster::Epoch, Arc<Hosting>)>,
}

/// How far a node has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// It does its part, as long as it has a lease.
    is_in_place: bool,
    /// Until when it has one, by the node's clock.
    pub(super) hosts_until: Duration,
    pub(super) has_left: bool,
    /// Nothing goes on any more, whether it has left or not.
    pub(super) is_stopped: bool,
    pub(super) members: Members,
    pub(super) alarm: Option<String>,
}

impl Progress {
    /// Nothing more is decided here.
    pub(super) fn is_over(&self) -> bool {
        self.has_left || self.is_stopped
    }

    /// Whether the node does its part at `now`.
    fn is_ready(&self, now: Duration) -> bool {
        self.is_in_place && now < self.hosts_until && !self.is_over()
    }
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
            hosting: Mutex::new(Hosting::new(clock)),
            answer_limit,
            state: Mutex::new(State {
                participant: Participant::new(settings),
                searches: HashMap::new(),
                next_search: 0,
                reported: Counts::default(),
                fenced_since: None,
                queue: VecDeque::new(),
                names: HashMap::new(),
                is_worked_off: false,
            }),
            kick: Notify::new(),
            progress: watch::Sender::default(),
            waiting: Arc::new(Semaphore::new(WAITING)),
            others: Mutex::default(),
            living: Mutex::default(),
            is_leaving: AtomicBool::new(false),
            needed: Needed::default(),
            runtime: system.runtime().clone(),
        });
        let weak = Arc::downgrade(&node);
        let hear = move |envelope| {
            if let Some(node) = weak.upgrade() {
                node.tell(|participant, now| participant.heard(envelope, now));
            }
        };
        let weak = Arc::downgrade(&node);
        let host_of = move |seat| {
            let node = weak.upgrade()?;
            let state = node.state.lock();
            Some(state.participant.view()?.member(seat)?.host.clone())
        };
        let admission = Admission::new(system, members);
        if let Some(remoting) = system.remoting() {
            remoting.hear_members(Box::new(move |peer| admission.admits(peer)));
        }
        ear::begin(system, Arc::new(hear), Arc::new(host_of)).await.map_err(JoinError::Ear)?;
        let needed = node.needed.clone();
        let limit = join_timeout;
        let starting = Starting { system: system.clone(), discovery, needed, limit };
        let (begun, join_timeout) = (Instant::now(), join_timeout.unwrap_or(JOIN_TIMEOUT));
        let beginning = Beginning::new(&node.register, system.runtime());
        let started = node.register.start(starting);
        // It has its own limit too, and may say why it takes so long.
        let patience = limit.map_or(Duration::MAX, |limit| limit.saturating_add(REASON_TIMEOUT));
        let late = |why| JoinError::Late { limit: join_timeout, why };
        let error = match tokio::time::timeout(patience, started).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(JoinError::Register(error)),
            Err(_) => Some(late("its register has not started".to_owned())),
        };
        if let Some(error) = error {
            beginning.failed(system.0.shutdown_timeout).await;
            end_ear(system).await;
            return Err(error.into());
        }
        beginning.done();
        let _ = system.0.cluster.set(node.clone());
        system.runtime().spawn(node.clone().live());
        system.runtime().spawn(node.clone().hear_of_changes());
        let left = limit.map_or(join_timeout, |limit| limit.saturating_sub(begun.elapsed()));
        if tokio::time::timeout(left, node.ready()).await.is_err() {
            let why = node.progress.borrow().alarm.clone();
            let why = why.unwrap_or_else(|| node.why_late());
            return Err(late(why).into());
        }
        Ok(())
    }

    /// The system, as long as anybody has it.
    pub(super) fn system(&self) -> Option<ActorSystem> {
        self.system.upgrade().map(ActorSystem)
    }

    /// Whether it does its part at the moment.
    pub(super) fn is_ready(&self) -> bool {
        self.progress.borrow().is_ready(self.now())
    }

    /// Waits until it does its part, or never will again. Nothing is lost when the future is dropped.
    pub(super) async fn ready(&self) {
        let mut progress = self.progress.subscribe();
        let ready =
            progress.wait_for(|progress| progress.is_over() || progress.is_ready(self.now()));
        // Who tells of it is the node itself.
        let _ = ready.await;
    }

    fn why_late(&self) -> String {
        let state = self.state.lock();
        match (state.participant.view(), state.participant.state()) {
            (None, _) => "the register does not answer".to_owned(),
            (Some(view), None) => format!("it is not listed in {view:?}"),
            (Some(view), Some(Reached::Up)) => {
                format!("others have not handed over yet what it keeps track of by {view:?}")
            }
            (Some(view), Some(state)) => format!("it is {state:?} in {view:?}"),
        }
    }

    pub(super) fn now(&self) -> Duration {
        (self.clock)()
    }

    /// Polls the participant whenever that is due.
    async fn live(self: Arc<Self>) {
        loop {
            let load = self.system().map_or(0, |system| living(&system));
            self.act(|participant, now| {
                participant.set_load(load);
                participant.poll(now)
            });
            self.report_counts();
            self.report_lease_lost();
            if self.progress.borrow().is_over() {
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
            _ = progress.wait_for(Progress::is_over) => {}
        }
    }

    /// Tells the participant something, does what it wants done, and has the loop look when it is to be polled next.
    pub(super) fn tell(&self, tell: impl FnOnce(&mut Participant, Duration) -> Vec<Do>) {
        self.act(tell);
        self.kick.notify_one();
    }

    fn act(&self, tell: impl FnOnce(&mut Participant, Duration) -> Vec<Do>) {
        let mut state = self.state.lock();
        let now = self.now();
        let wanted = tell(&mut state.participant, now);
        state.queue.extend(wanted);
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
                "read",
                |node| async move {
                    let read = node.register.read().await;
                    of_cluster::register_asked("read", outcome(&read));
                    let read = node.note(read).map(|(version, view)| (version, view.to_vec()));
                    node.tell(|participant, now| participant.read(read, now));
                },
                |node| node.tell(|participant, now| participant.read(None, now)),
            ),
            Do::Confirm(version) => self.ask_register(
                "confirm",
                move |node| async move {
                    let confirmed = node.register.confirm(version).await;
                    of_cluster::register_asked("confirm", outcome(&confirmed));
                    let confirmed = match confirmed {
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
                "swap",
                move |node| async move {
                    let swapped = node.register.swap(attempt.over, attempt.bytes.into()).await;
                    let conflicts = matches!(swapped, Err(SwapError::Conflict));
                    let outcome = if conflicts { "conflict" } else { outcome(&swapped) };
                    of_cluster::register_asked("swap", outcome);
                    let swapped = match swapped {
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
            Do::Host(until) => {
                let is_back = self.may() != May::Run;
                self.hosting().extend(until);
                self.progress.send_modify(|progress| progress.hosts_until = until);
                of_cluster::lease(Some(until.saturating_sub(self.now())));
                if is_back {
                    self.report_lease_back();
                    self.end_strays();
                }
            }
            Do::InPlace(is_in_place) => {
                self.progress.send_modify(|progress| progress.is_in_place = is_in_place);
            }
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
            Do::TookOver { node, slots, grains } => self.took_over(&system, &node, slots, grains),
            Do::Raised { from, to } => self.raised(&system, from, to),
            Do::Duplicate { grain, granted, living } => {
                self.duplicate(&system, &grain, granted, living);
            }
            Do::Left => {
                self.hosting().end();
                let searches = std::mem::take(&mut self.state.lock().searches);
                drop(searches);
                self.progress.send_modify(|progress| progress.has_left = true);
            }
            _ => {}
        }
    }

    /// Asks the register something, in a task of its own; `late` is done where that does not answer in time.
    fn ask_register<F>(
        &self,
        call: &'static str,
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
                of_cluster::register_asked(call, "failed");
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
        let Some(other) = self.other(to.clone()) else { return };
        let Err(error) = other.try_tell(said) else { return };
        let Ok(place) = self.waiting.clone().try_acquire_owned() else { return };
        let node = self.me.clone();
        self.runtime.spawn(async move {
            // What is not taken is said again anyway.
            let told = other.tell(error.message).timeout(PATIENCE).await;
            drop(place);
            if told.is_err_and(|error| error.refusal.is_connection_refused())
                && let Some(node) = node.upgrade()
            {
                node.tell(|participant, now| {
                    participant.refused(&to.0, to.1, now);
                    participant.poll(now)
                });
            }
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
        self.forget_dead(view);
        let members = Members::of(view);
        self.report_members(&members);
        tracing::info!(members = members.in_brief(), "the cluster has a new view");
        let text = members.to_string();
        // Whoever hears of it may look at once.
        self.progress.send_modify(|progress| progress.members = members);
        if let Some(system) = self.system() {
            system.publish(|| Event::ClusterChanged { members: text });
        }
    }

    /// Nothing is sent any more to where grains were found on nodes that are dead or gone: one that stands still would refuse
    /// nothing, and answer nothing.
    fn forget_dead(&self, view: &View) {
        let living = view.members().iter().filter(|member| member.state.hosts());
        let living: HashSet<_> = living.map(|member| member.incarnation.0.to_be_bytes()).collect();
        let mut known = self.living.lock();
        let has_lost = known.iter().any(|run| !living.contains(run));
        *known = living;
        if let (true, Some(system)) = (has_lost, self.system()) {
            for kind in system.0.grains.values() {
                kind.forget_routes(&|run| !known.contains(&run));
            }
        }
    }
}

fn outcome<T, E>(answered: &Result<T, E>) -> &'static str {
    if answered.is_ok() { "ok" } else { "failed" }
}

/// How many grains live here.
fn living(system: &ActorSystem) -> u64 {
    system.0.grains.values().map(|kind| kind.count()).sum()
}

/// Nobody hears what other members say any more.
pub(super) async fn end_ear(system: &ActorSystem) {
    if let Some(ear) = system.0.registry.find(MEMBER) {
        ear.signal(Signal::Stop { finish: false, reason: StopReason::Shutdown });
        ended(&*ear).await;
    }
}
