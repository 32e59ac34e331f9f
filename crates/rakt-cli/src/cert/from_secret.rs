//! `rakt cert from-secret`: what a node needs that cannot take the secret itself.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args;
use rakt::remote::Secret;

use super::names::{Names, file_name, write};
use super::snippet;
use crate::failure::{Failure, Result, print};
use crate::secret::Source;

#[derive(Args)]
pub(crate) struct Options {
    /// The name of the node, and of its files.
    #[arg(value_parser = file_name)]
    name: String,
    #[command(flatten)]
    secret: Source,
    /// Where the files are written: `ca.pem`, `NAME.pem` and `NAME.key`.
    #[arg(long, default_value = "certs")]
    dir: PathBuf,
    /// Hosts beside `rakt.internal`, which the certificates of all holders have, and the life.
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let authority = options.secret.read()?.authority()?;
    let request = options.names.request(&options.name).host(Secret::SERVER_NAME);
    let issued = authority.issue(&request)?;
    let trusted = options.dir.join("ca.pem");
    let is_new = is_new(&trusted, &authority.certificate_pem())?;
    let (certificate, key) = write(&issued, &options.dir, &options.name)?;
    if is_new {
        let written = fs::write(&trusted, authority.certificate_pem());
        written.map_err(|error| {
            Failure::new(format!("{} cannot be written: {error}", trusted.display()))
        })?;
    }
    let files = [certificate, key, trusted].map(|path| path.display().to_string()).join(", ");
    print(format!("{files}\n\n{}", snippet::go(&options.dir, &options.name, Secret::SERVER_NAME)))
}

/// Whether there is no certificate of an authority yet. One of another authority is not overwritten.
fn is_new(path: &Path, pem: &str) -> Result<bool> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(Failure::read(path, &error)),
        Ok(there) if there == pem => Ok(false),
        Ok(_) => Err(Failure::new(format!("{} is of another authority", path.display()))
            .mend("give another directory: --dir DIR")),
    }
}
