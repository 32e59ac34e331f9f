//! How long a node waits for a peer that does not let go.

use std::time::Duration;

use bytes::BytesMut;
use prost::Message as _;
use rakt::prelude::*;
use rakt::remote::{Stream, Transport};
use rakt_wire::native::{
    Handshake, HandshakeError, Head, Hello, MessageKind, Outbound, Payload, RefuseReason, Role,
    Session,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::memory::Memory;
use crate::nodes::{config, node_with};
use crate::probe::{self, Blob, Probe};
use crate::support::within;

const SECOND: Duration = Duration::from_secs(1);
/// A frame of a kind that does not exist.
const NONSENSE: &[u8] = b"\x77\0\0\0\0";

/// A connection to the node, whose other end the test reads and writes as it likes.
pub(crate) async fn dial(
    network: &Memory,
    port: u16,
) -> std::result::Result<(Box<dyn Stream>, Session), HandshakeError> {
    dial_as(network, port, Hello::new("peer", [7; 16])).await
}

/// The same, of a peer that says this of itself.
pub(crate) async fn dial_as(
    network: &Memory,
    port: u16,
    hello: Hello,
) -> std::result::Result<(Box<dyn Stream>, Session), HandshakeError> {
    let mut stream = network.dial("", port, Duration::ZERO).await.expect("the node listens");
    let mut handshake = Handshake::dial(hello);
    let hello = handshake.poll_transmit().expect("the dialer speaks first");
    stream.write_all(&hello).await.expect("the node reads");
    let mut read = BytesMut::new();
    loop {
        let n = within(stream.read_buf(&mut read)).await.expect("the node answers");
        assert!(n > 0, "the node closed without a word");
        if let Some(session) = handshake.handle_bytes(&mut read)? {
            return Ok((stream, session));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_was_told_why_it_must_go_has_a_second_to_do_so() -> Result {
    let network = Memory::default();
    let options = config().transport(network.clone()).max_connections(1);
    let here = node_with("here", options).await;
    let (_, port) = here.advertised();
    let (mut stream, _) = dial(&network, port).await?;
    stream.write_all(NONSENSE).await?;
    let start = Instant::now();
    // It stays. Its place is free all the same, but not before it had time to read the reason.
    within(async {
        while let Err(error) = dial(&network, port).await {
            let full =
                matches!(error, HandshakeError::RefusedByPeer(RefuseReason::TooManyConnections));
            assert!(full, "{error}");
            tokio::time::sleep(SECOND / 10).await;
        }
    })
    .await;
    let waited = start.elapsed();
    assert!(waited >= SECOND && waited <= SECOND * 3 / 2, "{waited:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_must_go_and_sends_on_is_not_read_for_long() -> Result {
    const MIB: usize = 1024 * 1024;
    let network = Memory::default();
    let here = node_with("here", config().transport(network.clone())).await;
    let (_, port) = here.advertised();
    let (mut stream, _) = dial(&network, port).await?;
    stream.write_all(NONSENSE).await?;
    let (start, mut sent) = (Instant::now(), 0);
    // No time passes while there is something to read.
    let chunk = vec![0; 64 * 1024];
    while sent < 16 * MIB && within(stream.write_all(&chunk)).await.is_ok() {
        sent += chunk.len();
    }
    // A line holds 256 KiB, and the node reads 64 KiB at a time.
    assert!((MIB..2 * MIB).contains(&sent), "{sent} bytes were taken");
    assert!(start.elapsed() < SECOND);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_closes_waits_five_seconds_for_peers_that_take_nothing() -> Result {
    let network = Memory::default();
    let options = config().transport(network.clone()).write_timeout(60 * SECOND);
    let there = node_with("there", options).await;
    let (_, port) = there.advertised();
    let (probe, _) = Probe::spawn(&there, "probe").await;
    let (mut stream, session) = dial(&network, port).await?;
    let mut outbound = Outbound::new(Role::Dialer, session.limits);
    let blob = Blob { bytes: probe::noise(400_000), back: true }.encode_to_vec();
    let (receiver, type_id) =
        (outbound.receiver("probe", None), outbound.message_type("tests.Blob"));
    let head = Head {
        receiver: receiver.id,
        type_id: type_id.id,
        sender: None,
        remaining: None,
        metadata: None,
    };
    let payload = Payload::Ready { bytes: blob.into(), raw_len: None };
    outbound.message(MessageKind::Ask { corr: 1 }, &head, payload)?;
    let mut bytes = Vec::new();
    while outbound.poll_transmit(&mut bytes) {}
    within(stream.write_all(&bytes)).await?;
    // The actor has answered, with more than the line holds.
    within(probe.ask(probe::echo("after it"))).await?;
    let start = Instant::now();
    within(there.shutdown()).await;
    let waited = start.elapsed();
    assert!(waited >= 5 * SECOND && waited <= 6 * SECOND, "{waited:?}");
    Ok(())
}
