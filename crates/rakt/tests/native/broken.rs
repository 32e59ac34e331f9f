//! What was sent before a connection broke counts, and what cannot be sent any more ends soon.

use std::time::Duration;

use rakt::Event;
use rakt::error::Chain;
use rakt::prelude::*;
use tokio::time::Instant;

use crate::breaking::Breaking;
use crate::memory::Memory;
use crate::nodes::{config, node_with};
use crate::probe::{Hold, Probe, blob};
use crate::support::{event, within};

/// More than a greeting and a small message take, and less than [`blob`] is made to.
const TAKES: usize = 64 * 1024;

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_a_write_has_failed_is_one() -> Result {
    let memory = Memory::default();
    let there = node_with("there", config().transport(memory.clone())).await;
    let breaking = Breaking { memory, takes: TAKES };
    let here = node_with("here", config().transport(breaking)).await;
    let (_probe, seen) = Probe::spawn(&there, "probe").await;
    let (host, port) = there.advertised();
    let far = here.actor(&format!("rakt://there@{host}:{port}/probe").parse()?);
    let mut events = here.events();
    let asker = far.clone();
    let asked = tokio::spawn(async move { asker.ask(Hold {}).await });
    seen.gate.entered().await;
    far.tell(blob(2 * TAKES)).await?;
    let start = Instant::now();
    // On this clock time passes only when all have done what they can: the write has failed.
    tokio::time::sleep(Duration::from_millis(500)).await;
    seen.gate.open();
    within(asked).await??;
    let (why, unconfirmed) = event(&mut events, |event| match event {
        Event::LinkDown { reason, unconfirmed, .. } => {
            Some((Chain(&reason).to_string(), unconfirmed))
        }
        _ => None,
    })
    .await;
    assert_eq!(
        (why.as_str(), unconfirmed),
        ("write: broken pipe", 1),
        "of the blob nothing is known"
    );
    // A second, in which the peer could have said more.
    assert_eq!(start.elapsed().as_millis() / 10, 100);
    Ok(())
}
