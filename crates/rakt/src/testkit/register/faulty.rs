//! A register that fails when the test says so.

use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::cluster::{Register, RegisterError, Starting, SwapError, Version};
use crate::sync::GlobalMutex;
use crate::testkit::gate::Gate;
use crate::testkit::plan::{Plan, drawn};

/// A register in front of another one that fails, loses answers and takes its time as the test says, as a network and a
/// server do that are not well. It never lies: what it answers the register has said.
///
/// Without a word it does as the other one. The test names what happens to the [next](Self::next) calls, has it be
/// [down](Self::set_down) for a while, or leaves it to chance, of which a seed makes the same again. Clones share
/// everything; the nodes of a cluster have one each, in front of clones of one register.
///
/// ```
/// use rakt::cluster::{MemoryRegister, Register, SwapError, Version};
/// use rakt::testkit::FaultyRegister;
/// use rakt::testkit::register::{Call, Fault};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> rakt::Result {
/// let register = FaultyRegister::new(MemoryRegister::new());
/// register.next(Call::Swap, Fault::LoseReply);
/// let outcome = register.swap(Version(0), "view".into()).await;
/// assert!(matches!(outcome, Err(SwapError::Unknown(_))));
/// // It was written all the same.
/// assert_eq!(register.read().await?.1, "view");
/// # Ok(()) }
/// ```
pub struct FaultyRegister<R> {
    register: Arc<R>,
    plan: Arc<GlobalMutex<Decided>>,
}

impl<R> Clone for FaultyRegister<R> {
    fn clone(&self) -> Self {
        Self { register: self.register.clone(), plan: self.plan.clone() }
    }
}

impl<R> fmt::Debug for FaultyRegister<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan.lock();
        f.debug_struct("FaultyRegister")
            .field("down", &plan.down)
            .field("odds", &plan.odds)
            .field("swaps", &plan.writes.len())
            .finish_non_exhaustive()
    }
}

/// Which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// [`Register::read`].
    Read,
    /// [`Register::confirm`].
    Confirm,
    /// [`Register::swap`].
    Swap,
    /// [`Register::changed`].
    Changed,
}

/// What happens to a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: it is passed on.
    Pass,
    /// It is passed on, and the caller does not hear how it went. A hint comes too late.
    LoseReply,
    /// It fails, and is not passed on; of a swap the caller does not know that. A hint comes at once, for nothing.
    Fail,
    /// It is passed on after that time on tokio's clock, unless the caller has given up by then.
    Delay(Duration),
    /// It is passed on, and the caller hears of it after that time on tokio's clock.
    DelayReply(Duration),
    /// The caller hears at once that nobody knows how it went, and it is passed on after that time on tokio's clock: as
    /// where a request is on its way when the connection breaks. A hint comes at once, for nothing.
    Late(Duration),
    /// It is passed on, and once more after that time on tokio's clock, as where a part of the way repeats what it has
    /// sent. The caller hears of the first.
    Again(Duration),
    /// It is passed on when the test opens the gate, unless the caller has given up by then.
    Hold(Gate),
    /// It is not passed on, and never ends.
    Hang,
}

/// How likely faults are, each as a share of all calls. All are 0 at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    lost: f64,
    failed: f64,
    late: f64,
    again: f64,
    delayed: f64,
    hints_lost: f64,
    hints_for_nothing: f64,
    longest: Duration,
}

impl Odds {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// How many [answers are lost](Fault::LoseReply), from 0 to 1.
    #[must_use]
    pub fn lost(mut self, share: f64) -> Self {
        self.lost = share;
        self
    }

    /// How many calls [fail](Fault::Fail), from 0 to 1.
    #[must_use]
    pub fn failed(mut self, share: f64) -> Self {
        self.failed = share;
        self
    }

    /// How many calls are carried out [late](Fault::Late), from 0 to 1, and how late at most.
    #[must_use]
    pub fn late(mut self, share: f64, longest: Duration) -> Self {
        (self.late, self.longest) = (share, self.longest.max(longest));
        self
    }

    /// How many calls are carried out [twice](Fault::Again), from 0 to 1, and how long after at most.
    #[must_use]
    pub fn again(mut self, share: f64, longest: Duration) -> Self {
        (self.again, self.longest) = (share, self.longest.max(longest));
        self
    }

    /// How many calls are delayed, half of them [on the way there](Fault::Delay) and half [on the way
    /// back](Fault::DelayReply), from 0 to 1, and for how long at most.
    #[must_use]
    pub fn delayed(mut self, share: f64, longest: Duration) -> Self {
        (self.delayed, self.longest) = (share, self.longest.max(longest));
        self
    }

    /// How many [hints](Register::changed) never come, and how many come for nothing, each from 0 to 1.
    #[must_use]
    pub fn hints(mut self, lost: f64, for_nothing: f64) -> Self {
        (self.hints_lost, self.hints_for_nothing) = (lost, for_nothing);
        self
    }
}

/// A swap that the register has answered with success.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swap {
    /// The version that it has replaced.
    pub over: Version,
    /// The version that it has brought.
    pub version: Version,
    /// What is there now.
    pub view: Bytes,
}

/// What the test has decided.
type Decided = Plan<Call, Fault, Odds, Swap>;

