//! The secret that all nodes of a cluster may share.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use rakt::error::Chain;
use rakt::remote::{Secret, SecretError};

use crate::failure::{self, Failure, Result};

pub(crate) const VARIABLE: &str = "RAKT_SECRET";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a new secret, and print it. Give it to each node, and to nobody else.
    New {
        /// Write it into this file in place of printing it, for its owner alone to read. A file that is there is not
        /// overwritten.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::New { out: None } => failure::print(format!("{}\n", Secret::generate().reveal())),
        Command::New { out: Some(path) } => {
            let shown = path.display();
            write_new(path, &format!("{}\n", Secret::generate().reveal())).map_err(|error| {
                match error.kind() {
                    ErrorKind::AlreadyExists => {
                        Failure::new(format!("{shown} is there already, and is not overwritten"))
                            .mend("remove it first, or give another file: --out FILE")
                    }
                    _ => Failure::new(format!("{shown} cannot be written: {error}")),
                }
            })?;
            failure::print(format!("{shown} has a new secret, which its owner alone can read\n"))
        }
    }
}

/// Writes a file that was not there. There is no moment at which others can open it.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Where a secret is read. Never from an argument, which all users of the machine can see.
#[derive(Args)]
pub(crate) struct Source {
    /// The file with the secret; `-` is the standard input. Default: the environment variable `RAKT_SECRET`.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl Source {
    pub(crate) fn read(&self) -> Result<Secret> {
        match &self.secret_file {
            Some(path) => read(path),
            None => from_env(),
        }
    }
}

/// The secret in the environment.
pub(crate) fn from_env() -> Result<Secret> {
    Secret::from_env(VARIABLE).map_err(|error| {
        Failure::new(Chain(&error).to_string()).mend(format!(
            "put the secret into a file and give --secret-file FILE, pipe it to --secret-file -, or set {VARIABLE}"
        ))
    })
}

/// The secret in a file, or in the standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Secret> {
    let mut text = String::new();
    let (path, read) = match path == Path::new("-") {
        true => (Path::new("the standard input"), io::stdin().read_to_string(&mut text)),
        false => (path, File::open(path).and_then(|mut file| file.read_to_string(&mut text))),
    };
    read.map_err(|error| Failure::read(path, &error))?;
    let wrong = |error| Failure::new(format!("{} cannot be used: {error}", path.display()));
    text.parse().map_err(|error: SecretError| wrong(error))
}
