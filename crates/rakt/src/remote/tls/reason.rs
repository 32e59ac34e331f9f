//! Why a handshake came to nothing, in words that say what to mend.

use std::error::Error as _;
use std::time::Duration;

use rustls::{
    AlertDescription, CertRevocationListError, CertificateError, Error, InvalidMessage,
    PeerIncompatible,
};
use rustls_pki_types::{ServerName, UnixTime};

use super::names::listed;
use super::verify::Unfit;

/// What is wrong, in words.
pub(crate) fn of(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::NoCertificatesPresented => {
            "it has shown no certificate, and this node asks for one: \
             `Tls::allow_anonymous_clients` takes peers without"
                .to_owned()
        }
        Error::NoApplicationProtocol => {
            "it offers none of the application protocols of this node, \
             which is \"rakt/1\": it is no node of rakt"
                .to_owned()
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => NO_TLS.to_owned(),
        Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge,
        ) => "it has sent a message of more than 64 KiB, or so large a chain of certificates"
            .to_owned(),
        Error::InvalidCertRevocationList(error) => {
            format!("the list of revoked certificates here cannot be used: {}", of_list(error))
        }
        Error::InappropriateMessage { .. } => format!("{NO_TLS} ({error})"),
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => OLD_TLS.to_owned(),
        Error::Other(other) => {
            other.source().map_or_else(|| other.to_string(), ToString::to_string)
        }
        other => other.to_string(),
    }
}

const NO_TLS: &str = "what it sends is not TLS";
const OLD_TLS: &str = "it speaks no TLS 1.3, which is the only version here";

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "its certificate was not issued by a CA that this node trusts: both \
             sides need the same CA, and a chain its intermediates"
                .to_owned()
        }
        CertificateError::ExpiredContext { time, not_after } => {
            format!("its certificate has expired {} ago", between(*not_after, *time))
        }
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "its certificate is not valid before {} from now: are the clocks right?",
            between(*time, *not_before)
        ),
        CertificateError::NotValidYet => "its certificate is not valid yet".to_owned(),
        CertificateError::Revoked => "its certificate was revoked".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = shown(expected);
            format!(
                "its certificate is not for {expected}, by which it was dialed, but for {}: issue it with that name, \
                 or say with `Tls::server_name` which of its names it has there",
                presented_names(presented)
            )
        }
        CertificateError::InvalidPurposeContext { required, .. } => format!(
            "its certificate is not for {required}: a node's needs both serverAuth and clientAuth"
        ),
        CertificateError::InvalidPurpose => {
            "its certificate is for another purpose: a node's needs both serverAuth and clientAuth"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "its certificate is of a CA that has the name of one that this node trusts, and another key: is it another \
             secret, or a CA that was made anew? Or its key is too weak: those of RSA need 2048 bits"
                .to_owned()
        }
        // What the verifier says names all it would take, at length; how long the rest is is for the peer to say.
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its certificate is signed in a way that is not accepted: use ECDSA with P-256 or P-384, Ed25519, or RSA \
             with 2048 bits and SHA-256"
                .to_owned()
        }
        CertificateError::UnhandledCriticalExtension => {
            "its certificate has a critical extension that is unknown here".to_owned()
        }
        CertificateError::BadEncoding => "its certificate cannot be read".to_owned(),
        CertificateError::ExpiredRevocationListContext { .. }
        | CertificateError::ExpiredRevocationList => {
            "the list of revoked certificates here has expired".to_owned()
        }
        // What was found by this crate, or by the verifier where there is no word for it.
        CertificateError::Other(other) => match other.source() {
            Some(source) => of_verifier(source),
            None => CANNOT_BE_USED.to_owned(),
        },
        other => format!("its certificate cannot be used: {other}"),
    }
}

const CANNOT_BE_USED: &str = "its certificate cannot be used";

/// What is wrong, where a verifier says so for which there is no error.
fn of_verifier(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(error) = error.downcast_ref::<Unfit>() {
        return error.to_string();
    }
    let what = match error.downcast_ref() {
        Some(webpki::Error::CaUsedAsEndEntity) => "is that of a CA: a node needs one of its own",
        Some(webpki::Error::EndEntityUsedAsCa) => {
            "was issued with a certificate that is not that of a CA"
        }
        Some(webpki::Error::NameConstraintViolation) => {
            "has names that its CA may not give: look at the CA's name constraints"
        }
        Some(webpki::Error::PathLenConstraintViolated) => {
            "is of a CA below one that may not issue CAs so far below: look at its path length"
        }
        Some(
            webpki::Error::MaximumPathDepthExceeded
            | webpki::Error::MaximumPathBuildCallsExceeded
            | webpki::Error::MaximumSignatureChecksExceeded
            | webpki::Error::MaximumNameConstraintComparisonsExceeded,
        ) => return "it takes too much to look for a way from it to a trusted CA: the chain, or its names, are too many".to_owned(),
        Some(webpki::Error::UnsupportedCertVersion) => "is not of X.509 version 3",
        Some(error) => return format!("{CANNOT_BE_USED}: {error}"),
        None => return CANNOT_BE_USED.to_owned(),
    };
    format!("its certificate {what}")
}

