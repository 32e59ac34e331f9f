//! Why a handshake has failed, and what mends that.

use std::io::{self, ErrorKind};

use rakt::error::Chain;
use rakt::remote::ClaimError;
use rakt_wire::native::{HandshakeError, RefuseReason};
use rustls::{AlertDescription, CertificateError, Error};

use super::ours::Ours;
use crate::cert::describe::{Certificate, day};
use crate::failure::Failure;

/// What is known beside the error itself.
pub(super) struct Known<'a> {
    pub(super) ours: &'a Ours,
    /// The name that must be in the node's certificate.
    pub(super) name: &'a str,
    /// The node's certificate, if it has come to that.
    pub(super) leaf: Option<&'a Certificate>,
}

pub(super) fn of(error: &io::Error, known: &Known<'_>) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(error)) => of_their_certificate(error, known),
        Some(Error::AlertReceived(alert)) => of_alert(*alert, known),
        Some(Error::InvalidMessage(_)) => no_tls(),
        Some(other) => Failure::new(format!("the handshake has failed: {other}")),
        None => of_io(error, known),
    }
}

fn no_tls() -> Failure {
    Failure::new("what listens there does not speak TLS").mend("is it the port of the node?")
}

fn of_io(error: &io::Error, known: &Known<'_>) -> Failure {
    let ended = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    match (error.kind(), known.leaf) {
        (kind, Some(_)) if ended.contains(&kind) => Failure::new(
            "the node has ended the connection as it saw our certificate, or saw none, without a word",
        )
        .mend("its log tells why; does it trust the authority of the certificate given by --cert?"),
        (kind, None) if ended.contains(&kind) => {
            Failure::new("the connection was ended as TLS began")
                .mend("does this port speak TLS, and is it the node's?")
        }
        (ErrorKind::TimedOut, _) => Failure::new("there was no answer for 5 s as TLS began")
            .mend("does this port speak TLS, and is it the node's?"),
        _ => Failure::new(format!("the connection has failed: {error}")),
    }
}

/// We do not accept the node.
fn of_their_certificate(error: &CertificateError, known: &Known<'_>) -> Failure {
    let (ca, name) = (&known.ours.authority, known.name);
    let issuer = known.leaf.map_or("somebody", |leaf| &leaf.issuer);
    let names = known.leaf.map(|leaf| leaf.names.join(", "));
    let names = names.filter(|names| !names.is_empty()).unwrap_or_else(|| "none".into());
    match error {
        CertificateError::BadSignature if known.ours.identity.is_some() => {
            Failure::new("the node has another secret")
                .mend("give the node this secret, or have each trust that of the other while it is changed")
        }
        CertificateError::UnknownIssuer if known.ours.identity.is_some() => {
            Failure::new(format!("the node has no secret, but a certificate that names {issuer:?} as its issuer"))
                .mend("give the node this secret, or check it with --ca")
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Failure::new(format!(
            "the certificate of the node does not come from the authority of {ca}: it names {issuer:?} as its issuer"
        ))
        .mend(
            "give --ca the certificate of that authority, or the node a certificate of this one; those between the two \
             belong into the node's file",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let end = known.leaf.map_or_else(String::new, |leaf| format!(" on {}", day(leaf.not_after)));
            Failure::new(format!("the certificate of the node, or of its authority, has ended{end}"))
                .mend("issue a new one: rakt cert node NAME --ca CA --ca-key KEY; nodes read it while they run")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Failure::new("the certificate of the node is not valid yet")
                .mend("compare the clocks of this machine and of the one that has issued it")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Failure::new(format!("the certificate of the node is not for {name:?}: its names are {names}"))
                .mend(format!(
                    "dial one of those names, or issue it with --host {name}; --server-name NAME checks for another"
                ))
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Failure::new("the certificate of the node is not for servers")
                .mend("nodes need both usages: server and client")
        }
        other => Failure::new(format!("the certificate of the node is not accepted: {other}")),
    }
}

/// The node does not accept us.
fn of_alert(alert: AlertDescription, known: &Known<'_>) -> Failure {
    let own = &known.ours.shown;
    match alert {
        AlertDescription::DecryptError if known.ours.identity.is_some() => {
            Failure::new("the node has another secret, and does not trust this one any more")
                .mend("have it trust this one too while the secret is changed: Tls::also_trust")
        }
        AlertDescription::CertificateRequired => {
            Failure::new("the node asks for a certificate").mend("show one: --cert FILE --key FILE")
        }
        AlertDescription::UnknownCA => {
            Failure::new(format!("the node does not trust the authority that has issued {own}"))
                .mend("give the node that authority too, or show a certificate of the authority that it trusts")
        }
        AlertDescription::CertificateExpired => Failure::new(format!("{own} has ended, says the node"))
            .mend("issue a new one, and compare the clocks"),
        AlertDescription::CertificateRevoked => Failure::new(format!("{own} is revoked, says the node")),
        AlertDescription::AccessDenied => Failure::new(format!("the node knows {own}, and does not let it in"))
            .mend("its policy, and whom it accepts (Verify), say whom it does"),
        AlertDescription::NoApplicationProtocol => {
            Failure::new("what listens there is a service of another kind: it does not speak rakt/1")
                .mend("is it the port of the node?")
        }
        AlertDescription::ProtocolVersion => Failure::new("what listens there does not speak TLS 1.3")
            .mend("nodes of rakt speak nothing older; set MinVersion in a Go node"),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError => {
            Failure::new(format!("the node does not accept {own}: {alert:?}")).mend("its log tells why")
        }
        other => Failure::new(format!("the node has refused the handshake: {other:?}"))
            .mend("its log tells why"),
    }
}

/// The node is not the one of its certificate, so all its peers refuse it.
pub(super) fn of_claim(wrong: &ClaimError) -> Failure {
    match wrong {
        ClaimError::System { certified, said } => Failure::new(format!(
            "peers refuse this node: it greets as the system {said:?}, and its certificate is for the system {certified:?}"
        ))
        .mend(format!("give it a certificate for {said:?}, or name its system {certified:?}")),
        ClaimError::Host { certified, said } => Failure::new(format!(
            "peers refuse this node: it says that it is reached by {said:?}, and its certificate is for {certified}"
        ))
        .mend(format!(
            "issue one with --host {said}, or have it advertise a host that is in it: Config::advertised_host"
        )),
        other => Failure::new(format!("peers refuse this node: {other}"))
            .mend("give it a certificate for what it says of itself"),
    }
}

/// The greeting has come to nothing.
pub(super) fn of_greeting(error: &HandshakeError) -> Failure {
    let HandshakeError::RefusedByPeer(reason) = error else {
        let text = Chain(error);
        return Failure::new(format!("peers cannot talk to this node: {text}"))
            .mend("is it a node of rakt, and of a version that they know?");
    };
    let mend = match reason {
        RefuseReason::TooManyConnections => {
            "it has as many connections as it may: Config::max_connections and those beside it"
        }
        RefuseReason::ShuttingDown => "it is about to end: try again when it has started",
        RefuseReason::IncompatibleVersion { .. } | RefuseReason::UnknownRequiredFeature(_) => {
            "take the same version of rakt on both sides"
        }
        _ => "its log tells why, and when",
    };
    Failure::new(format!("the node refuses whoever greets it like this: {reason}")).mend(mend)
}
