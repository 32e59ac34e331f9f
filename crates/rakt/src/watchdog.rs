//! A thread that looks out for handlers which keep a thread of the runtime to themselves.
//!
//! In tokio a thread that has just been told of bytes and timers runs a task before any other thread waits
//! for them. If that task blocks, nobody hears of bytes and timers any more, however many threads are free.
//! So this thread looks, ten times a second while actors run, whether a handler is still where it was. While
//! that is so it gives the runtime an empty task from outside, for which another thread wakes up, and that
//! one waits for bytes and timers then. It also has the system help those that the blocked thread has woken
//! and keeps to itself.
//!
//! A handler pays two stores to memory of its thread for that, each time it is polled.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::sync::GlobalMutex;

/// From one look to the next while actors run.
const LOOK: Duration = Duration::from_millis(100);
/// From one look to the next while none does.
const IDLE_LOOK: Duration = Duration::from_millis(500);
/// A handler that has kept a thread for this long is told of, and again each time that has doubled. 5 s.
const TOLD_AFTER: Duration = Duration::from_secs(5);

/// A system that is looked after.
pub(crate) trait Ward: Send + Sync {
    /// What its actors run on.
    fn runtime(&self) -> &Handle;

    /// It has ended.
    fn is_over(&self) -> bool;

    /// Some handler keeps a thread. Called at each look while that is so. For `stands_for` nothing has run
    /// on the runtime at all.
    fn help(&self, stands_for: Option<Duration>);

    /// The actor of this number has kept a thread for so long; false if it is none of this system.
    fn tell(&self, actor: u64, blocked_for: Duration, stands_still: bool) -> bool;
}

/// What a thread does, as the watchdog sees it.
#[derive(Default)]
struct Place {
    /// The number of the actor whose code runs; 0 if none does.
    actor: AtomicU64,
    /// How often code of actors has begun to run.
    begun: AtomicU64,
}

thread_local! {
    static HERE: Arc<Place> = WATCH.new_place();
}

