//! What the contestants over TLS verify each other by: one secret, of which each process makes the same CA, and of that a
//! certificate of its own.

use std::path::Path;

use rakt::remote::Secret;
use rakt::remote::certificate::Request;

use crate::Result;

/// It protects nothing: client and server are processes on one machine.
const SECRET: &str = "rk1-ktyz5kglkfd243hxri6k3ugcqvksvklt6nejawyapvtpcltrg4f4";

/// A CA, a certificate of it for 127.0.0.1, and its key, all as PEM.
pub(crate) struct Pems {
    pub(crate) ca: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) fn shared() -> Result<Secret> {
    Ok(SECRET.parse()?)
}

pub(crate) fn issue() -> Result<Pems> {
    let authority = shared()?.authority()?;
    let issued = authority.issue(&Request::new("bench").host("127.0.0.1"))?;
    Ok(Pems {
        ca: authority.certificate_pem(),
        certificate: issued.certificate_pem().to_owned(),
        key: issued.key_pem().to_owned(),
    })
}

/// Issues into a folder, for programs that are not this one.
pub(crate) fn issue_into(folder: &Path) -> Result {
    let Pems { ca, certificate, key } = issue()?;
    for (name, pem) in [("ca.pem", ca), ("node.pem", certificate), ("node.key", key)] {
        std::fs::write(folder.join(name), pem)?;
    }
    Ok(())
}
