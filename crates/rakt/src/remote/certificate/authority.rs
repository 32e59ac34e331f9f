//! Who issues certificates.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::error::CertificateError;
use super::request::{self, Request};
use super::{files, read};
use crate::error::Cause;

/// For as long as an authority that is generated is valid.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// An authority that issues certificates of nodes. Whoever has its key can be any node.
///
/// Made for development, for tests and for clusters that have no authority yet.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    /// The certificates up to, but without, the one that the others trust: none if that is the authority's own.
    intermediates: Vec<CertificateDer<'static>>,
    not_after: time::OffsetDateTime,
    has_key_identifier: bool,
}

impl Authority {
    /// A new authority with a key of its own: ECDSA over P-256, valid for ten years, for nodes alone and not for
    /// further authorities.
    ///
    /// # Errors
    ///
    /// The name is empty or longer than 64 characters, or there is no randomness.
    pub fn generate(name: &str) -> Result<Self, CertificateError> {
        let mut params = request::named(name)?;
        (params.not_before, params.not_after) = request::period(name, None, LIFE)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Self::new(vec![certificate.der().clone()], key)
    }

    /// An authority that is there, by its certificate and its key as PEM.
    ///
    /// If its own certificate was issued by another authority, the ones in between may follow it: what is issued
    /// then carries all of them, since peers trust the last one alone.
    ///
    /// # Errors
    ///
    /// The certificate is not an authority's, or the key is not its own.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, CertificateError> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
        let why = "it is not PEM, or damaged";
        let chain = chain.map_err(|_| CertificateError::NotAnAuthority { why })?;
        let key = KeyPair::from_pem(key)
            .map_err(|error| CertificateError::Key { source: Cause::new(error) })?;
        Self::new(chain, key)
    }

    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: KeyPair,
    ) -> Result<Self, CertificateError> {
        let not = |why| CertificateError::NotAnAuthority { why };
        let der = chain.first().cloned().ok_or(not("there is no certificate in the PEM"))?;
        let read = read::Certificate::read(&der).ok_or(not("it cannot be read"))?;
        if !read.may_issue {
            return Err(not("it is a node's, which may not sign others"));
        }
        if read.public_key != key.subject_public_key_info() {
            return Err(CertificateError::KeyMismatch);
        }
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name =
            read.subject().ok_or(not("its subject has two parts of one type"))?;
        params.key_identifier_method =
            KeyIdMethod::PreSpecified(read.key_identifier.unwrap_or_default().into());
        let (not_after, has_key_identifier) = (read.not_after, read.key_identifier.is_some());
        let intermediates = if read.is_self_issued() { Vec::new() } else { chain };
        Ok(Self {
            issuer: Issuer::new(params, key),
            der,
            intermediates,
            not_after,
            has_key_identifier,
        })
    }

    /// Issues what is asked for, with a key of its own: ECDSA over P-256.
    ///
    /// # Errors
    ///
    /// A name is none, or the certificate would be valid for longer than the authority; the error names it.
    pub fn issue(&self, request: &Request) -> Result<Issued, CertificateError> {
        let mut params = request.params()?;
        if params.not_after > self.not_after {
            return Err(CertificateError::Outlives {
                name: request.name.clone(),
                end: params.not_after.date().to_string(),
                authority_end: self.not_after.date().to_string(),
            });
        }
        params.use_authority_key_identifier_extension = self.has_key_identifier;
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let chain = [certificate.der()].into_iter().chain(&self.intermediates);
        let certificate_pem = chain.map(|der| certificate_pem(der)).collect();
        let (der, key_pem) = (certificate.der().clone(), key.serialize_pem().into());
        Ok(Issued { certificate_pem, der, key_pem })
    }

    /// Its certificate, which all nodes are told to trust, as PEM.
    pub fn certificate_pem(&self) -> String {
        certificate_pem(&self.der)
    }

    /// Its certificate, as DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.der
    }

    /// Its key as PEM (PKCS #8): a secret.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }
}

/// Without the key.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// The certificate of a node, and its key.
pub struct Issued {
    certificate_pem: String,
    der: CertificateDer<'static>,
    key_pem: Zeroizing<String>,
}

impl Issued {
    /// The certificate as PEM, and those of the authorities between it and the one that peers trust, if there are any.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The certificate alone, as DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.der
    }

    /// The key as PEM (PKCS #8): a secret.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Writes the certificate and the key as files. The key is its owner's alone to read, from the moment it is made.
    ///
    /// # Errors
    ///
    /// One of them is there already, and nothing is written then; or they cannot be written.
    pub fn write_new(
        &self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<(), CertificateError> {
        let (certificate, key) = (certificate.as_ref(), key.as_ref());
        files::write_new((certificate, self.certificate_pem()), (key, self.key_pem()))
    }
}

/// Without the key.
impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

fn certificate_pem(der: &[u8]) -> String {
    // Lines end as they do everywhere, so that files made on different systems are the same.
    let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", der), lines)
}

fn failed(error: rcgen::Error) -> CertificateError {
    CertificateError::Failed { source: Cause::new(error) }
}
