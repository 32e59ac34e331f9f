//! The grain of the contract.

use std::collections::HashMap;
use std::time::Duration;

use rakt::grain::Grain;
use rakt::prelude::*;

use super::{LONGEST_DELAY, accept_echoes, counter::Seen, echoes};
use crate::messages::{
    BytesValue, Count, CountRequest, Delay, Fail, Note, Trace, TraceRequest, bytes,
};
use crate::trace::Traceparent;

/// Does as a grain what `Counter`, `Slow`, `Failing` and `Tracer` do as actors.
#[derive(Default)]
pub struct Tally(HashMap<String, Seen>);

echoes! { Tally: BytesValue, StringValue, Empty }

impl Actor for Tally {
    fn accepts(accepts: &mut Accepts<Self>) {
        accept_echoes(accepts);
        accepts.remote::<Note>().remote::<CountRequest>();
        accepts.remote::<Delay>().remote::<Fail>().remote::<TraceRequest>();
    }
}

impl Grain for Tally {
    const KIND: &'static str = "main.tally";
}

impl Handler<Note> for Tally {
    async fn handle(&mut self, note: Note, _: &mut Context<Self>) -> Result {
        Seen::note(&mut self.0, note);
        Ok(())
    }
}

impl Handler<CountRequest> for Tally {
    async fn handle(&mut self, request: CountRequest, _: &mut Context<Self>) -> Result<Count> {
        Ok(Seen::count(&self.0, &request.sender))
    }
}

impl Handler<Delay> for Tally {
    async fn handle(&mut self, delay: Delay, _: &mut Context<Self>) -> Result<BytesValue> {
        tokio::time::sleep(Duration::from_millis(delay.millis.into()).min(LONGEST_DELAY)).await;
        Ok(bytes(delay.payload))
    }
}

impl Handler<Fail> for Tally {
    async fn handle(&mut self, _: Fail, _: &mut Context<Self>) -> Result<Fail> {
        Err("asked to fail".into())
    }
}

impl Handler<TraceRequest> for Tally {
    async fn handle(&mut self, _: TraceRequest, ctx: &mut Context<Self>) -> Result<Trace> {
        let parent = ctx.extensions().find::<Traceparent>();
        let traceparent = parent.map(|Traceparent(parent)| parent.clone()).unwrap_or_default();
        Ok(Trace { traceparent })
    }
}
