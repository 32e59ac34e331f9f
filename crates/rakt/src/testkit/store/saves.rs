//! Rules for what is saved.

use super::trial::{Trial, epoch, writer};
use crate::grain::{GrainStore, Writer};
use crate::testkit::rules::{Outcome, ensure};

pub(super) async fn nothing_is_saved_without_a_claim<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let (grain, claim) = (t.grain("unclaimed"), (epoch(1), writer(1)));
    t.fenced(&grain, claim, 0).await?;
    t.fenced(&grain, claim, 1).await?;
    let nothing = t.claimed(&grain, claim.0, claim.1).await?;
    ensure(nothing.is_none(), || "nothing was to be saved without a claim".into())
}

pub(super) async fn a_save_needs_the_epoch_of_the_claim<S: GrainStore>(
    t: &Trial<'_, S>,
) -> Outcome {
    let (grain, holder) = (t.grain("epoch"), (epoch(5), writer(1)));
    t.claimed(&grain, holder.0, holder.1).await?;
    let version = t.saved(&grain, holder, 0, "held").await?;
    // A later one has to be claimed first, also by the writer itself.
    for other in [epoch(4), epoch(6)] {
        t.fenced(&grain, (other, holder.1), version).await?;
    }
    t.holds(&grain, holder, version, "held").await
}

pub(super) async fn a_save_needs_the_writer_of_the_claim<S: GrainStore>(
    t: &Trial<'_, S>,
) -> Outcome {
    let (grain, holder) = (t.grain("writer"), (epoch(1), writer(1)));
    t.claimed(&grain, holder.0, holder.1).await?;
    let version = t.saved(&grain, holder, 0, "held").await?;
    let another_activation = Writer { uid: 2, ..holder.1 };
    for other in [writer(2), Writer { uid: 1, ..writer(2) }, another_activation] {
        t.fenced(&grain, (holder.0, other), version).await?;
    }
    t.holds(&grain, holder, version, "held").await
}

pub(super) async fn a_save_needs_the_version_that_is_stored<S: GrainStore>(
    t: &Trial<'_, S>,
) -> Outcome {
    let (grain, claim) = (t.grain("version"), (epoch(1), writer(1)));
    t.claimed(&grain, claim.0, claim.1).await?;
    t.fenced(&grain, claim, 1).await?;
    let first = t.saved(&grain, claim, 0, "first").await?;
    t.fenced(&grain, claim, 0).await?;
    let second = t.saved(&grain, claim, first, "second").await?;
    for wrong in [0, first, second.wrapping_add(1), u64::MAX] {
        t.fenced(&grain, claim, wrong).await?;
    }
    t.holds(&grain, claim, second, "second").await
}

pub(super) async fn versions_never_repeat<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let grain = t.grain("versions");
    let mut seen = vec![0];
    for (life, n) in (1..).zip(1_u8..5) {
        let claim = (epoch(life), writer(n));
        t.claimed(&grain, claim.0, claim.1).await?;
        // The same state again is another version too.
        for state in [Some("state"), Some("state"), None, Some("state"), None, None] {
            let over = seen[seen.len() - 1];
            let version = t.saved(&grain, claim, over, state).await?;
            ensure(!seen.contains(&version), || {
                format!("version {version} was given before; 0 is that of nothing")
            })?;
            seen.push(version);
            t.holds(&grain, claim, version, state).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_deleted_state_leaves_its_claim<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let (grain, holder) = (t.grain("deleted-claim"), (epoch(5), writer(1)));
    t.claimed(&grain, holder.0, holder.1).await?;
    let version = t.saved(&grain, holder, 0, "state").await?;
    let version = t.saved(&grain, holder, version, None).await?;
    t.superseded(&grain, epoch(4), writer(2), holder.0).await?;
    t.superseded(&grain, holder.0, writer(2), holder.0).await?;
    t.fenced(&grain, (epoch(4), writer(2)), version).await?;
    t.fenced(&grain, (epoch(4), writer(2)), 0).await?;
    t.saved(&grain, holder, version, "again").await?;
    // Where nothing was, it may be deleted as well.
    let grain = t.grain("deleted-nothing");
    t.claimed(&grain, holder.0, holder.1).await?;
    let version = t.saved(&grain, holder, 0, None).await?;
    t.superseded(&grain, epoch(4), writer(2), holder.0).await?;
    t.holds(&grain, holder, version, None).await
}

pub(super) async fn a_deleted_state_leaves_its_version<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let (grain, claim) = (t.grain("deleted-version"), (epoch(1), writer(1)));
    t.claimed(&grain, claim.0, claim.1).await?;
    let first = t.saved(&grain, claim, 0, "state").await?;
    let deleted = t.saved(&grain, claim, first, None).await?;
    t.holds(&grain, claim, deleted, None).await?;
    for wrong in [0, first] {
        t.fenced(&grain, claim, wrong).await?;
    }
    let next = (epoch(2), writer(2));
    t.holds(&grain, next, deleted, None).await?;
    t.fenced(&grain, next, 0).await?;
    let version = t.saved(&grain, next, deleted, "again").await?;
    t.holds(&grain, next, version, "again").await
}
