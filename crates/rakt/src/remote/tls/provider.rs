//! The cryptography that TLS uses.

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

/// That of the crate's feature. It is given to whatever needs one: what the process has installed as its default is
/// the affair of others.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(new())).clone()
}

#[cfg(feature = "tls")]
fn new() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

#[cfg(all(feature = "tls-ring", not(feature = "tls")))]
fn new() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

#[cfg(not(any(feature = "tls", feature = "tls-ring")))]
fn new() -> CryptoProvider {
    compile_error!("TLS needs one of the features `tls` and `tls-ring`; `_tls` is what they share")
}
