//! Certificates and keys in files.

use std::fs;
use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::failure::{Failure, Result};

/// All certificates of a file, one at least.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = fs::read(path).map_err(|error| Failure::read(path, &error))?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let shown = path.display();
    let found = found.map_err(|error| Failure::new(format!("{shown} is damaged: {error}")))?;
    if found.is_empty() {
        let failure = Failure::new(format!("there is no certificate in {shown}"));
        return Err(match PrivateKeyDer::from_pem_slice(&bytes) {
            Ok(_) => {
                failure.mend("it is a private key, which is not shown: give the certificate, .pem")
            }
            Err(_) => {
                failure.mend("certificates are read as PEM, with -----BEGIN CERTIFICATE-----")
            }
        });
    }
    Ok(found)
}

/// The private key in a file. Nothing of it is in the failure.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let bytes = fs::read(path).map_err(|error| Failure::read(path, &error))?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        let failure =
            Failure::new(format!("there is no unencrypted private key in {}", path.display()));
        match CertificateDer::from_pem_slice(&bytes) {
            Ok(_) => failure.mend("it is a certificate: give the key that belongs to it, .key"),
            Err(_) => failure,
        }
    })
}
