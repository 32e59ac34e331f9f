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
            report.retain(&args.only, |workload, pin| {
                args.workloads.contains(&workload) && args.pins.of(workload).contains(&pin)
            });
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
                let how = Running { pin: section.pin, workers: None, limit: args.limit };
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

/// A section for each workload and place of which somebody takes part.
fn sections(args: &CompareArgs, starters: &[Starter]) -> Vec<Section> {
    let mut sections = Vec::new();
    for &workload in &args.workloads {
        let rows = || {
            let takes_part = |s: &&Starter| s.contestant.workloads.contains(&workload);
            starters.iter().filter(takes_part).map(|s| Row::new(s.contestant.name)).collect()
        };
        let pins = args.pins.of(workload).iter();
        sections.extend(pins.map(|&pin| Section { workload, pin, rows: rows() }));
    }
    sections.retain(|section| !section.rows.is_empty());
    sections
}
