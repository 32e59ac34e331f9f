//! Nodes with TLS and peers without, and the reverse: both ends are told, and nobody falls back.

use std::sync::Arc;
use std::time::Duration;

use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Config, Tls, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::certificates::Ca;
use crate::handshake::{node, ping};
use crate::memory::Memory;
use crate::strangers::{Server, client};
use crate::support::lines::Lines;
use crate::support::within;

/// A node in a network in memory.
async fn on(
    network: &Memory,
    tls: Option<Tls>,
    change: impl FnOnce(Config) -> Config,
) -> ActorSystem {
    let config = change(Config::new("127.0.0.1", 0).transport(network.clone()));
    let config = match tls {
        Some(tls) => config.tls(tls),
        None => config,
    };
    ActorSystem::builder("server").remoting(config).start().await.expect("it is good")
}

/// What a client hears that pings a node, and how long that takes on a paused clock.
async fn pinged(network: &Memory, tls: Option<Tls>, port: u16) -> (String, Duration) {
    let config = ClientConfig::new().transport(network.clone());
    let config = match tls {
        Some(tls) => config.tls(tls),
        None => config,
    };
    let (client, start) = (Client::new("client", config).expect("it is valid"), Instant::now());
    let pinged = client.node("127.0.0.1", port).ping().await;
    let elapsed = start.elapsed();
    client.close().await;
    (Chain(&pinged.expect_err("they do not fit")).to_string(), elapsed)
}

