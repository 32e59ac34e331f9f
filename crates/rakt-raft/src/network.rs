//! How a voter reaches the others: as any actor reaches another, so that what the system has of TLS, identity and policy
//! holds for it.

use std::sync::Arc;
use std::time::Duration;

use openraft::error::{InstallSnapshotError, NetworkError, RPCError, RaftError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{RaftNetwork, RaftNetworkFactory};
use rakt::error::Cause;
use rakt::{ActorSystem, Address, AskError, Refusal};

use crate::book::Book;
use crate::call::{Answer, Call, DOOR, Whom};
use crate::names::{ClusterId, Id, Place, Shown};
use crate::types::Types;

/// Why a node has not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// It was not asked, or has refused before it did anything.
    #[error("the node at {place} was not reached")]
    Unreached { place: Place, source: Cause },
    /// It may have done something.
    #[error("the node at {place} has not answered")]
    Lost { place: Place, source: Cause },
    #[error("the node at {place} is not voter {} of the cluster: it was moved, or its directory is new", Shown(*meant))]
    NotMe { place: Place, meant: Id },
    #[error("the node at {place} has too much to do")]
    Busy { place: Place },
    #[error("the node at {place} failed: {text}")]
    Failed { place: Place, text: String },
    #[error("the node at {place} has answered something else")]
    Odd { place: Place },
}

impl Unanswered {
    /// Whether nothing listens there.
    pub(crate) fn is_refused(&self) -> bool {
        let Self::Unreached { source, .. } = self else { return false };
        source.get_ref().downcast_ref().is_some_and(Refusal::is_connection_refused)
    }
}

/// Asks the node at a place.
pub(crate) async fn ask(
    system: &ActorSystem,
    place: &Place,
    call: Call,
    limit: Duration,
) -> Result<Answer, Unanswered> {
    let unreached = |source| Unanswered::Unreached { place: place.clone(), source };
    let address = Address::new(DOOR, system.name(), &*place.host, place.port);
    let address = address.map_err(|error| unreached(Cause::new(error)))?;
    let asked = system.ask(&address, call).timeout(limit).await;
    match asked {
        Ok(answer) if !answer.is_bounded() => Err(Unanswered::Odd { place: place.clone() }),
        Ok(answer) => Ok(answer),
        Err(error) if error.is_safe_to_retry() => Err(unreached(cause(error))),
        Err(error) => Err(Unanswered::Lost { place: place.clone(), source: cause(error) }),
    }
}

/// Without the message that comes back.
fn cause(error: AskError<Call>) -> Cause {
    match error {
        AskError::NotSent { refusal, .. } | AskError::Refused { refusal, .. } => {
            Cause::new(refusal)
        }
        error => Cause::new(error),
    }
}

/// Makes the ways to other voters.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) system: ActorSystem,
    pub(crate) cluster: ClusterId,
    pub(crate) book: Arc<Book>,
    pub(crate) backoff: Duration,
}

/// The way to one.
#[derive(Debug)]
pub(crate) struct Way {
    system: ActorSystem,
    book: Arc<Book>,
    of: Whom,
    /// Where the log says that it is.
    place: Place,
    backoff: Duration,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Way;

    async fn new_client(&mut self, id: Id, place: &Place) -> Way {
        Way {
            system: self.system.clone(),
            book: self.book.clone(),
            of: Whom { cluster: self.cluster, id },
            place: place.clone(),
            backoff: self.backoff,
        }
    }
}

type CallError<E = RaftError<Id>> = RPCError<Id, Place, E>;

impl Way {
    async fn ask<E: std::error::Error>(
        &self,
        call: Call,
        limit: Duration,
    ) -> Result<Answer, CallError<E>> {
        let place = self.book.place(self.of.id).unwrap_or_else(|| self.place.clone());
        let answer = ask(&self.system, &place, call, limit).await;
        let unreachable = |why: Unanswered| CallError::<E>::Unreachable(Unreachable::new(&why));
        match answer {
            Ok(Answer::NotMe(_)) => {
                Err(unreachable(Unanswered::NotMe { place, meant: self.of.id }))
            }
            Ok(Answer::Busy) => Err(unreachable(Unanswered::Busy { place })),
            Ok(Answer::Failed(text)) => Err(unreachable(Unanswered::Failed { place, text })),
            Ok(answer) => Ok(answer),
            Err(why @ Unanswered::Lost { .. }) => Err(CallError::Network(NetworkError::new(&why))),
            Err(why) => Err(unreachable(why)),
        }
    }

    fn odd<E: std::error::Error>(&self) -> CallError<E> {
        CallError::Unreachable(Unreachable::new(&Unanswered::Odd { place: self.place.clone() }))
    }
}

impl RaftNetwork<Types> for Way {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Id>, CallError> {
        match self.ask(Call::Append { of: self.of, rpc }, option.hard_ttl()).await? {
            Answer::Append(answer) => Ok(answer),
            _ => Err(self.odd()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Id>,
        option: RPCOption,
    ) -> Result<VoteResponse<Id>, CallError> {
        match self.ask(Call::Vote { of: self.of, rpc }, option.hard_ttl()).await? {
            Answer::Vote(answer) => Ok(answer),
            _ => Err(self.odd()),
        }
    }

    /// There are no snapshots.
    async fn install_snapshot(
        &mut self,
        _: InstallSnapshotRequest<Types>,
        _: RPCOption,
    ) -> Result<InstallSnapshotResponse<Id>, CallError<RaftError<Id, InstallSnapshotError>>> {
        Err(self.odd())
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(self.backoff))
    }
}
