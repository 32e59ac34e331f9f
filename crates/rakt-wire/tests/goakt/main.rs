//! The GoAkt dialect, from both sides.

mod client;
mod fences;
mod oracle;
mod server;
mod streams;
mod vectors;

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rakt_wire::Compression;
use rakt_wire::goakt::{
    Client, ClientConfig, Frame, Incoming, NO_SENDER, Outgoing, Payload, Server, ServerConfig,
    ServerError,
};

const ECHO: &str = "goakt://sys@127.0.0.1:4001/echo";
const MAX: usize = 16 * 1024 * 1024;

/// Bytes written as hex, blanks allowed.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a hex digit") as u8;
    digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Takes the only frame out of some bytes.
fn frame(bytes: &[u8]) -> Frame {
    let mut buf = BytesMut::from(bytes);
    let frame = Frame::decode(&mut buf, MAX).expect("it is a frame").expect("it is whole");
    assert!(buf.is_empty());
    frame
}

/// A frame in the plain form.
fn plain(name: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = ((8 + name.len() + body.len()) as u32).to_be_bytes().to_vec();
    bytes.extend((name.len() as u32).to_be_bytes());
    bytes.extend(name.as_bytes());
    bytes.extend(body);
    bytes
}

fn outgoing<'a>(type_name: &'a str, bytes: &'a [u8]) -> Outgoing<'a> {
    Outgoing { sender: NO_SENDER, receiver: ECHO, payload: Payload { type_name, bytes } }
}

fn client(compression: Compression) -> Client {
    Client::new(ClientConfig { compression, ..ClientConfig::default() })
        .expect("run with --all-features")
}

fn server() -> Server {
    Server::new(ServerConfig::default())
}

/// All requests in some bytes, which arrive at once.
fn requests(server: &mut Server, bytes: &[u8]) -> Result<Vec<Incoming>, ServerError> {
    let (mut unread, mut list) = (BytesMut::from(bytes), Vec::new());
    loop {
        match server.poll_request(&mut unread)? {
            Some(incoming) => list.push(incoming),
            // It decompresses a piece at a time.
            None if server.has_more() => {}
            None => return Ok(list),
        }
    }
}

/// Everything that a server has to send.
fn transmitted(server: &mut Server) -> Vec<u8> {
    let mut out = Vec::new();
    server.poll_transmit(&mut out).expect("there is memory");
    out
}

/// The frames in some bytes, as pairs of name and body.
fn frames(bytes: &[u8]) -> Vec<(String, Bytes)> {
    let (mut buf, mut list) = (BytesMut::from(bytes), Vec::new());
    while let Some(frame) = Frame::decode(&mut buf, MAX).expect("they are frames") {
        let name = String::from_utf8(frame.name().to_vec()).expect("names are text");
        list.push((name, frame.into_body()));
    }
    assert!(buf.is_empty());
    list
}

/// Any instant will do: only differences count.
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to start from")]
fn start() -> Instant {
    Instant::now()
}
