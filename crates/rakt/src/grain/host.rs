//! What is done for all grains of a kind that live here: they are registered, looked after and told of.

use std::any::Any;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rakt_wire::validate_name;
use tokio::sync::Semaphore;

use super::Grain;
use super::epoch::Epoch;
use super::hosted::Hosted;
use super::id::GrainId;
use super::kind::GrainKind;
use super::place::{Kind, Place};
use super::placement::Placement;
use super::relay::Relay;
use super::reminders;
use super::room::room;
use crate::actor::{Accepts, Handler};
use crate::context::Context;
use crate::error::{Bound, Cause, Chain, Refusal, Result};
use crate::hosting::May;
use crate::mailbox::arrivals::Reachable;
use crate::message::Message;
use crate::reference::{AnyCell, Life, Target};
use crate::signal::{Signal, Signalled};
use crate::spawn::class_of;
use crate::system::SystemBuilder;
use crate::system::core::{
    Activating, ActorSystem, Entering, GrainFault, GrainHost, GrainLife, GrainReport, Granted,
    Token,
};
use crate::timers::now;

/// Grains are looked through for those that are idle by so many at a time, before others get a turn.
const SWEPT: usize = 1024;

/// All that live at the moment, by some at a time.
fn living<G: Grain>(kind: &Kind<G>) -> impl Iterator<Item = Vec<Arc<Place<G>>>> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let (some, after) = kind.places.from(next?, SWEPT);
        next = after;
        Some(some)
    })
}

/// How often it is looked at whether the grains live that are to be kept alive.
const KEEP: Duration = Duration::from_millis(500);

/// Brings the grains to life that are to be kept alive, if that is for this node to do.
async fn keep_alive<G: Grain>(kind: Weak<Kind<G>>, system: ActorSystem) {
    loop {
        let Some(host) = kind.upgrade() else { return };
        for key in &host.terms.kept {
            let Ok(place) = Place::of(&host, key) else { continue };
            let is_ours = system.cluster().is_none_or(|cluster| cluster.is_owner(&place.id));
            if !is_ours || matches!(place.known(None), Some(Target::Local(_))) {
                continue;
            }
            let limit = system.ask_timeout();
            let awake = tokio::time::timeout(limit, host.activate(&system, key)).await;
            if let Ok(Err(refusal)) = awake
                && system.outlet().actor_log.allows("a grain is not kept alive", place.id.path())
            {
                let refusal = Chain(&refusal);
                tracing::warn!(grain = %place.id, %refusal, "a grain that is to be kept alive is not");
            }
        }
        drop(host);
        tokio::time::sleep(KEEP).await;
    }
}

/// Tells those that are idle for longer than they may be to end.
async fn sweep<G: Grain>(kind: &Kind<G>, idle: Duration) {
    let kept = &kind.terms.kept;
    for some in living(kind) {
        let now = now();
        let may_end = |place: &&Arc<Place<G>>| !kept.iter().any(|key| key == place.id.key());
        for cell in some.iter().filter(may_end).filter_map(|place| place.living()) {
            if cell.rested_for(now).is_some_and(|rested| rested >= idle) {
                cell.signal(Signal::Passivate);
            }
        }
        drop(some);
        tokio::task::yield_now().await;
    }
}

/// Tells the cluster that a grain which it has granted does not come to life.
fn refuse(system: &ActorSystem, (kind, key): (&str, &str), epoch: Epoch, refusal: &Refusal) {
    let Some(cluster) = system.cluster() else { return };
    if let Ok(id) = GrainId::new(kind, key) {
        cluster.failed(&id, epoch, &Cause::described(refusal));
        cluster.ended(&id, epoch);
    }
}

/// Is answered once the grain lives.
struct Wake;

impl Message for Wake {
    type Reply = ();
}

