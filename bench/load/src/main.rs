//! What rakt costs as the work grows: tells and asks against 1 to 1,000 actors, senders and links, and beside up to a million
//! actors and thousands of links that only rest. It is to be seen that cost grows as work does, and no faster.
//!
//! - [`node`]: the other side, a process of its own
//! - [`sweep`]: what is varied, and what is measured at each step
//! - [`work`]: telling and asking
//! - [`bare`]: links without rakt
//! - [`picture`]: the steps as lines

mod bare;
mod node;
mod picture;
mod sweep;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sweep::{Point, Sweep};

/// Any error; this program only reports them.
type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const HELP: &str = "\
load: what rakt costs as the work grows

usage: load [options]

  --only A,B     these of actors, senders, links, bare-links, idle-actors, idle-links; default all
  --rounds N     times that each step is measured, of which the median is told; default 3
  --scale X      multiplies the messages of each step; default 1
  --most N       steps up to so many of what is varied; default all
  --svg FILE     draws the figures into FILE as well
";

struct Args {
    only: Vec<Sweep>,
    rounds: usize,
    scale: f64,
    most: usize,
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| {
        raise_descriptors()?;
        runtime.block_on(async { tokio::spawn(run()).await? })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result {
    let mut args =
        Args { only: Sweep::ALL.to_vec(), rounds: 3, scale: 1.0, most: usize::MAX, svg: None };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Value(word) if word == node::SERVE => return node::serve().await,
            Value(word) if word == node::SERVE_BARE => return bare::serve().await,
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(());
            }
            Long("only") => {
                let names = parser.value()?.string()?;
                args.only = names.split(',').map(str::parse).collect::<Result<_>>()?;
            }
            Long("rounds") => args.rounds = parser.value()?.parse()?,
            Long("scale") => args.scale = parser.value()?.parse()?,
            Long("most") => args.most = parser.value()?.parse()?,
            Long("svg") => args.svg = Some(parser.value()?.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    if args.rounds == 0 || !(args.scale > 0.0 && args.scale <= 100.0) {
        return Err("--rounds is 1 or more, --scale more than 0 and at most 100".into());
    }
    let mut points = Vec::new();
    println!("{}", Point::HEAD);
    for &sweep in &args.only {
        for &many in sweep.steps().iter().filter(|&&many| many <= args.most) {
            let point = sweep.measure(many, args.rounds, args.scale).await?;
            println!("{point}");
            points.push(point);
        }
    }
    if let Some(path) = args.svg {
        std::fs::write(path, picture::svg(&points))?;
    }
    Ok(())
}

/// A link takes a file descriptor on each side.
fn raise_descriptors() -> Result {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}
