//! Does the suite for registers pass what keeps its promises, and find whatever does not?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rakt::cluster::{MemoryRegister, Register, RegisterError, SwapError, Version};
use rakt::testkit::register::{self, RULES};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

/// What somebody has forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    // In where it is.
    NodesApart,
    NamesAreLeftOut,
    // In reads and confirmations.
    ReadsAreOld,
    ReadsAreOldForOthers,
    ReadsAreTorn,
    NothingIsSomething,
    ConfirmsFromMemory,
    ConfirmsAnything,
    ConfirmsWhatIsOlder,
    ConfirmsWhatIsNewer,
    ConfirmsNothing,
    // In swaps.
    NothingIsCompared,
    OlderIsReplaced,
    NewerIsReplaced,
    ZeroReplacesAll,
    AllReplacesNothing,
    HalfIsCompared,
    CheckedBefore,
    FoundedTwice,
    ConflictIsWritten,
    AnsweredBefore,
    RetriedAsConflict,
    RetriedOverAll,
    UnknownIsConflict,
    // In versions and views.
    VersionIsContent,
    SameViewIsSameVersion,
    VersionsComeAgain,
    TextsOnly,
    SpacesAreCut,
    CutAt64K,
    HalfAMebibyteAtMost,
    // In what is given up.
    KeepsItsLock,
    HalfIsWritten,
    HintsKeepTheLock,
    HintsPanic,
}

const FLAWS: [Flaw; 35] = {
    use Flaw::*;
    [
        NodesApart,
        NamesAreLeftOut,
        ReadsAreOld,
        ReadsAreOldForOthers,
        ReadsAreTorn,
        NothingIsSomething,
        ConfirmsFromMemory,
        ConfirmsAnything,
        ConfirmsWhatIsOlder,
        ConfirmsWhatIsNewer,
        ConfirmsNothing,
        NothingIsCompared,
        OlderIsReplaced,
        NewerIsReplaced,
        ZeroReplacesAll,
        AllReplacesNothing,
        HalfIsCompared,
        CheckedBefore,
        FoundedTwice,
        ConflictIsWritten,
        AnsweredBefore,
        RetriedAsConflict,
        RetriedOverAll,
        UnknownIsConflict,
        VersionIsContent,
        SameViewIsSameVersion,
        VersionsComeAgain,
        TextsOnly,
        SpacesAreCut,
        CutAt64K,
        HalfAMebibyteAtMost,
        KeepsItsLock,
        HalfIsWritten,
        HintsKeepTheLock,
        HintsPanic,
    ]
};

/// A register in memory that lacks something, as one node has it.
struct Flawed {
    flaw: Flaw,
    shared: Arc<Shared>,
    /// What this node has seen last.
    seen: Mutex<(u64, Bytes)>,
    calls: AtomicUsize,
}

struct Shared {
    newest: Mutex<(u64, Bytes)>,
    /// What was there before.
    older: Mutex<(u64, Bytes)>,
    lock: Semaphore,
    swaps: AtomicUsize,
}

