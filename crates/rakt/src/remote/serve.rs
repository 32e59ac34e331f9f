//! What peers ask of this node about its actors, once it is decided that they may.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rakt_wire::{Operation, Outcome, SpawnArgument, is_reserved, validate_text};
use tokio::task::JoinSet;

use super::account::Charge;
use super::quota::Whose;
use crate::error::{Cause, Refusal};
use crate::grain::GrainId;
use crate::mailbox::arrivals::Reachable;
use crate::message::allowance::Room;
use crate::operation::{reinstate_cell, respawn_cell, stop_cell};
use crate::peer::Peer;
use crate::system::ActorSystem;
use crate::system::core::{Argument, Changes};
use crate::timers::now;

/// The system's own actors are for nobody who has an address alone, this node included. What of the rest a peer may
/// reach is decided in `access.rs`, before this.
fn check_reserved(path: &str) -> Result<(), Refusal> {
    match path.split('/').any(is_reserved) {
        false => Ok(()),
        true => Err(Refusal::Denied { source: "the name is reserved".into() }),
    }
}

/// The actor that is meant.
pub(crate) fn find(
    system: &ActorSystem,
    path: &str,
    uid: Option<u64>,
) -> Result<Arc<dyn Reachable>, Refusal> {
    check_reserved(path)?;
    let cell = system.find_cell(path);
    match (cell, uid) {
        (Some(cell), None) => Ok(cell),
        (Some(cell), Some(uid)) if cell.uid() == uid => Ok(cell),
        (Some(_), Some(_)) => Err(Refusal::StaleIncarnation),
        (None, _) if system.is_shutting_down() => Err(Refusal::ShuttingDown),
        (None, _) => match validate_text("path", path) {
            Ok(()) => Err(Refusal::NotFound),
            Err(error) => Err(Refusal::InvalidArgument { source: Cause::new(error) }),
        },
    }
}

/// What passes messages on to a grain that lives on another node of the cluster, or nowhere yet.
pub(crate) fn relay(system: &ActorSystem, path: &str) -> Option<Arc<dyn Reachable>> {
    system.cluster()?;
    let id = GrainId::of_path(path)?;
    system.0.grains.get(id.kind())?.clone().relay(system, id.key())
}

/// What the tasks of an operation take up in memory, in bytes.
const TASKS_COST: u64 = 4 * 1024;

/// The longest argument that lies in what was read with it, in bytes: a longer one has its own memory. As long
/// as a request of GoAkt.
const COPIED_ARGUMENT: usize = 256 * 1024;

/// Bytes that an operation takes up until it is carried out.
pub(crate) fn operation_cost(operation: &Operation) -> u64 {
    let argument = match operation {
        Operation::Spawn { argument, .. } => argument.as_ref().map_or(0, argument_cost),
        _ => 0,
    };
    TASKS_COST + argument
}

/// An operation as a peer asks for it.
pub(crate) struct Asked {
    pub(crate) operation: Operation,
    /// Of an actor that it spawns.
    pub(crate) changes: Changes,
}

impl From<Operation> for Asked {
    fn from(operation: Operation) -> Self {
        Self { operation, changes: Changes::default() }
    }
}

/// What becomes of an operation that takes time. It ends when the future is dropped, as with the connection
/// that it came over: an actor that has begun to stop or to start anew goes on with that, and one that has not
/// started yet is not started.
///
/// It has a task of its own: user code that is not contained elsewhere, such as a list of accepted
/// messages, must not leave the peer without an answer when it panics.
pub(crate) async fn carried_out(
    system: ActorSystem,
    asked: Asked,
    remaining: Option<Duration>,
    (charge, peer): (Charge, Peer),
) -> Result<Outcome, Refusal> {
    let (runtime, mut tasks) = (system.runtime().clone(), JoinSet::new());
    let work = async move {
        // The charge stays for as long as this is under way.
        let mut charge = charge;
        let account = charge.account().clone();
        let by = (Some(peer.clone()), Some(&account as &dyn Room));
        let work = carry_out(&system, asked, by, |argument| {
            let place = account.resources().spawned.take(Whose::of(&peer), now())?;
            // The actor keeps its argument, to be able to start anew.
            let kept = argument.map(|argument| charge.split(argument_cost(argument)));
            Ok((place, kept))
        });
        match remaining {
            Some(left) => {
                tokio::time::timeout(left, work).await.unwrap_or(Err(Refusal::DeadlineExceeded))
            }
            None => work.await,
        }
    };
    tasks.spawn_on(work, &runtime);
    let panicked = || Refusal::Internal { source: "the operation panicked".into() };
    tasks.join_next().await.and_then(Result::ok).unwrap_or_else(|| Err(panicked()))
}

