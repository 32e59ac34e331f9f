//! `rakt cert show`: what is in files of certificates.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::describe::Certificate;
use super::pem;
use crate::failure::{Failure, Result, print};

#[derive(Args)]
pub(crate) struct Options {
    /// Files with certificates as PEM.
    #[arg(required = true)]
    file: Vec<PathBuf>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    // What is good is shown also where something else is not.
    let (mut report, mut failed) = (String::new(), Ok(()));
    for path in &options.file {
        match show(path) {
            Ok(shown) => report.push_str(&shown),
            Err(failure) if failed.is_ok() => failed = Err(failure),
            Err(failure) => failed = failed.map_err(|first: Failure| first.and(&failure)),
        }
    }
    print(report)?;
    failed
}

fn show(path: &Path) -> Result<String> {
    let chain = pem::certificates(path)?;
    let (mut report, count, shown) = (String::new(), chain.len(), path.display());
    for (at, der) in (1..).zip(&chain) {
        let _ =
            writeln!(report, "{shown}, certificate {at} of {count}\n{}", Certificate::read(der)?);
    }
    Ok(report)
}
