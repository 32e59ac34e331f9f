//! The grains of a kind that live here.

use std::any::Any;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rakt_wire::validate_name;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Grain;
use super::epoch::{Epoch, Writer};
use super::id::GrainId;
use super::kind::{GrainKind, Terms};
use super::place::Place;
use super::reminders;
use crate::actor::Accepts;
use crate::cell::Setup;
use crate::error::AddressError;
use crate::signal::{Signal, Signalled};
use crate::sync::Mutex;
use crate::system::core::{ActorSystem, GrainFault, GrainHost, GrainReport};
use crate::timers::now;

/// Lookups on many threads seldom meet at one lock.
const SHARDS: usize = 64;

/// So many living grains are looked at for one that can end in favour of another.
const LOOKED_AT: usize = 64;

/// How long somebody waits for a grain to end before another one is asked to.
const PATIENCE: Duration = Duration::from_millis(20);

/// Grains are looked through for those that are idle by so many at a time, before others get a turn.
const SWEPT: usize = 1024;

/// A kind of grains that live here.
pub(super) struct Hosted<G: Grain> {
    pub(super) name: Arc<str>,
    pub(super) factory: Arc<dyn Fn() -> G + Send + Sync>,
    pub(super) setup: Setup,
    pub(super) terms: Arc<Terms>,
    /// Those that live or that somebody has a reference to.
    places: Box<[Mutex<Places<G>>]>,
    /// Peers choose keys, so nobody else is to know how they are hashed.
    random: RandomState,
    /// A permit for each that lives.
    room: Arc<Semaphore>,
    pub(super) limit: usize,
    living: Mutex<Living<G>>,
    generation: AtomicU64,
    activations: AtomicU64,
    failures: AtomicU64,
    incarnation: [u8; 16],
}

type Places<G> = HashMap<Arc<str>, Weak<Place<G>>>;

/// All that live, to be gone through.
struct Living<G: Grain> {
    seats: Vec<Option<Weak<Place<G>>>>,
    free: Vec<u32>,
    /// Where the next one is looked for that can end.
    hand: usize,
}

/// One of the places that a kind has for those that live: it is free again once this is dropped.
pub(super) struct Seat {
    pub(super) number: u32,
    _permit: OwnedSemaphorePermit,
}

