//! Rules for claims.

use super::trial::{Trial, epoch, writer};
use crate::grain::{Epoch, GrainStore, Writer};
use crate::testkit::rules::{Outcome, ensure};

/// The first one, since nothing else can hold without it.
pub(super) async fn both_stores_reach_the_same_data<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let (grain, claim) = (t.grain("same"), (epoch(1), writer(1)));
    t.claimed(&grain, claim.0, claim.1).await?;
    t.saved(&grain, claim, 0, "state").await?;
    let found = t.claimed(&grain, epoch(2), writer(2)).await?;
    ensure(found.is_some(), || {
        "what was saved through one of the stores is not known to the other one: both have to reach the same data"
            .into()
    })
}

pub(super) async fn a_claim_reads_what_was_saved<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let (grain, claim) = (t.grain("read"), (epoch(1), writer(1)));
    let nothing = t.claimed(&grain, claim.0, claim.1).await?;
    ensure(nothing.is_none(), || "nothing was saved yet".into())?;
    let first = t.saved(&grain, claim, 0, "first").await?;
    t.holds(&grain, claim, first, "first").await?;
    let second = t.saved(&grain, claim, first, "second").await?;
    t.holds(&grain, (epoch(2), writer(2)), second, "second").await
}

pub(super) async fn a_later_epoch_takes_over<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let (grain, old, new) = (t.grain("over"), (epoch(1), writer(1)), (epoch(2), writer(2)));
    t.claimed(&grain, old.0, old.1).await?;
    let version = t.saved(&grain, old, 0, "old").await?;
    t.holds(&grain, new, version, "old").await?;
    t.fenced(&grain, old, version).await?;
    let version = t.saved(&grain, new, version, "new").await?;
    t.fenced(&grain, old, version).await?;
    t.holds(&grain, new, version, "new").await?;
    // The same activation may be granted a later epoch.
    t.holds(&grain, (epoch(3), new.1), version, "new").await?;
    t.fenced(&grain, new, version).await
}

pub(super) async fn an_older_epoch_is_refused<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let (grain, holder) = (t.grain("older"), (epoch(5), writer(1)));
    t.claimed(&grain, holder.0, holder.1).await?;
    let version = t.saved(&grain, holder, 0, "held").await?;
    for older in [writer(2), writer(1)] {
        t.superseded(&grain, epoch(4), older, holder.0).await?;
        t.fenced(&grain, (epoch(4), older), version).await?;
    }
    // What is refused changes nothing.
    let version = t.saved(&grain, holder, version, "still").await?;
    t.holds(&grain, holder, version, "still").await
}

pub(super) async fn an_equal_epoch_of_another_writer_is_refused<S: GrainStore>(
    t: &Trial<'_, S>,
) -> Outcome {
    let (grain, holder) = (t.grain("equal"), (epoch(1), writer(1)));
    t.claimed(&grain, holder.0, holder.1).await?;
    let another_life = Writer { uid: holder.1.uid, ..writer(2) };
    let another_activation = Writer { uid: 2, ..holder.1 };
    let mut late = holder.1;
    late.incarnation[15] = 2;
    for other in [writer(2), another_life, another_activation, late] {
        t.superseded(&grain, holder.0, other, holder.0).await?;
    }
    t.saved(&grain, holder, 0, "held").await?;
    Ok(())
}

pub(super) async fn a_claim_may_be_repeated<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let (grain, claim) = (t.grain("again"), (epoch(1), writer(1)));
    for _ in 0..2 {
        let nothing = t.claimed(&grain, claim.0, claim.1).await?;
        ensure(nothing.is_none(), || "nothing was saved yet".into())?;
    }
    let version = t.saved(&grain, claim, 0, "state").await?;
    for _ in 0..2 {
        t.holds(&grain, claim, version, "state").await?;
    }
    t.saved(&grain, claim, version, "next").await?;
    Ok(())
}

pub(super) async fn epochs_are_compared_part_by_part<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    const HALF: u64 = 1 << 63;
    let rising = [
        (0, 0, 0),
        (0, 0, 1),
        (0, 0, 256),
        (0, 0, HALF),
        (0, 0, u64::MAX),
        (0, 1, 0),
        (0, 9, 1),
        (0, 10, 0),
        (0, HALF, 7),
        (0, u64::MAX, u64::MAX),
        (1, 0, 0),
        (9, 5, 5),
        (10, 0, 0),
        (HALF - 1, u64::MAX, 0),
        (HALF, 0, 0),
        (u64::MAX, 0, 0),
        (u64::MAX, u64::MAX, u64::MAX),
    ];
    let rising = rising.map(|(generation, view, counter)| Epoch { generation, view, counter });
    let grain = t.grain("rising");
    for (n, epoch) in rising.into_iter().enumerate() {
        t.claimed(&grain, epoch, writer(n as u8)).await?;
        for older in &rising[..n] {
            t.superseded(&grain, *older, writer(99), epoch).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_claim_of_what_was_never_stored_fences<S: GrainStore>(
    t: &Trial<'_, S>,
) -> Outcome {
    let (grain, old, new) = (t.grain("never"), (epoch(1), writer(1)), (epoch(2), writer(2)));
    let nothing = t.claimed(&grain, old.0, old.1).await?;
    ensure(nothing.is_none(), || "nothing was saved yet".into())?;
    let nothing = t.claimed(&grain, new.0, new.1).await?;
    ensure(nothing.is_none(), || "nothing was saved yet".into())?;
    t.fenced(&grain, old, 0).await?;
    t.superseded(&grain, old.0, old.1, new.0).await?;
    let nothing = t.claimed(&grain, new.0, new.1).await?;
    ensure(nothing.is_none(), || "nothing was saved yet".into())?;
    t.saved(&grain, new, 0, "first").await?;
    Ok(())
}
