//! What the same work costs over bare TCP and over actor libraries, side by side.
//!
//! - [`args`]: the command line
//! - [`compare`]: the rounds; starts this program again as server and as client
//! - [`contestant`]: what takes part, and the contract it meets
//! - [`workload`], [`message`]: the work, and what is sent
//! - [`drive`]: does the work through the client of a library
//! - [`raw`], [`rakt_side`]: the contestants
//! - [`process`], [`stats`], [`report`]: cores and CPU time, medians, the table

mod args;
mod compare;
mod contestant;
mod drive;
mod message;
mod process;
#[cfg(feature = "rakt")]
mod rakt_side;
mod raw;
mod report;
mod stats;
mod workload;

use std::io::Write;
use std::process::ExitCode;

use args::{ClientArgs, Command, ServeArgs};

/// Any error; this program only reports them.
type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let outcome = args::parse().and_then(|command| match command {
        Command::Help => {
            print!("{}", args::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Command::Compare(args) => compare::run(&args),
        Command::Serve(args) => serve(&args),
        Command::Client(args) => client(&args),
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("compare: {error}");
        ExitCode::FAILURE
    })
}

/// The server half: prints `ready PORT` and works until it is killed.
fn serve(args: &ServeArgs) -> Result<ExitCode> {
    process::end_with_parent()?;
    process::pin_to(args.cpu)?;
    let contestant = contestant::find(&args.contestant)?;
    runtime()?.block_on(async {
        let ready = |port: u16| {
            let mut stdout = std::io::stdout().lock();
            writeln!(stdout, "ready {port}")?;
            stdout.flush()
        };
        tokio::spawn((contestant.serve)(Box::new(ready))).await?
    })?;
    Err("the server ended by itself".into())
}

/// The client half: does one workload and prints what it measured as one line of JSON.
fn client(args: &ClientArgs) -> Result<ExitCode> {
    process::end_with_parent()?;
    process::pin_to(args.cpu)?;
    let contestant = contestant::find(&args.contestant)?;
    // On a task of its own: the thread of `block_on` is no worker, and wakes more slowly.
    let measured =
        runtime()?.block_on(async { tokio::spawn((contestant.run)(args.job)).await? })?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(ExitCode::SUCCESS)
}

/// As many workers as this process may use cores, so one where it is pinned.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