/// What happens to a call of which nothing was said.
fn by_chance(plan: &Decided, call: Call, draw: f64, part: f64) -> Fault {
    let odds = &plan.odds;
    let time = odds.longest.mul_f64(part);
    let shares = match call {
        Call::Changed if plan.down => return Fault::Hang,
        _ if plan.down => return Fault::Fail,
        Call::Changed => {
            vec![(odds.hints_lost, Fault::Hang), (odds.hints_for_nothing, Fault::Fail)]
        }
        _ => vec![
            (odds.lost, Fault::LoseReply),
            (odds.failed, Fault::Fail),
            (odds.late, Fault::Late(time)),
            (odds.again, Fault::Again(time)),
            (odds.delayed / 2.0, Fault::Delay(time)),
            (odds.delayed / 2.0, Fault::DelayReply(time)),
        ],
    };
    drawn(draw, shares).unwrap_or(Fault::Pass)
}

/// Why the caller does not get what it asked for.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Injected {
    #[error("the test has this call fail")]
    Failed,
    #[error("the test has lost the answer")]
    Lost,
}

impl From<Injected> for RegisterError {
    fn from(injected: Injected) -> Self {
        Self::new(injected)
    }
}

impl From<Injected> for SwapError {
    fn from(injected: Injected) -> Self {
        Self::Unknown(injected.into())
    }
}

impl<R: Register> FaultyRegister<R> {
    /// In front of that register, without faults for now.
    pub fn new(register: R) -> Self {
        Self::seeded(register, 0, Odds::none())
    }

    /// In front of that register, with faults by chance. The same seed and the same calls make the same faults.
    pub fn seeded(register: R, seed: u64, odds: Odds) -> Self {
        let plan = Plan::seeded(seed, odds);
        Self { register: Arc::new(register), plan: Arc::new(GlobalMutex::new(plan)) }
    }

    /// Other odds from now on; [`Odds::none`] ends all faults that come by chance.
    pub fn set_odds(&self, odds: Odds) {
        self.plan.lock().odds = odds;
    }

    /// What happens to the next call of that sort of which nothing was said yet. It comes before chance, and before
    /// what is said of a register that is down.
    pub fn next(&self, call: Call, fault: Fault) {
        self.plan.lock().name(call, fault);
    }

    /// Whether it is out of reach, until something else is said: every call [fails](Fault::Fail), and hints that are asked for
    /// in that time never come.
    pub fn set_down(&self, down: bool) {
        self.plan.lock().down = down;
    }

    /// How often it was called so, with faults or without.
    pub fn calls(&self, call: Call) -> usize {
        self.plan.lock().calls(call)
    }

    /// The swaps of this node that the register took, also those of which the caller did not hear, in the order in which it
    /// said so.
    pub fn swaps(&self) -> Vec<Swap> {
        self.plan.lock().writes.clone()
    }

    /// The register behind it: what is asked there has no faults, and is not noted.
    pub fn behind(&self) -> &R {
        &self.register
    }

    /// One call, with what is to happen to it.
    async fn through<T, E, F>(&self, call: Call, passed: impl Fn() -> F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Injected> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let chance = |plan: &Decided, draw, part| by_chance(plan, call, draw, part);
        let fault = self.plan.lock().decide(call, chance);
        match fault {
            Fault::Pass => passed().await,
            Fault::LoseReply => {
                let _ = passed().await;
                Err(Injected::Lost.into())
            }
            Fault::Fail => Err(Injected::Failed.into()),
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                passed().await
            }
            Fault::DelayReply(time) => {
                let answer = passed().await;
                tokio::time::sleep(time).await;
                answer
            }
            Fault::Late(time) => {
                after(time, passed());
                Err(Injected::Lost.into())
            }
            Fault::Again(time) => {
                let answer = passed().await;
                after(time, passed());
                answer
            }
            Fault::Hold(gate) => {
                gate.pass().await;
                passed().await
            }
            Fault::Hang => pending().await,
        }
    }
}

/// Carries it out later, whoever still waits.
fn after<T>(time: Duration, passed: impl Future<Output = T> + Send + 'static) {
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        passed.await;
    });
}

impl<R: Register> Register for FaultyRegister<R> {
    fn start(&self, starting: Starting) -> impl Future<Output = Result<(), RegisterError>> + Send {
        self.register.start(starting)
    }

    async fn read(&self) -> Result<(Version, Bytes), RegisterError> {
        let passed = || {
            let register = self.register.clone();
            async move { register.read().await }
        };
        self.through(Call::Read, passed).await
    }

    async fn confirm(&self, seen: Version) -> Result<bool, RegisterError> {
        let passed = || {
            let register = self.register.clone();
            async move { register.confirm(seen).await }
        };
        self.through(Call::Confirm, passed).await
    }

    async fn swap(&self, over: Version, view: Bytes) -> Result<Version, SwapError> {
        let passed = || {
            let (this, view) = (self.clone(), view.clone());
            async move {
                let version = this.register.swap(over, view.clone()).await?;
                this.plan.lock().writes.push(Swap { over, version, view });
                Ok(version)
            }
        };
        self.through(Call::Swap, passed).await
    }

    async fn changed(&self, seen: Version) {
        let passed = || {
            let register = self.register.clone();
            async move {
                register.changed(seen).await;
                Ok::<_, Injected>(())
            }
        };
        // One that fails has come.
        let _ = self.through(Call::Changed, passed).await;
    }

    fn stop(&self) -> impl Future<Output = ()> + Send {
        self.register.stop()
    }
}
