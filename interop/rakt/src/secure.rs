//! TLS out of the files that `interop-certs` writes.

use std::path::Path;

use rakt::remote::{Config, Policy, Role, Tls, Verb};
use rakt::{BoxError, Result};

use crate::flags::Flags;

/// The flags that [`apply`] knows.
pub const FLAGS: [&str; 3] = ["certs", "anonymous", "secret"];

/// What `--certs DIR` says, if anything: with a certificate of the CA there; with `--secret true` by the secret
/// there. With `--anonymous true` peers without a certificate are taken as well: they may ask the echo, and no more.
pub fn apply(config: Config, flags: &Flags) -> Result<Config, BoxError> {
    let certs = flags.get("certs", String::new())?;
    if certs.is_empty() {
        return Ok(config);
    }
    let tls = match flags.get("secret", false)? {
        true => by_secret(&certs)?,
        false => with(&certs, "rakt", "ca"),
    };
    if !flags.get("anonymous", false)? {
        return Ok(config.tls(tls));
    }
    let guests = Role::new().may([Verb::Ask, Verb::Lookup], "echo");
    let policy = Policy::new().role("guest", guests).grant("anonymous", "guest");
    Ok(config.tls(tls.allow_anonymous_clients()).policy(policy))
}

/// The certificate with the name, and the CAs in the file with the name.
pub fn with(certs: &str, name: &str, roots: &str) -> Tls {
    let at = |name: &str, end: &str| Path::new(certs).join(format!("{name}.{end}"));
    Tls::from_files(at(name, "pem"), at(name, "key"), at(roots, "pem"))
}

/// Certificates under the secret.
pub fn by_secret(certs: &str) -> Result<Tls, BoxError> {
    let secret = std::fs::read_to_string(Path::new(certs).join("secret/secret"))?;
    Ok(Tls::from_secret(secret.parse()?))
}
