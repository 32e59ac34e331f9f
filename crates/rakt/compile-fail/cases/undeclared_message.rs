//! A type that nobody declared, sent to whoever it may be.
use rakt::prelude::*;

struct Word;

async fn talk(to: ActorRef) {
    let _ = to.tell(Word).await;
}

fn main() {}
