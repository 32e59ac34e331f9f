//! Every error of a Go node, as a caller here sees it.

use interop::host;
use interop::messages::{Count, StringValue, bytes, fail, note, text};
use interop::trace;
use rakt::prelude::*;
use rakt::{OperationError, Result};

use crate::lifecycle::WORKER;
use crate::report::{Check, checks};
use crate::target::{Target, error_of, expect, expect_refusal, goakt};

/// A type that Go nodes do not know.
#[derive(Clone, PartialEq, prost::Message)]
struct Unknown {}

/// A message whose text need not be one; any type that every Go node knows and that has a text.
#[derive(Clone, PartialEq, prost::Message)]
struct NoText {
    #[prost(bytes = "vec", tag = "1")]
    value: Vec<u8>,
}

/// A value whose reply is taken for something else than it is.
#[derive(Clone, PartialEq, prost::Message)]
struct Misread {
    #[prost(bool, tag = "1")]
    value: bool,
}

/// A message whose reply has no name.
#[derive(Clone, PartialEq, prost::Message)]
struct Nameless {}

rakt::messages! {
    Unknown as "rakt.interop.Unknown" => Unknown as "rakt.interop.Unknown",
    NoText as "internalpb.RemoteLookupRequest" => NoText as "internalpb.RemoteLookupRequest",
    Misread as "google.protobuf.BoolValue" => Count as "rakt.interop.Count",
    Nameless as "rakt.interop.Nameless" => Nameless,
}

