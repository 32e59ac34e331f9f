//! An evening in a chat room, in ten seconds.
//!
//! The room watches its members: whoever leaves, for whatever reason, is noticed. A timer is the
//! room's clock. Members live their own lives: one follows a script, one answers questions, one nods
//! off when nobody talks to it, and one does not survive the evening.
//!
//! `cargo run --example chat`

use std::collections::BTreeMap;
use std::time::Duration;

use rakt::StopReason;
use rakt::prelude::*;
use rakt::supervision::Directive;
use tokio::sync::mpsc;

const SECOND: Duration = Duration::from_secs(1);

// What one can say to a room.

/// Lets a member in; answers with the names of those who are there.
#[derive(Message)]
#[rakt(reply = Vec<String>)]
struct Join(ActorRef<Member>);
/// Says something to all others.
#[derive(Message)]
struct Say(String);
/// Strikes the hour.
#[derive(Message)]
struct Strike;

// What one can say to a member.

/// Somebody in the room said something.
#[derive(Clone, Message)]
struct Heard {
    name: String,
    text: String,
}
/// Time to say the next line of one's script.
#[derive(Message)]
struct Cue(&'static str);
/// Enters a room.
#[derive(Message)]
struct Enter(ActorRef<Room>);

/// Where everything that happens is written down.
type Screen = mpsc::UnboundedSender<String>;

struct Room {
    screen: Screen,
    members: BTreeMap<String, ActorRef<Member>>,
    hour: u32,
}

impl Room {
    fn show(&self, text: impl std::fmt::Display) -> Result {
        Ok(self.screen.send(format!("[{:02}:00] {text}", 18 + self.hour))?)
    }
}

impl Actor for Room {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.send_every(2 * SECOND, || Strike);
        self.show("-- the room opens --")
    }

    async fn terminated(&mut self, end: &Terminated, ctx: &mut Context<Self>) -> Result {
        let name = end.address.name();
        self.members.remove(name);
        match &end.reason {
            StopReason::Passivated => self.show(format_args!("* {name} has nodded off"))?,
            StopReason::Failed(why) => self.show(format_args!("* {name} is carried out: {why}"))?,
            _ => self.show(format_args!("* {name} goes home"))?,
        }
        if self.members.is_empty() {
            ctx.stop();
        }
        Ok(())
    }

    async fn stopped(&mut self, _: &mut Context<Self>) -> Result {
        self.show("-- the room closes --")
    }
}

impl Handler<Join> for Room {
    async fn handle(&mut self, Join(member): Join, ctx: &mut Context<Self>) -> Result<Vec<String>> {
        ctx.watch(&member);
        let name = member.address().name().to_owned();
        self.show(format_args!("* {name} comes in"))?;
        let present = self.members.keys().cloned().collect();
        self.members.insert(name, member);
        Ok(present)
    }
}

impl Handler<Say> for Room {
    async fn handle(&mut self, Say(text): Say, ctx: &mut Context<Self>) -> Result {
        let Some(sender) = ctx.sender() else { return Ok(()) };
        let name = sender.address().name().to_owned();
        self.show(format_args!("<{name}> {text}"))?;
        let heard = Heard { name, text };
        for (_, member) in self.members.iter().filter(|(name, _)| **name != heard.name) {
            // A member that does not listen misses it; the room waits for nobody.
            let _ = member.try_tell(heard.clone());
        }
        Ok(())
    }
}

impl Handler<Strike> for Room {
    async fn handle(&mut self, _: Strike, _: &mut Context<Self>) -> Result {
        self.hour += 1;
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Member {
    room: Option<ActorRef<Room>>,
    /// What it says, and when after it came in.
    script: &'static [(u64, &'static str)],
    /// What makes it answer, and the answer.
    answers: &'static [(&'static str, &'static str)],
    /// What it does not survive.
    allergy: Option<&'static str>,
}

impl Actor for Member {}

impl Member {
    async fn say(&self, text: impl Into<String>, ctx: &Context<Self>) -> Result {
        if let Some(room) = &self.room {
            ctx.tell(room, Say(text.into())).await?;
        }
        Ok(())
    }
}

