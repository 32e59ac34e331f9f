//! Who takes part.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Result;

/// Whose grains they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contestant {
    Rakt,
    GoAkt3,
    GoAkt4,
}

impl Contestant {
    pub(crate) const ALL: [Self; 3] = [Self::Rakt, Self::GoAkt3, Self::GoAkt4];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rakt => "rakt",
            Self::GoAkt3 => "goakt3",
            Self::GoAkt4 => "goakt4",
        }
    }

    /// How many asks it makes while rakt makes one, roughly.
    pub(crate) fn pace(self) -> f64 {
        match self {
            Self::Rakt => 1.0,
            Self::GoAkt3 | Self::GoAkt4 => 0.1,
        }
    }

    /// The program for the nodes of one cluster. Those of Go are the same that `compare` has, built beside this program.
    pub(crate) fn program(self) -> Result<Program> {
        let this = std::env::current_exe()?;
        let folder = match self {
            Self::Rakt => {
                let scratch = Scratch::new()?;
                let words = vec![this.into(), "--dir".into(), scratch.0.clone().into()];
                return Ok(Program { words, _scratch: Some(scratch) });
            }
            Self::GoAkt3 => "v3",
            Self::GoAkt4 => "v4",
        };
        let program = this.with_file_name("external").join("goakt").join(folder);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../goakt").join(folder);
        let built = Command::new("go")
            .arg("build")
            .arg("-o")
            .arg(&program)
            .arg(".")
            .current_dir(source)
            .output()
            .map_err(|error| format!("go cannot be started: {error}"))?;
        if !built.status.success() {
            return Err(format!("go build: {}", String::from_utf8_lossy(&built.stderr)).into());
        }
        Ok(Program { words: vec![program.into()], _scratch: None })
    }
}

/// A program that is a node where it is told `node --index I --ports P` behind these words.
pub(crate) struct Program {
    pub(crate) words: Vec<OsString>,
    _scratch: Option<Scratch>,
}

/// Where the nodes of one cluster of rakt keep who is a member; gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        static CLUSTERS: AtomicUsize = AtomicUsize::new(0);
        let cluster = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("rakt-grains-{}-{cluster}", std::process::id()));
        std::fs::create_dir(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is in the way of nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl FromStr for Contestant {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|contestant| contestant.name() == name);
        found.ok_or_else(|| format!("nobody called {name:?} takes part").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name() {
        for contestant in Contestant::ALL {
            assert_eq!(contestant.name().parse::<Contestant>().ok(), Some(contestant));
        }
        assert!("goakt5".parse::<Contestant>().is_err());
    }
}
