//! The connection that takes the place of one whose certificate ends.
//!
//! It is dialed while the other is in use, which then sends nothing more, and what is told goes on over the new one
//! once all that was sent is answered: so the order stays, and nothing is lost. Where it cannot be dialed, the other
//! stays in use for as long as it may.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::endpoint::Endpoint;
use super::link::{self, Link, Use};
use crate::error::Refusal;
use crate::remote::transport::Stream;

/// The connection that takes the place of another, if one is needed.
#[derive(Default)]
pub(super) enum Successor {
    #[default]
    None,
    Dialing(oneshot::Receiver<Result<Next, Refusal>>),
    Open(Box<Next>),
}

/// It, before it is used.
pub(super) struct Next {
    pub(super) link: Link,
    pub(super) stream: Box<dyn Stream>,
    /// Both are open for a while, and one of them counts as a connection for asks.
    _permit: OwnedSemaphorePermit,
}

impl Successor {
    /// Has it dialed if that has not begun, and sees how far it is.
    pub(super) fn poll(&mut self, endpoint: &Arc<Endpoint>, use_as: Use, cx: &mut Context<'_>) {
        if matches!(self, Self::None) && endpoint.node.may_dial().is_ok() {
            let (tell, told) = oneshot::channel();
            let endpoint = endpoint.clone();
            let runtime = endpoint.node.dialer.runtime.clone();
            runtime.spawn(async move { drop(tell.send(dial(&endpoint, use_as).await)) });
            *self = Self::Dialing(told);
        }
        if let Self::Dialing(told) = self
            && let Poll::Ready(told) = Pin::new(told).poll(cx)
        {
            *self = match told {
                Ok(Ok(next)) => Self::Open(Box::new(next)),
                _ => Self::None,
            };
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    pub(super) fn take(&mut self) -> Option<Box<Next>> {
        match std::mem::take(self) {
            Self::Open(next) => Some(next),
            _ => None,
        }
    }
}

async fn dial(endpoint: &Endpoint, use_as: Use) -> Result<Next, Refusal> {
    let permit = endpoint.pool.permit().await?;
    let (link, stream) = link::dial(&endpoint.node, use_as).await?;
    Ok(Next { link, stream, _permit: permit })
}
