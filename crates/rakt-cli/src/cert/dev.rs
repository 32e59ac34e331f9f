//! `rakt cert dev`: all that two nodes on a developer's machine need.

use std::path::PathBuf;

use clap::Args;
use rakt::remote::certificate::Directory;

use super::names::{Names, file_name};
use super::snippet;
use crate::failure::{Result, print};

/// By which nodes on one machine are dialed.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

#[derive(Args)]
pub(crate) struct Options {
    /// The names of the nodes. Each is `rakt://dev/NAME` in its certificate.
    #[arg(required = true, value_parser = file_name)]
    name: Vec<String>,
    /// Where the files are written. An authority that is there is used again.
    #[arg(long, default_value = "certs")]
    dir: PathBuf,
    /// Hosts beside localhost, 127.0.0.1 and ::1, and the life.
    #[command(flatten)]
    names: Names,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let directory = Directory::new(&options.dir);
    let mut report = String::new();
    for name in &options.name {
        let request = LOCAL.into_iter().fold(options.names.request(name), |it, host| it.host(host));
        let files = directory.issue(&request.uri(format!("rakt://dev/{name}")))?;
        report.push_str(&snippet::rust(name, &files));
    }
    report.push_str(&snippet::go(
        &options.dir,
        &options.name[0],
        options.names.shared().unwrap_or(LOCAL[0]),
    ));
    print(report)
}
