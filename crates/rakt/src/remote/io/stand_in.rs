//! A second task for a connection whose own is held up.
//!
//! A thread of the runtime keeps the task that it was told of last to itself: no other can take it away. If
//! a handler answers a peer, which wakes the task of the connection, and then blocks, that task does not run
//! until the handler is done. So the pump of a connection is in the care of whichever task polls it, and the
//! watchdog starts another one where the first was woken and does not come.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::pump::Pump;
use super::session::{Session, WriteNow};
use crate::remote::latch::Latch;
use crate::remote::weak_map::shrink;
use crate::sync::Mutex;

/// The connections that run, by their places in memory.
#[derive(Default)]
pub(crate) struct Pumps(Mutex<HashMap<usize, Weak<dyn HeldUp>>>);

/// A connection that may be held up.
trait HeldUp: Send + Sync {
    /// Starts another task, if it was woken before the last call and has not been run since. Whom it was to wake later
    /// it wakes now.
    fn take_over(self: Arc<Self>, runtime: &Handle);

    /// Sends the peer a sign of life, unless one was sent just before.
    fn beat(&self, now: Instant, interval: Duration);
}

impl Pumps {
    /// Some handler keeps a thread: helps the connections that are held up by that. If nothing has run on
    /// the runtime for long, another task would not either: then their peers, to whom they may be dead after
    /// `silence`, are sent signs of life from here.
    pub(crate) fn help(&self, runtime: &Handle, stands_for: Option<Duration>, silence: Duration) {
        let pumps: Vec<_> = self.0.lock().values().filter_map(Weak::upgrade).collect();
        let (now, interval) = (Instant::now(), silence / 4);
        for pump in pumps {
            match stands_for {
                None => pump.take_over(runtime),
                Some(stands_for) if stands_for >= interval => pump.beat(now, interval),
                Some(_) => {}
            }
        }
    }

    /// Runs a connection to its end.
    pub(crate) async fn run<S: Session + 'static>(&self, mut pump: Pump<S>) {
        if let Err(end) = pump.begin() {
            return pump.finish(end).await;
        }
        let state = State { pump: Some(pump), carer: FIRST, polls: 0, seen: None, beat: None };
        let shared = Arc::new(Shared { state: Mutex::new(state), over: Latch::default() });
        let place = Arc::as_ptr(&shared).addr();
        let weak: Weak<dyn HeldUp> = Arc::downgrade(&shared) as _;
        let writer: Weak<dyn WriteNow> = Arc::downgrade(&shared) as _;
        if let Some(pump) = &mut shared.state.lock().pump {
            pump.session.lend_writer(writer);
        }
        self.0.lock().insert(place, weak);
        let first = First { pumps: self, place, shared };
        if !first.shared.run(FIRST).await {
            first.shared.over.opened().await;
        }
    }
}

/// The number of a connection's own task. The others count up from it.
const FIRST: u32 = 0;

/// What the tasks of one connection share.
struct Shared<S: Session> {
    state: Mutex<State<S>>,
    /// The stream is closed.
    over: Latch,
}

struct State<S: Session> {
    /// `None` once the connection has ended, or its own task was dropped.
    pump: Option<Pump<S>>,
    /// The task that is woken by what comes.
    carer: u32,
    polls: u64,
    /// How often it had been polled when it was last seen to be woken.
    seen: Option<u64>,
    /// When the last sign of life was sent in place of the tasks.
    beat: Option<Instant>,
}

impl<S: Session + 'static> Shared<S> {
    /// Runs the connection until it ends or another task has taken over; says whether it has ended here.
    async fn run(&self, me: u32) -> bool {
        let Some((pump, end)) = poll_fn(|cx| self.poll(me, cx)).await else { return false };
        pump.finish(end).await;
        self.over.open();
        true
    }

    fn poll(&self, me: u32, cx: &mut Context<'_>) -> Poll<Option<(Pump<S>, S::End)>> {
        let mut state = self.state.lock();
        if me == FIRST {
            state.carer = FIRST;
        }
        let State { pump: Some(pump), carer, polls, .. } = &mut *state else {
            return Poll::Ready(None);
        };
        if *carer != me {
            return Poll::Ready(None);
        }
        *polls = polls.wrapping_add(1);
        let Poll::Ready(end) = pump.poll(cx) else { return Poll::Pending };
        Poll::Ready(state.pump.take().map(|pump| (pump, end)))
    }
}

impl<S: Session + 'static> HeldUp for Shared<S> {
    fn take_over(self: Arc<Self>, runtime: &Handle) {
        // Whoever polls it now is not held up.
        let Some(mut state) = self.state.try_lock() else { return };
        let Some(pump) = &mut state.pump else { return };
        pump.session.hurry();
        let woken = pump.is_woken().then_some(state.polls);
        if woken.is_none() || std::mem::replace(&mut state.seen, woken) != woken {
            return;
        }
        state.seen = None;
        state.carer = state.carer.wrapping_add(1).max(FIRST + 1);
        let me = state.carer;
        drop(state);
        runtime.spawn(async move { self.run(me).await });
    }

    fn beat(&self, now: Instant, interval: Duration) {
        let Some(mut state) = self.state.try_lock() else { return };
        let State { pump: Some(pump), beat, .. } = &mut *state else { return };
        if beat.is_none_or(|last| now.saturating_duration_since(last) >= interval) {
            *beat = Some(now);
            pump.beat();
        }
    }
}

impl<S: Session + 'static> WriteNow for Shared<S> {
    fn write_now(&self) -> bool {
        let Some(mut state) = self.state.try_lock() else { return false };
        state.pump.as_mut().is_some_and(Pump::write_now)
    }
}

/// The connection's own task: when that is dropped, the connection is closed.
struct First<'a, S: Session + 'static> {
    pumps: &'a Pumps,
    place: usize,
    shared: Arc<Shared<S>>,
}

impl<S: Session + 'static> Drop for First<'_, S> {
    fn drop(&mut self) {
        let mut pumps = self.pumps.0.lock();
        pumps.remove(&self.place);
        shrink(&mut pumps);
        drop(pumps);
        let pump = self.shared.state.lock().pump.take();
        drop(pump);
    }
}
