//! What is agreed on in a handshake, and what a node makes of one that is not as it should be.

use std::sync::Arc;

use rakt_wire::native::{Handshake, Hello};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::certificates::Ca;
use crate::handshake::{node, ping};
use crate::strangers::{Server, client, dial, hello, provider, refused, server};
use crate::support::lines::Lines;
use crate::support::within;

fn greeting() -> Vec<u8> {
    let mut handshake = Handshake::dial(Hello::new("client", [1; 16]));
    handshake.poll_transmit().expect("the dialer speaks first").to_vec()
}

/// A ticket would let in whoever has it after its certificate was withdrawn.
#[tokio::test]
async fn no_session_is_resumed() {
    let ca = Ca::new("ca");
    let node = node("server", ca.tls("server")).await.expect("it is good");
    let mut config = client(Some(&ca.node("client")));
    config.enable_early_data = true;
    let mut stream = dial(node.advertised().1, config.clone()).await.expect("it is good");
    stream.write_all(&greeting()).await.expect("it is read");
    within(stream.read_u8()).await.expect("an answer");
    assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
    // One of the same name that hands out tickets, for early data as well: the client has them for this name.
    let mut generous = server(&ca.node("server"), None);
    generous.max_early_data_size = 16 * 1024;
    let generous = Server::start(generous).await;
    let mut stream = dial(generous.port, config.clone()).await.expect("it is taken");
    stream.write_all(b"x").await.expect("it is read");
    drop(within(stream.read_to_end(&mut Vec::new())).await);
    assert!(stream.get_ref().1.tls13_tickets_received() > 0, "it would resume");
    // With the same tickets.
    let mut hello = ClientConnection::new(
        Arc::new(config.clone()),
        ServerName::try_from("localhost").expect("a name"),
    );
    let hello = hello.as_mut().expect("it is valid");
    assert!(hello.early_data().is_some(), "it offers early data");
    let mut again = within(dial(generous.port, config.clone())).await.expect("it is taken");
    again.write_all(b"x").await.expect("it is read");
    drop(within(again.read_to_end(&mut Vec::new())).await);
    assert_eq!(again.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    let mut stream = dial(node.advertised().1, config).await.expect("it is good");
    assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    stream.write_all(&greeting()).await.expect("it is read");
    within(stream.read_u8()).await.expect("an answer");
}

/// A ClientHello of TLS 1.2, without the extension that newer versions are offered in.
fn old_hello() -> Vec<u8> {
    let mut extensions = Vec::new();
    for (kind, body) in
        [(10_u16, &[0, 2, 0, 0x17][..]), (11, &[1, 0]), (13, &[0, 4, 4, 3, 8, 4]), (23, &[])]
    {
        extensions.extend(kind.to_be_bytes());
        extensions.extend((body.len() as u16).to_be_bytes());
        extensions.extend_from_slice(body);
    }
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    record(0x16, &message)
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 3, 1];
    record.extend((body.len() as u16).to_be_bytes());
    record.extend_from_slice(body);
    record
}

async fn heard(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    drop(stream.write_all(bytes).await);
    drop(stream.shutdown().await);
    let mut heard = Vec::new();
    drop(within(stream.read_to_end(&mut heard)).await);
    heard
}

const OLD: &str = "it speaks no TLS 1.3, which is the only version here";

#[tokio::test]
async fn older_versions_are_refused_on_both_sides() {
    let (ca, (log, _guard)) = (Ca::new("ca"), Lines::capture());
    let node = node("server", ca.tls("server")).await.expect("it is good");
    let answer = heard(node.advertised().1, &old_hello()).await;
    assert_eq!((answer[0], answer.last()), (0x15, Some(&70)), "protocol_version: {answer:?}");
    let line = log.with("refused a peer").await;
    assert!(line.contains(OLD), "{line}");
    // One says so, the other answers as if TLS 1.2 had been asked for.
    let says_so = Server::saying(&[0x15, 3, 3, 0, 2, 2, 70]).await;
    const SERVER_HELLO: &[u8] = &[
        0x16, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0xc0, 0x2b, 0,
    ];
    let does_so = Server::saying(SERVER_HELLO).await;
    for old in [says_so, does_so] {
        let heard = ping(ca.tls("client"), ("127.0.0.1", old.port)).await.expect_err("it is old");
        assert!(heard.contains(OLD), "{heard}");
    }
}

#[tokio::test]
async fn what_speaks_another_protocol_is_told_apart() {
    let (ca, (log, _guard)) = (Ca::new("ca"), Lines::capture());
    let node = node("server", ca.tls("server")).await.expect("it is good");
    let own = ca.node("client");
    // Of the same CA, and a client of another service.
    let mut config = client(Some(&own));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let heard = dial(node.advertised().1, config).await.expect_err("it is no node").to_string();
    assert!(heard.contains("NoApplicationProtocol"), "{heard}");
    let line = log.with("refused a peer").await;
    assert!(line.contains("it offers none of the application protocols of this node"), "{line}");
    // Without an agreement nothing native is spoken.
    let mut config = client(Some(&own));
    config.alpn_protocols.clear();
    let mut stream = dial(node.advertised().1, config).await.expect("as a Go node");
    stream.write_all(&greeting()).await.expect("it is read");
    let mut answer = Vec::new();
    drop(within(stream.read_to_end(&mut answer)).await);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("what is spoken is not what TLS has agreed on"), "{answer:?}");
    log.with("what is spoken is not what TLS has agreed on").await;
    // The same the other way round.
    let mut silent = server(&ca.node("server"), None);
    silent.alpn_protocols.clear();
    let mut other = server(&ca.node("server"), None);
    other.alpn_protocols = vec![b"h2".to_vec()];
    for (config, why) in [
        (silent, "has not agreed to speak \"rakt/1\""),
        (other, "it does not know the application protocol \"rakt/1\""),
    ] {
        let server = Server::start(config).await;
        let heard = ping(ca.tls("client"), ("127.0.0.1", server.port)).await.expect_err("no node");
        assert!(heard.contains(why), "{heard}");
    }
}

