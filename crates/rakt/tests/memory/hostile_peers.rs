//! Peers that try to make the node hold more than it should. What it holds is bounded, and nobody else
//! notices.

use std::time::Duration;

use rakt::remote::Config;
use rakt_wire::native::{CloseCode, FrameKind, MessageKind};
use rakt_wire::{Code, put_varint};
use tokio::io::AsyncWriteExt;

use crate::TURN;
use crate::allocator::everywhere;
use crate::hostile::{
    Answer, BLOCK, ECHO, MIB, Node, Raw, define, define_one, define_receiver, encoded, frame,
    hello, resident, until, varints,
};
use crate::messages::{Echo, Want};
use crate::support::within;

const WANT: &str = "tests.Want";
const TELL: u8 = 0x20;
const ASK: u8 = 0x22;
const FIRST: u8 = 0x28;
const MORE: u8 = 0x29;

/// Options for a node on a free port of this machine.
fn config() -> Config {
    Config::new("127.0.0.1", 0)
}

/// Sends what may well find the connection closed.
async fn try_send(raw: &mut Raw, bytes: &[u8]) -> std::io::Result<()> {
    within(raw.stream.write_all(bytes)).await
}

/// Fails if the process has grown by more than `limit` bytes since it had `before`.
fn assert_grown_less(before: usize, limit: usize, what: &str) {
    let grown = resident().saturating_sub(before);
    assert!(grown < limit, "{what}: grew by {} MiB, the limit is {}", grown / MIB, limit / MIB);
}

/// FIRST of a tell to receiver 0 with type 0, whose payload is to be `len` bytes, `here` with it.
fn first(stream: u64, len: u64, here: &[u8]) -> Vec<u8> {
    let mut body = varints(&[stream]);
    body.push(TELL);
    put_varint(&mut body, len + 4);
    body.extend_from_slice(&[0, 0, 0, 0]);
    body.extend_from_slice(here);
    frame(FIRST, &body)
}

