//! A timer wheel with one slot, sharded: a coarse clock for what mostly does not happen, as an ask that
//! is never answered, or an actor that has nothing more to do.
//!
//! Whoever calls is woken at the next tick and looks then whether there is anything to do, such as
//! to set a timer that is exact. Nothing is taken back: being woken for nothing is cheaper than to
//! set a timer for each of millions of asks and to take it down again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use crate::log::may_log;
use crate::sync::Mutex;

/// The time from one tick to the next.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// Tasks seldom meet at one lock.
const SHARDS: usize = 16;

pub(crate) struct Ticks {
    tick: Duration,
    /// Runs the clock.
    runtime: tokio::runtime::Handle,
    shards: [Shard; SHARDS],
    is_running: AtomicBool,
}

#[derive(Default)]
struct Shard {
    /// Counts the ticks; changed under the lock alone.
    now: AtomicU64,
    /// Who called last since the last tick, or 0; changed under the lock alone.
    last: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

/// A call that was made: by which task, and at what tick.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    task: usize,
    tick: u64,
}

impl Ticks {
    pub(crate) fn new(runtime: tokio::runtime::Handle) -> Arc<Self> {
        Self::every(TICK, runtime)
    }

    /// A clock with this time from one tick to the next.
    pub(crate) fn every(tick: Duration, runtime: tokio::runtime::Handle) -> Arc<Self> {
        let (shards, is_running) = Default::default();
        Arc::new(Self { tick, runtime, shards, is_running })
    }

    /// How many ticks there were, as the task sees them that `waker` wakes.
    pub(crate) fn now(&self, waker: &Waker) -> u64 {
        self.of(waker).1.now.load(Ordering::Relaxed)
    }

    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// Calls like [`call`](Self::call), for a task that is run by the runtime that runs the clock. Any
    /// other may go on while this one is held up, or gone.
    pub(crate) fn call_if_of_this_runtime(self: &Arc<Self>, waker: &Waker) -> Option<Call> {
        // A task has one runtime, so what was true at its call is true still. The waker of a thread that
        // blocks on a future may be of several.
        if tokio::task::try_id().is_some()
            && let Some(call) = self.last_call(waker)
        {
            return Some(call);
        }
        let is_here = |here: tokio::runtime::Handle| here.id() == self.runtime.id();
        let is_of_this = tokio::runtime::Handle::try_current().is_ok_and(is_here);
        is_of_this.then(|| self.call(waker, None))
    }

    /// The call of this task, if nobody else called since and it is not over.
    fn last_call(&self, waker: &Waker) -> Option<Call> {
        let (task, shard) = self.of(waker);
        // In this order: where a tick comes in between, it wakes the task, or the call seems over.
        let tick = shard.now.load(Ordering::Acquire);
        (shard.last.load(Ordering::Acquire) == task).then_some(Call { task, tick })
    }

    /// Has `waker` woken at the next tick, once. A call that this task made `before` is good until then.
    pub(crate) fn call(self: &Arc<Self>, waker: &Waker, before: Option<Call>) -> Call {
        let (task, shard) = self.of(waker);
        if let Some(before) = before
            && before == (Call { task, tick: shard.now.load(Ordering::Relaxed) })
        {
            return before;
        }
        let mut wakers = shard.wakers.lock();
        let tick = shard.now.load(Ordering::Relaxed);
        if !wakers.last().is_some_and(|last| last.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        shard.last.store(task, Ordering::Release);
        drop(wakers);
        if !self.is_running.load(Ordering::SeqCst) {
            self.start();
        }
        Call { task, tick }
    }

    /// Whether there is nothing to wait for any more: the task that `waker` wakes has been called since
    /// its `call`, or it was another task's call.
    #[inline]
    pub(crate) fn is_over(&self, waker: &Waker, call: Call) -> bool {
        let (task, shard) = self.of(waker);
        task != call.task || shard.now.load(Ordering::Relaxed) > call.tick
    }

    /// The number of the task, and the shard it belongs to. A task keeps its number while a call of
    /// it is out, because the waker keeps it in memory.
    #[inline]
    fn of(&self, waker: &Waker) -> (usize, &Shard) {
        let task = waker.data().addr();
        (task, &self.shards[(task >> 7) % SHARDS])
    }

    fn start(self: &Arc<Self>) {
        if !self.is_running.swap(true, Ordering::SeqCst) {
            self.runtime.spawn(self.clone().run());
        }
    }

    /// Ticks until nobody has called between two ticks.
    async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.tick).await;
            if self.tick() {
                continue;
            }
            self.is_running.store(false, Ordering::SeqCst);
            // Whoever called before that was stored may have relied on this task.
            let is_called = self.shards.iter().any(|shard| !shard.wakers.lock().is_empty());
            if !is_called || self.is_running.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Wakes all who called; says whether there were any. For who is not run by the runtime: its clock may
    /// be held up.
    pub(crate) fn tick(&self) -> bool {
        let mut any = false;
        for shard in &self.shards {
            let mut wakers = shard.wakers.lock();
            shard.last.store(0, Ordering::Release);
            shard.now.fetch_add(1, Ordering::Release);
            let called = std::mem::take(&mut *wakers);
            drop(wakers);
            any |= !called.is_empty();
            called.into_iter().for_each(wake);
        }
        any
    }
}

/// Wakes somebody who may run code of the user: the clock is not to stop if that panics.
fn wake(waker: Waker) {
    if std::panic::catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        let topic = "a waker panicked";
        if may_log(topic, ()) {
            tracing::error!("{topic}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_is_answered_at_the_next_tick_and_then_the_clock_stops() {
        let ticks = Ticks::new(tokio::runtime::Handle::current());
        let start = tokio::time::Instant::now();
        let mut call = None;
        std::future::poll_fn(|cx| {
            if call.is_some_and(|call| ticks.is_over(cx.waker(), call)) {
                return std::task::Poll::Ready(());
            }
            let first = ticks.call(cx.waker(), call);
            // Asking again changes nothing.
            assert!(first == ticks.call(cx.waker(), Some(first)));
            call = Some(first);
            std::task::Poll::Pending
        })
        .await;
        assert!(start.elapsed() >= TICK && start.elapsed() < 2 * TICK);
        assert!(ticks.shards.iter().all(|shard| shard.wakers.lock().is_empty()));
        tokio::time::sleep(3 * TICK).await;
        assert!(!ticks.is_running.load(Ordering::SeqCst));
    }

    /// What wakes may be anything, since any future may be polled by anything.
    #[tokio::test(start_paused = true)]
    async fn a_waker_that_panics_does_not_stop_the_clock() {
        struct Bad;
        impl std::task::Wake for Bad {
            fn wake(self: Arc<Self>) {
                panic!("on purpose");
            }
        }
        let ticks = Ticks::new(tokio::runtime::Handle::current());
        for _ in 0..2 {
            ticks.call(&Arc::new(Bad).into(), None);
            tokio::time::sleep(2 * TICK).await;
            assert!(ticks.shards.iter().all(|shard| shard.wakers.lock().is_empty()));
        }
    }
}