/// What is wrong with a list of revoked certificates.
fn of_list(error: &CertRevocationListError) -> &'static str {
    match error {
        CertRevocationListError::BadSignature => {
            "it has no valid signature of the CA that it names"
        }
        CertRevocationListError::IssuerInvalidForCrl => {
            "the CA that it names may not sign such lists: its key usage has no cRLSign"
        }
        CertRevocationListError::ParseError => "it cannot be read",
        CertRevocationListError::UnsupportedDeltaCrl => "it is a delta, which is not supported",
        CertRevocationListError::UnsupportedIndirectCrl => {
            "it is of another than the CA itself, which is not supported"
        }
        _ => "it is of a kind that is not supported",
    }
}

/// What the peer says is wrong, as this node can mend it.
fn of_alert(alert: AlertDescription) -> String {
    let (what, name) = match alert {
        AlertDescription::CertificateRequired => {
            ("it asks for a certificate, and was shown none", "certificate_required")
        }
        AlertDescription::UnknownCA => (
            "it does not trust the CA of this node's certificate: both sides need the same CA",
            "unknown_ca",
        ),
        AlertDescription::CertificateExpired => (
            "for it, this node's certificate has expired, or is not valid yet: renew it, and look at the clocks",
            "certificate_expired",
        ),
        AlertDescription::CertificateRevoked => {
            ("this node's certificate was revoked", "certificate_revoked")
        }
        AlertDescription::BadCertificate => (
            "it does not accept this node's certificate, as when it has dialed a name that is not in there; its log \
             says why",
            "bad_certificate",
        ),
        AlertDescription::CertificateUnknown => {
            ("it does not accept this node's certificate; its log says why", "certificate_unknown")
        }
        AlertDescription::UnsupportedCertificate => (
            "for it, this node's certificate is for another purpose: it needs both serverAuth and clientAuth",
            "unsupported_certificate",
        ),
        AlertDescription::DecryptError => (
            "for it, this node's certificate, or what it proves to hold its key, has no valid signature: another CA \
             of the same name, or a weak key",
            "decrypt_error",
        ),
        AlertDescription::HandshakeFailure => (
            "it has no version, cipher or group in common with this node, which speaks TLS 1.3 only",
            "handshake_failure",
        ),
        AlertDescription::AccessDenied => {
            ("it does not let this node in; its log says why", "access_denied")
        }
        AlertDescription::NoApplicationProtocol => (
            "it is no node of rakt: it does not know the application protocol \"rakt/1\"",
            "no_application_protocol",
        ),
        AlertDescription::ProtocolVersion => (OLD_TLS, "protocol_version"),
        AlertDescription::UnexpectedMessage => (
            "it takes no TLS, only plain connections: it needs `Config::tls` too",
            "unexpected_message",
        ),
        other => return format!("it has ended the handshake ({other:?})"),
    };
    format!("{what} (alert {name})")
}

/// How long one time is before the other, in the largest unit of which there are two.
fn between(earlier: UnixTime, later: UnixTime) -> String {
    let seconds = later.as_secs().saturating_sub(earlier.as_secs());
    span(Duration::from_secs(seconds))
}

/// A time in words, rounded down.
pub(crate) fn span(time: Duration) -> String {
    match time.as_secs() {
        s if s < 120 => format!("{s} s"),
        s if s < 2 * 3600 => format!("{} min", s / 60),
        s if s < 2 * 86_400 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

fn shown(name: &ServerName<'_>) -> String {
    match name {
        ServerName::IpAddress(address) => {
            format!("the IP address {}", std::net::IpAddr::from(*address))
        }
        other => format!("{:?}", other.to_str()),
    }
}

/// The names of a certificate, as the verifier writes them.
fn presented_names(presented: &[String]) -> String {
    let name = |shown: &String| {
        let inner = shown.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(shown).trim_matches('"').to_owned()
    };
    listed(presented.iter().map(name))
}

/// What is wrong, where the certificate of this node comes of a secret, and a peer's should.
pub(super) fn of_holder(error: &Error) -> String {
    const GIVE: &str = "give both the same, or have each trust that of the other while it is changed (`Tls::also_trust`)";
    match error {
        // The authorities of all secrets have one name, and each its own key.
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            format!("it has another secret than this node: {GIVE}")
        }
        Error::AlertReceived(AlertDescription::DecryptError) => {
            format!("it has another secret than this node: {GIVE} (alert decrypt_error)")
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate does not come of a secret, and this node goes by one: give it the secret, or files that \
             `rakt cert from-secret` makes"
                .to_owned()
        }
        Error::AlertReceived(AlertDescription::UnknownCA) => {
            "it does not go by a secret as this node does, but by a CA: give it the secret, or files that \
             `rakt cert from-secret` makes (alert unknown_ca)"
                .to_owned()
        }
        other => of(other),
    }
}

/// The error of TLS that an error of a stream comes from.
pub(super) fn inside(error: &std::io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// What is wrong, where an error of a stream comes from TLS.
pub(crate) fn of_io(error: &std::io::Error) -> Option<String> {
    inside(error).map(of)
}
