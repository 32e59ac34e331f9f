//! Counts by running this program again under `valgrind --tool=callgrind`.
//!
//! Each path is run for N and for 2N messages: what starting up and ending cost is in both, and is no
//! part of the difference.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::Result;
use crate::paths::Path;

/// What one message costs.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

pub(crate) fn measure(path: &Path) -> Result<Cost> {
    // Both at once, since this takes far longer than the rest of the program.
    let (shorter, longer) = (Run::start(path, path.count)?, Run::start(path, 2 * path.count)?);
    let (shorter, longer) = (shorter.finish()?, longer.finish()?);
    let each = |count: fn(&Totals) -> u64| {
        (count(&longer) as f64 - count(&shorter) as f64) / path.count as f64
    };
    Ok(Cost {
        instructions: each(|totals| totals.instructions),
        allocations: each(|totals| totals.allocations),
    })
}

struct Run {
    child: Child,
    profile: PathBuf,
}

impl Run {
    fn start(path: &Path, count: u64) -> Result<Self> {
        let file = format!("counts-{}-{}-{count}.callgrind", std::process::id(), path.name);
        let profile = std::env::temp_dir().join(file);
        let child = Command::new("valgrind")
            .args(["--quiet", "--tool=callgrind", "--compress-strings=no"])
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(std::env::current_exe()?)
            .args(["--run", path.name, &count.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => "needs valgrind: apt-get install valgrind".into(),
                _ => format!("valgrind does not start: {error}"),
            })?;
        Ok(Self { child, profile })
    }

    fn finish(mut self) -> Result<Totals> {
        let status = self.child.wait()?;
        let profile = std::fs::read_to_string(&self.profile);
        std::fs::remove_file(&self.profile).or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        if !status.success() {
            return Err(format!("valgrind ended with {status}").into());
        }
        Totals::of(&profile?)
    }
}

#[derive(Debug, PartialEq)]
struct Totals {
    instructions: u64,
    /// Calls of the allocator that may give new memory.
    allocations: u64,
}

impl Totals {
    /// Reads callgrind's output: `totals:` has the instructions; each call is a line `cfn=FUNCTION`
    /// and a line `calls=COUNT ..`.
    fn of(profile: &str) -> Result<Self> {
        const ALLOCATE: [&str; 5] =
            ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];
        let (mut instructions, mut allocations) = (None, 0);
        let mut is_allocation = false;
        for line in profile.lines() {
            if let Some(function) = line.strip_prefix("cfn=") {
                is_allocation = ALLOCATE.contains(&function);
            } else if let Some(calls) = line.strip_prefix("calls=")
                && is_allocation
            {
                let count = calls.split(' ').next().unwrap_or_default();
                allocations += count.parse::<u64>()?;
            } else if let Some(total) = line.strip_prefix("totals: ") {
                instructions = Some(total.trim().parse()?);
            }
        }
        let instructions = instructions.ok_or("callgrind wrote no totals")?;
        Ok(Self { instructions, allocations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_and_calls_of_the_allocator_added_up() -> Result {
        let profile = "events: Ir\n\nfn=work\n3 10\ncfn=malloc\ncalls=5 0\n3 200\ncfn=free\n\
                       calls=7 0\n3 90\nfn=grow\ncfi=x.rs\ncfn=realloc\ncalls=2 0\n4 9\n\ntotals: 309\n";
        assert_eq!(Totals::of(profile)?, Totals { instructions: 309, allocations: 7 });
        assert!(Totals::of("events: Ir\n").is_err());
        Ok(())
    }
}
