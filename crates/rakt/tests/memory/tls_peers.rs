//! What a peer costs that is connected by TLS and says nothing, and one that never gets as far.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use rakt::prelude::*;
use rakt::remote::{ClientConfig, Config};

use crate::TURN;
use crate::allocator::{Side, bytes, runtime};
use crate::certificates::Ca;
use crate::idle_peers::bytes_of_a_peer;
use crate::strangers::hello;

/// Heap of the node for each peer that is idle. What is built for tests needs half as much again as what is optimized.
const LIMIT: i64 = 15 * 1024;

/// Each peer has a certificate of its own.
fn idle_by_tls(count: usize) -> Result<i64> {
    let ca = Ca::new("ca");
    // As many as there are: nobody leaves before all have come.
    let long = Duration::from_secs(3600);
    let client = || ClientConfig::new().idle_timeout(long).read_idle_timeout(long);
    let config = Config::new("127.0.0.1", 0).max_connections(20_000).read_idle_timeout(long);
    let config = config.idle_timeout(long).tls(ca.tls("node"));
    let each = bytes_of_a_peer(count, config, || client().tls(ca.tls("peer")))?;
    println!("bytes of heap for each of {count} peers with TLS that are idle: {each}");
    Ok(each)
}

#[test]
fn an_idle_peer_costs_little_with_tls_as_well() -> Result {
    let each = idle_by_tls(300)?;
    assert!(each <= LIMIT, "{each} bytes for an idle peer");
    Ok(())
}

/// Needs 20,000 file descriptors, and some minutes.
#[test]
#[ignore = "long: for a figure"]
fn ten_thousand_idle_peers_less_a_hundred() -> Result {
    let each = idle_by_tls(9_900)?;
    assert!(each <= LIMIT, "{each} bytes for an idle peer");
    Ok(())
}

/// What a peer may have a node hold whose first message is not there: 16 KiB of that, and what each connection needs.
const HELLO_LIMIT: i64 = 28 * 1024;

#[test]
fn a_first_message_that_does_not_end_holds_little() -> Result {
    let _turn = TURN.blocking_lock();
    let (ca, node) = (Ca::new("ca"), runtime(Side::Far));
    let port = node.block_on(node.spawn(async move {
        let config = Config::new("127.0.0.1", 0).tls(ca.tls("node"));
        let system = ActorSystem::builder("node").remoting(config).start().await?;
        Ok::<_, rakt::BoxError>(system.advertised().1)
    }))??;
    // A record of just under 16 KiB, but for its end.
    let mut hello = vec![0x16, 3, 1, 0x3f, 0xf0, 1, 0, 0xff, 0xf0];
    hello.resize(0x3fe0, 7);
    let count = 100;
    let before = bytes(Side::Far);
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(&hello)?;
        held.push(stream);
    }
    let (mut most, mut each) = (0, 0);
    // Until they are given up.
    for _ in 0..100_000_000_u64 {
        each = (bytes(Side::Far) - before) / count;
        most = most.max(each);
        if most > 15 * 1024 && each < 8 * 1024 {
            break;
        }
        std::thread::yield_now();
    }
    println!("bytes of heap for a first message that does not end: {most}");
    assert!(most > 15 * 1024, "{most} bytes: they were never there");
    assert!(most <= HELLO_LIMIT, "{most} bytes for a handshake");
    assert!(each < 8 * 1024, "{each} bytes are left");
    Ok(())
}

/// Most handshakes at once, by default.
const HANDSHAKES: usize = 256;
/// Most bytes of a first message.
const LONGEST: usize = 16 * 1024;
const BUDGET: u64 = 8 * 1024 * 1024;
/// A quarter of the budget is for what is not complete, and an eighth of that twice for those who have next to nothing.
const CHARGED: i64 = BUDGET as i64 / 4 * 5 / 4;

/// A first message that is good, and as long as one may be.
fn longest_hello() -> Vec<u8> {
    let mut hello = hello();
    let field =
        |hello: &[u8], at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
    // Behind the headers, a version and 32 random bytes.
    let session = 5 + 4 + 2 + 32;
    let ciphers = session + 1 + usize::from(hello[session]);
    let compressions = ciphers + 2 + field(&hello, ciphers);
    let extensions = compressions + 1 + usize::from(hello[compressions]);
    assert_eq!(extensions + 2 + field(&hello, extensions), hello.len());
    // An extension that is for padding.
    let padding = (LONGEST - hello.len() - 4) as u16;
    hello.extend([0, 21]);
    hello.extend(padding.to_be_bytes());
    hello.resize(LONGEST, 0);
    for (at, bytes) in [(3, 2), (7, 2), (extensions, 2)] {
        let len = (LONGEST - at - bytes) as u16;
        hello[at..at + bytes].copy_from_slice(&len.to_be_bytes());
    }
    hello
}

/// Peers that say that and go on with nothing.
fn say(port: u16, bytes: &[u8]) -> Result<Vec<TcpStream>> {
    let one = |_| {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(bytes)?;
        Ok(stream)
    };
    (0..HANDSHAKES).map(one).collect()
}

/// The most heap that the node has until `is_enough` of what it has.
fn most_until(is_enough: impl Fn(i64, i64) -> bool) -> i64 {
    let mut most = 0;
    for _ in 0..100_000_000_u64 {
        let now = bytes(Side::Far);
        most = most.max(now);
        if is_enough(now, most) {
            return most;
        }
        std::thread::yield_now();
    }
    panic!("{} bytes, {most} at most", bytes(Side::Far))
}

#[test]
fn handshakes_under_way_hold_no_more_than_counts_in_the_budget() -> Result {
    let _turn = TURN.blocking_lock();
    let (ca, node) = (Ca::new("ca"), runtime(Side::Far));
    let port = node.block_on(node.spawn(async move {
        let config = Config::new("127.0.0.1", 0).memory_budget(BUDGET).tls(ca.tls("node"));
        let system = ActorSystem::builder("node").remoting(config).start().await?;
        Ok::<_, rakt::BoxError>(system.advertised().1)
    }))??;
    let longest = longest_hello();
    let most_of = |said: &[u8], least: i64| {
        let before = bytes(Side::Far);
        let held = say(port, said)?;
        // Until they are given up.
        let most =
            most_until(|now, most| most - before > least && now - before < (most - before) / 8);
        drop(held);
        Ok::<_, rakt::BoxError>(most - before)
    };
    // Once for what is only needed once.
    most_of(&longest, 1024 * 1024)?;
    let few = most_of(&longest[..2000], HANDSHAKES as i64 * 2000)?;
    let usual = most_of(&hello(), 1024 * 1024)?;
    let most = most_of(&longest, 1024 * 1024)?;
    println!(
        "bytes of heap for 256 first messages: {few} for beginnings, {usual} usual, {most} for the longest"
    );
    let counted = most - few;
    assert!(most > CHARGED / 2, "{most} bytes: there is room for all");
    assert!(counted <= CHARGED, "{counted} bytes for handshakes, and {CHARGED} may be counted");
    Ok(())
}
