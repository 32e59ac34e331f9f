//! What a node shows and whom it trusts, ready for handshakes. It is replaced as a whole.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, InconsistentKeys, ServerConfig};
use rustls_pki_types::CertificateDer;

use super::names::Names;
use super::pems::{Parsed, Pems, Places};
use super::provider::provider;
use super::verify::{OfClients, OfServers, Verifier, Verify};
use crate::error::Cause;
use crate::error::tls::TlsError;
use crate::remote::certificate::read::Certificate;

/// What native peers agree on in the handshake, so that a certificate of another service of the same CA cannot be
/// pointed at a node, nor the reverse. Go nodes agree on nothing.
pub(crate) const ALPN: &[u8] = b"rakt/1";

pub(crate) struct Material {
    pub(crate) server: Arc<ServerConfig>,
    /// For native peers.
    pub(crate) client: Arc<ClientConfig>,
    /// For Go nodes.
    #[cfg(feature = "goakt")]
    pub(crate) goakt_client: Arc<ClientConfig>,
    pub(crate) verifier: Arc<Verifier>,
    /// This node's certificate, as peers see it.
    pub(crate) own: CertificateDer<'static>,
    /// When that began to be valid.
    pub(crate) good_since: SystemTime,
    /// When that, or one above it, expires.
    pub(crate) good_until: SystemTime,
    /// What it was made of.
    pub(crate) pems: Pems,
}

impl Material {
    /// Checks everything, as peers will.
    pub(crate) fn new(
        places: &Places,
        pems: Pems,
        verify: &Verify,
        allow_anonymous: bool,
    ) -> Result<Self, TlsError> {
        let Parsed { chain, key, roots, crls } = places.parse(&pems)?;
        let roots_at =
            || places.roots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let invalid = |place: String, source: Cause| TlsError::Invalid { place, source };
        let verifier = Verifier::new(roots, crls, verify.clone(), allow_anonymous)
            .map_err(|source| invalid(roots_at(), Cause::new(source)))?;
        let (certificate, key_at) = (places.certificate.to_string(), places.key.to_string());
        let signer = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|source| invalid(key_at.clone(), Cause::new(source)))?;
        let own = chain[0].clone();
        let pair = CertifiedKey::new(chain, signer);
        match pair.keys_match() {
            // A kind of key that cannot be compared: the first handshake tells.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(TlsError::Mismatch { key: key_at, certificate });
            }
            Err(source) => return Err(invalid(certificate, Cause::new(source))),
        }
        let good_until = verifier.good_until(&pair.cert, SystemTime::now()).map_err(|error| {
            TlsError::Own { certificate, source: super::reason::of(&error).into() }
        })?;
        let pair = Arc::new(pair);
        Ok(Self {
            server: Arc::new(server(&verifier, pair.clone())),
            client: Arc::new(client(&verifier, pair.clone(), Some(ALPN))),
            #[cfg(feature = "goakt")]
            goakt_client: Arc::new(client(&verifier, pair, None)),
            verifier,
            good_since: Certificate::read(&own)
                .map_or_else(SystemTime::now, |own| own.not_before.into()),
            own,
            good_until,
            pems,
        })
    }

    /// The names that peers see.
    pub(crate) fn names(&self) -> Names {
        Names::of(&self.own)
    }
}

/// Nothing of a session outlives it: a ticket would let in whoever has it after its certificate was withdrawn.
fn server(verifier: &Arc<Verifier>, pair: Arc<CertifiedKey>) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider knows TLS 1.3");
    let mut config = builder
        .with_client_cert_verifier(Arc::new(OfClients(verifier.clone())))
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config
}

fn client(verifier: &Arc<Verifier>, pair: Arc<CertifiedKey>, alpn: Option<&[u8]>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider knows TLS 1.3");
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OfServers(verifier.clone())))
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair)));
    config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
    config.resumption = rustls::client::Resumption::disabled();
    config
}
