//! What a peer asks for besides sending messages: operations on actors, and watches.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use rakt_wire::native::Request;
use rakt_wire::{Operation, Outcome, Verb};

use super::accepted::Accepted;
use super::conn::Conn;
use crate::error::{Bound, Refusal};
use crate::mailbox::arrivals::Reachable;
use crate::remote::access::Access;
use crate::remote::budget::Part;
use crate::remote::serve::{carried_out, find, found_outcome, lookup, operation_cost};
use crate::signal::Watcher;
use crate::sync::Mutex;
use crate::system::ActorSystem;

/// Watches that one peer connection may have here.
const MAX_WATCHES: usize = 65_536;

/// What a watch takes up in memory, with the actor and here, in bytes.
const WATCH_COST: u64 = 256;

/// The watches that came over one connection.
pub(crate) struct Watches {
    conn: Arc<Conn<Accepted>>,
    watched: Arc<Mutex<HashMap<u64, Watched>>>,
    /// Watches so far, to tell those of one number apart.
    count: u64,
}

struct Watched {
    cell: Weak<dyn Reachable>,
    nth: u64,
}

impl Watches {
    pub(crate) fn new(conn: Arc<Conn<Accepted>>) -> Self {
        Self { conn, watched: Arc::default(), count: 0 }
    }

    fn add(&mut self, cell: &Arc<dyn Reachable>, watch_id: u64) -> Result<(), Refusal> {
        // A number that is used again stands for the new watch alone.
        self.remove(watch_id);
        let mut watched = self.watched.lock();
        if watched.len() >= MAX_WATCHES {
            let bound = Bound::Watches;
            return Err(Refusal::ResourceExhausted { bound, limit: MAX_WATCHES as u64 });
        }
        if !self.conn.account.admit(Part::Tables, WATCH_COST) {
            return Err(self.conn.account.exhausted(Part::Tables));
        }
        self.count += 1;
        watched.insert(watch_id, Watched { cell: Arc::downgrade(cell), nth: self.count });
        Ok(())
    }

    /// The registration of the last watch with the actor itself, made after the peer has its answer.
    fn begin(&self, cell: &Arc<dyn Reachable>, watch_id: u64) {
        let (conn, watched, nth) = (self.conn.clone(), self.watched.clone(), self.count);
        let key = (self.conn.id, watch_id);
        let notify = Box::new(move |reason: &crate::StopReason| {
            // Told under the lock: else the number could be given to another watch in between, and the peer
            // would take this for the end of that one's actor.
            let mut watched = watched.lock();
            if watched.get(&watch_id).is_some_and(|known| known.nth == nth) {
                forget(&mut watched, watch_id, &conn);
                conn.terminated(watch_id, reason);
            }
        });
        cell.watch(Watcher::Call { key, notify });
    }

    fn remove(&self, watch_id: u64) {
        let known = forget(&mut self.watched.lock(), watch_id, &self.conn);
        let cell = known.and_then(|known| known.cell.upgrade());
        if let Some(cell) = cell {
            cell.unwatch_call((self.conn.id, watch_id));
        }
    }

    /// Drops the watches that another policy does not allow any more. The peer hears nothing of them from then on.
    pub(crate) fn review(&self, access: &Access) {
        let is_denied =
            |cell: Arc<dyn Reachable>| access.may(Verb::Watch, cell.path(), "").is_err();
        let known: Vec<(u64, Weak<dyn Reachable>)> =
            self.watched.lock().iter().map(|(id, known)| (*id, known.cell.clone())).collect();
        for (watch_id, cell) in known {
            if cell.upgrade().is_some_and(is_denied) {
                self.remove(watch_id);
            }
        }
    }

    /// The connection has ended, and with it all its watches.
    pub(crate) fn clear(&self) {
        let all: Vec<u64> = self.watched.lock().keys().copied().collect();
        all.into_iter().for_each(|watch_id| self.remove(watch_id));
    }
}

/// Forgets a watch, and with the last one the room that many took.
fn forget(
    watched: &mut HashMap<u64, Watched>,
    watch_id: u64,
    conn: &Conn<Accepted>,
) -> Option<Watched> {
    let known = watched.remove(&watch_id)?;
    conn.account.release(Part::Tables, WATCH_COST);
    if watched.is_empty() {
        *watched = HashMap::new();
    }
    Some(known)
}

