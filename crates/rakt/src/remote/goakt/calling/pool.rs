//! Connections for requests that have one to themselves: asks and operations.
//!
//! The one used last is used next, so that those not needed grow old and are closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::exchange::Exchanger;
use crate::error::Refusal;
use crate::sync::Mutex;
use crate::timers::now;

pub(super) struct Pool {
    /// One for each connection that may be in use.
    permits: Arc<Semaphore>,
    idle: Mutex<Idle>,
    /// How many wait for a permit or are about to use theirs.
    waiting: AtomicUsize,
    max_idle: usize,
    idle_timeout: Duration,
    reaper: Arc<Reaper>,
}

#[derive(Default)]
struct Idle {
    /// With the time since when they are, the oldest first.
    conns: Vec<(Exchanger, Instant)>,
    /// A task closes those that are old, or may not be used any more.
    is_reaped: bool,
}

/// Has that task look again.
#[derive(Default)]
struct Reaper(Notify);

impl Wake for Reaper {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Pool {
    pub(super) fn new(max_open: usize, max_idle: usize, idle_timeout: Duration) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(max_open)),
            idle: Mutex::default(),
            waiting: AtomicUsize::new(0),
            max_idle,
            idle_timeout,
            reaper: Arc::default(),
        }
    }

    /// A connection and the right to use it, if that takes no waiting.
    pub(super) fn try_take(&self) -> Option<(Exchanger, OwnedSemaphorePermit)> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        Some((self.take_idle()?, permit))
    }

    /// The right to use a connection, once one may be used.
    pub(super) async fn permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.permits.clone().acquire_owned().await.map_err(|_| Refusal::Closed)
    }

    pub(super) fn take_idle(&self) -> Option<Exchanger> {
        loop {
            let (mut conn, since) = self.idle.lock().conns.pop()?;
            let is_old = now().saturating_duration_since(since) >= self.idle_timeout;
            match conn.over() {
                Some(why) => conn.closes(why),
                None if !is_old && conn.is_quiet() => return Some(conn),
                None => conn.closes("idle, and closed by the peer or too old"),
            }
        }
    }

    /// Takes a connection back. True if from now on somebody has to [reap](Self::reap).
    pub(super) fn put(
        &self,
        mut conn: Exchanger,
        permit: OwnedSemaphorePermit,
        is_closed: impl FnOnce() -> bool,
    ) -> bool {
        let mut idle = self.idle.lock();
        conn.rest(&Waker::from(self.reaper.clone()));
        if conn.over().is_some() {
            // Whoever had it was told, and looks no more.
            self.reaper.0.notify_one();
        }
        idle.conns.push((conn, now()));
        let was_reaped = std::mem::replace(&mut idle.is_reaped, true);
        // Closing marks the dialer before it looks here.
        let kept = match is_closed() {
            true => 0,
            false => self.max_idle + self.waiting.load(Ordering::Relaxed),
        };
        let surplus = idle.conns.len().saturating_sub(kept);
        let surplus: Vec<_> = idle.conns.drain(..surplus).collect();
        drop(idle);
        // Nobody else may open one before these are closed.
        drop((surplus, permit));
        !was_reaped
    }

    /// Closes those that have been idle for too long or may not be used any more; returns when to look again.
    pub(super) fn reap(&self) -> Option<Instant> {
        let now = now();
        let is_old = |since: Instant| now.saturating_duration_since(since) >= self.idle_timeout;
        let mut idle = self.idle.lock();
        let old: Vec<_> = idle
            .conns
            .extract_if(.., |(conn, since)| is_old(*since) || conn.over().is_some())
            .collect();
        let oldest = idle.conns.first().map(|(_, since)| *since);
        idle.is_reaped = oldest.is_some();
        drop(idle);
        for (mut conn, _) in old {
            let why = conn.over().unwrap_or_else(|| "idle".into());
            conn.closes(why);
        }
        oldest.map(|since| since + self.idle_timeout)
    }

    /// Closes the idle ones, and gives out no more.
    pub(super) fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut self.idle.lock().conns);
        drop(idle);
        self.reaper.0.notify_one();
    }

    /// Completes when one of the idle ones may not be used any more, or the pool is closed.
    pub(super) async fn changed(&self) {
        self.reaper.0.notified().await;
    }
}

/// One who waits, as long as it does.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    pub(super) fn new(pool: &'a Pool) -> Self {
        pool.waiting.fetch_add(1, Ordering::Relaxed);
        Self(&pool.waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
