//! Where certificates and keys come from: files that are read again, or text.

use std::fmt;
use std::path::PathBuf;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::error::tls::TlsError;
use crate::remote::watched::read;

/// More than any certificate, chain or list of revoked ones of a cluster has. 16 MiB.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Where they come from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    /// An argument of that name. It may be a key, of which nothing stays in memory.
    Text(&'static str, Zeroizing<Box<[u8]>>),
}

/// Leaves the text out: it may be a key.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Text(name, _) => write!(f, "the {name} given"),
        }
    }
}

impl Place {
    fn read(&self) -> Result<Vec<u8>, TlsError> {
        match self {
            Self::Text(_, text) => Ok(text.to_vec()),
            Self::File(path) => read(path, MAX_FILE)
                .map_err(|source| TlsError::Unreadable { path: path.clone(), source }),
        }
    }

    /// Refuses a key that everybody on the machine may read.
    fn check_mode(&self) -> Result<(), TlsError> {
        #[cfg(unix)]
        if let Self::File(path) = self {
            use std::os::unix::fs::PermissionsExt;
            let unreadable = |source| TlsError::Unreadable { path: path.clone(), source };
            let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o7777;
            if mode & 0o007 != 0 {
                return Err(TlsError::ReadableKey { path: path.clone(), mode });
            }
        }
        Ok(())
    }
}

/// What a node shows and whom it trusts, as text.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) certificate: Place,
    pub(crate) key: Place,
    pub(crate) roots: Vec<Place>,
    pub(crate) crl: Option<Place>,
}

/// The bytes of all of them, to tell whether anything has changed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pems {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    roots: Vec<Vec<u8>>,
    crl: Option<Vec<u8>>,
}

impl Pems {
    /// Whether the same is trusted.
    pub(super) fn trusts_as(&self, other: &Self) -> bool {
        self.roots == other.roots && self.crl == other.crl
    }

    /// What is different from what there was before, in words for the log.
    pub(super) fn changed(&self, before: &Self) -> String {
        let mut changed = Vec::new();
        if (&self.certificate, &self.key) != (&before.certificate, &before.key) {
            changed.push("certificate");
        }
        if self.roots != before.roots {
            changed.push("CAs");
        }
        if self.crl != before.crl {
            changed.push("revocations");
        }
        changed.join(", ")
    }

    /// The same certificate and key with what others trust.
    pub(super) fn trusting(&self, other: &Self) -> Self {
        let Self { certificate, key, .. } = self.clone();
        let Self { roots, crl, .. } = other.clone();
        Self { certificate, key, roots, crl }
    }
}

/// What is in them.
pub(crate) struct Parsed {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) crls: Vec<CertificateRevocationListDer<'static>>,
}

impl Places {
    /// Reads all of them.
    pub(crate) fn read(&self, allow_readable_key: bool) -> Result<Pems, TlsError> {
        let key_pem: Zeroizing<_> = self.key.read()?.into();
        // Everybody may read a certificate: where one stands for the key, its mode is not what is wrong.
        let has_key = !matches!(key(&self.key, &key_pem), Err(TlsError::Missing { .. }));
        if has_key && !allow_readable_key {
            self.key.check_mode()?;
        }
        Ok(Pems {
            certificate: self.certificate.read()?,
            key: key_pem,
            roots: self.roots.iter().map(Place::read).collect::<Result<_, _>>()?,
            crl: self.crl.as_ref().map(Place::read).transpose()?,
        })
    }

    pub(crate) fn parse(&self, pems: &Pems) -> Result<Parsed, TlsError> {
        let mut roots = Vec::new();
        for (place, pem) in self.roots.iter().zip(&pems.roots) {
            roots.extend(all(place, pem, "certificate")?);
        }
        let crls = match self.crl.as_ref().zip(pems.crl.as_ref()) {
            Some((place, pem)) => all(place, pem, "list of revoked certificates")?,
            None => Vec::new(),
        };
        Ok(Parsed {
            chain: all(&self.certificate, &pems.certificate, "certificate")?,
            key: key(&self.key, &pems.key)?,
            roots,
            crls,
        })
    }
}

/// What is wrong with a file that was cut off.
const NOT_WHOLE: &str = "it is not whole, or no PEM";

/// All objects of one kind in a text; there is one at least.
fn all<T: PemObject>(place: &Place, pem: &[u8], wanted: &'static str) -> Result<Vec<T>, TlsError> {
    let found: Result<Vec<T>, _> = T::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(missing(place, pem, wanted)),
        Ok(found) => Ok(found),
        // What the parser says shows bytes.
        Err(_) => Err(TlsError::Invalid { place: place.to_string(), source: NOT_WHOLE.into() }),
    }
}

fn key(place: &Place, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    use rustls_pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => missing(place, pem, "private key"),
        // What the parser says of a key must not show a part of it.
        _ => TlsError::Invalid { place: place.to_string(), source: NOT_WHOLE.into() },
    })
}

fn missing(place: &Place, pem: &[u8], wanted: &'static str) -> TlsError {
    TlsError::Missing { place: place.to_string(), wanted, found: found(pem) }
}

/// What a text is that is not what it should be, as far as its first line of PEM says that.
fn found(pem: &[u8]) -> Option<&'static str> {
    // The end of the label: keys have that of their kind in front.
    const KINDS: [(&[u8], &str); 6] = [
        (b"CERTIFICATE REQUEST", "a request for a certificate"),
        (b"CERTIFICATE", "a certificate"),
        (b"CRL", "a list of revoked certificates"),
        (b"PUBLIC KEY", "a public key"),
        (b"ENCRYPTED PRIVATE KEY", "a private key with a password"),
        (b"PRIVATE KEY", "a private key"),
    ];
    const BEGIN: &[u8] = b"-----BEGIN ";
    // A sequence that is longer than 127 bytes.
    if let [0x30, 0x81 | 0x82, ..] = pem {
        return Some("something in DER, which OpenSSL makes PEM of");
    }
    let at = pem.windows(BEGIN.len()).position(|window| window == BEGIN)? + BEGIN.len();
    let label = pem[at..].split(|byte| *byte == b'-').next()?;
    KINDS.iter().find(|(kind, _)| label.ends_with(kind)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_named() {
        let pems = |certificate: &str, key: &str, roots: &str, crl: Option<&str>| Pems {
            certificate: certificate.into(),
            key: Zeroizing::new(key.into()),
            roots: vec![roots.into()],
            crl: crl.map(Into::into),
        };
        let before = pems("one", "its key", "a CA", None);
        for (now, changed) in [
            (pems("two", "its key", "a CA", None), "certificate"),
            (pems("one", "another key", "a CA", None), "certificate"),
            (pems("one", "its key", "two CAs", None), "CAs"),
            (pems("one", "its key", "a CA", Some("a list")), "revocations"),
            (pems("two", "another key", "two CAs", None), "certificate, CAs"),
        ] {
            assert_eq!(now.changed(&before), changed);
        }
    }
}
