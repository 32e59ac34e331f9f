//! The kit for the tests of users, as they use it: one file per part of it.
//!
//! | file | asks |
//! | --- | --- |
//! | `network.rs` | does a line do what the test says, and nothing else? |
//! | `probe.rs` | what does a probe receive, answer and say when it is disappointed? |
//! | `simulation.rs` | does a seed repeat a run, and is it named when that fails? |
//! | `faulty_store.rs` | does a store fail as the test says, and tell what was written? |
//! | `solo.rs` | what can be seen of one actor alone? |
//! | `store.rs` | does the suite for stores find whatever breaks a promise? |

mod faulty_store;
mod network;
mod probe;
mod simulation;
mod solo;
mod store;

use std::time::Duration;

use rakt::prelude::*;

const MS: Duration = Duration::from_millis(1);

/// Adds to a counter, which replies with its sum.
#[derive(Clone, PartialEq, prost::Message, rakt::Message)]
#[rakt(name = "tests.Add", reply = u64)]
struct Add {
    #[prost(uint64, tag = "1")]
    n: u64,
}

#[derive(Default)]
struct Counter(u64);

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Add>();
    }
}

impl Handler<Add> for Counter {
    async fn handle(&mut self, Add { n }: Add, _: &mut Context<Self>) -> Result<u64> {
        self.0 += n;
        Ok(self.0)
    }
}

/// The text of a panic in the future.
async fn panic_of<F>(future: F) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let panic = tokio::spawn(future).await.expect_err("it panics").into_panic();
    *panic.downcast().expect("it says why")
}