#[tokio::test(start_paused = true)]
async fn a_plain_peer_hears_from_a_node_with_tls_what_it_takes() {
    let (ca, (log, _guard), network) = (Ca::new("ca"), Lines::capture(), Memory::default());
    let node = on(&network, Some(ca.tls("server")), |config| config).await;
    let (heard, elapsed) = pinged(&network, None, node.advertised().1).await;
    assert!(heard.contains("this node takes TLS only"), "{heard}");
    assert!(elapsed < Duration::from_millis(100), "{elapsed:?}");
    let line = log.with("refused a peer").await;
    assert!(line.contains("this node takes TLS only"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_tls_hears_from_a_plain_node_that_it_takes_none() {
    let (ca, (log, _guard)) = (Ca::new("ca"), Lines::capture());
    let changes: [fn(Config) -> Config; 2] = [
        |config| config,
        #[cfg(feature = "goakt")]
        |config| config.goakt(remote::GoAkt::new()),
        #[cfg(not(feature = "goakt"))]
        |config| config,
    ];
    for change in changes {
        let network = Memory::default();
        let node = on(&network, None, change).await;
        let (heard, elapsed) = pinged(&network, Some(ca.tls("client")), node.advertised().1).await;
        assert!(heard.contains("it takes no TLS, only plain connections"), "{heard}");
        assert!(elapsed < Duration::from_millis(100), "at once, not at the limit: {elapsed:?}");
        let line = log.with("refused a peer").await;
        assert!(line.contains("TLS"), "{line}");
    }
}

#[cfg(feature = "goakt")]
#[tokio::test(start_paused = true)]
async fn a_plain_go_node_is_closed_and_that_is_logged() {
    let (ca, (log, _guard), network) = (Ca::new("ca"), Lines::capture(), Memory::default());
    let goakt = |config: Config| config.goakt(remote::GoAkt::new());
    let node = on(&network, Some(ca.tls("server")), goakt).await;
    let dialed = network.dial("127.0.0.1", node.advertised().1, Duration::ZERO).await;
    let mut stream = dialed.expect("it listens");
    // The beginning of a frame: its length, that of the name of a type, and the name.
    let name = b"internalpb.RemoteTellRequest";
    let len = (8 + name.len()) as u32;
    let frame = [&len.to_be_bytes()[..], &(name.len() as u32).to_be_bytes(), name].concat();
    stream.write_all(&frame).await.expect("it is read");
    let mut answer = Vec::new();
    drop(within(stream.read_to_end(&mut answer)).await);
    assert!(answer.is_empty(), "there is no way to tell it: {answer:?}");
    let line = log.with("closed a connection of a Go node").await;
    assert!(line.contains("this node takes TLS only"), "{line}");
}

#[cfg(feature = "goakt")]
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Say")]
struct Say {}

/// A plain Go node takes the beginning of the handshake for a frame that is far too long, and closes.
#[cfg(feature = "goakt")]
#[tokio::test]
async fn a_plain_go_node_that_is_dialed_is_not_talked_to() -> Result {
    let ca = Ca::new("ca");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let (heard, mut first_bytes) = tokio::sync::mpsc::unbounded_channel();
    let go = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut first = [0; 4];
            if stream.read_exact(&mut first).await.is_ok() {
                heard.send(first).ok();
            }
        }
    });
    let client = Client::new("client", ClientConfig::new().tls(ca.tls("client")))?;
    let address: Address = format!("goakt://go@127.0.0.1:{port}/x").parse()?;
    let actor = client.actor(&address);
    for _ in 0..2 {
        let error = within(actor.tell(Say {}).confirmed()).await.expect_err("it takes no TLS");
        let heard = Chain(&error).to_string();
        assert!(heard.contains("does it take TLS?"), "{heard}");
    }
    go.abort();
    while let Some(first) = within(first_bytes.recv()).await {
        assert_eq!(first[..2], [0x16, 3], "a handshake, and nothing else after it has failed");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn strangers_at_the_port_are_closed_and_logged() {
    let (ca, (log, _guard), network) = (Ca::new("ca"), Lines::capture(), Memory::default());
    let changes: [fn(Config) -> Config; 2] = [
        |config| config,
        #[cfg(feature = "goakt")]
        |config| config.goakt(remote::GoAkt::new()),
        #[cfg(not(feature = "goakt"))]
        |config| config,
    ];
    for change in changes {
        let node = on(&network, Some(ca.tls("server")), change).await;
        for first in [&b"GET / HTTP/1.1\r\nHost: node\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.7\r\n"] {
            let dialed = network.dial("127.0.0.1", node.advertised().1, Duration::ZERO).await;
            let (mut stream, start) = (dialed.expect("it listens"), Instant::now());
            stream.write_all(first).await.expect("it is read");
            drop(within(stream.read_to_end(&mut Vec::new())).await);
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
            let line = log.with("WARN").await;
            assert!(!line.trim_end().contains(char::is_control), "{line:?}");
        }
        let config = ClientConfig::new().transport(network.clone()).tls(ca.tls("client"));
        let client = Client::new("client", config).expect("it is valid");
        let (host, port) = node.advertised();
        client.node(host, port).ping().await.expect("the node lives");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_has_two_seconds() {
    let (ca, (log, _guard), network) = (Ca::new("ca"), Lines::capture(), Memory::default());
    let node = on(&network, Some(ca.tls("server")), |config| config).await;
    for (first, limit) in [(&b""[..], 2), (b"\x16\x03\x01", 2)] {
        let dialed = network.dial("127.0.0.1", node.advertised().1, Duration::ZERO).await;
        let (mut stream, start) = (dialed.expect("it listens"), Instant::now());
        stream.write_all(first).await.expect("it is read");
        drop(stream.read_to_end(&mut Vec::new()).await);
        assert_eq!(start.elapsed().as_secs(), limit, "after {first:?}");
    }
    // Who has shaken hands has as long as everybody to greet.
    let dialed = network.dial("127.0.0.1", node.advertised().1, Duration::ZERO).await;
    let (config, start) = (client(Some(&ca.node("client"))), Instant::now());
    let name = "localhost".try_into().expect("a name");
    let connected = TlsConnector::from(Arc::new(config)).connect(name, dialed.expect("it listens"));
    drop(connected.await.expect("it is good").read_to_end(&mut Vec::new()).await);
    assert_eq!(start.elapsed().as_secs(), 5);
    let lines = log.take();
    assert!(lines.iter().any(|line| line.contains("the peer sent nothing within 2s")), "{lines:?}");
    let late = "first message of the peer's handshake was not there within 2s";
    assert!(lines.iter().any(|line| line.contains(late)), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("did not greet in time")), "{lines:?}");
}

#[tokio::test]
async fn a_node_that_closes_at_once_is_asked_whether_it_takes_tls() {
    let ca = Ca::new("ca");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it has one").port();
    let closing = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.read(&mut [0; 4096]).await);
        }
    });
    let heard = ping(ca.tls("client"), ("127.0.0.1", port)).await.expect_err("it closes");
    assert!(heard.contains("does it take TLS?"), "{heard}");
    closing.abort();
    let server = Server::saying(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let heard =
        ping(ca.tls("client"), ("127.0.0.1", server.port)).await.expect_err("it is a web server");
    assert!(heard.contains("what it sends is not TLS"), "{heard}");
    let lives = node("server", ca.tls("server")).await.expect("it is good");
    assert_eq!(ping(ca.tls("client"), lives.advertised()).await, Ok(()));
}
