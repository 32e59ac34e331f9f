//! Does the suite for stores pass what keeps its promises, and find whatever does not?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use rakt::grain::{
    ClaimError, DueReminder, Epoch, GrainId, GrainStore, MemoryStore, Reminder, SaveError,
    StoreError, Stored, Writer,
};
use rakt::testkit::store::{self, RULES};
use tokio::task::yield_now;

/// What somebody has forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    // In claims.
    StoresApart,
    ClaimsInTheProcess,
    OlderEpochsAreTaken,
    EqualEpochsAreTaken,
    IncarnationIsLeftOut,
    UidIsLeftOut,
    EpochsAreSigned,
    EpochsAreTexts,
    ClaimUpdatesOnly,
    ClaimReadsOnly,
    ClaimIsCheckedBefore,
    ClaimIsReadBefore,
    RefusedClaimIsWritten,
    RepeatedClaimIsRefused,
    ClaimBeginsAnew,
    // In saves.
    SaveMakesAClaim,
    SaveLeavesOutTheEpoch,
    SaveLeavesOutTheWriter,
    SaveLeavesOutTheVersion,
    SaveIsCheckedBefore,
    SaveTakesLaterEpochs,
    FencedSaveIsWritten,
    SameStateIsSameVersion,
    DeletedVersionIsForgotten,
    DeletedClaimIsForgotten,
    // In what comes back.
    CaseIsFolded,
    SpacesAreCut,
    TextsEndAtNul,
    KindAndKeyAreOneText,
    TextsAreCutAt64,
    EmptyIsNothing,
    StatesAreCutAtAMebibyte,
    // In reminders.
    NamesAreLeftOut,
    FirstReminderStays,
    NothingIsForgotten,
    KindsAreLeftOut,
    KindsArePrefixes,
    DueIsBeforeNow,
    DueIsTakenAway,
    AnyOrder,
    LimitIsLeftOut,
    LimitComesFirst,
    RepetitionIsForgotten,
    SettleComparesNothing,
    SettleComparesTheTime,
    SettleSetsWhatIsGone,
    SettleRemovesOnly,
    WholeSeconds,
    No1969,
}

const FLAWS: [Flaw; 49] = {
    use Flaw::*;
    [
        StoresApart,
        ClaimsInTheProcess,
        OlderEpochsAreTaken,
        EqualEpochsAreTaken,
        IncarnationIsLeftOut,
        UidIsLeftOut,
        EpochsAreSigned,
        EpochsAreTexts,
        ClaimUpdatesOnly,
        ClaimReadsOnly,
        ClaimIsCheckedBefore,
        ClaimIsReadBefore,
        RefusedClaimIsWritten,
        RepeatedClaimIsRefused,
        ClaimBeginsAnew,
        SaveMakesAClaim,
        SaveLeavesOutTheEpoch,
        SaveLeavesOutTheWriter,
        SaveLeavesOutTheVersion,
        SaveIsCheckedBefore,
        SaveTakesLaterEpochs,
        FencedSaveIsWritten,
        SameStateIsSameVersion,
        DeletedVersionIsForgotten,
        DeletedClaimIsForgotten,
        CaseIsFolded,
        SpacesAreCut,
        TextsEndAtNul,
        KindAndKeyAreOneText,
        TextsAreCutAt64,
        EmptyIsNothing,
        StatesAreCutAtAMebibyte,
        NamesAreLeftOut,
        FirstReminderStays,
        NothingIsForgotten,
        KindsAreLeftOut,
        KindsArePrefixes,
        DueIsBeforeNow,
        DueIsTakenAway,
        AnyOrder,
        LimitIsLeftOut,
        LimitComesFirst,
        RepetitionIsForgotten,
        SettleComparesNothing,
        SettleComparesTheTime,
        SettleSetsWhatIsGone,
        SettleRemovesOnly,
        WholeSeconds,
        No1969,
    ]
};

/// A memory store that lacks something.
#[derive(Clone)]
struct Flawed {
    flaw: Flaw,
    rows: Arc<Mutex<Rows>>,
    /// What this store, and no other one of the same rows, knows of claims.
    own: Arc<Mutex<BTreeMap<Key, (Epoch, Writer)>>>,
}

type Key = (String, String);

#[derive(Default)]
struct Rows {
    grains: BTreeMap<Key, Row>,
    reminders: BTreeMap<(Key, String), DueReminder>,
}

