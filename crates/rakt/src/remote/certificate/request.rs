//! What is to be issued.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use rustls_pki_types::DnsName;
use time::OffsetDateTime;

use super::error::CertificateError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_LIFE: Duration = DAY.saturating_mul(90);
const MAX_LIFE: Duration = DAY.saturating_mul(36_525);
/// The clock of whom it is shown to may be slow by this much.
const BACKDATED: Duration = Duration::from_secs(60 * 60);
/// What X.520 allows for a common name.
const MAX_NAME_CHARS: usize = 64;

/// The certificate that a node is to have: its names, and for how long it is valid.
///
/// Nothing is checked before [`Authority::issue`](super::Authority::issue).
#[derive(Clone, Debug)]
#[must_use = "it has an effect only where an authority issues it"]
pub struct Request {
    pub(super) name: String,
    hosts: Vec<String>,
    uris: Vec<String>,
    life: Duration,
    start: Option<SystemTime>,
}

impl Request {
    /// For a node of this name, 1 to 64 characters. People read it in the certificate; nobody is known by it: that is
    /// what hosts and URIs are for, of which there must be one at least.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            hosts: Vec::new(),
            uris: Vec::new(),
            life: DEFAULT_LIFE,
            start: None,
        }
    }

    /// A host by which peers dial the node: a DNS name or an IP address. A `*.` in front stands for one label.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// A URI as a name of the node, such as `spiffe://prod.example/rakt/shop-1`; one of SPIFFE at most.
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.uris.push(uri.into());
        self
    }

    /// For how long it is valid, to the second. Default 90 days, up to 100 years, and not beyond the end of the
    /// authority.
    pub fn life(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    /// When its life begins. Default: now, and it is valid one hour before that too, since clocks differ.
    pub fn valid_from(mut self, start: SystemTime) -> Self {
        self.start = Some(start);
        self
    }

    pub(super) fn params(&self) -> Result<CertificateParams, CertificateError> {
        let mut params = named(&self.name)?;
        (params.not_before, params.not_after) = period(&self.name, self.start, self.life)?;
        let hosts = self.hosts.iter().map(|host| host_name(host));
        for name in hosts.chain(self.uris.iter().map(|uri| uri_name(uri))) {
            let name = name?;
            // Several who ask for one may each have named the same host.
            if !params.subject_alt_names.contains(&name) {
                params.subject_alt_names.push(name);
            }
        }
        if params.subject_alt_names.is_empty() {
            return Err(CertificateError::NoNames { name: self.name.clone() });
        }
        let mut of_spiffe = self.uris.iter().filter(|uri| uri.starts_with("spiffe:"));
        let first = of_spiffe.next();
        if let Some(second) = of_spiffe.find(|uri| Some(*uri) != first) {
            let (name, second) = (self.name.clone(), second.clone());
            return Err(CertificateError::TwoSpiffe { name, second });
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params)
    }
}

/// Of somebody of this name, and no more.
pub(super) fn named(name: &str) -> Result<CertificateParams, CertificateError> {
    let len = name.chars().count();
    if len == 0 || len > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        return Err(CertificateError::Name { name: name.to_owned() });
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// The first and the last moment of a life.
pub(super) fn period(
    name: &str,
    start: Option<SystemTime>,
    life: Duration,
) -> Result<(OffsetDateTime, OffsetDateTime), CertificateError> {
    let wrong = || CertificateError::Life { name: name.to_owned() };
    if life.as_secs() == 0 || life > MAX_LIFE {
        return Err(wrong());
    }
    let first = start.or_else(|| SystemTime::now().checked_sub(BACKDATED)).ok_or_else(wrong)?;
    let last = start.unwrap_or_else(SystemTime::now).checked_add(life).ok_or_else(wrong)?;
    Ok((moment(first).ok_or_else(wrong)?, moment(last).ok_or_else(wrong)?))
}

/// A time of 1970 or later, in whole seconds.
pub(super) fn moment(time: SystemTime) -> Option<OffsetDateTime> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    OffsetDateTime::from_unix_timestamp(seconds.try_into().ok()?).ok()
}

