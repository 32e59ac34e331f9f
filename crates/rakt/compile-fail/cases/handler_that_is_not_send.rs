//! A handler that holds what is not `Send` over an await.
use std::rc::Rc;

use rakt::prelude::*;

#[derive(Message)]
struct Word;

struct Listener;

impl Actor for Listener {}

impl Handler<Word> for Listener {
    async fn handle(&mut self, _: Word, _: &mut Context<Self>) -> Result {
        let shared = Rc::new(1);
        std::future::ready(()).await;
        drop(shared);
        Ok(())
    }
}

fn main() {}
