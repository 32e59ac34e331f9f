//! Messages to one actor.

use std::time::{Duration, Instant};

use interop::actors::produced;
use interop::host;
use interop::messages::{
    Delay, Empty, HealthCheckRequest, HealthCheckResponse, Produce, bytes, fail, note, text,
};
use rakt::prelude::*;
use rakt::remote::GoAkt;
use rakt::{Event, Result};

use crate::report::{Check, checks};
use crate::target::{
    ASK_TIMEOUT, SHORT_TIMEOUT, Target, error_of, expect, expect_refusal, expect_unanswered,
};

pub(crate) const CHECKS: &[Check] = checks! {
    "lookup of an actor" => |x| {
        let found = x.lookup("echo").await?.ok_or("not found")?;
        expect(found.address(), x.address("echo"))
    };
    "lookup of a child" => |x| {
        let found = x.lookup("parent/child").await?.ok_or("not found")?;
        expect(found.ask(text("to the child")).await?, text("to the child"))
    };
    "lookup of no actor" => |x| expect(x.lookup("absent").await?.is_none(), true);
    "ask with bytes" => |x| {
        expect(x.actor("echo").ask(bytes(&[0, 1, 255][..])).await?, bytes(&[0, 1, 255][..]))
    };
    "ask with text" => |x| {
        expect(x.actor("echo").ask(text("grüß Gott")).await?, text("grüß Gott"))
    };
    "ask with an empty message" => |x| expect(x.actor("echo").ask(Empty {}).await?, Empty {});
    "ask of a child" => |x| x.expect_echo("parent/child").await;
    "ask from an actor" => |x| {
        let me = x.system.find("echo").ok_or("no echo here")?;
        expect(x.actor("echo").ask(text("from somebody")).sender(&me).await?, text("from somebody"))
    };
    "ask that takes a while" => |x| ask_slow(x).await;
    "ask that nobody answers" => |x| ask_silent(x).await;
    "ask of an actor that panics" => |x| ask_failing(x, "panic").await;
    "ask of an actor that fails" => |x| ask_failing(x, "error").await;
    "ask that is given up" => |x| {
        let slow = x.actor("slow");
        let ask = slow.ask(Delay { millis: 400, payload: "late".into() });
        let given_up = tokio::time::timeout(SHORT_TIMEOUT / 3, ask).await;
        expect(given_up.is_err(), true)?;
        // Its connection went with it: what it brings late is taken for no other reply.
        ask_slow(x).await
    };
    "ask by a client without a system" => |x| {
        ask_by_client(x, false).await
    };
    "ask that tells the time of day when it is over" => |x| {
        ask_by_client(x, true).await
    };
    "tells in order" => |x| tell_in_order(x).await;
    "confirmed tells in order" => |x| {
        let (sender, counter) = (x.unique("confirmed"), x.actor("counter"));
        for number in 1..=100 {
            counter.tell(note(&sender, number)).confirmed().await?;
        }
        x.expect_count("counter", &sender, 100).await
    };
    "tell to no actor is a dead letter" => |x| tell_to_nobody(x).await;
    "confirmed tell to no actor" => |x| {
        let error = error_of(x.actor("absent").tell(text("")).confirmed().await)?;
        expect_refusal(error.refusal(), "", |refusal| *refusal == Refusal::NotFound)
    };
    "large payload" => |x| {
        let reply = x.actor("producer").ask(Produce { size: 1 << 20 }).await?;
        expect(reply.value == produced(1 << 20), true)
    };
    "ping" => |x| Ok(x.system.node(host::ADDRESS, x.port).ping().await.map(drop)?);
    "health check" => |x| {
        expect(x.actor("echo").ask(HealthCheckRequest {}).await?, HealthCheckResponse {})
    };
};

async fn ask_slow(x: &Target) -> Result {
    let (started, delay) = (Instant::now(), Duration::from_millis(200));
    let ask = Delay { millis: delay.as_millis() as u32, payload: "late".into() };
    expect(x.actor("slow").ask(ask).await?, bytes("late"))?;
    expect(started.elapsed() >= delay, true)
}

async fn ask_silent(x: &Target) -> Result {
    let started = Instant::now();
    let asked = x.actor("silent").ask(text("hello?")).timeout(SHORT_TIMEOUT).await;
    expect_unanswered(asked)?;
    let took = started.elapsed();
    expect((SHORT_TIMEOUT..SHORT_TIMEOUT + ASK_TIMEOUT).contains(&took), true)
}

/// An actor that fails without an answer, and then goes on.
async fn ask_failing(x: &Target, how: &str) -> Result {
    expect_unanswered(x.actor("failing").ask(fail(how)).timeout(SHORT_TIMEOUT).await)?;
    x.expect_echo("failing").await
}

/// `tells_time`: the node is told when the asker stops waiting.
async fn ask_by_client(x: &Target, tells_time: bool) -> Result {
    let options = GoAkt::new().send_deadlines(tells_time);
    let client = x.client(options, x.tls())?;
    expect(client.ask(&x.address("echo"), text("from a client")).await?, text("from a client"))?;
    let silent = client.ask(&x.address("silent"), text("hello?")).timeout(SHORT_TIMEOUT).await;
    match silent {
        // A node that is told the time of day gives up at the same moment, and closes without a word.
        Err(AskError::ConnectionLost { .. }) if tells_time => {}
        other => expect_unanswered(other)?,
    }
    client.close().await;
    Ok(())
}

async fn tell_in_order(x: &Target) -> Result {
    let (sender, counter) = (x.unique("tells"), x.actor("counter"));
    for number in 1..=10_000 {
        counter.tell(note(&sender, number)).await?;
    }
    // Asked over a connection of its own, it arrives behind them all the same.
    x.expect_count("counter", &sender, 10_000).await
}

async fn tell_to_nobody(x: &Target) -> Result {
    let (mut events, name) = (x.system.events(), x.unique("nobody"));
    let actor = x.actor(&name);
    actor.tell(text("")).await?;
    let told = events.find(|event| match event {
        Event::DeadLetter(letter) if letter.target == actor.address().into() => Some(letter.reason),
        _ => None,
    });
    let reason = tokio::time::timeout(ASK_TIMEOUT, told).await?.ok_or("no more events")?;
    expect(reason, Refusal::NotFound)
}
