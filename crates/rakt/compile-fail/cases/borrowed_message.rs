//! A message that is borrowed, and one that borrows.
use rakt::prelude::*;

#[derive(Message)]
struct Word;

#[derive(Message)]
struct Phrase<'a>(&'a str);

async fn talk(to: ActorRef) {
    let _ = to.tell(&Word).await;
}

fn main() {}