fn more(stream: u64, bytes: &[u8]) -> Vec<u8> {
    let mut body = varints(&[stream]);
    body.extend_from_slice(bytes);
    frame(MORE, &body)
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_with_nothing_behind_them_cost_nothing() {
    let _turn = TURN.lock().await;
    let node = Node::start(config()).await;
    let before = resident();
    let mut claimants = Vec::new();
    for n in 0..1000 {
        let mut raw = node.dial().await;
        raw.send(&define_one("target", ECHO)).await;
        let header = [&[TELL][..], &(16 * MIB as u32).to_be_bytes()].concat();
        match n % 2 {
            0 => raw.send(&header).await,
            _ => {
                // All the streams that there may be.
                let claims: Vec<u8> =
                    (0..1024).flat_map(|stream| first(stream, 16 * MIB as u64, b"")).collect();
                raw.send(if n < 100 { &claims } else { &claims[..64] }).await;
            }
        }
        claimants.push(raw);
    }
    node.is_unharmed().await;
    assert_grown_less(before, 192 * MIB, "1000 claims of 16 MiB, and 50 of 16 GiB");
    drop(claimants);
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_never_finished_share_the_budget() {
    let _turn = TURN.lock().await;
    let mut node = Node::start(config().memory_budget(64 * MIB as u64)).await;
    let before = resident();
    let chunk = vec![0; MIB];
    let (mut hoarders, mut told) = (Vec::new(), 0);
    for _ in 0..30 {
        let mut raw = node.dial().await;
        raw.send(&[&[TELL][..], &(16 * MIB as u32).to_be_bytes()].concat()).await;
        let mut is_open = true;
        for _ in 0..15 {
            is_open = is_open && try_send(&mut raw, &chunk).await.is_ok();
        }
        hoarders.push(raw);
    }
    for _ in 0..11 {
        assert!(node.link_down().await.contains("no room for a frame"));
    }
    for raw in &mut hoarders {
        // Those that have a place stay and hear nothing; to the others it has been written why.
        let said = tokio::time::timeout(Duration::from_millis(50), raw.frame()).await;
        if let Ok(Some((FrameKind::Close, body))) = said {
            assert!(String::from_utf8_lossy(&body).contains("no room for a frame"), "{body:?}");
            told += 1;
        }
    }
    assert!(told > 10, "{told} were told");
    assert_grown_less(before, 160 * MIB, "450 MiB sent to a budget of 32");
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_never_finished_leave_room_for_others() {
    let _turn = TURN.lock().await;
    let node = Node::start(config().memory_budget(64 * MIB as u64)).await;
    let before = resident();
    let chunk = vec![0; 64 * 1024];
    let (mut raws, mut refused) = (Vec::new(), 0);
    for _ in 0..4 {
        let mut raw = node.dial().await;
        raw.send(&define_one("target", ECHO)).await;
        for stream in 0..8 {
            raw.send(&first(stream, 16 * MIB as u64 - 1, b"")).await;
            for _ in 0..64 {
                raw.send(&more(stream, &chunk)).await;
            }
        }
        raws.push(raw);
    }
    for raw in &mut raws {
        let (count, failure) = raw.nack().await;
        assert_eq!(failure.code, Code::ResourceExhausted);
        assert!(failure.detail.contains("memory for messages"), "{failure:?}");
        refused += count;
    }
    assert!(refused >= 4);
    assert_grown_less(before, 128 * MIB, "128 MiB sent to a budget of 32");
    node.is_unharmed().await;
    // What is held is given back with the connections.
    drop(raws);
    let mut raw = node.dial().await;
    let body = encoded(&Echo { text: "x".repeat(15 * MIB) });
    within(async {
        loop {
            raw.credit("target").await;
            raw.message(MessageKind::Confirm { corr: 1 }, "target", ECHO, &body);
            raw.flush().await;
            match raw.answer().await.1 {
                Answer::Reply(_) => break,
                Answer::Fail(failure) => assert_eq!(failure.code, Code::ResourceExhausted),
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_for_an_actor_that_does_not_take_them_leave_room_for_others() {
    let _turn = TURN.lock().await;
    let node = Node::start(config().memory_budget(32 * MIB as u64)).await;
    let mut raw = node.dial().await;
    raw.message(MessageKind::Tell, "target", BLOCK, &[]);
    raw.message(MessageKind::Tell, "target", ECHO, &[]);
    raw.flush().await;
    let before = resident();
    // Each number of the one actor has a window of 4 MiB.
    let body = [&[0, 0, 0, 1][..], &vec![0; 64 * 1024]].concat();
    for alias in 1..100 {
        raw.send(&define_receiver(alias, "target")).await;
        for _ in 0..16 {
            let mut body = body.clone();
            body[1] = alias as u8;
            raw.send(&frame(TELL, &body)).await;
        }
    }
    let (_, failure) = raw.nack().await;
    assert_eq!(failure.code, Code::ResourceExhausted);
    assert!(failure.detail.contains("memory for messages"), "{failure:?}");
    assert_grown_less(before, 64 * MIB, "100 MiB sent to a budget of 16");
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_counts_as_well() {
    let _turn = TURN.lock().await;
    let node = Node::start(config().memory_budget(32 * MIB as u64)).await;
    let mut raw = node.dial().await;
    raw.message(MessageKind::Tell, "target", BLOCK, &[]);
    raw.message(MessageKind::Tell, "target", ECHO, &[]);
    raw.flush().await;
    let before = resident();
    let mut metadata = varints(&[1, 1]);
    metadata.push(b'k');
    let value = "v".repeat(16 * 1024 - 10);
    put_varint(&mut metadata, value.len() as u64);
    metadata.extend_from_slice(value.as_bytes());
    let mut body = vec![1, 0, 0, 1];
    put_varint(&mut body, metadata.len() as u64);
    body.extend_from_slice(&metadata);
    // By their payloads these cost 256 bytes each, within the window.
    let tells = frame(TELL, &body).repeat(100);
    for _ in 0..100 {
        raw.send(&tells).await;
    }
    let (_, failure) = raw.nack().await;
    assert_eq!(failure.code, Code::ResourceExhausted);
    assert_grown_less(before, 64 * MIB, "160 MiB of metadata sent to a budget of 16");
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_message_does_not_keep_all_that_came_with_it() {
    let _turn = TURN.lock().await;
    // What fills the reads is cheap to send, and is to arrive all the same.
    let node = Node::start(config().control_rate(u32::MAX)).await;
    let mut raw = node.dial().await;
    raw.message(MessageKind::Tell, "target", BLOCK, &[]);
    raw.message(MessageKind::Tell, "target", ECHO, &[]);
    raw.flush().await;
    let before = resident();
    let mut block = frame(TELL, &[0, 0, 0, 1]);
    while block.len() < 64 * 1024 {
        block.extend(frame(0x41, &[0; 8]));
    }
    for _ in 0..3000 {
        raw.send(&block).await;
    }
    raw.works(1).await;
    assert_grown_less(before, 48 * MIB, "3000 messages in 190 MiB");
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_that_do_not_exist_are_forgotten() {
    let _turn = TURN.lock().await;
    let node = Node::start(config()).await;
    let mut raw = node.dial().await;
    let before = resident();
    for epoch in 0..100_u32 {
        let mut bytes = define_one("target", ECHO);
        for n in 0..1000_u32 {
            let address = format!("rakt://a@h{epoch}-{n}:1/x");
            bytes.extend(define(FrameKind::Sender, n.into(), &address));
            bytes.extend(frame(ASK, &varints(&[n.into(), 0, 0, u64::from(n) + 1, 0])));
        }
        bytes.extend(frame(0x13, &[]));
        raw.send(&bytes).await;
        for _ in 0..1000 {
            assert!(matches!(raw.answer().await.1, Answer::Reply(_)));
        }
    }
    assert_grown_less(before, 32 * MIB, "100 000 senders at as many addresses");
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_reads_is_cut_off() {
    let _turn = TURN.lock().await;
    let limit = Duration::from_secs(1);
    let mut node = Node::start(config().write_timeout(limit)).await;
    let before = resident();
    let mut raw = node.dial().await;
    let want = encoded(&Want { len: MIB as u32 });
    for corr in 0..2000 {
        raw.ask(corr, "target", WANT, &want);
    }
    raw.flush().await;
    let reason = node.link_down().await;
    assert!(reason.contains("took nothing for 1s"), "{reason}");
    assert_grown_less(before, 400 * MIB, "asked for 2000 MiB");
    // Once it reads, it reads the replies that had left, and why there are no more.
    let mut replies = 0;
    while let Some((kind, _)) = raw.frame().await {
        replies += u32::from(kind == FrameKind::First);
    }
    assert!(replies < 200, "{replies}");
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_never_reads_small_answers_is_cut_off_as_well() {
    let _turn = TURN.lock().await;
    let mut node = Node::start(config().write_timeout(Duration::from_secs(1))).await;
    let before = resident();
    let mut raw = node.dial().await;
    // Each is refused with its long name, by two receivers in turn so that no two are alike.
    let mut asks = define_one("target", &"n".repeat(255));
    asks.extend(define_receiver(1, "other"));
    raw.send(&asks).await;
    let pair = [frame(TELL, &[0, 0, 0, 0]), frame(TELL, &[0, 1, 0, 0])].concat().repeat(5000);
    let sent = async {
        for _ in 0..200 {
            if try_send(&mut raw, &pair).await.is_err() {
                break;
            }
        }
    };
    // The node stops to read, so this may never end by itself.
    let reason = {
        let mut down = std::pin::pin!(node.link_down());
        tokio::select! {
            reason = &mut down => reason,
            () = sent => down.await,
        }
    };
    assert!(reason.contains("took nothing for 1s"), "{reason}");
    assert_grown_less(before, 256 * MIB, "2 million refusals");
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_ended_keeps_nothing_but_its_messages() {
    let _turn = TURN.lock().await;
    let mut node = Node::start(config()).await;
    let mut block = node.dial().await;
    block.message(MessageKind::Tell, "target", BLOCK, &[]);
    block.flush().await;
    // What the allocator keeps of what was freed is its own affair, and changes with the load.
    let before = everywhere();
    for _ in 0..20 {
        let mut raw = Raw::dial(node.port(), hello()).await.expect("it is taken");
        let mut names = define_receiver(0, "target");
        for alias in 1..10_000 {
            names.extend(define_receiver(alias, &format!("{alias:0>250}")));
        }
        names.extend(define(FrameKind::Type, 0, ECHO));
        names.extend(frame(TELL, &[0, 0, 0, 0]));
        raw.send(&names).await;
        raw.works(1).await;
        raw.send(&frame(0x77, &[])).await;
        node.ended(&mut raw, CloseCode::Protocol, &["0x77"]).await;
    }
    until("the tables are gone", || everywhere() < before + 4 * MIB as i64).await;
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_asks_to_nobody_is_refused_and_leaves_nothing_behind() {
    let _turn = TURN.lock().await;
    let node = Node::start(config()).await;
    let mut raw = node.dial().await;
    let before = resident();
    // What has to show shows sooner; in debug builds a million take a while.
    let (total, at_a_time) = (if cfg!(debug_assertions) { 200_000 } else { 1_000_000 }, 20_000_u64);
    for round in 0..total / at_a_time {
        for corr in 0..at_a_time {
            raw.ask(round * at_a_time + corr, "nobody", ECHO, &[]);
        }
        raw.flush().await;
        for _ in 0..at_a_time {
            assert_eq!(raw.answer().await.1.failure().code, Code::NotFound);
        }
    }
    assert!(resident() < before + 64 * MIB, "{before} {}", resident());
    raw.works(u64::MAX >> 1).await;
    node.stop_unharmed().await;
}
