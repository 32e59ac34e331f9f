//! Whose certificates are accepted.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};

use super::names::Names;
use super::provider::provider;
use crate::remote::policy::Glob;

/// Whom a node accepts, besides that a CA it trusts must have signed the certificate.
///
/// ```
/// use rakt::remote::{Tls, Verify};
///
/// // Whoever has an identity in this trust domain, wherever it is.
/// let tls = Tls::from_files("node.pem", "node.key", "ca.pem")
///     .verify(Verify::uri("spiffe://prod.example/rakt/*"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify(Rule);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Host,
    Uri(Glob),
    /// All that have the secret are equal.
    Chain,
}

impl Verify {
    /// The host that is dialed must be among the names of the peer's certificate: as a name of a host, or as an IP
    /// address. Peers that connect here may have any name. This is the default.
    pub fn host() -> Self {
        Self(Rule::Host)
    }

    /// Whoever is dialed, and whoever connects here, must have one URI in its certificate, exactly one if that is of
    /// SPIFFE, and it must match: `*` stands for anything within a segment, `**` for any number of segments. Its last
    /// segment must be the name of the peer's actor system. The host is not looked at.
    pub fn uri(pattern: impl Into<String>) -> Self {
        Self(Rule::Uri(Glob::of_identity(&pattern.into())))
    }

    pub(super) fn chain() -> Self {
        Self(Rule::Chain)
    }

    pub(super) fn is_by_host(&self) -> bool {
        self.0 == Rule::Host
    }

    pub(super) fn is_by_uri(&self) -> bool {
        matches!(self.0, Rule::Uri(_))
    }

    /// What is wrong with it, if anything is: an option of that value must be something else.
    pub(crate) fn fault(&self) -> Option<(String, &'static str)> {
        match &self.0 {
            Rule::Uri(pattern) => Some((pattern.to_string(), pattern.fault_as_uri()?)),
            Rule::Host | Rule::Chain => None,
        }
    }

    /// What is wrong with the names of a peer.
    fn check(&self, names: &Names) -> Result<(), Unfit> {
        let Rule::Uri(pattern) = &self.0 else { return Ok(()) };
        let is_spiffe = |uri: &String| uri.starts_with("spiffe://");
        let fits = match names.uris.iter().any(is_spiffe) {
            true => names.uri_count == 1 && pattern.matches(&names.uris[0]),
            false => names.uris.iter().any(|uri| pattern.matches(uri)),
        };
        match fits {
            true => Ok(()),
            false => Err(Unfit::NotAdmitted { names: names.clone(), pattern: pattern.clone() }),
        }
    }
}

/// What is wrong with a peer besides what the verifier of its chain finds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error(
        "its certificate is of somebody else: its names are {names}; this node accepts {pattern}"
    )]
    NotAdmitted { names: Names, pattern: Glob },
    #[error(
        "it has shown a chain of {0} certificates; 5 are the limit: leave out what is not needed"
    )]
    TooMany(usize),
    #[error(
        "it has shown a chain of {0} bytes; 32 KiB are the limit: leave out what is not needed"
    )]
    TooLong(usize),
    #[error(
        "it has not proven that it holds the key of its certificate, or that key is too weak or none"
    )]
    NoProof,
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(unfit))))
    }
}

/// A chain of five certificates with the largest keys has room in this. A peer that is accepted has this side keep its
/// chain for as long as it is connected, and to check it again and again. 32 KiB, in bytes.
const MAX_CHAIN: usize = 32 * 1024;

/// Certificates besides the peer's own. To find a way through more that have one name among them takes seconds, with
/// nothing signed by anybody.
const MAX_REST: usize = 4;

fn check_len(leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), Unfit> {
    if rest.len() > MAX_REST {
        return Err(Unfit::TooMany(rest.len() + 1));
    }
    match leaf.len() + rest.iter().map(|certificate| certificate.len()).sum::<usize>() {
        len if len > MAX_CHAIN => Err(Unfit::TooLong(len)),
        _ => Ok(()),
    }
}

/// Accepts peers, of both directions, and again later: whoever has been accepted may not be any more.
#[derive(Debug)]
pub(crate) struct Verifier {
    servers: Arc<WebPkiServerVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
    verify: Verify,
}

