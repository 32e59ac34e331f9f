//! The names in a certificate, and whom they make of a peer.

use std::fmt;
use std::net::IpAddr;

#[cfg(feature = "tls")]
use aws_lc_rs::digest;
use rakt_wire::Shown;
#[cfg(not(feature = "tls"))]
use ring::digest;
use rustls_pki_types::{CertificateDer, DnsName, ServerName};
use webpki::{EndEntityCert, Error};

use crate::peer::Identity;
use crate::remote::policy::KINDS;

/// The names of a certificate, for showing and for grants. They are those of a peer only once its certificate has
/// been verified, and nothing that is dialed is compared with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) uris: Vec<String>,
    /// With those that are no names here.
    pub(super) uri_count: usize,
    pub(crate) hosts: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
}

impl Names {
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok(parsed) = EndEntityCert::try_from(certificate) else { return Self::default() };
        Self {
            uri_count: parsed.valid_uri_names().count(),
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

    /// Who it is that has them, in this certificate.
    pub(crate) fn identity(&self, certificate: &CertificateDer<'_>) -> Identity {
        let mut texts = self.texts().peekable();
        match texts.peek() {
            Some(_) => Identity::proven(texts),
            // Two that have no name are not the same.
            None => Identity::proven([fingerprint(certificate)]),
        }
    }
}

/// What a certificate is known by that has no name: `sha256:` and 64 hexadecimal digits.
fn fingerprint(certificate: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, certificate);
    let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    format!("sha256:{}", hex.collect::<String>())
}

/// Whether a certificate is for the one that is dialed by that name.
pub(super) fn is_for(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    EndEntityCert::try_from(certificate)
        .is_ok_and(|parsed| parsed.verify_is_valid_for_subject_name(name).is_ok())
}

/// The names in a line.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&listed(self.texts()))
    }
}

/// As many names as this are shown of a certificate.
const MAX_SHOWN: usize = 8;

/// Names that a peer has chosen, in a line of limited length.
pub(super) fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names = names.peekable();
    if names.peek().is_none() {
        return "no name at all".to_owned();
    }
    let shown: Vec<_> =
        names.by_ref().take(MAX_SHOWN).map(|name| Shown(name).to_string()).collect();
    match names.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whether it is a URI with an authority, as those of SPIFFE are, and could not be taken for another kind of name: who
/// may only sign names of hosts must not be able to write `dns:ops` as a URI. Nor is a text one that breaks a line.
fn is_url(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let is_ours = KINDS.iter().any(|kind| scheme.eq_ignore_ascii_case(kind));
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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(names: Vec<SanType>) -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.subject_alt_names = names;
        params.self_signed(&key).expect("a certificate").der().clone()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().expect("a name"))
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().expect("a URI"))
    }

    #[test]
    fn names_are_told_as_a_policy_writes_them() {
        let ip = |text: &str| SanType::IpAddress(text.parse().expect("an address"));
        let all = [ip("10.0.0.8"), dns("Shop-7.Example"), dns("*.shop.example"), ip("2001:db8::1")];
        let shown = certificate([&all[..], &[uri("spiffe://prod/shop")]].concat());
        let names = Names::of(&shown);
        let told: Vec<_> = names.texts().collect();
        let expected = [
            "spiffe://prod/shop",
            "dns:shop-7.example",
            "dns:*.shop.example",
            "ip:10.0.0.8",
            "ip:2001:db8::1",
        ];
        assert_eq!(told, expected);
        let identity = names.identity(&shown);
        assert!(identity.is_proven());
        assert_eq!(identity.names().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_uri_cannot_be_taken_for_another_kind_of_name() {
        for text in [
            "dns:ops",
            "DNS:ops",
            "ip:10.0.0.8",
            "secret:1f2e3d4c",
            "sha256://0",
            "address:::1",
            "anonymous",
        ] {
            assert_eq!(Names::of(&certificate(vec![uri(text)])).texts().count(), 0, "{text}");
        }
        // Nor is a host one of another kind, nor what is no certificate.
        assert_eq!(
            Names::of(&certificate(vec![dns("anonymous")])).texts().next().as_deref(),
            Some("dns:anonymous")
        );
        assert_eq!(Names::of(&CertificateDer::from(vec![0; 8])), Names::default());
    }

    #[test]
    fn what_has_no_name_is_known_by_what_it_is() {
        let [one, other] = [(); 2].map(|()| certificate(Vec::new()));
        let identity = |of: &CertificateDer<'_>| Names::of(of).identity(of).to_string();
        assert_ne!(identity(&one), identity(&other));
        let known = identity(&one);
        let digits = known.strip_prefix("sha256:").expect("a digest");
        assert!(digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    }
}
