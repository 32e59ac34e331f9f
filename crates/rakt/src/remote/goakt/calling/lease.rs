//! The use of a connection for one request, and its way back into the pool.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::endpoint::Endpoint;
use super::exchange::Exchanger;
use super::pool::Waiting;
use crate::error::Refusal;

/// The right to use one connection, and the connection.
pub(super) struct Lease {
    pub(super) conn: Exchanger,
    /// Whether it was used before: then the node may have closed it by now.
    pub(super) is_reused: bool,
    permit: OwnedSemaphorePermit,
}

/// A connection, if that takes no waiting.
pub(super) fn try_lease(endpoint: &Endpoint) -> Option<Lease> {
    let (conn, permit) = endpoint.pool.try_take()?;
    Some(Lease { conn, is_reused: true, permit })
}

/// A connection, once one may be used; dialed if none is idle.
pub(super) async fn lease(endpoint: Arc<Endpoint>) -> Result<Lease, Refusal> {
    let pool = &endpoint.pool;
    let waiting = Waiting::new(pool);
    let permit = pool.permit().await?;
    if let Some(conn) = pool.take_idle() {
        return Ok(Lease { conn, is_reused: true, permit });
    }
    drop(waiting);
    let conn = Exchanger::dial(&endpoint.node).await?;
    Ok(Lease { conn, is_reused: false, permit })
}

impl Lease {
    /// The same right, with a new connection.
    pub(super) async fn renew(self, endpoint: &Endpoint) -> Result<Self, Refusal> {
        let Self { conn, permit, .. } = self;
        drop(conn);
        let conn = Exchanger::dial(&endpoint.node).await?;
        Ok(Self { conn, is_reused: false, permit })
    }

    /// Gives the connection back, for the next request.
    pub(super) fn give_back(self, endpoint: &Arc<Endpoint>) {
        let Self { mut conn, permit, .. } = self;
        if !conn.is_quiet() {
            conn.closes("the peer sent more than was asked for, or goes down");
            return;
        }
        let dialer = &endpoint.node.dialer;
        if endpoint.pool.put(conn, permit, || dialer.is_closed()) {
            dialer.runtime.spawn(reap(endpoint.clone()));
        }
    }
}

/// Closes idle connections when they are old, or may not be used any more. It keeps the endpoint, and they with it.
async fn reap(endpoint: Arc<Endpoint>) {
    while let Some(until) = endpoint.pool.reap() {
        tokio::select! {
            () = tokio::time::sleep_until(until.into()) => {}
            () = endpoint.pool.changed() => {}
        }
    }
}
