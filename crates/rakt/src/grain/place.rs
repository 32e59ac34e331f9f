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

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;

use super::Grain;
use super::activation::Activation;
use super::hosted::{Hosted, Seat};
use super::id::GrainId;
use crate::cell::Cell;
use crate::context::{ActorCell, Context, Dispatched, GrainHook, GrainLife, Origin, Work};
use crate::error::{AddressError, Cause, Chain, Refusal};
use crate::events::StopReason;
use crate::inside::is_inside_any;
use crate::mailbox::arrivals::Reachable;
use crate::runner::Runner;
use crate::spawn::class_of;
use crate::sync::Mutex;
use crate::system::core::ActorSystem;

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
}

impl<G: Grain> Place<G> {
    /// Where the grain of that key lives, now or later.
    ///
    /// # Errors
    /// No grain can have that key.
    pub(super) fn of(kind: &Arc<Kind<G>>, key: &str) -> Result<Arc<Self>, Refusal> {
        let place = kind.places.get_or_make(key, |key| {
            let id = GrainId::of_kind(kind.name.clone(), key)?;
            let life = Mutex::new(Life { current: None, seat: None });
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
        let cell = self.new_cell(system);
        life.current = Some(cell.clone());
        drop(life);
        // Another one begins once the one before has ended.
        if is_first {
            self.clone().begin(cell.clone());
        }
        Ok(Some(cell))
    }

    fn new_cell(&self, system: &ActorSystem) -> Arc<ActorCell<G>> {
        let uid = system.next_uid();
        let (epoch, writer) = self.kind.next_epoch(uid);
        let terms = self.kind.terms.clone();
        let activation = Activation::new(self.id.clone(), terms, (epoch, writer));
        let mut setup = self.kind.setup.clone();
        setup.options().grain = Some(Arc::new(activation));
        let class = class_of::<G>(system).expect("its names were checked at the start");
        let path = self.id.path().into_boxed_str();
        Cell::new(system.clone(), path, uid, class, setup, None)
    }

    /// Has a task bring the activation to life.
    fn begin(self: Arc<Self>, cell: Arc<ActorCell<G>>) {
        let runtime = cell.system.runtime().clone();
        runtime.spawn(async move {
            let system = cell.system.clone();
            if system.0.is_over.load(Ordering::Acquire) || !system.0.registry.add(cell.clone()) {
                cell.abandon(&Refusal::ShuttingDown);
                cell.end(&StopReason::Shutdown);
                return self.end(&cell, Work::<G>::default());
            }
            crate::metrics::actor_started();
            let origin = Box::new(Living(self.clone()));
            crate::metrics::grain_began(G::KIND);
            let Err(fault) = Runner::start(cell.clone(), origin).await else { return };
            crate::metrics::grain_failed(G::KIND);
            let source = Cause::described(&fault);
            self.kind.failures.fetch_add(1, Ordering::Relaxed);
            if system.outlet().actor_log.allows("a grain did not come to life", &*cell.path) {
                let fault = Chain(&source);
                tracing::warn!(grain = %self.id, %fault, "a grain did not come to life");
            }
            cell.abandon(&Refusal::ActivationFailed { source });
            system.forget(&*cell);
            cell.end(&StopReason::Failed("it did not come to life".into()));
            self.end(&cell, Work::<G>::default());
        });
    }

    /// An activation has ended. What it has left is for the next one, which begins now if there is anything to do.
    fn end(self: &Arc<Self>, ended: &ActorCell<G>, mut left: Work<G>) {
        let mut life = self.life.lock();
        let is_last = life.current.as_ref().is_some_and(|current| current.uid == ended.uid);
        if is_last {
            if left.is_empty() {
                let Life { current, seat } = &mut *life;
                let (current, seat) = (current.take(), seat.take());
                drop(life);
                if let Some(seat) = seat {
                    self.kind.places.stand_up(seat.number);
                }
                // The next one may be told to end.
                self.kind.is_asked.notify_one();
                drop(current);
                return;
            }
            life.current = Some(self.new_cell(&ended.system));
        }
        let Some(next) = life.current.clone() else { return };
        drop(life);
        next.take_over(&mut left);
        self.clone().begin(next);
    }
}

impl<G: Grain> Drop for Place<G> {
    fn drop(&mut self) {
        self.kind.places.forget(self.id.key());
    }
}

/// One activation, as its runner knows it.
struct Living<G: Grain>(Arc<Place<G>>);

impl<G: Grain> Origin<G> for Living<G> {
    fn build(&self) -> G {
        (self.0.kind.factory)()
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
                let limit = self.0.kind.terms.activation_timeout;
                let activated = async {
                    let raise = |seen| self.0.kind.raise_above(seen);
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

    fn end(&self, cell: &ActorCell<G>, left: Work<G>) {
        crate::metrics::grain_ended(G::KIND);
        self.0.end(cell, left);
    }
}
