//! Lines that are slow, cut, held up, or lose what they carry.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use rakt::prelude::*;
use rakt::remote::{Listener, Stream, Transport};
use rakt::testkit::{Host, Network, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::{Add, Counter, MS};

/// Long enough to say that something does not happen.
const LONG: Duration = Duration::from_secs(3600);

/// Two hosts, and a connection between them.
struct Pair {
    network: Network,
    a: Host,
    listener: Box<dyn Listener>,
    here: Box<dyn Stream>,
    there: Box<dyn Stream>,
}

impl Pair {
    async fn new() -> Self {
        let network = Network::new(1);
        let (a, b) = (network.host("a"), network.host("b"));
        let mut listener = b.bind("anything", 0).await.expect("a port is free");
        let here = a.dial("b", listener.port(), Duration::ZERO).await.expect("b listens");
        let (there, peer) = listener.accept().await.expect("a has dialed");
        assert_eq!(peer, "a");
        Self { network, a, listener, here, there }
    }

    async fn dial(&self) -> std::io::Result<Box<dyn Stream>> {
        self.a.dial("b", self.listener.port(), Duration::ZERO).await
    }
}

async fn says(to: &mut Box<dyn Stream>, text: &[u8]) {
    within(to.write_all(text)).await.expect("the end is whole");
}

async fn hears(from: &mut Box<dyn Stream>, text: &[u8]) {
    let mut heard = vec![0; text.len()];
    within(from.read_exact(&mut heard)).await.expect("the end is whole");
    assert_eq!(heard, text);
}

async fn hears_nothing(from: &mut Box<dyn Stream>) {
    timeout(LONG, from.read_u8()).await.expect_err("nothing arrives");
}

fn kind<T>(outcome: Result<T, Error>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_arrives_after_the_latency_and_a_part_of_the_jitter() {
    let mut pair = Pair::new().await;
    pair.network.delay("a", "b", 50 * MS, 20 * MS);
    let mut took = Vec::new();
    for _ in 0..50 {
        let before = Instant::now();
        says(&mut pair.here, b"x").await;
        hears(&mut pair.there, b"x").await;
        took.push(before.elapsed());
    }
    assert!(took.iter().all(|took| (50 * MS..=71 * MS).contains(took)), "{took:?}");
    assert!(took.iter().any(|other| *other != took[0]), "there is jitter");
    let before = Instant::now();
    within(pair.dial()).await.expect("b listens");
    assert!(before.elapsed() >= 100 * MS, "a dial goes there and back");
}

#[tokio::test(start_paused = true)]
async fn what_has_left_arrives_in_order_whatever_the_jitter() {
    let mut pair = Pair::new().await;
    pair.network.delay("a", "b", MS, 100 * MS);
    for n in 0..100 {
        says(&mut pair.here, &[n]).await;
        tokio::time::sleep(MS).await;
    }
    hears(&mut pair.there, &(0..100).collect::<Vec<_>>()).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_line_takes_the_time_that_its_rate_says() {
    let mut pair = Pair::new().await;
    pair.network.limit_rate("a", "b", 1_000_000);
    let before = Instant::now();
    let Pair { here, there, .. } = &mut pair;
    let bytes = vec![7; 1_000_000];
    tokio::join!(says(here, &bytes), hears(there, &bytes));
    let took = before.elapsed();
    assert!((950 * MS..=1050 * MS).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cut_line_breaks_both_ends_and_takes_no_dial_until_it_is_healed() {
    let mut pair = Pair::new().await;
    says(&mut pair.here, b"lost").await;
    pair.network.cut("b", "a");
    assert_eq!(kind(pair.there.read_u8().await), Some(ErrorKind::ConnectionReset));
    assert_eq!(kind(pair.here.write_u8(1).await), Some(ErrorKind::ConnectionReset));
    assert_eq!(kind(pair.dial().await), Some(ErrorKind::NetworkUnreachable));
    pair.network.heal("a", "b");
    assert!(pair.dial().await.is_ok());
    let counts = (pair.network.dial_count("a", "b"), pair.network.made_count("a", "b"));
    assert_eq!(counts, (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_reset_breaks_the_connections_there_are_and_no_others() {
    let mut pair = Pair::new().await;
    pair.network.host("c");
    pair.network.reset("a", "c");
    says(&mut pair.here, b"x").await;
    hears(&mut pair.there, b"x").await;
    pair.network.reset("a", "b");
    assert_eq!(kind(pair.here.read_u8().await), Some(ErrorKind::ConnectionReset));
    assert!(pair.network.connections("a", "b").is_empty());
    let _new = pair.dial().await.expect("b listens");
    assert_eq!(pair.network.connections("b", "a").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_stalls_delivers_everything_in_order_when_it_is_healed() {
    let mut pair = Pair::new().await;
    pair.network.stall("a", "b");
    says(&mut pair.here, b"one").await;
    says(&mut pair.there, b"back").await;
    says(&mut pair.here, b"two").await;
    hears_nothing(&mut pair.there).await;
    timeout(LONG, pair.dial()).await.map(drop).expect_err("a dial waits");
    pair.network.heal("a", "b");
    hears(&mut pair.there, b"onetwo").await;
    hears(&mut pair.here, b"back").await;
    assert!(pair.dial().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_stalls_takes_no_more_than_it_has_room_for() {
    let mut pair = Pair::new().await;
    pair.network.stall_one_way("a", "b");
    let bytes = vec![0; 1_000_000];
    timeout(LONG, pair.here.write_all(&bytes)).await.expect_err("it has no room for all");
    assert_eq!(pair.network.written("a", "b"), 256 * 1024);
    says(&mut pair.there, b"the other way").await;
    hears(&mut pair.here, b"the other way").await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_lost_something_stays_half_dead() {
    let mut pair = Pair::new().await;
    pair.network.lose("a", "b");
    says(&mut pair.here, b"lost").await;
    hears_nothing(&mut pair.there).await;
    says(&mut pair.there, b"heard").await;
    hears(&mut pair.here, b"heard").await;
    timeout(LONG, pair.dial()).await.map(drop).expect_err("nobody answers");
    pair.network.heal("a", "b");
    says(&mut pair.here, b"lost as well").await;
    hears_nothing(&mut pair.there).await;
    let mut new = pair.dial().await.expect("b listens");
    pair.listener.accept().await.map(|(stream, _)| pair.there = stream).expect("a has dialed");
    says(&mut new, b"as good as new").await;
    hears(&mut pair.there, b"as good as new").await;
}

#[tokio::test(start_paused = true)]
async fn a_line_can_stand_still_at_any_byte() {
    let mut pair = Pair::new().await;
    pair.network.allow("a", "b", 3);
    timeout(LONG, pair.here.write_all(b"abcdef")).await.expect_err("three are allowed");
    hears(&mut pair.there, b"abc").await;
    pair.network.allow("a", "b", 1);
    says(&mut pair.here, b"d").await;
    pair.network.heal("a", "b");
    says(&mut pair.here, b"ef").await;
    hears(&mut pair.there, b"def").await;
}

#[tokio::test(start_paused = true)]
async fn one_connection_of_several_can_be_harmed() {
    let mut pair = Pair::new().await;
    let mut other = pair.dial().await.expect("b listens");
    let mut others_end = pair.listener.accept().await.expect("a has dialed").0;
    let connections = pair.network.connections("a", "b");
    connections[0].stall();
    says(&mut pair.here, b"late").await;
    says(&mut other, b"now").await;
    hears_nothing(&mut pair.there).await;
    hears(&mut others_end, b"now").await;
    connections[0].release();
    hears(&mut pair.there, b"late").await;
    connections[1].reset();
    assert_eq!(kind(other.read_u8().await), Some(ErrorKind::ConnectionReset));
    says(&mut pair.here, b"still").await;
    hears(&mut pair.there, b"still").await;
}

#[tokio::test(start_paused = true)]
async fn a_frozen_connection_takes_nothing_until_it_is_released() {
    let mut pair = Pair::new().await;
    let connection = pair.network.connections("a", "b").remove(0);
    says(&mut pair.here, b"before").await;
    connection.freeze();
    timeout(LONG, pair.here.write_u8(1)).await.expect_err("it takes nothing");
    hears_nothing(&mut pair.there).await;
    assert!(pair.dial().await.is_ok(), "others are as they were");
    connection.release();
    says(&mut pair.here, b"after").await;
    hears(&mut pair.there, b"beforeafter").await;
}

#[tokio::test(start_paused = true)]
async fn what_the_network_holds_outlives_the_end_that_sent_it() {
    let mut pair = Pair::new().await;
    let connection = pair.network.connections("a", "b").remove(0);
    connection.stall_from("a");
    says(&mut pair.here, b"under way").await;
    connection.reset_at("a");
    assert_eq!(kind(pair.here.write_u8(1).await), Some(ErrorKind::ConnectionReset));
    assert!(!connection.is_closed_at("a"));
    drop(pair.here);
    assert!(connection.is_closed_at("a") && !connection.is_closed_at("b"));
    // Who does not know of it yet sends on.
    says(&mut pair.there, b"to nobody").await;
    connection.release();
    hears(&mut pair.there, b"under way").await;
    assert_eq!(kind(pair.there.read_u8().await), Some(ErrorKind::UnexpectedEof));
    assert_eq!(kind(pair.there.write_u8(1).await), Some(ErrorKind::BrokenPipe));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stream_comes_after_its_last_byte() {
    let mut pair = Pair::new().await;
    pair.network.delay("a", "b", 50 * MS, Duration::ZERO);
    says(&mut pair.here, b"last").await;
    within(pair.here.shutdown()).await.expect("the end is whole");
    let mut all = Vec::new();
    within(pair.there.read_to_end(&mut all)).await.expect("the end is whole");
    assert_eq!(all, b"last");
    says(&mut pair.there, b"half open").await;
    hears(&mut pair.here, b"half open").await;
}

#[tokio::test(start_paused = true)]
async fn ports_are_taken_and_given_back() {
    let network = Network::new(1);
    let (a, b) = (network.host("a"), network.host("b"));
    let listener = b.bind("b", 80).await.expect("it is free");
    assert_eq!(kind(b.bind("b", 80).await), Some(ErrorKind::AddrInUse));
    assert!(a.bind("a", 80).await.is_ok(), "that is another host");
    let mut unaccepted = a.dial("b", 80, Duration::ZERO).await.expect("b listens");
    drop(listener);
    assert_eq!(kind(within(unaccepted.read_u8()).await), Some(ErrorKind::UnexpectedEof));
    assert_eq!(kind(a.dial("b", 80, Duration::ZERO).await), Some(ErrorKind::ConnectionRefused));
    assert_eq!(kind(a.dial("c", 80, Duration::ZERO).await), Some(ErrorKind::HostUnreachable));
    b.bind("b", 80).await.expect("it is free again");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_crashed_reaches_nobody_and_comes_up_again() {
    let mut pair = Pair::new().await;
    pair.network.crash("b");
    assert_eq!(kind(pair.here.read_u8().await), Some(ErrorKind::ConnectionReset));
    assert_eq!(kind(pair.there.read_u8().await), Some(ErrorKind::ConnectionReset));
    assert_eq!(kind(pair.dial().await), Some(ErrorKind::ConnectionRefused));
    timeout(LONG, pair.listener.accept()).await.map(drop).expect_err("nobody comes");
    let port = pair.listener.port();
    let again = pair.network.host("b").bind("b", port).await.expect("it is free");
    // The listener of the life before has no part in it.
    drop(pair.listener);
    pair.a.dial("b", again.port(), Duration::ZERO).await.expect("b listens");
    pair.network.crash("a");
    let from_before = pair.a.dial("b", again.port(), Duration::ZERO).await;
    assert_eq!(kind(from_before), Some(ErrorKind::HostUnreachable));
}

#[test]
#[should_panic(expected = "no host of this network is called \"bee\": [\"a\", \"b\"]")]
fn a_host_that_is_not_there_is_named() {
    let network = Network::new(1);
    let _hosts = (network.host("a"), network.host("b"));
    network.cut("a", "bee");
}

/// A peer that hears nothing any more is found by its pings, and the ask ends.
#[tokio::test(start_paused = true)]
async fn a_node_finds_out_that_a_connection_is_half_dead() -> Result {
    let network = Network::new(1);
    let node = |name| ActorSystem::builder(name).remoting(network.config(name)).start();
    let (here, there) = (node("here").await?, node("there").await?);
    there.spawn("counter", Counter::default).await?;
    let counter = here.actor(&there.address("counter")?);
    assert_eq!(within(counter.ask(Add { n: 1 })).await?, 1);
    network.lose("there", "here");
    let ask = counter.ask(Add { n: 1 }).timeout(LONG);
    let error = within(ask).await.expect_err("the reply is lost");
    assert!(matches!(error, AskError::ConnectionLost { .. }), "{error}");
    network.heal("here", "there");
    assert_eq!(within(counter.ask(Add { n: 0 })).await?, 2, "it was handled");
    Ok(())
}
