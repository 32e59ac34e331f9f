//! What a certificate says, for people.

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::digest;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use crate::failure::{Failure, Result};

/// In seconds.
const DAY: i64 = 24 * 60 * 60;

/// The parts that decide whether a peer accepts it.
pub(super) struct Certificate {
    subject: String,
    pub(super) issuer: String,
    /// As policies write them: URIs first, then hosts, then addresses.
    pub(super) names: Vec<String>,
    not_before: ASN1Time,
    pub(super) not_after: ASN1Time,
    usages: Vec<&'static str>,
    key: String,
    sha256: String,
}

impl Certificate {
    pub(super) fn read(der: &[u8]) -> Result<Self> {
        let (_, read) = X509Certificate::from_der(der)
            .map_err(|error| Failure::new(format!("the certificate cannot be read: {error}")))?;
        let digest = digest::digest(&digest::SHA256, der);
        let bytes: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            subject: shown(&read.subject().to_string()),
            issuer: shown(&read.issuer().to_string()),
            names: names(&read),
            not_before: read.validity().not_before,
            not_after: read.validity().not_after,
            usages: usages(&read),
            key: key(&read),
            sha256: bytes.join(":"),
        })
    }

    /// The name by which the peer is shown: its fingerprint if it has none.
    pub(super) fn identity(&self) -> String {
        let fingerprint = || format!("sha256:{}", self.sha256.replace(':', ""));
        self.names.first().cloned().unwrap_or_else(fingerprint)
    }

    /// How holders of a secret are known whose authority this is: [`Secret::identity`](rakt::remote::Secret::identity).
    pub(super) fn secret_identity(&self) -> String {
        format!("secret:{}", self.sha256.split(':').take(4).collect::<String>())
    }

    /// Whether it has this name of a host, or this address.
    pub(super) fn is_for(&self, host: &str) -> bool {
        let name = match host.parse::<IpAddr>() {
            Ok(address) => format!("ip:{address}"),
            Err(_) => format!("dns:{}", host.to_ascii_lowercase()),
        };
        self.names.contains(&name)
    }

    /// How long it is still valid.
    pub(super) fn left(&self) -> String {
        span(self.not_after.timestamp() - ASN1Time::now().timestamp())
    }

    /// How long it is valid from now, or how long it is not.
    pub(super) fn standing(&self) -> String {
        let (now, end) = (ASN1Time::now().timestamp(), self.not_after.timestamp());
        if now < self.not_before.timestamp() {
            "not valid yet".into()
        } else if now > end {
            format!("ended {} ago", span(now - end))
        } else {
            format!("{} left", self.left())
        }
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = if self.names.is_empty() { "none".into() } else { self.names.join(", ") };
        let (from, to) = (day(self.not_before), day(self.not_after));
        writeln!(f, "  subject  {}", self.subject)?;
        writeln!(f, "  names    {names}")?;
        writeln!(f, "  valid    {from} to {to} ({})", self.standing())?;
        writeln!(f, "  issuer   {}", self.issuer)?;
        writeln!(f, "  for      {}", self.usages.join(", "))?;
        writeln!(f, "  key      {}", self.key)?;
        writeln!(f, "  SHA-256  {}", self.sha256)
    }
}

/// The day and time, in UTC.
pub(super) fn day(time: ASN1Time) -> String {
    let time = time.to_datetime();
    let (hour, minute) = (time.hour(), time.minute());
    format!("{} {hour:02}:{minute:02} UTC", time.date())
}

/// A time in whole days, or in hours where it is short.
fn span(seconds: i64) -> String {
    let (unit, len) = if seconds < 2 * DAY { ("hours", DAY / 24) } else { ("days", DAY) };
    format!("{} {unit}", (seconds.max(0) + len / 2) / len)
}

/// Without what would move the cursor of a terminal: a certificate may be a stranger's.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn names(read: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(all)) = read.subject_alternative_name() else { return Vec::new() };
    let mut names: Vec<_> = all.value.general_names.iter().map(name).collect();
    names.sort_by_key(|(kind, _)| *kind);
    names.into_iter().map(|(_, name)| shown(&name)).collect()
}

/// A name, and the place of its kind among the others.
fn name(name: &GeneralName<'_>) -> (u8, String) {
    match name {
        // One without an authority could be taken for a name of another kind.
        GeneralName::URI(uri) if uri.contains("://") => (0, (*uri).to_owned()),
        GeneralName::DNSName(host) => (1, format!("dns:{}", host.to_ascii_lowercase())),
        GeneralName::IPAddress(bytes) => (2, address(bytes)),
        other => (3, format!("{other} (means nothing to rakt)")),
    }
}

fn address(bytes: &[u8]) -> String {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    address.map_or_else(|_| "ip: damaged".into(), |address| format!("ip:{address}"))
}

fn usages(read: &X509Certificate<'_>) -> Vec<&'static str> {
    if read.is_ca() {
        return vec!["an authority"];
    }
    let Ok(Some(usage)) = read.extended_key_usage() else { return vec!["any use"] };
    let usage = usage.value;
    let all =
        [(usage.server_auth, "server"), (usage.client_auth, "client"), (usage.any, "any use")];
    let named: Vec<_> =
        all.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect();
    if named.is_empty() { vec!["neither end of a connection"] } else { named }
}

fn key(read: &X509Certificate<'_>) -> String {
    let key = read.public_key();
    match (key.parsed(), key.algorithm.algorithm.to_id_string().as_str()) {
        (_, "1.3.101.112") => "Ed25519".into(),
        // 521 bits are written in 66 bytes.
        (Ok(PublicKey::EC(point)), _) => format!("ECDSA, P-{}", point.key_size().min(521)),
        (Ok(PublicKey::RSA(rsa)), _) => format!("RSA, {} bits", rsa.key_size()),
        (_, oid) => oid.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rakt::remote::Secret;

    use super::*;

    #[test]
    fn whom_a_certificate_means_is_what_nodes_say() -> Result<()> {
        let secret = Secret::generate();
        // An authority has no names.
        let nameless = Certificate::read(secret.authority()?.certificate_der())?;
        assert_eq!(nameless.secret_identity(), secret.identity()?);
        let digits = secret.identity()?.split_off("secret:".len());
        let identity = nameless.identity();
        assert!(identity.starts_with(&format!("sha256:{digits}")), "{identity}");
        assert_eq!(identity.len(), "sha256:".len() + 64, "{identity}");
        Ok(())
    }
}
