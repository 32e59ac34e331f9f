//! Peers that are not rakt: they show what they like and take whatever they are shown.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certificates::Issued;
use crate::support::within;

pub(crate) const ALPN: &[u8] = b"rakt/1";

pub(crate) fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "tls")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "tls"))]
    let provider = rustls::crypto::ring::default_provider();
    Arc::new(provider)
}

/// Accepts every certificate, or gives one answer to all.
#[derive(Debug)]
pub(crate) struct Judge(pub(crate) Result<(), Error>);

impl Judge {
    fn verify<T>(&self, accepted: T) -> Result<T, Error> {
        self.0.clone().map(|()| accepted)
    }
}

macro_rules! any_signature {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(ServerCertVerified::assertion())
    }

    any_signature!();
}

impl ClientCertVerifier for Judge {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(ClientCertVerified::assertion())
    }

    any_signature!();
}

/// What it shows: whatever is in there, whether or not the key is that of the certificate.
fn shown(issued: &Issued) -> Arc<SingleCertAndKey> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(issued.certificate.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
    let key = provider().key_provider.load_private_key(key).expect("a key that can sign");
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain.expect("a chain"), key)))
}

/// That of one that dials, with a certificate or without.
pub(crate) fn client(issued: Option<&Issued>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Judge(Ok(()))));
    let mut config = match issued {
        Some(issued) => builder.with_client_cert_resolver(shown(issued)),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

/// What such a one sends first.
pub(crate) fn hello() -> Vec<u8> {
    let name = ServerName::try_from("localhost").expect("a name");
    let conn = rustls::ClientConnection::new(Arc::new(client(None)), name);
    let mut bytes = Vec::new();
    conn.expect("it is valid").write_tls(&mut bytes).expect("there is room");
    bytes
}

/// That of one that is dialed, which judges whoever dials it if it asks for certificates.
pub(crate) fn server(issued: &Issued, judge: Option<Judge>) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3");
    let mut config = match judge {
        Some(judge) => builder.with_client_cert_verifier(Arc::new(judge)),
        None => builder.with_no_client_auth(),
    }
    .with_cert_resolver(shown(issued));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

/// The handshake with a node as its client sees it.
pub(crate) async fn dial(port: u16, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

/// What a dialer hears from a node instead of an answer to its first bytes: the alert comes after its own handshake
/// is over.
pub(crate) async fn refused(port: u16, config: ClientConfig) -> String {
    let refused = async {
        let mut stream = dial(port, config).await?;
        stream.write_all(b"\xf7rakt\n").await?;
        stream.read_to_end(&mut Vec::new()).await
    };
    match within(refused).await {
        Ok(n) => panic!("the node has taken it, and said {n} bytes"),
        Err(error) => error.to_string(),
    }
}

/// A port at which one shakes hands as often as it is dialed, and then closes.
pub(crate) struct Server {
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        drop(stream.read(&mut [0; 1024]).await);
                    }
                });
            }
        });
        Self { port, task }
    }

    /// One that says so many bytes to each connection, and then nothing.
    pub(crate) async fn saying(bytes: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    drop(stream.read(&mut [0; 1024]).await);
                    drop(stream.write_all(bytes).await);
                    drop(stream.read(&mut [0; 1024]).await);
                });
            }
        });
        Self { port, task }
    }
}
