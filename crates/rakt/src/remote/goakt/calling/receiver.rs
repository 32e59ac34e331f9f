//! Everything that can be asked of a Go node and of its actors.

use std::sync::Arc;
use std::task::{Poll, Waker};

use rakt_wire::{Address, Outcome, Wish};

use super::ask;
use super::endpoint::Endpoint;
use super::operate;
use super::queue::ReceiverEntry;
use super::send_state::{SendState, poll_settled};
use super::tell;
use crate::answer::RemoteAnswer;
use crate::error::{OperationError, Refusal};
use crate::reference::Outgoing;
use crate::remote::request::NodeRequest;

/// An actor of a Go node.
pub(crate) struct Receiver {
    endpoint: Arc<Endpoint>,
    entry: Arc<ReceiverEntry>,
}

impl Endpoint {
    /// The receiver at an address.
    pub(crate) fn receiver(self: &Arc<Self>, address: &Address) -> Receiver {
        Receiver { endpoint: self.clone(), entry: self.entry(address) }
    }

    /// Carries out an operation on the node; says where the actor is, where that is asked.
    pub(crate) async fn request(
        self: &Arc<Self>,
        request: NodeRequest<'_>,
    ) -> Result<(Option<Address>, Outcome), OperationError> {
        operate::request(self, request, std::future::ready(())).await
    }
}

impl Receiver {
    /// Gives a message to a connection, waiting for one, and for room, where needed.
    pub(crate) fn poll_send(
        &self,
        outgoing: &Outgoing<'_>,
        state: &mut Option<Box<SendState>>,
        waker: Option<&Waker>,
    ) -> Poll<Result<Option<RemoteAnswer>, Refusal>> {
        let Self { endpoint, entry } = self;
        match outgoing.wish {
            Wish::Tell | Wish::Confirm => tell::poll_tell(endpoint, entry, outgoing, state, waker),
            Wish::Ask => ask::poll_ask(endpoint, entry, outgoing, state, waker),
        }
    }

    /// Carries out an operation on the actor, behind what it was told before.
    pub(crate) async fn request(
        &self,
        request: NodeRequest<'_>,
    ) -> Result<Outcome, OperationError> {
        let Self { endpoint, entry } = self;
        let (outbox, mut state) = (endpoint.outbox(entry), None);
        let settled =
            std::future::poll_fn(|cx| poll_settled(outbox, entry, &mut state, cx.waker()));
        operate::request(endpoint, request, settled).await.map(|(_, outcome)| outcome)
    }
}
