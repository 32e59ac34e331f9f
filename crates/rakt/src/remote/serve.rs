//! What peers may ask of this node about its actors, and the one place that decides it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rakt_wire::{Operation, Outcome, is_reserved};

use super::budget::Charge;
use super::conn::Conn;
use super::receive::exhausted_budget;
use crate::cell::{AnyCell, Watcher};
use crate::error::Refusal;
use crate::operation::{reinstate_cell, respawn_cell, stop_cell};
use crate::sync::Lock;
use crate::system::ActorSystem;

/// Watches that one peer connection may have here.
const MAX_WATCHES: usize = 65_536;

/// Decides whether a peer may reach `path` at all: the system's own actors are not for peers.
///
/// Every message and every operation of a peer passes here.
fn authorize(path: &str) -> Result<(), Refusal> {
    match path.split('/').any(is_reserved) {
        false => Ok(()),
        true => Err(Refusal::Denied { detail: "the name is reserved".to_owned() }),
    }
}

/// The actor that a peer means.
pub(crate) fn find(
    system: &ActorSystem,
    path: &str,
    uid: Option<u64>,
) -> Result<Arc<dyn AnyCell>, Refusal> {
    authorize(path)?;
    let cell = system.find_cell(path);
    match (cell, uid) {
        (Some(cell), None) => Ok(cell),
        (Some(cell), Some(uid)) if cell.uid() == uid => Ok(cell),
        (Some(_), Some(_)) => Err(Refusal::StaleIncarnation),
        (None, _) if system.is_shutting_down() => Err(Refusal::ShuttingDown),
        (None, _) => Err(Refusal::NotFound),
    }
}

/// The watches that came over one connection.
pub(crate) struct Watches {
    conn: Arc<Conn>,
    watched: Arc<std::sync::Mutex<HashMap<u64, Weak<dyn AnyCell>>>>,
}

impl Watches {
    pub(crate) fn new(conn: Arc<Conn>) -> Self {
        Self { conn, watched: Arc::default() }
    }

    fn add(&self, cell: &Arc<dyn AnyCell>, watch_id: u64) -> Result<(), Refusal> {
        // A number that is used again stands for the new watch alone.
        self.remove(watch_id);
        let mut watched = self.watched.hold();
        if watched.len() >= MAX_WATCHES {
            let bound = "watches of one connection".to_owned();
            return Err(Refusal::ResourceExhausted { bound, limit: MAX_WATCHES as u64 });
        }
        watched.insert(watch_id, Arc::downgrade(cell));
        Ok(())
    }

    /// The registration with the actor itself, made after the peer has its answer.
    fn begin(&self, cell: &Arc<dyn AnyCell>, watch_id: u64) {
        let (conn, watched) = (self.conn.clone(), self.watched.clone());
        let key = (self.conn.id, watch_id);
        let notify = Box::new(move |reason: &crate::StopReason| {
            watched.hold().remove(&watch_id);
            conn.terminated(watch_id, reason);
        });
        cell.watch(Watcher::Call { key, notify });
    }

    fn remove(&self, watch_id: u64) {
        let cell = self.watched.hold().remove(&watch_id).and_then(|cell| cell.upgrade());
        if let Some(cell) = cell {
            cell.unwatch_call((self.conn.id, watch_id));
        }
    }

    /// The connection has ended, and with it all its watches.
    pub(crate) fn clear(&self) {
        let all: Vec<u64> = self.watched.hold().keys().copied().collect();
        all.into_iter().for_each(|watch_id| self.remove(watch_id));
    }
}

/// Carries out an operation of a peer and answers it; what takes time has a task of its own.
pub(crate) fn serve(
    system: ActorSystem,
    conn: Arc<Conn>,
    watches: &mut Watches,
    corr: u64,
    remaining: Option<Duration>,
    operation: Operation,
) {
    let slow = match operation {
        Operation::Ping => return conn.respond(corr, Ok(Outcome::Done)),
        Operation::Kinds => {
            let kinds = system.exposed().into_iter().map(|exposed| exposed.kind).collect();
            return conn.respond(corr, Ok(Outcome::Kinds(kinds)));
        }
        Operation::Lookup { path } => return conn.respond(corr, lookup(&system, &path)),
        Operation::Watch { path, uid, watch_id } => {
            let found = find(&system, &path, uid)
                .and_then(|cell| watches.add(&cell, watch_id).map(|()| cell));
            let begun = found.as_ref().ok().cloned();
            conn.respond(corr, found.map(|cell| found_outcome(&*cell)));
            if let Some(cell) = begun {
                watches.begin(&cell, watch_id);
            }
            return;
        }
        Operation::Unwatch { watch_id } => {
            watches.remove(watch_id);
            return conn.respond(corr, Ok(Outcome::Done));
        }
        slow => slow,
    };
    let bytes = argument_len(&slow);
    let has_room = conn.charge(bytes);
    let charge = Charge { account: conn.clone(), bytes };
    if !has_room {
        return conn.respond(corr, Err(exhausted_budget(&conn)));
    }
    let runtime = system.runtime().clone();
    runtime.spawn(async move {
        conn.respond(corr, carried_out(system, slow, remaining, charge).await);
    });
}

