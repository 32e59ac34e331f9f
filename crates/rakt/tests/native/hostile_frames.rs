//! Peers that break the rules of an open connection. It ends, with a reason that both ends hear, and
//! nobody else notices.

use std::time::Duration;

use rakt_wire::native::{CloseCode, FrameKind, MessageKind};
use rakt_wire::{Code, Operation, Outcome, put_string, put_varint};

use crate::hostile::{
    self, Answer, BLOCK, ECHO, Node, define, define_one, define_receiver, encoded, frame, hello,
    request, until, varints,
};
use crate::messages::Echo;
use crate::nodes::{config, open};

const TELL: u8 = 0x20;
const ASK: u8 = 0x22;
const FIRST: u8 = 0x28;
const MORE: u8 = 0x29;
const ABORT: u8 = 0x2a;
const REQUEST: u8 = 0x30;

/// The head of an ask with metadata: 7, flags, receiver, no sender, type, then the metadata.
fn ask_with_metadata(metadata: &[u8]) -> Vec<u8> {
    let mut body = varints(&[7, 1, 0, 0, 0, metadata.len() as u64]);
    body.extend_from_slice(metadata);
    body.extend(encoded(&Echo { text: "hi".to_owned() }));
    frame(ASK, &body)
}

fn pairs(count: u64, key: &str, value: &str) -> Vec<u8> {
    let mut metadata = varints(&[count]);
    for _ in 0..count {
        put_string(&mut metadata, key);
        put_string(&mut metadata, value);
    }
    metadata
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_breaks_the_protocol_is_told_how_and_cut_off() {
    let mut node = Node::start(config()).await;
    let one = || define_one("target", ECHO);
    let after_one = |bytes: Vec<u8>| [one(), bytes].concat();
    let header = |kind: u8, len: u32| [&[kind][..], &len.to_be_bytes()].concat();
    let mut big_total = varints(&[0]);
    big_total.push(TELL);
    put_varint(&mut big_total, 1 << 40);
    let mut overfull = varints(&[5]);
    overfull.push(TELL);
    overfull.extend(varints(&[3, 0, 0, 0, 0]));
    let mut never_ends = vec![0xff; 12];
    never_ends[11] = 1;
    let (protocol, limit, too_long) = (CloseCode::Protocol, CloseCode::Limit, CloseCode::TooLong);

    let cases: Vec<(Vec<u8>, CloseCode, &[&str])> = vec![
        (header(TELL, 16_777_217), too_long, &["claims 16777217 bytes", "limit is 16777216"]),
        (header(ASK, u32::MAX), too_long, &["claims 4294967295 bytes", "limit is 16777216"]),
        (header(0x41, 4097), too_long, &["claims 4097 bytes", "limit is 4096"]),
        (header(0x77, 0), protocol, &["unknown frame kind 0x77"]),
        (header(0x01, 0), protocol, &["HELLO", "not for this side to send"]),
        (header(0x23, 0), protocol, &["REPLY", "not for this side to send"]),
        (header(0x40, 0), protocol, &["CREDIT", "not for this side to send"]),
        (frame(TELL, &[0, 0, 0, 0]), protocol, &["TELL names receiver 0, but only 0 are defined"]),
        (after_one(frame(TELL, &[0, 1, 0, 0])), protocol, &["TELL names receiver 1, but only 1"]),
        (after_one(frame(TELL, &[0, 0, 0, 9])), protocol, &["TELL names type 9, but only 1"]),
        (after_one(frame(TELL, &[0, 0, 4, 0])), protocol, &["TELL names sender 3, but only 0"]),
        (
            after_one(frame(ASK, &varints(&[7, 0, u64::from(u32::MAX), 0, 0]))),
            protocol,
            &["4294967295"],
        ),
        (
            after_one(frame(ASK, &varints(&[7, 0, 1 << 40, 0, 0]))),
            protocol,
            &["malformed ASK", "receiver"],
        ),
        (after_one(frame(TELL, &[0xf0, 0, 0, 0])), protocol, &["malformed TELL", "flags"]),
        (after_one(frame(TELL, &[])), protocol, &["malformed TELL", "flags is cut short"]),
        (after_one(frame(ASK, &never_ends)), protocol, &["malformed ASK", "correlation"]),
        (
            after_one(frame(TELL, &varints(&[2, 0, 0, 0, 16_777_217]))),
            too_long,
            &["raw payload", "16777217"],
        ),
        (define_receiver(1, "target"), protocol, &["RECEIVER defines number 1, the next one is 0"]),
        (after_one(define_receiver(0, "target")), protocol, &["number 0, the next one is 1"]),
        (define_receiver(0, "../etc/passwd"), protocol, &["malformed RECEIVER", "path"]),
        (define_receiver(0, ""), protocol, &["malformed RECEIVER", "path"]),
        (define_receiver(0, &"x".repeat(1025)), protocol, &["malformed RECEIVER", "path"]),
        (define(FrameKind::Type, 0, &"x".repeat(256)), protocol, &["malformed TYPE", "type name"]),
        (
            define(FrameKind::Sender, 0, &"x".repeat(2049)),
            protocol,
            &["malformed SENDER", "address"],
        ),
        (frame(0x11, &[0, 2, 0xff, 0xfe]), protocol, &["malformed SENDER"]),
        (frame(0x13, &[1]), protocol, &["malformed RESET"]),
        (frame(FIRST, &big_total), too_long, &["a chunked body", "1099511627776"]),
        (after_one(frame(FIRST, &overfull)), protocol, &["FIRST of stream 5"]),
        (frame(FIRST, &[0, 0x26, 1]), protocol, &["CANCEL"]),
        (frame(FIRST, &[0, 0x99, 1]), protocol, &["unknown frame kind 0x99"]),
        (frame(MORE, &[3, 1]), protocol, &["MORE of stream 3: it is not open"]),
        (frame(ABORT, &[3]), protocol, &["ABORT of stream 3: it is not open"]),
        (frame(REQUEST, &[1, 0, 0]), protocol, &["malformed REQUEST", "operation"]),
        (frame(REQUEST, &[1, 0, 0, 1, 3, b'a']), protocol, &["malformed REQUEST", "path"]),
        (frame(0x26, &[1, 2]), protocol, &["malformed CANCEL"]),
        (frame(0x41, &[1]), protocol, &["malformed PING", "nonce"]),
        (
            after_one(ask_with_metadata(&pairs(65, "k", "v"))),
            protocol,
            &["malformed ASK", "65", "64"],
        ),
        (
            after_one(ask_with_metadata(&pairs(2, "k", &"v".repeat(8 * 1024)))),
            protocol,
            &["malformed ASK", "metadata", "16384"],
        ),
        (after_one(ask_with_metadata(&varints(&[1_000_000]))), protocol, &["malformed ASK"]),
    ];
    for (bytes, code, what) in cases {
        let mut raw = node.dial().await;
        raw.send(&bytes).await;
        node.ended(&mut raw, code, what).await;
    }

    let mut raw = node.dial().await;
    let types: Vec<u8> = (0..4097).flat_map(|id| define(FrameKind::Type, id, "t")).collect();
    raw.send(&types).await;
    node.ended(&mut raw, limit, &["TYPE defines more than the 4096 allowed"]).await;

    let mut raw = node.dial().await;
    let mut streams = one();
    for stream in 0..1025 {
        let mut body = varints(&[stream]);
        body.push(TELL);
        body.extend(varints(&[100, 0, 0, 0, 0]));
        streams.extend(frame(FIRST, &body));
    }
    raw.send(&streams).await;
    node.ended(&mut raw, limit, &["more than 1024 streams"]).await;

    let mut raw = node.dial().await;
    let mut body = varints(&[1]);
    body.push(TELL);
    body.extend(varints(&[100, 0, 0, 0, 0]));
    raw.send(&[one(), frame(FIRST, &body), frame(0x13, &[])].concat()).await;
    node.ended(&mut raw, protocol, &["RESET", "chunked message"]).await;
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_as_large_as_agreed() {
    let mut node = Node::start(config()).await;
    let mut hello = hello();
    hello.limits.max_receivers = 4;
    hello.limits.max_senders = 4;
    for kind in [FrameKind::Receiver, FrameKind::Sender] {
        let mut raw = hostile::Raw::dial(node.port(), hello.clone()).await.expect("it is taken");
        for alias in 0..4 {
            raw.send(&match kind {
                FrameKind::Receiver => define_receiver(alias, "target"),
                kind => define(kind, alias, "rakt://a@b:1/c"),
            })
            .await;
        }
        raw.works(1).await;
        raw.send(&match kind {
            FrameKind::Receiver => define_receiver(4, "target"),
            kind => define(kind, 4, "rakt://a@b:1/c"),
        })
        .await;
        node.ended(&mut raw, CloseCode::Limit, &["defines more than the 4 allowed"]).await;
    }
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_at_its_bounds_is_taken() {
    let node = Node::start(config()).await;
    let mut raw = node.dial().await;
    raw.send(&define_one("target", ECHO)).await;
    // 16384 bytes in all: the count, and one pair of two lengths, a key, and the rest.
    let longest = pairs(1, "k", &"v".repeat(16 * 1024 - 6));
    for metadata in [pairs(64, "k", "v"), pairs(64, "", ""), longest, pairs(0, "", "")] {
        raw.send(&ask_with_metadata(&metadata)).await;
        assert!(matches!(raw.answer_to(7).await, Answer::Reply(_)), "{} bytes", metadata.len());
    }
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_cut_short_leave_nothing_behind() {
    let mut node = Node::start(config()).await;
    let mut whole = define_one("target", ECHO);
    whole.extend(frame(
        ASK,
        &[&[7, 0, 0, 0, 0][..], &encoded(&Echo { text: "x".repeat(64) })].concat(),
    ));
    for len in (0..whole.len()).step_by(3) {
        let mut raw = node.dial().await;
        raw.send(&whole[..len]).await;
        drop(raw);
        let reason = node.link_down().await;
        assert!(reason.contains("peer closed") || reason.contains("reset"), "{reason}");
    }
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_operation_is_refused_by_itself() {
    let node = Node::start(config()).await;
    let mut raw = node.dial().await;
    raw.send(&frame(REQUEST, &[5, 0, 0, 200, 1, 2, 3])).await;
    let failure = raw.answer_to(5).await.failure();
    assert_eq!(failure.code, Code::Unsupported);
    assert!(failure.detail.contains("operation 200"), "{failure:?}");
    raw.works(6).await;
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_connection_that_trickles_is_served_and_harms_nobody() {
    let node = Node::start(config().read_idle_timeout(Duration::from_secs(5))).await;
    let mut raw = node.dial().await;
    let mut bytes = define_one("target", ECHO);
    let body = [&[7, 0, 0, 0, 0][..], &encoded(&Echo { text: "slow".to_owned() })].concat();
    bytes.extend(frame(ASK, &body));
    for byte in bytes {
        raw.send(&[byte]).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(matches!(raw.answer_to(7).await, Answer::Reply(_)));
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_falls_silent_is_found_dead() {
    let mut node = Node::start(config().read_idle_timeout(Duration::from_secs(1))).await;
    let mut raw = node.dial().await;
    raw.send(&[TELL, 1]).await;
    node.ended(&mut raw, CloseCode::Timeout, &["nothing was heard", "2s"]).await;
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_window_to_one_receiver_ends_the_connection() {
    let mut node = Node::start(config().receiver_window(64 * 1024)).await;
    let mut raw = node.dial().await;
    raw.message(MessageKind::Tell, "target", BLOCK, &[]);
    let echo = encoded(&Echo { text: "x".repeat(16 * 1024) });
    // The peer's own count of credit would have stopped it at the fifth.
    for _ in 0..50 {
        raw.message(MessageKind::Tell, "target", ECHO, &echo);
    }
    raw.flush().await;
    node.ended(&mut raw, CloseCode::Limit, &["more than the window of 65536 bytes"]).await;
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_agreed_end_the_connection() {
    let mut node = Node::start(config().max_in_flight(10)).await;
    let mut raw = node.dial().await;
    raw.message(MessageKind::Tell, "target", BLOCK, &[]);
    for corr in 0..10 {
        raw.ask(corr, "target", ECHO, &[]);
    }
    raw.flush().await;
    raw.send(&frame(0x41, &[0; 8])).await;
    while raw.frame().await.expect("it is open").0 != FrameKind::Pong {}
    raw.ask(10, "target", ECHO, &[]);
    raw.flush().await;
    node.ended(&mut raw, CloseCode::Limit, &["more than 10 requests in flight"]).await;
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_answered_at_once_do_not_count() {
    let node = Node::start(config().max_in_flight(10)).await;
    let mut raw = node.dial().await;
    for round in 0..20 {
        for corr in 0..10 {
            raw.ask(corr, "nobody", ECHO, &[]);
        }
        raw.flush().await;
        for _ in 0..10 {
            assert_eq!(raw.answer().await.1.failure().code, Code::NotFound, "round {round}");
        }
        for corr in 0..10 {
            raw.request(corr, &Operation::Lookup { path: "nobody".to_owned() });
        }
        raw.flush().await;
        for _ in 0..10 {
            assert!(matches!(raw.answer().await.1, Answer::Outcome(Outcome::Absent)));
        }
        // These are not answered at once, and have the whole room for themselves.
        for corr in 0..10 {
            raw.ask(corr, "target", ECHO, &[]);
        }
        raw.flush().await;
        for _ in 0..10 {
            assert!(matches!(raw.answer().await.1, Answer::Reply(_)), "round {round}");
        }
    }
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_pings_and_cancellations_are_borne() {
    let node = Node::start(config()).await;
    let mut raw = node.dial().await;
    let pings: Vec<u8> = (0..50_000_u64).flat_map(|n| frame(0x41, &n.to_be_bytes())).collect();
    raw.send(&pings).await;
    let cancels: Vec<u8> = (0..100_000).flat_map(|n| frame(0x26, &varints(&[n * 77]))).collect();
    raw.send(&cancels).await;
    raw.works(1).await;
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_resets_is_borne() {
    let node = Node::start(config()).await;
    let mut raw = node.dial().await;
    let mut bytes = Vec::new();
    for _ in 0..20_000 {
        bytes.extend(define_one("nobody", ECHO));
        bytes.extend(frame(TELL, &[0, 0, 0, 0]));
        bytes.extend(frame(0x13, &[]));
    }
    raw.send(&bytes).await;
    raw.works(1).await;
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_on_a_busy_actor_do_not_pile_up() {
    let node = Node::start(open()).await;
    let mut raw = node.dial().await;
    raw.message(MessageKind::Tell, "target", BLOCK, &[]);
    raw.flush().await;
    // Each gives up after a microsecond, so none of them counts as in flight for long.
    let respawn = Operation::Respawn { path: "target".to_owned(), uid: None };
    let stop = Operation::Stop { path: "target".to_owned(), uid: None };
    for round in 0..20 {
        let mut bytes = Vec::new();
        for n in 0..500 {
            bytes.extend(request(round * 1000 + 2 * n, 1, &respawn));
            bytes.extend(request(round * 1000 + 2 * n + 1, 1, &stop));
        }
        raw.send(&bytes).await;
        for _ in 0..1000 {
            assert_eq!(raw.answer().await.1.failure().code, Code::DeadlineExceeded);
        }
    }
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_bounded_and_end_with_their_connection() {
    let node = Node::start(config()).await;
    let mut raw = node.dial().await;
    let watch = |id: u64| Operation::Watch { path: "target".to_owned(), uid: None, watch_id: id };
    // One number used again and again stands for one watch.
    let same: Vec<u8> = (0..5000).flat_map(|corr| request(corr, 0, &watch(1))).collect();
    raw.send(&same).await;
    for _ in 0..5000 {
        assert!(matches!(raw.answer().await.1, Answer::Outcome(Outcome::Found { .. })));
    }
    let (mut found, mut refused) = (0, 0);
    for thousand in 0..67 {
        let ids = thousand * 1000 + 2..thousand * 1000 + 1002;
        let many: Vec<u8> = ids.flat_map(|id| request(id, 0, &watch(id))).collect();
        raw.send(&many).await;
        for _ in 0..1000 {
            match raw.answer().await.1 {
                Answer::Outcome(Outcome::Found { .. }) => found += 1,
                Answer::Fail(failure) => {
                    assert_eq!(failure.code, Code::ResourceExhausted);
                    assert_eq!(failure.limit, 65_536);
                    assert!(failure.detail.contains("watches"), "{failure:?}");
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(found, 65_535, "one was there before");
    assert_eq!(refused, 67_000 - 65_535);
    node.is_unharmed().await;
    // All of them end at once.
    drop(raw);
    let before = node.calm_count();
    until("the others are served meanwhile", || node.calm_count() > before + 20).await;
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_number_that_is_used_again_stands_for_the_last_watch() {
    let node = Node::start(open()).await;
    let mut raw = node.dial().await;
    let watch = |path: &str| Operation::Watch { path: path.to_owned(), uid: None, watch_id: 1 };
    for path in ["other", "target", "other", "target", "target"] {
        raw.request(1, &watch(path));
        raw.flush().await;
        assert!(matches!(raw.answer_to(1).await, Answer::Outcome(Outcome::Found { .. })));
    }
    raw.request(2, &Operation::Stop { path: "target".to_owned(), uid: None });
    raw.flush().await;
    // The news and the answer come in either order; more news would come with the first.
    let (mut told, mut is_answered) = (0, false);
    while told == 0 || !is_answered {
        match raw.frame().await.expect("the connection is there").0 {
            FrameKind::Terminated => told += 1,
            FrameKind::Response => is_answered = true,
            _ => {}
        }
    }
    raw.request(3, &Operation::Ping);
    raw.flush().await;
    loop {
        match raw.frame().await.expect("the connection is there").0 {
            FrameKind::Terminated => told += 1,
            FrameKind::Response => break,
            _ => {}
        }
    }
    assert_eq!(told, 1);
    node.stop_unharmed().await;
}
