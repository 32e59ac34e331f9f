//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::Result;
use crate::contestant;
use crate::process::Pin;
use crate::workload::{Job, Workload};

pub(crate) const HELP: &str = "\
compare: what the same work costs over bare TCP, over rakt and over its peers

usage: compare [options]

  --only A,B          these contestants (see --list); default all
  --workload A,B      of ask-1, ask-64, tell, fan, bulk, mixed, links,
                      local-tell, local-tell-8, local-ask, spawn; default all
  --pin WHERE         split: client and server on a core each
                      one: both on one core; none: as the scheduler likes
                      both: split, and the asks and the local rows on one core
                      as well (default)
  --workers N,M       threads of each runtime, whatever cores it may use; several values
                      give a table each; default: as many as it may use cores
  --rounds N          rounds, interleaved; the table gives medians; default 5
  --scale X           multiplies every count; default 1
  --quick             --rounds 1 --scale 0.005: shows that it works, measures nothing
  --limit SECONDS     longest time for one client before it is killed; default 120
  --json FILE         writes every round to FILE as well
  --svg FILE          draws the medians into FILE as well
  --from FILE         measures nothing: tells and draws of FILE, which --json wrote,
                      what --only, --workload, --pin and --workers leave
  --instructions      counts user-space instructions a message, by valgrind, instead of
                      measuring; of --workload tell, ask-1, ask-64, local-tell, local-ask,
                      with one worker in each process; heeds --only, --pin (default none),
                      --scale and --limit
  --list              names the contestants
";

/// Rounds that one comparison may have.
const MAX_ROUNDS: usize = 1000;
/// Worker threads that one process may have.
const MAX_WORKERS: usize = 1024;

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Compare(CompareArgs),
    Pinned { cpus: Vec<usize>, program: Vec<OsString> },
    Serve { contestant: String, workers: Option<usize> },
    Client { contestant: String, job: Job, workers: Option<usize> },
}

#[derive(Debug)]
pub(crate) struct CompareArgs {
    pub(crate) list: bool,
    pub(crate) instructions: bool,
    pub(crate) only: Vec<String>,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) pins: Pins,
    /// Of each process; none is [`Section::workers`](crate::report::Section::workers) of `None`.
    pub(crate) workers: Vec<usize>,
    pub(crate) rounds: usize,
    pub(crate) scale: f64,
    pub(crate) limit: Duration,
    pub(crate) json: Option<PathBuf>,
    pub(crate) svg: Option<PathBuf>,
    pub(crate) from: Option<PathBuf>,
}

/// Where client and server run in one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pins {
    /// Everything with a core each, and on one core what that tells most about.
    Both,
    Only(Pin),
}

impl Pins {
    pub(crate) fn of(self, workload: Workload) -> &'static [Pin] {
        match self {
            Self::Both if workload.is_told_on_one_core() => &[Pin::Split, Pin::One],
            Self::Both | Self::Only(Pin::Split) => &[Pin::Split],
            Self::Only(Pin::One) => &[Pin::One],
            Self::Only(Pin::None) => &[Pin::None],
        }
    }
}

impl Default for CompareArgs {
    fn default() -> Self {
        Self {
            list: false,
            instructions: false,
            only: contestant::all().map(|contestant| contestant.name.to_owned()).collect(),
            workloads: Workload::ALL.to_vec(),
            pins: Pins::Both,
            workers: Vec::new(),
            rounds: 5,
            scale: 1.0,
            limit: Duration::from_secs(120),
            json: None,
            svg: None,
            from: None,
        }
    }
}

/// The first of the words is the name of the program.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command> {
    let mut parser = lexopt::Parser::from_iter(words.into_iter().collect::<Vec<_>>());
    let mut args = CompareArgs::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Value(word) if word == "pinned" => return pinned(parser),
            Value(word) if word == "serve" => return serve(parser),
            Value(word) if word == "client" || word == "local" => return client(parser),
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("list") => args.list = true,
            Long("instructions") => args.instructions = true,
            Long("only") => args.only = list(&mut parser)?,
            Long("workload") => args.workloads = list(&mut parser)?,
            Long("pin") => {
                let name = parser.value()?.string()?;
                args.pins = if name == "both" { Pins::Both } else { Pins::Only(name.parse()?) };
            }
            Long("workers") => args.workers = list(&mut parser)?,
            Long("rounds") => args.rounds = parser.value()?.parse()?,
            Long("scale") => args.scale = parser.value()?.parse()?,
            Long("quick") => (args.rounds, args.scale) = (1, 0.005),
            Long("limit") => args.limit = Duration::from_secs(parser.value()?.parse()?),
            Long("json") => args.json = Some(parser.value()?.into()),
            Long("from") => args.from = Some(parser.value()?.into()),
            Long("svg") => args.svg = Some(parser.value()?.into()),
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
    for &count in &args.workers {
        worker_count(count)?;
    }
    if args.instructions {
        countable(&mut args)?;
    }
    Ok(Command::Compare(args))
}

/// Leaves of all workloads those whose instructions are counted, unless others were named.
fn countable(args: &mut CompareArgs) -> Result {
    if args.json.is_some() || args.svg.is_some() || args.from.is_some() {
        return Err("--instructions prints its table, and neither writes nor reads files".into());
    }
    if !args.workers.is_empty() {
        return Err("--instructions has one worker in each process".into());
    }
    if args.workloads == Workload::ALL {
        args.workloads.retain(|workload| workload.counted().is_some());
    }
    match args.workloads.iter().find(|workload| workload.counted().is_none()) {
        Some(other) => Err(format!("--instructions does not count {}", other.name()).into()),
        None => Ok(()),
    }
}

