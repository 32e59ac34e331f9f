//! Rules for what happens at the same time.

use std::cell::{Cell, RefCell};

use bytes::Bytes;

use super::order::{Write, faults};
use super::trial::{Trial, epoch, writer};
use crate::grain::{ClaimError, GrainStore, SaveError};
use crate::testkit::rules::{Beside, Outcome, all_at_once, broken, ensure, wait_turns};

/// How often each race is run: in how many of them somebody is in between is a matter of luck.
const ROUNDS: usize = 20;
/// How many take part.
const RACERS: u8 = 12;
/// Most saves before one is fenced. A claim that needs a new connection for itself may take as long as thousands of them.
const SAVES: usize = 20_000;

pub(super) async fn a_claim_fences_a_save_under_way<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    for round in 0..ROUNDS {
        let grain = t.grain(&format!("under-way-{round}"));
        let (old, new) = ((epoch(1), writer(1)), (epoch(2), writer(2)));
        t.claimed(&grain, old.0, old.1).await?;
        let (claimed, saved) = (Cell::new(None), Cell::new(0));
        let saving = async {
            for _ in 0..SAVES {
                let after = claimed.get().is_some();
                let over = saved.get();
                match t.save(&grain, old, over, Some(Bytes::from("old"))).await {
                    Ok(_) if after => return broken("a save after the claim was to be fenced"),
                    Ok(version) => saved.set(version),
                    Err(SaveError::Fenced) if saved.get() == over => return Ok(()),
                    Err(_) => return broken("a save was to be taken or fenced"),
                }
                wait_turns(1).await;
            }
            broken("the claim never fenced the saves beside it")
        };
        let claiming = async {
            wait_turns(round % 5).await;
            let found = t.claimed(&grain, new.0, new.1).await?;
            claimed.set(Some(found.map_or(0, |stored| stored.version)));
            Ok(())
        };
        let both: [Beside<'_, Outcome>; 2] = [Box::pin(saving), Box::pin(claiming)];
        all_at_once(both).await.into_iter().collect::<Outcome>()?;
        let (found, last) = (claimed.get().unwrap_or(0), saved.get());
        ensure(found == last, || {
            format!("the claim has read version {found}, and an older epoch saved {last} after it")
        })?;
        t.saved(&grain, new, found, "new").await?;
    }
    Ok(())
}

pub(super) async fn of_saves_over_one_version_one_is_taken<S: GrainStore>(
    t: &Trial<'_, S>,
) -> Outcome {
    for round in 0..ROUNDS {
        let grain = t.grain(&format!("one-version-{round}"));
        // Two nodes that both think that they have the grain, which only a fault can bring about.
        let claim = (epoch(1), writer(1));
        t.claimed(&grain, claim.0, claim.1).await?;
        let over = if round % 2 == 0 { 0 } else { t.saved(&grain, claim, 0, "before").await? };
        let saves = (0..RACERS).map(|n| {
            let grain = &grain;
            async move {
                let state = Bytes::from(vec![n; 3]);
                (state.clone(), t.save(grain, claim, over, Some(state)).await)
            }
        });
        let mut taken = Vec::new();
        for (state, outcome) in all_at_once(saves).await {
            match outcome {
                Ok(version) => taken.push((state, version)),
                Err(SaveError::Fenced) => {}
                Err(_) => return broken("a save was to be taken or fenced"),
            }
        }
        let [(state, version)] = &taken[..] else {
            return broken(format!(
                "{} of {RACERS} saves over version {over} were taken",
                taken.len()
            ));
        };
        let found = t.claimed(&grain, claim.0, claim.1).await?;
        let same = found
            .is_some_and(|found| found.version == *version && found.state.as_ref() == Some(state));
        ensure(same, || format!("the save that was taken was to be stored, as version {version}"))?;
    }
    Ok(())
}

pub(super) async fn of_writers_with_one_epoch_one_has_the_grain<S: GrainStore>(
    t: &Trial<'_, S>,
) -> Outcome {
    for round in 0..ROUNDS {
        let grain = t.grain(&format!("one-epoch-{round}"));
        let mut now = epoch(1);
        if round % 2 == 1 {
            t.claimed(&grain, now, writer(99)).await?;
            now = epoch(2);
        }
        let claims = (1..=RACERS).map(|n| {
            let grain = &grain;
            async move { (n, t.claim(grain, now, writer(n)).await) }
        });
        let mut winners = Vec::new();
        for (n, outcome) in all_at_once(claims).await {
            match outcome {
                Ok(_) => winners.push(n),
                Err(ClaimError::Superseded { by }) if by == now => {}
                Err(_) => return broken("a claim was to be taken, or superseded by this epoch"),
            }
        }
        let [winner] = winners[..] else {
            return broken(format!(
                "{} of {RACERS} writers have the grain in {now}",
                winners.len()
            ));
        };
        t.saved(&grain, (now, writer(winner)), 0, "mine").await?;
    }
    Ok(())
}

pub(super) async fn claims_at_once_have_one_order<S: GrainStore>(t: &Trial<'_, S>) -> Outcome {
    let last = epoch(RACERS.into());
    for round in 0..ROUNDS {
        let grain = t.grain(&format!("order-{round}"));
        let writes = RefCell::new(Vec::new());
        let note = |claim: (_, _), over, version| {
            let (grain, (epoch, writer)) = (grain.clone(), claim);
            writes.borrow_mut().push(Write { grain, epoch, writer, over, version });
        };
        // Each starts at another place in every round, and saves as soon as it has the grain.
        let racers = (0..RACERS).map(|n| {
            let (grain, note) = (&grain, &note);
            let claim = (epoch(u64::from((n * 5 + round as u8) % RACERS) + 1), writer(n));
            async move {
                let found = match t.claim(grain, claim.0, claim.1).await {
                    Ok(found) => found.map_or(0, |stored| stored.version),
                    Err(ClaimError::Superseded { by }) if by > claim.0 => return Ok(()),
                    Err(_) => {
                        return broken("a claim was to be taken, or superseded by a later one");
                    }
                };
                note(claim, None, found);
                match t.save(grain, claim, found, Some(Bytes::from("mine"))).await {
                    Ok(version) => note(claim, Some(found), version),
                    Err(SaveError::Fenced) if claim.0 < last => {}
                    Err(_) => return broken("the save of the last epoch was to be taken"),
                }
                Ok(())
            }
        });
        all_at_once(racers).await.into_iter().collect::<Outcome>()?;
        let writes = writes.into_inner();
        let faults = faults(&writes);
        ensure(faults.is_empty(), || faults.join("; "))?;
        ensure(writes.iter().any(|write| write.epoch == last), || {
            format!("epoch {last}, the last one, was to have the grain")
        })?;
        t.superseded(&grain, epoch(1), writer(99), last).await?;
    }
    Ok(())
}
