//! What one rule works with.

use std::future::Future;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::error::Chain;
use crate::grain::{
    ClaimError, DueReminder, Epoch, GrainId, GrainStore, Reminder, SaveError, StoreError, Stored,
    Writer,
};
use crate::testkit::rules::{Calls, Outcome, broken, ensure};
use crate::testkit::violation::Violation;

/// Most bytes of a state that are shown.
const BYTES_SHOWN: usize = 16;

/// The epoch of an ordinary view.
pub(super) fn epoch(counter: u64) -> Epoch {
    Epoch { generation: 1_700_000_000, view: 3, counter }
}

/// A life of a node, on which one activation is called the same.
pub(super) fn writer(n: u8) -> Writer {
    Writer { incarnation: [n; 16], uid: n.into() }
}

/// One rule: two stores that reach the same data, and the calls that were made.
pub(super) struct Trial<'a, S> {
    stores: &'a [S; 2],
    kind: String,
    calls: Calls,
}

impl<'a, S: GrainStore> Trial<'a, S> {
    pub(super) fn new(stores: &'a [S; 2], rule: &'static str, run: u64, number: usize) -> Self {
        Self { stores, kind: format!("check-{run:016x}-{number}"), calls: Calls::new(rule) }
    }

    pub(super) async fn judge(&self, rule: impl Future<Output = Outcome>) -> Option<Violation> {
        self.calls.judge(rule).await
    }