/// Runs code of an actor, which is not to panic, on this thread.
#[inline]
pub(crate) fn handling<T>(actor: u64, code: impl FnOnce() -> T) -> T {
    let mut code = Some(code);
    let run = |here: &Arc<Place>| {
        let outer = here.actor.load(Ordering::Relaxed);
        here.actor.store(actor, Ordering::Relaxed);
        here.begun.store(here.begun.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        let done = code.take().map(|code| code());
        here.actor.store(outer, Ordering::Relaxed);
        done
    };
    let done = HERE.try_with(run).ok().flatten();
    // A thread that ends is not looked at.
    done.unwrap_or_else(|| (code.take().expect("it has not run"))())
}

/// The number of the actor whose code runs on this thread; 0 if none does.
pub(crate) fn handled_here() -> u64 {
    HERE.try_with(|here| here.actor.load(Ordering::Relaxed)).unwrap_or(0)
}

/// Has a system looked after until it is over.
pub(crate) fn look_after(ward: Weak<dyn Ward>) {
    let ward = Kept { ward, answer: Arc::default(), asked: None };
    let mut wards = WATCH.wards.lock();
    wards.kept.push(ward);
    if wards.has_thread {
        return;
    }
    let thread = std::thread::Builder::new().name("rakt-watchdog".to_owned());
    match thread.spawn(|| WATCH.run()) {
        Ok(_) => wards.has_thread = true,
        Err(error) => tracing::warn!(%error, "nobody looks out for handlers that block"),
    }
}

static WATCH: Watch = Watch {
    places: GlobalMutex::new(Vec::new()),
    wards: GlobalMutex::new(Wards { kept: Vec::new(), has_thread: false }),
};

/// What one process has of this.
struct Watch {
    places: GlobalMutex<Vec<Seen>>,
    wards: GlobalMutex<Wards>,
}

struct Wards {
    kept: Vec<Kept>,
    has_thread: bool,
}

/// A thread as it was at the last look.
struct Seen {
    place: Arc<Place>,
    begun: u64,
    /// Since when the code that runs was seen running.
    since: Option<Instant>,
    /// When it is told of next.
    told_after: Duration,
}

/// A system, and whether its runtime answers.
struct Kept {
    ward: Weak<dyn Ward>,
    answer: Arc<AtomicBool>,
    /// When the runtime was given the task that it has not run yet.
    asked: Option<Instant>,
}

/// What a look has shown.
#[derive(Default)]
struct Look {
    has_moved: bool,
    is_blocked: bool,
    /// Of whom is to be told, and for how long they have kept a thread.
    told: Vec<(u64, Duration)>,
}

impl Watch {
    fn new_place(&self) -> Arc<Place> {
        let place = Arc::<Place>::default();
        let seen = Seen { place: place.clone(), begun: 0, since: None, told_after: TOLD_AFTER };
        self.places.lock().push(seen);
        place
    }

    /// Looks again and again until nobody is to be looked after.
    fn run(&self) {
        let mut pause = LOOK;
        loop {
            std::thread::sleep(pause);
            // Who logs and who listens is not known here.
            let looked = std::panic::catch_unwind(AssertUnwindSafe(|| self.look(Instant::now())));
            let is_busy = looked.unwrap_or_else(|_| {
                tracing::error!("a look at what blocks has panicked");
                true
            });
            pause = if is_busy { LOOK } else { IDLE_LOOK };
            let mut wards = self.wards.lock();
            let is_there = |ward: Arc<dyn Ward>| !ward.is_over();
            wards.kept.retain(|kept| kept.ward.upgrade().is_some_and(is_there));
            if wards.kept.is_empty() {
                wards.kept.shrink_to_fit();
                wards.has_thread = false;
                return;
            }
        }
    }

    /// Looks once; says whether anything runs.
    fn look(&self, now: Instant) -> bool {
        let mut look = Look::default();
        let mut places = self.places.lock();
        // A thread that has ended has let go of its place.
        places.retain_mut(|seen| Arc::strong_count(&seen.place) > 1 && seen.look(now, &mut look));
        drop(places);
        let mut wards = self.wards.lock();
        let helped: Vec<_> =
            wards.kept.iter_mut().filter_map(|kept| kept.ask(now, look.is_blocked)).collect();
        drop(wards);
        for (ward, stands_for) in &helped {
            ward.help(*stands_for);
        }
        for (actor, blocked_for) in look.told {
            helped.iter().any(|(ward, stands)| ward.tell(actor, blocked_for, stands.is_some()));
        }
        look.has_moved || look.is_blocked
    }
}

impl Seen {
    /// Compares with the last look. Says true: it is to be kept.
    fn look(&mut self, now: Instant, look: &mut Look) -> bool {
        let (actor, begun) =
            (self.place.actor.load(Ordering::Relaxed), self.place.begun.load(Ordering::Relaxed));
        if begun != self.begun || actor == 0 {
            look.has_moved |= begun != self.begun;
            self.begun = begun;
            self.since = (actor != 0).then_some(now);
            self.told_after = TOLD_AFTER;
            return true;
        }
        look.is_blocked = true;
        let blocked_for = now - *self.since.get_or_insert(now);
        if blocked_for >= self.told_after {
            look.told.push((actor, blocked_for));
            self.told_after *= 2;
        }
        true
    }
}

impl Kept {
    /// Gives the runtime something to do, if a handler blocks. Returns the system then, and for how long
    /// its runtime has done nothing.
    fn ask(&mut self, now: Instant, is_blocked: bool) -> Option<(Arc<dyn Ward>, Option<Duration>)> {
        if !is_blocked {
            self.asked = None;
            return None;
        }
        let ward = self.ward.upgrade().filter(|ward| !ward.is_over())?;
        if let Some(asked) = self.asked
            && !self.answer.load(Ordering::Relaxed)
        {
            return Some((ward, Some(now - asked)));
        }
        self.asked = Some(now);
        // A new one: an answer that is late is none to this question.
        self.answer = Arc::default();
        let answer = self.answer.clone();
        ward.runtime().spawn(async move { answer.store(true, Ordering::Relaxed) });
        Some((ward, None))
    }
}

/// Starts a task of which others may depend, from within a handler that may block next: a thread keeps the
/// task that it was told of last to itself, so that is an empty one.
#[allow(dead_code, reason = "for the remote half, which is a feature")]
pub(crate) fn spawn_apart(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    runtime.spawn(task);
    runtime.spawn(async {});
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system that notes what is done for it.
    struct Noting {
        runtime: Handle,
        helped: GlobalMutex<Vec<Option<Duration>>>,
        told: GlobalMutex<Vec<(u64, Duration, bool)>>,
    }

    impl Ward for Noting {
        fn runtime(&self) -> &Handle {
            &self.runtime
        }

        fn is_over(&self) -> bool {
            false
        }

        fn help(&self, stands_for: Option<Duration>) {
            self.helped.lock().push(stands_for);
        }

        fn tell(&self, actor: u64, blocked_for: Duration, stands_still: bool) -> bool {
            self.told.lock().push((actor, blocked_for, stands_still));
            true
        }
    }

    fn watched() -> (Watch, Arc<Place>, Arc<Noting>) {
        let (helped, told) = Default::default();
        let ward = Arc::new(Noting { runtime: Handle::current(), helped, told });
        let weak: Weak<dyn Ward> = Arc::downgrade(&ward) as _;
        let kept = vec![Kept { ward: weak, answer: Arc::default(), asked: None }];
        let wards = GlobalMutex::new(Wards { kept, has_thread: true });
        let watch = Watch { places: GlobalMutex::default(), wards };
        let place = watch.new_place();
        (watch, place, ward)
    }

    fn begins(place: &Place, actor: u64) {
        place.actor.store(actor, Ordering::Relaxed);
        place.begun.fetch_add(1, Ordering::Relaxed);
    }

    #[tokio::test]
    async fn a_runtime_is_given_a_task_from_outside_while_a_handler_keeps_a_thread() {
        let ((watch, place, ward), start) = (watched(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!watch.look(at(0)), "nothing runs");
        begins(&place, 7);
        assert!(watch.look(at(100)), "it has begun");
        assert!(ward.helped.lock().is_empty(), "and may be over any moment");
        assert!(watch.look(at(200)));
        // The runtime runs the task that it was given, and is given the next one.
        tokio::task::yield_now().await;
        assert!(watch.look(at(300)));
        // It does not.
        assert!(watch.look(at(400)) && watch.look(at(500)));
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(*ward.helped.lock(), [None, None, millis(100), millis(200)]);
        begins(&place, 8);
        begins(&place, 0);
        assert!(watch.look(at(600)), "others have run");
        assert!(!watch.look(at(700)));
        assert_eq!(ward.helped.lock().len(), 4, "nobody needs help");
    }

    #[tokio::test]
    async fn who_blocks_is_told_of_after_five_seconds_and_each_time_that_has_doubled() {
        let ((watch, place, ward), start) = (watched(), Instant::now());
        begins(&place, 7);
        for seconds in 0..=22 {
            watch.look(start + Duration::from_secs(seconds));
            tokio::task::yield_now().await;
        }
        let times = [5, 10, 20].map(|seconds| (7, Duration::from_secs(seconds), false));
        assert_eq!(*ward.told.lock(), times);
    }

    #[tokio::test]
    async fn a_thread_is_forgotten_once_it_has_ended() {
        let (watch, place, _ward) = watched();
        watch.look(Instant::now());
        assert_eq!(watch.places.lock().len(), 1);
        drop(place);
        watch.look(Instant::now());
        assert!(watch.places.lock().is_empty());
    }

    #[test]
    fn what_a_handler_runs_is_its_own_again_after_another_ran_within() {
        let here = || HERE.with(|here| here.actor.load(Ordering::Relaxed));
        handling(1, || {
            handling(2, || assert_eq!(here(), 2));
            assert_eq!(here(), 1);
        });
        assert_eq!(here(), 0);
    }
}
