//! What the same work costs over bare TCP and over actor libraries, side by side.
//!
//! - [`args`]: the command line
//! - [`compare`]: the rounds; [`child`] starts this program and others as server and as client
//! - [`instructions`]: instructions instead of time, as [`callgrind`] counts them
//! - [`contestant`]: what takes part, and the contract it meets
//! - [`workload`], [`message`], [`measured`]: the work, what is sent, what is reported
//! - [`drive`]: does the work through the client of a library
//! - [`raw`], [`local`], [`rakt_side`], [`peers`], [`external`]: the contestants
//! - [`secret`]: what those over TLS verify each other by
//! - [`process`], [`stats`]: cores, CPU time and memory; medians
//! - [`report`]: the table, the JSON file, the picture

mod args;
mod callgrind;
mod child;
mod compare;
mod contestant;
mod drive;
mod external;
mod instructions;
mod local;
mod measured;
mod message;
mod peers;
mod process;
#[cfg(feature = "rakt")]
mod rakt_side;
mod raw;
mod report;
#[cfg(feature = "rakt")]
mod secret;
mod stats;
mod workload;

use std::io::Write;
use std::process::ExitCode;

use args::Command;
use contestant::Halves;
use workload::Job;

/// Any error; this program only reports them.
type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let outcome = args::parse(std::env::args_os()).and_then(|command| match command {
        Command::Help => {
            print!("{}", args::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Command::Compare(args) => compare::run(&args),
        Command::Pinned { cpus, program } => match process::become_pinned(&cpus, &program)? {},
        Command::Serve { contestant, workers } => serve(&contestant, workers),
        Command::Client { contestant, job, workers } => client(&contestant, job, workers),
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("compare: {error}");
        ExitCode::FAILURE
    })
}

/// The server half: prints `ready PORT` and works until it is killed.
fn serve(contestant: &str, workers: Option<usize>) -> Result<ExitCode> {
    let serve = match contestant::find(contestant)?.halves {
        Halves::Rust { serve, .. } => serve,
        #[cfg(feature = "rakt")]
        Halves::RustServer { serve, .. } => serve,
        _ => return Err(format!("{contestant} has no server in this program").into()),
    };
    runtime(workers)?.block_on(async {
        let ready = |port: u16, others: &[u32]| {
            let mut stdout = std::io::stdout().lock();
            write!(stdout, "ready {port}")?;
            others.iter().try_for_each(|pid| write!(stdout, " {pid}"))?;
            writeln!(stdout)?;
            stdout.flush()
        };
        tokio::spawn(serve(Box::new(ready))).await?
    })?;
    Err("the server ended by itself".into())
}

/// The client half, or both where the workload is local: does one workload and prints what it measured
/// as one line of JSON.
fn client(contestant: &str, job: Job, workers: Option<usize>) -> Result<ExitCode> {
    let run = match contestant::find(contestant)?.halves {
        Halves::Rust { run, .. } | Halves::Local { run } => run,
        #[cfg(feature = "rakt")]
        Halves::RustClient { run, .. } => run,
        _ => return Err(format!("{contestant} has no client in this program").into()),
    };
    // On a task of its own: the thread of `block_on` is no worker, and wakes more slowly.
    let measured = runtime(workers)?.block_on(async { tokio::spawn(run(job)).await? })?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(ExitCode::SUCCESS)
}

/// Unless it is told, as many workers as this process may use cores, so one where it is pinned.
fn runtime(workers: Option<usize>) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    builder.enable_all().build()
}
