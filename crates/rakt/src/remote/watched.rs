//! Files that are looked at now and then: certificates and policies.
//!
//! They are read and compared, not watched: what an operating system tells of a file gets lost where that is a link, as mounted
//! secrets of Kubernetes are.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Chain;

/// How often files are looked at where nothing else is said.
pub(crate) const EVERY: Duration = Duration::from_secs(10);
/// How often it is told that what is there cannot be used.
const COMPLAIN: Duration = Duration::from_secs(60);

/// Reads a file that has a certain number of bytes at most.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // With room for all of it, no part of a key is left where it has grown.
    let len = file.metadata()?.len().min(most) as usize;
    let mut bytes = Vec::with_capacity(len + 1);
    file.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => {
            let text = format!("the limit is {} MiB", most >> 20);
            Err(io::Error::new(io::ErrorKind::FileTooLarge, text))
        }
        false => Ok(bytes),
    }
}

/// What was told last of why what is there cannot be used, and when.
#[derive(Default)]
pub(crate) struct Complaint(Option<(Instant, String)>);

impl Complaint {
    /// What came of another look; returns what is wrong if that is to be told: it is something else than before, or was
    /// told a minute ago.
    pub(crate) fn note<T, E: Error + 'static>(
        &mut self,
        now: Instant,
        looked: Result<T, E>,
    ) -> Option<E> {
        let Err(error) = looked else {
            self.0 = None;
            return None;
        };
        let text = Chain(&error).to_string();
        match &self.0 {
            Some((at, told)) if *told == text && now < *at + COMPLAIN => None,
            _ => {
                self.0 = Some((now, text));
                Some(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_once_a_minute_and_something_else_at_once() {
        let (mut complaint, start) = (Complaint::default(), Instant::now());
        let mut tells = |seconds, looked: Result<(), &'static str>| {
            let looked = looked.map_err(io::Error::other);
            complaint.note(start + Duration::from_secs(seconds), looked).is_some()
        };
        assert!(tells(0, Err("a key is missing")));
        assert!(!tells(10, Err("a key is missing")), "it was told");
        assert!(tells(20, Err("the file is gone")), "that is another fault");
        assert!(!tells(79, Err("the file is gone")));
        assert!(tells(80, Err("the file is gone")), "a minute later");
        assert!(!tells(90, Ok(())));
        assert!(tells(100, Err("the file is gone")), "it was good in between");
    }
}
