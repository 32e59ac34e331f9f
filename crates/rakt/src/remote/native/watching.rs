//! Watching actors on other nodes.
//!
//! A watch is registered with the actor's node over the control connection. If that is lost, the
//! watches are registered again over a new one, for the same lives of the actors; if there is none
//! within the time in which a silent peer is found dead, the node counts as lost.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rakt_wire::{Operation, Outcome, Terminated};

use super::conn::{Conn, Expected};
use super::dialed::Dialed;
use super::endpoint::{CONTROL, Endpoint};
use super::replies::Owner;
use super::watches::{Watched, from_wire};
use crate::error::{Cause, Chain, OperationError, Refusal};
use crate::events::{StopReason, WatchId};
use crate::reference::Life;
use crate::remote::request::NodeRequest;
use crate::remote::resources::log_peer;
use crate::signal::Signalled;

impl Endpoint {
    pub(crate) fn watch(
        self: &Arc<Self>,
        WatchId(watch): WatchId,
        watched: Watched,
        watcher: Weak<dyn Signalled>,
    ) {
        self.watches.insert(watch, watched, watcher);
        self.register_watches();
    }

    pub(crate) fn unwatch(self: &Arc<Self>, WatchId(watch): WatchId) {
        let Some((watched, conn)) = self.watches.remove(watch) else { return };
        if let Some(conn) = self.conns().into_iter().find(|known| known.id == conn) {
            self.take_back(watch, &conn, watched.limit);
        }
    }

    /// Has the peer forget a watch. Its answer is of no interest: what still comes of the watch finds nobody.
    fn take_back(&self, watch_id: u64, conn: &Arc<Conn<Dialed>>, limit: Duration) {
        if let Ok(answer) = conn.request(&Operation::Unwatch { watch_id }, limit, None) {
            self.dialer().runtime.spawn(tokio::time::timeout(limit, answer));
        }
    }

    /// Has a task bring the watches to the peer, if none does yet.
    fn register_watches(self: &Arc<Self>) {
        if self.watches.begin() {
            self.dialer().runtime.spawn(register_all(self.clone()));
        }
    }

    /// What was registered over a connection that has ended is registered again.
    fn register_again(self: &Arc<Self>, conn: &Conn<Dialed>) {
        if self.watches.forget(conn.id) {
            self.register_watches();
        }
    }
}

impl Owner for Endpoint {
    fn has_shut_down(&self, conn: &Conn<Dialed>) {
        self.watches.node_shut_down(conn.peer.incarnation);
    }

    fn terminated(&self, watch_id: u64, reason: Terminated) {
        self.watches.ended(watch_id, from_wire(reason));
    }

    fn lost(self: Arc<Self>, conn: &Arc<Conn<Dialed>>) {
        self.make_place(conn);
        self.register_again(conn);
    }

    fn needs(&self, conn: &Conn<Dialed>) -> bool {
        self.watches.need(conn.id)
    }
}

async fn register_all(endpoint: Arc<Endpoint>) {
    let limit = endpoint.dialer().resources.options.read_idle_timeout * 2;
    let mut until = tokio::time::Instant::now() + limit;
    while let Some((watch, watched)) = endpoint.watches.next() {
        if watched.life.is_some_and(|life| endpoint.watches.has_shut_down(&life)) {
            endpoint.watches.ended(watch, StopReason::Shutdown);
            continue;
        }
        match tokio::time::timeout_at(until, register_one(&endpoint, watch, &watched)).await {
            Ok(Ok(())) => until = tokio::time::Instant::now() + limit,
            // Dialing has its own back-off, within which it fails at once: a short pause here.
            Ok(Err(_)) => {
                let pause = endpoint.dialer().random.jittered(Duration::from_millis(50));
                tokio::time::sleep_until((tokio::time::Instant::now() + pause).min(until)).await;
            }
            Err(_) => {}
        }
        if tokio::time::Instant::now() >= until || endpoint.dialer().is_closed() {
            endpoint.watches.node_lost();
            until = tokio::time::Instant::now() + limit;
        }
    }
}

/// Brings one watch to the peer; an error means that it is worth another try.
async fn register_one(
    endpoint: &Arc<Endpoint>,
    watch: u64,
    watched: &Watched,
) -> Result<(), Refusal> {
    let Watched { address: target, life, limit } = watched;
    let (path, uid) = (target.path().to_owned(), life.map(|life| life.uid));
    let operation = Operation::Watch { path, uid, watch_id: watch };
    let request = NodeRequest { operation: &operation, target, limit: *limit };
    let expected = match life {
        Some(life) => Expected::Incarnation(life.incarnation),
        None => Expected::System(target.system()),
    };
    // From here on the peer may know of it: the news must find the entry, whatever comes first.
    match endpoint.request(request, CONTROL, expected).await {
        Ok((conn, Outcome::Found { uid, .. })) => {
            let incarnation = conn.peer.incarnation;
            if !endpoint.watches.registered(watch, conn.id, Life { uid, incarnation }) {
                endpoint.take_back(watch, &conn, *limit);
            }
            if conn.is_over() {
                endpoint.register_again(&conn);
            }
            Ok(())
        }
        Ok(_) => {
            endpoint.watches.ended(watch, StopReason::NotFound);
            Ok(())
        }
        Err(OperationError::Refused { refusal, .. }) => {
            let reason = match refusal {
                // It was there when the watch began, so its end was missed.
                Refusal::NotFound if life.is_some() => StopReason::Gone,
                Refusal::NotFound => StopReason::NotFound,
                Refusal::StaleIncarnation | Refusal::Stopped => StopReason::Gone,
                refusal @ (Refusal::ShuttingDown
                | Refusal::Closed
                | Refusal::Unreachable { .. }) => {
                    return Err(refusal);
                }
                // It will not be granted later either; only this watch is concerned.
                refusal => {
                    let refusal = Chain(&refusal);
                    let (resources, peer) = (&endpoint.dialer().resources, target.host());
                    log_peer!(resources, peer, warn, "an actor cannot be watched", %target, %refusal);
                    StopReason::NotFound
                }
            };
            endpoint.watches.ended(watch, reason);
            Ok(())
        }
        Err(OperationError::NotSent { refusal: Refusal::StaleIncarnation, .. }) => {
            endpoint.watches.ended(watch, StopReason::NodeLost);
            Ok(())
        }
        Err(OperationError::NotSent { refusal: Refusal::WrongSystem { .. }, .. }) => {
            endpoint.watches.ended(watch, StopReason::NotFound);
            Ok(())
        }
        Err(OperationError::NotSent { refusal, .. }) => Err(refusal),
        Err(error) => Err(endpoint.unreachable(Cause::new(error))),
    }
}
