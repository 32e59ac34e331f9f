//! Peers that do not get past the greeting. Each is turned away with a reason, and nobody else notices.

use std::time::{Duration, Instant};

use rakt_wire::native::{Feature, FrameKind, Hello, Limits, MAGIC, NO_TLS_HERE, RefuseReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::hostile::{Node, Raw, connect, frame, hello, logged};
use crate::nodes::config;
use crate::support::{LIMIT, within};

/// Sends `bytes` and returns all that the node answers until it closes.
async fn say(port: u16, bytes: &[u8]) -> (String, Vec<u8>) {
    let mut stream = connect(port).await;
    let from = stream.local_addr().expect("it is connected").to_string();
    // The node may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    (from, answer)
}

fn greeting(min: u8, max: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[min, max]);
    bytes.extend(frame(FrameKind::Hello.as_u8(), body));
    bytes
}

fn body(hello: &Hello) -> Vec<u8> {
    let mut body = Vec::new();
    hello.encode(&mut body);
    body
}

/// The reason in what the node answered.
fn refusal(answer: &[u8]) -> RefuseReason {
    let [preface, rest] = [&answer[..8], &answer[8..]];
    assert_eq!(&preface[..6], MAGIC);
    assert_eq!(rest[0], FrameKind::Refuse.as_u8());
    RefuseReason::decode(&rest[5..]).expect("a refusal")
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_are_recognised_and_hear_nothing_but_that_there_is_no_tls() {
    let node = Node::start(config()).await;
    let goakt = [&[0, 0, 0, 60, 0, 0, 0, 26][..], b"internalpb.RemoteTellRequest"].concat();
    let random: Vec<u8> =
        (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let cases: [(&[u8], &str); 8] = [
        (b"GET / HTTP/1.1\r\nHost: victim\r\n\r\n", "HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"),
        (&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], "TLS"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "SSH"),
        (&goakt, "GoAkt"),
        (&[0x28, 0xb5, 0x2f, 0xfd, 0, 0], "GoAkt with zstd"),
        (&random, "the peer does not speak rakt"),
        (b"\xf7raktX\x01\x01", "the peer does not speak rakt"),
    ];
    for (bytes, what) in cases {
        let (from, answer) = say(node.port(), bytes).await;
        let heard: &[u8] = if what == "TLS" { &NO_TLS_HERE } else { &[] };
        assert_eq!(answer, heard, "{what}");
        logged(&[&from, "refused a peer", what]).await;
    }
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_that_does_not_fit_is_refused_with_the_reason() {
    let node = Node::start(config()).await;
    let mut feature = hello();
    feature.features.push(Feature { name: "telepathy".to_owned(), required: true });
    let mut meagre = hello();
    meagre.limits = Limits { max_in_flight: 0, ..Limits::default() };
    let mut nothing = hello();
    nothing.limits = Limits {
        max_frame_len: 0,
        max_message_len: 0,
        receiver_window: 0,
        max_receivers: 0,
        max_senders: 0,
        max_types: 0,
        max_in_flight: 0,
    };
    let mut bad_name = hello();
    bad_name.system = "../../etc".to_owned();
    let mut too_long = vec![0x40; 5000];
    too_long[..2].copy_from_slice(&[0x7f, 0x05]);
    let mut twice = body(&hello());
    twice.extend(body(&hello()));

    let cases = [
        (greeting(9, 12, &body(&hello())), "no common version: 1..=1 here, 9..=12 there"),
        (greeting(2, 1, &body(&hello())), "no common version: 1..=1 here, 2..=1 there"),
        (greeting(0, 0, &body(&hello())), "no common version: 1..=1 here, 0..=0 there"),
        (greeting(1, 1, &body(&feature)), "telepathy"),
        (greeting(1, 1, &body(&meagre)), "max_in_flight"),
        (greeting(1, 1, &body(&nothing)), "max_frame_len"),
        (greeting(1, 1, &body(&bad_name)), "system"),
        (greeting(1, 1, &too_long), "a handshake frame claims 5000 bytes, the limit is 4096"),
        (greeting(1, 1, &twice), "system"),
        (greeting(1, 1, &[]), "system"),
        (greeting(1, 1, &[6, 1]), "cut short"),
        ([&MAGIC[..], &[1, 1], &frame(0x03, b"secret")].concat(), "frame kind 0x03 before a hello"),
        ([&MAGIC[..], &[1, 1], &frame(0x20, b"tell")].concat(), "frame kind 0x20 before a hello"),
        ([&MAGIC[..], &[1, 1], &frame(0x02, &[4; 6])].concat(), "frame kind 0x02 before a hello"),
    ];
    for (bytes, what) in cases {
        let (from, answer) = say(node.port(), &bytes).await;
        let reason = refusal(&answer).to_string();
        assert!(reason.contains(what), "{reason:?} does not say {what:?}");
        logged(&[&from, "refused a peer", &what.replace('"', "\\\"")]).await;
    }
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_cut_short_leaves_nothing_behind() {
    let node = Node::start(config()).await;
    let whole = greeting(1, 1, &body(&hello()));
    for len in 0..whole.len() {
        let mut stream = connect(node.port()).await;
        stream.write_all(&whole[..len]).await.expect("it is taken");
        // Half of them just vanish, the others wait for an answer that does not come.
        if len % 2 == 0 {
            stream.shutdown().await.expect("it is open");
            let mut answer = Vec::new();
            let _ = within(stream.read_to_end(&mut answer)).await;
            assert!(answer.is_empty(), "nothing is said to {len} bytes");
        }
    }
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_that_comes_too_slowly_is_not_waited_for() {
    let limit = Duration::from_secs(2);
    let node = Node::start(config().dial_timeout(limit)).await;
    let start = Instant::now();
    let (mut reader, mut writer) = connect(node.port()).await.into_split();
    let from = reader.local_addr().expect("it is connected").to_string();
    // As long as may be, and never sent to its end.
    let greeting = greeting(1, 1, &[0; 4096]);
    let slow = tokio::spawn(async move {
        for byte in greeting.into_iter().cycle() {
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    // And one that says nothing at all.
    let mut silent = connect(node.port()).await;
    let _ = within(reader.read(&mut [0; 64])).await;
    assert!(start.elapsed() >= limit, "{:?}", start.elapsed());
    let _ = within(silent.read(&mut [0; 64])).await;
    logged(&[&from, "did not greet in time"]).await;
    slow.await.expect("the slow one does not panic");
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_refused_with_the_reason() {
    // The well-behaved client has one or two of them.
    let node = Node::start(config().max_connections(5)).await;
    let mut taken = Vec::new();
    let why = loop {
        match Raw::dial(node.port(), hello()).await {
            Ok(raw) => taken.push(raw),
            Err(why) => break why,
        }
        assert!(taken.len() < 5, "the limit holds");
    };
    assert!(why.contains("too many connections"), "{why}");
    logged(&["refused a peer", "too many connections"]).await;
    let held = taken.len();
    drop(taken);
    let mut again = Vec::new();
    within(async {
        while again.len() < held {
            match Raw::dial(node.port(), hello()).await {
                Ok(raw) => again.push(raw),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await;
    for raw in &mut again {
        raw.works(1).await;
    }
    node.stop_unharmed().await;
}

/// A connection from another address of this machine.
#[cfg(target_os = "linux")]
async fn connect_from(last: u8, port: u16) -> tokio::net::TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, last], 0).into()).expect("an address of loopback");
    within(socket.connect(([127, 0, 0, 1], port).into())).await.expect("the node listens")
}

/// Linux gives the whole of 127.0.0.0/8 to a machine, so that one can be many.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn one_address_that_does_not_greet_keeps_nobody_else_out() {
    let options = config().limit_loopback_sources(true).max_ungreeted_per_source(4);
    let node = Node::start(options.dial_timeout(LIMIT)).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(connect_from(2, node.port()).await);
    }
    let why = Raw::greet(connect_from(2, node.port()).await, hello()).await.err();
    assert!(why.is_some_and(|why| why.contains("too many connections")));
    // 127.0.0.3 has slots of its own.
    let other = Raw::greet(connect_from(3, node.port()).await, hello()).await;
    other.expect("it is taken").works(1).await;
    // Whoever goes leaves its slot.
    drop(silent.pop());
    within(async {
        while Raw::greet(connect_from(2, node.port()).await, hello()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    node.stop_unharmed().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn one_address_that_greets_has_so_many_connections() {
    let options = config().limit_loopback_sources(true).max_connections_per_source(3);
    let node = Node::start(options).await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        let raw = Raw::greet(connect_from(2, node.port()).await, hello()).await;
        taken.push(raw.expect("it is taken"));
    }
    let why = Raw::greet(connect_from(2, node.port()).await, hello()).await.err();
    assert!(why.is_some_and(|why| why.contains("too many connections")));
    Raw::greet(connect_from(3, node.port()).await, hello()).await.expect("another is taken");
    for raw in &mut taken {
        raw.works(1).await;
    }
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_never_greets_is_cut_off() {
    let node = Node::start(config().max_connections(8).dial_timeout(LIMIT)).await;
    let mut crowd = Vec::new();
    for _ in 0..1200 {
        crowd.push(connect(node.port()).await);
    }
    logged(&["closed a connection", "far too many"]).await;
    let cut_off = crowd.iter().filter(|stream| matches!(stream.try_read(&mut [0]), Ok(0) | Err(_)));
    assert!(cut_off.count() > 0);
    node.stop_unharmed().await;
}
