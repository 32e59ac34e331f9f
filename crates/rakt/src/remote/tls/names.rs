//! The names in a certificate, and whom they make of a peer.

use std::net::IpAddr;

use rustls_pki_types::{CertificateDer, DnsName, ServerName};
use webpki::{EndEntityCert, Error};

use crate::peer::Identity;

/// The names of a certificate, for showing and for grants. They are those of a peer only once its certificate has
/// been verified, and nothing that is dialed is compared with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) uris: Vec<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
}

impl Names {
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok(parsed) = EndEntityCert::try_from(certificate) else { return Self::default() };
        Self {
            uris: parsed.valid_uri_names().filter(|uri| is_url(uri)).map(str::to_owned).collect(),
            // Hosts have no case; whoever grants something to one should not have to guess it.
            hosts: parsed.valid_dns_names().map(str::to_ascii_lowercase).collect(),
            addresses: addresses(&parsed),
        }
    }

    /// As a policy writes them.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        let uris = self.uris.iter().cloned();
        let hosts = self.hosts.iter().map(|host| format!("dns:{host}"));
        uris.chain(hosts).chain(self.addresses.iter().map(|address| format!("ip:{address}")))
    }

    /// Whether a certificate, whose names these are, is for the one that is dialed.
    pub(crate) fn have(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
        EndEntityCert::try_from(certificate)
            .is_ok_and(|parsed| parsed.verify_is_valid_for_subject_name(name).is_ok())
    }

    /// Who it is that has them.
    pub(crate) fn identity(&self) -> Identity {
        let mut texts = self.texts().peekable();
        match texts.peek() {
            Some(_) => Identity::proven(texts),
            None => Identity::proven(["unnamed".to_owned()]),
        }
    }
}

/// All names in a line.
impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts: Vec<_> = self.texts().collect();
        match texts.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&texts.join(", ")),
        }
    }
}

/// Whether it is a URI with an authority, as those of SPIFFE are, and could not be taken for another kind of name: who
/// may only sign names of hosts must not be able to write `dns:ops` as a URI.
fn is_url(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let is_ours =
        ["dns", "ip", "address", "secret"].iter().any(|own| scheme.eq_ignore_ascii_case(own));
    !is_ours && rest.starts_with("//")
}

/// The IP addresses: the verifier tells them only to those who have asked for a name that is not there.
fn addresses(certificate: &EndEntityCert<'_>) -> Vec<IpAddr> {
    let nobody = DnsName::try_from("nobody.invalid").expect("it is a name");
    let refused = certificate.verify_is_valid_for_subject_name(&ServerName::DnsName(nobody));
    let Err(Error::CertNotValidForName(context)) = refused else { return Vec::new() };
    let address = |shown: &String| {
        let inner = shown.strip_prefix("IpAddress(")?.strip_suffix(')')?;
        inner.parse().ok()
    };
    context.presented.iter().filter_map(address).collect()
}
