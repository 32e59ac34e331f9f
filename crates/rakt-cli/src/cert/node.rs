//! `rakt cert node`: the certificate of one node, by an authority that is there.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use rakt::remote::certificate::Authority;

use super::names::{Names, file_name, write};
use crate::failure::{Failure, Result, print};

#[derive(Args)]
pub(crate) struct Options {
    /// The name of the node, and of its files.
    #[arg(value_parser = file_name)]
    name: String,
    /// The certificate of the authority, with those between it and the trusted one.
    #[arg(long, default_value = "certs/ca.pem", value_name = "FILE")]
    ca: PathBuf,
    /// The key of the authority.
    #[arg(long, default_value = "certs/ca.key", value_name = "FILE")]
    ca_key: PathBuf,
    /// A URI as a name of the node, such as `spiffe://prod.example/rakt/shop-1`. May be given several times.
    #[arg(long, value_name = "URI")]
    uri: Vec<String>,
    /// Where the files are written.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let read = |path| fs::read_to_string(path).map_err(|error| Failure::read(path, &error));
    let authority = Authority::from_pem(&read(&options.ca)?, &read(&options.ca_key)?)?;
    let request = options.names.request(&options.name);
    let request = options.uri.iter().fold(request, |request, uri| request.uri(uri));
    let (certificate, key) = write(&authority.issue(&request)?, &options.dir, &options.name)?;
    print(format!("{} and {}\n", certificate.display(), key.display()))
}