#[derive(Clone)]
struct Row {
    claim: (Epoch, Writer),
    version: u64,
    state: Option<Bytes>,
}

impl Flawed {
    fn new(flaw: Flaw) -> Self {
        Self { flaw, rows: Arc::default(), own: Arc::default() }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn text(&self, text: &str) -> String {
        match self.flaw {
            Flaw::CaseIsFolded => text.to_lowercase(),
            Flaw::SpacesAreCut => text.trim_end().to_owned(),
            Flaw::TextsEndAtNul => text.split('\0').next().unwrap_or_default().to_owned(),
            Flaw::TextsAreCutAt64 => text.chars().take(64).collect(),
            _ => text.to_owned(),
        }
    }

    fn key(&self, grain: &GrainId) -> Key {
        let (kind, key) = (grain.kind().to_owned(), self.text(grain.key()));
        if self.is(Flaw::KindAndKeyAreOneText) { (kind + &key, String::new()) } else { (kind, key) }
    }

    /// Whether the one epoch is over at the other.
    fn older(&self, epoch: Epoch, than: Epoch) -> bool {
        let parts = |epoch: Epoch| [epoch.generation, epoch.view, epoch.counter];
        match self.flaw {
            Flaw::OlderEpochsAreTaken => false,
            Flaw::EpochsAreSigned => {
                parts(epoch).map(|part| part as i64) < parts(than).map(|part| part as i64)
            }
            Flaw::EpochsAreTexts => epoch.to_string() < than.to_string(),
            _ => epoch < than,
        }
    }

    fn same(&self, writer: Writer, other: Writer) -> bool {
        match self.flaw {
            Flaw::EqualEpochsAreTaken => true,
            Flaw::IncarnationIsLeftOut => writer.uid == other.uid,
            Flaw::UidIsLeftOut => writer.incarnation == other.incarnation,
            _ => writer == other,
        }
    }

    fn reminder(&self, reminder: Reminder) -> Reminder {
        let second = |time: i64| time.div_euclid(1_000) * 1_000;
        let (due, every) = reminder.to_millis();
        match self.flaw {
            Flaw::WholeSeconds => Reminder::from_millis(second(due), every.map(second)),
            Flaw::RepetitionIsForgotten => Reminder::from_millis(due, None),
            Flaw::No1969 => {
                let since = reminder.due.duration_since(SystemTime::UNIX_EPOCH);
                Reminder {
                    due: SystemTime::UNIX_EPOCH + since.expect("no time was before 1970"),
                    ..reminder
                }
            }
            _ => Reminder::from_millis(due, every),
        }
    }

    fn reminder_key(&self, grain: &GrainId, name: &str) -> (Key, String) {
        let name = if self.is(Flaw::NamesAreLeftOut) { String::new() } else { self.text(name) };
        (self.key(grain), name)
    }
}

impl GrainStore for Flawed {
    async fn claim(
        &self,
        grain: &GrainId,
        epoch: Epoch,
        writer: Writer,
    ) -> Result<Option<Stored>, ClaimError> {
        let key = self.key(grain);
        let mut row = self.rows().grains.get(&key).cloned();
        if self.is(Flaw::ClaimIsCheckedBefore) || self.is(Flaw::ClaimIsReadBefore) {
            yield_now().await;
        }
        let mut rows = self.rows();
        if !self.is(Flaw::ClaimIsCheckedBefore) && !self.is(Flaw::ClaimIsReadBefore) {
            row = rows.grains.get(&key).cloned();
        }
        let mut holder = row.as_ref().map(|row| row.claim);
        if self.is(Flaw::ClaimsInTheProcess) && holder.is_some() {
            holder = self.own.lock().expect("not poisoned").get(&key).copied();
        }
        if self.is(Flaw::ClaimIsReadBefore) {
            holder = rows.grains.get(&key).map(|row| row.claim);
        }
        if let Some((by, has)) = holder {
            let again = epoch == by && self.same(writer, has);
            let refused = self.older(epoch, by)
                || (epoch == by && !self.same(writer, has))
                || (again && self.is(Flaw::RepeatedClaimIsRefused));
            if refused {
                if let Some(row) =
                    rows.grains.get_mut(&key).filter(|_| self.is(Flaw::RefusedClaimIsWritten))
                {
                    row.claim = (epoch, writer);
                }
                return Err(ClaimError::Superseded { by });
            }
        }
        self.own.lock().expect("not poisoned").insert(key.clone(), (epoch, writer));
        let unwritten = match self.flaw {
            Flaw::ClaimUpdatesOnly => row.is_none(),
            Flaw::ClaimReadsOnly => row.is_some(),
            _ => false,
        };
        if !unwritten {
            let new = Row { claim: (epoch, writer), version: 0, state: None };
            let row = rows.grains.entry(key).or_insert(new);
            row.claim = (epoch, writer);
            if self.is(Flaw::ClaimBeginsAnew) {
                row.version = 0;
            }
        }
        let found = row.filter(|row| row.version > 0);
        Ok(found.map(|Row { version, state, .. }| Stored { version, state }))
    }