/// What follows `serve`.
fn serve(mut parser: lexopt::Parser) -> Result<Command> {
    let (contestant, mut workers) = (parser.value()?.string()?, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("workers") => workers = Some(worker_count(parser.value()?.parse()?)?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Serve { contestant, workers })
}

fn worker_count(count: usize) -> Result<usize> {
    match count {
        1..=MAX_WORKERS => Ok(count),
        _ => Err(format!("--workers is from 1 to {MAX_WORKERS}").into()),
    }
}

/// What follows `pinned`: cores, and a program with its arguments behind `--`.
fn pinned(mut parser: lexopt::Parser) -> Result<Command> {
    let mut cpus = Vec::new();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("cpu") => cpus.push(parser.value()?.parse()?),
            Value(program) => {
                let program = [program].into_iter().chain(parser.raw_args()?).collect();
                return Ok(Command::Pinned { cpus, program });
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Err("pinned needs a program".into())
}

/// What follows `client` and `local`.
fn client(mut parser: lexopt::Parser) -> Result<Command> {
    let contestant = parser.value()?.string()?;
    let (mut workload, mut count, mut port, mut server_pids) = (None, None, 0, Vec::new());
    let mut workers = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("workload") => workload = Some(parser.value()?.string()?.parse()?),
            Long("count") => count = Some(parser.value()?.parse()?),
            Long("port") => port = parser.value()?.parse()?,
            Long("server-pid") => server_pids = list(&mut parser)?,
            Long("workers") => workers = Some(worker_count(parser.value()?.parse()?)?),
            other => return Err(other.unexpected().into()),
        }
    }
    let workload: Workload = workload.ok_or("a client needs --workload")?;
    let count = count.ok_or("a client needs --count")?;
    if !workload.is_local() && (port == 0 || server_pids.is_empty()) {
        return Err("a client needs --port and --server-pid".into());
    }
    let job = Job { workload, count, port, server_pids };
    Ok(Command::Client { contestant, job, workers })
}

fn list<T>(parser: &mut lexopt::Parser) -> Result<Vec<T>>
where
    T: std::str::FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    parser.value()?.string()?.split(',').map(|word| word.parse().map_err(Into::into)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(["compare"].into_iter().chain(line.split_whitespace()).map(OsString::from))
    }

    #[test]
    fn without_options_everything_runs_and_the_asks_on_one_core_too() {
        let Ok(Command::Compare(args)) = parsed("") else { panic!("a comparison") };
        assert_eq!(args.workloads, Workload::ALL);
        assert_eq!(args.only.len(), contestant::all().count());
        assert_eq!(args.pins.of(Workload::Ask1), [Pin::Split, Pin::One]);
        assert_eq!(args.pins.of(Workload::Tell), [Pin::Split]);
        assert_eq!((args.rounds, args.scale), (5, 1.0));
        assert!(args.workers.is_empty());
    }

    #[test]
    fn several_numbers_of_workers_are_compared_in_one_run() {
        let Ok(Command::Compare(args)) = parsed("--workers 1,2,8") else { panic!("a comparison") };
        assert_eq!(args.workers, [1, 2, 8]);
    }

    #[test]
    fn what_cannot_be_run_is_refused_before_anything_starts() {
        assert!(parsed("--only raw,nobody").is_err());
        assert!(parsed("--workload tell,tale").is_err());
        assert!(parsed("--rounds 0").is_err());
        assert!(parsed("--scale 0").is_err());
        assert!(parsed("--pin here").is_err());
        assert!(parsed("client raw --workload tell --count 8").is_err());
        assert!(parsed("pinned --cpu 1").is_err());
        assert!(parsed("serve raw --workers 0").is_err());
        assert!(parsed("--workers 1,0").is_err());
        assert!(parsed("--workers 2000").is_err());
        assert!(parsed("--instructions --workers 2").is_err());
        assert!(parsed("--instructions --workload tell,bulk").is_err());
        assert!(parsed("--instructions --json figures.json").is_err());
    }

    #[test]
    fn instructions_are_counted_of_what_can_be_counted() {
        let Ok(Command::Compare(args)) = parsed("--instructions") else { panic!("a comparison") };
        assert!(args.instructions);
        let names: Vec<&str> = args.workloads.iter().map(|workload| workload.name()).collect();
        assert_eq!(names, ["ask-1", "ask-64", "tell", "local-tell", "local-ask"]);
    }

    #[test]
    fn the_command_lines_of_the_halves_are_understood() {
        let line = "client raw --workload ask-1 --count 8 --port 80 --server-pid 7,9 --workers 2";
        let Ok(Command::Client { contestant, job, workers }) = parsed(line) else {
            panic!("a client")
        };
        assert_eq!(workers, Some(2));
        assert_eq!((contestant.as_str(), job.workload), ("raw", Workload::Ask1));
        assert_eq!((job.count, job.port, job.server_pids), (8, 80, vec![7, 9]));
        assert!(parsed("local mpsc --workload spawn --count 8").is_ok());
        let Ok(Command::Serve { contestant, workers }) = parsed("serve raw --workers 3") else {
            panic!("a server")
        };
        assert_eq!((contestant.as_str(), workers), ("raw", Some(3)));
        let Ok(Command::Pinned { cpus, program }) =
            parsed("pinned --cpu 0 --cpu 1 -- prog serve --cpu 5")
        else {
            panic!("a pinned program")
        };
        assert_eq!(cpus, [0, 1]);
        assert_eq!(program, ["prog", "serve", "--cpu", "5"]);
    }
}
