//! Actors here that tell those of the node, which answer; asynchronous requests both ways.

use bytes::Bytes;
use interop::messages::{
    Any, AsyncRequest, BytesValue, Outcome, OutcomeRequest, Relay, bytes, text,
};
use prost::Message as _;
use rakt::Result;
use rakt::prelude::*;
use tokio::sync::mpsc;

use crate::report::{Check, checks};
use crate::target::{ASK_TIMEOUT, Target, expect};

/// How many answers are waited for.
const ANSWERS: u32 = 100;

pub(crate) const CHECKS: &[Check] = checks! {
    "a sender is answered" => |x| {
        let (sender, mut hears) = listener(x, "sender").await?;
        expect_answers(x, &sender, &mut hears).await
    };
    "a child that sends is answered" => |x| {
        let (hear, mut hears) = mpsc::unbounded_channel();
        let parent = x.system.spawn(x.unique("family"), move || Family(hear.clone())).await?;
        let child = x.system.find(&format!("{}/child", parent.path())).ok_or("no child")?;
        expect_answers(x, &child, &mut hears).await
    };
    "no sender, no answer and no harm" => |x| {
        x.actor("replier").tell(text("from nobody")).confirmed().await?;
        let (sender, mut hears) = listener(x, "sender-after-nobody").await?;
        expect_answers(x, &sender, &mut hears).await
    };
    "an actor answers a Go actor by a reference to its sender" => |x| {
        // Go's replier tells Rust's, which tells Go's, and so on: the reply of one is the tell of another.
        let mine = x.system.find("replier").ok_or("no replier here")?;
        let before = x.system.dead_letter_count();
        x.actor("replier").tell(bytes("there and back")).sender(&mine).confirmed().await?;
        x.expect_echo("echo").await?;
        expect(x.system.dead_letter_count(), before)
    };
    "asynchronous request from Go" => |x| {
        let outcome = relay(x, x.own("echo"), &x.unique("from Go")).await?;
        expect(outcome.payload, Bytes::from(x.unique("from Go")))
    };
    "asynchronous request from Go that nobody answers" => |x| {
        let outcome = relay(x, x.own("silent"), &x.unique("unanswered")).await?;
        expect((outcome.payload, outcome.error.is_empty()), (Bytes::new(), false))
    };
    "asynchronous request from Go to nobody" => |x| {
        let outcome = relay(x, x.own("absent"), &x.unique("to nobody")).await?;
        expect((outcome.payload, outcome.error.is_empty()), (Bytes::new(), false))
    };
    "asynchronous request to Go leaves it as it is" => |x| {
        // rakt asks instead, but a Go actor that could not deliver its answer would be suspended.
        let message = Any {
            type_url: "type.googleapis.com/google.protobuf.BytesValue".to_owned(),
            value: bytes("asked").encode_to_vec().into(),
        };
        let (correlation_id, reply_to) = ("1".to_owned(), x.own("echo"));
        let request = AsyncRequest { correlation_id, reply_to, message: Some(message) };
        x.actor("echo").tell(request).confirmed().await?;
        x.expect_echo("echo").await
    };
};

/// Hands on what it is told.
struct Listener(mpsc::UnboundedSender<Bytes>);

impl Actor for Listener {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<BytesValue>();
    }
}

impl Handler<BytesValue> for Listener {
    async fn handle(&mut self, message: BytesValue, _: &mut Context<Self>) -> Result<BytesValue> {
        self.0.send(message.value.clone())?;
        Ok(message)
    }
}

/// The parent of a listener.
struct Family(mpsc::UnboundedSender<Bytes>);

impl Actor for Family {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        let hear = self.0.clone();
        ctx.spawn("child", move || Listener(hear.clone())).await?;
        Ok(())
    }
}

type Hears = mpsc::UnboundedReceiver<Bytes>;

async fn listener(x: &Target, name: &str) -> Result<(ActorRef, Hears)> {
    let (hear, hears) = mpsc::unbounded_channel();
    let listener = x.system.spawn(x.unique(name), move || Listener(hear.clone())).await?;
    Ok((listener.untyped(), hears))
}

/// Tells the node's replier a few messages from the actor whose messages are heard.
async fn expect_answers(x: &Target, from: &ActorRef, hears: &mut Hears) -> Result {
    let replier = x.actor("replier");
    for number in 0..ANSWERS {
        replier.tell(bytes(number.to_be_bytes().to_vec())).sender(from).await?;
    }
    for number in 0..ANSWERS {
        let heard = tokio::time::timeout(ASK_TIMEOUT, hears.recv()).await?.ok_or("it is gone")?;
        expect(&heard[..], &number.to_be_bytes()[..])?;
    }
    Ok(())
}

/// Has the node send an asynchronous request to the actor at `to`, and asks what came of it.
async fn relay(x: &Target, to: String, id: &str) -> Result<Outcome> {
    let (id, payload) = (id.to_owned(), Bytes::from(id.to_owned()));
    x.actor("requester").ask(Relay { id: id.clone(), to, payload }).await?;
    let outcome = x.actor("outcomes").ask(OutcomeRequest { id }).timeout(2 * ASK_TIMEOUT).await?;
    Ok(outcome)
}
