//! The rounds: every contestant does every workload, a new server and a new client each time.

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use crate::Result;
use crate::args::CompareArgs;
use crate::child::{Running, Starter};
use crate::contestant;
use crate::instructions;
use crate::report::{Contender, Report, Row, Section, Settings};

pub(crate) fn run(args: &CompareArgs) -> Result<ExitCode> {
    if args.list {
        for contestant in contestant::all() {
            println!("{:<16}{}", contestant.name, contestant.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.instructions {
        return on_one_thread(instructions::run(args));
    }
    // Opened first: a path that cannot be written should not cost a whole comparison.
    let earlier = args.from.as_deref().map(read).transpose()?;
    let json = args.json.as_deref().map(create).transpose()?;
    let svg = args.svg.as_deref().map(create).transpose()?;
    let report = match earlier {
        Some(mut report) => {
            report.retain(&args.only, |section| is_wanted(args, section));
            report
        }
        None => on_one_thread(compare(args))?,
    };
    print!("{report}");
    if let Some(file) = json {
        serde_json::to_writer_pretty(file, &report)?;
    }
    if let Some(mut file) = svg {
        std::io::Write::write_all(&mut file, report.svg().as_bytes())?;
    }
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A child is told of its parent's end when the thread that started it ends.
fn on_one_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// What a comparison before wrote.
fn read(path: &Path) -> Result<Report> {
    let told = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(|error| told(&error))?;
    let report = serde_json::from_reader(std::io::BufReader::new(file));
    report.map_err(|error| told(&error).into())
}

fn create(path: &Path) -> Result<File> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let file = folder.and_then(|()| File::create(path));
    file.map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

async fn compare(args: &CompareArgs) -> Result<Report> {
    let (mut starters, mut contenders) = (Vec::new(), Vec::new());
    for contestant in contestant::all().filter(|c| args.only.iter().any(|name| name == c.name)) {
        let starter = Starter::prepare(contestant);
        let not_run = starter.as_ref().err().map(ToString::to_string);
        contenders.push(Contender::new(contestant, not_run));
        starters.extend(starter);
    }
    let mut sections = sections(args, &starters);
    for round in 0..args.rounds {
        for section in &mut sections {
            eprintln!("round {} of {}: {section}", round + 1, args.rounds);
            // Whoever goes first meets the machine as the workload before left it: take turns.
            let first = round % section.rows.len();
            let (end, start) = section.rows.split_at_mut(first);
            for row in start.iter_mut().chain(end) {
                let starter = starters.iter().find(|s| s.contestant.name == row.contestant);
                let starter = starter.ok_or("a row is of a contestant that runs")?;
                let scale = args.scale * (starter.contestant.scale)(section.workload);
                let count = section.workload.count(scale);
                let &mut Section { pin, workers, .. } = section;
                let how = Running { pin, workers, limit: args.limit };
                match starter.measure(section.workload, count, how).await {
                    Ok(measured) => row.rounds.push(Some(measured)),
                    Err(error) => {
                        eprintln!("{}: {error}", row.contestant);
                        row.rounds.push(None);
                        row.failures.push(error.to_string());
                    }
                }
            }
        }
    }
    let settings = Settings { rounds: args.rounds, scale: args.scale };
    Ok(Report { settings, contenders, sections })
}

/// Whether a section of an earlier comparison is among what is told; any number of workers is, unless
/// some are named.
fn is_wanted(args: &CompareArgs, section: &Section) -> bool {
    let &Section { workload, pin, workers, .. } = section;
    args.workloads.contains(&workload)
        && args.pins.of(workload).contains(&pin)
        && (args.workers.is_empty() || workers.is_some_and(|count| args.workers.contains(&count)))
}

/// A section for each workload, place and number of workers of which somebody takes part.
fn sections(args: &CompareArgs, starters: &[Starter]) -> Vec<Section> {
    let workers: Vec<Option<usize>> = match &args.workers[..] {
        [] => vec![None],
        counts => counts.iter().copied().map(Some).collect(),
    };
    let mut sections = Vec::new();
    for &workload in &args.workloads {
        let rows = || {
            let takes_part = |s: &&Starter| s.contestant.workloads.contains(&workload);
            starters.iter().filter(takes_part).map(|s| Row::new(s.contestant.name)).collect()
        };
        for &pin in args.pins.of(workload) {
            let section = |workers| Section { workload, pin, workers, rows: rows() };
            sections.extend(workers.iter().copied().map(section));
        }
    }
    sections.retain(|section| !section.rows.is_empty());
    sections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Command, parse};

    fn args(line: &str) -> CompareArgs {
        let words = ["compare"].into_iter().chain(line.split_whitespace()).map(Into::into);
        let Ok(Command::Compare(args)) = parse(words) else { panic!("a comparison: {line}") };
        args
    }

    #[test]
    fn there_is_a_section_for_each_place_and_number_of_workers() -> Result {
        let starters = [Starter::prepare(contestant::find("raw")?)?];
        let names = |line: &str| {
            let sections = sections(&args(line), &starters);
            sections.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names("--workload tell"), ["tell, a core for client and server each"]);
        assert_eq!(
            names("--workload ask-1,spawn --workers 1,2"),
            [
                "ask-1, a core for client and server each, 1 worker",
                "ask-1, a core for client and server each, 2 workers",
                "ask-1, all on one core, 1 worker",
                "ask-1, all on one core, 2 workers",
            ]
        );
        Ok(())
    }

    #[test]
    fn an_earlier_comparison_is_told_with_any_workers_unless_some_are_named() {
        let section = |workers| Section {
            workload: crate::workload::Workload::Tell,
            pin: crate::process::Pin::Split,
            workers,
            rows: Vec::new(),
        };
        let kept = |line: &str| {
            let args = args(line);
            [None, Some(1), Some(2)].map(|workers| is_wanted(&args, &section(workers)))
        };
        assert_eq!(kept(""), [true; 3]);
        assert_eq!(kept("--workers 2"), [false, false, true]);
        assert_eq!(kept("--pin one"), [false; 3]);
    }
}
