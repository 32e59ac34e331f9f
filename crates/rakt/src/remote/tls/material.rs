//! What a node shows and whom it trusts, ready for handshakes. It is replaced as a whole.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, InconsistentKeys, ServerConfig};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

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
    pair: Arc<CertifiedKey>,
    roots: Vec<CertificateDer<'static>>,
    /// This node's certificate, as peers see it.
    pub(crate) own: Arc<CertificateDer<'static>>,
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
        (verify, allow_anonymous): (&Verify, bool),
    ) -> Result<Self, TlsError> {
        let Parsed { chain, key, roots, crls } = places.parse(&pems)?;
        let kept = roots.clone();
        let verifier = verifier_of(places, (roots, crls), (verify, allow_anonymous))?;
        let pair = Arc::new(pair_of(places, chain, key)?);
        let good_until = verifier.good_until(&pair.cert, SystemTime::now());
        let good_until = good_until.map_err(|error| TlsError::Own {
            certificate: places.certificate.to_string(),
            source: super::reason::of(&error).into(),
        })?;
        Ok(Self::of(pair, (verifier, kept), good_until, pems))
    }

    /// The same certificate of this node, where something that it trusts was withdrawn: that holds also if its own one is of
    /// no use any more. `None` if nothing was: other CAs than before may be a mistake, which would cut off everybody.
    pub(crate) fn trusting(
        &self,
        places: &Places,
        pems: &Pems,
        verified: (&Verify, bool),
    ) -> Result<Option<Self>, TlsError> {
        if pems.trusts_as(&self.pems) {
            return Ok(None);
        }
        let Parsed { roots, crls, .. } = places.parse(pems)?;
        if !roots.iter().all(|root| self.roots.contains(root)) {
            return Ok(None);
        }
        let kept = roots.clone();
        let verifier = verifier_of(places, (roots, crls), verified)?;
        let pems = self.pems.trusting(pems);
        Ok(Some(Self::of(self.pair.clone(), (verifier, kept), self.good_until, pems)))
    }

    fn of(
        pair: Arc<CertifiedKey>,
        (verifier, roots): (Arc<Verifier>, Vec<CertificateDer<'static>>),
        good_until: SystemTime,
        pems: Pems,
    ) -> Self {
        let own = Arc::new(pair.cert[0].clone());
        let good_since = Certificate::read(&own).map(|own| own.not_before.into());
        Self {
            server: Arc::new(server(&verifier, pair.clone())),
            client: Arc::new(client(&verifier, pair.clone(), Some(ALPN))),
            #[cfg(feature = "goakt")]
            goakt_client: Arc::new(client(&verifier, pair.clone(), None)),
            verifier,
            good_since: good_since.unwrap_or_else(SystemTime::now),
            pair,
            roots,
            own,
            good_until,
            pems,
        }
    }

    /// The names that peers see.
    pub(crate) fn names(&self) -> Names {
        Names::of(&self.own)
    }
}

type Trusted = (Vec<CertificateDer<'static>>, Vec<CertificateRevocationListDer<'static>>);

fn verifier_of(
    places: &Places,
    (roots, crls): Trusted,
    (verify, allow_anonymous): (&Verify, bool),
) -> Result<Arc<Verifier>, TlsError> {
    Verifier::new(roots, crls, verify.clone(), allow_anonymous).map_err(|source| {
        let place = places.roots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        TlsError::Invalid { place, source: Cause::new(source) }
    })
}

fn pair_of(
    places: &Places,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, TlsError> {
    let (certificate, key_at) = (places.certificate.to_string(), places.key.to_string());
    let invalid = |place, source| TlsError::Invalid { place, source: Cause::new(source) };
    let signer = provider().key_provider.load_private_key(key);
    let signer = signer.map_err(|source| invalid(key_at.clone(), source))?;
    let pair = CertifiedKey::new(chain, signer);
    match pair.keys_match() {
        // A kind of key that cannot be compared: the first handshake tells.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { key: key_at, certificate })
        }
        Err(source) => Err(invalid(certificate, source)),
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