impl Verifier {
    pub(crate) fn new(
        roots: Vec<CertificateDer<'static>>,
        crls: Vec<CertificateRevocationListDer<'static>>,
        verify: Verify,
        allow_anonymous: bool,
    ) -> Result<Arc<Self>, rustls::server::VerifierBuilderError> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root).map_err(|_| rustls::server::VerifierBuilderError::NoRootAnchors)?;
        }
        let store = Arc::new(store);
        let servers = WebPkiServerVerifier::builder_with_provider(store.clone(), provider())
            .with_crls(crls.clone())
            .allow_unknown_revocation_status()
            .build()?;
        let clients = WebPkiClientVerifier::builder_with_provider(store, provider())
            .with_crls(crls)
            .allow_unknown_revocation_status();
        let clients = match allow_anonymous {
            true => clients.allow_unauthenticated().build()?,
            false => clients.build()?,
        };
        Ok(Arc::new(Self { servers, clients, verify }))
    }

    /// Whether a peer that was dialed by that name is accepted at a time.
    pub(crate) fn check_server(
        &self,
        (leaf, rest): (&CertificateDer<'_>, &[CertificateDer<'_>]),
        name: &ServerName<'_>,
        at: UnixTime,
    ) -> Result<(), Error> {
        check_len(leaf, rest)?;
        let verified = self.servers.verify_server_cert(leaf, rest, name, &[], at);
        match verified {
            Ok(_) => {}
            Err(error) if is_name_alone(&error) && !self.verify.is_by_host() => {}
            Err(error) => return Err(error),
        }
        self.check_names(leaf)
    }

    /// Whether a peer that has connected here is accepted at a time.
    pub(crate) fn check_client(
        &self,
        (leaf, rest): (&CertificateDer<'_>, &[CertificateDer<'_>]),
        at: UnixTime,
    ) -> Result<(), Error> {
        check_len(leaf, rest)?;
        self.clients.verify_client_cert(leaf, rest, at)?;
        self.check_names(leaf)
    }

    /// Whether a chain leads to one of the CAs, in whatever role.
    pub(super) fn has_issued(
        &self,
        (leaf, rest): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    ) -> bool {
        check_len(leaf, rest).is_ok()
            && self.clients.verify_client_cert(leaf, rest, unix(SystemTime::now())).is_ok()
    }

    fn check_names(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        Ok(self.verify.check(&Names::of(leaf))?)
    }

    /// Until when a chain is accepted in both roles.
    ///
    /// # Errors
    /// It is not accepted now, or not in both.
    pub(crate) fn good_until(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<SystemTime, Error> {
        let (leaf, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let anyone = ServerName::try_from("nobody.invalid").expect("it is a name");
        let chain_in_both = |at| {
            let as_server = self.servers.verify_server_cert(leaf, rest, &anyone, &[], at);
            match as_server {
                Err(error) if !is_name_alone(&error) => Err(error),
                _ => self.clients.verify_client_cert(leaf, rest, at).map(drop),
            }
        };
        chain_in_both(unix(now))?;
        // The verifier tells when the first certificate expires that it looks at; another may do so before.
        let mut until = FAR;
        while let Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after,
            ..
        })) = chain_in_both(UnixTime::since_unix_epoch(until))
        {
            let earlier = Duration::from_secs(not_after.as_secs());
            if earlier >= until {
                break;
            }
            until = earlier;
        }
        Ok(UNIX_EPOCH + until)
    }
}

/// Whether nothing but the name does not fit: it is looked at last, so all else is as it must be.
fn is_name_alone(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}

/// The year 9999, beyond which certificates cannot be valid.
const FAR: Duration = Duration::from_secs(253_402_300_799);

/// A time as the verifier has it.
pub(crate) fn unix(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// What a handshake asks of a verifier besides the certificate.
macro_rules! signatures_by {
    ($field:ident) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.0.$field.verify_tls12_signature(message, certificate, signed)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let verified = self.0.$field.verify_tls13_signature(message, certificate, signed);
            verified.map_err(|error| match error {
                Error::InvalidCertificate(_) => Unfit::NoProof.into(),
                other => other,
            })
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.$field.supported_verify_schemes()
        }
    };
}

/// The verifier of those that are dialed.
#[derive(Debug)]
pub(super) struct OfServers(pub(super) Arc<Verifier>);

impl ServerCertVerifier for OfServers {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.check_server((leaf, rest), name, now).map(|()| ServerCertVerified::assertion())
    }

    signatures_by!(servers);
}

/// The verifier of those that connect.
#[derive(Debug)]
pub(super) struct OfClients(pub(super) Arc<Verifier>);

impl ClientCertVerifier for OfClients {
    fn client_auth_mandatory(&self) -> bool {
        self.0.clients.client_auth_mandatory()
    }

    /// None: a Go node would keep a certificate of another CA to itself, and both sides would be told that it has none.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.check_client((leaf, rest), now).map(|()| ClientCertVerified::assertion())
    }

    signatures_by!(clients);
}
