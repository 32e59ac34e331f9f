//! What makes of the options of several commands a certificate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rakt::remote::certificate::{Issued, Request};

use crate::failure::{Failure, Result};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The names in a certificate, and how long it is valid.
#[derive(Args)]
pub(super) struct Names {
    /// A host by which peers dial the node: a DNS name or an IP address. May be given several times.
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// A name that the certificates of all nodes have, such as the one `ServerName` of Go nodes.
    #[arg(long, value_name = "NAME")]
    also: Vec<String>,
    /// For how many days it is valid.
    #[arg(long, default_value_t = 90, value_name = "DAYS")]
    days: u32,
}

impl Names {
    pub(super) fn request(&self, name: &str) -> Request {
        let request = Request::new(name).life(DAY.saturating_mul(self.days));
        self.hosts().fold(request, |request, host| request.host(host))
    }

    /// All hosts that were given.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.host.iter().chain(&self.also).map(String::as_str)
    }

    /// The name that all nodes have, if one was given.
    pub(super) fn shared(&self) -> Option<&str> {
        self.also.first().map(String::as_str)
    }
}

/// The name of a node that is the name of its files too.
pub(super) fn file_name(name: &str) -> std::result::Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.starts_with('.') || name == "ca" || !name.bytes().all(is_plain) {
        return Err(
            "files are named after it: letters, digits, '-', '_' and '.' are taken, not \"ca\""
                .into(),
        );
    }
    Ok(name.to_owned())
}

/// Writes `NAME.pem` and `NAME.key` into a directory, which is made if it is not there.
pub(super) fn write(issued: &Issued, directory: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
    let failed = |error| Failure::new(format!("{} cannot be made: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    let [certificate, key] = ["pem", "key"].map(|kind| directory.join(format!("{name}.{kind}")));
    issued.write_new(&certificate, &key)?;
    Ok((certificate, key))
}
