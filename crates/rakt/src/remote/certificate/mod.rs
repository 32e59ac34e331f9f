//! Certificates: an authority of your own that issues them, for development, for tests, for a small cluster.
//!
//! ```
//! use rakt::remote::certificate::{Authority, Request};
//!
//! # fn main() -> Result<(), rakt::remote::certificate::CertificateError> {
//! let authority = Authority::generate("shop")?;
//! let node = authority.issue(&Request::new("shop-1").host("shop-1.example").host("10.0.0.8"))?;
//! assert!(node.certificate_pem().starts_with("-----BEGIN CERTIFICATE-----"));
//! assert!(node.key_pem().starts_with("-----BEGIN PRIVATE KEY-----"));
//! # Ok(())
//! # }
//! ```
//!
//! What is issued here is what nodes ask of each other: ECDSA over P-256, fit for either end of a connection, with
//! the names of the node as subject alternative names. Keys are made in the process and go nowhere else.
//!
//! | files | what is in them |
//! | --- | --- |
//! | `directory` | an authority and its nodes as files |
//! | `secret` | one string on each node in place of files |
//! | `authority`, `request` | who issues; what is to be issued |
//! | `files`, `read` | pairs written as files; what is read of a certificate |
//! | `error` | what may go wrong |

mod authority;
mod directory;
mod error;
mod files;
pub(super) mod read;
mod request;
pub(super) mod secret;
#[cfg(test)]
mod tests;

pub use authority::{Authority, Issued};
pub use directory::{Directory, Files};
pub use error::CertificateError;
pub use request::Request;
