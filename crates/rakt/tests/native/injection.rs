//! What peers write stays in one line of a log, and in it nothing is obeyed or turned around.

use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Policy};
use rakt_wire::native::{CloseCode, FrameKind, HEADER_LEN, MessageKind, RefuseReason};
use rakt_wire::{Code, Failure, Operation, put_varint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::hostile::{ECHO, Raw, Target, define, define_receiver, encoded, frame, hello};
use crate::messages::Echo;
use crate::nodes::config;
use crate::support::lines::{Lines, TEXTS, is_harmless};
use crate::support::within;

/// Fails with what it is told.
#[derive(Default)]
struct Failing;

impl Actor for Failing {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>();
    }
}

impl Handler<Echo> for Failing {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Result<Echo> {
        Err(echo.text.into())
    }
}

/// All the places in which a native peer writes a text, one connection for each.
async fn write_everywhere(port: u16, text: &str) {
    let dial = || Raw::dial(port, hello());
    let (mut named, mut placed) = (hello(), hello());
    named.system = text.to_owned();
    placed.advertised = Some((text.to_owned(), 1));
    for hello in [named, placed] {
        assert!(Raw::dial(port, hello).await.is_err(), "{text:?} is no name");
    }
    // Whatever becomes of each of these, it is over when the node has answered or closed.
    let path = || text.to_owned();
    for operation in [
        Operation::Lookup { path: path() },
        Operation::Watch { path: path(), uid: None, watch_id: 1 },
        Operation::Stop { path: path(), uid: None },
        Operation::Spawn { path: path(), kind: "Target".to_owned(), argument: None },
        Operation::Spawn { path: "new".to_owned(), kind: path(), argument: None },
    ] {
        let mut raw = dial().await.expect("it is taken");
        raw.send(&crate::hostile::request(1, 0, &operation)).await;
        drop(raw.frame().await);
    }
    for (path, name) in [(text, ECHO), ("target", text), ("failing", ECHO)] {
        let mut raw = dial().await.expect("it is taken");
        raw.send(&define_receiver(0, path)).await;
        raw.send(&define(FrameKind::Type, 0, name)).await;
        let mut body = Vec::new();
        // ASK: corr, receiver, type and no flags, then what is in it.
        [1, 0, 0, 0].iter().for_each(|n| put_varint(&mut body, *n));
        body.extend(encoded(&Echo { text: text.to_owned() }));
        raw.send(&frame(FrameKind::Ask.as_u8(), &body)).await;
        drop(raw.frame().await);
    }
    let mut raw = dial().await.expect("it is taken");
    raw.ask(1, "failing", ECHO, &encoded(&Echo { text: text.to_owned() }));
    raw.flush().await;
    drop(raw.frame().await);
    let mut raw = dial().await.expect("it is taken");
    raw.message(MessageKind::Tell, "failing", ECHO, &encoded(&Echo { text: text.to_owned() }));
    raw.out.close(CloseCode::Normal, text);
    raw.flush().await;
    while raw.frame().await.is_some() {}
}

#[tokio::test]
async fn what_a_peer_writes_stays_in_one_line() {
    let (lines, _guard) = Lines::capture();
    for policy in [Policy::exposed(), Policy::new()] {
        let builder = ActorSystem::builder("victim").kind::<Target>("Target");
        let system = builder.remoting(config().policy(policy)).start().await.expect("it starts");
        let mut events = system.events();
        system.spawn("target", Target::default).await.expect("it starts");
        system.spawn("failing", Failing::default).await.expect("it starts");
        for text in TEXTS {
            write_everywhere(system.advertised().1, text).await;
        }
        system.shutdown().await;
        let mut count = 0;
        while let Some(event) = events.next().await {
            let shown = format!("{event:?}");
            assert!(is_harmless(&shown), "{shown:?}");
            count += 1;
        }
        assert!(count > TEXTS.len(), "{count} events");
    }
    let all = lines.all();
    assert!(all.len() > TEXTS.len(), "{all:#?}");
    for line in all {
        assert!(is_harmless(line.trim_end_matches('\n')), "{line:?}");
    }
}

/// A peer that answers each connection with that, and what is said of it.
async fn told_by_a_peer_that_says(answer: Vec<u8>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let peer = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.write_all(&answer).await);
            while stream.read_u8().await.is_ok() {}
        }
    });
    let client = Client::new("client", ClientConfig::new())?;
    let error = within(client.node("127.0.0.1", port).ping()).await.expect_err("it refuses");
    client.close().await;
    peer.abort();
    Ok(Chain(&error).to_string())
}

#[tokio::test]
async fn why_a_peer_refuses_is_told_in_one_line() -> Result {
    let (lines, _guard) = Lines::capture();
    for text in TEXTS {
        let mut body = Vec::new();
        RefuseReason::Denied(text.to_owned()).encode(&mut body);
        let mut answer = b"\xf7rakt\n\x01\x01\x02".to_vec();
        answer.extend_from_slice(&u32::try_from(body.len())?.to_be_bytes());
        assert_eq!(answer.len(), 8 + HEADER_LEN);
        answer.extend_from_slice(&body);
        let error = told_by_a_peer_that_says(answer).await?;
        assert!(is_harmless(&error) && error.contains('a'), "{error:?}");
        let http = format!("HTTP/1.1 400 {text}\r\n\r\n").into_bytes();
        let error = told_by_a_peer_that_says(http).await?;
        assert!(is_harmless(&error), "{error:?}");
    }
    for line in lines.all() {
        assert!(is_harmless(line.trim_end_matches('\n')), "{line:?}");
    }
    Ok(())
}

/// As they come from a peer, with texts of its choice.
#[test]
fn failures_are_shown_in_one_line() {
    for text in TEXTS {
        for code in [Code::Internal, Code::HandlerFailed, Code::Denied, Code::NotAccepted] {
            let failure = Failure::with_detail(code, text);
            assert!(is_harmless(&failure.to_string()), "{failure}");
            assert!(is_harmless(&format!("{failure:?}")), "{failure:?}");
        }
    }
}