impl Handler<Enter> for Member {
    async fn handle(&mut self, Enter(room): Enter, ctx: &mut Context<Self>) -> Result {
        let present = ctx.ask(&room, Join(ctx.me())).await?;
        self.room = Some(room);
        match present.as_slice() {
            [] => self.say("nobody here yet?", ctx).await?,
            names => self.say(format!("good evening, {}!", names.join(" and ")), ctx).await?,
        }
        for (at, line) in self.script {
            ctx.send_after(Duration::from_millis(*at), Cue(line));
        }
        Ok(())
    }
}

impl Handler<Cue> for Member {
    async fn handle(&mut self, Cue(line): Cue, ctx: &mut Context<Self>) -> Result {
        match line {
            "/leave" => {
                ctx.stop();
                Ok(())
            }
            line => self.say(line, ctx).await,
        }
    }
}

impl Handler<Heard> for Member {
    async fn handle(&mut self, heard: Heard, ctx: &mut Context<Self>) -> Result {
        if let Some(allergy) = self.allergy.filter(|word| heard.text.contains(word)) {
            return Err(format!("{} mentioned {allergy}", heard.name).into());
        }
        if let Some((_, answer)) = self.answers.iter().find(|(word, _)| heard.text.contains(word)) {
            self.say(format!("{}: {answer}", heard.name), ctx).await?;
        }
        Ok(())
    }
}

const ANN: Member = Member {
    room: None,
    script: &[
        (2_500, "does anybody know a good actor library?"),
        (4_500, "and what if one of them panics?"),
        (6_500, "I brought peanuts!"),
        (8_500, "/leave"),
    ],
    answers: &[],
    allergy: None,
};

const BOB: Member = Member {
    answers: &[
        ("library", "rakt, but I may be biased"),
        ("panics", "supervision decides, the process goes on"),
    ],
    script: &[(9_500, "so quiet now…"), (10_500, "/leave")],
    room: None,
    allergy: None,
};

const PIT: Member = Member { allergy: Some("peanuts"), room: None, script: &[], answers: &[] };

/// Runs the evening, writes it to `screen`, and ends when the room has closed.
async fn evening(screen: Screen) -> Result {
    let system = ActorSystem::builder("chat").start().await?;
    let mut events = system.events();
    let factory = move || Room { screen: screen.clone(), members: BTreeMap::new(), hour: 0 };
    let room = system.spawn("room", factory).await?;
    let stop = || Supervision::always(Directive::Stop);
    for (name, member) in [("ann", ANN), ("bob", BOB), ("pit", PIT)] {
        let member = system.spawn(name, move || member.clone()).supervision(stop()).await?;
        member.ask(Enter(room.clone())).await?;
    }
    // Zoe only listens, and needs somebody to listen to.
    let zoe = system.spawn("zoe", Member::default).passivate_after(SECOND * 11 / 4).await?;
    zoe.ask(Enter(room)).await?;

    let closed = |event| match event {
        rakt::Event::ActorStopped { path, .. } if path == "room" => Some(()),
        _ => None,
    };
    events.find(closed).await;
    system.shutdown().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    let (screen, mut lines) = mpsc::unbounded_channel();
    let evening = tokio::spawn(evening(screen));
    while let Some(line) = lines.recv().await {
        println!("{line}");
    }
    evening.await?
}

#[test]
fn runs() -> Result {
    // On a clock that jumps to the next thing to happen, the evening is over at once.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let (screen, mut lines) = mpsc::unbounded_channel();
    runtime.block_on(evening(screen))?;
    let mut shown = Vec::new();
    while let Ok(line) = lines.try_recv() {
        shown.push(line);
    }
    let expected = "\
[18:00] -- the room opens --
[18:00] * ann comes in
[18:00] <ann> nobody here yet?
[18:00] * bob comes in
[18:00] <bob> good evening, ann!
[18:00] * pit comes in
[18:00] <pit> good evening, ann and bob!
[18:00] * zoe comes in
[18:00] <zoe> good evening, ann and bob and pit!
[19:00] <ann> does anybody know a good actor library?
[19:00] <bob> ann: rakt, but I may be biased
[20:00] <ann> and what if one of them panics?
[20:00] <bob> ann: supervision decides, the process goes on
[21:00] <ann> I brought peanuts!
[21:00] * pit is carried out: ann mentioned peanuts
[22:00] * ann goes home
[22:00] * zoe has nodded off
[22:00] <bob> so quiet now…
[23:00] * bob goes home
[23:00] -- the room closes --
";
    assert_eq!(shown.join("\n"), expected.trim_end());
    Ok(())
}
