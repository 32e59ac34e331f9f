//! Managing actors: stop, respawn, reinstate, here or on another node.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::cell::{AnyCell, Signal, ended};
use crate::error::{OperationError, Refusal};
use crate::events::StopReason;
use crate::reference::Target;

pub(crate) async fn stop(target: &Target) -> Result<(), OperationError> {
    match target {
        Target::Local(cell) => {
            stop_cell(cell).await;
            Ok(())
        }
        #[cfg(feature = "remote")]
        Target::Remote(remote) => remote.stop().await,
    }
}

pub(crate) async fn respawn(target: &Target) -> Result<(), OperationError> {
    match target {
        Target::Local(cell) => {
            respawn_cell(cell).await.map_err(|refusal| refused("respawn", cell, refusal))
        }
        #[cfg(feature = "remote")]
        Target::Remote(remote) => remote.respawn().await,
    }
}

pub(crate) async fn reinstate(target: &Target) -> Result<(), OperationError> {
    match target {
        Target::Local(cell) => {
            reinstate_cell(cell).await.map_err(|refusal| refused("reinstate", cell, refusal))
        }
        #[cfg(feature = "remote")]
        Target::Remote(remote) => remote.reinstate().await,
    }
}

/// Stops an actor once it has handled what is queued.
pub(crate) async fn stop_cell(cell: &Arc<dyn AnyCell>) {
    cell.signal(Signal::Stop { finish: true, reason: StopReason::Stopped });
    ended(&**cell).await;
}

pub(crate) async fn respawn_cell(cell: &Arc<dyn AnyCell>) -> Result<(), Refusal> {
    let (done, result) = oneshot::channel();
    cell.signal(Signal::Respawn(done));
    result.await.unwrap_or(Err(Refusal::Stopped))
}

pub(crate) async fn reinstate_cell(cell: &Arc<dyn AnyCell>) -> Result<(), Refusal> {
    let (done, result) = oneshot::channel();
    cell.signal(Signal::Reinstate(done));
    result.await.unwrap_or(Err(Refusal::Stopped))
}

fn refused(operation: &'static str, cell: &Arc<dyn AnyCell>, refusal: Refusal) -> OperationError {
    let target = cell.system().address_of(cell.path()).into();
    OperationError::Refused { operation, target, refusal }
}