    async fn save(
        &self,
        grain: &GrainId,
        (epoch, writer): (Epoch, Writer),
        over: u64,
        state: Option<Bytes>,
    ) -> Result<u64, SaveError> {
        let key = self.key(grain);
        let before = self.rows().grains.get(&key).cloned();
        if self.is(Flaw::SaveIsCheckedBefore) {
            yield_now().await;
        }
        let mut rows = self.rows();
        let row = if self.is(Flaw::SaveIsCheckedBefore) {
            before
        } else {
            rows.grains.get(&key).cloned()
        };
        let makes = self.is(Flaw::SaveMakesAClaim) || self.is(Flaw::ClaimUpdatesOnly);
        let new = || Row { claim: (epoch, writer), version: 0, state: None };
        let Some(mut row) = row.or_else(|| makes.then(new)) else { return Err(SaveError::Fenced) };
        let (by, has) = row.claim;
        let of_epoch = epoch == by
            || self.is(Flaw::SaveLeavesOutTheEpoch)
            || (epoch > by
                && (self.is(Flaw::SaveTakesLaterEpochs) || self.is(Flaw::ClaimReadsOnly)));
        let of_writer =
            writer == has || self.is(Flaw::SaveLeavesOutTheWriter) || self.is(Flaw::ClaimReadsOnly);
        let of_version = over == row.version || self.is(Flaw::SaveLeavesOutTheVersion);
        let state = match state {
            Some(state) if state.is_empty() && self.is(Flaw::EmptyIsNothing) => None,
            Some(state) if self.is(Flaw::StatesAreCutAtAMebibyte) => {
                Some(state.slice(..state.len().min(1 << 20)))
            }
            state => state,
        };
        if !(of_epoch && of_writer && of_version) {
            if let Some(row) =
                rows.grains.get_mut(&key).filter(|_| self.is(Flaw::FencedSaveIsWritten))
            {
                row.state = state;
            }
            return Err(SaveError::Fenced);
        }
        if self.is(Flaw::SaveTakesLaterEpochs) || self.is(Flaw::ClaimReadsOnly) {
            row.claim = (epoch, writer);
        }
        if !(self.is(Flaw::SameStateIsSameVersion) && row.state == state && row.version > 0) {
            row.version += 1;
        }
        let version = row.version;
        if state.is_none() && self.is(Flaw::DeletedVersionIsForgotten) {
            row.version = 0;
        }
        if state.is_none() && self.is(Flaw::DeletedClaimIsForgotten) {
            row.claim = (Epoch::default(), Writer { incarnation: [0; 16], uid: 0 });
        }
        row.state = state;
        rows.grains.insert(key, row);
        Ok(version)
    }

    async fn remind(
        &self,
        grain: &GrainId,
        name: &str,
        reminder: Reminder,
    ) -> Result<(), StoreError> {
        let key = self.reminder_key(grain, name);
        let reminder = self.reminder(reminder);
        let noted = DueReminder { grain: grain.clone(), name: name.into(), reminder };
        let mut rows = self.rows();
        if self.is(Flaw::FirstReminderStays) {
            rows.reminders.entry(key).or_insert(noted);
        } else {
            rows.reminders.insert(key, noted);
        }
        Ok(())
    }

    async fn forget(&self, grain: &GrainId, name: &str) -> Result<(), StoreError> {
        if !self.is(Flaw::NothingIsForgotten) {
            self.rows().reminders.remove(&self.reminder_key(grain, name));
        }
        Ok(())
    }

