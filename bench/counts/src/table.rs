//! The figures next to the committed ones.

use std::collections::HashMap;
use std::process::ExitCode;

use crate::Result;
use crate::callgrind::{self, Cost};
use crate::paths::{self, Path};

const COMMITTED: &str = include_str!("../counts.txt");
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.txt");
/// A path fails that costs more than this many times its committed figure. Compilers and processors
/// make a difference too, so it is generous.
const BOUND: f64 = 1.5;

/// Prints the table of the paths named, or of all; fails where one is past its bound.
pub(crate) fn check(names: &[&str]) -> Result<ExitCode> {
    let committed = parse(COMMITTED)?;
    let paths: Vec<&Path> = match names {
        [] => paths::ALL.iter().collect(),
        names => names.iter().map(|name| paths::find(name)).collect::<Result<_>>()?,
    };
    println!("{:<18} {:>12} {:>11}  of committed  bound", "path", "instructions", "allocations");
    let mut past = Vec::new();
    for path in paths {
        let cost = callgrind::measure(path)?;
        let committed = *committed
            .get(path.name)
            .ok_or_else(|| format!("counts.txt has no {:?}: run with --write", path.name))?;
        let (ratio, bound) = (cost.instructions / committed, committed * BOUND);
        println!("{} {ratio:>13.2} {bound:>6.0}  {}", row(path, cost), path.about);
        if cost.instructions > bound {
            past.push(path.name);
        }
    }
    if past.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "past {BOUND} times the committed figure: {}; where that is right, run with --write",
        past.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

/// Measures every path and writes the figures down.
pub(crate) fn write() -> Result {
    let mut text = "# Instructions a message, as `counts --write` found them.\n".to_owned();
    for path in &paths::ALL {
        let cost = callgrind::measure(path)?;
        println!("{}", row(path, cost));
        text += &format!("{} {:.0}\n", path.name, cost.instructions);
    }
    std::fs::write(FILE, text)?;
    Ok(())
}

fn row(path: &Path, cost: Cost) -> String {
    format!("{:<18} {:>12.1} {:>11.3}", path.name, cost.instructions, cost.allocations)
}

fn parse(text: &str) -> Result<HashMap<&str, f64>> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, figure) =
                line.split_once(' ').ok_or_else(|| format!("no figure: {line}"))?;
            Ok((name, figure.parse()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_committed_figure_and_every_figure_a_path() -> Result {
        let committed = parse(COMMITTED)?;
        for path in &paths::ALL {
            assert!(committed.get(path.name).is_some_and(|figure| *figure > 0.0), "{}", path.name);
        }
        assert_eq!(committed.len(), paths::ALL.len());
        Ok(())
    }
}
