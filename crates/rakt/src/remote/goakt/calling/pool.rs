//! Connections for requests that have one to themselves: asks and operations.
//!
//! The one used last is used next, so that those not needed grow old and are closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    closed: Notify,
}

#[derive(Default)]
struct Idle {
    /// With the time since when they are, the oldest first.
    conns: Vec<(Exchanger, Instant)>,
    /// A task closes those that are old.
    is_reaped: bool,
}

impl Pool {
    pub(super) fn new(max_open: usize, max_idle: usize, idle_timeout: Duration) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(max_open)),
            idle: Mutex::default(),
            waiting: AtomicUsize::new(0),
            max_idle,
            idle_timeout,
            closed: Notify::new(),
        }
    }

    /// A connection and the right to use it, if that takes no waiting.
    pub(super) fn try_take(&self) -> Option<(Exchanger, OwnedSemaphorePermit)> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        Some((self.take_idle()?, permit))
    }

    /// The right to use a connection, once one may be used.
    pub(super) async fn permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.permits.clone().acquire_owned().await.map_err(|_| Refusal::ShuttingDown)
    }

    pub(super) fn take_idle(&self) -> Option<Exchanger> {
        loop {
            let (mut conn, since) = self.idle.lock().conns.pop()?;
            if now().saturating_duration_since(since) < self.idle_timeout && conn.is_quiet() {
                return Some(conn);
            }
            conn.closes("idle, and closed by the peer or too old");
        }
    }

    /// Takes a connection back. True if from now on somebody has to [reap](Self::reap).
    pub(super) fn put(
        &self,
        conn: Exchanger,
        permit: OwnedSemaphorePermit,
        is_closed: impl FnOnce() -> bool,
    ) -> bool {
        let mut idle = self.idle.lock();
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

    /// Closes those that have been idle for too long; returns when to look again.
    pub(super) fn reap(&self) -> Option<Instant> {
        let now = now();
        let is_old = |since: Instant| now.saturating_duration_since(since) >= self.idle_timeout;
        let mut idle = self.idle.lock();
        let old: Vec<_> = idle.conns.extract_if(.., |(_, since)| is_old(*since)).collect();
        let oldest = idle.conns.first().map(|(_, since)| *since);
        idle.is_reaped = oldest.is_some();
        drop(idle);
        for (mut conn, _) in old {
            conn.closes("idle");
        }
        oldest.map(|since| since + self.idle_timeout)
    }

    /// Closes the idle ones, and gives out no more.
    pub(super) fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut self.idle.lock().conns);
        drop(idle);
        self.closed.notify_one();
    }

    /// Completes when the pool is closed.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
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
