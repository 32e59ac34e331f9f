//! What grains cost in a cluster of three processes on one machine, of rakt and of GoAkt, side by side: asked while they live,
//! beside plain actors of another node, brought to life, at rest, and after their node was killed.
//!
//! - [`contestant`]: who takes part, and how its program is had
//! - [`cluster`]: three processes, which do what they are told
//! - [`course`]: what they are told, and what is measured of it
//! - [`node`]: a node of rakt
//! - [`table`]: the figures side by side

mod cluster;
mod contestant;
mod course;
mod node;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use contestant::Contestant;
use course::Course;
use lexopt::prelude::*;
use table::Table;

/// Any error; this program only reports them.
type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const HELP: &str = "\
grains: what grains cost in a cluster of three processes, of rakt and of GoAkt

usage: grains [options]

  --only A,B     these of rakt, goakt3, goakt4; default all; those of Go need `go`
  --rounds N     clusters of each, in turns, whose medians are told; default 3
  --scale X      multiplies how many are asked, woken and lost; default 1
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("grains: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result {
    let (mut only, mut rounds, mut scale) = (Contestant::ALL.to_vec(), 3, 1.0);
    let (mut is_node, mut index, mut ports, mut dir) = (false, 0, Vec::new(), PathBuf::new());
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Value(word) if word == "node" => is_node = true,
            Long("index") => index = parser.value()?.parse()?,
            Long("ports") => ports = list(&mut parser)?,
            Long("dir") => dir = parser.value()?.into(),
            Long("only") => only = list(&mut parser)?,
            Long("rounds") => rounds = parser.value()?.parse()?,
            Long("scale") => scale = parser.value()?.parse()?,
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if is_node {
        return node::run(index, &ports, &dir);
    }
    if rounds == 0 || !(scale > 0.0 && scale <= 100.0) {
        return Err("--rounds is 1 or more, --scale more than 0 and at most 100".into());
    }
    let (mut table, course) = (Table::default(), Course { scale });
    for round in 0..rounds {
        for &contestant in &only {
            eprintln!("round {} of {rounds}: {}", round + 1, contestant.name());
            match contestant
                .program()
                .and_then(|program| course.run(&program.words, contestant.pace()))
            {
                Ok(figures) => table.add(contestant, figures),
                Err(error) => table.fail(contestant, &error),
            }
        }
    }
    print!("{table}");
    table.outcome()
}

fn list<T>(parser: &mut lexopt::Parser) -> Result<Vec<T>>
where
    T: std::str::FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    parser.value()?.string()?.split(',').map(|word| word.parse().map_err(Into::into)).collect()
}
