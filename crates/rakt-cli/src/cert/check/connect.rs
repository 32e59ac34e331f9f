//! A connection, as a node makes it: TLS 1.3, the protocol `rakt/1`, a certificate if there is one, and the greeting.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rakt::remote::ClaimError;
use rakt_wire::native::{Hello, RefuseReason};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::greeting::{Greeted, greet};
use crate::failure::{Failure, Result};

/// For the connection, for the handshake, and for the greeting.
const PATIENCE: Duration = Duration::from_secs(5);
/// A node judges our certificate after the handshake is over for us. One that does not greet says so at once if it does
/// not accept it, and nothing if it does.
const JUDGEMENT: Duration = Duration::from_millis(500);
const PROTOCOL: &[u8] = b"rakt/1";

/// What it takes to dial a node.
pub(super) struct Dialer<'a> {
    pub(super) target: (&'a str, u16),
    pub(super) name: ServerName<'static>,
    pub(super) roots: RootCertStore,
    pub(super) own: Option<Arc<CertifiedKey>>,
    /// Whether it is to be a node of rakt.
    pub(super) offers_rakt: bool,
    /// As which system we greet.
    pub(super) system: &'a str,
    /// Whether the node is the one of its certificate.
    pub(super) check: &'a (dyn Fn(&CertificateDer<'_>, &Hello) -> ClaimResult + Sync),
}

type ClaimResult = std::result::Result<(), ClaimError>;

/// What came of it.
pub(super) struct Answer {
    /// What the node has shown, its own first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Whether the node has asked for a certificate of ours.
    pub(super) was_asked: bool,
    pub(super) ending: Ending,
}

pub(super) enum Ending {
    /// Both ends accept the certificate of the other, and it goes on in a protocol without a name.
    Open,
    /// The greeting is over, or was refused by one end.
    Greeted(Greeted),
    /// The node says of itself what its certificate does not.
    Untrue(ClaimError),
    Failed(io::Error),
    /// There was no answer to the greeting.
    Silent,
}

pub(super) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

impl Dialer<'_> {
    pub(super) async fn dial(self) -> Result<Answer> {
        let (host, port) = self.target;
        let connected = timeout(PATIENCE, TcpStream::connect((host, port))).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|error| {
            Failure::new(format!("{host}:{port} cannot be reached: {error}"))
                .mend("is the node running, does it listen on this address, and does a firewall let you through?")
        })?;
        let failed = |error: Error| Failure::new(format!("TLS cannot be set up: {error}"));
        let provider = Arc::new(provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(self.roots.into(), provider.clone());
        let verifier =
            verifier.build().map_err(|error| failed(Error::General(error.to_string())))?;
        let witness = Arc::new(Witness { verifier, chain: Mutex::default() });
        let shown = Arc::new(Shown { own: self.own, was_asked: AtomicBool::new(false) });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(failed)?
            .dangerous()
            .with_custom_certificate_verifier(witness.clone())
            .with_client_cert_resolver(shown.clone());
        config.resumption = Resumption::disabled();
        if self.offers_rakt {
            config.alpn_protocols = vec![PROTOCOL.to_vec()];
        }
        let connector = TlsConnector::from(Arc::new(config));
        let ending = match timeout(PATIENCE, connector.connect(self.name, stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(PROTOCOL) => {
                let leaf = witness.chain().into_iter().next();
                let leaf = leaf.unwrap_or_else(|| Vec::new().into());
                greeting(stream, self.system, |hello| (self.check)(&leaf, hello)).await
            }
            Ok(Ok(stream)) => judgement(stream).await,
            Ok(Err(error)) => Ending::Failed(error),
            Err(_) => Ending::Failed(io::ErrorKind::TimedOut.into()),
        };
        let chain = witness.chain();
        Ok(Answer { chain, was_asked: shown.was_asked.load(Ordering::Relaxed), ending })
    }
}

/// Greets the node, which may refuse us for our certificate or for our greeting, as we may refuse it.
async fn greeting(
    mut stream: TlsStream<TcpStream>,
    system: &str,
    check: impl Fn(&Hello) -> ClaimResult,
) -> Ending {
    let mut untrue = None;
    let greeted = greet(&mut stream, system, |hello| {
        check(hello).map_err(|wrong| {
            let told = RefuseReason::Denied(wrong.to_string());
            untrue = Some(wrong);
            told
        })
    });
    let ending = match timeout(PATIENCE, greeted).await {
        Ok(Ok(greeted)) => Ending::Greeted(greeted),
        Ok(Err(error)) => Ending::Failed(error),
        Err(_) => Ending::Silent,
    };
    // The node sees an orderly end.
    let _ = timeout(JUDGEMENT, stream.shutdown()).await;
    untrue.map_or(ending, Ending::Untrue)
}

/// Waits for what the node says of us.
async fn judgement(mut stream: TlsStream<TcpStream>) -> Ending {
    match timeout(JUDGEMENT, stream.read(&mut [0; 64])).await {
        Ok(Ok(1..)) | Err(_) => {}
        Ok(Ok(0)) => return Ending::Failed(io::ErrorKind::UnexpectedEof.into()),
        Ok(Err(error)) => return Ending::Failed(error),
    }
    // The node sees an orderly end.
    let _ = timeout(JUDGEMENT, stream.shutdown()).await;
    Ending::Open
}

/// The verifier of every rustls client, which leaves the chain to be shown also where it does not accept it.
struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl Witness {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.lock().map(|chain| chain.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, Error> {
        let all = [leaf].into_iter().chain(others).map(|der| der.clone().into_owned());
        if let Ok(mut chain) = self.chain.lock() {
            *chain = all.collect();
        }
        self.verifier.verify_server_cert(leaf, others, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Our certificate, and whether it was asked for.
struct Shown {
    own: Option<Arc<CertifiedKey>>,
    was_asked: AtomicBool,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        self.own.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
