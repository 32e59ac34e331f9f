//! What a message costs in instructions and allocations, path by path, and whether that has grown.
//!
//! - [`paths`]: what is counted; [`wire`], [`actors`]: the work itself
//! - [`callgrind`]: counts by running this program again under valgrind
//! - [`table`]: the figures next to those that are committed
//! - [`shaped`]: the one thing here that takes time: compression on a slow line

mod actors;
mod callgrind;
mod memory;
mod paths;
mod shaped;
mod table;
mod wire;

use std::process::ExitCode;

/// Any error; this program only reports them.
type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const HELP: &str = "\
counts: instructions and allocations for each message, counted by valgrind

usage: counts             every path; fails where one costs far more than the committed figure
       counts NAME..      these paths
       counts --write     every path, and commits the figures to counts.txt
       counts --shaped    large messages over a line of 100 Mbit/s, with and without compression
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["-h" | "--help"] => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        // How callgrind.rs starts the program again.
        ["--run", name, count] => run(name, count),
        ["--shaped"] => shaped::run().map(|()| ExitCode::SUCCESS),
        ["--write"] => table::write().map(|()| ExitCode::SUCCESS),
        ref names => table::check(names),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("counts: {error}");
        ExitCode::FAILURE
    })
}

fn run(name: &str, count: &str) -> Result<ExitCode> {
    (paths::find(name)?.run)(count.parse()?)?;
    Ok(ExitCode::SUCCESS)
}
