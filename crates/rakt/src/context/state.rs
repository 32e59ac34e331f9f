//! The context of an actor, and the state that only its runner touches.
//!
//! They are in one file because each needs the others: what handles a message is given a context, and what
//! an actor has stashed knows what handles it.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Weak};

use crate::cell::{Cell, Class, Doze};
use crate::error::BoxError;
use crate::events::{RestartReason, StopReason, WatchId};
use crate::hosting::Hosting;
use crate::mailbox::current::{Current, Exclusive};
use crate::mailbox::work_batch::{Item, WorkBatch};
use crate::reference::{AnyCell, Target};
use crate::signal::{Signal, Signalled, Watcher};
use crate::supervision::Decider;
use crate::tasks::Tasks;
use crate::timers::Timers;

/// The actor's view of itself, its system, and the message at hand.
pub struct Context<A> {
    pub(crate) cell: Arc<ActorCell<A>>,
    pub(crate) current: Current,
    pub(super) extra: Option<Box<Extra<A>>>,
    /// Why the actor ends, once it does.
    pub(super) stop_reason: Option<StopReason>,
    pub(super) stop_requested: bool,
    pub(super) unstash_requested: bool,
    /// Messages handled since other tasks had a turn.
    pub(super) handled: u32,
    pub(super) doze: Doze,
    /// Names the type of the messages that are handled, for the log.
    pub(crate) message: Option<fn() -> &'static str>,
}

/// The cell of an actor of type `A`.
pub(crate) type ActorCell<A> = Cell<Body<A>, Dispatch<A>>;

/// What all actors of type `A` have in common.
pub(crate) type ActorClass<A> = Class<Body<A>, Dispatch<A>>;

/// The messages that an actor of type `A` works through.
pub(crate) type Work<A> = WorkBatch<Dispatch<A>>;

/// The state of an actor, which only its runner touches.
pub(crate) struct Body<A> {
    pub(crate) origin: Box<dyn Origin<A>>,
    pub(crate) actor: A,
    pub(crate) extra: Option<Box<Extra<A>>>,
    /// Its `stopped` hook has run, and no new actor is in its place yet.
    pub(crate) has_stopped: bool,
    /// How often the actor has been made to wait for its restart.
    pub(crate) pauses: u32,
}

/// Where the actor of a cell comes from: builds one, now and on every restart.
pub(crate) trait Origin<A>: Send + Sync {
    fn build(&self) -> A;

    /// What the actor does besides if it is a grain.
    fn grain(&self) -> Option<&dyn GrainLife<A>> {
        None
    }

    /// Where it is the node of a cluster that says whether the actor may run at the moment.
    fn hosting(&self) -> Option<Arc<Hosting>> {
        self.grain().and_then(|grain| grain.hosting())
    }
}

impl<A, F: Fn() -> A + Send + Sync> Origin<A> for F {
    fn build(&self) -> A {
        self()
    }
}

/// What the actor of a grain does besides.
#[derive(Clone, Copy)]
pub(crate) enum GrainHook {
    /// Gets the state that was saved, and takes it over; after `started`.
    Activate,
    /// Saves its state; before `stopped`, unless it has failed.
    Passivate,
}

/// One activation of a grain.
pub(crate) trait GrainLife<A>: Send + Sync {
    fn run<'a>(
        &'a self,
        hook: GrainHook,
        actor: &'a mut A,
        ctx: &'a mut Context<A>,
    ) -> Dispatched<'a>;

    /// Where it is the node of a cluster that says whether the grain may run at the moment.
    fn hosting(&self) -> Option<Arc<Hosting>>;

    /// The activation is over. What it has not handled is for the next one.
    fn end(&self, cell: &ActorCell<A>, left: Work<A>);
}

/// Handles messages of one type from the front of the work, and those that come after; until another
/// type is there, nothing comes for a while, something urgent came up, or a handler failed.
///
/// So a boxed future is made when the type changes, not for each message.
pub(crate) struct Dispatch<A>(
    pub(crate) for<'a> fn(&'a mut A, &'a mut Context<A>, &'a mut Work<A>) -> Dispatched<'a>,
);

/// Ends with the fault of a handler, if one failed.
pub(crate) type Dispatched<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

impl<A> Clone for Dispatch<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Dispatch<A> {}

/// The children of an actor by their numbers, that is in the order in which they were spawned.
pub(crate) type Children = BTreeMap<u64, Arc<dyn AnyCell>>;

/// What most actors do without.
pub(crate) struct Extra<A> {
    pub(crate) children: Children,
    pub(super) stash: Exclusive<Vec<Item<Dispatch<A>>>>,
    pub(super) watching: HashMap<WatchId, Target>,
    pub(super) timers: Timers,
    /// What runs beside the actor.
    pub(super) tasks: Option<Box<Tasks>>,
    /// Shared with each stream that the actor answers with.
    pub(super) streams: Option<Arc<()>>,
    pub(super) decider: Decider,
    /// Why the actor was built anew, or is about to be.
    pub(super) restart_reason: Option<RestartReason>,
}

impl<A> Extra<A> {
    pub(super) fn watch(&mut self, target: Target, me: &Arc<ActorCell<A>>, watch: WatchId)
    where
        A: Send + 'static,
    {
        let me: Weak<dyn Signalled> = Arc::downgrade(me) as _;
        match self.watching.entry(watch).insert_entry(target).get() {
            Target::Local(cell) => cell.watch(Watcher::Actor { watcher: me, watch }),
            Target::Remote(remote) => remote.clone().watch(me, watch),
            // It has another life, and never ends.
            Target::Grain(_) => {}
        }
    }

    pub(super) fn unwatch(&mut self, watch: WatchId) {
        if let Some(watched) = self.watching.remove(&watch) {
            unwatch(&watched, watch);
        }
    }

    /// Ends timers, watches, and what runs beside the actor.
    pub(super) fn let_go(&mut self) {
        self.tasks = None;
        self.timers.cancel();
        self.watching.drain().for_each(|(watch, watched)| unwatch(&watched, watch));
    }
}

/// Most actors have let go of everything by now. One that was dropped while it started has not, and
/// nobody else knows of its children.
impl<A> Drop for Extra<A> {
    fn drop(&mut self) {
        self.let_go();
        for child in std::mem::take(&mut self.children).into_values() {
            child.signal(Signal::Stop { finish: false, reason: StopReason::Stopped });
        }
    }
}

impl<A> Default for Extra<A> {
    fn default() -> Self {
        Self {
            children: Children::new(),
            stash: Exclusive::default(),
            watching: HashMap::new(),
            timers: Timers::default(),
            tasks: None,
            streams: None,
            decider: Decider::default(),
            restart_reason: None,
        }
    }
}

fn unwatch(watched: &Target, watch: WatchId) {
    match watched {
        Target::Local(cell) => cell.unwatch(watch),
        Target::Remote(remote) => remote.unwatch(watch),
        Target::Grain(_) => {}
    }
}
