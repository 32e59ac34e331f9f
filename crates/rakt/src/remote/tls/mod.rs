//! TLS between a transport and a dialect.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `mod` | what a user sets: [`Tls`] |
//! | `layer` | the handshakes of a node, or of a client |
//! | `hello` | whether the first message of a handshake is there |
//! | `credential` | a verified certificate, and the connections that it is good for |
//! | `material` | what handshakes need, replaced as a whole |
//! | `verify` | whose certificates are accepted: [`Verify`] |
//! | `claims` | what a node says of itself, held against its certificate |
//! | `names` | the names in a certificate, and whom they make of a peer |
//! | `reason` | why a handshake failed; what is wrong with a node's own certificates is a [`TlsError`] |
//! | `renewal` | certificates over time: reloading, and connections that end with theirs |
//! | `source`, `pems` | where certificates and keys come from |
//! | `stream` | an encrypted connection as a stream |
//! | `provider` | the cryptography |

mod claims;
mod credential;
mod hello;
mod layer;
mod material;
mod names;
mod pems;
mod provider;
mod reason;
mod renewal;
mod source;
mod stream;
mod verify;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

pub use crate::error::tls::TlsError;
pub use claims::{ClaimError, check_claims};
pub use verify::Verify;

pub(crate) use credential::{Credential, Guarded};
pub(crate) use layer::{Fault, Proof, Taken, TlsLayer};
use pems::Place;
use source::Source;

use super::certificate::secret::Secret;
use super::watched::EVERY;
pub(crate) use reason::of_io;
pub(crate) use renewal::look_after;

/// TLS 1.3 with certificates on both sides, for a [node](super::Config::tls) or a [client](super::ClientConfig::tls).
///
/// ```no_run
/// use rakt::remote::{Config, Tls};
///
/// let config = Config::new("0.0.0.0", 3321).tls(Tls::from_files("node.pem", "node.key", "ca.pem"));
/// ```
///
/// A node shows one certificate to whoever it dials and whoever connects, and trusts no CA but those that it is
/// given. There is no fallback to plain connections, no older version, and no session is resumed.
///
/// Nothing is read before the system starts.
#[derive(Clone)]
#[must_use = "it has an effect only where it is given to a configuration"]
pub struct Tls {
    source: Source,
    verify: Option<Verify>,
    server_names: BTreeMap<Box<str>, Box<str>>,
    allow_anonymous: bool,
    allow_readable_key: bool,
    crl: Option<PathBuf>,
    pub(crate) reload_every: Duration,
    pub(crate) replace_every: Duration,
}

impl Tls {
    /// The certificate of this node, followed by those between it and the CA if there are any, its private key, and the
    /// certificates of the CAs to trust, each a file in PEM.
    ///
    /// The certificate has the extended key usages `serverAuth` and `clientAuth`. The files are read again
    /// [every 10 s](Self::reload_every): renewed ones take effect without a restart. A key that everybody on the
    /// machine may read is refused.
    pub fn from_files(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        roots: impl Into<PathBuf>,
    ) -> Self {
        Self::new(Source::Given {
            certificate: Place::File(certificate.into()),
            key: Place::File(key.into()),
            roots: Place::File(roots.into()),
        })
    }

    /// The same as texts in PEM, for what comes from elsewhere than files. They stay as they are.
    pub fn from_pem(
        certificate: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
        roots: impl AsRef<[u8]>,
    ) -> Self {
        let text = |name, bytes: &[u8]| Place::Text(name, Zeroizing::new(bytes.into()));
        Self::new(Source::Given {
            certificate: text("certificate", certificate.as_ref()),
            key: text("key", key.as_ref()),
            roots: text("CA", roots.as_ref()),
        })
    }

    /// Certificates for development, in a directory that all nodes of a machine share: what is not there is made, the
    /// CA too, and renewed a day before its end. Whoever can read the directory can be any of them.
    ///
    /// The certificate is for `localhost`, 127.0.0.1, ::1, the host that is advertised, and `rakt://dev/` with the name of
    /// the system.
    pub fn dev(directory: impl Into<PathBuf>) -> Self {
        Self::new(Source::Directory(directory.into()))
    }

    /// One string on each node in place of certificates and files: each issues itself a certificate, by a CA that is
    /// derived from the [secret](Secret), and renews it each 12 h.
    ///
    /// All holders are equal: peers have the identity [`secret:…`](Secret::identity), whoever of them it is, and no host
    /// is compared when one is dialed. Go nodes find the name `rakt.internal` in each of these certificates.
    pub fn from_secret(secret: Secret) -> Self {
        Self::new(Source::Secrets(vec![secret]))
    }

    /// Trusts the holders of another secret as well: while one takes the place of the other, first each node is given
    /// the new one here, then the two change places, then the old one is left out. It has no effect without
    /// [`from_secret`](Self::from_secret).
    pub fn also_trust(mut self, secret: Secret) -> Self {
        if let Source::Secrets(secrets) = &mut self.source {
            secrets.push(secret);
        }
        self
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            verify: None,
            server_names: BTreeMap::new(),
            allow_anonymous: false,
            allow_readable_key: false,
            crl: None,
            reload_every: EVERY,
            replace_every: Duration::from_secs(60 * 60),
        }
    }

    /// What is wrong with its options.
    pub(crate) fn fault(&self) -> Option<(String, &'static str)> {
        self.verify.as_ref()?.fault()
    }

    /// Whom this node accepts. Default: [`Verify::host`].
    pub fn verify(mut self, verify: Verify) -> Self {
        self.verify = Some(verify);
        self
    }

    /// The name that a peer has in its certificate which is dialed as `host`: where its addresses name it by an IP
    /// address that is not in its certificate, for example. Default: the host itself.
    pub fn server_name(mut self, host: impl Into<String>, name: impl Into<String>) -> Self {
        self.server_names.insert(host.into().into(), name.into().into());
        self
    }

    /// Takes connections of peers that show no certificate. Their identity is `anonymous`, and what they may do is for
    /// the policy to say. Default: they are refused.
    pub fn allow_anonymous_clients(mut self) -> Self {
        self.allow_anonymous = true;
        self
    }

    /// Takes a private key although everybody on the machine may read its file. Default: it is refused.
    pub fn allow_readable_key(mut self) -> Self {
        self.allow_readable_key = true;
        self
    }

    /// A file with lists of revoked certificates in PEM, one for each CA that publishes some. It is read again with the
    /// others. Certificates of a CA without a list count as not revoked. A list that has expired still counts: whoever
    /// is on it stays out, and all others are let in. Default: none.
    pub fn crl(mut self, path: impl Into<PathBuf>) -> Self {
        self.crl = Some(path.into());
        self
    }

    /// For how long a connection that was dialed here is used before another takes its place, so that renewed certificates
    /// of peers take effect. Default 1 h, at least 1 s. Nothing is lost or overtaken by that.
    ///
    /// A CA can be withdrawn without a failed request when this time has passed since the last node has a certificate of
    /// another one.
    pub fn replace_connections_every(mut self, interval: Duration) -> Self {
        self.replace_every = interval;
        self
    }

    /// How often the files are looked at for changes. Default 10 s, more than zero. Their contents are compared, so
    /// that it does not matter how they are replaced.
    pub fn reload_every(mut self, interval: Duration) -> Self {
        self.reload_every = interval;
        self
    }
}

/// Leaves out what is secret.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("source", &self.source)
            .field("verify", &self.verify)
            .field("allow_anonymous_clients", &self.allow_anonymous)
            .finish_non_exhaustive()
    }
}
