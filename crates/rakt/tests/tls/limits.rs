//! How many handshakes a node has under way: what is beyond is closed before it costs anything, and nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Config, Listener, Opening, Stream, Tls, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::certificates::Ca;
use crate::memory::Memory;
use crate::strangers::hello;
use crate::support::lines::Lines;
use crate::support::within;

async fn start(config: Config, tls: Tls) -> ActorSystem {
    ActorSystem::builder("server").remoting(config.tls(tls)).start().await.expect("it is good")
}

/// Has begun a handshake and goes on with nothing.
async fn begun(network: &Memory, port: u16) -> Box<dyn Stream> {
    said(network, port, &hello()).await
}

/// Says that and nothing more.
async fn said(network: &Memory, port: u16, bytes: &[u8]) -> Box<dyn Stream> {
    let dialed = network.dial("127.0.0.1", port, Duration::ZERO).await;
    let mut stream = dialed.expect("it listens");
    stream.write_all(bytes).await.expect("it is read");
    tokio::time::sleep(Duration::from_millis(1)).await;
    stream
}

/// What is read until the end, and when that is.
async fn end(mut stream: Box<dyn Stream>) -> (Vec<u8>, Instant) {
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    (answer, Instant::now())
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_with_nothing_has_a_place_for_two_seconds_and_before_its_hello_none() {
    let (ca, (log, _guard), network) = (Ca::new("ca"), Lines::capture(), Memory::default());
    let config = Config::new("127.0.0.1", 0).transport(network.clone()).max_handshakes(8);
    let node = start(config.dial_timeout(Duration::from_secs(60)), ca.tls("server")).await;
    let (port, whole, begin) = (node.advertised().1, hello(), Instant::now());
    let mut slow = Vec::new();
    for len in (1..whole.len()).step_by(whole.len() / 50) {
        slow.push(said(&network, port, &whole[..len]).await);
    }
    let config = || ClientConfig::new().transport(network.clone()).tls(ca.tls("client"));
    let client = Client::new("client", config()).expect("it is valid");
    client.node("127.0.0.1", port).ping().await.expect("they have no places");
    for stream in slow {
        let (answer, at) = end(stream).await;
        assert!(answer.is_empty() && at - begin < Duration::from_millis(2500));
    }
    let line = log.with("refused a peer").await;
    assert!(line.contains("first message of the peer's handshake was not there"), "{line}");
    let begin = Instant::now();
    for stream in [begun(&network, port).await, begun(&network, port).await] {
        let (answer, at) = end(stream).await;
        assert!(!answer.is_empty() && at - begin < Duration::from_millis(3500), "{:?}", at - begin);
    }
    log.with("has not gone on with it within 2s").await;
    let long = [&[0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff][..], &[7; 0x4000 - 4]].concat();
    let (answer, at) = end(said(&network, port, &long).await).await;
    assert!(answer.is_empty() && at - begin < Duration::from_secs(5));
    log.with("first message of the peer's handshake is longer than 16384 bytes").await;
}

/// A transport that has a thousand connections at once, whose peers have left.
struct Crowd(Arc<AtomicUsize>);

impl Transport for Crowd {
    fn bind<'a>(&'a self, _: &'a str, _: u16) -> Opening<'a, Box<dyn Listener>> {
        let listener: Box<dyn Listener> = Box::new(Crowd(self.0.clone()));
        Box::pin(async { Ok(listener) })
    }

    fn dial<'a>(&'a self, _: &'a str, _: u16, _: Duration) -> Opening<'a, Box<dyn Stream>> {
        Box::pin(std::future::pending())
    }
}

impl Listener for Crowd {
    fn accept(&mut self) -> Opening<'_, (Box<dyn Stream>, String)> {
        if self.0.fetch_add(1, Ordering::Relaxed) >= 1000 {
            return Box::pin(std::future::pending());
        }
        let stream: Box<dyn Stream> = Box::new(tokio::io::duplex(64).0);
        Box::pin(async { Ok((stream, "10.0.0.1:1".to_owned())) })
    }

    fn port(&self) -> u16 {
        1
    }
}

#[tokio::test]
async fn connections_that_come_all_at_once_leave_the_others_their_turns() {
    let (ca, taken) = (Ca::new("ca"), Arc::<AtomicUsize>::default());
    let config = Config::new("127.0.0.1", 0).transport(Crowd(taken.clone()));
    let _node = start(config, ca.tls("server")).await;
    let (mut before, mut most) = (taken.load(Ordering::Relaxed), 0);
    while before < 1000 {
        tokio::task::yield_now().await;
        let now = taken.load(Ordering::Relaxed);
        (before, most) = (now, most.max(now - before));
    }
    assert!((1..=16).contains(&most), "{most} at once");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_too_many_is_closed_at_once() {
    let (ca, (log, _guard), network) = (Ca::new("ca"), Lines::capture(), Memory::default());
    let config = Config::new("127.0.0.1", 0).transport(network.clone()).max_handshakes(8);
    let node = start(config, ca.tls("server")).await;
    let port = node.advertised().1;
    // Those who say nothing have no part in it.
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(network.dial("127.0.0.1", port, Duration::ZERO).await.expect("it listens"));
    }
    let mut held = Vec::new();
    for _ in 0..7 {
        held.push(begun(&network, port).await);
    }
    // One in eight is kept.
    let begin = Instant::now();
    let mut late = begun(&network, port).await;
    let mut answer = Vec::new();
    drop(late.read_to_end(&mut answer).await);
    assert!(answer.is_empty() && begin.elapsed() < Duration::from_millis(100));
    let line = log.with("refused a peer").await;
    assert!(line.contains("8 TLS handshakes may be under way, all peers together"), "{line}");
    drop(held);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let config = ClientConfig::new().transport(network.clone()).tls(ca.tls("client"));
    let client = Client::new("client", config).expect("it is valid");
    client.node("127.0.0.1", port).ping().await.expect("there is a place");
}

/// Begins so many handshakes, and counts those that are closed.
async fn closed_of(port: u16, count: usize) -> usize {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        stream.write_all(&hello()).await.expect("there is room");
        held.push(stream);
    }
    let mut closed = 0;
    for stream in &mut held {
        let limit = Duration::from_millis(500);
        let ended = tokio::time::timeout(limit, stream.read(&mut [0; 16])).await;
        closed += usize::from(ended.is_ok_and(|read| !matches!(read, Ok(1..))));
    }
    closed
}

#[tokio::test]
async fn one_address_has_few_at_once() {
    let (ca, (log, _guard)) = (Ca::new("ca"), Lines::capture());
    let config = Config::new("127.0.0.1", 0).max_handshakes_per_source(2);
    let free = start(config.clone(), ca.tls("server")).await;
    assert_eq!(closed_of(free.advertised().1, 5).await, 0, "loopback is no address");
    let node = start(config.limit_loopback_sources(true), ca.tls("server")).await;
    assert_eq!(within(closed_of(node.advertised().1, 5)).await, 3);
    log.with("2 TLS handshakes of one address may be under way").await;
}

#[tokio::test]
async fn one_address_begins_so_many_a_second() {
    let (ca, (log, _guard)) = (Ca::new("ca"), Lines::capture());
    let config = Config::new("127.0.0.1", 0).max_handshake_rate(3).limit_loopback_sources(true);
    let node = start(config, ca.tls("server")).await;
    // A second may end in the midst of it.
    let closed = within(closed_of(node.advertised().1, 9)).await;
    assert!(closed >= 3, "{closed}");
    log.with("3 TLS handshakes of one address may begin within a second").await;
}
