//! The rows, and what a call makes of them: one statement each.

use std::time::SystemTime;

use bytes::Bytes;
use rakt::error::Cause;
use rakt::grain::{DueReminder, Epoch, GrainId, Reminder, Stored, Writer};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::pool::{Failed, Once, Pool, Values};

/// A bare update would match nothing of a grain that was never stored, and fence nobody.
const CLAIM: &str = "INSERT INTO rakt_grains AS held (kind, key, epoch, writer, version) VALUES ($1, $2, $3, $4, 0) \
    ON CONFLICT (kind, key) DO UPDATE SET epoch = $3, writer = $4 \
    WHERE held.epoch < $3 OR (held.epoch = $3 AND held.writer = $4) RETURNING version, state";
const HOLDER: &str = "SELECT epoch FROM rakt_grains WHERE kind = $1 AND key = $2";
const SAVE: &str = "UPDATE rakt_grains SET version = version + 1, state = $6 \
    WHERE kind = $1 AND key = $2 AND epoch = $3 AND writer = $4 AND version = $5 RETURNING version";
const REMIND: &str = "INSERT INTO rakt_reminders (kind, key, name, due, every) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (kind, key, name) DO UPDATE SET due = $4, every = $5";
const FORGET: &str = "DELETE FROM rakt_reminders WHERE kind = $1 AND key = $2 AND name = $3";
const DUE: &str = "SELECT key, name, due, every FROM rakt_reminders \
    WHERE kind = $1 AND due <= $2 ORDER BY due LIMIT $3";
const MOVE: &str = "UPDATE rakt_reminders SET due = $6, every = $7 \
    WHERE kind = $1 AND key = $2 AND name = $3 AND due = $4 AND every IS NOT DISTINCT FROM $5";
const REMOVE: &str = "DELETE FROM rakt_reminders \
    WHERE kind = $1 AND key = $2 AND name = $3 AND due = $4 AND every IS NOT DISTINCT FROM $5";

/// What is stored, if the grain could be claimed.
pub(crate) async fn claim(
    pool: &Pool,
    grain: &GrainId,
    epoch: Epoch,
    writer: Writer,
) -> Result<Option<Option<Stored>>, Failed> {
    let (kind, key) = (grain.kind(), grain.key().as_bytes());
    let (epoch, writer) = (&epoch.to_bytes()[..], &writer.to_bytes()[..]);
    let values: Values<'_> =
        &[(&kind, Type::TEXT), (&key, Type::BYTEA), (&epoch, Type::BYTEA), (&writer, Type::BYTEA)];
    let rows = pool.run(CLAIM, values, Once::Repeatable).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let version = version_of(row)?;
    let state: Option<&[u8]> = row.try_get(1).map_err(unreadable)?;
    let stored = || Stored { version, state: state.map(Bytes::copy_from_slice) };
    Ok(Some((version > 0).then(stored)))
}

/// The epoch that has the claim.
pub(crate) async fn holder(pool: &Pool, grain: &GrainId) -> Result<Option<Epoch>, Failed> {
    let (kind, key) = (grain.kind(), grain.key().as_bytes());
    let values: Values<'_> = &[(&kind, Type::TEXT), (&key, Type::BYTEA)];
    let rows = pool.run(HOLDER, values, Once::Repeatable).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let bytes: &[u8] = row.try_get(0).map_err(unreadable)?;
    Ok(Some(Epoch::from_bytes(bytes.try_into().map_err(unreadable)?)))
}

/// The new version, unless it is fenced.
pub(crate) async fn save(
    pool: &Pool,
    grain: &GrainId,
    (epoch, writer): (Epoch, Writer),
    over: u64,
    state: Option<&[u8]>,
) -> Result<Option<u64>, Failed> {
    // No version is so high.
    let Ok(over) = i64::try_from(over) else { return Ok(None) };
    let (kind, key) = (grain.kind(), grain.key().as_bytes());
    let (epoch, writer) = (&epoch.to_bytes()[..], &writer.to_bytes()[..]);
    let values: Values<'_> = &[
        (&kind, Type::TEXT),
        (&key, Type::BYTEA),
        (&epoch, Type::BYTEA),
        (&writer, Type::BYTEA),
        (&over, Type::INT8),
        (&state, Type::BYTEA),
    ];
    let rows = pool.run(SAVE, values, Once::Counts).await?;
    rows.first().map(version_of).transpose()
}

