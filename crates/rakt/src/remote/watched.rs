//! Files that are looked at now and then: certificates and policies.
//!
//! They are read and compared, not watched: what an operating system tells of a file gets lost where that is a link, as mounted
//! secrets of Kubernetes are.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

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

/// When it was told last that what is there cannot be used.
#[derive(Default)]
pub(crate) struct Complaint(Option<Instant>);

impl Complaint {
    /// What came of another look; returns what is wrong if that is to be told.
    pub(crate) fn note<T, E>(&mut self, now: Instant, looked: Result<T, E>) -> Option<E> {
        match looked {
            Ok(_) => {
                self.0 = None;
                None
            }
            Err(_) if self.0.is_some_and(|at| now < at + COMPLAIN) => None,
            Err(error) => {
                self.0 = Some(now);
                Some(error)
            }
        }
    }
}
