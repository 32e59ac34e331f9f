//! The command `rakt`: certificates and secrets of nodes.
//!
//! | files | what is in them |
//! | --- | --- |
//! | `cert` | the commands about certificates |
//! | `secret` | those about the shared secret |
//! | `failure` | what a user is told when something does not work |

mod cert;
mod failure;
mod secret;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use failure::Result;

/// Certificates and secrets of rakt nodes.
///
/// Exit codes: 0 for done, 1 for what does not work or is not accepted, 2 for a command line that makes no sense.
#[derive(Parser)]
#[command(name = "rakt", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make, show and check certificates.
    #[command(subcommand)]
    Cert(cert::Command),
    /// The secret that all nodes of a cluster may share in place of certificates.
    #[command(subcommand)]
    Secret(secret::Command),
    /// Print the completions for a shell: bash, elvish, fish, powershell or zsh.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            eprint!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Cert(command) => cert::run(command),
        Command::Secret(command) => secret::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Completions { shell } => {
            // Into memory first: what is piped into a reader that goes away is no fault.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "rakt", &mut script);
            failure::print(&script)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
