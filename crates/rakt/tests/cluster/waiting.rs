//! What is sent to a grain while its node has no lease waits for that, as long as its time limit lets it.

use std::time::Duration;

use rakt::prelude::*;

use crate::nodes::{Add, Common, Counter, Where};
use crate::readiness::{node, until_not_ready};
use crate::support::lines::Lines;
use crate::support::{begun, within};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_lease_goes_on_with_it() -> Result {
    let (alone, register) = node(&Common::default(), 0).await?;
    let (lives, new) = (alone.grain::<Counter>("lives"), alone.grain::<Counter>("new"));
    assert_eq!(within(lives.ask(Add { n: 1 })).await?, 1);
    register.set_down(true);
    until_not_ready(&alone).await;
    for grain in [&lives, &new] {
        let refused = grain.try_tell(Add { n: 100 }).expect_err("it waits for nothing");
        assert!(
            matches!(refused.refusal, Refusal::Fenced | Refusal::Unreachable { .. }),
            "{refused}"
        );
        let asked = within(grain.ask(Add { n: 100 }).timeout(Duration::from_millis(50))).await;
        let asked = asked.expect_err("it waits no longer");
        assert_eq!(asked.refusal(), Some(&Refusal::Fenced), "{asked:?}");
        assert!(matches!(asked, AskError::NotSent { .. }), "nobody has it: {asked:?}");
    }
    let mut waits = Vec::new();
    for grain in [&lives, &new] {
        let told = begun(grain.tell(Add { n: 1 }).timeout(HOUR).confirmed().into_future()).await;
        let asked = begun(grain.ask(Where {}).timeout(HOUR).into_future()).await;
        waits.push((told, asked));
    }
    register.set_down(false);
    for (told, asked) in waits {
        within(told).await?;
        assert_eq!(within(asked).await?, 0);
    }
    assert_eq!(within(lives.ask(Add { n: 0 })).await?, 2, "each once");
    assert_eq!(within(new.ask(Add { n: 0 })).await?, 1);
    // Who shuts down waits for no lease.
    register.set_down(true);
    until_not_ready(&alone).await;
    let asked = begun(lives.ask(Where {}).timeout(HOUR).into_future()).await;
    let (asked, _) = tokio::join!(within(asked), within(alone.shutdown()));
    assert!(asked.is_err_and(|error| error.is_safe_to_retry()));
    Ok(())
}

#[tokio::test]
async fn the_log_says_once_when_a_lease_is_over_and_when_it_is_back() -> Result {
    let (lines, _guard) = Lines::capture();
    let (alone, register) = node(&Common::default(), 0).await?;
    let is_told = async |text: &str| {
        within(async {
            while !lines.all().iter().any(|line| line.contains(text)) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    register.set_down(true);
    is_told("the lease of this node is over").await;
    register.set_down(false);
    is_told("this node has a lease again").await;
    within(alone.shutdown()).await;
    lines.only("the lease of this node is over");
    assert!(lines.only("this node has a lease again").contains("after="));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_lease_goes_to_where_the_grain_lives_by_then() -> Result {
    let common = Common::default();
    let ((cut, register), (stays, _)) = (node(&common, 0).await?, node(&common, 1).await?);
    let mut keys = (0..).map(|key: u32| cut.grain::<Counter>(key.to_string()));
    let grain = loop {
        let grain = keys.next().ok_or("there are more")?;
        if within(grain.ask(Where {})).await? == 0 {
            break grain;
        }
    };
    register.set_down(true);
    until_not_ready(&cut).await;
    let asked = begun(grain.ask(Where {}).timeout(HOUR).into_future()).await;
    let there = stays.grain::<Counter>(grain.key());
    within(async {
        while !matches!(there.ask(Where {}).await, Ok(1)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    register.set_down(false);
    assert_eq!(within(asked).await?, 1);
    for node in [cut, stays] {
        within(node.shutdown()).await;
    }
    Ok(())
}