    /// The kind of this rule's grains, with something behind it.
    pub(super) fn kind(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.kind)
    }

    pub(super) fn grain(&self, key: &str) -> GrainId {
        self.grain_of("", key)
    }

    pub(super) fn grain_of(&self, suffix: &str, key: &str) -> GrainId {
        GrainId::new(&self.kind(suffix), key).expect("the rules have valid kinds and keys")
    }

    /// A writer lives on one node, and so it has one of the stores.
    fn of(writer: Writer) -> usize {
        usize::from(writer.uid.is_multiple_of(2))
    }

    pub(super) async fn claim(
        &self,
        grain: &GrainId,
        epoch: Epoch,
        writer: Writer,
    ) -> Result<Option<Stored>, ClaimError> {
        let at = Self::of(writer);
        let call = format!("claim({grain}, {epoch}, {})", name_of(writer));
        self.calls
            .noted(at, call, self.stores[at].claim(grain, epoch, writer), |answer| match answer {
                Ok(None) => "nothing stored".into(),
                Ok(Some(stored)) => show_stored(stored),
                Err(error) => Chain(error).to_string(),
            })
            .await
    }

    pub(super) async fn save(
        &self,
        grain: &GrainId,
        (epoch, writer): (Epoch, Writer),
        over: u64,
        state: Option<Bytes>,
    ) -> Result<u64, SaveError> {
        let at = Self::of(writer);
        let shown = show_state(state.as_ref());
        let call = format!("save({grain}, {epoch}, {}, over {over}, {shown})", name_of(writer));
        let answer = self.stores[at].save(grain, (epoch, writer), over, state);
        self.calls
            .noted(at, call, answer, |answer| match answer {
                Ok(version) => format!("version {version}"),
                Err(error) => Chain(error).to_string(),
            })
            .await
    }

    /// Claims what nobody else may have.
    pub(super) async fn claimed(
        &self,
        grain: &GrainId,
        epoch: Epoch,
        writer: Writer,
    ) -> Outcome<Option<Stored>> {
        let claim = self.claim(grain, epoch, writer).await;
        claim.or_else(|_| broken("the claim of the latest epoch was to be taken"))
    }

    /// Claims what a later epoch or another writer has.
    pub(super) async fn superseded(
        &self,
        grain: &GrainId,
        epoch: Epoch,
        writer: Writer,
        holder: Epoch,
    ) -> Outcome {
        match self.claim(grain, epoch, writer).await {
            Err(ClaimError::Superseded { by }) if by == holder => Ok(()),
            _ => broken(format!("the claim was to be refused as superseded by {holder}")),
        }
    }

    /// Saves what is to be saved.
    pub(super) async fn saved(
        &self,
        grain: &GrainId,
        claim: (Epoch, Writer),
        over: u64,
        state: impl Into<Option<&'static str>>,
    ) -> Outcome<u64> {
        let saved = self.save(grain, claim, over, state.into().map(Bytes::from)).await;
        saved.or_else(|_| {
            broken("the save was to be taken, from the holder and over what is stored")
        })
    }

    /// Saves what is to be refused.
    pub(super) async fn fenced(
        &self,
        grain: &GrainId,
        claim: (Epoch, Writer),
        over: u64,
    ) -> Outcome {
        match self.save(grain, claim, over, Some(Bytes::from("never to be seen"))).await {
            Err(SaveError::Fenced) => Ok(()),
            _ => broken("the save was to be fenced"),
        }
    }

    /// Looks at what is stored, by repeating the claim of its holder.
    pub(super) async fn holds(
        &self,
        grain: &GrainId,
        (epoch, writer): (Epoch, Writer),
        version: u64,
        state: impl Into<Option<&'static str>>,
    ) -> Outcome {
        let expected = Stored { version, state: state.into().map(Bytes::from) };
        let found = self.claimed(grain, epoch, writer).await?;
        ensure(found.as_ref() == Some(&expected), || {
            format!("there was to be {}", show_stored(&expected))
        })
    }

    pub(super) async fn remind(&self, grain: &GrainId, name: &str, reminder: Reminder) -> Outcome {
        let call = format!("remind({grain}, {name:?}, {})", show_reminder(&reminder));
        self.calls
            .noted(0, call, self.stores[0].remind(grain, name, reminder), show_result)
            .await
            .or_else(|_| broken("the reminder was to be noted"))
    }

    pub(super) async fn forget(&self, grain: &GrainId, name: &str) -> Outcome {
        let call = format!("forget({grain}, {name:?})");
        self.calls
            .noted(1, call, self.stores[1].forget(grain, name), show_result)
            .await
            .or_else(|_| broken("the reminder was to be forgotten, or not to be there"))
    }

    pub(super) async fn due(
        &self,
        kind: &str,
        now: SystemTime,
        most: usize,
    ) -> Outcome<Vec<DueReminder>> {
        let call = format!("due({kind}, {}, {most})", show_time(now));
        let due =
            self.calls.noted(1, call, self.stores[1].due(kind, now, most), |answer| match answer {
                Ok(due) => {
                    let show = |due: &DueReminder| {
                        format!("{} {:?} {}", due.grain, due.name, show_reminder(&due.reminder))
                    };
                    format!("[{}]", due.iter().map(show).collect::<Vec<_>>().join(", "))
                }
                Err(error) => Chain(error).to_string(),
            });
        due.await.or_else(|_| broken("the reminders that are due were to be told"))
    }

    pub(super) async fn settle(&self, due: &DueReminder, next: Option<Reminder>) -> Outcome {
        let shown = next.as_ref().map_or_else(|| "nothing".into(), show_reminder);
        let (grain, name, was) = (&due.grain, &due.name, show_reminder(&due.reminder));
        let call = format!("settle({grain} {name:?} {was}, next: {shown})");
        self.calls
            .noted(0, call, self.stores[0].settle(due, next), show_result)
            .await
            .or_else(|_| broken("the reminder was to be settled, or left as it is"))
    }

    /// Says that it is broken unless these are due, in whatever order where they are due at the same time.
    pub(super) async fn are_due(
        &self,
        kind: &str,
        now: SystemTime,
        expected: &[DueReminder],
    ) -> Outcome {
        let mut due = self.due(kind, now, 1_000).await?;
        due.sort_by(|a, b| (&a.grain, &a.name).cmp(&(&b.grain, &b.name)));
        let mut expected = expected.to_vec();
        expected.sort_by(|a, b| (&a.grain, &a.name).cmp(&(&b.grain, &b.name)));
        ensure(due == expected, || {
            let show = |due: &DueReminder| format!("{} {:?}", due.grain, due.name);
            let names: Vec<_> = expected.iter().map(show).collect();
            format!("what is due was to be [{}], each as it was noted", names.join(", "))
        })
    }
}

fn name_of(writer: Writer) -> String {
    format!("writer {}.{}", writer.incarnation[0], writer.uid)
}

pub(super) fn show_state(state: Option<&Bytes>) -> String {
    match state {
        None => "no state".into(),
        Some(state) if state.len() > BYTES_SHOWN => {
            format!("{} bytes", state.len())
        }
        Some(state) => format!("{state:?}"),
    }
}

fn show_stored(stored: &Stored) -> String {
    format!("version {} and {}", stored.version, show_state(stored.state.as_ref()))
}

fn show_result(result: &Result<(), StoreError>) -> String {
    result.as_ref().map_or_else(|error| Chain(error).to_string(), |()| "done".into())
}

/// As seconds since 1970.
fn show_time(time: SystemTime) -> String {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => format!("{after:?}"),
        Err(before) => format!("-{:?}", before.duration()),
    }
}

fn show_reminder(reminder: &Reminder) -> String {
    let every = |every: Duration| format!(" every {every:?}");
    format!("due {}{}", show_time(reminder.due), reminder.every.map_or_else(String::new, every))
}
