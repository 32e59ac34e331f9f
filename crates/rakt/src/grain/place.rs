//! Where a grain lives, one life after the other.
//!
//! ```text
//!            enter                         ended, nothing left
//!  vacant ──────────▶ current, begun ─────────────────────────▶ vacant
//!                        │       ▲
//!        it takes in     │       │ the one before has ended: what it has left is in front, and this one begins
//!        no more, enter  ▼       │
//!                     current, not begun: messages gather in its mailbox
//! ```
//!
//! In a cluster there is a life only where that has granted one, and what one has not handled goes wherever the grain is
//! then. The place of a grain that lives on another node knows the way there.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Waker;

use tokio::sync::OwnedSemaphorePermit;

use super::Grain;
use super::activation::Activation;
use super::epoch::Epoch;
use super::hosted::{Hosted, Seat};
use super::id::GrainId;
use crate::cell::Cell;
use crate::context::{ActorCell, Context, Dispatched, GrainHook, GrainLife, Origin, Work};
use crate::error::{AddressError, Cause, Chain, Refusal};
use crate::events::StopReason;
use crate::hosting::{Hosting, May};
use crate::inside::is_inside_any;
use crate::mailbox::arrivals::{Arrivals, Reachable};
use crate::reference::{self, ActorRef, AnyCell, Target};
use crate::runner::Runner;
use crate::signal::{Signal, Signalled};
use crate::spawn::class_of;
use crate::sync::Mutex;
use crate::system::core::{ActorSystem, Token};

/// A kind of grains that live here.
pub(super) type Kind<G> = Hosted<G, Place<G>>;

/// Where a grain lives.
pub(super) struct Place<G: Grain> {
    pub(super) kind: Arc<Kind<G>>,
    pub(super) id: GrainId,
    life: Mutex<Life<G>>,
}

/// Whoever lives there.
struct Life<G: Grain> {
    current: Option<Arc<ActorCell<G>>>,
    seat: Option<Seat>,
    /// What there is only in a cluster, and seldom.
    away: Option<Box<Away<G>>>,
}

/// What concerns other nodes of the cluster.
struct Away<G: Grain> {
    /// The life on another node that was found last.
    elsewhere: Option<ActorRef<G>>,
    /// What the last life has not handled, for the next one that the cluster grants; and that life.
    left: Option<(Work<G>, Arc<ActorCell<G>>)>,
    /// Is there until that has gone on.
    passing: Weak<Passing>,
    /// What is for a grain that lives elsewhere, while it is passed on.
    relayed: Option<VecDeque<Relayed>>,
    /// What the cluster has granted while a life was here of which it does not know: it begins when that has ended.
    next: Option<(Epoch, Arc<Hosting>, OwnedSemaphorePermit)>,
}

/// Messages that are passed on, and what is there until they are.
pub(super) type Relayed = (Box<dyn Arrivals>, Option<Token>);

/// What a life has left is on its way to the next one: what is sent here after it has to wait.
struct Passing {
    waiting: Mutex<Vec<Waker>>,
    /// Its node does not leave before.
    _stay: Token,
}

impl Drop for Passing {
    fn drop(&mut self) {
        std::mem::take(self.waiting.get_mut()).into_iter().for_each(Waker::wake);
    }
}

impl<G: Grain> Default for Away<G> {
    fn default() -> Self {
        Self { elsewhere: None, left: None, passing: Weak::new(), relayed: None, next: None }
    }
}

impl<G: Grain> Life<G> {
    fn away(&mut self) -> &mut Away<G> {
        self.away.get_or_insert_default()
    }
}

impl<G: Grain> Place<G> {
    /// Where the grain of that key lives, now or later.
    ///
    /// # Errors
    /// No grain can have that key.
    pub(super) fn of(kind: &Arc<Kind<G>>, key: &str) -> Result<Arc<Self>, Refusal> {
        let place = kind.places.get_or_make(key, |key| {
            let id = GrainId::of_kind(kind.name.clone(), key)?;
            let life = Mutex::new(Life { current: None, seat: None, away: None });
            Ok(Self { kind: kind.clone(), id, life })
        });
        place.map_err(|error: AddressError| Refusal::InvalidArgument { source: Cause::new(error) })
    }

    /// The activation that takes in messages, if there is one.
    pub(super) fn living(&self) -> Option<Arc<ActorCell<G>>> {
        self.life.lock().current.clone()
    }

