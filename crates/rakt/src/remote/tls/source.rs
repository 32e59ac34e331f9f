//! Where the certificate of a node comes from, when it is looked at again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::pems::{Pems, Place, Places};
use super::verify::{Verifier, Verify};
use crate::error::Cause;
use crate::error::tls::TlsError;
use crate::peer::Identity;
use crate::remote::certificate::secret::Secret;
use crate::remote::certificate::{CertificateError, Directory, Request};
use crate::sync::Mutex;

/// How long a certificate is good for that a node issues itself.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the certificate of a node comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Given {
        certificate: Place,
        key: Place,
        roots: Place,
    },
    /// A directory for development.
    Directory(PathBuf),
    /// The first is shown, all are trusted.
    Secrets(Vec<Secret>),
}

/// The same for one node.
pub(super) struct Supply {
    source: Source,
    crl: Option<PathBuf>,
    allow_readable_key: bool,
    system: String,
    hosts: Vec<String>,
    /// What was issued last, and when.
    issued: Mutex<Option<(SystemTime, Places)>>,
}

impl Supply {
    pub(super) fn new(
        source: Source,
        crl: Option<PathBuf>,
        allow_readable_key: bool,
        (system, hosts): (&str, Vec<String>),
    ) -> Self {
        let (system, issued) = (system.to_owned(), Mutex::default());
        Self { source, crl, allow_readable_key, system, hosts, issued }
    }

    /// Reads everything; issues what is to be issued.
    pub(super) fn read(&self, now: SystemTime) -> Result<(Places, Pems), TlsError> {
        let mut places = match &self.source {
            Source::Given { certificate, key, roots } => Places {
                certificate: certificate.clone(),
                key: key.clone(),
                roots: vec![roots.clone()],
                crl: None,
            },
            Source::Directory(path) => self.in_directory(path)?,
            Source::Secrets(secrets) => self.by_secret(secrets, now)?,
        };
        places.crl = self.crl.clone().map(Place::File);
        let pems = places.read(self.allow_readable_key)?;
        Ok((places, pems))
    }

    /// How the certificate of this node is called in texts.
    pub(super) fn certificate(&self) -> String {
        match &self.source {
            Source::Given { certificate, .. } => certificate.to_string(),
            Source::Directory(path) => format!("the certificate in {}", path.display()),
            Source::Secrets(_) => "the certificate of the secret".to_owned(),
        }
    }

    fn request(&self, kind: &str) -> Request {
        let hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut all: Vec<_> = hosts.into_iter().chain(self.hosts.iter().cloned()).collect();
        all.sort();
        all.dedup();
        let request = Request::new(&self.system).uri(format!("rakt://{kind}/{}", self.system));
        all.into_iter().fold(request, Request::host)
    }

    fn in_directory(&self, path: &PathBuf) -> Result<Places, TlsError> {
        let files = Directory::new(path).find_or_issue(&self.request("dev"));
        let files = files.map_err(|source| TlsError::Invalid {
            place: path.display().to_string(),
            source: Cause::new(source),
        })?;
        Ok(Places {
            certificate: Place::File(files.certificate),
            key: Place::File(files.key),
            roots: vec![Place::File(files.authority)],
            crl: None,
        })
    }

    /// A certificate that this node issues itself, anew when half of its life is over.
    fn by_secret(&self, secrets: &[Secret], now: SystemTime) -> Result<Places, TlsError> {
        let mut issued = self.issued.lock();
        let is_fresh = |at: &SystemTime| now.duration_since(*at).is_ok_and(|age| age < LIFE / 2);
        if let Some((at, places)) = &*issued
            && is_fresh(at)
        {
            return Ok(places.clone());
        }
        let failed = |source| TlsError::Invalid {
            place: "the secret".to_owned(),
            source: Cause::new(source),
        };
        let authorities: Result<Vec<_>, _> = secrets.iter().map(Secret::authority).collect();
        let authorities = authorities.map_err(failed)?;
        let request = self.request("secret").host(Secret::SERVER_NAME).life(LIFE);
        let own = authorities[0].issue(&request).map_err(failed)?;
        let text = |name, pem: &str| Place::Text(name, Zeroizing::new(pem.as_bytes().into()));
        let places = Places {
            certificate: text("certificate", own.certificate_pem()),
            key: text("key", own.key_pem()),
            roots: authorities.iter().map(|ca| text("CA", &ca.certificate_pem())).collect(),
            crl: None,
        };
        *issued = Some((now, places.clone()));
        Ok(places)
    }
}

/// Who holds which secret: all holders of one are the same to others.
pub(super) struct Holders(Vec<(Arc<Verifier>, Identity)>);

impl Holders {
    pub(super) fn of(source: &Source) -> Result<Self, TlsError> {
        let Source::Secrets(secrets) = source else { return Ok(Self(Vec::new())) };
        let holder = |secret: &Secret| {
            let root = CertificateDer::from(secret.authority()?.certificate_der().to_vec());
            let verifier = Verifier::new(vec![root], Vec::new(), Verify::chain(), false);
            let verifier =
                verifier.map_err(|error| CertificateError::Failed { source: Cause::new(error) })?;
            Ok((verifier, Identity::proven([secret.identity()?])))
        };
        let holders: Result<Vec<_>, CertificateError> = secrets.iter().map(holder).collect();
        holders.map(Self).map_err(|source| TlsError::Invalid {
            place: "the secret".to_owned(),
            source: Cause::new(source),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The identity of a holder of all of them, where there are any.
    pub(super) fn all(&self) -> Option<Identity> {
        let names = || self.0.iter().flat_map(|(_, identity)| identity.names().map(str::to_owned));
        names().next().map(|_| Identity::proven(names()))
    }

    /// The identity of whoever has shown a chain under one of the secrets.
    pub(super) fn identity(&self, chain: &[CertificateDer<'static>]) -> Option<Identity> {
        let (leaf, rest) = chain.split_first()?;
        let is_of = |(verifier, _): &&(Arc<Verifier>, Identity)| verifier.has_issued((leaf, rest));
        self.0.iter().find(is_of).map(|(_, identity)| identity.clone())
    }
}
