//! What becomes of what a Go node has asked when the node shuts down?

use std::sync::Arc;
use std::time::Duration;

use rakt::prelude::*;
use rakt_wire::goakt::{Answer, ErrorCode as E};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::goakt::{Node, echoes, error};
use crate::messages::Echo;
use crate::support::within;

const SECOND: Duration = Duration::from_secs(1);

/// Has a task reply, after some time, and says when it was asked.
struct Later(Duration, Arc<Notify>);

impl Actor for Later {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>();
    }
}

impl Handler<Echo> for Later {
    async fn handle(&mut self, echo: Echo, ctx: &mut Context<Self>) -> Result<Echo> {
        let (later, deferred) = ctx.defer();
        self.1.notify_one();
        let after = self.0;
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            later.send(echo);
        });
        deferred
    }
}

/// A node that shuts down, while it owes a reply that is given after some time; and how long it takes.
async fn shut_down_owing(after: Duration) -> (Answer, Duration) {
    let node = Node::start().await;
    let is_asked = Arc::new(Notify::new());
    let told = is_asked.clone();
    let spawn = node.system.spawn("later", move || Later(after, told.clone()));
    spawn.await.expect("it starts");
    let mut peer = node.dial().await;
    let asking = tokio::spawn(async move {
        peer.send_ask(&[peer.echo("later", "?")], 60 * SECOND).await;
        let answer = peer.next().await.expect("it is answered");
        assert_eq!(peer.next().await, None, "then the connection is closed");
        answer
    });
    within(is_asked.notified()).await;
    let start = Instant::now();
    within(node.system.shutdown()).await;
    (within(asking).await.expect("it does not panic"), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_a_task_gives_within_two_seconds_arrives() {
    let (answer, took) = shut_down_owing(SECOND + SECOND / 2).await;
    assert_eq!(echoes(answer), ["?"]);
    assert!(took < 2 * SECOND, "nothing else is waited for: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_is_not_answered_by_then_is_refused() {
    let (answer, took) = shut_down_owing(30 * SECOND).await;
    let (code, text) = error(answer);
    assert_eq!((code, &*text), (E::InternalError, "remote send failed\nno reply"));
    assert!((2..4).contains(&took.as_secs()), "{took:?}");
}