/// Carries out an operation of a peer and answers it; what takes time has a task of its own.
pub(crate) fn serve(
    system: ActorSystem,
    conn: Arc<Conn<Accepted>>,
    (watches, access): (&mut Watches, &Access),
    request: Request,
) {
    let Request { corr, remaining, mut operation } = request;
    if let Err(refusal) = access.permit(&system, &mut operation) {
        return conn.respond(corr, Err(refusal));
    }
    let slow = match operation {
        Operation::Ping => return conn.respond(corr, Ok(Outcome::Done)),
        Operation::Kinds => {
            let kinds = access.kinds(system.kinds().names());
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
    let charge = match conn.account.charged(Part::Operations, operation_cost(&slow)) {
        Ok(charge) => charge,
        Err(refusal) => return conn.respond(corr, Err(refusal)),
    };
    let runtime = system.runtime().clone();
    runtime.spawn(async move {
        tokio::select! {
            result = carried_out(system, slow.into(), remaining, (charge, conn.peer.who.clone())) => {
                conn.respond(corr, result);
            }
            () = conn.gone.opened() => {}
        }
    });
}

#[cfg(test)]
mod tests {
    use rakt_wire::SpawnArgument;

    use super::*;
    use crate::remote::native::tests::{accepted, answers};
    use crate::remote::resources::tests::resources;

    #[tokio::test]
    async fn the_argument_of_a_spawn_counts_against_the_memory_budget() {
        let system = ActorSystem::builder("tests").start().await.expect("it starts");
        let conn = accepted(&resources());
        let (mut watches, budget) = (Watches::new(conn.clone()), &conn.resources.budget);
        let payload = bytes::Bytes::from(vec![0; 1024 + 1]);
        let argument = Some(SpawnArgument { type_name: "tests.Setup".to_owned(), payload });
        let (path, kind) = ("a".to_owned(), "Nothing".to_owned());
        let spawn = Operation::Spawn { path, kind, argument };
        let limit = budget.limit(Part::Operations);
        let others = budget.crowd(Part::Operations, 5 * 1024);
        let request = Request { corr: 1, remaining: None, operation: spawn };
        serve(system, conn.clone(), (&mut watches, &access(&conn)), request);
        let full = ("memory for operations (bytes)".to_owned(), limit);
        assert_eq!(answers(&conn), [(1, Some(full))]);
        budget.disperse(&others);
        assert_eq!(budget.used(Part::Operations), 0, "what was refused is given back");
    }

    fn access(conn: &Conn<Accepted>) -> Access {
        Access::new(conn.resources.clone(), conn.peer.who.clone())
    }

    /// Does not end before it is told to.
    struct Slow(Arc<tokio::sync::Semaphore>);

    impl crate::Actor for Slow {
        async fn stopped(&mut self, _: &mut crate::Context<Self>) -> crate::Result {
            drop(self.0.acquire().await);
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_operation_counts_until_it_is_over_and_ends_with_its_connection() {
        let system = ActorSystem::builder("tests").start().await.expect("it starts");
        let may_end = Arc::new(tokio::sync::Semaphore::new(0));
        let factory = move || Slow(may_end.clone());
        system.spawn("slow", factory).await.expect("it starts");
        let conn = accepted(&resources());
        let (mut watches, budget) = (Watches::new(conn.clone()), &conn.resources.budget);
        let operation = Operation::Stop { path: "slow".to_owned(), uid: None };
        serve(
            system,
            conn.clone(),
            (&mut watches, &access(&conn)),
            Request { corr: 1, remaining: None, operation },
        );
        tokio::task::yield_now().await;
        assert!(budget.used(Part::Operations) >= 4 * 1024);
        conn.gone.open();
        while budget.used(Part::Operations) > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn watches_count_until_they_are_over_and_are_refused_without_room() {
        let system = ActorSystem::builder("tests").start().await.expect("it starts");
        let may_end = Arc::new(tokio::sync::Semaphore::new(1));
        system.spawn("a", move || Slow(may_end.clone())).await.expect("it starts");
        let conn = accepted(&resources());
        let (mut watches, budget) = (Watches::new(conn.clone()), &conn.resources.budget);
        let mut ask = |operation| {
            let request = Request { corr: 1, remaining: None, operation };
            serve(system.clone(), conn.clone(), (&mut watches, &access(&conn)), request);
            answers(&conn).remove(0).1
        };
        let watch = |watch_id| Operation::Watch { path: "a".to_owned(), uid: None, watch_id };
        assert_eq!((ask(watch(1)), ask(watch(2)), ask(watch(2))), (None, None, None));
        assert_eq!(budget.used(Part::Tables), 2 * WATCH_COST);
        assert_eq!(ask(Operation::Unwatch { watch_id: 2 }), None);
        assert_eq!(budget.used(Part::Tables), WATCH_COST);
        let others = budget.crowd(Part::Tables, 0);
        let full = ("memory for watches (bytes)".to_owned(), budget.limit(Part::Tables));
        assert_eq!(ask(watch(3)), Some(full));
        budget.disperse(&others);
        assert_eq!(ask(watch(3)), None);
        watches.clear();
        assert_eq!(budget.used(Part::Tables), 0);
    }
}