pub(crate) async fn remind(
    pool: &Pool,
    grain: &GrainId,
    name: &str,
    reminder: Reminder,
) -> Result<(), Failed> {
    let (kind, key, name) = (grain.kind(), grain.key().as_bytes(), name.as_bytes());
    let (due, every) = reminder.to_millis();
    let values: Values<'_> = &[
        (&kind, Type::TEXT),
        (&key, Type::BYTEA),
        (&name, Type::BYTEA),
        (&due, Type::INT8),
        (&every, Type::INT8),
    ];
    pool.run(REMIND, values, Once::Repeatable).await.map(drop)
}

pub(crate) async fn forget(pool: &Pool, grain: &GrainId, name: &str) -> Result<(), Failed> {
    let (kind, key, name) = (grain.kind(), grain.key().as_bytes(), name.as_bytes());
    let values: Values<'_> = &[(&kind, Type::TEXT), (&key, Type::BYTEA), (&name, Type::BYTEA)];
    pool.run(FORGET, values, Once::Repeatable).await.map(drop)
}

pub(crate) async fn due(
    pool: &Pool,
    kind: &str,
    now: SystemTime,
    most: usize,
) -> Result<Vec<DueReminder>, Failed> {
    let (now, _) = Reminder { due: now, every: None }.to_millis();
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let values: Values<'_> = &[(&kind, Type::TEXT), (&now, Type::INT8), (&most, Type::INT8)];
    let rows = pool.run(DUE, values, Once::Repeatable).await?;
    rows.iter().map(|row| reminder_of(kind, row)).collect()
}

/// Where it is carried out twice the second time finds it changed, and does nothing.
pub(crate) async fn settle(
    pool: &Pool,
    due: &DueReminder,
    next: Option<Reminder>,
) -> Result<(), Failed> {
    let DueReminder { grain, name, reminder } = due;
    let (kind, key, name) = (grain.kind(), grain.key().as_bytes(), name.as_bytes());
    let (due, every) = reminder.to_millis();
    let (next_due, next_every) = next.map_or((0, None), |next| next.to_millis());
    let values: Values<'_> = &[
        (&kind, Type::TEXT),
        (&key, Type::BYTEA),
        (&name, Type::BYTEA),
        (&due, Type::INT8),
        (&every, Type::INT8),
        (&next_due, Type::INT8),
        (&next_every, Type::INT8),
    ];
    let outcome = match next {
        Some(_) => pool.run(MOVE, values, Once::Repeatable).await,
        None => pool.run(REMOVE, &values[..5], Once::Repeatable).await,
    };
    outcome.map(drop)
}

fn version_of(row: &Row) -> Result<u64, Failed> {
    let version: i64 = row.try_get(0).map_err(unreadable)?;
    version.try_into().map_err(unreadable)
}

fn reminder_of(kind: &str, row: &Row) -> Result<DueReminder, Failed> {
    let text = |at| {
        let bytes: &[u8] = row.try_get(at).map_err(unreadable)?;
        std::str::from_utf8(bytes).map_err(unreadable)
    };
    let grain = GrainId::new(kind, text(0)?).map_err(unreadable)?;
    let due = row.try_get(2).map_err(unreadable)?;
    let every = row.try_get(3).map_err(unreadable)?;
    let reminder = Reminder::from_millis(due, every);
    Ok(DueReminder { grain, name: text(1)?.to_owned(), reminder })
}

/// Somebody else has written it. What was asked was done.
fn unreadable(error: impl Into<rakt::BoxError>) -> Failed {
    Failed::Unknown(Cause::new(error))
}
