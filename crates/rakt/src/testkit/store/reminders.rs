//! Rules for reminders. None of their grains is ever claimed: reminders need no claim.

use std::time::{Duration, SystemTime};

use super::trial::Trial;
use crate::grain::{DueReminder, GrainStore, Reminder};
use crate::testkit::rules::{Outcome, broken, ensure};

const MS: Duration = Duration::from_millis(1);

/// Some day, some milliseconds later.
fn at(millis: i64) -> SystemTime {
    let day = SystemTime::UNIX_EPOCH + Duration::from_millis(1_750_000_000_123);
    let away = Duration::from_millis(millis.unsigned_abs());
    if millis < 0 { day - away } else { day + away }
}

fn once(due: SystemTime) -> Reminder {
    Reminder { due, every: None }
}

impl<S: GrainStore> Trial<'_, S> {
    /// Notes a reminder, and says as what it is to be told.
    async fn noted_as(&self, key: &str, name: &str, reminder: Reminder) -> Outcome<DueReminder> {
        self.noted_of("", key, name, reminder).await
    }

    async fn noted_of(
        &self,
        kind: &str,
        key: &str,
        name: &str,
        reminder: Reminder,
    ) -> Outcome<DueReminder> {
        let grain = self.grain_of(kind, key);
        self.remind(&grain, name, reminder).await?;
        Ok(DueReminder { grain, name: name.into(), reminder })
    }

    /// Takes them back.
    async fn clear(&self, noted: &[DueReminder]) -> Outcome {
        for DueReminder { grain, name, .. } in noted {
            self.forget(grain, name).await?;
        }
        Ok(())
    }
}

pub(super) async fn a_reminder_is_due_at_its_time<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let kind = t.kind("");
    t.are_due(&kind, at(0), &[]).await?;
    let once = t.noted_as("once", "a", once(at(0))).await?;
    let every = Some(Duration::from_millis(86_400_001));
    let again = t.noted_as("again", "a", Reminder { due: at(10), every }).await?;
    t.are_due(&kind, at(-1), &[]).await?;
    t.are_due(&kind, at(0), std::slice::from_ref(&once)).await?;
    t.are_due(&kind, at(9), std::slice::from_ref(&once)).await?;
    let both = [once, again];
    t.are_due(&kind, at(10), &both).await?;
    // To be told of them takes nothing away.
    t.are_due(&kind, at(86_400_000), &both).await?;
    t.clear(&both).await
}

pub(super) async fn a_reminder_replaces_the_one_of_its_name<S: GrainStore>(
    t: &Trial<'_, S>,
) -> Outcome {
    let kind = t.kind("");
    let other_name = t.noted_as("1", "other", once(at(0))).await?;
    let other_grain = t.noted_as("2", "name", once(at(0))).await?;
    t.noted_as("1", "name", once(at(1))).await?;
    let later = t.noted_as("1", "name", once(at(5))).await?;
    t.are_due(&kind, at(4), &[other_name.clone(), other_grain.clone()]).await?;
    t.are_due(&kind, at(5), &[other_name.clone(), other_grain.clone(), later]).await?;
    let earlier = t.noted_as("1", "name", Reminder { due: at(2), every: Some(MS) }).await?;
    let all = [other_name, other_grain, earlier];
    t.are_due(&kind, at(2), &all).await?;
    t.are_due(&kind, at(9), &all).await?;
    t.clear(&all).await
}

pub(super) async fn a_reminder_that_is_forgotten_is_gone<S: GrainStore>(
    t: &Trial<'_, S>,
) -> Outcome {
    let kind = t.kind("");
    t.forget(&t.grain("1"), "never noted").await?;
    let gone = t.noted_as("1", "gone", once(at(0))).await?;
    let kept = t.noted_as("1", "kept", once(at(0))).await?;
    for _ in 0..2 {
        t.forget(&gone.grain, &gone.name).await?;
        t.are_due(&kind, at(1), std::slice::from_ref(&kept)).await?;
    }
    t.noted_as("1", "gone", gone.reminder).await?;
    let both = [gone, kept];
    t.are_due(&kind, at(1), &both).await?;
    t.clear(&both).await?;
    t.are_due(&kind, at(1), &[]).await
}

pub(super) async fn due_reminders_come_in_order_and_as_many_as_asked_for<S: GrainStore>(
    t: &Trial<'_, S>,
) -> Outcome {
    let kind = t.kind("");
    let mut noted = Vec::new();
    // Their keys and names have another order than their times, and so have the texts of those.
    for n in 0..20_i64 {
        let due = at((n * 7) % 20 * 500 - 5_000);
        noted.push(t.noted_as(&format!("{}", 30 - n), &format!("{n}"), once(due)).await?);
    }
    noted.sort_by_key(|noted| noted.reminder.due);
    for most in [20, 1, 7, 0, 21, usize::MAX] {
        let due = t.due(&kind, at(60_000), most).await?;
        let expected = &noted[..most.min(20)];
        ensure(due == expected, || {
            format!("it was to be the first {} of 20, by their times", expected.len())
        })?;
    }
    let due = t.due(&kind, at(0), 5).await?;
    ensure(due == noted[..5], || "it was to be the first 5 of those that are due".into())?;
    t.clear(&noted).await
}

pub(super) async fn kinds_have_reminders_of_their_own<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let mut noted = Vec::new();
    for kind in ["", "-a", "-aa", "-A", "-a.a"] {
        noted.push((t.kind(kind), t.noted_of(kind, "1", "name", once(at(0))).await?));
    }
    for (kind, noted) in &noted {
        t.are_due(kind, at(0), std::slice::from_ref(noted)).await?;
    }
    for kind in ["-", "-b", "-a.", "-aaa"] {
        t.are_due(&t.kind(kind), at(0), &[]).await?;
    }
    for (kind, noted) in noted {
        t.clear(std::slice::from_ref(&noted)).await?;
        t.are_due(&kind, at(0), &[]).await?;
    }
    Ok(())
}

