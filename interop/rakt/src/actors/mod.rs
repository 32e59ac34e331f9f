//! The actors that every node of the contract offers.
//!
//! - here: those that answer with what they are given
//! - `counter`: notes that come in order, or do not
//! - `requests`: those that send to other nodes
//! - `tally`: a grain that does what several of them do

mod counter;
mod requests;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rakt::SystemBuilder;
use rakt::grain::GrainKind;
use rakt::prelude::*;
use rakt::supervision::Directive;
use sha2::{Digest, Sha256};

use crate::messages::{BytesValue, Delay, Empty, Fail, Produce, StringValue, bytes};
pub use counter::Counter;
pub use requests::{Board, Forwarder, Outcomes, Replier, Requester, Tracer};
pub use tally::Tally;

/// What one message can ask of `Slow` at most.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// Lets peers spawn the kinds of the contract.
pub fn register(builder: SystemBuilder) -> SystemBuilder {
    let resume = Supervision::always(Directive::Resume);
    builder
        .kind::<Counter>("main.worker")
        .kind::<Refuser>("main.refuser")
        .grain(GrainKind::<Tally>::new().supervision(resume))
}

/// Starts the actors on `system`.
pub async fn spawn_all(system: &ActorSystem) -> Result {
    let resume = || Supervision::always(Directive::Resume);
    system.spawn("echo", Echo::default).await?;
    system.spawn("counter", Counter::default).await?;
    system.spawn("silent", Silent::default).await?;
    system.spawn("slow", Slow::default).await?;
    system.spawn("producer", Producer::default).await?;
    system.spawn("failing", Failing::default).supervision(resume()).await?;
    let suspend = Supervision::always(Directive::Suspend);
    system.spawn("suspending", Failing::default).supervision(suspend).await?;
    system.spawn("replier", Replier::default).await?;
    let board = Arc::new(Board::default());
    let posts = board.clone();
    system.spawn("requester", move || Requester(posts.clone())).await?;
    system.spawn("outcomes", move || Outcomes(board.clone())).await?;
    system.spawn("tracer", Tracer::default).await?;
    // What it asks may not come back.
    system.spawn("forwarder", Forwarder::default).supervision(resume()).await?;
    system.spawn("parent", Parent::default).await?;
    Ok(())
}

/// Leaves the message at hand without an answer: whoever asked waits until its time is over. Who has set
/// no time is told that there is no reply.
pub(crate) fn unanswered<A: Actor, R: Send + 'static>(ctx: &mut Context<A>) -> Result<R> {
    let (later, deferred) = ctx.defer();
    if let Some(deadline) = ctx.deadline() {
        let given_up = ctx.cancelled();
        tokio::spawn(async move {
            // A second more, so that it is not this that ends the wait.
            let late = deadline + Duration::from_secs(1);
            let _ = tokio::time::timeout_at(late.into(), given_up).await;
            drop(later);
        });
    }
    deferred
}

/// Gives an actor the handlers of one that echoes.
macro_rules! echoes {
    ($actor:ty: $($message:ident),*) => {$(
        impl rakt::Handler<$crate::messages::$message> for $actor {
            async fn handle(
                &mut self,
                message: $crate::messages::$message,
                _: &mut rakt::Context<Self>,
            ) -> rakt::Result<$crate::messages::$message> {
                Ok(message)
            }
        }
    )*};
}
pub(crate) use echoes;

/// Lets peers send what such an actor echoes.
pub(crate) fn accept_echoes<A>(accepts: &mut Accepts<A>)
where
    A: Handler<BytesValue> + Handler<StringValue> + Handler<Empty>,
{
    accepts.remote::<BytesValue>().remote::<StringValue>().remote::<Empty>();
}

/// Answers with what it is asked.
#[derive(Default)]
struct Echo;

echoes! { Echo: BytesValue, StringValue, Empty }

impl Actor for Echo {
    fn accepts(accepts: &mut Accepts<Self>) {
        accept_echoes(accepts);
    }
}

/// An `Echo` with a child that is one.
#[derive(Default)]
struct Parent;

echoes! { Parent: BytesValue, StringValue, Empty }

impl Actor for Parent {
    fn accepts(accepts: &mut Accepts<Self>) {
        accept_echoes(accepts);
    }

    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.spawn("child", Echo::default).await?;
        Ok(())
    }
}

/// A kind that cannot be started.
#[derive(Default)]
struct Refuser;

impl Actor for Refuser {
    async fn started(&mut self, _: &mut Context<Self>) -> Result {
        Err("refusing to start".into())
    }
}

/// Takes messages and never answers.
#[derive(Default)]
struct Silent;

impl Actor for Silent {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<BytesValue>().remote::<StringValue>();
    }
}

impl Handler<BytesValue> for Silent {
    async fn handle(&mut self, _: BytesValue, ctx: &mut Context<Self>) -> Result<BytesValue> {
        unanswered(ctx)
    }
}

impl Handler<StringValue> for Silent {
    async fn handle(&mut self, _: StringValue, ctx: &mut Context<Self>) -> Result<StringValue> {
        unanswered(ctx)
    }
}

/// Answers with a payload after some time, one after the other.
#[derive(Default)]
struct Slow;

impl Actor for Slow {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Delay>();
    }
}

impl Handler<Delay> for Slow {
    async fn handle(&mut self, delay: Delay, _: &mut Context<Self>) -> Result<BytesValue> {
        let millis = Duration::from_millis(delay.millis.into());
        tokio::time::sleep(millis.min(LONGEST_DELAY)).await;
        Ok(bytes(delay.payload))
    }
}

/// Answers with as many bytes as it is asked for; see [`produced`].
#[derive(Default)]
struct Producer;

impl Actor for Producer {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Produce>();
    }
}

impl Handler<Produce> for Producer {
    async fn handle(&mut self, produce: Produce, _: &mut Context<Self>) -> Result<BytesValue> {
        Ok(bytes(produced(produce.size as usize)))
    }
}

/// `size` bytes that do not compress: SHA-256 of 0, of 1 and so on, each as 8 bytes, big-endian.
pub fn produced(size: usize) -> Bytes {
    let digests = (0_u64..).map(|number| Sha256::digest(number.to_be_bytes()));
    let mut produced: Vec<u8> = digests.take(size.div_ceil(32)).flatten().collect();
    produced.truncate(size);
    produced.into()
}

/// Fails when asked to.
#[derive(Default)]
struct Failing;

echoes! { Failing: BytesValue, StringValue, Empty }

impl Actor for Failing {
    fn accepts(accepts: &mut Accepts<Self>) {
        accept_echoes(accepts);
        accepts.remote::<Fail>();
    }
}

impl Handler<Fail> for Failing {
    async fn handle(&mut self, fail: Fail, _: &mut Context<Self>) -> Result<Fail> {
        match fail.how.as_str() {
            "panic" => panic!("asked to panic"),
            "error" => Err("asked to fail".into()),
            _ => Ok(fail),
        }
    }
}
