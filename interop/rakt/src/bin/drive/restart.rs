//! Goes on asking while somebody else restarts the node with the same port and name.
//!
//! Prints `sending` when it wants the node to be stopped, `outage` when it has noticed, and `recovered`
//! when the node answers again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use interop::messages::text;
use rakt::Result;
use rakt::prelude::*;
use tokio::task::JoinSet;

use crate::load::{Fault, Outcomes};
use crate::report::{Check, checking};
use crate::target::Target;

const WORKERS: u64 = 8;
/// An outage is that many failures without an answer between them.
const OUTAGE_FAILURES: u64 = WORKERS / 2;
/// Its end is that many answers without a failure.
const OUTAGE_ANSWERS: u64 = 500;
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a worker rests after a failure, so that an outage does not keep the machine busy.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "restart under load",
    run: |x| checking(run(x)),
    timeout: Duration::from_secs(300),
}];

async fn run(x: &Target) -> Result {
    let outcomes = Arc::new(Outcomes::default());
    let mut running = JoinSet::new();
    for number in 0..WORKERS {
        let name = x.unique(&format!("restart-{number}"));
        running.spawn(keep_asking(x.actor("echo"), name, outcomes.clone()));
    }
    let watched = watch(x, &outcomes).await;
    drop(running);
    println!("# {outcomes}");
    watched?;
    outcomes.wrong_replies()
}

async fn watch(x: &Target, outcomes: &Outcomes) -> Result {
    let answers = || outcomes.answered_in_a_row.load(Ordering::Relaxed) >= OUTAGE_ANSWERS;
    let failures = || outcomes.failed_in_a_row.load(Ordering::Relaxed) >= OUTAGE_FAILURES;
    let phases: [(_, &(dyn Fn() -> bool + Sync)); 3] =
        [("sending", &answers), ("outage", &failures), ("recovered", &answers)];
    for (phase, is_reached) in phases {
        let reached = async {
            while !is_reached() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let within = x.restart_within;
        let reached = tokio::time::timeout(within, reached).await;
        reached.map_err(|_| format!("not {phase} within {within:?}"))?;
        println!("{phase}");
    }
    Ok(())
}

async fn keep_asking(echo: ActorRef, name: String, outcomes: Arc<Outcomes>) {
    for number in 0_u64.. {
        let message = text(format!("{name}/{number}"));
        let outcome = match echo.ask(message.clone()).timeout(TIMEOUT).await {
            Ok(reply) if reply == message => Ok(()),
            Ok(reply) => Err(Fault::WrongReply(format!("{message:?} came back as {reply:?}"))),
            Err(error) => Err(error.into()),
        };
        let has_failed = outcome.is_err();
        outcomes.add(outcome);
        if has_failed {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