pub(crate) const CHECKS: &[Check] = checks! {
    "ask of no actor" => |x| {
        let asked = x.actor("absent").ask(text("")).await;
        expect_refusal(error_of(asked)?.refusal(), "", |r| *r == Refusal::NotFound)
    };
    "ask of another system" => |x| {
        let address = format!("goakt://other@{}:{}/echo", host::ADDRESS, x.port);
        let asked = x.system.ask(&goakt(&address), text("")).await;
        expect_refusal(error_of(asked)?.refusal(), "", |r| *r == Refusal::NotFound)
    };
    "ask by another host text says what is wrong with it" => |x| {
        let asked = x.system.ask(&elsewhere(x), text("")).await;
        expect_refusal(error_of(asked)?.refusal(), INVALID_HOST, is_invalid)
    };
    "tell by another host text finds nobody" => |x| {
        let told = x.system.tell(&elsewhere(x), text("")).confirmed().await;
        expect_refusal(error_of(told)?.refusal(), "", |r| *r == Refusal::NotFound)
    };
    "lookup by another host text" => |x| {
        let error = error_of(x.system.node("localhost", x.port).lookup::<AnyActor>("echo").await)?;
        expect_refusal(error.refusal(), INVALID_HOST, is_invalid)
    };
    "spawn by another host text" => |x| {
        let spawn = x.system.node("localhost", x.port).spawn::<AnyActor>("a", WORKER);
        expect_refusal(error_of(spawn.await)?.refusal(), INVALID_HOST, is_invalid)
    };
    "stop, respawn and reinstate by another host text" => |x| {
        let actor = x.system.actor(&elsewhere(x));
        for error in [actor.stop().await, actor.respawn().await, actor.reinstate().await] {
            expect_refusal(error_of(error)?.refusal(), INVALID_HOST, is_invalid)?;
        }
        Ok(())
    };
    "ask with a message of an unknown type" => |x| {
        let asked = x.actor("echo").ask(Unknown {}).await;
        let text = "is the type of the message registered with the Go node?";
        expect_refusal(error_of(asked)?.refusal(), text, is_undecodable)
    };
    "confirmed tell of a message of an unknown type" => |x| {
        let told = x.actor("echo").tell(Unknown {}).confirmed().await;
        let text = "is the type of the message registered with the Go node?";
        expect_refusal(error_of(told)?.refusal(), text, is_undecodable)
    };
    "ask with a message that does not decode" => |x| {
        let asked = x.actor("echo").ask(NoText { value: vec![0xff, 0xff] }).await;
        expect_refusal(error_of(asked)?.refusal(), "invalid remote message", is_undecodable)
    };
    "ask with a reply of another type than expected" => |x| {
        match error_of(x.actor("echo").ask(Misread { value: true }).await)? {
            AskError::BadReply { source, .. } => {
                let names = ["google.protobuf.BoolValue", "rakt.interop.Count"];
                expect(names.iter().all(|name| source.to_string().contains(name)), true)
            }
            error => Err(error.to_string().into()),
        }
    };
    "ask for a reply without a name is not sent" => |x| {
        match error_of(x.actor("echo").ask(Nameless {}).await)? {
            AskError::NotSent { refusal, .. } => {
                expect_refusal(Some(&refusal), "has no wire name", is_invalid)
            }
            error => Err(error.to_string().into()),
        }
    };
    "ask with headers that the propagator refuses" => |x| {
        let asked = x.actor("echo").ask(text("")).metadata(trace::refusal("not like this")).await;
        expect_refusal(error_of(asked)?.refusal(), "not like this", is_invalid)
    };
    "tell with headers that the propagator refuses" => |x| {
        let echo = x.actor("echo");
        let told = echo.tell(text("")).metadata(trace::refusal("not like this")).confirmed();
        expect_refusal(error_of(told.await)?.refusal(), "not like this", is_invalid)
    };
    "ask and tell of an actor that is not alive" => |x| not_alive(x).await;
    "stop of no actor is no error" => |x| Ok(x.actor("absent").stop().await?);
    "respawn and reinstate of no actor" => |x| {
        let actor = x.actor("absent");
        for error in [actor.respawn().await, actor.reinstate().await] {
            expect_refusal(error_of(error)?.refusal(), "", |r| *r == Refusal::NotFound)?;
        }
        Ok(())
    };
    "stop, respawn and reinstate of a reserved name" => |x| {
        let actor = x.actor("GoAktDeathWatch");
        for error in [actor.stop().await, actor.respawn().await, actor.reinstate().await] {
            expect_refusal(error_of(error)?.refusal(), "", is_denied)?;
        }
        Ok(())
    };
    "spawn of an unknown kind" => |x| {
        let error = error_of(x.spawn(&x.unique("unknown-kind"), "main.nobody").await)?;
        let kind = Refusal::KindNotRegistered { kind: "main.nobody".to_owned() };
        expect_refusal(error.refusal(), "", |refusal| *refusal == kind)
    };
    "spawn with a reserved name" => |x| {
        let error = error_of(x.spawn("GoAktAnything", WORKER).await)?;
        expect_refusal(error.refusal(), "", |r| is_denied(r) || is_invalid(r))
    };
    "spawn with a name that is none is not sent" => |x| {
        for name in ["", "a/b", &"a".repeat(256)] {
            match error_of(x.spawn(name, WORKER).await)? {
                OperationError::NotSent { refusal, .. } => {
                    expect_refusal(Some(&refusal), "", is_invalid)?;
                }
                error => return Err(error.into()),
            }
        }
        Ok(())
    };
    "spawn that its actor refuses" => |x| {
        let name = x.unique("refused");
        let error = error_of(x.spawn(&name, "main.refuser").await)?;
        expect_refusal(error.refusal(), "refusing to start", |_| true)?;
        expect(x.lookup(&name).await?.is_none(), true)
    };
    // It travels as a dependency of the actor, which Go nodes have to know by type.
    "spawn with an argument of an unknown type" => |x| {
        let spawn = x.system.node(host::ADDRESS, x.port).spawn::<AnyActor>("a", WORKER);
        let error = error_of(spawn.argument(&StringValue::default()).await)?;
        expect_refusal(error.refusal(), "dependency type is not registered", is_invalid)
    };
    // The options name it as a Go node, so it is spoken to as one.
    "ask by a native address" => |x| {
        let native = format!("rakt://{}@{}:{}/echo", x.name, host::ADDRESS, x.port);
        expect(x.system.ask(&native.parse()?, text("here")).await?, text("here"))
    };
};

const INVALID_HOST: &str = "a Go node takes only the IP address and port that it is bound to";

/// The echo by a host text that the node does not know itself by.
fn elsewhere(x: &Target) -> Address {
    goakt(&format!("goakt://{}@localhost:{}/echo", x.name, x.port))
}

fn is_invalid(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::InvalidArgument { .. })
}

fn is_undecodable(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Undecodable { .. })
}

fn is_denied(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Denied { .. })
}

async fn not_alive(x: &Target) -> Result {
    let suspending = x.actor("suspending");
    suspending.tell(fail("error")).confirmed().await?;
    // Behind the failure, and before or after the suspension: one of them is told of it.
    let asked = loop {
        match suspending.ask(bytes("")).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    expect_refusal(asked.refusal(), "", |r| *r == Refusal::Stopped)?;
    let told = suspending.tell(text("")).confirmed().await;
    expect_refusal(error_of(told)?.refusal(), "", |r| *r == Refusal::Stopped)?;
    suspending.reinstate().await?;
    // What it knows nothing of, it ignores.
    suspending.tell(note("nobody", 1)).confirmed().await?;
    x.expect_echo("suspending").await
}
