//! A handler that replies with another type than the message says.
use rakt::prelude::*;

#[derive(Message)]
#[rakt(reply = u64)]
struct Count;

struct Counter;

impl Actor for Counter {}

impl Handler<Count> for Counter {
    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Result<u32> {
        Ok(1)
    }
}

fn main() {}
