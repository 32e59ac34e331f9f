//! What a process does in instructions: it runs under callgrind, which writes down at its end how many
//! there were in user space.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Result;

/// That valgrind is installed.
pub(crate) fn check() -> Result {
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--version").stdin(Stdio::null()).stdout(Stdio::null());
    match valgrind.status() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err("needs valgrind: apt-get install valgrind".into())
        }
        Err(error) => Err(format!("valgrind does not start: {error}").into()),
    }
}

/// The profile of one process; removed when dropped.
pub(crate) struct Profile(PathBuf);

impl Profile {
    /// `half` is of which process; two at a time differ in it.
    pub(crate) fn new(half: &str) -> Self {
        let file = format!("compare-{}-{half}.callgrind", std::process::id());
        Self(std::env::temp_dir().join(file))
    }

    /// What comes before the program on a command line.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut file = OsString::from("--callgrind-out-file=");
        file.push(&self.0);
        vec!["valgrind".into(), "--quiet".into(), "--tool=callgrind".into(), file]
    }

    /// How many instructions the process took, which has ended.
    pub(crate) fn instructions(&self) -> Result<u64> {
        let profile = std::fs::read_to_string(&self.0);
        totals(&profile.map_err(|error| format!("callgrind wrote no profile: {error}"))?)
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // An error means that it was never written.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn totals(profile: &str) -> Result<u64> {
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(totals.ok_or("callgrind wrote no totals")?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_of_a_profile_are_read() {
        assert_eq!(totals("events: Ir\n\nfn=work\n3 10\n\ntotals: 309\n").ok(), Some(309));
        assert!(totals("events: Ir\n").is_err());
        assert!(totals("totals: many\n").is_err());
    }

    #[test]
    fn a_profile_that_was_not_written_is_an_error_and_no_zero() {
        let error = Profile::new("nobody").instructions().expect_err("nobody wrote it");
        assert!(error.to_string().starts_with("callgrind wrote no profile"), "{error}");
    }
}