impl Default for Shared {
    fn default() -> Self {
        let (newest, older) = Default::default();
        Self { newest, older, lock: Semaphore::new(1), swaps: AtomicUsize::new(0) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flawed {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn newest(&self) -> (u64, Bytes) {
        lock(&self.shared.newest).clone()
    }

    /// Every so many calls.
    fn now_and_then(&self, every: usize) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed) % every == every - 1
    }

    fn fits(&self, over: u64, newest: u64) -> bool {
        match self.flaw {
            Flaw::NothingIsCompared => true,
            Flaw::OlderIsReplaced => over <= newest,
            Flaw::NewerIsReplaced => over >= newest,
            Flaw::ZeroReplacesAll => over == newest || over == 0,
            Flaw::AllReplacesNothing => over == newest || newest == 0,
            Flaw::HalfIsCompared => over as u32 == newest as u32,
            _ => over == newest,
        }
    }

    fn next(&self, newest: u64, old: &Bytes, view: &Bytes) -> u64 {
        match self.flaw {
            Flaw::VersionIsContent => {
                let sum = |sum: u64, byte: &u8| sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
                view.iter().take(100).fold(7, sum)
            }
            Flaw::SameViewIsSameVersion if old == view => newest,
            Flaw::VersionsComeAgain => newest % 16 + 1,
            _ => newest + 1,
        }
    }

    fn kept(&self, view: Bytes) -> Bytes {
        match self.flaw {
            Flaw::TextsOnly => String::from_utf8_lossy(&view).into_owned().into(),
            Flaw::SpacesAreCut => view.trim_ascii().to_vec().into(),
            Flaw::CutAt64K => view.slice(..view.len().min(1 << 16)),
            _ => view,
        }
    }

    /// Takes it at once.
    fn write(&self, over: u64, view: &Bytes) -> Result<u64, SwapError> {
        let mut newest = lock(&self.shared.newest);
        if !self.fits(over, newest.0) {
            return Err(SwapError::Conflict);
        }
        let next = (self.next(newest.0, &newest.1, view), self.kept(view.clone()));
        *lock(&self.shared.older) = std::mem::replace(&mut *newest, next.clone());
        *lock(&self.seen) = next.clone();
        Ok(next.0)
    }
}

impl Register for Flawed {
    async fn read(&self) -> Result<(Version, Bytes), RegisterError> {
        yield_now().await;
        if self.is(Flaw::KeepsItsLock) || self.is(Flaw::HintsKeepTheLock) {
            drop(self.shared.lock.acquire().await);
        }
        let (version, view) = match self.flaw {
            Flaw::ReadsAreOld if self.now_and_then(5) => lock(&self.shared.older).clone(),
            Flaw::ReadsAreOldForOthers if lock(&self.seen).0 < self.newest().0 => {
                let older = lock(&self.shared.older).clone();
                *lock(&self.seen) = self.newest();
                older
            }
            Flaw::ReadsAreTorn => {
                let version = self.newest().0;
                yield_now().await;
                (version, self.newest().1)
            }
            Flaw::NothingIsSomething if self.newest().0 == 0 => (0, Bytes::from("null")),
            _ => self.newest(),
        };
        if !self.is(Flaw::ReadsAreOldForOthers) {
            *lock(&self.seen) = (version, view.clone());
        }
        Ok((Version(version), view))
    }

    async fn confirm(&self, seen: Version) -> Result<bool, RegisterError> {
        yield_now().await;
        let newest = self.newest().0;
        Ok(match self.flaw {
            Flaw::ConfirmsFromMemory => lock(&self.seen).0 == seen.0,
            Flaw::ConfirmsAnything => true,
            Flaw::ConfirmsWhatIsOlder => seen.0 <= newest,
            Flaw::ConfirmsWhatIsNewer => seen.0 >= newest,
            Flaw::ConfirmsNothing => false,
            _ => seen.0 == newest,
        })
    }

    async fn swap(&self, over: Version, view: Bytes) -> Result<Version, SwapError> {
        yield_now().await;
        let nth = self.shared.swaps.fetch_add(1, Ordering::Relaxed);
        match self.flaw {
            Flaw::CheckedBefore if self.newest().0 == over.0 => {
                yield_now().await;
                let now = self.newest().0;
                self.write(now, &view).map(Version)
            }
            Flaw::FoundedTwice if over.0 == 0 && self.newest().0 == 0 => {
                yield_now().await;
                *lock(&self.shared.newest) = Default::default();
                self.write(0, &view).map(Version)
            }
            Flaw::ConflictIsWritten if self.newest().0 != over.0 => {
                let now = self.newest().0;
                self.write(now, &view)?;
                Err(SwapError::Conflict)
            }
            Flaw::AnsweredBefore if self.newest().0 == over.0 => {
                let this = Self {
                    flaw: self.flaw,
                    shared: self.shared.clone(),
                    seen: Mutex::default(),
                    calls: AtomicUsize::new(0),
                };
                tokio::spawn(async move {
                    for _ in 0..3 {
                        yield_now().await;
                    }
                    drop(this.write(over.0, &view));
                });
                Ok(Version(over.0 + 1))
            }
            Flaw::RetriedAsConflict if nth % 7 == 6 => {
                let first = self.write(over.0, &view);
                self.write(over.0, &view)?;
                first.map(Version)
            }
            Flaw::RetriedOverAll if nth % 7 == 6 => {
                let first = self.write(over.0, &view)?;
                self.write(first, &view)?;
                Ok(Version(first))
            }
            Flaw::UnknownIsConflict if nth % 11 == 10 => Err(SwapError::Conflict),
            Flaw::HalfAMebibyteAtMost if view.len() > 1 << 19 => {
                Err(SwapError::Unknown(RegisterError::new("it is too large")))
            }
            Flaw::KeepsItsLock => {
                self.shared.lock.acquire().await.expect("it is open").forget();
                yield_now().await;
                let written = self.write(over.0, &view);
                self.shared.lock.add_permits(1);
                written.map(Version)
            }
            Flaw::HalfIsWritten => {
                let old = self.newest().1;
                let next = self.write(over.0, &old)?;
                yield_now().await;
                let mut newest = lock(&self.shared.newest);
                if newest.0 == next {
                    newest.1 = view;
                }
                Ok(Version(next))
            }
            Flaw::HintsKeepTheLock => {
                let _lock = self.shared.lock.acquire().await.expect("it is open");
                self.write(over.0, &view).map(Version)
            }
            _ => self.write(over.0, &view).map(Version),
        }
    }