    /// The activation that takes in messages; a new one where there is none, or where its number is that of `closed`, which
    /// takes in no more. `None` where there is no room for one, and no `permit`.
    ///
    /// # Errors
    /// The node shuts down, and this is not called by an actor.
    pub(super) fn enter(
        self: &Arc<Self>,
        system: &ActorSystem,
        closed: Option<u64>,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Option<Arc<ActorCell<G>>>, Refusal> {
        if system.0.is_clustered {
            return Err(Refusal::Fenced);
        }
        let mut life = self.life.lock();
        if let Some(current) = &life.current
            && closed != Some(current.uid)
        {
            return Ok(Some(current.clone()));
        }
        // What actors and other grains finish may need it; then the shutdown waits for it as well.
        if system.is_shutting_down() && !is_inside_any() {
            return Err(Refusal::ShuttingDown);
        }
        let is_first = life.current.is_none();
        if is_first {
            let Some(permit) = permit.take().or_else(|| self.kind.try_room()) else {
                return Ok(None);
            };
            life.seat = Some(Seat { number: self.kind.places.sit_down(self), _permit: permit });
        }
        let cell = self.new_cell(system, None);
        life.current = Some(cell.clone());
        drop(life);
        // Another one begins once the one before has ended.
        if is_first {
            self.clone().begin(cell.clone(), None);
        }
        Ok(Some(cell))
    }

    /// Where to send to: to what lives here, or to where it was found last, but not to `refused`, which takes in no more.
    /// Nowhere before what was sent earlier [has been passed on](Self::has_passed_on).
    pub(super) fn known(&self, refused: Option<reference::Life>) -> Option<Target> {
        let life = self.life.lock();
        if life.away.as_ref().is_some_and(|away| away.passing.strong_count() > 0) {
            return None;
        }
        let elsewhere = || life.away.as_ref().and_then(|away| away.elsewhere.as_ref());
        match &life.current {
            // It ends in favour of that one.
            Some(cell) if elsewhere().is_some() && !cell.takes_messages() => {}
            // It is about to end, and where the next one lives is decided after that.
            Some(cell) if refused.is_some_and(|refused| refused == cell.life()) => return None,
            Some(cell) => return Some(Target::Local(cell.clone())),
            None => {}
        }
        let found = elsewhere().filter(|found| refused.is_none() || found.life() != refused)?;
        Some(found.target().clone())
    }

    /// It was found on another node, which may be gone by now.
    pub(super) fn note_elsewhere(&self, found: ActorRef<G>, is_gone: impl Fn([u8; 16]) -> bool) {
        let run = found.life().map(|life| life.incarnation);
        self.life.lock().away().elsewhere = Some(found);
        // Looked at last: whoever has such routes forgotten says before that which runs are gone.
        if let Some(run) = run.filter(|run| is_gone(*run)) {
            self.forget_route(&|of| of == run);
        }
    }

    /// Forgets where it was found, if that was on a run of a node of which this says so.
    pub(super) fn forget_route(&self, is_gone: &dyn Fn([u8; 16]) -> bool) {
        if let Some(away) = &mut self.life.lock().away {
            let found = away.elsewhere.as_ref().and_then(ActorRef::life);
            away.elsewhere.take_if(|_| found.is_some_and(|found| is_gone(found.incarnation)));
        }
    }

    /// Whether all has gone on to the next life that has been sent before. Else whoever waits for that is woken.
    pub(super) fn has_passed_on(&self, waker: Option<&Waker>) -> bool {
        let passing = self.life.lock().away.as_ref().and_then(|away| away.passing.upgrade());
        let Some(passing) = passing else { return true };
        // Where it is over by now, whoever drops this is the last.
        passing.waiting.lock().extend(waker.cloned());
        false
    }

    /// What the last life has left, and that life, if no other one has it.
    pub(super) fn take_left(&self) -> Option<(Work<G>, Arc<ActorCell<G>>)> {
        self.life.lock().away.as_mut()?.left.take()
    }

    /// Has messages passed on. Says whether somebody is to be found who does that.
    pub(super) fn put_in_line(&self, arrivals: Relayed) -> bool {
        let mut life = self.life.lock();
        let line = &mut life.away().relayed;
        let is_first = line.is_none();
        line.get_or_insert_default().push_back(arrivals);
        is_first
    }

    /// What is to be passed on next; whoever passes it on is done where there is nothing.
    pub(super) fn next_relayed(&self) -> Option<Relayed> {
        let mut life = self.life.lock();
        let line = &mut life.away().relayed;
        let next = line.as_mut().and_then(VecDeque::pop_front);
        if next.is_none() {
            *line = None;
        }
        next
    }

    /// The activation that takes in messages, and under which epoch.
    pub(super) fn life(&self) -> Option<(Epoch, Arc<ActorCell<G>>)> {
        let living = self.living()?;
        Some((activation_of(&living)?.epoch(), living))
    }

    /// Begins a life that the cluster has granted, or one without a grant unless there is one. There is none yet, or what was
    /// there is over for the cluster.
    pub(super) fn admit(
        self: &Arc<Self>,
        system: &ActorSystem,
        (epoch, hosting): (Epoch, Arc<Hosting>),
        permit: OwnedSemaphorePermit,
    ) {
        let mut life = self.life.lock();
        let is_available = self.kind.terms.are_available();
        if let Some(stray) = life.current.clone().filter(|_| is_available) {
            if epoch.is_granted() {
                life.away().next = Some((epoch, hosting, permit));
                drop(life);
                stray.signal(Signal::Stop { finish: true, reason: StopReason::Stopped });
            }
            return;
        }
        let cell = self.new_cell(system, Some(epoch));
        life.seat = Some(Seat { number: self.kind.places.sit_down(self), _permit: permit });
        let before = life.current.replace(cell.clone());
        let mut left = None;
        if let Some(away) = &mut life.away {
            away.elsewhere = None;
            left = away.left.take();
        }
        if let Some((left, _)) = &mut left {
            cell.take_over(left);
        }
        if life.away.as_ref().is_some_and(|away| away.relayed.is_none() && away.next.is_none()) {
            life.away = None;
        }
        drop(life);
        drop((before, left));
        self.clone().begin(cell, (!is_available).then_some(hosting));
    }

    /// Whoever lives here ends at once, without a word: it may live elsewhere.
    pub(super) fn evict(&self, refusal: &Refusal) {
        if let Some(living) = self.living() {
            self.evict_life(&living, refusal);
        }
    }

    /// The same of one life, if it lives here.
    fn evict_life(&self, this: &Arc<ActorCell<G>>, refusal: &Refusal) {
        let mut life = self.life.lock();
        if life.current.as_ref().is_none_or(|current| !Arc::ptr_eq(current, this)) {
            return;
        }
        let (current, seat) = (life.current.take(), life.seat.take());
        drop(life);
        if let Some(seat) = seat {
            self.kind.places.stand_up(seat.number);
        }
        let Some(cell) = current else { return };
        let mut is_counted = false;
        if let Some(activation) = activation_of(&cell) {
            activation.note_taken_over();
            is_counted = activation.count_out();
        }
        cell.evict(refusal);
        if is_counted {
            crate::metrics::grain_ended(G::KIND);
        }
    }

    fn new_cell(&self, system: &ActorSystem, granted: Option<Epoch>) -> Arc<ActorCell<G>> {
        let uid = system.next_uid();
        let (epoch, writer) = self.kind.next_epoch(uid);
        let epoch = match granted {
            Some(granted) if granted.is_granted() => granted,
            Some(_) => Epoch::ungranted(epoch.counter),
            None => epoch,
        };
        let terms = self.kind.terms.clone();
        let activation = Activation::new(self.id.clone(), terms, (epoch, writer));
        let mut setup = self.kind.setup.clone();
        setup.options().grain = Some(Arc::new(activation));
        let class = class_of::<G>(system).expect("its names were checked at the start");
        let path = self.id.path().into_boxed_str();
        Cell::new(system.clone(), path, uid, class, setup, None)
    }

    /// Has a task bring the activation to life.
    fn begin(self: Arc<Self>, cell: Arc<ActorCell<G>>, hosting: Option<Arc<Hosting>>) {
        let runtime = cell.system.runtime().clone();
        let (place, this) = (self.clone(), cell.clone());
        let begun = self.bring_to_life(cell, hosting.clone());
        match hosting {
            None => drop(runtime.spawn(begun)),
            Some(hosting) => drop(runtime.spawn(async move {
                hosting.clone().run(begun).await;
                // All that lived here has ended, and this may have come after that.
                if hosting.may() == May::End {
                    place.evict_life(&this, &Refusal::Fenced);
                }
            })),
        }
    }

    async fn bring_to_life(
        self: Arc<Self>,
        cell: Arc<ActorCell<G>>,
        hosting: Option<Arc<Hosting>>,
    ) {
        let system = cell.system.clone();
        if system.0.is_over.load(Ordering::Acquire) || !system.0.registry.add(cell.clone()) {
            if let (Some(cluster), Some(activation)) = (system.cluster(), activation_of(&cell)) {
                let why = "the node shuts down, or something else has its path".into();
                cluster.failed(&self.id, activation.epoch(), &why);
            }
            cell.abandon(&Refusal::ShuttingDown);
            cell.end(&StopReason::Shutdown);
            return self.end(&cell, Work::<G>::default());
        }
        crate::metrics::actor_started();
        let origin = Box::new(Living { place: self.clone(), uid: cell.uid, hosting });
        crate::metrics::grain_began(G::KIND);
        let activation = activation_of(&cell);
        activation.iter().for_each(|activation| activation.count_in());
        let Err(fault) = Runner::start(cell.clone(), origin).await else {
            if let (Some(cluster), Some(activation)) = (system.cluster(), activation) {
                cluster.started(&self.id, activation.epoch(), cell.uid);
            }
            return;
        };
        if activation.is_some_and(|activation| activation.count_out()) {
            crate::metrics::grain_failed(G::KIND);
        }
        let source = Cause::described(&fault);
        self.kind.failures.fetch_add(1, Ordering::Relaxed);
        if system.outlet().actor_log.allows("a grain did not come to life", &*cell.path) {
            let fault = Chain(&source);
            tracing::warn!(grain = %self.id, %fault, "a grain did not come to life");
        }
        if let (Some(cluster), Some(activation)) = (system.cluster(), activation_of(&cell)) {
            cluster.failed(&self.id, activation.epoch(), &source);
        }
        cell.abandon(&Refusal::ActivationFailed { source });
        system.forget(&*cell);
        cell.end(&StopReason::Failed("it did not come to life".into()));
        self.end(&cell, Work::<G>::default());
    }

    /// An activation has ended. What it has left is for the next one, which begins now if there is anything to do.
    fn end(self: &Arc<Self>, ended: &ActorCell<G>, mut left: Work<G>) {
        let passing = ended.system.cluster().filter(|_| !left.is_empty()).map(|cluster| {
            let (waiting, _stay) = (Mutex::default(), cluster.clone().passing_on());
            Arc::new(Passing { waiting, _stay })
        });
        let mut life = self.life.lock();
        let is_last = life.current.as_ref().is_some_and(|current| current.uid == ended.uid);
        if is_last {
            let cluster = ended.system.cluster();
            if left.is_empty() || cluster.is_some() {
                let Life { current, seat, .. } = &mut *life;
                let (current, seat) = (current.take(), seat.take());
                let next = life.away.as_mut().and_then(|away| away.next.take());
                if let Some(passing) = &passing {
                    let away = life.away();
                    away.left = Some((left, ended.me()));
                    away.passing = Arc::downgrade(passing);
                }
                drop(life);
                if let Some(seat) = seat {
                    self.kind.places.stand_up(seat.number);
                }
                // The next one may be told to end.
                self.kind.is_asked.notify_one();
                drop(current);
                if let (Some(cluster), Some(activation)) = (cluster, activation_of(ended)) {
                    cluster.ended(&self.id, activation.epoch());
                }
                if let Some((epoch, hosting, permit)) = next {
                    self.admit(&ended.system, (epoch, hosting), permit);
                }
                if let Some(passing) = passing
                    && let Some(host) = ended.system.0.grains.get(G::KIND)
                {
                    host.clone().pass_on(&ended.system, self.id.key(), ended.life(), passing);
                }
                return;
            }
            life.current = Some(self.new_cell(&ended.system, None));
        }
        // The cluster has ended it: whoever lives here now has nothing to do with it.
        if ended.system.cluster().is_some() {
            drop(life);
            return ended.discard_all(&mut left, &Refusal::Fenced);
        }
        let Some(next) = life.current.clone() else { return };
        drop(life);
        next.take_over(&mut left);
        self.clone().begin(next, None);
    }
}

/// One life of a grain, of whom the cell is.
fn activation_of<G: Grain>(cell: &ActorCell<G>) -> Option<Arc<Activation>> {
    cell.setup.grain()?.clone().downcast().ok()
}

impl<G: Grain> Drop for Place<G> {
    fn drop(&mut self) {
        self.kind.places.forget(self.id.key());
    }
}

/// One activation, as its runner knows it.
struct Living<G: Grain> {
    place: Arc<Place<G>>,
    /// The number of this life.
    uid: u64,
    /// Where it is granted by a cluster.
    hosting: Option<Arc<Hosting>>,
}

/// What a task runs is dropped with it where all that its node hosts has ended. Nobody else may have the place then, and with it
/// goes the way to this life, whose cell connections of peers still know.
impl<G: Grain> Drop for Living<G> {
    fn drop(&mut self) {
        if self.hosting.as_ref().is_none_or(|hosting| hosting.may() != May::End) {
            return;
        }
        if let Some(living) = self.place.living().filter(|living| living.uid == self.uid) {
            self.place.evict_life(&living, &Refusal::Fenced);
        }
    }
}

impl<G: Grain> Origin<G> for Living<G> {
    fn build(&self) -> G {
        (self.place.kind.factory)()
    }

