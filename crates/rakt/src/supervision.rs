//! What happens to an actor whose handler or hook fails: a pure policy, decided by `Decider`.
//!
//! A failure is an `Err` from a handler or hook, or a panic in one. The actor's [`Supervision`] turns
//! it into a [`Directive`]; the runtime carries that out.
//!
//! ```
//! use rakt::prelude::*;
//! use rakt::supervision::{Directive, Fault};
//! use std::time::Duration;
//!
//! #[derive(Message)]
//! #[rakt(reply = u32)]
//! struct Next;
//!
//! #[derive(Default)]
//! struct Counter(u32);
//! impl Actor for Counter {}
//!
//! impl Handler<Next> for Counter {
//!     async fn handle(&mut self, _: Next, _: &mut Context<Self>) -> Result<u32> {
//!         self.0 += 1;
//!         if self.0 == 2 { Err("two is too much".into()) } else { Ok(self.0) }
//!     }
//! }
//!
//! # #[tokio::main] async fn main() -> Result {
//! # let system = ActorSystem::builder("doc").start().await?;
//! let supervision = Supervision::by(|fault| match fault {
//!     Fault::Error(_) => Directive::Resume,    // it keeps its state
//!     _ => Directive::Restart,
//! });
//! let supervision = supervision.max_restarts(10, Duration::from_secs(60));
//! let counter = system.spawn("counter", Counter::default).supervision(supervision).await?;
//! assert_eq!(counter.ask(Next).await?, 1);
//! assert!(matches!(counter.ask(Next).await, Err(AskError::Refused { .. })));
//! assert_eq!(counter.ask(Next).await?, 3);
//! # Ok(()) }
//! ```
//!
//! An error by which a handler turns its message down and is well, [`Declined`](crate::Declined), is no failure.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{BoxError, Cause};

/// What to do with an actor that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Directive {
    /// Go on with the next message; the actor keeps its state.
    Resume,
    /// Drop the actor and go on with a new one, built by its factory; queued messages stay.
    Restart,
    /// Stop the actor; queued messages become dead letters.
    Stop,
    /// Keep the actor and what is queued, refuse new messages until it is reinstated.
    Suspend,
    /// Stop the actor, and treat the fault as one of its parent; at the top of the tree just `Stop`.
    Escalate,
}

/// Whom a directive concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// The actor that failed.
    #[default]
    OneForOne,
    /// The actor that failed and all actors with the same parent.
    OneForAll,
}

/// Why an actor failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// A handler or hook returned this error.
    Error(BoxError),
    /// A handler or hook panicked with this message, or what runs [beside](crate::Context::pipe) the actor did.
    Panic(String),
    /// A handler took longer than its [limit](crate::Spawn::handler_timeout).
    TimedOut(Duration),
    /// A child failed and its supervision escalated.
    Child {
        /// The path of the child.
        path: String,
        /// Its fault.
        cause: Cause,
    },
}

impl Fault {
    /// What a panic says, as far as it says anything.
    pub(crate) fn of_panic(panic: Box<dyn std::any::Any + Send>) -> Self {
        let text = match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => match panic.downcast::<&'static str>() {
                Ok(text) => (*text).to_owned(),
                Err(unknown) => {
                    // Dropping it is foreign code that may panic in turn.
                    std::mem::forget(unknown);
                    "without a message".to_owned()
                }
            },
        };
        Self::Panic(text)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => write!(f, "{error}"),
            Self::Panic(text) => write!(f, "panicked: {text}"),
            Self::TimedOut(limit) => write!(f, "took longer than {limit:?}"),
            Self::Child { path, .. } => write!(f, "child {path} failed"),
        }
    }
}

/// The text of a returned error is the fault's, so the source is what caused that.
impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Error(error) => error.source(),
            Self::Panic(_) | Self::TimedOut(_) => None,
            Self::Child { cause, .. } => Some(cause),
        }
    }
}

type Choose = dyn Fn(&Fault) -> Directive + Send + Sync;

/// How an actor is supervised. The default: one for one, restart at most 3 times within 60 s
/// without delay, then stop.
///
/// ```
/// use rakt::supervision::{Directive, Supervision};
/// use std::time::Duration;
///
/// let supervision = Supervision::always(Directive::Restart)
///     .max_restarts(10, Duration::from_secs(60))
///     .backoff(Duration::from_millis(100), Duration::from_secs(5));
/// ```
#[derive(Clone)]
#[must_use = "it has an effect only where it is given to an actor"]
pub struct Supervision {
    choose: Arc<Choose>,
    strategy: Strategy,
    max_restarts: u32,
    window: Duration,
    backoff: Option<(Duration, Duration)>,
}

impl fmt::Debug for Supervision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervision")
            .field("strategy", &self.strategy)
            .field("max_restarts", &self.max_restarts)
            .field("window", &self.window)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

impl Default for Supervision {
    fn default() -> Self {
        Self::always(Directive::Restart)
    }
}

impl Supervision {
    /// Meets every fault with `directive`.
    pub fn always(directive: Directive) -> Self {
        Self::by(move |_| directive)
    }

    /// Chooses the directive by the fault. A panic in `choose` counts as [`Directive::Stop`].
    pub fn by(choose: impl Fn(&Fault) -> Directive + Send + Sync + 'static) -> Self {
        Self {
            choose: Arc::new(choose),
            strategy: Strategy::OneForOne,
            max_restarts: 3,
            window: Duration::from_secs(60),
            backoff: None,
        }
    }

