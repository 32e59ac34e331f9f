//! What is written on one side is read on the other, whoever is there.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::Notify;

use super::super::room::{RECORD_LEN, SEALED_LEN};
use super::super::{TlsStream, connect as our_connect};
use super::support::{By, Choppy, OURS, PAIRS, connected, name, oracle_connect, our_accept};
use crate::remote::transport::Stream;

/// What one side does: the lengths of the pieces of each write, and of the reader's buffers.
#[derive(Clone, Debug)]
struct Script {
    writes: Vec<Vec<usize>>,
    reads: Vec<usize>,
}

impl Script {
    fn text(&self) -> Vec<u8> {
        text(self.writes.iter().flatten().sum())
    }
}

fn piece_len() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0_usize..200,
        2 => 200_usize..5_000,
        2 => RECORD_LEN - 2..RECORD_LEN + 3,
        1 => 30_000_usize..90_000,
    ]
}

fn script() -> impl Strategy<Value = Script> {
    (vec(vec(piece_len(), 1..5), 0..12), vec(prop_oneof![1_usize..50, 50_usize..70_000], 1..6))
        .prop_map(|(writes, reads)| Script { writes, reads })
}

/// Bytes that tell their place.
fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

/// Closes once all is `heard` on this side: a stream that was shut down opens nothing more.
async fn write_all(
    mut to: WriteHalf<Box<dyn Stream>>,
    script: &Script,
    heard: &Notify,
) -> io::Result<()> {
    let text = script.text();
    let mut left = &text[..];
    for (i, lens) in script.writes.iter().enumerate() {
        let (mut now, later) = left.split_at(lens.iter().sum());
        left = later;
        while !now.is_empty() {
            let mut pieces = Vec::new();
            let mut rest = now;
            for len in lens {
                let (piece, behind) = rest.split_at(rest.len().min(*len));
                pieces.push(IoSlice::new(piece));
                rest = behind;
            }
            pieces.push(IoSlice::new(rest));
            let taken = poll_fn(|cx| Pin::new(&mut to).poll_write_vectored(cx, &pieces)).await?;
            assert!(taken > 0);
            now = &now[taken..];
        }
        if i % 3 == 0 {
            to.flush().await?;
        }
    }
    to.flush().await?;
    heard.notified().await;
    to.shutdown().await
}

/// Reads to the end, and tells when so much is there.
async fn read_all(
    mut from: ReadHalf<Box<dyn Stream>>,
    script: &Script,
    (expected, heard): (usize, &Notify),
) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    for len in script.reads.iter().cycle() {
        if read.len() == expected {
            heard.notify_one();
        }
        let mut buf = vec![0; *len];
        match from.read(&mut buf).await? {
            0 => break,
            n => read.extend_from_slice(&buf[..n]),
        }
    }
    Ok(read)
}

/// Both sides write and read at once, each in halves of their own; then they close, one after the other.
async fn exchange(pair: (By, By), near: &Script, far: &Script, most: usize, seed: u64) {
    let (dialed, accepted) = duplex(64 * 1024);
    let (dialed, accepted) = (Choppy::new(dialed, most, seed), Choppy::new(accepted, most, !seed));
    let (dialed, accepted) = connected(pair.0, pair.1, dialed, accepted).await.expect("connected");
    let ((near_read, near_write), (far_read, far_write)) = (split(dialed), split(accepted));
    let (near_heard, far_heard) = (Notify::new(), Notify::new());
    let (near_text, far_text) = (near.text(), far.text());
    let (sent, answered, got, heard) = tokio::join!(
        write_all(near_write, near, &near_heard),
        write_all(far_write, far, &far_heard),
        read_all(far_read, far, (near_text.len(), &far_heard)),
        read_all(near_read, near, (far_text.len(), &near_heard)),
    );
    sent.expect("sent");
    answered.expect("answered");
    assert!(got.expect("got") == near_text);
    assert!(heard.expect("heard") == far_text);
}

fn run<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(what)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 1 } else { 24 }, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(near in script(), far in script(), most in 1_usize..70_000, seed: u64) {
        for pair in PAIRS {
            run(exchange(pair, &near, &far, most, seed));
        }
    }
}

#[test]
fn a_link_may_carry_single_bytes() {
    let script =
        Script { writes: vec![vec![1, 0, 300], vec![20_000], vec![7]], reads: vec![1, 13] };
    for pair in PAIRS {
        run(exchange(pair, &script, &script, 1, 7));
    }
}

/// Both ends of ours, and what is between them has room for so much.
async fn ours(room: usize) -> (TlsStream, TlsStream) {
    let (near, far) = duplex(room);
    tokio::try_join!(
        our_connect(OURS.client().into(), name(), Box::new(near)),
        our_accept(OURS.server().into(), Box::new(far), Default::default()),
    )
    .expect("connected")
}

#[tokio::test]
async fn both_ends_know_who_is_there() {
    let (near, far) = ours(100_000).await;
    for end in [near, far] {
        assert_eq!(end.peer_certificates().map(<[_]>::len), Some(1));
        assert_eq!(end.alpn_protocol(), Some(&b"rakt/1"[..]));
    }
}

#[tokio::test]
async fn records_of_all_lengths_are_opened() {
    let (near, far) = duplex(1024 * 1024);
    let accepted = our_accept(OURS.server().into(), Box::new(far), Default::default());
    let (near, far) = tokio::join!(oracle_connect(OURS.client(), near), accepted);
    let (mut near, mut far) = (near.expect("connected"), far.expect("accepted"));
    let long = [4095, 4096, 4097, RECORD_LEN - 1, RECORD_LEN, RECORD_LEN + 1];
    for len in (1..300).chain(long) {
        let text = text(len);
        near.write_all(&text).await.expect("written");
        near.flush().await.expect("flushed");
        let mut read = vec![0; len];
        far.read_exact(&mut read).await.expect("read");
        assert!(read == text, "{len}");
    }
}

#[tokio::test]
async fn what_the_socket_does_not_take_is_bounded() {
    let (mut near, mut far) = ours(1024).await;
    let piece = vec![7; 1024 * 1024];
    let mut taken = 0;
    let pending = poll_fn(|cx| {
        while let std::task::Poll::Ready(n) = Pin::new(&mut near).poll_write(cx, &piece) {
            taken += n.expect("written");
        }
        std::task::Poll::Ready(taken)
    });
    let pending = pending.await;
    assert!(pending <= SEALED_LEN, "{pending} bytes wait");

    let (flushed, read) = tokio::join!(near.flush(), async {
        let mut read = vec![0; pending];
        far.read_exact(&mut read).await.map(|_| read)
    });
    flushed.expect("flushed");
    assert!(read.expect("read") == piece[..pending]);
}

#[tokio::test]
async fn an_idle_connection_keeps_no_buffer() {
    let (mut near, mut far) = ours(200_000).await;
    near.write_all(&[7; 100_000]).await.expect("written");
    near.flush().await.expect("flushed");
    let mut read = vec![0; 100_000];
    far.read_exact(&mut read).await.expect("read");
    let idle = poll_fn(|cx| {
        let mut buf = tokio::io::ReadBuf::new(&mut read);
        std::task::Poll::Ready(
            tokio::io::AsyncRead::poll_read(Pin::new(&mut far), cx, &mut buf).is_pending(),
        )
    });
    assert!(idle.await);
    for end in [&near, &far] {
        assert_eq!((end.unread.capacity(), end.unsent.capacity(), end.rest.capacity()), (0, 0, 0));
    }
}
