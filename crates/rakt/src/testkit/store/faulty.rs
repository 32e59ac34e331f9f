//! A store that fails when the test says so.

use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::order::{Write, faults};
use crate::error::Cause;
use crate::grain::{
    ClaimError, DueReminder, Epoch, GrainId, GrainStore, Reminder, SaveError, StoreError, Stored,
    Writer,
};
use crate::sync::GlobalMutex;
use crate::testkit::gate::Gate;
use crate::testkit::plan::{Plan, drawn};

/// A store in front of another one that fails, loses replies and takes its time as the test says, and notes what was
/// written.
///
/// Without a word it does as the other one. The test names what happens to the [next](Self::next) calls, has it be
/// [down](Self::set_down) for a while, or leaves it to chance, of which a seed makes the same again. Clones share
/// everything: one is given to the nodes, the test keeps another.
///
/// ```
/// use rakt::grain::{Epoch, GrainId, GrainStore, MemoryStore, SaveError, Writer};
/// use rakt::testkit::FaultyStore;
/// use rakt::testkit::store::{Call, Fault};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> rakt::Result {
/// let store = FaultyStore::new(MemoryStore::new());
/// let (grain, writer) = (GrainId::new("cart", "42")?, Writer { incarnation: [1; 16], uid: 1 });
/// let epoch = Epoch { generation: 1, view: 1, counter: 1 };
/// store.claim(&grain, epoch, writer).await?;
///
/// store.next(Call::Save, Fault::LoseReply);
/// let outcome = store.save(&grain, (epoch, writer), 0, Some("full".into())).await;
/// assert!(matches!(outcome, Err(SaveError::Unknown { .. })));
/// // It was written all the same.
/// let stored = store.claim(&grain, epoch, writer).await?.expect("it is stored");
/// assert_eq!(stored.state, Some("full".into()));
/// store.assert_fenced();
/// # Ok(()) }
/// ```
pub struct FaultyStore<S> {
    store: Arc<S>,
    plan: Arc<GlobalMutex<Decided>>,
}

impl<S> Clone for FaultyStore<S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), plan: self.plan.clone() }
    }
}

impl<S> fmt::Debug for FaultyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan.lock();
        f.debug_struct("FaultyStore")
            .field("down", &plan.down)
            .field("odds", &plan.odds)
            .field("writes", &plan.writes.len())
            .finish_non_exhaustive()
    }
}

/// Which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// [`GrainStore::claim`].
    Claim,
    /// [`GrainStore::save`].
    Save,
    /// [`GrainStore::remind`].
    Remind,
    /// [`GrainStore::forget`].
    Forget,
    /// [`GrainStore::due`].
    Due,
    /// [`GrainStore::settle`].
    Settle,
}

/// What happens to a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: it is passed on.
    Pass,
    /// It is passed on, and the caller does not hear how it went.
    LoseReply,
    /// It fails, and is not passed on.
    Fail,
    /// It is passed on after that time on tokio's clock, unless the caller has given up by then.
    Delay(Duration),
    /// The caller hears at once that nobody knows how it went, and it is passed on after that time on tokio's clock: as
    /// where a request is on its way when the connection breaks.
    Late(Duration),
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
    delayed: f64,
    longest: Duration,
}

impl Odds {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// How many [replies are lost](Fault::LoseReply), from 0 to 1.
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

    /// How many calls are [delayed](Fault::Delay), from 0 to 1, and for how long at most.
    #[must_use]
    pub fn delayed(mut self, share: f64, longest: Duration) -> Self {
        (self.delayed, self.longest) = (share, self.longest.max(longest));
        self
    }
}

/// What the test has decided.
type Decided = Plan<Call, Fault, Odds, Write>;

/// What happens to a call of which nothing was said.
fn by_chance(plan: &Decided, draw: f64, part: f64) -> Fault {
    if plan.down {
        return Fault::Fail;
    }
    let Odds { lost, failed, late, delayed, longest } = plan.odds;
    let time = longest.mul_f64(part);
    let shares = [
        (lost, Fault::LoseReply),
        (failed, Fault::Fail),
        (late, Fault::Late(time)),
        (delayed, Fault::Delay(time)),
    ];
    drawn(draw, shares).unwrap_or(Fault::Pass)
}

/// Why the caller does not get what it asked for.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Injected {
    #[error("the test has this call fail")]
    Failed,
    #[error("the test has lost the reply")]
    Lost,
}

impl From<Injected> for StoreError {
    fn from(injected: Injected) -> Self {
        Self::new(injected)
    }
}

impl From<Injected> for ClaimError {
    fn from(injected: Injected) -> Self {
        StoreError::new(injected).into()
    }
}

impl From<Injected> for SaveError {
    fn from(injected: Injected) -> Self {
        let source = Cause::new(injected);
        match injected {
            Injected::Failed => Self::NotSaved { source },
            Injected::Lost => Self::Unknown { source },
        }
    }
}

impl<S: GrainStore> FaultyStore<S> {
    /// In front of that store, without faults for now.
    pub fn new(store: S) -> Self {
        Self::seeded(store, 0, Odds::none())
    }

