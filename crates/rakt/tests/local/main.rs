//! Actors of one process: one file per capability.
//!
//! | file | asks |
//! | --- | --- |
//! | `anonymous.rs` | what is an actor called that got no name? |
//! | `beside.rs` | do futures and streams beside an actor come back to it, and end with it? |
//! | `destructors.rs` | what if a value of the user panics when it is dropped or shown? |
//! | `events.rs` | what does a subscriber learn of a system? |
//! | `inside.rs` | what if an actor's own code waits for the actor? |
//! | `lifecycle.rs` | how does an actor start and stop, and what may it be called? |
//! | `logs.rs` | what does the log say of an actor, and of what its code logs? |
//! | `mailbox.rs` | what happens at the bound of a mailbox? |
//! | `messages.rs` | what can be declared as a message, and how? |
//! | `outcomes.rs` | does every message end once, on several threads? |
//! | `passivation.rs` | when does an actor go idle, and what keeps it? |
//! | `propagate.rs` | does context travel with messages? |
//! | `reasons.rs` | does an actor know why it starts and stops? |
//! | `recipient.rs` | can actors of several types be referred to by what they take? |
//! | `routing.rs` | who gets a message that is sent to a router or a pool? |
//! | `runtimes.rs` | what if a runtime lacks something, or there is none? |
//! | `shutdown.rs` | how does a whole system end? |
//! | `stash_forward_defer.rs` | can a message be handled later, elsewhere, or by a task? |
//! | `stuck.rs` | who hears of a handler that does not come to its end? |
//! | `supervision.rs` | what happens when an actor fails? |
//! | `tell_ask.rs` | how are the variants of `tell` and `ask` answered? |
//! | `timers.rs` | can an actor send itself a message later? |
//! | `timing.rs` | does every wait end at its limit? |
//! | `topic.rs` | who hears what is published? |
//! | `watch.rs` | who hears of the end of an actor? |

#[path = "../support/mod.rs"]
mod support;

mod anonymous;
mod beside;
mod destructors;
mod events;
mod inside;
mod lifecycle;
mod logs;
mod mailbox;
mod messages;
mod outcomes;
mod passivation;
mod propagate;
mod reasons;
mod recipient;
mod routing;
mod runtimes;
mod shutdown;
mod stash_forward_defer;
mod stuck;
mod supervision;
mod tell_ask;
mod timers;
mod timing;
mod topic;
mod watch;

use rakt::prelude::*;

async fn system() -> ActorSystem {
    ActorSystem::builder("tests").start().await.expect("a system starts")
}

/// Waits until nothing is left in the mailbox, for tests where a question would find it full.
async fn drained<A>(actor: &ActorRef<A>) {
    support::within(async {
        while actor.queue_len() != Some(0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
