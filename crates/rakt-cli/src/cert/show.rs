//! `rakt cert show`: what is in a file of certificates.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::describe::Certificate;
use super::pem;
use crate::failure::{Result, print};

#[derive(Args)]
pub(crate) struct Options {
    /// A file with certificates as PEM.
    file: PathBuf,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let chain = pem::certificates(&options.file)?;
    let (mut report, count) = (String::new(), chain.len());
    for (at, der) in (1..).zip(&chain) {
        let shown = options.file.display();
        let _ =
            writeln!(report, "{shown}, certificate {at} of {count}\n{}", Certificate::read(der)?);
    }
    print(report)
}