/// Bytes that an operation keeps until it is carried out.
pub(crate) fn argument_len(operation: &Operation) -> u64 {
    match operation {
        Operation::Spawn { argument: Some(argument), .. } => argument.payload.len() as u64,
        _ => 0,
    }
}

/// What becomes of an operation that takes time.
///
/// It has a task of its own: user code that is not contained elsewhere, such as a list of accepted
/// messages, must not leave the peer without an answer when it panics.
pub(crate) async fn carried_out(
    system: ActorSystem,
    operation: Operation,
    remaining: Option<Duration>,
    charge: Charge,
) -> Result<Outcome, Refusal> {
    let runtime = system.runtime().clone();
    let work = runtime.spawn(async move {
        let _charge = charge;
        let work = carry_out(&system, operation);
        match remaining {
            Some(left) => {
                tokio::time::timeout(left, work).await.unwrap_or(Err(Refusal::DeadlineExceeded))
            }
            None => work.await,
        }
    });
    let panicked = || Refusal::Internal { detail: "the operation panicked".to_owned() };
    work.await.unwrap_or_else(|_| Err(panicked()))
}

async fn carry_out(system: &ActorSystem, operation: Operation) -> Result<Outcome, Refusal> {
    match operation {
        Operation::Spawn { path, kind, argument } => {
            if path.contains('/') {
                let detail = format!("{path:?} is a child's path; peers spawn at the top");
                return Err(Refusal::InvalidArgument { detail });
            }
            authorize(&path)?;
            let cell = system.kinds().spawn(system.clone(), path, &kind, argument).await?;
            Ok(Outcome::Spawned { uid: cell.uid() })
        }
        Operation::Stop { path, uid } => {
            stop_cell(&find(system, &path, uid)?).await;
            Ok(Outcome::Done)
        }
        Operation::Respawn { path, uid } => {
            respawn_cell(&find(system, &path, uid)?).await?;
            Ok(Outcome::Done)
        }
        Operation::Reinstate { path, uid } => {
            reinstate_cell(&find(system, &path, uid)?).await?;
            Ok(Outcome::Done)
        }
        other => Err(Refusal::Unsupported { detail: format!("{other:?}") }),
    }
}

pub(crate) fn lookup(system: &ActorSystem, path: &str) -> Result<Outcome, Refusal> {
    match find(system, path, None) {
        Ok(cell) => Ok(found_outcome(&*cell)),
        Err(Refusal::NotFound) => Ok(Outcome::Absent),
        Err(refusal) => Err(refusal),
    }
}

fn found_outcome(cell: &dyn AnyCell) -> Outcome {
    let kind = cell.kind().map(ToString::to_string).unwrap_or_default();
    Outcome::Found { uid: cell.uid(), kind }
}

#[cfg(test)]
mod tests {
    use rakt_wire::SpawnArgument;
    use rakt_wire::native::Role;

    use super::*;
    use crate::remote::budget::Share;
    use crate::remote::conn::tests::{answers, conn};
    use crate::remote::resources::tests::resources;

    #[tokio::test]
    async fn the_argument_of_a_spawn_counts_against_the_inbound_budget() {
        let system = ActorSystem::builder("tests").start().await.expect("it starts");
        let conn = conn(&resources(), Role::Acceptor);
        let (mut watches, budget) = (Watches::new(conn.clone()), &conn.resources.budgets.inbound);
        let payload = bytes::Bytes::from(vec![0; 1000]);
        let argument = Some(SpawnArgument { type_name: "tests.Setup".to_owned(), payload });
        let (path, kind) = ("a".to_owned(), "Nothing".to_owned());
        let spawn = Operation::Spawn { path, kind, argument };
        let others = Share::default();
        budget.add(&others, budget.limit() - 999);
        serve(system, conn.clone(), &mut watches, 1, None, spawn);
        let full = ("inbound budget (bytes)".to_owned(), budget.limit());
        assert_eq!(answers(&conn), [(1, Some(full))]);
        budget.give_back_all(&others);
        assert_eq!(budget.used(), 0, "what was refused is given back");
    }
}
