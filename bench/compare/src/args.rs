//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::Result;
use crate::contestant;
use crate::process::Pin;
use crate::workload::{Job, Workload};

pub(crate) const HELP: &str = "\
compare: what the same work costs over bare TCP and over actor libraries

usage: compare [options]

  --only A,B          these contestants (see --list); default all
  --workload A,B      of ask-1, ask-64, tell, bulk; default all
  --pin WHERE         split: client and server on a core each (default)
                      one: both on one core; none: as the scheduler likes
  --rounds N          rounds, interleaved; the table gives medians; default 5
  --scale X           multiplies every message count; default 1
  --quick             --rounds 1 --scale 0.005: shows that it works, measures nothing
  --limit SECONDS     longest time for one client before it is killed; default 120
  --json FILE         writes every round to FILE as well
  --list              names the contestants
";

/// Rounds that one comparison may have.
const MAX_ROUNDS: usize = 1000;

pub(crate) enum Command {
    Help,
    Compare(CompareArgs),
    Serve(ServeArgs),
    Client(ClientArgs),
}

pub(crate) struct CompareArgs {
    pub(crate) list: bool,
    pub(crate) only: Vec<String>,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) pin: Pin,
    pub(crate) rounds: usize,
    pub(crate) scale: f64,
    pub(crate) limit: Duration,
    pub(crate) json: Option<PathBuf>,
}

impl Default for CompareArgs {
    fn default() -> Self {
        Self {
            list: false,
            only: contestant::ALL.iter().map(|contestant| contestant.name.to_owned()).collect(),
            workloads: Workload::ALL.to_vec(),
            pin: Pin::Split,
            rounds: 5,
            scale: 1.0,
            limit: Duration::from_secs(120),
            json: None,
        }
    }
}

pub(crate) struct ServeArgs {
    pub(crate) contestant: String,
    pub(crate) cpu: Option<usize>,
}

pub(crate) struct ClientArgs {
    pub(crate) contestant: String,
    pub(crate) cpu: Option<usize>,
    pub(crate) job: Job,
}

pub(crate) fn parse() -> Result<Command> {
    let mut parser = lexopt::Parser::from_env();
    let mut args = CompareArgs::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Value(word) if word == "serve" => return serve(parser),
            Value(word) if word == "client" => return client(parser),
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("list") => args.list = true,
            Long("only") => args.only = list(&mut parser)?,
            Long("workload") => {
                args.workloads =
                    list(&mut parser)?.iter().map(|name| name.parse()).collect::<Result<_>>()?;
            }
            Long("pin") => args.pin = parser.value()?.parse()?,
            Long("rounds") => args.rounds = parser.value()?.parse()?,
            Long("scale") => args.scale = parser.value()?.parse()?,
            Long("quick") => (args.rounds, args.scale) = (1, 0.005),
            Long("limit") => args.limit = Duration::from_secs(parser.value()?.parse()?),
            Long("json") => args.json = Some(parser.value()?.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    if !(1..=MAX_ROUNDS).contains(&args.rounds) {
        return Err(format!("--rounds is from 1 to {MAX_ROUNDS}").into());
    }
    if !(args.scale > 0.0 && args.scale <= 1000.0) {
        return Err("--scale is more than 0 and at most 1000".into());
    }
    for name in &args.only {
        contestant::find(name)?;
    }
    Ok(Command::Compare(args))
}

/// What follows `serve`, as [`crate::compare`] writes it.
fn serve(mut parser: lexopt::Parser) -> Result<Command> {
    let contestant = parser.value()?.string()?;
    let mut cpu = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("cpu") => cpu = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Serve(ServeArgs { contestant, cpu }))
}

/// What follows `client`, as [`crate::compare`] writes it.
fn client(mut parser: lexopt::Parser) -> Result<Command> {
    let contestant = parser.value()?.string()?;
    let (mut cpu, mut workload, mut count, mut port, mut server_pid) =
        (None, None, None, None, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("cpu") => cpu = Some(parser.value()?.parse()?),
            Long("workload") => workload = Some(parser.value()?.string()?.parse()?),
            Long("count") => count = Some(parser.value()?.parse()?),
            Long("port") => port = Some(parser.value()?.parse()?),
            Long("server-pid") => server_pid = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let missing = |option: &'static str| move || format!("client needs --{option}");
    let job = Job {
        workload: workload.ok_or_else(missing("workload"))?,
        count: count.ok_or_else(missing("count"))?,
        port: port.ok_or_else(missing("port"))?,
        server_pid: server_pid.ok_or_else(missing("server-pid"))?,
    };
    Ok(Command::Client(ClientArgs { contestant, cpu, job }))
}

fn list(parser: &mut lexopt::Parser) -> Result<Vec<String>> {
    let words: Vec<_> = parser.value()?.string()?.split(',').map(str::to_owned).collect();
    Ok(words)
}
