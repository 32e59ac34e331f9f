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

/// Needs 18,000 file descriptors, and some minutes.
#[test]
#[ignore = "long: for a figure"]
fn nine_thousand_idle_peers() -> Result {
    let each = idle_by_tls(9_000)?;
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