impl<G: Grain> Hosted<G> {
    pub(super) fn new(kind: GrainKind<G>) -> Self {
        let GrainKind { factory, setup, limit, terms } = kind;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            name: G::KIND.into(),
            factory,
            setup,
            terms: Arc::new(terms),
            places: (0..SHARDS).map(|_| Mutex::default()).collect(),
            random: RandomState::new(),
            room: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            limit,
            living: Mutex::new(Living { seats: Vec::new(), free: Vec::new(), hand: 0 }),
            generation: AtomicU64::new(since_epoch.as_secs()),
            activations: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            incarnation: fastrand::u128(..).to_be_bytes(),
        }
    }

    fn shard(&self, key: &str) -> &Mutex<Places<G>> {
        // The map goes by the bits at both ends.
        &self.places[(self.random.hash_one(key) >> 40) as usize % SHARDS]
    }

    /// Where the grain of that key lives, now or later.
    pub(super) fn place(self: &Arc<Self>, key: &str) -> Result<Arc<Place<G>>, AddressError> {
        let mut places = self.shard(key).lock();
        if let Some(place) = places.get(key).and_then(Weak::upgrade) {
            return Ok(place);
        }
        let id = GrainId::of_kind(self.name.clone(), key)?;
        let place = Arc::new(Place::new(self.clone(), id));
        places.insert(key.into(), Arc::downgrade(&place));
        Ok(place)
    }

    /// Nobody knows the place any more, unless there is a new one.
    pub(super) fn forget(&self, key: &str) {
        let mut places = self.shard(key).lock();
        if places.get(key).is_some_and(|place| place.strong_count() == 0) {
            places.remove(key);
        }
        // A burst is to leave nothing behind.
        if places.capacity() > 64 && places.len() < places.capacity() / 8 {
            places.shrink_to_fit();
        }
    }

    /// Room for one more, if there is some.
    pub(super) fn try_room(&self) -> Option<OwnedSemaphorePermit> {
        self.room.clone().try_acquire_owned().ok()
    }

    /// Room for one more, which others make where there is none.
    pub(super) async fn room(self: Arc<Self>) -> OwnedSemaphorePermit {
        let mut free = std::pin::pin!(self.room.clone().acquire_owned());
        loop {
            self.make_room();
            if let Ok(permit) = tokio::time::timeout(PATIENCE, &mut free).await {
                return permit.expect("it is never closed");
            }
        }
    }

    /// Has one end that is idle: of some the one that is idle longest.
    pub(super) fn make_room(&self) {
        let candidates: Vec<_> = {
            let mut living = self.living.lock();
            let len = living.seats.len();
            let looked_at = (0..len.min(LOOKED_AT)).map(|n| (living.hand + n) % len);
            let candidates =
                looked_at.filter_map(|seat| living.seats[seat].as_ref()?.upgrade()).collect();
            living.hand = (living.hand + LOOKED_AT) % len.max(1);
            candidates
        };
        let now = now();
        let resting = candidates.iter().filter_map(|place| {
            let cell = place.living()?;
            Some((cell.rested_for(now)?, cell))
        });
        if let Some((_, cell)) = resting.max_by_key(|(rested, _)| *rested) {
            cell.signal(Signal::Passivate);
        }
    }

    pub(super) fn sit_down(&self, place: &Arc<Place<G>>, permit: OwnedSemaphorePermit) -> Seat {
        let mut living = self.living.lock();
        let place = Some(Arc::downgrade(place));
        let number = match living.free.pop() {
            Some(number) => {
                living.seats[number as usize] = place;
                number
            }
            None => {
                living.seats.push(place);
                u32::try_from(living.seats.len() - 1).expect("a process has fewer grains")
            }
        };
        Seat { number, _permit: permit }
    }

    pub(super) fn stand_up(&self, seat: Seat) {
        let mut living = self.living.lock();
        living.seats[seat.number as usize] = None;
        living.free.push(seat.number);
        if living.free.len() == living.seats.len() {
            (living.seats, living.free) = (Vec::new(), Vec::new());
        }
    }

    /// What the next activation goes by.
    pub(super) fn next_epoch(&self, uid: u64) -> (Epoch, Writer) {
        let counter = self.activations.fetch_add(1, Ordering::Relaxed);
        let generation = self.generation.load(Ordering::Relaxed);
        let writer = Writer { incarnation: self.incarnation, uid };
        (Epoch { generation, view: 0, counter }, writer)
    }

    /// A store has seen a later epoch: the clock was ahead, or the store is older than this node.
    pub(super) fn raise_above(&self, seen: Epoch) -> Epoch {
        let above = seen.generation.saturating_add(1);
        let generation = self.generation.fetch_max(above, Ordering::Relaxed).max(above);
        let counter = self.activations.load(Ordering::Relaxed);
        Epoch { generation, view: 0, counter }
    }

    pub(super) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// All that live at the moment, from the seat of that number on, and that of the first that was left out.
    fn living_from(&self, first: usize) -> (Vec<Arc<Place<G>>>, Option<usize>) {
        let living = self.living.lock();
        let end = first.saturating_add(SWEPT).min(living.seats.len());
        let some = living.seats.get(first..end).unwrap_or_default();
        let some = some.iter().filter_map(|place| place.as_ref()?.upgrade()).collect();
        (some, (end < living.seats.len()).then_some(end))
    }

    fn all_living(&self) -> Vec<Arc<Place<G>>> {
        let mut next = Some(0);
        let parts = std::iter::from_fn(|| {
            let (some, after) = self.living_from(next?);
            next = after;
            Some(some)
        });
        parts.flatten().collect()
    }

    /// Tells those that are idle for longer than they may be to end.
    async fn sweep(&self, idle: Duration) {
        let mut next = Some(0);
        while let Some(first) = next {
            let (some, after) = self.living_from(first);
            let now = now();
            for cell in some.iter().filter_map(|place| place.living()) {
                if cell.rested_for(now).is_some_and(|rested| rested >= idle) {
                    cell.signal(Signal::Passivate);
                }
            }
            next = after;
            tokio::task::yield_now().await;
        }
    }
}

impl<G: Grain> GrainHost for Hosted<G> {
    fn check(&self) -> Result<(), GrainFault> {
        validate_name(&self.name).map_err(GrainFault::Name)?;
        Accepts::<G>::of_actor().map(drop).map_err(GrainFault::DuplicateName)
    }

    fn begin(self: Arc<Self>, system: &ActorSystem) {
        let (over, kind) = (system.shutdown_begun(), Arc::downgrade(&self));
        let idle = self.setup.passivate_after().expect("it has a default");
        system.runtime().spawn(async move {
            let swept = async {
                let interval = (idle / 4).clamp(Duration::from_millis(1), Duration::from_secs(15));
                loop {
                    tokio::time::sleep(interval).await;
                    let Some(kind) = kind.upgrade() else { return };
                    kind.sweep(idle).await;
                }
            };
            tokio::select! {
                () = over => {}
                () = swept => {}
            }
        });
        reminders::begin(self, system);
    }

    fn report(&self) -> GrainReport {
        let places = self.all_living();
        let keys: Vec<_> = places.iter().map(|place| place.id.key().to_owned()).collect();
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

impl ActorSystem {
    /// The kind, if grains of it live here.
    pub(super) fn hosted<G: Grain>(&self) -> Option<Arc<Hosted<G>>> {
        let hosted = self.0.grains.get(G::KIND)?.clone();
        hosted.as_any().downcast().ok()
    }

    /// The grains of each kind that live here. Takes time that grows with their number.
    pub fn grains(&self) -> Vec<GrainReport> {
        self.0.grains.values().map(|kind| kind.report()).collect()
    }
}
