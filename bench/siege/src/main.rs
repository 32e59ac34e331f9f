//! What strangers can make a node hold: a node as a process of its own, and all that can be said to it, said in
//! every way until it hurts.
//!
//! - [`node`]: the node that is besieged; [`limits`]: what it is started with; [`process`]: how its parent sees it
//! - [`phrase`]: what can be said; [`greeting`], [`native`], [`goakt`]: in which bytes; [`catalogue`]: all of it
//! - [`peer`]: a connection that speaks in bytes; [`strategy`]: the ways to say something; [`strangers`]: the threads for it
//! - [`over`]: plain connections or TLS
//! - [`honest`]: whoever must not notice; [`judge`]: what is asked of the node
//! - [`generated`]: every phrase in every way; [`siege`]: all of them at once

mod catalogue;
mod generated;
mod goakt;
mod greeting;
mod honest;
mod judge;
mod limits;
mod native;
mod node;
mod over;
mod peer;
mod phrase;
mod process;
mod siege;
mod strangers;
mod strategy;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;

use crate::judge::Outcome;
use crate::limits::{Limits, Scale};
use crate::over::Over;
use crate::strangers::Strangers;

/// Any error; this program only reports them.
pub(crate) type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> =
    std::result::Result<T, E>;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const HELP: &str = "\
siege: what strangers can make a node hold

usage: siege generated [--limits half|one|twice] [--only TEXT] [--sample SEED] [--lanes N] [--over plain|tls]
                        every phrase in every way, with a budget of 64 MiB; --only those whose name has TEXT;
                        --sample: each phrase in one way, which the seed says; --over tls: behind a handshake, for
                        which all have certificates of one authority
       siege [--seconds N] [--connections N] [--seed N] [--over plain|tls]
                        a node in 512 MiB with default limits, and everything at once (120 s, 200, 1)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(&args).unwrap_or_else(|error| {
        eprintln!("siege: {error}");
        ExitCode::FAILURE
    })
}

fn run(args: &[&str]) -> Result<ExitCode> {
    match args {
        // How process.rs starts the program again.
        ["node", budget, scale] => {
            let limits = Limits::parse(budget, scale)?;
            let runtime = Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(node::run(limits))?;
            Ok(ExitCode::SUCCESS)
        }
        ["-h" | "--help"] => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        ["generated", options @ ..] => {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(generate(options))
        }
        options => {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(besiege(options))
        }
    }
}

async fn generate(mut options: &[&str]) -> Result<ExitCode> {
    let (mut scale, mut only, mut seed, mut lanes) = (Scale::One, "", None, 2);
    let mut over = "plain";
    while let [name, value, rest @ ..] = options {
        match *name {
            "--limits" => scale = Scale::parse(value)?,
            "--only" => only = value,
            "--sample" => seed = Some(value.parse()?),
            "--lanes" => lanes = value.parse()?,
            "--over" => over = value,
            other => return Err(format!("there is no option {other}").into()),
        }
        options = rest;
    }
    let mut cases = generated::cases(only);
    if let Some(seed) = seed {
        cases = generated::sample(cases, seed);
        println!("sample {seed}");
    }
    let (strangers, over) = (Arc::new(Strangers::gather()?), Over::parse(over)?);
    println!("{}", judge::heading());
    let outcomes =
        generated::run(&strangers, cases, (Limits::generated(scale), over), lanes).await?;
    let has_failed = |outcome: &&Outcome| !outcome.violations().is_empty();
    let failed: Vec<_> = outcomes.iter().filter(has_failed).collect();
    let slow = outcomes.iter().filter(|outcome| outcome.is_slow()).count();
    println!("\n{}", judge::summary(&outcomes));
    // Once more, where the end of what was printed is all that is kept.
    failed.iter().for_each(|outcome| println!("{outcome}"));
    println!("{} attacks, {} failed, {slow} were slow", outcomes.len(), failed.len());
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn besiege(mut options: &[&str]) -> Result<ExitCode> {
    let (mut seconds, mut connections, mut seed, mut over) = (120, 200, 1, "plain");
    while let [name, value, rest @ ..] = options {
        match *name {
            "--seconds" => seconds = value.parse()?,
            "--connections" => connections = value.parse()?,
            "--seed" => seed = value.parse()?,
            "--over" => over = value,
            other => return Err(format!("there is no option {other}").into()),
        }
        options = rest;
    }
    let outcome =
        siege::run(Over::parse(over)?, Duration::from_secs(seconds), connections, seed).await?;
    println!("{}\n{outcome}", judge::heading());
    let has_failed = !outcome.violations().is_empty();
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
