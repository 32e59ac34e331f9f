//! `rakt cert dev`: all that two nodes on a developer's machine need.

use std::path::{Path, PathBuf};

use clap::Args;
use rakt::remote::certificate::{CertificateError, Directory};

use super::describe::Certificate;
use super::names::{Names, file_name};
use super::{pem, snippet};
use crate::failure::{Result, print};

/// By which nodes on one machine are dialed.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

#[derive(Args)]
pub(crate) struct Options {
    /// The names of the nodes. Each is `rakt://dev/NAME` in its certificate. The files of those that are there stay as they
    /// are.
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
        match directory.issue(&request.uri(format!("rakt://dev/{name}"))) {
            Ok(files) => report.push_str(&snippet::rust(name, &files)),
            Err(CertificateError::Exists { .. }) if is_there(&options.dir, name) => {
                report.push_str(&left_alone(options, name)?);
            }
            Err(error) => {
                // What was made before is there.
                print(report)?;
                return Err(error.into());
            }
        }
    }
    report.push_str(&snippet::go(
        &options.dir,
        &options.name[0],
        options.names.shared().unwrap_or(LOCAL[0]),
    ));
    print(report)
}

/// Whether a node has both files.
fn is_there(directory: &Path, name: &str) -> bool {
    ["pem", "key"].iter().all(|kind| directory.join(format!("{name}.{kind}")).exists())
}

/// What is said of files that were there before.
fn left_alone(options: &Options, name: &str) -> Result<String> {
    let path = options.dir.join(format!("{name}.pem"));
    let there = Certificate::read(&pem::certificates(&path)?[0])?;
    let mut text =
        format!("{name}: {} was there, and is as it was: {}\n", path.display(), there.standing());
    let missing: Vec<_> = options.names.hosts().filter(|host| !there.is_for(host)).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        text +=
            &format!("    it is not for {missing}: remove it and its key to have both made anew\n");
    }
    Ok(text + "\n")
}
