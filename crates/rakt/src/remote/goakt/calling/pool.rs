//! Connections for requests that have one to themselves: asks and operations.
//!
//! The one used last is used next, so that those not needed grow old and are closed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::endpoint::Endpoint;
use super::link::{Link, Use};
use crate::error::Refusal;
use crate::sync::Lock;
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
    links: Vec<(Link, Instant)>,
    /// A task closes those that are old.
    is_reaped: bool,
}

/// The right to use one connection, and the connection if there is one.
pub(super) struct Lease {
    pub(super) link: Link,
    /// Whether it was used before: then the node may have closed it by now.
    pub(super) is_reused: bool,
    permit: OwnedSemaphorePermit,
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

    /// A connection, if that takes no waiting.
    pub(super) fn try_lease(&self) -> Option<Lease> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        let link = self.take_idle()?;
        Some(Lease { link, is_reused: true, permit })
    }

    fn take_idle(&self) -> Option<Link> {
        loop {
            let (mut link, since) = self.idle.hold().links.pop()?;
            if now().saturating_duration_since(since) < self.idle_timeout && link.is_quiet() {
                return Some(link);
            }
            "idle, and closed by the peer or too old".clone_into(&mut link.why);
        }
    }

    /// Closes those that have been idle for too long; returns when to look again.
    fn reap(&self) -> Option<Instant> {
        let now = now();
        let is_old = |since: Instant| now.saturating_duration_since(since) >= self.idle_timeout;
        let mut idle = self.idle.hold();
        let old: Vec<_> = idle.links.extract_if(.., |(_, since)| is_old(*since)).collect();
        let oldest = idle.links.first().map(|(_, since)| *since);
        idle.is_reaped = oldest.is_some();
        drop(idle);
        for (mut link, _) in old {
            "idle".clone_into(&mut link.why);
        }
        oldest.map(|since| since + self.idle_timeout)
    }

    /// Closes the idle ones, and gives out no more.
    pub(super) fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut self.idle.hold().links);
        drop(idle);
        self.closed.notify_one();
    }
}

/// A connection, once one may be used; dialed if none is idle.
pub(super) async fn lease(endpoint: Arc<Endpoint>) -> Result<Lease, Refusal> {
    let pool = &endpoint.pool;
    let waiting = Waiting::new(&pool.waiting);
    let permit = pool.permits.clone().acquire_owned().await;
    let permit = permit.map_err(|_| Refusal::ShuttingDown)?;
    if let Some(link) = pool.take_idle() {
        return Ok(Lease { link, is_reused: true, permit });
    }
    drop(waiting);
    let link = endpoint.site.dial(Use::OneByOne).await?;
    Ok(Lease { link, is_reused: false, permit })
}

/// One who waits, as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lease {
    /// The same right, with a new connection.
    pub(super) async fn renew(self, endpoint: &Arc<Endpoint>) -> Result<Self, Refusal> {
        let Self { link, permit, .. } = self;
        drop(link);
        let link = endpoint.site.dial(Use::OneByOne).await?;
        Ok(Self { link, is_reused: false, permit })
    }

    /// Gives the connection back, for the next request.
    pub(super) fn give_back(self, endpoint: &Arc<Endpoint>) {
        let Self { mut link, permit, .. } = self;
        let pool = &endpoint.pool;
        if !link.is_quiet() {
            "the peer sent more than was asked for, or goes down".clone_into(&mut link.why);
            return;
        }
        let mut idle = pool.idle.hold();
        idle.links.push((link, now()));
        if !std::mem::replace(&mut idle.is_reaped, true) {
            endpoint.site.dialer.runtime.spawn(reap(endpoint.clone()));
        }
        // Closing marks the dialer before it looks here.
        let kept = match endpoint.site.dialer.is_closed() {
            true => 0,
            false => pool.max_idle + pool.waiting.load(Ordering::Relaxed),
        };
        let surplus = idle.links.len().saturating_sub(kept);
        let surplus: Vec<_> = idle.links.drain(..surplus).collect();
        drop(idle);
        // Nobody else may open one before these are closed.
        drop((surplus, permit));
    }
}

/// Closes idle connections when they are old. It keeps the endpoint, and they with it.
async fn reap(endpoint: Arc<Endpoint>) {
    while let Some(until) = endpoint.pool.reap() {
        tokio::select! {
            () = tokio::time::sleep_until(until.into()) => {}
            () = endpoint.pool.closed.notified() => {}
        }
    }
}