    async fn due(
        &self,
        kind: &str,
        now: SystemTime,
        most: usize,
    ) -> Result<Vec<DueReminder>, StoreError> {
        let mut rows = self.rows();
        let is_due = |due: SystemTime| due < now || (due == now && !self.is(Flaw::DueIsBeforeNow));
        let of_kind = |grain: &GrainId| match self.flaw {
            Flaw::KindsAreLeftOut => true,
            Flaw::KindsArePrefixes => grain.kind().starts_with(kind),
            _ => grain.kind() == kind,
        };
        let all = rows.reminders.values().filter(|noted| of_kind(&noted.grain));
        let mut due: Vec<_> = all.filter(|noted| is_due(noted.reminder.due)).cloned().collect();
        if self.is(Flaw::LimitComesFirst) {
            due.truncate(most);
        }
        if !self.is(Flaw::AnyOrder) {
            due.sort_by_key(|due| due.reminder.due);
        }
        if !self.is(Flaw::LimitIsLeftOut) {
            due.truncate(most);
        }
        if self.is(Flaw::DueIsTakenAway) {
            rows.reminders.retain(|_, noted| !due.contains(noted));
        }
        Ok(due)
    }

    async fn settle(&self, due: &DueReminder, next: Option<Reminder>) -> Result<(), StoreError> {
        let key = self.reminder_key(&due.grain, &due.name);
        let mut rows = self.rows();
        let found = rows.reminders.get(&key).map(|noted| noted.reminder);
        let unchanged = match (found, self.flaw) {
            (None, flaw) => flaw == Flaw::SettleSetsWhatIsGone,
            (Some(_), Flaw::SettleComparesNothing) => true,
            (Some(found), Flaw::SettleComparesTheTime) => found.due == due.reminder.due,
            (Some(found), _) => found == due.reminder,
        };
        if !unchanged {
            return Ok(());
        }
        match next.filter(|_| !self.is(Flaw::SettleRemovesOnly)) {
            Some(next) => {
                let reminder = self.reminder(next);
                rows.reminders.insert(key, DueReminder { reminder, ..due.clone() });
            }
            None => drop(rows.reminders.remove(&key)),
        }
        Ok(())
    }
}

/// The rules that a store with that flaw breaks, and what was said of them.
async fn broken_by(flaw: Flaw) -> BTreeMap<&'static str, String> {
    let first = Flawed::new(flaw);
    let open = async || match flaw {
        Flaw::StoresApart => Flawed::new(flaw),
        _ => Flawed { own: Arc::default(), ..first.clone() },
    };
    let found = store::violations(open).await;
    found.into_iter().map(|violation| (violation.rule, violation.to_string())).collect()
}

#[tokio::test]
async fn the_memory_store_keeps_its_promises() {
    let store = Arc::new(MemoryStore::new());
    store::check(|| async { store.clone() }).await;
    // Nothing is in the way of a second run.
    store::check(|| async { store.clone() }).await;
}

#[tokio::test]
async fn every_flaw_is_found_and_every_rule_finds_one() {
    assert_eq!(broken_by(Flaw::None).await, BTreeMap::new());
    let mut rules: BTreeSet<_> = RULES.iter().copied().collect();
    for flaw in FLAWS {
        let found = broken_by(flaw).await;
        assert!(!found.is_empty(), "a store passes of which that is so: {flaw:?}");
        rules.retain(|rule| !found.contains_key(rule));
    }
    assert!(rules.is_empty(), "no flaw breaks these: {rules:?}");
}

#[tokio::test]
async fn a_violation_names_its_rule_and_tells_the_calls() {
    let found = broken_by(Flaw::OlderEpochsAreTaken).await;
    let text = &found["an_older_epoch_is_refused"];
    assert!(text.contains("the claim was to be refused as superseded by"), "{text}");
    assert!(text.contains("claim(check-") && text.contains("= version 1 and b\"held\""), "{text}");
    // A store for each node, where they have to be one, is told at once.
    let found = broken_by(Flaw::StoresApart).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), [&"both_stores_reach_the_same_data"]);
    // A panic is a violation like others.
    let found = broken_by(Flaw::No1969).await;
    let text = &found["the_ends_of_time_are_no_fault"];
    assert!(
        text.contains("it panicked: no time was before 1970") && text.ends_with("(no answer)"),
        "{text}"
    );
}

#[tokio::test]
#[should_panic(expected = "the store breaks 1 of its promises")]
async fn a_check_of_a_flawed_store_panics() {
    let store = Flawed::new(Flaw::SettleComparesNothing);
    store::check(|| async { store.clone() }).await;
}