/// Carries an operation out that takes time. An actor that is spawned has a place until it ends. What a peer gave
/// it as an argument has `room` for what that becomes when it is decoded.
pub(crate) async fn carry_out<P: Any + Send>(
    system: &ActorSystem,
    Asked { operation, changes }: Asked,
    (peer, room): (Option<Peer>, Option<&dyn Room>),
    take_place: impl FnOnce(Option<&SpawnArgument>) -> Result<P, Refusal>,
) -> Result<Outcome, Refusal> {
    match operation {
        Operation::Spawn { path, kind, argument } => {
            if path.contains('/') {
                let text = format!("{path:?} is a child's path; peers spawn at the top");
                return Err(Refusal::InvalidArgument { source: text.into() });
            }
            check_reserved(&path)?;
            let argument = argument.map(compact);
            let place = take_place(argument.as_ref())?;
            let argument = argument.map(|argument| Argument { argument, room });
            let cell = system
                .kinds()
                .spawn(system.clone(), path, &kind, (argument, changes), (place, peer))
                .await?;
            Ok(Outcome::Spawned { uid: cell.uid() })
        }
        Operation::Stop { path, uid } => {
            let (found, grain) = (find(system, &path, uid), GrainId::of_path(&path));
            match (found, grain, uid) {
                (Ok(cell), ..) => stop_cell(&*cell).await,
                // Whoever means no certain life of a grain means the one on another node as well.
                (Err(Refusal::NotFound), Some(grain), None) if system.cluster().is_some() => {
                    let host = system.0.grains.get(grain.kind()).ok_or(Refusal::NotFound)?;
                    host.deactivate(system, grain.key()).await?;
                }
                (Err(refusal), ..) => return Err(refusal),
            }
            Ok(Outcome::Done)
        }
        Operation::Respawn { path, uid } => {
            respawn_cell(&*find(system, &path, uid)?).await?;
            Ok(Outcome::Done)
        }
        Operation::Reinstate { path, uid } => {
            reinstate_cell(&*find(system, &path, uid)?).await?;
            Ok(Outcome::Done)
        }
        other => Err(Refusal::Unsupported { source: format!("{other:?}").into() }),
    }
}

fn argument_cost(argument: &SpawnArgument) -> u64 {
    argument.payload.len() as u64
}

/// Lets go of what an argument was read with.
fn compact(argument: SpawnArgument) -> SpawnArgument {
    let SpawnArgument { type_name, mut payload } = argument;
    if payload.len() <= COPIED_ARGUMENT {
        payload = Bytes::copy_from_slice(&payload);
    }
    SpawnArgument { type_name, payload }
}

pub(crate) fn lookup(system: &ActorSystem, path: &str) -> Result<Outcome, Refusal> {
    match find(system, path, None) {
        Ok(cell) => Ok(found_outcome(&*cell)),
        Err(Refusal::NotFound) => Ok(Outcome::Absent),
        Err(refusal) => Err(refusal),
    }
}

pub(crate) fn found_outcome(cell: &dyn Reachable) -> Outcome {
    let kind = cell.kind().map(ToString::to_string).unwrap_or_default();
    Outcome::Found { uid: cell.uid(), kind }
}
