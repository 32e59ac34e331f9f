//! What is wrong with the certificates and keys that a node is given.

use std::io;
use std::path::PathBuf;

use rakt_wire::Cause;

/// What is wrong with the certificates and keys that a node is given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others than its owner and group may read a private key.
    #[error(
        "{} is readable by everyone (mode {mode:04o}): chmod 600, or defaultMode: 0400 for a Kubernetes secret; \
         `Tls::allow_readable_key` takes it as it is",
        path.display()
    )]
    ReadableKey {
        /// The file of the key.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There is no certificate, or no key, where one belongs.
    #[error("{place} holds no {wanted} in PEM{}", instead(*found))]
    Missing {
        /// The file, or the argument.
        place: String,
        /// What belongs there.
        wanted: &'static str,
        /// What is there, if it is known what that is: `a certificate`.
        found: Option<&'static str>,
    },
    /// What is there cannot be used.
    #[error("{place} cannot be used")]
    Invalid {
        /// The file, or the argument.
        place: String,
        /// Why not.
        source: Cause,
    },
    /// The key is that of another certificate.
    #[error("{key} does not belong to {certificate}")]
    Mismatch {
        /// The file of the key, or the argument.
        key: String,
        /// The file of the certificate, or the argument.
        certificate: String,
    },
    /// The node's own certificate is of no use to peers that trust what this node trusts.
    #[error("peers would refuse {certificate}")]
    Own {
        /// The file of the certificate, or the argument.
        certificate: String,
        /// Why they would.
        source: Cause,
    },
    /// A name is not one of a host.
    #[error("{name:?} is no name of a host, nor an IP address")]
    Name {
        /// The name.
        name: String,
    },
}

fn instead(found: Option<&str>) -> String {
    match found {
        Some(found) => format!(", but {found}: is it the right file?"),
        None => String::new(),
    }
}
