//! Go nodes that go away in the middle of something, or that were never understood: started from here.

use std::time::Duration;

use interop::messages::{Delay, text};
use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Compression, GoAkt};
use rakt::{Event, Result};

use crate::go_node::GoNode;
use crate::report::{Check, checks};
use crate::target::{ASK_TIMEOUT, SHORT_TIMEOUT, Target, error_of, expect};

/// Longer than anybody here waits.
const LONG: Duration = Duration::from_secs(60);

pub(crate) const CHECKS: &[Check] = checks! {
    "a node that is killed mid-request" => |x| killed(x).await;
    "a node that is stopped mid-request" => |x| stopped(x).await;
    "another compression is diagnosed by name" => |x| {
        for theirs in Compression::ALL {
            let node = GoNode::start(x, theirs, &[]).await?;
            for ours in Compression::ALL {
                compressions(&node, ours, theirs).await?;
            }
        }
        Ok(())
    };
    "a port where nobody listens" => |x| {
        let mut node = GoNode::start(x, x.compression, &[]).await?;
        node.process.kill().await?;
        let error = error_of(x.system.ask(&node.address("echo"), text("")).await)?;
        let is_unreachable = matches!(error.refusal(), Some(Refusal::Unreachable { .. }));
        expect((error.is_safe_to_retry(), is_unreachable), (true, true))
    };
};

/// Has the slow actor of a node work on a request that does not end, and returns what asks for it.
async fn occupy(x: &Target, node: &GoNode) -> Result<tokio::task::JoinHandle<AskError<Delay>>> {
    let slow = x.system.actor(&node.address("slow"));
    let (asked, millis) = (slow.clone(), LONG.as_millis() as u32);
    let asking = tokio::spawn(async move {
        let ask = asked.ask(Delay { millis, ..Default::default() }).timeout(LONG);
        ask.await.expect_err("it takes longer than anybody waits")
    });
    // It is at work once it has no time for anything else.
    while slow.ask(Delay::default()).timeout(SHORT_TIMEOUT).await.is_ok() {}
    Ok(asking)
}

async fn killed(x: &Target) -> Result {
    let mut node = GoNode::start(x, x.compression, &[]).await?;
    let asking = occupy(x, &node).await?;
    node.process.kill().await?;
    match tokio::time::timeout(ASK_TIMEOUT, asking).await?? {
        error @ AskError::ConnectionLost { .. } => expect(error.is_safe_to_retry(), false)?,
        error => return Err(Chain(&error).to_string().into()),
    }
    // What is told now becomes a dead letter, and says so.
    let (mut events, echo) = (x.system.events(), x.system.actor(&node.address("echo")));
    let told = match echo.tell(text("")).await {
        Err(error) => error.refusal,
        Ok(()) => {
            let letter = events.find(|event| match event {
                Event::DeadLetter(letter) if letter.target == echo.address().into() => Some(letter),
                _ => None,
            });
            tokio::time::timeout(LONG, letter).await?.ok_or("no more events")?.reason
        }
    };
    expect(matches!(told, Refusal::Unreachable { .. }), true)
}

/// A Go node that is told to stop ends its actors first, however long that takes, and may answer with an
/// error. Which one is its own affair, but the ask ends.
async fn stopped(x: &Target) -> Result {
    let mut node = GoNode::start(x, x.compression, &[]).await?;
    let asking = occupy(x, &node).await?;
    drop(node.process.stdin.take());
    let error = tokio::time::timeout(LONG / 2, asking).await??;
    println!("# stopped mid-request: {}", Chain(&error).to_string().replace('\n', " / "));
    expect(error.is_safe_to_retry(), false)
}

async fn compressions(node: &GoNode, ours: Compression, theirs: Compression) -> Result {
    let options = GoAkt::new().compression(ours);
    let client = Client::new("client", ClientConfig::new().goakt(options))?;
    let asked = client.ask(&node.address("echo"), text("understood?")).timeout(ASK_TIMEOUT).await;
    client.close().await;
    if ours == theirs {
        return expect(asked?, text("understood?"));
    }
    let error = error_of(asked).map_err(|_| format!("{ours} is understood by {theirs}"))?;
    let error = Chain(&error).to_string();
    match error.contains("compression") || error.contains("both must be set alike") {
        true => Ok(()),
        false => Err(format!("{ours} to {theirs}: {error}").into()),
    }
}
