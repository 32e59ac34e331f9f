//! What rules work with that try out what somebody else has implemented: calls that are written down, and a verdict.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use super::violation::Violation;
use super::wait::LIMIT;
use crate::sync::GlobalMutex;

/// What a rule finds fault with.
pub(super) struct Broken(String);

pub(super) type Outcome<T = ()> = Result<T, Broken>;

/// Says what is broken.
pub(super) fn broken<T>(fault: impl Into<String>) -> Outcome<T> {
    Err(Broken(fault.into()))
}

/// Says that it is broken unless that holds.
pub(super) fn ensure(holds: bool, fault: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { broken(fault()) }
}

/// Runs all at the same time, in one task.
pub(super) async fn all_at_once<T>(futures: impl IntoIterator<Item: Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> =
        futures.into_iter().map(|future| (Some(Box::pin(future)), None)).collect();
    poll_fn(|cx| {
        for (future, output) in &mut running {
            if let Some(Poll::Ready(ready)) = future.as_mut().map(|future| future.as_mut().poll(cx))
            {
                (*future, *output) = (None, Some(ready));
            }
        }
        let done = running.iter().all(|(future, _)| future.is_none());
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}

/// What runs beside others.
pub(super) type Beside<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Lets others go first, some times.
pub(super) async fn wait_turns(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// The calls that were made for a rule.
pub(super) struct Calls {
    rule: &'static str,
    made: GlobalMutex<Vec<(String, Option<String>)>>,
}

impl Calls {
    pub(super) fn new(rule: &'static str) -> Self {
        Self { rule, made: GlobalMutex::default() }
    }

    /// Runs the rule. A panic breaks it, and so does waiting for ever.
    pub(super) async fn judge(&self, rule: impl Future<Output = Outcome>) -> Option<Violation> {
        let mut rule = pin!(rule);
        let caught =
            poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| rule.as_mut().poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(outcome)) => Poll::Ready(outcome),
                Err(panic) => Poll::Ready(broken(format!("it panicked: {}", text_of(&*panic)))),
            });
        let outcome = tokio::time::timeout(LIMIT, caught).await;
        let late = || broken(format!("it was not done within {LIMIT:?}"));
        let Err(Broken(fault)) = outcome.unwrap_or_else(|_| late()) else { return None };
        let calls = std::mem::take(&mut *self.made.lock()).into_iter().map(|(call, answer)| {
            format!("{call} = {}", answer.as_deref().unwrap_or("(no answer)"))
        });
        Some(Violation { rule: self.rule, fault, calls: calls.collect() })
    }

    /// Writes a call down, and its answer as that comes.
    pub(super) async fn noted<T>(
        &self,
        at: usize,
        call: String,
        answer: impl Future<Output = T>,
        show: impl FnOnce(&T) -> String,
    ) -> T {
        let n = {
            let mut made = self.made.lock();
            made.push((format!("{}.{call}", ["a", "b", "c"][at]), None));
            made.len() - 1
        };
        let answer = answer.await;
        let shown = show(&answer);
        self.made.lock()[n].1 = Some(shown);
        answer
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no text)")
}
