//! Native asks, while a Go client tells a slow actor of the same node more than there is room for.

use std::time::{Duration, Instant};

use interop::{host, messages};
use rakt::prelude::*;

use crate::report::{Check, checks};
use crate::target::{ASK_TIMEOUT, expect};

/// How long that goes on.
const DURATION: Duration = Duration::from_secs(4);

pub(crate) const CHECKS: &[Check] = checks! {
    "native asks beside what holds back Go clients" => |x| {
        // Not the one that speaks GoAkt with the node.
        let system = ActorSystem::builder("beside").remoting(remote::Config::new(host::ADDRESS, 0)).start().await?;
        let node = system.node(host::ADDRESS, x.port);
        let echo = node.lookup::<AnyActor>("echo").await?.ok_or("no echo")?;
        let (start, mut asked) = (Instant::now(), 0_u64);
        while start.elapsed() < DURATION {
            let message = messages::text(asked.to_string());
            expect(echo.ask(message.clone()).timeout(ASK_TIMEOUT).await?, message)?;
            asked += 1;
        }
        println!("# {asked} asks");
        system.shutdown().await;
        Ok(())
    };
};
