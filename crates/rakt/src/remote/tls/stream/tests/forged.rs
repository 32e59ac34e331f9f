//! Records that no honest peer sends, and what only the keys of one end can make.

use std::io::ErrorKind;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::crypto::CryptoProvider;
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{
    CipherSuiteCommon, ConnectionTrafficSecrets, ContentType, Error, PeerMisbehaved,
    ProtocolVersion, SupportedCipherSuite, Tls13CipherSuite,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::super::{FAREWELL_LEN, MAX_BARE_LEN, TlsStream, connect as our_connect};
use super::support::{OURS, inner, name, oracle_connect, our_accept};
use crate::remote::tls::provider::provider;

/// A peer that has the keys, and no manners.
struct Forger {
    link: DuplexStream,
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

const TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

impl Forger {
    fn new(link: DuplexStream, session: impl Into<rustls::Connection>) -> Self {
        let session = session.into();
        let Some(SupportedCipherSuite::Tls13(suite)) = session.negotiated_cipher_suite() else {
            panic!("no suite of TLS 1.3");
        };
        let secrets = session.dangerous_extract_secrets().expect("secrets");
        let (sequence, keys) = secrets.tx;
        let (ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = keys
        else {
            panic!("no keys");
        };
        Self { link, encrypter: suite.aead_alg.encrypter(key, iv), sequence }
    }

    /// In the place of a dialer, with a stream of ours at the other end.
    async fn dialed() -> (Self, TlsStream) {
        let (near, far) = duplex(1024 * 1024);
        let mut config = OURS.client();
        config.enable_secret_extraction = true;
        let accepted = our_accept(OURS.server().into(), Box::new(far), BytesMut::new());
        let (near, far) = tokio::join!(oracle_connect(config, near), accepted);
        let (link, session) = near.expect("connected").into_inner();
        (Self::new(link, session), far.expect("accepted"))
    }

    /// In the place of a node.
    async fn accepted() -> (Self, TlsStream) {
        let (near, far) = duplex(1024 * 1024);
        let mut config = OURS.server();
        config.enable_secret_extraction = true;
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let connected = our_connect(OURS.client().into(), name(), Box::new(near));
        let (near, far) = tokio::join!(connected, acceptor.accept(far));
        let (link, session) = far.expect("accepted").into_inner();
        (Self::new(link, session), near.expect("connected"))
    }

    async fn send(&mut self, typ: ContentType, payload: &[u8]) {
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::from(payload),
        };
        let sealed = self.encrypter.encrypt(message, self.sequence).expect("sealed").encode();
        self.sequence += 1;
        self.link.write_all(&sealed).await.expect("written");
    }

    async fn send_ticket(&mut self, len: usize) {
        let mut body = vec![0, 0, 14, 16, 1, 2, 3, 4, 1, 9];
        body.extend_from_slice(&(len as u16).to_be_bytes());
        body.resize(body.len() + len, 7);
        body.extend_from_slice(&[0, 0]);
        let mut message = vec![TICKET, 0, (body.len() >> 8) as u8, body.len() as u8];
        message.extend_from_slice(&body);
        for fragment in message.chunks(16 * 1024) {
            self.send(ContentType::Handshake, fragment).await;
        }
    }
}

async fn refused(stream: &mut TlsStream) -> Error {
    let error = stream.read_u8().await.expect_err("an error");
    inner(&error).expect("from TLS").clone()
}

#[tokio::test]
async fn empty_records_without_end_are_not_taken() {
    let (mut near, mut far) = Forger::dialed().await;
    for _ in 0..10 {
        near.send(ContentType::ApplicationData, b"").await;
    }
    near.send(ContentType::ApplicationData, b"a").await;
    assert_eq!(far.read_u8().await.expect("read"), b'a');
    for _ in 0..1000 {
        near.send(ContentType::ApplicationData, b"").await;
    }
    assert_eq!(refused(&mut far).await, PeerMisbehaved::TooManyEmptyFragments.into());
}

#[tokio::test]
async fn warnings_without_end_are_not_taken() {
    let (mut near, mut far) = Forger::dialed().await;
    for _ in 0..100 {
        // "user_canceled", the one that TLS 1.3 lets pass.
        near.send(ContentType::Alert, &[1, 90]).await;
    }
    assert_eq!(refused(&mut far).await, PeerMisbehaved::TooManyWarningAlertsReceived.into());
}

#[tokio::test]
async fn tickets_without_end_are_not_taken() {
    let (mut far, mut near) = Forger::accepted().await;
    far.send_ticket(200).await;
    // Longer than a record, as of nodes that put certificates into them.
    far.send_ticket(20_000).await;
    far.send(ContentType::ApplicationData, b"a").await;
    assert_eq!(near.read_u8().await.expect("read"), b'a');
    for _ in 0..4 * MAX_BARE_LEN / 200 {
        far.send_ticket(200).await;
    }
    assert!(matches!(refused(&mut near).await, Error::General(_)));
}

#[tokio::test]
async fn keys_are_updated_but_not_without_end() {
    let (near, far) = duplex(1024 * 1024);
    let accepted = our_accept(OURS.server().into(), Box::new(far), BytesMut::new());
    let (near, far) = tokio::join!(oracle_connect(OURS.client(), near), accepted);
    let (mut near, mut far) = (near.expect("connected"), far.expect("accepted"));
    for round in 0..50 {
        near.get_mut().1.refresh_traffic_keys().expect("updated");
        near.write_u8(round).await.expect("written");
        near.flush().await.expect("flushed");
        assert_eq!(far.read_u8().await.expect("read"), round);
        // The answer to the update goes before it.
        far.write_u8(round).await.expect("written");
        far.flush().await.expect("flushed");
        assert_eq!(near.read_u8().await.expect("read"), round);
    }
    for _ in 0..50 {
        near.get_mut().1.refresh_traffic_keys().expect("updated");
    }
    near.flush().await.expect("flushed");
    assert_eq!(refused(&mut far).await, PeerMisbehaved::TooManyKeyUpdateRequests.into());
}

/// Rustls would look for the beginning where it is not, and panic.
#[tokio::test]
async fn one_may_write_while_half_a_handshake_message_is_there() {
    let (mut near, mut far) = Forger::dialed().await;
    near.send(ContentType::ApplicationData, b"a").await;
    assert_eq!(far.read_u8().await.expect("read"), b'a');
    near.send(ContentType::Handshake, &[KEY_UPDATE, 0]).await;
    let waits = std::future::poll_fn(|cx| {
        let (mut byte, far) = ([0], std::pin::Pin::new(&mut far));
        let mut buf = tokio::io::ReadBuf::new(&mut byte);
        std::task::Poll::Ready(tokio::io::AsyncRead::poll_read(far, cx, &mut buf).is_pending())
    });
    assert!(waits.await);
    far.write_all(b"in between").await.expect("written");
    far.flush().await.expect("flushed");
    let mut record = [0; 5 + 10 + 1 + 16];
    near.link.read_exact(&mut record).await.expect("a record");
    // The rest of it, with a value that does not exist.
    near.send(ContentType::Handshake, &[0, 1, 7]).await;
    assert!(matches!(refused(&mut far).await, Error::InvalidMessage(_)));
}

/// And neither does it open records that the reader has no room for yet.
#[tokio::test]
async fn one_may_write_while_records_wait_for_room() {
    let (mut near, mut far) = Forger::dialed().await;
    for byte in b"abcdefgh" {
        near.send(ContentType::ApplicationData, &[*byte; 1000]).await;
    }
    for byte in b"abcdefgh" {
        let mut first = [0; 10];
        assert_eq!(far.read(&mut first).await.expect("read"), 10);
        assert_eq!(first, [*byte; 10]);
        far.write_all(b"in between").await.expect("written");
        far.flush().await.expect("flushed");
        let mut rest = [0; 990];
        far.read_exact(&mut rest).await.expect("read");
        assert_eq!(rest, [*byte; 990]);
        assert!(far.rest.is_empty());
    }
}

/// Rustls would answer with an alert, and panic because it has said that nothing more comes.
#[tokio::test]
async fn what_comes_behind_our_end_is_dropped() {
    let (mut near, mut far) = Forger::dialed().await;
    far.shutdown().await.expect("shut down");
    near.send(ContentType::ApplicationData, b"late").await;
    near.link.write_all(&[23, 3, 3, 0, 32]).await.expect("written");
    near.link.write_all(&vec![7; FAREWELL_LEN / 2]).await.expect("written");
    near.link.shutdown().await.expect("shut down");
    assert_eq!(far.read(&mut [0; 10]).await.expect("the end"), 0);
}

#[tokio::test]
async fn what_comes_behind_our_end_is_bounded() {
    let (mut near, mut far) = Forger::dialed().await;
    far.shutdown().await.expect("shut down");
    let junk = vec![7; 3 * FAREWELL_LEN];
    let (read, written) =
        tokio::join!(async move { far.read_u8().await }, near.link.write_all(&junk));
    assert!(matches!(inner(&read.expect_err("an error")), Some(Error::General(_))));
    assert!(written.is_err());
}

/// A suite whose keys are good for few records.
fn short_lived() -> Arc<CryptoProvider> {
    let mut provider = CryptoProvider::clone(&provider());
    let Some(suite) = provider.cipher_suites.iter().find_map(SupportedCipherSuite::tls13) else {
        panic!("no suite of TLS 1.3");
    };
    let common = CipherSuiteCommon {
        suite: suite.common.suite,
        hash_provider: suite.common.hash_provider,
        confidentiality_limit: 10,
    };
    let suite = Tls13CipherSuite {
        common,
        hkdf_provider: suite.hkdf_provider,
        aead_alg: suite.aead_alg,
        quic: suite.quic,
    };
    provider.cipher_suites = vec![SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)))];
    Arc::new(provider)
}

#[tokio::test]
async fn keys_are_renewed_before_they_are_worn_out() {
    let (near, far) = duplex(1024 * 1024);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(OURS.server()));
    let config = OURS.client_of(short_lived());
    let connected = our_connect(config.into(), name(), Box::new(near));
    let (near, far) = tokio::join!(connected, acceptor.accept(far));
    let (mut near, mut far) = (near.expect("connected"), far.expect("accepted"));
    for round in 0..100 {
        near.write_u8(round).await.expect("written");
        near.flush().await.expect("flushed");
        assert_eq!(far.read_u8().await.expect("read"), round);
        far.write_u8(round).await.expect("written");
        far.flush().await.expect("flushed");
        assert_eq!(near.read_u8().await.expect("read"), round);
    }
    near.shutdown().await.expect("shut down");
    let ended = far.read_u8().await.expect_err("the end");
    assert_eq!(ended.kind(), ErrorKind::UnexpectedEof);
}
