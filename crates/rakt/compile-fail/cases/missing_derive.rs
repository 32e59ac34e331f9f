//! A handler for a type that is no message yet.
use rakt::prelude::*;

struct Word;

struct Listener;

impl Actor for Listener {}

impl Handler<Word> for Listener {
    async fn handle(&mut self, _: Word, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

fn main() {}
