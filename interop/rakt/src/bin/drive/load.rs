//! What became of requests that many senders make at once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rakt::error::Chain;
use rakt::{BoxError, Result};

/// Why a request has not ended as it should.
pub(crate) enum Fault {
    /// A reply to another request, which nothing excuses.
    WrongReply(String),
    /// Anything else.
    Failed(BoxError),
}

impl<E: Into<BoxError>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Counts them.
#[derive(Default)]
pub(crate) struct Outcomes {
    answered: AtomicU64,
    /// Failures since the last answer.
    pub(crate) failed_in_a_row: AtomicU64,
    /// Answers since the last failure.
    pub(crate) answered_in_a_row: AtomicU64,
    faults: Mutex<Faults>,
}

#[derive(Default)]
struct Faults {
    wrong: Vec<String>,
    failed: BTreeMap<String, u64>,
}

impl Outcomes {
    pub(crate) fn add(&self, outcome: Result<(), Fault>) {
        let Err(fault) = outcome else {
            self.answered.fetch_add(1, Ordering::Relaxed);
            self.answered_in_a_row.fetch_add(1, Ordering::Relaxed);
            self.failed_in_a_row.store(0, Ordering::Relaxed);
            return;
        };
        self.failed_in_a_row.fetch_add(1, Ordering::Relaxed);
        self.answered_in_a_row.store(0, Ordering::Relaxed);
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Fault::WrongReply(detail) => faults.wrong.push(detail),
            Fault::Failed(error) => {
                // Without ports and numbers, so that those of many connections count as one.
                let text = Chain(&*error).to_string().replace('\n', " / ");
                let text = text.replace(|letter: char| letter.is_ascii_digit(), "");
                *faults.failed.entry(text).or_default() += 1;
            }
        }
    }

    pub(crate) fn wrong_replies(&self) -> Result {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match faults.wrong.first() {
            None => Ok(()),
            Some(first) => Err(format!("{} wrong replies; {first}", faults.wrong.len()).into()),
        }
    }

    pub(crate) fn failures(&self) -> u64 {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.failed.values().sum()
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered", self.answered.load(Ordering::Relaxed))?;
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.failed.iter().try_for_each(|(why, count)| write!(f, "; {count} failed: {why}"))
    }
}
