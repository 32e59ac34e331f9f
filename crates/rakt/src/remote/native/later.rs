//! Waking that waits until this thread of the runtime has run all that is ready.
//!
//! Until then more may come of what the woken one is to do, and it does all of that at once. And tokio wakes a sleeping
//! thread when a task is woken while another is ready, who then takes it away to do the little that there is; for those
//! that are woken later it does so once, however many they are.
//!
//! Who waits for that has bad luck where something that is ready takes long: no other thread can help. So
//! [`Patience`] sees how long it took, and whoever waits for an answer goes at once for a while where that was long.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::sync::GlobalMutex;
use crate::timers::now;

/// Wakes a task once this thread of the runtime has run all tasks that are ready, or looks at its sockets in between,
/// which it does every 61 of them. In a thread that runs no tasks, at once.
pub(super) fn wake_later(task: &Waker) {
    // What a task does that lets others go first. Its waker is that of the other here.
    let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(task));
}

/// It is not to take longer than this until others have run.
const LONG: Duration = Duration::from_millis(1);

/// When it has, nobody is let go first so many times.
const HASTE: u32 = 256;

/// Whether to let others go first.
#[derive(Default)]
pub(super) struct Patience {
    since: Option<Instant>,
    /// So many times more nobody is let go first.
    haste: u32,
}

impl Patience {
    /// Whether others may go first this time.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        self.haste = self.haste.saturating_sub(1);
        let has_time = self.haste == 0;
        self.since = has_time.then_some(now);
        has_time
    }

    /// It is our turn again.
    pub(super) fn end(&mut self, now: Instant) {
        if self.since.take().is_some_and(|since| now.saturating_duration_since(since) > LONG) {
            self.haste = HASTE;
        }
    }
}

/// Room for so many tasks is kept.
const KEPT: usize = 64;

/// Tasks that are woken together: where several threads may run them, later.
pub(super) struct Together {
    tasks: Vec<Waker>,
    /// Where there is one thread, no other is woken.
    later: Option<(Arc<Later>, Waker)>,
}

/// Those whose time is to come.
#[derive(Default)]
struct Later(GlobalMutex<(Vec<Waker>, Patience)>);

impl Default for Together {
    /// For tasks of this runtime.
    fn default() -> Self {
        Self::on(Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers()))
    }
}

impl Together {
    /// For tasks that so many threads run.
    fn on(threads: usize) -> Self {
        let later = (threads > 1).then(Arc::<Later>::default);
        Self { tasks: Vec::new(), later: later.map(|later| (later.clone(), later.into())) }
    }

    pub(super) fn add(&mut self, task: Waker) {
        self.tasks.push(task);
    }

    /// Wakes all that were added since the last call. With no lock held.
    pub(super) fn wake(&mut self) {
        let later = self.later.as_ref().filter(|_| self.tasks.len() > 1);
        match later {
            Some((later, waker)) if later.take(&mut self.tasks) => wake_later(waker),
            _ => self.tasks.drain(..).for_each(Waker::wake),
        }
        self.tasks.shrink_to(KEPT);
    }

    /// Wakes those whose time is to come: the thread that they wait for is held up.
    pub(super) fn hurry(&self) {
        if let Some((_, waker)) = &self.later {
            waker.wake_by_ref();
        }
    }
}

impl Later {
    /// Takes the tasks, unless the last ones had to wait for long.
    fn take(&self, tasks: &mut Vec<Waker>) -> bool {
        let (waiting, patience) = &mut *self.0.lock();
        let has_time = patience.begin(now());
        if has_time {
            waiting.append(tasks);
        }
        has_time
    }
}

impl Wake for Later {
    fn wake(self: Arc<Self>) {
        let mut state = self.0.lock();
        let (waiting, patience) = &mut *state;
        patience.end(now());
        let waiting = std::mem::take(waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn who_had_to_wait_for_long_does_not_wait_for_a_while() {
        let (start, mut patience) = (Instant::now(), Patience::default());
        assert!(patience.begin(start));
        patience.end(start + LONG);
        assert!(patience.begin(start));
        patience.end(start + LONG + Duration::from_nanos(1));
        for _ in 1..HASTE {
            assert!(!patience.begin(start));
            patience.end(start + Duration::from_secs(1));
        }
        assert!(patience.begin(start), "another try");
    }

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many of two tasks have been woken at once, and how many after others had their turn.
    async fn woken(together: &mut Together) -> (u32, u32) {
        let count = Arc::<Count>::default();
        let woken = || count.0.load(Ordering::Relaxed);
        (0..2).for_each(|_| together.add(count.clone().into()));
        together.wake();
        let at_once = woken();
        tokio::task::yield_now().await;
        (at_once, woken())
    }

    #[tokio::test]
    async fn several_are_woken_when_others_have_had_their_turn() {
        let mut together = Together::on(2);
        assert_eq!(woken(&mut together).await, (0, 2));
        assert_eq!(woken(&mut together).await, (0, 2), "again");
        let (later, _) = together.later.as_ref().expect("there are two threads");
        later.0.lock().1.haste = HASTE;
        assert_eq!(woken(&mut together).await, (2, 2), "there is no time");
        assert_eq!(woken(&mut Together::on(1)).await, (2, 2), "no other thread is woken");
    }

    #[tokio::test]
    async fn who_is_to_be_woken_later_is_woken_when_the_thread_is_held_up() {
        let (mut together, count) = (Together::on(2), Arc::<Count>::default());
        (0..2).for_each(|_| together.add(count.clone().into()));
        together.wake();
        together.hurry();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        tokio::task::yield_now().await;
        assert_eq!(count.0.load(Ordering::Relaxed), 2, "once");
    }

    #[tokio::test]
    async fn one_alone_is_woken_at_once() {
        let (mut together, count) = (Together::on(2), Arc::<Count>::default());
        together.add(count.clone().into());
        together.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn no_room_is_kept_for_many() {
        for threads in [1, 2] {
            let mut together = Together::on(threads);
            (0..2 * KEPT).for_each(|_| together.add(Waker::noop().clone()));
            together.wake();
            assert!(together.tasks.capacity() <= KEPT, "{threads}");
        }
    }
}