    fn grain(&self) -> Option<&dyn GrainLife<G>> {
        Some(self)
    }
}

impl<G: Grain> GrainLife<G> for Living<G> {
    fn run<'a>(
        &'a self,
        hook: GrainHook,
        actor: &'a mut G,
        ctx: &'a mut Context<G>,
    ) -> Dispatched<'a> {
        match hook {
            GrainHook::Activate => Box::pin(async move {
                let limit = self.place.kind.terms.activation_timeout;
                let activated = async {
                    let raise = |seen| match ctx.system().cluster() {
                        None => Some(self.place.kind.raise_above(seen)),
                        Some(cluster) => {
                            // A later one is how who lives elsewhere fences this one off, if it is of a view that there is.
                            if seen > ctx.activation().epoch() {
                                cluster.superseded(seen);
                            }
                            None
                        }
                    };
                    ctx.activation().claim(&raise).await?;
                    actor.activate(ctx).await
                };
                match tokio::time::timeout(limit, activated).await {
                    Ok(activated) => activated,
                    Err(_) => Err(format!("it was not activated within {limit:?}").into()),
                }
            }),
            // What it has to save would be refused.
            GrainHook::Passivate if ctx.activation().is_out_of_date() => {
                Box::pin(std::future::ready(Ok(())))
            }
            GrainHook::Passivate => Box::pin(actor.passivate(ctx)),
        }
    }

    fn hosting(&self) -> Option<Arc<Hosting>> {
        self.hosting.clone()
    }

    fn end(&self, cell: &ActorCell<G>, left: Work<G>) {
        if activation_of(cell).is_some_and(|activation| activation.count_out()) {
            crate::metrics::grain_ended(G::KIND);
        }
        self.place.end(cell, left);
    }
}

