//! A `traceparent` on its way through both sorts of nodes.

use interop::messages::{Hop, Trace, TraceRequest};
use interop::trace;
use rakt::Result;
use rakt::prelude::*;

use crate::report::{Check, checks};
use crate::target::expect;

/// The example of the W3C recommendation.
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub(crate) const CHECKS: &[Check] = checks! {
    "traceparent reaches the actor" => |x| {
        let tracer = x.actor("tracer");
        let ask = tracer.ask(TraceRequest {}).metadata(trace::parent(TRACEPARENT));
        expect(ask.await?, traced())
    };
    "no traceparent, none arrives" => |x| {
        expect(x.actor("tracer").ask(TraceRequest {}).await?, Trace::default())
    };
    "traceparent from Rust through Go to Rust" => |x| {
        hop(&x.actor("forwarder"), &x.own("tracer")).await
    };
    "traceparent from Rust through Go to Go" => |x| {
        hop(&x.actor("forwarder"), &x.address("tracer").to_string()).await
    };
    "traceparent from Rust through Rust to Go" => |x| {
        let forwarder = x.system.find("forwarder").ok_or("no forwarder here")?;
        hop(&forwarder, &x.address("tracer").to_string()).await
    };
    "traceparent from Rust through Go, Rust and Go" => |x| {
        // The Go forwarder asks for a trace, and what it asks is a forwarder that knows where to.
        let there = x.address("tracer");
        x.system.spawn(x.unique("relay"), move || Relay(there.clone())).await?;
        hop(&x.actor("forwarder"), &x.own(&x.unique("relay"))).await
    };
};

fn traced() -> Trace {
    Trace { traceparent: TRACEPARENT.to_owned() }
}

async fn hop(forwarder: &ActorRef, to: &str) -> Result {
    let hop = Hop { to: to.to_owned() };
    expect(forwarder.ask(hop).metadata(trace::parent(TRACEPARENT)).await?, traced())
}

/// Asks a tracer for what it is asked itself.
struct Relay(Address);

impl Actor for Relay {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<TraceRequest>();
    }
}

impl Handler<TraceRequest> for Relay {
    async fn handle(&mut self, _: TraceRequest, ctx: &mut Context<Self>) -> Result<Trace> {
        let to = ctx.system().actor(&self.0);
        Ok(ctx.ask(&to, TraceRequest {}).await?)
    }
}
