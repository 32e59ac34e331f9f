//! Operations on a Go node: lookup, spawn, stop and the like.

use std::sync::Arc;

use rakt_wire::goakt::{Answer, Call, Procedure};
use rakt_wire::{Address, Metadata, Operation, Outcome};

use super::endpoint::Endpoint;
use super::lease::{Lease, lease, try_lease};
use super::link::Failed;
use super::sender::parsed;
use crate::error::{OperationError, Refusal};
use crate::remote::goakt::limits::LONGEST;
use crate::remote::request::NodeRequest;

/// Carries out an operation, once `turn` has come.
pub(super) async fn request(
    endpoint: &Arc<Endpoint>,
    request: NodeRequest<'_>,
    turn: impl Future<Output = ()>,
) -> Result<(Option<Address>, Outcome), OperationError> {
    let operating = Operating { endpoint, request };
    let (host, port) = (&*endpoint.node.place.host, endpoint.node.place.port);
    let call = Call::from_operation(request.operation, host, port)
        .map_err(|failure| request.not_sent(Refusal::from_wire(failure)))?;
    let until = tokio::time::Instant::now() + request.limit.min(LONGEST);
    if tokio::time::timeout_at(until, turn).await.is_err() {
        return Err(request.not_sent(Refusal::DeadlineExceeded));
    }
    match request.operation {
        Operation::Lookup { .. } => operating.look_up(&call, until).await,
        Operation::Spawn { path, kind, .. } => {
            operating.exchange(&call, until).await.map_err(|error| with_kind(error, kind))?;
            // The response does not say which system it is.
            let lookup = Operation::Lookup { path: path.trim().to_owned() };
            let lookup = Call::from_operation(&lookup, host, port)
                .map_err(|failure| request.refused(Refusal::from_wire(failure)))?;
            match operating.look_up(&lookup, until).await? {
                (Some(address), _) => Ok((Some(address), Outcome::Spawned { uid: 0 })),
                // It has ended already.
                (None, _) => Err(request.refused(Refusal::Stopped)),
            }
        }
        Operation::Ping => match operating.exchange(&call, until).await {
            // Any answer shows that it is there, other than that it is not for much longer.
            Err(OperationError::Refused {
                refusal: Refusal::NotFound | Refusal::Denied { .. },
                ..
            })
            | Ok(_) => Ok((None, Outcome::Done)),
            Err(error) => Err(error),
        },
        _ => match operating.exchange(&call, until).await? {
            Answer::Kinds(kinds) => Ok((None, Outcome::Kinds(kinds))),
            _ => Ok((None, Outcome::Done)),
        },
    }
}

struct Operating<'a> {
    endpoint: &'a Arc<Endpoint>,
    request: NodeRequest<'a>,
}

impl Operating<'_> {
    async fn look_up(
        &self,
        call: &Call<'_>,
        until: tokio::time::Instant,
    ) -> Result<(Option<Address>, Outcome), OperationError> {
        match self.exchange(call, until).await {
            Ok(Answer::Address(text)) => {
                let address = parsed(&text).ok_or_else(|| {
                    let source = format!("{text:?}, which it answered, is no address").into();
                    self.request.refused(Refusal::Internal { source })
                })?;
                Ok((Some(address), Outcome::Found { uid: 0, kind: String::new() }))
            }
            Ok(_) | Err(OperationError::Refused { refusal: Refusal::NotFound, .. }) => {
                Ok((None, Outcome::Absent))
            }
            Err(error) => Err(error),
        }
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        until: tokio::time::Instant,
    ) -> Result<Answer, OperationError> {
        let endpoint = self.endpoint;
        let leased = match try_lease(endpoint) {
            Some(lease) => Ok(lease),
            None => match tokio::time::timeout_at(until, lease(endpoint.clone())).await {
                Ok(lease) => lease,
                Err(_) => Err(Refusal::DeadlineExceeded),
            },
        };
        let mut lease = leased.map_err(|refusal| self.request.not_sent(refusal))?;
        let is_harmless = matches!(call.procedure(), Procedure::Lookup | Procedure::GetKinds);
        let headers = Metadata::new();
        loop {
            let answered = lease.conn.exchange(call, &headers, None, until.into_std()).await;
            let failed = match answered {
                Ok(answer) => {
                    lease.give_back(endpoint);
                    return answer
                        .into_result(call.procedure())
                        .map_err(|failure| self.request.refused(Refusal::from_wire(failure)));
                }
                Err(failed) => failed,
            };
            match failed {
                Failed::Refused(refusal) => {
                    lease.give_back(endpoint);
                    return Err(self.request.not_sent(refusal));
                }
                // The node may have closed it while it was idle.
                Failed::Unsent(_) if lease.is_reused => lease = self.renew(lease, until).await?,
                Failed::Lost(_) if lease.is_reused && is_harmless => {
                    lease = self.renew(lease, until).await?;
                }
                Failed::Unsent(cause) => {
                    return Err(self.request.not_sent(endpoint.node.unreachable(cause)));
                }
                Failed::Incompatible(cause) => {
                    let refusal = endpoint.node.incompatible(cause);
                    endpoint.node.failed(refusal.clone());
                    return Err(self.request.refused(refusal));
                }
                Failed::Lost(cause) => return Err(self.request.lost(cause)),
                Failed::TimedOut => return Err(self.request.timed_out()),
            }
        }
    }

    async fn renew(
        &self,
        lease: Lease,
        until: tokio::time::Instant,
    ) -> Result<Lease, OperationError> {
        let renewed = tokio::time::timeout_at(until, lease.renew(self.endpoint)).await;
        renewed
            .unwrap_or(Err(Refusal::DeadlineExceeded))
            .map_err(|refusal| self.request.not_sent(refusal))
    }
}

/// A node does not say which kind it does not know.
fn with_kind(error: OperationError, kind: &str) -> OperationError {
    match error {
        OperationError::Refused {
            operation,
            target,
            refusal: Refusal::KindNotRegistered { .. },
        } => {
            let refusal = Refusal::KindNotRegistered { kind: kind.to_owned() };
            OperationError::Refused { operation, target, refusal }
        }
        error => error,
    }
}
