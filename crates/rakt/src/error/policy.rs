//! What is wrong with the file of a policy.

use std::io;
use std::path::PathBuf;

use rakt_wire::Shown;

/// What is wrong with the file of a [policy](crate::remote::Policy).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It cannot be read.
    #[error("{} cannot be read", Shown(path.display()))]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It does not say what a policy says.
    #[error("{}:{line}: {}{}; allowed: {}", Shown(path.display()), Place(key), Shown(wrong), Shown(allowed))]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The key in that line, with those of the tables that it is in: `roles.shop.rules[0].may`. Empty where the text
        /// is no TOML.
        key: String,
        /// What stands there.
        wrong: String,
        /// What is allowed there.
        allowed: String,
    },
}

/// Shows a key in front of what is wrong with its value.
struct Place<'a>(&'a str);

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.is_empty() {
            true => Ok(()),
            false => write!(f, "{}: ", Shown(self.0)),
        }
    }
}
