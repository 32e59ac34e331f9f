//! Checks, and what is said of them.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use rakt::Result;
use rakt::error::Chain;

use crate::target::Target;

pub(crate) type Checking<'a> = Pin<Box<dyn Future<Output = Result> + Send + 'a>>;

/// One thing to find out about a node.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) run: for<'a> fn(&'a Target) -> Checking<'a>,
    /// Ends a check that would wait for ever.
    pub(crate) timeout: Duration,
}

pub(crate) fn checking<'a>(check: impl Future<Output = Result> + Send + 'a) -> Checking<'a> {
    Box::pin(check)
}

/// Checks by name.
macro_rules! checks {
    ($($name:literal => |$target:ident| $check:expr;)*) => {
        &[$($crate::report::Check {
            name: $name,
            run: |$target| $crate::report::checking(async move { $check }),
            timeout: std::time::Duration::from_secs(60),
        },)*]
    };
}
pub(crate) use checks;

/// One line for each check, and how many there were of each sort.
#[derive(Default)]
pub(crate) struct Report {
    passed: u32,
    failed: u32,
}

impl Report {
    pub(crate) fn check(&mut self, name: &str, result: Result) {
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("ok {name}");
            }
            Err(error) => {
                self.failed += 1;
                println!("FAIL {name}: {}", Chain(&*error).to_string().replace('\n', " / "));
            }
        }
    }

    /// Whether there were checks, and all have passed.
    pub(crate) fn end(self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0 && self.passed > 0
    }
}