#[cfg(all(test, feature = "cluster"))]
mod tests {
    use rakt_wire::Address;

    use super::*;
    use crate::actor::Actor;
    use crate::grain::GrainKind;
    use crate::portable::PortableRef;
    use crate::reference::Life;

    #[derive(Default)]
    struct Cart;

    impl Actor for Cart {}

    impl Grain for Cart {
        const KIND: &'static str = "cart";
    }

    #[tokio::test]
    async fn what_was_found_on_a_node_that_is_gone_by_now_is_not_noted() {
        let system = ActorSystem::builder("near")
            .remoting(crate::remote::Config::new("127.0.0.1", 0))
            .grain(GrainKind::<Cart>::new());
        let system = system.start().await.expect("it starts");
        let kind = system.0.grains["cart"].clone().as_any().downcast::<Kind<Cart>>();
        let place = Place::of(&kind.expect("it lives here"), "1").expect("a place");
        let life = Life { uid: 7, incarnation: [7; 16] };
        let address = Address::new(place.id.path(), "near", "10.0.0.7", 3320).expect("an address");
        let found = system.resolve(&PortableRef::of_life(address, life));
        let note = |gone: [u8; 16]| {
            let found = ActorRef::from_target(found.target().clone());
            place.note_elsewhere(found, |run| run == gone);
            place.known(None).and_then(|known| known.life())
        };
        assert_eq!(note([8; 16]), Some(life), "another is gone");
        assert_eq!(note([7; 16]), None);
        system.shutdown().await;
    }
}
