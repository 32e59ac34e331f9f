//! Managing actors: stop, respawn, reinstate, here or on another node.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use rakt_wire::Operation;
use tokio::sync::oneshot;

use crate::call_options::CallOptions;
use crate::error::{OperationError, Refusal};
use crate::events::StopReason;
use crate::inside::{is_inside, is_inside_family};
use crate::limit::Limit;
use crate::reference::{AnyCell, AnyGrain, RemoteActor, Target, ended};
use crate::signal::Signal;

pub(crate) async fn stop(target: &Target) -> Result<(), OperationError> {
    match target {
        Target::Local(cell) => {
            let cell = &**cell;
            wait("stop", cell, is_inside_family(cell), || async {
                stop_cell(cell).await;
                Ok(())
            })
            .await
        }
        Target::Remote(remote) => {
            let (path, uid) = place(&**remote);
            stopped(remote.request(Operation::Stop { path, uid }).await)
        }
        Target::Grain(grain) => match life_of("stop", grain).await? {
            Some(life) => Box::pin(stop(&life)).await,
            None => Ok(()),
        },
    }
}

pub(crate) async fn respawn(target: &Target) -> Result<(), OperationError> {
    match target {
        Target::Local(cell) => {
            let cell = &**cell;
            wait("respawn", cell, is_inside_family(cell), || respawn_cell(cell)).await
        }
        Target::Remote(remote) => {
            let (path, uid) = place(&**remote);
            remote.request(Operation::Respawn { path, uid }).await.map(drop)
        }
        Target::Grain(grain) => match life_of("respawn", grain).await? {
            Some(life) => Box::pin(respawn(&life)).await,
            None => Ok(()),
        },
    }
}

pub(crate) async fn reinstate(target: &Target) -> Result<(), OperationError> {
    match target {
        Target::Local(cell) => {
            let cell = &**cell;
            // It does not wait for those below it.
            wait("reinstate", cell, is_inside(cell), || reinstate_cell(cell)).await
        }
        Target::Remote(remote) => {
            let (path, uid) = place(&**remote);
            remote.request(Operation::Reinstate { path, uid }).await.map(drop)
        }
        Target::Grain(grain) => match life_of("reinstate", grain).await? {
            Some(life) => Box::pin(reinstate(&life)).await,
            None => Ok(()),
        },
    }
}

pub(crate) async fn kill(target: &Target) -> Result<(), OperationError> {
    match target {
        Target::Local(cell) => {
            let cell = &**cell;
            let kill = || async {
                cell.kill();
                ended(cell).await;
                Ok(())
            };
            wait("kill", cell, is_inside_family(cell), kill).await
        }
        Target::Remote(remote) => {
            let target = remote.address().clone().into();
            let source = "an actor is killed by its own node".into();
            let refusal = Refusal::Unsupported { source };
            Err(OperationError::NotSent { operation: "kill", target, refusal })
        }
        Target::Grain(grain) => match life_of("kill", grain).await? {
            Some(life) => Box::pin(kill(&life)).await,
            None => Ok(()),
        },
    }
}

/// Waits for the end of an actor that is about to end, as long as an ask may take.
pub(crate) async fn end_of(cell: &dyn AnyCell) -> Result<(), OperationError> {
    let end = || async {
        ended(cell).await;
        Ok(())
    };
    wait("spawn", cell, is_inside_family(cell), end).await
}

/// Carries out an operation on an actor of this process, as long as an ask may take.
async fn wait<F: Future<Output = Result<(), Refusal>>>(
    operation: &'static str,
    cell: &dyn AnyCell,
    waits_for_itself: bool,
    carry_out: impl FnOnce() -> F,
) -> Result<(), OperationError> {
    let target = || cell.address().into();
    if waits_for_itself {
        let refusal = Refusal::WaitsForItself;
        return Err(OperationError::NotSent { operation, target: target(), refusal });
    }
    let CallOptions { ask_timeout, ticks, .. } = cell.call_options();
    let mut done = pin!(carry_out());
    let mut limit = Limit::new(*ask_timeout);
    std::future::poll_fn(|cx| match done.as_mut().poll(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
        Poll::Ready(Err(refusal)) => {
            Poll::Ready(Err(OperationError::Refused { operation, target: target(), refusal }))
        }
        Poll::Pending => limit.poll(cx, ticks).map(|()| {
            Err(OperationError::Timeout { operation, target: target(), limit: *ask_timeout })
        }),
    })
    .await
}

/// The life that a grain has, looked for as long as an ask may take.
async fn life_of(
    operation: &'static str,
    grain: &Arc<dyn AnyGrain>,
) -> Result<Option<Target>, OperationError> {
    let limit = grain.call_options().ask_timeout;
    let found = tokio::time::timeout(limit, grain.clone().look()).await;
    found.unwrap_or(Err(Refusal::DeadlineExceeded)).map_err(|refusal| {
        let target = grain.address().into();
        OperationError::NotSent { operation, target, refusal }
    })
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
