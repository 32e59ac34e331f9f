//! What can be said before a greeting is complete, or in place of one.

use rakt_wire::native::{Handshake, Hello, MAGIC};

use crate::phrase::{Opening, Phrase, Size};

/// A start of something, and nothing after it.
pub(crate) fn phrases() -> Vec<Phrase> {
    let zstd = [0x28, 0xb5, 0x2f, 0xfd];
    // A window of 8 MiB, and the head of a block.
    let zstd_window = [&zstd[..], &[0x00, 0x68], &[0x04, 0x00, 0x10]].concat();
    vec![
        phrase("nothing", Vec::new()),
        phrase("a byte of the preface", MAGIC[..1].to_vec()),
        phrase("half a preface", MAGIC[..4].to_vec()),
        phrase("half a hello", half_a_hello()),
        phrase("text", b"GET ".to_vec()),
        phrase("a request of HTTP", b"GET / HTTP/1.1\r\nHost: node\r\n\r\n".to_vec()),
        phrase("TLS", vec![0x16, 0x03, 0x01, 0x02, 0x00]),
        phrase("plain GoAkt, half a length", vec![0, 0]),
        phrase("plain GoAkt, a length", vec![0, 0xff, 0xff, 0xff]),
        phrase("zstd, its sign", zstd.to_vec()),
        phrase("zstd, a window", zstd_window),
        phrase("gzip, its head", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]),
        phrase("brotli, a window", vec![0x8b, 0x00]),
        phrase("brotli, a large window", vec![0x11, 0x1e]),
    ]
}

fn phrase(name: &str, bytes: Vec<u8>) -> Phrase {
    let begun = bytes.clone();
    let say = move |_, _: Size| bytes.clone();
    Phrase::new(name, "", Opening::Nothing, say).unfinished(move |_| begun.clone())
}

fn half_a_hello() -> Vec<u8> {
    let mut handshake = Handshake::dial(Hello::new("mallory", [13; 16]));
    let mut hello = handshake.poll_transmit().map(|bytes| bytes.to_vec()).unwrap_or_default();
    hello.truncate(hello.len() / 2);
    hello
}
