//! Messages that the actor has no handler for: it has none at all, or one for another message.
use rakt::prelude::*;

#[derive(Message)]
struct Word;

#[derive(Message)]
struct Sign;

struct Deaf;

impl Actor for Deaf {}

struct Listener;

impl Actor for Listener {}

impl Handler<Word> for Listener {
    async fn handle(&mut self, _: Word, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

async fn talk(deaf: ActorRef<Deaf>, listener: ActorRef<Listener>) {
    let _ = deaf.tell(Word).await;
    let _ = listener.tell(Sign).await;
}

fn main() {}
