//! Peers that begin a frame and take their time.

use std::time::Duration;

use bytes::BytesMut;
use rakt::prelude::*;
use rakt::remote::{Stream, Transport};
use rakt_wire::native::{FrameKind, Handshake};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::hostile::{define_one, frame, hello, varints};
use crate::memory::Memory;
use crate::nodes::{config, link_down, node_with};
use crate::support::within;

/// A peer that has greeted, and named an actor and a type.
pub(crate) async fn greeted(memory: &Memory, node: &ActorSystem) -> Result<Box<dyn Stream>> {
    let (host, port) = node.advertised();
    let mut stream = memory.dial(host, port, Duration::ZERO).await?;
    let mut handshake = Handshake::dial(hello());
    stream.write_all(&handshake.poll_transmit().ok_or("the dialer speaks first")?).await?;
    let mut read = BytesMut::new();
    loop {
        within(stream.read_buf(&mut read)).await?;
        if handshake.handle_bytes(&mut read)?.is_some() {
            break;
        }
    }
    stream.write_all(&define_one("nobody", "tests.Nothing")).await?;
    Ok(stream)
}

/// Sends these bytes, so many a second, and says why the node has closed the connection, if it has.
async fn trickle(frame: &[u8], rate: usize, min_rate: u32) -> Result<Option<(String, Duration)>> {
    let memory = Memory::default();
    let node = node_with("node", config().transport(memory.clone()).min_rate(min_rate)).await;
    let mut events = node.events();
    let mut stream = greeted(&memory, &node).await?;
    let start = tokio::time::Instant::now();
    let writing = async {
        for piece in frame.chunks(rate) {
            stream.write_all(piece).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    };
    let closed = tokio::select! {
        written = writing => written.map(|()| None),
        why = events.find(|event| match event {
            rakt::Event::LinkDown { reason, .. } => Some(rakt::error::Chain(&reason).to_string()),
            _ => None,
        }) => Ok(why.map(|why| (why, start.elapsed()))),
    };
    let still_open = matches!(closed, Ok(None));
    drop(stream);
    if still_open {
        assert_eq!(within(link_down(&mut events)).await, "the peer closed the connection");
    }
    within(node.shutdown()).await;
    closed
}

/// A tell of 100 KB, and the first chunk of a large one.
fn frames() -> [Vec<u8>; 2] {
    let tell = FrameKind::Tell.as_u8();
    let mut body = varints(&[0, 0, 0]);
    body.resize(100_000, 0);
    let mut first = varints(&[0]);
    first.push(tell);
    first.extend(varints(&[1_000_000]));
    first.extend(varints(&[0, 0, 0]));
    first.resize(60_000, 0);
    let mut more = varints(&[0]);
    more.resize(60_000, 0);
    let chunks = [frame(FrameKind::First.as_u8(), &first), frame(FrameKind::More.as_u8(), &more)];
    [frame(tell, &body), chunks.concat()]
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_trickles_a_frame_is_closed_after_half_a_minute() -> Result {
    for frame in frames() {
        for rate in [1, 500] {
            let closed = trickle(&frame, rate, 1024).await?;
            let (why, after) = closed.ok_or("it is still open")?;
            assert!(why.contains("bytes of a frame in 30s are too few"), "{why}");
            // Before the limit nothing is said, and after it nothing is waited for.
            let seconds = 30..=if rate == 1 { 31 } else { 160 };
            assert!(seconds.contains(&after.as_secs()), "{rate}: {after:?}");
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_keeps_the_rate_or_needs_none_is_heard_out() -> Result {
    for frame in frames() {
        assert_eq!(trickle(&frame, 1100, 1024).await?, None);
        assert_eq!(trickle(&frame, 500, 0).await?, None);
    }
    Ok(())
}
