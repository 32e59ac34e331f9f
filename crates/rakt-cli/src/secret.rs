//! The secret that all nodes of a cluster may share.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use clap::{Args, Subcommand};
use rakt::remote::Secret;

use crate::failure::{self, Failure, Result};

const VARIABLE: &str = "RAKT_SECRET";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print a new secret. Give it to each node, and to nobody else.
    New,
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::New => failure::print(format!("{}\n", Secret::generate().reveal())),
    }
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
            None => Ok(variable(env::var_os(VARIABLE))?.parse()?),
        }
    }
}

/// The secret in a file, or in the standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Secret> {
    if path != Path::new("-") {
        let text = fs::read_to_string(path).map_err(|error| Failure::read(path, &error))?;
        return Ok(text.parse()?);
    }
    let mut text = String::new();
    let read = io::stdin().read_to_string(&mut text);
    read.map_err(|error| Failure::read(Path::new("the standard input"), &error))?;
    Ok(text.parse()?)
}

fn variable(value: Option<OsString>) -> Result<String> {
    let none = || {
        Failure::new("there is no secret").mend(format!(
            "put it into a file and give --secret-file FILE, pipe it to --secret-file -, or set {VARIABLE}"
        ))
    };
    value.and_then(|value| value.into_string().ok()).ok_or_else(none)
}
