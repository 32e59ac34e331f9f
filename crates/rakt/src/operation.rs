//! Managing actors: stop, respawn, reinstate, here or on another node.

use rakt_wire::Operation;
use tokio::sync::oneshot;

use crate::error::{OperationError, Refusal};
use crate::events::StopReason;
use crate::reference::{AnyCell, RemoteActor, Target, ended};
use crate::signal::Signal;

pub(crate) async fn stop(target: &Target) -> Result<(), OperationError> {
    match target {
        Target::Local(cell) => {
            stop_cell(&**cell).await;
            Ok(())
        }
        Target::Remote(remote) => {
            let (path, uid) = place(&**remote);
            stopped(remote.request(Operation::Stop { path, uid }).await)
        }
    }
}

pub(crate) async fn respawn(target: &Target) -> Result<(), OperationError> {
    match target {
        Target::Local(cell) => {
            respawn_cell(&**cell).await.map_err(|refusal| refused("respawn", &**cell, refusal))
        }
        Target::Remote(remote) => {
            let (path, uid) = place(&**remote);
            remote.request(Operation::Respawn { path, uid }).await.map(drop)
        }
    }
}

pub(crate) async fn reinstate(target: &Target) -> Result<(), OperationError> {
    match target {
        Target::Local(cell) => {
            reinstate_cell(&**cell).await.map_err(|refusal| refused("reinstate", &**cell, refusal))
        }
        Target::Remote(remote) => {
            let (path, uid) = place(&**remote);
            remote.request(Operation::Reinstate { path, uid }).await.map(drop)
        }
    }
}

/// How an actor of another node is called there.
fn place(remote: &dyn RemoteActor) -> (String, Option<u64>) {
    (remote.address().path().to_owned(), remote.life().map(|life| life.uid))
}

/// The end of a `stop`: an actor that is gone, alone or with its node, has stopped.
pub(crate) fn stopped<T>(result: Result<T, OperationError>) -> Result<(), OperationError> {
    match result {
        Err(
            OperationError::Refused {
                refusal: Refusal::NotFound | Refusal::Stopped | Refusal::StaleIncarnation,
                ..
            }
            | OperationError::NotSent { refusal: Refusal::StaleIncarnation, .. },
        ) => Ok(()),
        result => result.map(drop),
    }
}

/// What errors call an operation.
pub(crate) fn operation_name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Lookup { .. } => "lookup",
        Operation::Spawn { .. } => "spawn",
        Operation::Stop { .. } => "stop",
        Operation::Respawn { .. } => "respawn",
        Operation::Reinstate { .. } => "reinstate",
        Operation::Watch { .. } => "watch",
        Operation::Unwatch { .. } => "unwatch",
        Operation::Ping => "ping",
        Operation::Kinds => "kinds",
        _ => "operation",
    }
}

/// Stops an actor once it has handled what is queued.
pub(crate) async fn stop_cell(cell: &dyn AnyCell) {
    cell.signal(Signal::Stop { finish: true, reason: StopReason::Stopped });
    ended(cell).await;
}

pub(crate) async fn respawn_cell(cell: &dyn AnyCell) -> Result<(), Refusal> {
    let (done, result) = oneshot::channel();
    cell.signal(Signal::Respawn(done));
    result.await.unwrap_or(Err(Refusal::Stopped))
}

pub(crate) async fn reinstate_cell(cell: &dyn AnyCell) -> Result<(), Refusal> {
    let (done, result) = oneshot::channel();
    cell.signal(Signal::Reinstate(done));
    result.await.unwrap_or(Err(Refusal::Stopped))
}

fn refused(operation: &'static str, cell: &dyn AnyCell, refusal: Refusal) -> OperationError {
    OperationError::Refused { operation, target: cell.address().into(), refusal }
}