/// A proxy that replaces bytes of what a client sends first.
async fn proxy(to: u16, from: &'static [u8], by: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it has one").port();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("it is dialed");
        let mut first = vec![0; 5];
        client.read_exact(&mut first).await.expect("a record");
        let mut body = vec![0; usize::from(u16::from_be_bytes([first[3], first[4]]))];
        client.read_exact(&mut body).await.expect("a ClientHello");
        first.append(&mut body);
        let at = first.windows(from.len()).position(|part| part == from);
        let at = at.unwrap_or_else(|| panic!("{from:?} is in the ClientHello"));
        first.splice(at..at + from.len(), by.iter().copied());
        let mut server = TcpStream::connect(("127.0.0.1", to)).await.expect("it listens");
        server.write_all(&first).await.expect("it is read");
        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
    });
    port
}

#[tokio::test]
async fn a_proxy_can_take_nothing_away_from_what_is_offered() {
    let ca = Ca::new("ca");
    let node = node("server", ca.tls("server")).await.expect("it is good");
    for (from, by) in [
        // The version on the outside, which nobody looks at, is all that may be changed.
        (&b"\x00\x2b\x00\x03\x02\x03\x04"[..], &b"\x00\x2b\x00\x03\x02\x03\x03"[..]),
        (b"\x00\x2b\x00\x03\x02\x03\x04", b"\x7a\x7a\x00\x03\x02\x03\x04"),
        (b"\x13\x02\x13\x01", b"\x13\x01\x13\x01"),
        (b"rakt/1", b"rakt/2"),
        (b"\x06rakt/1", b"\x06http/9"),
        (b"\x00\x0a\x00", b"\x7a\x7a\x00"),
        (b"\x00\x0d\x00", b"\x7a\x7a\x00"),
    ] {
        let port = proxy(node.advertised().1, from, by).await;
        let heard = ping(ca.tls("client"), ("127.0.0.1", port)).await;
        assert!(heard.is_err(), "{by:?} in place of {from:?}");
    }
    // What answers in clear has no answer.
    let plain = Server::saying(b"\xf7rakt\n\x01\x01\x02\x00\x00\x00\x05\x04\x03abc").await;
    let heard = ping(ca.tls("client"), ("127.0.0.1", plain.port)).await.expect_err("no TLS");
    assert!(heard.contains("what it sends is not TLS"), "{heard}");
}

#[tokio::test]
async fn a_handshake_in_any_form_harms_nobody() {
    let (ca, (log, _guard)) = (Ca::new("ca"), Lines::capture());
    let node = node("server", ca.tls("server")).await.expect("it is good");
    let port = node.advertised().1;
    assert!(!provider().cipher_suites.is_empty());
    let whole = hello();
    // One byte a record: it is answered like a whole one.
    let pieces: Vec<u8> = whole[5..].iter().flat_map(|byte| record(0x16, &[*byte])).collect();
    let answer = heard(port, &pieces).await;
    assert_eq!(answer[0], 0x16, "a ServerHello");
    // The end first, and the end in the midst of it.
    let end = record(0x15, &[1, 0]);
    assert!(heard(port, &end).await.len() < 16);
    let half = [&whole[..whole.len() / 2], &end].concat();
    assert!(heard(port, &half).await.len() < 16);
    // Records without anything in them, and of every kind there is not.
    let empty: Vec<u8> = (0..1000).flat_map(|_| record(0x16, &[])).collect();
    assert!(heard(port, &empty).await.len() < 16);
    for kind in [0, 0x14, 0x17, 0x18, 0x19, 0xff] {
        let mut bytes = record(0x16, &[1]);
        bytes.extend(record(kind, &[1]));
        assert!(heard(port, &bytes).await.len() < 16);
    }
    // Cut off at every place, and changed at many.
    for end in (1..whole.len()).step_by(97) {
        assert!(heard(port, &whole[..end]).await.is_empty(), "{end}");
    }
    for at in (0..whole.len()).step_by(7) {
        for bit in [0x01, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= bit;
            drop(heard(port, &changed).await);
        }
    }
    assert_eq!(ping(ca.tls("client"), node.advertised()).await, Ok(()));
    for line in log.take() {
        assert!(!line.contains("ERROR") && !line.contains("panicked"), "{line}");
        assert!(line.len() < 1000 && !line.trim_end().contains(char::is_control), "{line:?}");
    }
    // A node that is told so says what it was.
    let heard = refused(port, client(None)).await;
    assert!(heard.contains("CertificateRequired"), "{heard}");
}
