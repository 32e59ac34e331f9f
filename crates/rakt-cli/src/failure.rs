//! What a user is told when something does not work: what happened, and what mends it.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use rakt::error::Chain;
use rakt::remote::certificate::CertificateError;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The reason, and the mend where one is known.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    mend: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), mend: None }
    }

    pub(crate) fn mend(self, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }

    /// This one, and another behind it.
    pub(crate) fn and(self, other: &Self) -> Self {
        Self::new(format!("{self}error: {}", other.to_string().trim_end()))
    }

    /// A file that cannot be read.
    pub(crate) fn read(path: &Path, error: &io::Error) -> Self {
        Self::new(format!("{} cannot be read: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        self.mend.iter().try_for_each(|mend| writeln!(f, "mend: {mend}"))
    }
}

impl From<CertificateError> for Failure {
    fn from(error: CertificateError) -> Self {
        Self::new(Chain(&error).to_string())
    }
}

/// Prints what was asked for. A reader that has gone away has seen enough.
pub(crate) fn print(output: impl AsRef<[u8]>) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(output.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("the output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}
