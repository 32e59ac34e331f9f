//! The peer of the node: its bytes are altered on their way, or sealed as no honest peer does it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rakt::remote::certificate::Issued;
use rakt_wire::native::{Handshake, Hello};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio_rustls::client::TlsStream;

/// Edits of one input.
const MAX_EDITS: usize = 64;
/// Longest payload of one record, in bytes: one more than there may be.
const MAX_PAYLOAD_LEN: usize = 16 * 1024 + 1;

/// What a peer says first that speaks rakt's own protocol.
pub(super) fn greeting() -> Vec<u8> {
    let mut handshake = Handshake::dial(Hello::new("peer", [13; 16]));
    handshake.poll_transmit().expect("the dialer speaks first").to_vec()
}

/// What the peer shows: as a node of rakt, or as one of GoAkt.
pub(super) fn config(issued: &Issued, ca: &str, is_native: bool) -> Arc<ClientConfig> {
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem().as_bytes()).expect("PEM");
    let mut roots = RootCertStore::empty();
    roots.add(certificate(ca)).expect("a CA");
    // What takes the least time: it is a handshake for each input.
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots);
    let chain = vec![certificate(issued.certificate_pem())];
    let mut config = config.with_client_auth_cert(chain, key).expect("a matching key");
    config.resumption = Resumption::disabled();
    config.enable_secret_extraction = true;
    if is_native {
        config.alpn_protocols = vec![b"rakt/1".to_vec()];
    }
    Arc::new(config)
}

/// A change of what a client sends, at a place that is counted from its first byte.
pub(super) struct Edit {
    at: usize,
    how: u8,
    value: u8,
}

/// Reads as many edits as the first byte says; returns what is behind them.
pub(super) fn edits(script: &[u8]) -> (Vec<Edit>, &[u8]) {
    let Some((&count, mut rest)) = script.split_first() else { return (Vec::new(), script) };
    let mut edits = Vec::new();
    while edits.len() < usize::from(count).min(MAX_EDITS) {
        let Some((&[high, low, how, value], behind)) = rest.split_first_chunk() else { break };
        edits.push(Edit { at: usize::from(u16::from_be_bytes([high, low])), how, value });
        rest = behind;
    }
    (edits, rest)
}

/// The end of a line, which alters what is written.
pub(super) struct Line {
    end: DuplexStream,
    /// Bytes that are written at once.
    most: usize,
    edits: Vec<Edit>,
    written: usize,
    /// Altered, and not taken yet: tokio makes those wait who have done much.
    unsent: Vec<u8>,
}

impl Line {
    pub(super) fn new(end: DuplexStream, most: usize, edits: Vec<Edit>) -> Self {
        Self { end, most, edits, written: 0, unsent: Vec::new() }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let len = ready!(Pin::new(&mut self.end).poll_write(cx, &self.unsent))?;
            self.unsent.drain(..len);
        }
        Poll::Ready(Ok(()))
    }

    fn altered(&self, bytes: &[u8]) -> Vec<u8> {
        let mut altered = Vec::with_capacity(bytes.len());
        for (at, byte) in (self.written..).zip(bytes) {
            let edit = self.edits.iter().find(|edit| edit.at == at);
            match edit.map(|edit| (edit.how % 4, edit.value)) {
                None => altered.push(*byte),
                Some((0, value)) => altered.push(byte ^ value),
                Some((1, value)) => altered.extend([*byte, value]),
                // A piece that is long enough for a length to be wrong.
                Some((2, value)) => altered.extend(std::iter::repeat_n(*byte, value.into())),
                Some(_) => {}
            }
        }
        altered
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        let bytes = &bytes[..bytes.len().min(self.most)];
        self.unsent = self.altered(bytes);
        self.written += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.end).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.end).poll_shutdown(cx)
    }
}

/// A peer that has the keys of a connection, and no manners.
pub(super) struct Forger {
    pub(super) line: Line,
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl Forger {
    pub(super) fn new(stream: TlsStream<Line>) -> Self {
        let (line, session) = stream.into_inner();
        let suite = session.negotiated_cipher_suite().and_then(|suite| suite.tls13());
        let suite = suite.expect("a suite of TLS 1.3");
        let secrets = session.dangerous_extract_secrets().expect("secrets");
        let (sequence, keys) = secrets.tx;
        let (ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = keys
        else {
            panic!("no keys");
        };
        Self { line, encrypter: suite.aead_alg.encrypter(key, iv), sequence }
    }

    /// Does what a script says: each step is its kind, a length, and so many bytes.
    pub(super) async fn say(&mut self, mut script: &[u8]) {
        while let Some((&[kind, high, low], rest)) = script.split_first_chunk() {
            let len = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
            let (bytes, behind) = rest.split_at(len.min(MAX_PAYLOAD_LEN));
            script = behind;
            match (kind % 6, bytes) {
                (0, payload) => self.send(ContentType::ApplicationData, payload).await,
                (1, [typ, payload @ ..]) => self.send(ContentType::from(*typ), payload).await,
                (2, bytes) => self.write(bytes).await,
                (3, [at, change, payload @ ..]) => {
                    let mut record = self.seal(ContentType::ApplicationData, payload);
                    let at = usize::from(*at) % record.len();
                    record[at] ^= change;
                    self.write(&record).await;
                }
                (4, _) => self.send(ContentType::ApplicationData, &greeting()).await,
                // The node has its turn.
                _ => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            }
        }
    }

    fn seal(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::from(payload);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let sealed = self.encrypter.encrypt(message, self.sequence).expect("sealed");
        self.sequence += 1;
        sealed.encode()
    }

    async fn send(&mut self, typ: ContentType, payload: &[u8]) {
        let record = self.seal(typ, payload);
        self.write(&record).await;
    }

    /// What the node does not take is no loss.
    async fn write(&mut self, bytes: &[u8]) {
        drop(self.line.write_all(bytes).await);
        drop(self.line.flush().await);
    }
}
