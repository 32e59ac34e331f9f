//! Whom we trust, and who we are.

use std::path::Path;
use std::sync::Arc;

use rakt::remote::Secret;
use rakt::remote::certificate::Request;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Options, connect};
use crate::cert::describe::Certificate;
use crate::cert::pem;
use crate::failure::{Failure, Result};
use crate::secret;

/// Our side of a handshake, from files or from a secret.
pub(super) struct Ours {
    pub(super) roots: RootCertStore,
    pub(super) pair: Option<Arc<CertifiedKey>>,
    /// The name that all nodes have, if they have one.
    pub(super) server_name: Option<&'static str>,
    /// As whom nodes know each other, if it is not by the names in certificates.
    pub(super) identity: Option<String>,
    /// As whom a node with a secret knows us, if our authority is that of its secret.
    pub(super) with_secret: Option<String>,
    /// How the authority and our certificate are called in texts.
    pub(super) authority: String,
    pub(super) shown: String,
    /// As which actor system we greet. A certificate may be for one alone.
    pub(super) system: String,
}

/// The one of a certificate that names none.
const SYSTEM: &str = "rakt-cert-check";

impl Ours {
    pub(super) fn read(options: &Options) -> Result<Self> {
        match (&options.secret_file, &options.ca) {
            (Some(path), _) => Self::of_secret(&secret::read(path)?),
            (None, Some(ca)) => Self::of_files(options, ca),
            (None, None) if std::env::var_os(secret::VARIABLE).is_none() => {
                let missing =
                    "there is nothing to check the node by: neither an authority nor a secret";
                let mend =
                    format!("give --ca FILE or --secret-file FILE, or set {}", secret::VARIABLE);
                Err(Failure::new(missing).mend(mend))
            }
            (None, None) => Self::of_secret(&secret::from_env()?),
        }
    }

    fn of_files(options: &Options, ca: &Path) -> Result<Self> {
        let authority = ca.display().to_string();
        let pair = match (&options.cert, &options.key) {
            (Some(certificate), Some(key)) => Some(pair(certificate, key)?),
            _ => None,
        };
        let shown = options.cert.as_ref().map_or("it".into(), |path| path.display().to_string());
        let trusted = pem::certificates(ca)?;
        let with_secret = match &trusted[..] {
            [only] => Some(Certificate::read(only)?.secret_identity()),
            _ => None,
        };
        let roots = roots(trusted, &authority)?;
        let system = match &pair {
            Some(pair) => system(&Certificate::read(&pair.cert[0])?),
            None => SYSTEM.to_owned(),
        };
        Ok(Self {
            roots,
            pair,
            server_name: None,
            identity: None,
            with_secret,
            authority,
            shown,
            system,
        })
    }

    /// What a node makes of the secret as it starts.
    fn of_secret(secret: &Secret) -> Result<Self> {
        let authority = secret.authority()?;
        let issued = authority.issue(&Request::new("rakt cert check").host(Secret::SERVER_NAME))?;
        let failed =
            |error: String| Failure::new(format!("the secret makes no certificate: {error}"));
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem().as_bytes())
            .map_err(|error| failed(error.to_string()))?;
        let chain = vec![CertificateDer::from(issued.certificate_der().to_vec())];
        let pair = CertifiedKey::from_der(chain, key, &connect::provider())
            .map_err(|error| failed(error.to_string()))?;
        let trusted = CertificateDer::from(authority.certificate_der().to_vec());
        Ok(Self {
            roots: roots(vec![trusted], "the secret")?,
            pair: Some(Arc::new(pair)),
            server_name: Some(Secret::SERVER_NAME),
            identity: Some(secret.identity()?),
            with_secret: None,
            authority: "the secret".into(),
            shown: "a holder of the secret".into(),
            system: SYSTEM.to_owned(),
        })
    }
}

/// The one that a certificate names, as nodes look for it: in the last segment of a URI.
fn system(own: &Certificate) -> String {
    let mut uris = own.names.iter().filter(|name| name.contains("://"));
    let first = uris.clone().next();
    let named = uris.find(|uri| uri.starts_with("rakt://")).or(first);
    let last = named.and_then(|uri| uri.rsplit('/').next()).filter(|last| !last.is_empty());
    last.unwrap_or(SYSTEM).to_owned()
}

fn roots(certificates: Vec<CertificateDer<'static>>, shown: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for der in certificates {
        let added = roots.add(der);
        added.map_err(|error| Failure::new(format!("{shown} is no authority: {error}")))?;
    }
    Ok(roots)
}

fn pair(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>> {
    let chain = pem::certificates(certificate)?;
    let pair = CertifiedKey::from_der(chain, pem::key(key)?, &connect::provider());
    pair.map(Arc::new).map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        match error {
            rustls::Error::InconsistentKeys(_) => {
                Failure::new(format!("{key} is not the key of {certificate}"))
                    .mend("give the two files that were made together")
            }
            other => Failure::new(format!("{key} cannot be used for {certificate}: {other}")),
        }
    })
}
