//! What a node says of itself in its hello, held against its certificate.

use rustls_pki_types::{CertificateDer, ServerName};

use super::names::{Names, is_for};
use super::verify::Verify;
use crate::remote::transport::unbracketed;

/// What a node says of itself that its certificate does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The certificate is that of another actor system.
    #[error(
        "this certificate is for {certified:?}, the hello says {said:?}: issue one that has this name, or use it for \
         the system that it names"
    )]
    System {
        /// The system that the certificate names, in the last segment of a URI.
        certified: String,
        /// The system of the hello.
        said: String,
    },
    /// The host by which the node says that it is reached is not in the certificate.
    #[error(
        "this certificate is for {certified}, the hello says {said:?}: issue one that has this name, or advertise a \
         host that it has (`Config::advertised_host`)"
    )]
    Host {
        /// The names that the certificate has.
        certified: String,
        /// The host of the hello.
        said: String,
    },
}

impl ClaimError {
    /// The same for whoever has this certificate: what is wrong with it there, and what to do.
    pub(super) fn seen_by_its_owner(&self, place: &str) -> String {
        match self {
            Self::System { certified, said } => format!(
                "{place} is for the system {certified:?}, and this one is {said:?}: give it a certificate for {said:?}, or \
                 name the system {certified:?} (`ActorSystem::builder`)"
            ),
            Self::Host { certified, said } => format!(
                "{place} is for {certified}, and peers are told to dial {said:?}: give it a certificate that has this name, \
                 or have it advertise a host that it has (`Config::advertised_host`)"
            ),
        }
    }
}

/// Checks what a node says of itself as its peers do when it greets them: that it is the system `system`, and that it is
/// reached by `host`, if it says so. `certificate` is its own one, in DER. Peers whose options are other than the default,
/// such as [`Verify::uri`], look at other names.
///
/// ```
/// use rakt::remote::certificate::{Authority, Request};
/// use rakt::remote::check_claims;
///
/// # fn main() -> rakt::Result {
/// let shop = Request::new("shop").uri("rakt://prod/shop").host("shop.example");
/// let issued = Authority::generate("prod")?.issue(&shop)?;
/// assert_eq!(check_claims(issued.certificate_der(), "shop", Some("shop.example")), Ok(()));
/// let refused = check_claims(issued.certificate_der(), "shop", Some("10.0.0.8")).expect_err("no such host");
/// assert!(refused.to_string().starts_with("this certificate is for rakt://prod/shop, dns:shop.example"));
/// # Ok(()) }
/// ```
///
/// # Errors
/// What the certificate says, and what the node.
pub fn check_claims(
    certificate: &[u8],
    system: &str,
    host: Option<&str>,
) -> Result<(), ClaimError> {
    check(&certificate.into(), (system, host), &Verify::host(), server_name)
}

/// The same by the options of this node, which may look for another name than a host.
pub(super) fn check(
    leaf: &CertificateDer<'_>,
    (system, host): (&str, Option<&str>),
    verify: &Verify,
    name_of: impl FnOnce(&str) -> Option<ServerName<'static>>,
) -> Result<(), ClaimError> {
    let names = Names::of(leaf);
    for uri in &names.uris {
        let last = uri.rsplit('/').next().unwrap_or(uri);
        if (verify.is_by_uri() || uri.starts_with("rakt://")) && last != system {
            let (certified, said) = (last.to_owned(), system.to_owned());
            return Err(ClaimError::System { certified, said });
        }
    }
    match host {
        // One that has only URIs for names is no host: it may connect, and be dialed by nobody.
        Some(host)
            if verify.is_by_host() && !name_of(host).is_some_and(|name| is_for(leaf, &name)) =>
        {
            let (certified, said) = (names.to_string(), host.to_owned());
            Err(ClaimError::Host { certified, said })
        }
        _ => Ok(()),
    }
}

/// A name or an IP address, as certificates have them.
pub(super) fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(unbracketed(host).to_owned()).ok()
}
