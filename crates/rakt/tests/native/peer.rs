//! What a handler knows of the peer that a message came from.

use rakt::prelude::*;
use rakt::topic::Topic;
use tokio::sync::mpsc;

use crate::memory::Memory;
use crate::nodes::{config, node_with, remote};
use crate::support::within;

/// What is done with it is written in it.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.peer.Note")]
struct Note {
    #[prost(string, tag = "1")]
    text: String,
}

/// A question that is answered with the peer.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.peer.Who", reply = String)]
struct Who {
    #[prost(bool, tag = "1")]
    is_passed_on: bool,
}

fn note(text: &str) -> Note {
    Note { text: text.to_owned() }
}

type Seen = (String, Option<String>);

fn peer<A: Send + 'static>(ctx: &Context<A>) -> Option<String> {
    ctx.peer().map(|peer| format!("{} at {}", peer.identity(), peer.from()))
}

/// Notes of each message which peer it came from.
struct Clerk {
    seen: mpsc::UnboundedSender<Seen>,
    /// Somebody who sees what this one passes on.
    next: Option<ActorRef<Clerk>>,
    is_open: bool,
}

impl Actor for Clerk {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Note>().remote::<Who>();
    }
}

impl Handler<Note> for Clerk {
    async fn handle(&mut self, note: Note, ctx: &mut Context<Self>) -> Result {
        match &*note.text {
            "later" if !self.is_open => return ctx.stash(note),
            "open" => {
                self.is_open = true;
                ctx.unstash_all();
            }
            "on" => {
                if let Some(next) = self.next.clone() {
                    return ctx.forward(&next, note).await;
                }
            }
            "own" => {
                let next = self.next.clone().ok_or("nobody is next")?;
                ctx.tell(&next, Note { text: "sent".to_owned() }).await?;
            }
            _ => {}
        }
        Ok(self.seen.send((note.text, peer(ctx)))?)
    }
}

impl Handler<Who> for Clerk {
    async fn handle(&mut self, who: Who, ctx: &mut Context<Self>) -> Result<String> {
        match self.next.clone() {
            Some(next) if who.is_passed_on => ctx.forward(&next, who).await,
            _ => {
                let (later, deferred) = ctx.defer();
                later.send(peer(ctx).unwrap_or_default());
                deferred
            }
        }
    }
}

struct Scene {
    here: ActorSystem,
    there: ActorSystem,
    first: ActorRef<Clerk>,
    seen: mpsc::UnboundedReceiver<Seen>,
}

async fn scene() -> Scene {
    let network = Memory::default();
    let here = node_with("here", config().transport(network.clone())).await;
    let there = node_with("there", config().transport(network)).await;
    let (tell, seen) = mpsc::unbounded_channel();
    let clerk = |next: Option<ActorRef<Clerk>>| {
        let tell = tell.clone();
        move || Clerk { seen: tell.clone(), next: next.clone(), is_open: false }
    };
    let second = there.spawn("second", clerk(None)).await.expect("it starts");
    there.spawn("first", clerk(Some(second))).await.expect("it starts");
    let first = remote(&here, &there, "first").await;
    Scene { here, there, first, seen }
}

impl Scene {
    /// The actor that a peer has a reference to, from within its own process.
    fn own(&self) -> ActorRef<Clerk> {
        self.there.find("first").and_then(|first| first.typed()).expect("it is there")
    }

    async fn seen(&mut self, text: &str) -> Option<String> {
        let (seen, peer) = within(self.seen.recv()).await.expect("the actor is there");
        assert_eq!(seen, text);
        peer
    }
}

const PEER: Option<&str> = Some("address:memory at memory");

#[tokio::test]
async fn a_message_of_a_peer_has_that_peer_and_one_of_this_process_none() -> Result {
    let mut scene = scene().await;
    let own = scene.own();
    for _ in 0..3 {
        within(scene.first.tell(note("a")).confirmed()).await?;
        assert_eq!(scene.seen("a").await.as_deref(), PEER);
        own.tell(note("b")).await?;
        assert_eq!(scene.seen("b").await, None);
    }
    // Many at once, of both.
    for _ in 0..100 {
        scene.first.tell(note("a")).await?;
        own.tell(note("b")).await?;
    }
    for _ in 0..200 {
        let (text, peer) = within(scene.seen.recv()).await.expect("the actor is there");
        assert_eq!(peer.as_deref(), if text == "a" { PEER } else { None });
    }
    assert_eq!(within(own.ask(Who::default())).await?, "");
    assert_eq!(Some(&*within(scene.first.ask(Who::default())).await?), PEER);
    Ok(())
}

#[tokio::test]
async fn a_stashed_message_comes_back_with_its_peer_and_lends_it_to_no_other() -> Result {
    let mut scene = scene().await;
    let own = scene.own();
    within(scene.first.tell(note("later")).confirmed()).await?;
    // The own one, behind it, opens the stash.
    own.tell(note("later")).await?;
    own.tell(note("open")).await?;
    assert_eq!(scene.seen("open").await, None);
    assert_eq!(scene.seen("later").await.as_deref(), PEER);
    assert_eq!(scene.seen("later").await, None);
    Ok(())
}

#[tokio::test]
async fn what_is_passed_on_keeps_its_peer_and_what_is_sent_anew_does_not() -> Result {
    let mut scene = scene().await;
    let own = scene.own();
    scene.first.tell(note("on")).await?;
    assert_eq!(scene.seen("on").await.as_deref(), PEER);
    own.tell(note("on")).await?;
    assert_eq!(scene.seen("on").await, None);
    let who = || Who { is_passed_on: true };
    assert_eq!(Some(&*within(scene.first.ask(who())).await?), PEER);
    assert_eq!(within(own.ask(who())).await?, "");
    // A message of its own.
    scene.first.tell(note("own")).await?;
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(within(scene.seen.recv()).await.ok_or("the actor is there")?);
    }
    seen.sort();
    assert_eq!(seen, [("own".to_owned(), PEER.map(str::to_owned)), ("sent".to_owned(), None)]);
    Ok(())
}

#[tokio::test]
async fn what_is_published_keeps_its_peer() -> Result {
    let mut scene = scene().await;
    scene.there.spawn("topic", Topic::<Note>::new).await?;
    let topic: ActorRef<Topic<Note>> = remote(&scene.here, &scene.there, "topic").await;
    let own = scene.there.find("topic").and_then(|topic| topic.typed::<Topic<Note>>());
    let own = own.ok_or("it is there")?;
    own.subscribe(&scene.own()).await?;
    within(topic.tell(note("a")).confirmed()).await?;
    assert_eq!(scene.seen("a").await.as_deref(), PEER);
    own.tell(note("b")).await?;
    assert_eq!(scene.seen("b").await, None);
    Ok(())
}
