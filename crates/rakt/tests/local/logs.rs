//! What the log says of an actor, and of what its code logs.

use rakt::prelude::*;
use rakt::supervision::{Directive, Supervision};

use crate::support::lines::Lines;
use crate::support::within;

/// Logs, and fails if it is told so.
struct Talker;

struct Say {
    fails: bool,
}
rakt::messages! { Say }

impl Actor for Talker {
    async fn started(&mut self, _: &mut Context<Self>) -> Result {
        tracing::info!("it starts");
        Ok(())
    }

    async fn stopped(&mut self, _: &mut Context<Self>) -> Result {
        tracing::info!("it stops");
        Ok(())
    }
}

impl Handler<Say> for Talker {
    async fn handle(&mut self, Say { fails }: Say, _: &mut Context<Self>) -> Result {
        tracing::info!("before it waits");
        tokio::task::yield_now().await;
        tracing::info!("after it has waited");
        if fails { Err("of no use".into()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn what_the_code_of_an_actor_logs_is_under_a_span_of_the_actor() -> Result {
    let (lines, _guard) = Lines::capture();
    let system = crate::system().await;
    let talker = system.spawn("talker", || Talker).await?;
    within(talker.ask(Say { fails: false })).await?;
    within(talker.stop()).await?;
    tracing::info!("nobody of theirs");
    for text in ["it starts", "before it waits", "after it has waited", "it stops"] {
        let line = lines.only(text);
        assert!(line.contains("actor{path=talker type=\"local::logs::Talker\"}"), "{line}");
    }
    assert!(!lines.only("nobody of theirs").contains("actor{"));
    Ok(())
}

#[tokio::test]
async fn the_line_of_a_fault_names_message_decision_and_the_restarts_that_are_left() -> Result {
    let (lines, _guard) = Lines::capture();
    let system = crate::system().await;
    let window = std::time::Duration::from_secs(60);
    let policy = Supervision::always(Directive::Restart).max_restarts(5, window);
    let talker = system.spawn("talker", || Talker).supervision(policy).await?;
    within(talker.ask(Say { fails: true })).await.expect_err("it fails");
    within(talker.ask(Say { fails: false })).await?;
    let line = lines.only("an actor failed");
    for part in [
        "actor=talker",
        "message_type=\"local::logs::Say\"",
        "of no use",
        "Restart",
        "restarts_left=4",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    Ok(())
}
