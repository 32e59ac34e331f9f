//! Certificates, both kinds of ends, and a link that cuts what it carries to pieces.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::super::TlsStream;
use crate::remote::tls::provider::provider;
use crate::remote::transport::Stream;

/// Without a node whose limits it could reach.
pub(super) async fn our_accept(
    config: Arc<ServerConfig>,
    stream: Box<dyn Stream>,
    early: BytesMut,
) -> io::Result<TlsStream> {
    super::super::accept(config, stream, early, None).await
}

/// What one CA has issued.
pub(super) struct Certificates {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

pub(super) static OURS: LazyLock<Certificates> = LazyLock::new(|| Certificates::new("ours"));
pub(super) static THEIRS: LazyLock<Certificates> = LazyLock::new(|| Certificates::new("theirs"));

impl Certificates {
    fn new(issuer: &str) -> Self {
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, issuer);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().expect("a key");
        let root = ca.self_signed(&ca_key).expect("a certificate");
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(["node".to_owned()]).expect("a name");
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).expect("a root");
        Self {
            roots: Arc::new(roots),
            chain: vec![leaf.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        }
    }

    pub(super) fn client(&self) -> ClientConfig {
        self.client_of(provider())
    }

    pub(super) fn client_of(&self, provider: Arc<CryptoProvider>) -> ClientConfig {
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(&[&TLS13]).expect("TLS 1.3");
        let config = config.with_root_certificates(self.roots.clone());
        let mut config = config
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .expect("a matching key");
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"rakt/1".to_vec()];
        config
    }

    /// One that shows no certificate.
    pub(super) fn anonymous_client(&self) -> ClientConfig {
        let config = ClientConfig::builder_with_provider(provider());
        let config = config.with_protocol_versions(&[&TLS13]).expect("TLS 1.3");
        config.with_root_certificates(self.roots.clone()).with_no_client_auth()
    }

    pub(super) fn server(&self) -> ServerConfig {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider()).build();
        let config = ServerConfig::builder_with_provider(provider());
        let config = config.with_protocol_versions(&[&TLS13]).expect("TLS 1.3");
        let mut config = config
            .with_client_cert_verifier(verifier.expect("roots"))
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .expect("a matching key");
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"rakt/1".to_vec()];
        config
    }
}

/// Whose stream is at an end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum By {
    Us,
    Oracle,
}

pub(super) const PAIRS: [(By, By); 3] =
    [(By::Us, By::Us), (By::Us, By::Oracle), (By::Oracle, By::Us)];

pub(super) fn name() -> ServerName<'static> {
    ServerName::try_from("node").expect("a name")
}

pub(super) async fn connect(
    by: By,
    config: impl Into<Arc<ClientConfig>>,
    stream: impl Stream + 'static,
) -> io::Result<Box<dyn Stream>> {
    Ok(match by {
        By::Us => Box::new(super::super::connect(config.into(), name(), Box::new(stream)).await?),
        By::Oracle => Box::new(oracle_connect(config, stream).await?),
    })
}

pub(super) async fn oracle_connect<S: Stream>(
    config: impl Into<Arc<ClientConfig>>,
    stream: S,
) -> io::Result<tokio_rustls::client::TlsStream<S>> {
    tokio_rustls::TlsConnector::from(config.into()).connect(name(), stream).await
}

pub(super) async fn accept(
    by: By,
    config: impl Into<Arc<ServerConfig>>,
    stream: impl Stream + 'static,
) -> io::Result<Box<dyn Stream>> {
    let early = BytesMut::new();
    Ok(match by {
        By::Us => Box::new(our_accept(config.into(), Box::new(stream), early).await?),
        By::Oracle => {
            Box::new(tokio_rustls::TlsAcceptor::from(config.into()).accept(stream).await?)
        }
    })
}

/// Both ends of a connection after its handshake.
pub(super) async fn connected(
    dialed: By,
    accepted: By,
    near: impl Stream + 'static,
    far: impl Stream + 'static,
) -> io::Result<(Box<dyn Stream>, Box<dyn Stream>)> {
    tokio::try_join!(connect(dialed, OURS.client(), near), accept(accepted, OURS.server(), far))
}

/// The rustls error inside.
pub(super) fn inner(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Takes and gives a few bytes at a time, and none at all every now and then.
pub(super) struct Choppy {
    stream: DuplexStream,
    most: usize,
    random: u64,
}

impl Choppy {
    pub(super) fn new(stream: DuplexStream, most: usize, seed: u64) -> Self {
        Self { stream, most, random: seed | 1 }
    }

    /// How much goes now.
    fn poll_some(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        match self.random % 8 {
            0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(1 + (self.random >> 8) as usize % self.most),
        }
    }
}

impl AsyncRead for Choppy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = ready!(self.poll_some(cx));
        let mut some = buf.take(most);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut some))?;
        let len = some.filled().len();
        // Where it was filled, it is initialised: the room has always been.
        buf.initialize_unfilled_to(len);
        buf.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Choppy {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = ready!(self.poll_some(cx));
        Pin::new(&mut self.stream).poll_write(cx, &bytes[..bytes.len().min(most)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_some(cx));
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
