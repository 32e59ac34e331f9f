//! What is told of a rule that is broken.

use std::fmt;

/// How many of the last calls a violation tells.
const CALLS_TOLD: usize = 40;

/// A rule that somebody's store or register has broken. Its text says what was to happen, which calls were made, and what came back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Violation {
    /// The name of the rule: a sentence.
    pub rule: &'static str,
    /// What was to happen, and what did.
    pub fault: String,
    /// The calls that were made for this rule, in the order in which they began, each with its answer. `a`, `b` and
    /// `c` are what was opened.
    pub calls: Vec<String>,
}

/// Several lines.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.fault)?;
        let before = self.calls.len().saturating_sub(CALLS_TOLD);
        if before > 0 {
            write!(f, "\n    ({before} calls before)")?;
        }
        for (n, call) in self.calls.iter().enumerate().skip(before) {
            write!(f, "\n    {}. {call}", n + 1)?;
        }
        Ok(())
    }
}
