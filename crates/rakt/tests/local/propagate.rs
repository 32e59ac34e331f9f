//! Context that travels with messages.

use rakt::prelude::*;
use rakt::propagate::{ContextPropagator, Extensions};
use rakt::{AskError, BoxError, Event, Metadata, Refusal};
use tokio::sync::mpsc;

use crate::support::{event, within};

const KEY: &str = "trace";

/// What a handler finds: the trace of the message it handles.
#[derive(Clone, Debug, PartialEq)]
struct Trace(String);

tokio::task_local! {
    /// The trace outside of actors.
    static OUTSIDE: Trace;
}

/// Each hop adds a mark. Two traces are poison: one cannot be sent, the other not received.
struct Tracer;

impl ContextPropagator for Tracer {
    fn inject(&self, current: &Extensions, carrier: &mut Metadata) -> Result<(), BoxError> {
        let trace = current.find::<Trace>().cloned().or_else(|| OUTSIDE.try_get().ok());
        match trace {
            Some(Trace(trace)) if trace == "unsendable" => Err("it is poison".into()),
            Some(Trace(trace)) => Ok(carrier.insert(KEY, format!("{trace}>"))?),
            None => Ok(()),
        }
    }

    fn extract(&self, carrier: &Metadata, current: &mut Extensions) -> Result<(), BoxError> {
        match carrier.get(KEY) {
            Some("unreceivable>") => Err("it is poison".into()),
            Some(trace) => {
                current.insert(Trace(trace.to_owned()));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

struct Hop(u32);
struct Pass(u32);
struct Tell(mpsc::UnboundedSender<Option<Trace>>);
struct Tagged;

rakt::messages! {
    Hop => Option<Trace>,
    Pass => Option<Trace>,
    Tell,
    Tagged => (Option<String>, Option<String>),
}

/// Asks the next actor, if there is one.
struct Link(Option<ActorRef<Link>>);

impl Actor for Link {}

impl Handler<Hop> for Link {
    async fn handle(&mut self, Hop(n): Hop, ctx: &mut Context<Self>) -> Result<Option<Trace>> {
        match (&self.0, n) {
            (Some(next), 1..) => Ok(ctx.ask(next, Hop(n - 1)).await?),
            _ => Ok(ctx.extensions().find::<Trace>().cloned()),
        }
    }
}

impl Handler<Pass> for Link {
    async fn handle(&mut self, Pass(n): Pass, ctx: &mut Context<Self>) -> Result<Option<Trace>> {
        match &self.0 {
            Some(next) => ctx.forward(next, Pass(n)).await,
            None => Ok(ctx.extensions().find::<Trace>().cloned()),
        }
    }
}

impl Handler<Tell> for Link {
    async fn handle(&mut self, tell: Tell, ctx: &mut Context<Self>) -> Result {
        match &self.0 {
            Some(next) => ctx.tell(next, tell).await?,
            None => tell.0.send(ctx.extensions().find::<Trace>().cloned())?,
        }
        Ok(())
    }
}

/// Sends on with metadata of its own.
impl Handler<Tagged> for Link {
    async fn handle(
        &mut self,
        _: Tagged,
        ctx: &mut Context<Self>,
    ) -> Result<(Option<String>, Option<String>)> {
        if let Some(next) = &self.0 {
            let mut metadata = Metadata::new();
            metadata.insert("tenant", "blue")?;
            return Ok(ctx.ask(next, Tagged).metadata(metadata).await?);
        }
        let find = |key| ctx.metadata().and_then(|metadata| metadata.get(key)).map(str::to_owned);
        Ok((find(KEY), find("tenant")))
    }
}

async fn chain() -> Result<(ActorSystem, ActorRef<Link>)> {
    let system = ActorSystem::builder("tests").context_propagator(Tracer).start().await?;
    let last = system.spawn("last", || Link(None)).await?;
    let middle = system.spawn("middle", move || Link(Some(last.clone()))).await?;
    let first = system.spawn("first", move || Link(Some(middle.clone()))).await?;
    Ok((system, first))
}

fn trace(text: &str) -> Trace {
    Trace(text.to_owned())
}

#[tokio::test]
async fn context_flows_from_message_to_message() -> Result {
    let (_, first) = chain().await?;
    let seen = OUTSIDE.scope(trace("t"), within(first.ask(Hop(2)).into_future())).await?;
    assert_eq!(seen, Some(trace("t>>>")));
    let seen = OUTSIDE.scope(trace("t"), within(first.ask(Pass(2)).into_future())).await?;
    assert_eq!(seen, Some(trace("t>>>")), "forwarded");
    let (sender, mut seen) = mpsc::unbounded_channel();
    OUTSIDE.scope(trace("t"), within(first.tell(Tell(sender)).into_future())).await?;
    assert_eq!(within(seen.recv()).await, Some(Some(trace("t>>>"))), "told");
    assert_eq!(within(first.ask(Hop(2))).await?, None, "nothing is left of earlier messages");
    Ok(())
}

/// A grain that passes on what it is asked, to one of another key.
#[derive(Default)]
struct Relay;

impl Actor for Relay {}

impl Grain for Relay {
    const KIND: &'static str = "relay";
}

impl Handler<Hop> for Relay {
    async fn handle(&mut self, Hop(n): Hop, ctx: &mut Context<Self>) -> Result<Option<Trace>> {
        match n {
            0 => Ok(ctx.extensions().find::<Trace>().cloned()),
            n => {
                let next = ctx.system().grain::<Self>(n.to_string());
                Ok(ctx.ask(&next, Hop(n - 1)).await?)
            }
        }
    }
}

#[tokio::test]
async fn context_flows_from_grain_to_grain_within_a_message() -> Result {
    let builder = ActorSystem::builder("tests").context_propagator(Tracer);
    let system = builder.grain(GrainKind::<Relay>::new()).start().await?;
    let grain = system.grain::<Relay>("first");
    let seen = OUTSIDE.scope(trace("t"), within(grain.ask(Hop(2)).into_future())).await?;
    assert_eq!(seen, Some(trace("t>>>")));
    system.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn context_and_the_metadata_of_the_sender_travel_together() -> Result {
    let (_, first) = chain().await?;
    let asking = within(first.ask(Tagged).into_future());
    let (trace, tenant) = OUTSIDE.scope(trace("t"), asking).await?;
    assert_eq!((trace.as_deref(), tenant.as_deref()), (Some("t>>>"), Some("blue")));
    Ok(())
}

#[tokio::test]
async fn an_error_of_inject_stops_the_send_and_hands_the_message_back() -> Result {
    let (system, first) = chain().await?;
    let refusal = Refusal::Propagation { source: "it is poison".into() };
    let asking = within(first.ask(Hop(0)).into_future());
    let error = OUTSIDE.scope(trace("unsendable"), asking).await.expect_err("not sent");
    assert!(
        matches!(&error, AskError::NotSent { refusal: why, message: Hop(0), .. } if *why == refusal),
        "{error:?}"
    );
    let telling = within(first.tell(Hop(0)).into_future());
    let error = OUTSIDE.scope(trace("unsendable"), telling).await.expect_err("not sent");
    assert_eq!((error.refusal, error.message.0), (refusal, 0));
    assert_eq!(system.dead_letter_count(), 0, "it was never accepted");
    Ok(())
}

#[tokio::test]
async fn an_error_of_extract_refuses_the_message_and_is_no_fault_of_the_actor() -> Result {
    let (system, first) = chain().await?;
    let mut events = system.events();
    let asking = within(first.ask(Hop(0)).into_future());
    let error = OUTSIDE.scope(trace("unreceivable"), asking).await.expect_err("refused");
    let refusal = Refusal::Propagation { source: "it is poison".into() };
    assert!(
        matches!(&error, AskError::Refused { refusal: why, .. } if *why == refusal),
        "{error:?}"
    );
    let (sender, mut seen) = mpsc::unbounded_channel();
    OUTSIDE.scope(trace("unreceivable"), first.tell(Tell(sender)).into_future()).await?;
    assert_eq!(within(seen.recv()).await, None, "not handled");
    let letter = event(&mut events, |event| match event {
        Event::DeadLetter(letter) => Some(letter),
        Event::ActorRestarted { path } => panic!("{path} was restarted"),
        _ => None,
    })
    .await;
    assert_eq!(
        (letter.target.address().map(Address::path), letter.reason),
        (Some("first"), refusal)
    );
    assert_eq!(within(first.ask(Hop(2))).await?, None, "the actor goes on");
    Ok(())
}