fn host_name(host: &str) -> Result<SanType, CertificateError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let wrong = || CertificateError::Host { host: host.to_owned() };
    let plain = host.strip_prefix("*.").unwrap_or(host);
    if plain.ends_with('.') || DnsName::try_from(plain).is_err() {
        return Err(wrong());
    }
    // Names are compared without regard to case, and policies grant to lower case.
    host.to_ascii_lowercase().try_into().map(SanType::DnsName).map_err(|_| wrong())
}

fn uri_name(uri: &str) -> Result<SanType, CertificateError> {
    let wrong = || CertificateError::Uri { uri: uri.to_owned() };
    // Nobody is known by a URI without `//`: it could be taken for a name of another kind.
    let (scheme, rest) = uri.split_once("://").ok_or_else(wrong)?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme || rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    uri.to_owned().try_into().map(SanType::URI).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_refused_by_name() {
        for host in [
            "",
            "a b",
            "a.",
            ".",
            "http://a",
            "a:1",
            "*",
            "a.*",
            "*.*.a",
            "[::1]",
            "ä.example",
            "a\0b",
        ] {
            let error = Request::new("a").host(host).params().expect_err(host);
            assert!(
                matches!(&error, CertificateError::Host { host: named } if named == host),
                "{error}"
            );
        }
        for uri in [
            "",
            "a",
            "://a",
            "1://a",
            "a://",
            "dns:a",
            "urn:a:b",
            "spiffe://ä",
            "spiffe://a b",
            "a_b://c",
        ] {
            let error = Request::new("a").uri(uri).params().expect_err(uri);
            assert!(
                matches!(&error, CertificateError::Uri { uri: named } if named == uri),
                "{error}"
            );
        }
        for name in ["", "a\n", &"a".repeat(65)] {
            let error = Request::new(name).host("a").params().expect_err(name);
            assert!(matches!(error, CertificateError::Name { .. }), "{error}");
        }
        let none = Request::new("a").params();
        assert!(matches!(none, Err(CertificateError::NoNames { .. })));
        let two = Request::new("a").uri("spiffe://a/b").uri("spiffe://a/c").params();
        assert!(
            matches!(two, Err(CertificateError::TwoSpiffe { second, .. }) if second == "spiffe://a/c")
        );
    }

    #[test]
    fn names_of_hosts_are_written_in_lower_case() {
        let params = Request::new("a").host("*.Shop.example").host("::1").params().expect("names");
        let dns = SanType::DnsName("*.shop.example".try_into().expect("ASCII"));
        assert_eq!(
            params.subject_alt_names,
            [dns, SanType::IpAddress("::1".parse().expect("an address"))]
        );
    }

    #[test]
    fn a_name_that_is_given_twice_is_written_once() {
        let hosts = ["127.0.0.1", "Shop.example", "127.0.0.1", "shop.example", "::1", "0:0::1"];
        let request = hosts.into_iter().fold(Request::new("a"), Request::host);
        let params = request.uri("rakt://a/b").uri("rakt://a/b").params().expect("names");
        assert_eq!(params.subject_alt_names.len(), 4, "{:?}", params.subject_alt_names);
    }

    #[test]
    fn a_life_that_cannot_be_written_is_refused() {
        let lives = [Duration::ZERO, Duration::from_millis(999), MAX_LIFE + DAY, Duration::MAX];
        for life in lives {
            let error = Request::new("a").host("a").life(life).params().expect_err("a life");
            assert!(matches!(error, CertificateError::Life { .. }), "{error}");
        }
        let before_1970 = SystemTime::UNIX_EPOCH - DAY;
        assert!(Request::new("a").host("a").valid_from(before_1970).params().is_err());
    }
}
