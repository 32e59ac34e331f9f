//! `rakt cert check`: is a node accepted, and does it accept us?
//!
//! | files | what is in them |
//! | --- | --- |
//! | `connect`, `greeting` | a connection and its greeting, as a node makes them |
//! | `ours` | whom we trust, and who we are |
//! | `reason` | why it has failed, and what mends that |
//! | `plain` | whether a node speaks without TLS |

mod connect;
mod greeting;
mod ours;
mod plain;
mod reason;

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rakt::remote::check_claims;
use rakt_wire::native::Hello;
use rustls_pki_types::{CertificateDer, ServerName};

use self::connect::{Answer, Ending};
use self::ours::Ours;
use super::describe::Certificate;
use crate::failure::{Failure, Result, print};

#[derive(Args)]
pub(crate) struct Options {
    /// Where the node listens, as peers dial it: `HOST:PORT`, `[IPv6]:PORT`.
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    target: Target,
    /// The authority that the node's certificate has to come from. Default: that of the secret.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// In place of an authority and a certificate: the file with the secret that the node shares; `-` is the standard
    /// input. Default: the environment variable `RAKT_SECRET`, unless there is an authority.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ca", "cert"])]
    secret_file: Option<PathBuf>,
    /// A certificate to show to the node.
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca"])]
    cert: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The name that must be in the node's certificate. Default: HOST; with a secret `rakt.internal`.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// The node is one of GoAkt, which does not name the protocol that it speaks.
    #[arg(long)]
    goakt: bool,
}

/// A host and a port.
#[derive(Clone)]
struct Target {
    host: String,
    port: u16,
}

fn target(text: &str) -> std::result::Result<Target, String> {
    if text.contains("://") {
        return Err("give the host and the port alone: HOST:PORT".into());
    }
    let (host, port) = text.rsplit_once(':').ok_or("a port is missing: HOST:PORT")?;
    let port = port.parse().map_err(|_| "the port is no number up to 65535")?;
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || (host.contains(':') && !is_bracketed) {
        return Err("write an IPv6 address in brackets: [::1]:3321".into());
    }
    Ok(Target { host: host.into(), port })
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("there is no runtime: {error}")))?;
    let checked = runtime.block_on(check(options));
    // A name server that does not answer keeps a thread, which nobody needs to wait for any more.
    runtime.shutdown_background();
    let (report, is_accepted) = checked?;
    print(report)?;
    Ok(if is_accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The report, and whether both ends accept each other.
async fn check(options: &Options) -> Result<(String, bool)> {
    let Target { host, port } = &options.target;
    let ours = Ours::read(options)?;
    let name = options.server_name.as_deref().unwrap_or(ours.server_name.unwrap_or(host));
    let check = |leaf: &CertificateDer<'_>, hello: &Hello| {
        let advertised = hello.advertised.as_ref().map(|(host, _)| host.as_str());
        // All who hold a secret are equal, and what is dialed has the name that was given.
        let is_known = |it: &&str| ours.server_name.is_some() || (*it == host && name != host);
        check_claims(leaf, &hello.system, advertised.filter(|it| !is_known(it)))
    };
    let dialer = connect::Dialer {
        target: (host, *port),
        name: ServerName::try_from(name.to_owned())
            .map_err(|_| Failure::new(format!("{name:?} is no name of a host")))?,
        roots: ours.roots.clone(),
        own: ours.pair.clone(),
        offers_rakt: !options.goakt,
        system: &ours.system,
        check: &check,
    };
    let answer = dialer.dial().await?;
    let mut report = String::new();
    for (at, der) in (1..).zip(&answer.chain) {
        let _ = writeln!(report, "certificate {at} of {host}:{port}\n{}", Certificate::read(der)?);
    }
    let verdict = verdict(options, &ours, name, &answer).await;
    match &verdict {
        Ok(accepted) => report.push_str(accepted),
        Err(refused) => {
            let _ = write!(report, "no: {refused}");
        }
    }
    Ok((report, verdict.is_ok()))
}

/// What each end makes of the other.
async fn verdict(options: &Options, ours: &Ours, name: &str, answer: &Answer) -> Result<String> {
    let Target { host, port } = &options.target;
    let error = match &answer.ending {
        Ending::Failed(error) => error,
        Ending::Greeted(Ok(hello)) => return accepted(options, ours, answer, Some(hello)),
        Ending::Greeted(Err(error)) => return Err(reason::of_greeting(error)),
        Ending::Untrue(wrong) => return Err(reason::of_claim(wrong)),
        Ending::Silent => {
            return Err(Failure::new("the node has not answered the greeting within 5 s")
                .mend("its log may tell why: is its machine out of breath?"));
        }
        Ending::Open if options.goakt => return accepted(options, ours, answer, None),
        Ending::Open => {
            return Err(Failure::new("it speaks TLS, but does not name the protocol rakt/1")
                .mend("give --goakt if it is a node of GoAkt; nodes of rakt do not talk to other services"));
        }
    };
    if answer.chain.is_empty() && plain::speaks_rakt(host, *port, &ours.system).await {
        return Err(Failure::new("this node speaks plain rakt, no TLS")
            .mend("give it Config::tls, or dial it without TLS"));
    }
    let leaf = answer.chain.first().map(|der| Certificate::read(der)).transpose()?;
    Err(reason::of(error, &reason::Known { ours, name, leaf: leaf.as_ref() }))
}

fn accepted(
    options: &Options,
    ours: &Ours,
    answer: &Answer,
    hello: Option<&Hello>,
) -> Result<String> {
    let Target { host, port } = &options.target;
    let mut text = format!("ok: {host}:{port} is accepted");
    // The certificate that a node makes of its secret tells that it has one; such a node knows its peers by the secret.
    let mut is_of_secret = false;
    if let Some(der) = answer.chain.first() {
        let node = Certificate::read(der)?;
        let identity = ours.identity.clone().unwrap_or_else(|| node.identity());
        is_of_secret = node.names.iter().any(|name| name.starts_with("rakt://secret/"));
        let _ = write!(text, " as {identity}, for {} more", node.left());
    }
    text.push('\n');
    if let Some(Hello { system, advertised, .. }) = hello {
        let reached = advertised.as_ref().map(|(host, port)| format!(", reached by {host}:{port}"));
        let _ =
            writeln!(text, "ok: it greets as the system {system:?}{}", reached.unwrap_or_default());
    }
    let shown = &ours.shown;
    match (&ours.pair, answer.was_asked) {
        (Some(pair), true) => {
            let own = Certificate::read(&pair.cert[0])?;
            let with_secret = ours.with_secret.clone().filter(|_| is_of_secret);
            let identity = ours.identity.clone().or(with_secret);
            let identity = identity.unwrap_or_else(|| own.identity());
            let _ = writeln!(text, "ok: it accepts {shown} as {identity}");
        }
        (Some(_), false) => {
            let _ =
                writeln!(text, "note: it does not ask for a certificate, so {shown} was not shown");
        }
        (None, true) => {
            text.push_str("note: it asks for a certificate, and accepts a client without one\n")
        }
        (None, false) => text.push_str("note: it asks clients for no certificate\n"),
    }
    Ok(text)
}
