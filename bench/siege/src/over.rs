//! What is spoken over: plain connections, or TLS. Over TLS everybody has a certificate of the same authority, strangers
//! too, so that all they say passes behind the handshake.

use std::sync::Arc;

use rakt::remote::certificate::Request;
use rakt::remote::{ClientConfig, Config, Secret, Tls};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, RootCertStore};

use crate::Result;

/// Where the node finds the secret of which all certificates come; without it there is no TLS.
const SECRET: &str = "RAKT_SIEGE_SECRET";
/// What peers of rakt's own protocol offer. Go nodes offer nothing.
const NATIVE: &[u8] = b"rakt/1";
/// Handshakes of an address, and all of them: what is looked at here is what comes behind them.
const HANDSHAKES: u32 = 1_000_000;

/// What is spoken over.
pub(crate) enum Over {
    Plain,
    Tls {
        secret: Secret,
        /// Those of strangers: of rakt's own protocol, and of GoAkt.
        native: Arc<rustls::ClientConfig>,
        goakt: Arc<rustls::ClientConfig>,
    },
}

/// A connection to a node, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Over {
    /// From its name on the command line. It is there until the program ends.
    pub(crate) fn parse(name: &str) -> Result<&'static Self> {
        Ok(match name {
            "plain" => &Self::Plain,
            "tls" => Box::leak(Box::new(Self::tls(Secret::generate())?)),
            _ => return Err("--over is plain or tls".into()),
        })
    }

    fn tls(secret: Secret) -> Result<Self> {
        let authority = secret.authority()?;
        let own = authority.issue(&Request::new("mallory").host("127.0.0.1"))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate_der().to_vec().into())?;
        let dialing = |alpn: &[&[u8]]| {
            let chain = vec![own.certificate_der().to_vec().into()];
            let key = PrivateKeyDer::from_pem_slice(own.key_pem().as_bytes())?;
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = rustls::ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_root_certificates(roots.clone())
                .with_client_auth_cert(chain, key)?;
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Arc::new(config))
        };
        let (native, goakt) = (dialing(&[NATIVE])?, dialing(&[])?);
        Ok(Self::Tls { secret, native, goakt })
    }

    /// What the process of a node is told.
    pub(crate) fn to_env(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Plain => None,
            Self::Tls { secret, .. } => Some((SECRET, secret.reveal())),
        }
    }

    /// That of a node, from what its parent tells.
    pub(crate) fn apply_told(config: Config) -> Result<Config> {
        let Ok(secret) = std::env::var(SECRET) else { return Ok(config) };
        let config = config.max_handshakes(HANDSHAKES).max_handshakes_per_source(HANDSHAKES);
        Ok(config.max_handshake_rate(HANDSHAKES).tls(Tls::from_secret(secret.parse()?)))
    }

    /// That of an honest client.
    pub(crate) fn client(&self) -> ClientConfig {
        match self {
            Self::Plain => ClientConfig::new(),
            Self::Tls { secret, .. } => ClientConfig::new().tls(Tls::from_secret(secret.clone())),
        }
    }

    /// The connection of a stranger, after its handshake.
    pub(crate) async fn secure(&self, stream: TcpStream, is_go: bool) -> Result<Box<dyn Stream>> {
        let Self::Tls { native, goakt, .. } = self else { return Ok(Box::new(stream)) };
        let config = if is_go { goakt } else { native };
        let name = ServerName::try_from("127.0.0.1")?;
        Ok(Box::new(TlsConnector::from(config.clone()).connect(name, stream).await?))
    }
}
