//! Peers that send much of what is cheap.

use std::time::Duration;

use rakt::prelude::*;
use rakt_wire::Operation;
use rakt_wire::native::FrameKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::hostile::{frame, request, varints};
use crate::memory::Memory;
use crate::messages::Echo;
use crate::nodes::{config, node_with};
use crate::slow::greeted;
use crate::support::within;

/// Frames a second that are allowed in these tests, and what one write brings.
const RATE: u32 = 1000;
const AT_ONCE: usize = 500;

/// Sends one frame again and again, `AT_ONCE` each `pause`, and tells after how long and why the node has
/// closed the connection, if it has within two minutes.
async fn flood(frame: &[u8], pause: Duration, rate: u32) -> Result<Option<(Duration, String)>> {
    let memory = Memory::default();
    let node = node_with("node", config().transport(memory.clone()).control_rate(rate)).await;
    let mut events = node.events();
    let (mut read, mut write) = tokio::io::split(greeted(&memory, &node).await?);
    let (frames, start) = (frame.repeat(AT_ONCE), Instant::now());
    let writing = async {
        while start.elapsed() < Duration::from_secs(120) && write.write_all(&frames).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
        // If it is closed, why is heard below.
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let reading = async {
        let mut answers = vec![0; 64 * 1024];
        while read.read(&mut answers).await.is_ok_and(|n| n > 0) {}
        std::future::pending::<()>().await;
    };
    let closed = tokio::select! {
        () = writing => None,
        () = reading => None,
        why = events.find(|event| match event {
            rakt::Event::LinkDown { reason, .. } => Some(rakt::error::Chain(&reason).to_string()),
            _ => None,
        }) => why.map(|why| (start.elapsed(), why)),
    };
    within(node.shutdown()).await;
    Ok(closed)
}

/// What is cheap to send: a ping, a cancellation, a lookup of nobody, a watch that is taken back, a message to nobody.
fn cheap() -> [Vec<u8>; 5] {
    let (path, uid) = ("nobody".to_owned(), None);
    [
        frame(FrameKind::Ping.as_u8(), &[0; 8]),
        frame(FrameKind::Cancel.as_u8(), &varints(&[7])),
        request(1, 0, &Operation::Lookup { path: path.clone() }),
        request(1, 0, &Operation::Watch { path, uid, watch_id: 1 }),
        frame(FrameKind::Tell.as_u8(), &[0; 4]),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_floods_is_slowed_down_and_then_closed() -> Result {
    for frame in cheap() {
        let closed = flood(&frame, Duration::ZERO, RATE).await?;
        let (after, why) = closed.ok_or_else(|| format!("{frame:?}: it is still open"))?;
        let text = format!("more than {RATE} pings, cancellations, operations");
        assert!(why.contains(&text) && why.contains("control_rate"), "{why}");
        assert!((30..130).contains(&after.as_secs()), "{frame:?}: {after:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_keeps_the_rate_goes_on() -> Result {
    let half_a_second = Duration::from_millis(AT_ONCE as u64 * 1000 / u64::from(RATE));
    for frame in cheap() {
        assert_eq!(flood(&frame, half_a_second + Duration::from_millis(10), RATE).await?, None);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_on_every_request_is_not_slowed_down() -> Result {
    let memory = Memory::default();
    let here = node_with("here", config().transport(memory.clone())).await;
    let there = node_with("there", config().transport(memory)).await;
    there.spawn("target", crate::hostile::Target::default).await?;
    let (host, port) = there.advertised();
    let target = Address::new("target", "there", host, port)?;
    within(here.ask(&target, Echo::default())).await?;
    within(here.tell(&target, crate::hostile::Block {})).await?;
    let (mut events, start) = (there.events(), Instant::now());
    let lanes = (0..64).map(|_| {
        let (here, target) = (here.clone(), target.clone());
        tokio::spawn(async move {
            for _ in 0..200 {
                let asked = here.ask(&target, Echo::default()).timeout(Duration::from_millis(2));
                assert!(asked.await.is_err(), "the actor is busy");
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await?;
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let closed = events.find(|event| matches!(event, rakt::Event::LinkDown { .. }).then_some(()));
    assert!(tokio::time::timeout(Duration::from_secs(1), closed).await.is_err());
    within(here.shutdown()).await;
    within(there.shutdown()).await;
    Ok(())
}