    async fn changed(&self, _: Version) {
        assert!(!(self.is(Flaw::HintsPanic) && self.now_and_then(3)), "there is a hint already");
        let lock = self.shared.lock.acquire().await.expect("it is open");
        if self.is(Flaw::HintsKeepTheLock) {
            return std::future::pending().await;
        }
        drop(lock);
        yield_now().await;
    }
}

/// The rules that are broken, and how.
async fn broken_by(flaw: Flaw) -> BTreeMap<&'static str, String> {
    let registers: Mutex<HashMap<String, Arc<Shared>>> = Mutex::default();
    let open = async |name: String| {
        let name = if flaw == Flaw::NamesAreLeftOut { String::new() } else { name };
        let shared = match flaw {
            Flaw::NodesApart => Arc::default(),
            _ => lock(&registers).entry(name).or_default().clone(),
        };
        Flawed { flaw, shared, seen: Mutex::default(), calls: AtomicUsize::new(0) }
    };
    let found = register::violations(open).await;
    found.into_iter().map(|violation| (violation.rule, violation.to_string())).collect()
}

#[tokio::test(start_paused = true)]
async fn the_register_in_memory_keeps_its_promises() {
    let registers: Mutex<HashMap<String, MemoryRegister>> = Mutex::default();
    register::check(async |name| lock(&registers).entry(name).or_default().clone()).await;
    assert!(lock(&registers).len() >= RULES.len());
}

#[tokio::test(start_paused = true)]
async fn every_flaw_is_found_and_every_rule_finds_one() {
    assert_eq!(broken_by(Flaw::None).await, BTreeMap::new());
    let mut rules: BTreeSet<_> = RULES.iter().copied().collect();
    for flaw in FLAWS {
        let found = broken_by(flaw).await;
        assert!(!found.is_empty(), "a register passes of which that is so: {flaw:?}");
        rules.retain(|rule| !found.contains_key(rule));
    }
    assert!(rules.is_empty(), "no flaw breaks these: {rules:?}");
}

#[tokio::test(start_paused = true)]
async fn a_violation_names_its_rule_and_tells_the_calls() {
    let found = broken_by(Flaw::OlderIsReplaced).await;
    let text = &found["a_swap_over_another_version_changes_nothing"];
    assert!(text.contains("the swap over version 0, another one, was to be a conflict"), "{text}");
    assert!(text.contains("b.swap(over 0, b\"never to be seen\") = version 2"), "{text}");
    // Registers apart, where they have to be one, are told at once.
    let found = broken_by(Flaw::NodesApart).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), [&"nodes_reach_the_same_register"]);
    // What is out of order names both calls.
    let found = broken_by(Flaw::ReadsAreOld).await;
    let text = &found["operations_at_once_have_one_order"];
    assert!(text.contains("the first proves that version"), "{text}");
}

#[tokio::test(start_paused = true)]
#[should_panic(
    expected = "of its promises:\nnodes_reach_the_same_register: there was to be version 1"
)]
async fn a_check_of_a_flawed_register_panics() {
    register::check(async |_| MemoryRegister::new()).await;
}
