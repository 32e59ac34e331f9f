//! Actors that send to other nodes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rakt::ReplyLater;
use rakt::prelude::*;

use super::unanswered;
use crate::messages::{
    BytesValue, Empty, Hop, Outcome, OutcomeRequest, Relay, StringValue, Trace, TraceRequest, bytes,
};
use crate::trace::Traceparent;

/// How long the request of a `Relay` may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Tells senders what they told it, and answers nobody.
#[derive(Default)]
pub struct Replier;

impl Actor for Replier {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<BytesValue>().remote::<StringValue>();
    }
}

impl Handler<BytesValue> for Replier {
    async fn handle(&mut self, message: BytesValue, ctx: &mut Context<Self>) -> Result<BytesValue> {
        if let Some(sender) = ctx.sender() {
            ctx.tell(sender, message).await?;
        }
        unanswered(ctx)
    }
}

impl Handler<StringValue> for Replier {
    async fn handle(
        &mut self,
        message: StringValue,
        ctx: &mut Context<Self>,
    ) -> Result<StringValue> {
        if let Some(sender) = ctx.sender() {
            ctx.tell(sender, message).await?;
        }
        unanswered(ctx)
    }
}

/// Sends the payload of a `Relay` on, answers at once, and posts what comes of it. rakt has `ask` for what
/// Go actors use asynchronous requests for: the task that waits is not the actor.
pub struct Requester(pub Arc<Board>);

impl Actor for Requester {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Relay>();
    }
}

impl Handler<Relay> for Requester {
    async fn handle(&mut self, relay: Relay, ctx: &mut Context<Self>) -> Result<Empty> {
        let to: Address = relay.to.parse()?;
        let ask = ctx.system().ask(&to, bytes(relay.payload));
        let ask = ask.sender(&ctx.me()).timeout(REQUEST_TIMEOUT);
        let (board, id) = (self.0.clone(), relay.id);
        tokio::spawn(async move {
            board.post(match ask.await {
                Ok(reply) => Outcome { id, payload: reply.value, error: String::new() },
                Err(error) => Outcome { id, error: error.to_string(), ..Default::default() },
            });
        });
        Ok(Empty {})
    }
}

/// Answers as soon as there is something to tell.
pub struct Outcomes(pub Arc<Board>);

impl Actor for Outcomes {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<OutcomeRequest>();
    }
}

impl Handler<OutcomeRequest> for Outcomes {
    async fn handle(
        &mut self,
        request: OutcomeRequest,
        ctx: &mut Context<Self>,
    ) -> Result<Outcome> {
        let (later, deferred) = ctx.defer();
        self.0.wait(request.id, later);
        deferred
    }
}

/// Where outcomes and those who want them meet.
#[derive(Default)]
pub struct Board(Mutex<HashMap<String, Posted>>);

enum Posted {
    Outcome(Outcome),
    Wanted(ReplyLater<Outcome>),
}

impl Board {
    fn post(&self, outcome: Outcome) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match board.remove(&outcome.id) {
            Some(Posted::Wanted(later)) => later.send(outcome),
            _ => drop(board.insert(outcome.id.clone(), Posted::Outcome(outcome))),
        }
    }

    fn wait(&self, id: String, later: ReplyLater<Outcome>) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match board.remove(&id) {
            Some(Posted::Outcome(outcome)) => later.send(outcome),
            _ => drop(board.insert(id, Posted::Wanted(later))),
        }
    }
}

/// Answers with the trace context of the request.
#[derive(Default)]
pub struct Tracer;

impl Actor for Tracer {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<TraceRequest>();
    }
}

impl Handler<TraceRequest> for Tracer {
    async fn handle(&mut self, _: TraceRequest, ctx: &mut Context<Self>) -> Result<Trace> {
        let parent = ctx.extensions().find::<Traceparent>();
        Ok(Trace {
            traceparent: parent.map(|Traceparent(parent)| parent.clone()).unwrap_or_default(),
        })
    }
}

/// Asks another node's tracer in the context of what it was asked itself.
#[derive(Default)]
pub struct Forwarder;

impl Actor for Forwarder {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Hop>();
    }
}

impl Handler<Hop> for Forwarder {
    async fn handle(&mut self, hop: Hop, ctx: &mut Context<Self>) -> Result<Trace> {
        let to = ctx.system().actor(&hop.to.parse()?);
        Ok(ctx.ask(&to, TraceRequest {}).await?)
    }
}