    /// In front of that store, with faults by chance. The same seed and the same calls make the same faults.
    pub fn seeded(store: S, seed: u64, odds: Odds) -> Self {
        let plan = Plan::seeded(seed, odds);
        Self { store: Arc::new(store), plan: Arc::new(GlobalMutex::new(plan)) }
    }

    /// Other odds from now on; [`Odds::none`] ends all faults that come by chance.
    pub fn set_odds(&self, odds: Odds) {
        self.plan.lock().odds = odds;
    }

    /// What happens to the next call of that sort of which nothing was said yet. It comes before chance, and before
    /// what is said of a store that is down.
    pub fn next(&self, call: Call, fault: Fault) {
        self.plan.lock().name(call, fault);
    }

    /// Whether every call [fails](Fault::Fail), until something else is said.
    pub fn set_down(&self, down: bool) {
        self.plan.lock().down = down;
    }

    /// How often it was called so, with faults or without.
    pub fn calls(&self, call: Call) -> usize {
        self.plan.lock().calls(call)
    }

    /// The claims and saves that the store took, also those whose reply was lost, in the order in which it said so.
    pub fn writes(&self) -> Vec<Write> {
        self.plan.lock().writes.clone()
    }

    /// Looks whether all that the store took can be of activations that follow each other: of two saves over one version
    /// one is taken, no epoch has two writers, and nobody writes over what a later epoch has written.
    ///
    /// # Panics
    /// If that is not so.
    #[track_caller]
    pub fn assert_fenced(&self) {
        let faults = faults(&self.writes());
        assert!(
            faults.is_empty(),
            "the store has taken what it had to refuse: {}",
            faults.join("; ")
        );
    }

    /// The store behind it: what is asked there has no faults, and is not noted.
    pub fn behind(&self) -> &S {
        &self.store
    }

    /// One call, with what is to happen to it.
    async fn through<T, E, F>(&self, call: Call, passed: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Injected> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let fault = self.plan.lock().decide(call, by_chance);
        match fault {
            Fault::Pass => passed.await,
            Fault::LoseReply => {
                let _ = passed.await;
                Err(Injected::Lost.into())
            }
            Fault::Fail => Err(Injected::Failed.into()),
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                passed.await
            }
            Fault::Late(time) => {
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    let _ = passed.await;
                });
                Err(Injected::Lost.into())
            }
            Fault::Hold(gate) => {
                gate.pass().await;
                passed.await
            }
            Fault::Hang => pending().await,
        }
    }

    fn note(&self, write: Write) {
        self.plan.lock().writes.push(write);
    }
}

impl<S: GrainStore> GrainStore for FaultyStore<S> {
    async fn claim(
        &self,
        grain: &GrainId,
        epoch: Epoch,
        writer: Writer,
    ) -> Result<Option<Stored>, ClaimError> {
        let (this, grain) = (self.clone(), grain.clone());
        let passed = async move {
            let found = this.store.claim(&grain, epoch, writer).await?;
            let version = found.as_ref().map_or(0, |stored| stored.version);
            this.note(Write { grain, epoch, writer, over: None, version });
            Ok(found)
        };
        self.through(Call::Claim, passed).await
    }

    async fn save(
        &self,
        grain: &GrainId,
        (epoch, writer): (Epoch, Writer),
        over: u64,
        state: Option<Bytes>,
    ) -> Result<u64, SaveError> {
        let (this, grain) = (self.clone(), grain.clone());
        let passed = async move {
            let version = this.store.save(&grain, (epoch, writer), over, state).await?;
            this.note(Write { grain, epoch, writer, over: Some(over), version });
            Ok(version)
        };
        self.through(Call::Save, passed).await
    }

    async fn remind(
        &self,
        grain: &GrainId,
        name: &str,
        reminder: Reminder,
    ) -> Result<(), StoreError> {
        let (store, grain, name) = (self.store.clone(), grain.clone(), name.to_owned());
        let passed = async move { store.remind(&grain, &name, reminder).await };
        self.through(Call::Remind, passed).await
    }

    async fn forget(&self, grain: &GrainId, name: &str) -> Result<(), StoreError> {
        let (store, grain, name) = (self.store.clone(), grain.clone(), name.to_owned());
        let passed = async move { store.forget(&grain, &name).await };
        self.through(Call::Forget, passed).await
    }

    async fn due(
        &self,
        kind: &str,
        now: SystemTime,
        most: usize,
    ) -> Result<Vec<DueReminder>, StoreError> {
        let (store, kind) = (self.store.clone(), kind.to_owned());
        let passed = async move { store.due(&kind, now, most).await };
        self.through(Call::Due, passed).await
    }

    async fn settle(&self, due: &DueReminder, next: Option<Reminder>) -> Result<(), StoreError> {
        let (store, due) = (self.store.clone(), due.clone());
        let passed = async move { store.settle(&due, next).await };
        self.through(Call::Settle, passed).await
    }
}