    /// Whom a directive concerns. Default: one for one.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// How often the actor may be restarted within `window`; once more and it is stopped.
    /// Default: 3 times within 60 s.
    pub fn max_restarts(mut self, times: u32, window: Duration) -> Self {
        (self.max_restarts, self.window) = (times, window);
        self
    }

    /// How long to wait before a restart: `first`, then twice as long for each further restart within
    /// the window, at most `longest`. Default: no wait. Messages queue up meanwhile.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = Some((first, longest));
        self
    }

    /// The same, and `observe` is told of each fault and of what was chosen.
    #[cfg(feature = "testkit")]
    pub(crate) fn observed(
        mut self,
        observe: impl Fn(&Fault, Directive) + Send + Sync + 'static,
    ) -> Self {
        let choose = self.choose;
        self.choose = Arc::new(move |fault| {
            let directive = choose(fault);
            observe(fault, directive);
            directive
        });
        self
    }

    pub(crate) fn concerns_siblings(&self) -> bool {
        self.strategy == Strategy::OneForAll
    }
}

/// What the runtime is to do about one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Resume,
    Restart { delay: Duration },
    Stop,
    Suspend,
    Escalate,
}

/// When something happened, as far as that counts still.
#[derive(Debug, Default)]
pub(crate) struct Recent(VecDeque<Instant>);

impl Recent {
    /// Notes one more and says how many were there before, unless those are `most` within the `window`.
    pub(crate) fn note(&mut self, most: u32, window: Duration, now: Instant) -> Option<u32> {
        while self.0.front().is_some_and(|&then| now.saturating_duration_since(then) >= window) {
            self.0.pop_front();
        }
        let earlier = self.count();
        (earlier < most).then(|| {
            self.0.push_back(now);
            earlier
        })
    }

    fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

/// The memory of one actor's supervision: when it was restarted.
#[derive(Debug, Default)]
pub(crate) struct Decider {
    restarts: Recent,
}

impl Decider {
    /// Decides what to do about `fault`, which happened at `now`.
    pub(crate) fn decide(&mut self, policy: &Supervision, fault: &Fault, now: Instant) -> Decision {
        let choose = std::panic::AssertUnwindSafe(|| (policy.choose)(fault));
        match std::panic::catch_unwind(choose).unwrap_or(Directive::Stop) {
            Directive::Resume => Decision::Resume,
            Directive::Stop => Decision::Stop,
            Directive::Suspend => Decision::Suspend,
            Directive::Escalate => Decision::Escalate,
            Directive::Restart => self.restart(policy, now),
        }
    }

    /// How often `policy` would restart the actor still, as of the last decision.
    pub(crate) fn restarts_left(&self, policy: &Supervision) -> u32 {
        policy.max_restarts.saturating_sub(self.restarts.count())
    }

    fn restart(&mut self, policy: &Supervision, now: Instant) -> Decision {
        let earlier = self.restarts.note(policy.max_restarts, policy.window, now);
        let Some(earlier) = earlier else { return Decision::Stop };
        let delay = policy.backoff.map_or(Duration::ZERO, |(first, longest)| {
            first.saturating_mul(2_u32.saturating_pow(earlier)).min(longest)
        });
        Decision::Restart { delay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn fault() -> Fault {
        Fault::Panic("ouch".into())
    }

    #[test]
    fn one_restart_too_many_within_the_window_stops() {
        let policy = Supervision::always(Directive::Restart).max_restarts(2, WINDOW);
        let (mut decider, now) = (Decider::default(), Instant::now());
        let restart = Decision::Restart { delay: Duration::ZERO };
        assert_eq!(decider.restarts_left(&policy), 2);
        assert_eq!(decider.decide(&policy, &fault(), now), restart);
        assert_eq!(decider.restarts_left(&policy), 1);
        assert_eq!(decider.decide(&policy, &fault(), now), restart);
        assert_eq!(decider.restarts_left(&policy), 0);
        assert_eq!(decider.decide(&policy, &fault(), now), Decision::Stop);
        assert_eq!(decider.decide(&policy, &fault(), now + WINDOW), restart, "a new window");
    }

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_millis(350));
        let policy = Supervision::default().max_restarts(10, WINDOW).backoff(first, longest);
        let (mut decider, now) = (Decider::default(), Instant::now());
        let delays: Vec<_> = (0..4)
            .map(|_| match decider.decide(&policy, &fault(), now) {
                Decision::Restart { delay } => delay.as_millis(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(delays, [100, 200, 350, 350]);
    }

    #[test]
    fn the_fault_chooses_the_directive() {
        let policy = Supervision::by(|fault| match fault {
            Fault::Error(error) if error.is::<fmt::Error>() => Directive::Resume,
            Fault::Panic(_) => Directive::Suspend,
            _ => Directive::Escalate,
        });
        let (mut decider, now) = (Decider::default(), Instant::now());
        let error = Fault::Error(fmt::Error.into());
        assert_eq!(decider.decide(&policy, &error, now), Decision::Resume);
        assert_eq!(decider.decide(&policy, &fault(), now), Decision::Suspend);
        let child = Fault::Child { path: "x".to_owned(), cause: "on purpose".into() };
        assert_eq!(decider.decide(&policy, &child, now), Decision::Escalate);
    }

    #[test]
    fn a_policy_that_panics_stops_the_actor() {
        let policy = Supervision::by(|_| panic!("the policy itself"));
        assert_eq!(Decider::default().decide(&policy, &fault(), Instant::now()), Decision::Stop);
    }
}