impl<G: Grain> Handler<Wake> for G {
    async fn handle(&mut self, _: Wake, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

impl<G: Grain> Kind<G> {
    /// Whether a life that waited for room may begin, which was granted or is without a grant.
    fn may_begin(&self, epoch: Epoch, may: May) -> bool {
        match self.terms.are_available() {
            true if epoch.is_granted() => may != May::End,
            true => may != May::Run,
            false => may == May::Run,
        }
    }
}

impl<G: Grain> GrainHost for Kind<G> {
    fn check(&self) -> std::result::Result<(), GrainFault> {
        validate_name(&self.name).map_err(GrainFault::Name)?;
        if self.are_available() && self.terms.store.is_some() {
            return Err(GrainFault::StoreOfMany);
        }
        Accepts::<G>::of_actor().map(drop).map_err(GrainFault::DuplicateName)
    }

    fn wire_names(&self) -> Vec<&'static str> {
        Accepts::<G>::of_actor().map(|accepts| accepts.wire_names().collect()).unwrap_or_default()
    }

    fn accepted(&self, system: &ActorSystem, wire_name: &str) -> Option<u16> {
        class_of::<G>(system).ok()?.accepted(wire_name)
    }

    fn enter(self: Arc<Self>, system: &ActorSystem, key: &str, closed: Option<u64>) -> Entering {
        if system.0.is_clustered {
            let relay = self.relay(system, key).ok_or(Refusal::NotFound);
            return Box::pin(std::future::ready(relay));
        }
        let (system, place) = (system.clone(), Place::of(&self, key));
        Box::pin(async move {
            let (place, mut permit) = (place?, None);
            loop {
                if let Some(cell) = place.enter(&system, closed, &mut permit)? {
                    return Ok(cell as Arc<dyn Reachable>);
                }
                permit = Some(room(self.clone(), system.clone()).await);
            }
        })
    }

    fn activate(&self, system: &ActorSystem, key: &str) -> Activating {
        let grain = system.grain::<G>(key);
        if let Some(cluster) = system.cluster().cloned() {
            return Box::pin(async move {
                let id = grain
                    .id()
                    .map_err(|error| Refusal::InvalidArgument { source: Cause::new(error) })?;
                cluster.find(&id, None).await.map(drop)
            });
        }
        Box::pin(async move {
            let asked = grain.ask(Wake).await;
            asked.map_err(|error| error.refusal().cloned().unwrap_or(Refusal::DeadlineExceeded))
        })
    }

    fn deactivate(&self, system: &ActorSystem, key: &str) -> Activating {
        let grain = system.grain::<G>(key);
        Box::pin(async move {
            let ended = grain.deactivate().await;
            ended.map_err(|error| error.refusal().cloned().unwrap_or(Refusal::DeadlineExceeded))
        })
    }

    fn pass_on(self: Arc<Self>, system: &ActorSystem, key: &str, ended: Life, token: Token) {
        if let (Ok(place), Ok(class)) = (Place::of(&self, key), class_of::<G>(system)) {
            let relay = Arc::new(Relay::new(place, system.clone(), class));
            system.runtime().spawn(relay.pass_on(ended, token));
        }
    }

    fn begin(self: Arc<Self>, system: &ActorSystem) {
        // The list of messages is user code: from now on it is known, and not asked for under a lock.
        let _ = class_of::<G>(system);
        let (over, kind) = (system.shutdown_begun(), Arc::downgrade(&self));
        let idle = self.setup.passivate_after().expect("it has a default");
        system.runtime().spawn(async move {
            let swept = async {
                let interval = (idle / 4).clamp(Duration::from_millis(1), Duration::from_secs(15));
                loop {
                    tokio::time::sleep(interval).await;
                    let Some(kind) = kind.upgrade() else { return };
                    sweep(&kind, idle).await;
                }
            };
            tokio::select! {
                () = over => {}
                () = swept => {}
            }
        });
        if !self.terms.kept.is_empty() {
            let kept = keep_alive(Arc::downgrade(&self), system.clone());
            let over = system.shutdown_begun();
            system.runtime().spawn(async move {
                tokio::select! {
                    () = over => {}
                    () = kept => {}
                }
            });
        }
        if let Some(store) = self.terms.store.clone() {
            reminders::begin::<G>(store, self.terms.reminder_interval, system);
        }
    }

    fn relay(self: Arc<Self>, system: &ActorSystem, key: &str) -> Option<Arc<dyn Reachable>> {
        let (place, class) = (Place::of(&self, key).ok()?, class_of::<G>(system).ok()?);
        Some(Arc::new(Relay::new(place, system.clone(), class)))
    }

    fn placing(&self) -> (Placement, Option<String>) {
        (self.terms.placement, self.terms.role.clone())
    }

    fn are_available(&self) -> bool {
        self.terms.are_available()
    }

    fn admit(self: Arc<Self>, system: &ActorSystem, granted: Granted) {
        let Granted { key, epoch, hosting } = granted;
        let system = system.clone();
        let place = match Place::of(&self, &key) {
            Ok(place) => place,
            Err(refusal) => return refuse(&system, (G::KIND, &key), epoch, &refusal),
        };
        if let Some(permit) = self.try_room() {
            return place.admit(&system, (epoch, hosting), permit);
        }
        let runtime = system.runtime().clone();
        runtime.spawn(async move {
            let limit = self.terms.activation_timeout;
            match tokio::time::timeout(limit, room(self.clone(), system.clone())).await {
                // It may have waited for long.
                Ok(permit) if self.may_begin(epoch, hosting.may()) => {
                    place.admit(&system, (epoch, hosting), permit);
                }
                Ok(_) => refuse(&system, (G::KIND, &key), epoch, &Refusal::Fenced),
                Err(_) => {
                    let (bound, limit) = (Bound::Grains, self.limit as u64);
                    let refusal = Refusal::ResourceExhausted { bound, limit };
                    refuse(&system, (G::KIND, &key), epoch, &refusal);
                }
            }
        });
    }

    fn evict(&self, refusal: &Refusal) {
        if !self.are_available() {
            living(self).flatten().for_each(|place| place.evict(refusal));
        }
    }

    fn forget_routes(&self, is_gone: &dyn Fn([u8; 16]) -> bool) {
        self.places.each(|place| place.forget_route(is_gone));
    }

    fn living(&self) -> Vec<Arc<dyn AnyCell>> {
        let cells = living(self).flatten().filter_map(|place| place.living());
        cells.map(|cell| cell as Arc<dyn AnyCell>).collect()
    }

    fn lives(&self) -> Vec<GrainLife> {
        let lives = living(self).flatten().filter_map(|place| {
            let (epoch, cell) = place.life()?;
            Some((place.id.clone(), epoch, cell as Arc<dyn AnyCell>))
        });
        lives.collect()
    }

    fn count(&self) -> u64 {
        (self.limit.min(Semaphore::MAX_PERMITS) - self.room.available_permits()) as u64
    }

    fn report(&self) -> GrainReport {
        let keys: Vec<_> = living(self).flatten().map(|place| place.id.key().to_owned()).collect();
        GrainReport {
            kind: G::KIND,
            active: keys.len(),
            limit: self.limit,
            activations: self.activations.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            keys,
        }
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl SystemBuilder {
    /// Has grains of a kind live in this system. Default: none. A kind that is registered twice is an error of
    /// [`start`](Self::start), and so is one whose name is not valid.
    pub fn grain<G: Grain>(mut self, kind: GrainKind<G>) -> Self {
        let kind: Arc<Kind<G>> = Arc::new(Hosted::new(kind));
        if self.grains.insert(G::KIND, kind).is_some() {
            self.duplicate_kind.get_or_insert_with(|| G::KIND.to_owned());
        }
        self
    }
}

impl ActorSystem {
    /// The grains of each kind that live here. Takes time that grows with their number.
    pub fn grains(&self) -> Vec<GrainReport> {
        self.0.grains.values().map(|kind| kind.report()).collect()
    }
}
