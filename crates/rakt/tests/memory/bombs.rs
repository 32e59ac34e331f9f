//! Peers whose payloads are small until they are decompressed.

use bytes::Bytes;
use rakt_wire::native::{CloseCode, MessageKind, Payload};
use rakt_wire::{Code, Compression, Compressor};

use crate::TURN;
use crate::hostile::{self, Answer, ECHO, MIB, Node, Raw, hello, resident};

/// Options for a node on a free port of this machine.
fn config() -> rakt::remote::Config {
    rakt::remote::Config::new("127.0.0.1", 0)
}

async fn bombs(compression: Compression) {
    let Ok(mut compressor) = Compressor::new(compression) else { return };
    let mut pack = |len: usize| {
        let mut out = Vec::new();
        assert!(compressor.compress(&vec![0; len], &mut out).expect("it compresses"));
        Bytes::from(out)
    };
    let mut node = Node::start(config()).await;
    let mut hello = hello();
    hello.compressions = vec![compression];
    let mut raw = Raw::dial(node.port(), hello.clone()).await.expect("it is taken");
    assert_eq!(raw.session.compression, compression);
    let before = resident();
    let large = if cfg!(debug_assertions) { 2 * MIB } else { 16 * MIB };

    let (bomb, crumb) = (pack(large), pack(1000));
    let mut cut_short = bomb.clone();
    cut_short.truncate(bomb.len() / 2);
    let trailing = Bytes::from([&crumb[..], b"more"].concat());
    for (bytes, raw_len, what) in [
        // Longer than it says, and much longer.
        (crumb.clone(), 999, "longer than the 999 bytes"),
        (bomb.clone(), bomb.len() as u32, &format!("longer than the {} bytes", bomb.len())),
        // Says much and holds little.
        (crumb.clone(), 16 * MIB as u32, "declares 16777216"),
        (Bytes::from_static(b"not compressed at all"), 16 * MIB as u32, ""),
        (Bytes::new(), 1000, ""),
        (cut_short, large as u32, ""),
        (trailing, 1000, ""),
        // Is what it says: zeros are no message.
        (bomb.clone(), large as u32, "tag"),
    ] {
        for kind in [MessageKind::Ask { corr: 1 }, MessageKind::Confirm { corr: 1 }] {
            let payload = Payload::Ready { bytes: bytes.clone(), raw_len: Some(raw_len) };
            raw.credit("target").await;
            raw.payload(kind, "target", ECHO, payload);
            raw.flush().await;
            let failure = raw.answer_to(1).await.failure();
            assert_eq!(failure.code, Code::Undecodable, "{failure:?}");
            assert!(failure.detail.contains(what), "{failure:?} does not say {what:?}");
        }
    }
    let mut refused = 0;
    for corr in 0..40 {
        raw.credit("target").await;
        let payload = Payload::Ready { bytes: bomb.clone(), raw_len: Some(large as u32) };
        raw.payload(MessageKind::Confirm { corr }, "target", ECHO, payload);
        raw.flush().await;
        refused += u32::from(matches!(raw.answer_to(corr).await, Answer::Fail(_)));
    }
    assert_eq!(refused, 40);
    let grown = resident().saturating_sub(before);
    assert!(grown < 128 * MIB, "{compression}: grew by {grown} bytes");

    // More than may be, or less than it takes up, says the head alone.
    for (claim, what) in [
        (1 << 31, ["a raw payload is 2147483648 bytes", "16777216"]),
        (10, ["a compressed payload is", "the limit is 10"]),
    ] {
        let body = [&[2, 0, 0, 0][..], &hostile::varints(&[claim]), &bomb].concat();
        raw.send(&hostile::frame(0x20, &body)).await;
        node.ended(&mut raw, CloseCode::TooLong, &what).await;
        raw = Raw::dial(node.port(), hello.clone()).await.expect("it is taken");
        raw.send(&hostile::define_one("target", ECHO)).await;
    }
    node.stop_unharmed().await;
}

#[cfg(feature = "zstd")]
#[tokio::test(flavor = "multi_thread")]
async fn zstd_bombs_fizzle_out() {
    let _turn = TURN.lock().await;
    bombs(Compression::Zstd).await;
}

#[cfg(feature = "gzip")]
#[tokio::test(flavor = "multi_thread")]
async fn gzip_bombs_fizzle_out() {
    let _turn = TURN.lock().await;
    bombs(Compression::Gzip).await;
}

#[cfg(feature = "brotli")]
#[tokio::test(flavor = "multi_thread")]
async fn brotli_bombs_fizzle_out() {
    let _turn = TURN.lock().await;
    bombs(Compression::Brotli).await;
}
