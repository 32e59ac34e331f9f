//! The commands about certificates.
//!
//! | files | what is in them |
//! | --- | --- |
//! | `dev`, `node`, `from_secret` | making them |
//! | `show`, `check` | telling what is in them, and whether a node is to be believed |
//! | `names` | what makes of the options a certificate |
//! | `snippet` | the code that uses the files |
//! | `describe`, `pem` | what a certificate says; reading it from a file |

mod check;
mod describe;
mod dev;
mod from_secret;
mod names;
mod node;
mod pem;
mod show;
mod snippet;

use std::process::ExitCode;

use clap::Subcommand;

use crate::failure::Result;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make an authority and the certificates of nodes in one directory, for development.
    Dev(dev::Options),
    /// Make the certificate of one node, by an authority that is there.
    Node(node::Options),
    /// Make the certificate of a node that cannot take a shared secret, such as one of Go.
    FromSecret(from_secret::Options),
    /// Show what is in files of certificates.
    Show(show::Options),
    /// Connect to a node, and tell whether it is accepted and what it says of a certificate of yours.
    Check(check::Options),
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Dev(options) => dev::run(&options)?,
        Command::Node(options) => node::run(&options)?,
        Command::FromSecret(options) => from_secret::run(&options)?,
        Command::Show(options) => show::run(&options)?,
        Command::Check(options) => return check::run(&options),
    }
    Ok(ExitCode::SUCCESS)
}
