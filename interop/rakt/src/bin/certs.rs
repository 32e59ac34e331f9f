//! Writes the certificates that the suites over TLS need into a directory:
//!
//! - `ca`, `rakt`, `go`: nodes at 127.0.0.1 that share the name goakt.internal
//! - `named`: a node with that name alone
//! - `other/ca`, `other/go`, `other/rakt`: the same of another CA; `both`: the two CAs
//! - `secret/secret`, and `secret/ca`, `secret/go` issued under it

use std::path::Path;

use interop::flags::Flags;
use interop::host;
use rakt::remote::Secret;
use rakt::remote::certificate::{Directory, Request};
use rakt::{BoxError, Result};

/// What each Go node looks for in the certificates of its peers.
const SHARED_NAME: &str = "goakt.internal";

fn main() -> Result<(), BoxError> {
    let into = Flags::read(&["into"])?.get("into", String::new())?;
    let into = Path::new(&into);
    let other = into.join("other");
    for directory in [into, &other] {
        for name in ["rakt", "go"] {
            let request = Request::new(name).host(host::ADDRESS).host(SHARED_NAME);
            Directory::new(directory).issue(&request)?;
        }
    }
    Directory::new(into).issue(&Request::new("named").host(SHARED_NAME))?;
    let read = |directory: &Path| std::fs::read_to_string(directory.join("ca.pem"));
    std::fs::write(into.join("both.pem"), read(into)? + &read(&other)?)?;
    by_secret(&into.join("secret"))
}

fn by_secret(into: &Path) -> Result<(), BoxError> {
    std::fs::create_dir_all(into)?;
    let secret = Secret::generate();
    let authority = secret.authority()?;
    let go = authority.issue(&Request::new("go").host(host::ADDRESS).host(Secret::SERVER_NAME))?;
    for (name, text) in [
        ("secret", secret.reveal().as_str()),
        ("ca.pem", &authority.certificate_pem()),
        ("go.pem", go.certificate_pem()),
        ("go.key", go.key_pem()),
    ] {
        std::fs::write(into.join(name), text)?;
    }
    Ok(())
}
