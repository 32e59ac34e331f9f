//! Nodes over TCP, and what is waited for at them.

use rakt::error::Chain;
use rakt::prelude::*;
use rakt::{DeadLetter, Event, Events};

use crate::support::{event, within};

/// Options for a node on a free port of this machine.
pub(crate) fn config() -> remote::Config {
    remote::Config::new("127.0.0.1", 0)
}

/// The same, of a node whose peers may also stop what they have not spawned.
#[allow(dead_code, reason = "not every test program needs it")]
pub(crate) fn open() -> remote::Config {
    config().policy(remote::Policy::open())
}

pub(crate) async fn node(name: &str) -> ActorSystem {
    node_with(name, config()).await
}

pub(crate) async fn node_with(name: &str, config: remote::Config) -> ActorSystem {
    ActorSystem::builder(name).remoting(config).start().await.expect("a node starts")
}

/// A reference, held on the node `from`, to this life of an actor of the node `on`.
pub(crate) async fn remote<A: rakt::ActorType>(
    from: &ActorSystem,
    on: &ActorSystem,
    name: &str,
) -> ActorRef<A> {
    let (host, port) = on.advertised();
    let found = within(from.node(host, port).lookup::<A>(name)).await.expect("the node answers");
    found.expect("the actor is there")
}

/// The next dead letter of a system or client.
pub(crate) async fn dead_letter(events: &mut Events) -> DeadLetter {
    event(events, |event| match event {
        Event::DeadLetter(letter) => Some(letter),
        _ => None,
    })
    .await
}

/// The reason of the next link that goes down.
pub(crate) async fn link_down(events: &mut Events) -> String {
    event(events, |event| match event {
        Event::LinkDown { reason, .. } => Some(Chain(&reason).to_string()),
        _ => None,
    })
    .await
}