pub(super) async fn settling_moves_or_removes_a_reminder<S: GrainStore>(
    t: &Trial<'_, S>,
) -> Outcome {
    let kind = t.kind("");
    let other = t.noted_as("1", "other", once(at(0))).await?;
    let mut due = t.noted_as("1", "name", Reminder { due: at(0), every: Some(MS) }).await?;
    // Also to an earlier time, to the same, and to another repetition.
    for (then, every) in [(5, Some(MS)), (3, Some(MS)), (3, None), (3, Some(2 * MS)), (7, None)] {
        let next = Reminder { due: at(then), every };
        t.settle(&due, Some(next)).await?;
        due.reminder = next;
        t.are_due(&kind, at(then - 1), std::slice::from_ref(&other)).await?;
        t.are_due(&kind, at(then), &[other.clone(), due.clone()]).await?;
    }
    t.settle(&due, None).await?;
    t.are_due(&kind, at(100), std::slice::from_ref(&other)).await?;
    t.clear(&[other]).await
}

pub(super) async fn settling_leaves_what_was_set_anew<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let kind = t.kind("");
    let first = t.noted_as("1", "name", Reminder { due: at(0), every: Some(MS) }).await?;
    let next = once(at(50));
    for (due, every) in [(1, Some(MS)), (0, Some(2 * MS)), (0, None)] {
        let anew = t.noted_as("1", "name", Reminder { due: at(due), every }).await?;
        t.settle(&first, Some(next)).await?;
        t.settle(&first, None).await?;
        t.are_due(&kind, at(100), &[anew]).await?;
    }
    // One that does not repeat itself differs from one that does.
    let plain = t.noted_as("1", "name", once(at(0))).await?;
    t.settle(&first, None).await?;
    t.are_due(&kind, at(100), std::slice::from_ref(&plain)).await?;
    // What was taken back does not come back, and what is settled already is settled once.
    t.forget(&plain.grain, &plain.name).await?;
    t.settle(&plain, Some(next)).await?;
    t.are_due(&kind, at(100), &[]).await?;
    let due = t.noted_as("1", "name", once(at(0))).await?;
    t.settle(&due, Some(next)).await?;
    t.settle(&due, None).await?;
    let moved = DueReminder { reminder: next, ..due };
    t.are_due(&kind, at(100), std::slice::from_ref(&moved)).await?;
    t.clear(&[moved]).await
}

pub(super) async fn reminders_are_kept_to_the_millisecond<S: GrainStore>(
    t: &Trial<'_, S>,
) -> Outcome {
    let kind = t.kind("");
    let fine = Duration::from_nanos(456_789);
    let exact = Reminder { due: at(0) + fine, every: Some(MS * 90 + fine) };
    let noted = t.noted_as("1", "name", exact).await?;
    t.are_due(&kind, at(-1), &[]).await?;
    let found = t.due(&kind, at(1), 10).await?;
    let [found] = &found[..] else {
        return broken("the reminder was to be due, within a millisecond");
    };
    let near = |a: Duration, b: Duration| a.abs_diff(b) < MS;
    let since = |time: SystemTime| time.duration_since(at(-1)).unwrap_or_default();
    let same_due = near(since(found.reminder.due), MS + fine);
    let same_every = found.reminder.every.is_some_and(|every| near(every, MS * 90 + fine));
    ensure(same_due && same_every, || "what is less than a millisecond may be cut off".into())?;
    // It can be settled by what was told of it.
    t.settle(found, None).await?;
    t.are_due(&kind, at(1), &[]).await?;
    t.clear(&[noted]).await
}

pub(super) async fn the_ends_of_time_are_no_fault<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let (kind, epoch) = (t.kind(""), SystemTime::UNIX_EPOCH);
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let before = t.noted_as("1", "before 1970", once(epoch - days(3_650) - MS)).await?;
    let zero = t.noted_as("1", "1970", once(epoch)).await?;
    let every = Some(days(365_000));
    let far =
        t.noted_as("1", "year 9000", Reminder { due: epoch + days(2_567_000), every }).await?;
    t.are_due(&kind, epoch - days(3_650) - 2 * MS, &[]).await?;
    t.are_due(&kind, epoch - MS, std::slice::from_ref(&before)).await?;
    t.are_due(&kind, at(0), &[before.clone(), zero.clone()]).await?;
    let all = [before, zero, far];
    t.are_due(&kind, epoch + days(2_567_000), &all).await?;
    // The last times that there are: they may be refused or moved, but are not due before.
    let shifts = (0..=62).rev().map(|shift| Duration::from_secs(1 << shift));
    let (mut first, mut last) = (epoch, epoch);
    for step in shifts {
        last = last.checked_add(step).unwrap_or(last);
        first = first.checked_sub(step).unwrap_or(first);
    }
    let end = Reminder { due: last, every: Some(Duration::MAX) };
    let end = DueReminder { grain: t.grain("1"), name: "the end".into(), reminder: end };
    let _ = t.remind(&end.grain, &end.name, end.reminder).await;
    t.are_due(&kind, epoch + days(2_567_000), &all).await?;
    for now in [first, last] {
        let _ = t.due(&kind, now, 10).await;
    }
    let _ = t.settle(&end, Some(once(first))).await;
    let _ = t.remind(&end.grain, &end.name, once(first)).await;
    t.clear(&[end]).await?;
    t.are_due(&kind, epoch + days(2_567_000), &all).await?;
    t.clear(&all).await
}
