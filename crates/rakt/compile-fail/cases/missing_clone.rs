//! One message for many turns, which is cloned for each.
use std::time::Duration;

use rakt::prelude::*;

#[derive(Message)]
struct Word;

struct Listener;

impl Actor for Listener {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        let word = Word;
        ctx.send_every(Duration::from_secs(1), move || word.clone());
        Ok(())
    }
}

impl Handler<Word> for Listener {
    async fn handle(&mut self, _: Word, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

fn main() {}
