//! What may go wrong as certificates are issued.

use std::io;
use std::path::PathBuf;

use crate::error::Cause;

/// Why a certificate was not issued, or an authority not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The name of a node or an authority cannot be written.
    #[error(
        "{name:?} cannot name a certificate: 1 to 64 characters are needed, and no control characters"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The name of a node is no name of a file.
    #[error(
        "{name:?} cannot name a file: letters, digits, '-', '_' and '.' are taken, not \"ca\", and no '.' in front"
    )]
    FileName {
        /// The name.
        name: String,
    },
    /// A host is neither a DNS name nor an IP address.
    #[error(
        "{host:?} is neither a DNS name nor an IP address: write it without scheme, port and final dot"
    )]
    Host {
        /// The host.
        host: String,
    },
    /// A URI cannot be a name.
    #[error(
        "{uri:?} is no URI that can name a node: it needs a scheme, //, and ASCII alone, as spiffe://example/shop"
    )]
    Uri {
        /// The URI.
        uri: String,
    },
    /// A certificate has one SPIFFE name at most.
    #[error("{second:?} is a second SPIFFE name of {name:?}: a certificate has one")]
    TwoSpiffe {
        /// For whom it was to be issued.
        name: String,
        /// The name that is too many.
        second: String,
    },
    /// Nobody could tell from the certificate whose it is.
    #[error("the certificate of {name:?} would name no host and no URI: give it one")]
    NoNames {
        /// For whom it was to be issued.
        name: String,
    },
    /// It would be valid for no time, or for longer than can be written.
    #[error(
        "the certificate of {name:?} cannot be valid for that long: up to 100 years are taken, and more than none"
    )]
    Life {
        /// For whom it was to be issued.
        name: String,
    },
    /// It would be valid for longer than the certificate of the authority.
    #[error(
        "the certificate of {name:?} would end on {end}, after that of its authority, which ends on {authority_end}: \
         ask for a shorter life, or make a new authority"
    )]
    Outlives {
        /// For whom it was to be issued.
        name: String,
        /// The day on which it would end.
        end: String,
        /// The day on which the authority ends.
        authority_end: String,
    },
    /// What was given as the certificate of an authority is none.
    #[error("this is no certificate of an authority: {why}")]
    NotAnAuthority {
        /// What is missing, or wrong.
        why: &'static str,
    },
    /// What was given as the key of an authority cannot be read.
    #[error(
        "the key of the authority cannot be read: an unencrypted PKCS #8 key in PEM is needed, as \
         \"openssl pkcs8 -topk8 -nodes\" writes it"
    )]
    Key {
        /// What the parser says, which tells nothing of the key.
        source: Cause,
    },
    /// Certificate and key are of two authorities.
    #[error("the key is not that of the authority's certificate")]
    KeyMismatch,
    /// There is an authority's certificate without its key, or a key without its certificate.
    #[error("{} is missing beside {}: bring it back, or remove the other one to have both made anew", missing.display(), there.display())]
    Half {
        /// The file that is there.
        there: PathBuf,
        /// The one that is not.
        missing: PathBuf,
    },
    /// What would be written is there already.
    #[error("{} is there already, and is not overwritten: remove it first, or choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others could put certificates where these are.
    #[error("{} is no place for keys: {why}", path.display())]
    Shared {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: &'static str,
    },
    /// A file cannot be read or written.
    #[error("{} cannot be {verb}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried: `read` or `written`.
        verb: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The library for cryptography has failed.
    #[error("the certificate cannot be made")]
    Failed {
        /// Why.
        source: Cause,
    },
}
