//! In whose name a peer may send.

use rakt::Event;
use rakt::prelude::*;
use rakt::remote::{Policy, Role, Verb};
use rakt_wire::native::{Head, Hello, MessageKind, Payload};
use rakt_wire::{Code, Failure, Operation};
use tokio::sync::mpsc;

use crate::hostile::{Answer, ECHO, Raw, encoded, hello};
use crate::messages::Echo;
use crate::nodes::config;
use crate::support::{event, within};

const PEER: &str = "address:127.0.0.1";
/// Where the peer says that it is.
const OWN: &str = "rakt://mallory@10.9.9.9:3321/clerk";
const OTHERS: [&str; 5] = [
    "rakt://ops@10.9.9.8:3321/boss",
    "rakt://mallory@10.9.9.8:3321/clerk",
    "rakt://mallory@10.9.9.9:3322/clerk",
    "rakt://ops@10.9.9.9:3321/clerk",
    "rakt://victim@127.0.0.1:1/target",
];

/// What it saw: the sender of a message and the peer.
type Seen = (Option<String>, Option<String>);

struct Target(mpsc::UnboundedSender<Seen>);

impl Actor for Target {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>();
    }
}

impl Handler<Echo> for Target {
    async fn handle(&mut self, echo: Echo, ctx: &mut Context<Self>) -> Result<Echo> {
        let peer = ctx.peer().map(|peer| peer.identity().to_string());
        self.0.send((ctx.sender().map(ToString::to_string), peer))?;
        Ok(echo)
    }
}

struct Scene {
    system: ActorSystem,
    raw: Raw,
    seen: mpsc::UnboundedReceiver<Seen>,
}

async fn scene(policy: Policy, hello: Hello) -> Scene {
    let system = ActorSystem::builder("victim").remoting(config().policy(policy)).start();
    let system = system.await.expect("it starts");
    let (tell, seen) = mpsc::unbounded_channel();
    system.spawn("target", move || Target(tell.clone())).await.expect("it starts");
    let raw = Raw::dial(system.advertised().1, hello).await.expect("it is taken");
    Scene { system, raw, seen }
}

fn advertised() -> Hello {
    let mut hello = hello();
    hello.advertised = Some(("10.9.9.9".to_owned(), 3321));
    hello
}

fn clerks() -> Role {
    Role::new().may([Verb::Tell, Verb::Ask], "target")
}

fn only(role: Role) -> Policy {
    Policy::new().role("some", role).grant("address:**", "some")
}

impl Scene {
    /// Sends a message in the name of somebody; returns why it is refused.
    async fn send(&mut self, verb: Verb, sender: Option<&str>) -> Option<Failure> {
        let body = encoded(&Echo { text: "hello".to_owned() });
        let out = &mut self.raw.out;
        let kind = match verb {
            Verb::Tell => MessageKind::Confirm { corr: 1 },
            _ => MessageKind::Ask { corr: 1 },
        };
        let receiver = out.receiver("target", None).id;
        let sender = sender.map(|sender| out.sender(sender).id);
        let type_id = out.message_type(ECHO).id;
        let head = Head { receiver, sender, type_id, remaining: None, metadata: None };
        out.message(kind, &head, Payload::Ready { bytes: body.into(), raw_len: None })
            .expect("it can be sent");
        self.raw.flush().await;
        match within(self.raw.answer_to(1)).await {
            Answer::Fail(failure) => Some(failure),
            _ => None,
        }
    }
}

fn denial(verb: Verb, sender: &str) -> Failure {
    let told = if verb == Verb::Tell { "told" } else { "asked" };
    let text =
        format!("\"target\" may not be {told} \"tests.Echo\" by {PEER} in the name of {sender}");
    Failure::with_detail(Code::Denied, text)
}

#[tokio::test]
async fn a_sender_is_what_the_peer_says_and_the_peer_is_who_it_is() {
    let mut scene = scene(Policy::exposed(), advertised()).await;
    for sender in OTHERS.into_iter().chain([OWN]) {
        assert_eq!(scene.send(Verb::Tell, Some(sender)).await, None);
        let (said, peer) = within(scene.seen.recv()).await.expect("it was told");
        // One of this very node is shown as it is here.
        assert!(said.is_some(), "{sender}");
        assert_eq!(peer.as_deref(), Some(PEER), "{said:?}");
    }
}

#[tokio::test]
async fn a_role_may_allow_messages_of_own_senders_alone() {
    let mut scene = scene(only(clerks().own_senders_only()), advertised()).await;
    let mut events = scene.system.events();
    for verb in [Verb::Tell, Verb::Ask] {
        for _ in 0..2 {
            for sender in OTHERS {
                assert_eq!(scene.send(verb, Some(sender)).await, Some(denial(verb, sender)));
                let denied = event(&mut events, |event| match event {
                    Event::Denied { verb, path, what, .. } => Some((verb, path, what)),
                    _ => None,
                });
                assert_eq!(denied.await, (verb, "target".to_owned(), ECHO.to_owned()));
            }
            assert_eq!(scene.send(verb, Some(OWN)).await, None);
            let seen = within(scene.seen.recv()).await.expect("it was told");
            assert_eq!(seen, (Some(OWN.to_owned()), Some(PEER.to_owned())));
            assert_eq!(scene.send(verb, None).await, None, "nobody is nobody else");
            assert_eq!(within(scene.seen.recv()).await.expect("it was told").0, None);
        }
    }
    assert!(scene.seen.try_recv().is_err(), "what is refused does not arrive");
}

#[tokio::test]
async fn who_has_no_address_has_no_senders() {
    let mut scene = scene(only(clerks().own_senders_only()), hello()).await;
    for sender in OTHERS.into_iter().chain([OWN]) {
        let failure = scene.send(Verb::Ask, Some(sender)).await;
        assert_eq!(failure, Some(denial(Verb::Ask, sender)));
    }
    assert_eq!(scene.send(Verb::Ask, None).await, None);
}

#[tokio::test]
async fn what_another_role_allows_it_allows_with_any_sender() {
    let narrow = Role::new().may([Verb::Tell, Verb::Ask], "**").own_senders_only();
    let wide = Role::new().may([Verb::Ask], "target").messages("tests.*");
    let policy = only(narrow).role("wide", wide).grant("address:**", "wide");
    let mut scene = scene(policy, advertised()).await;
    for _ in 0..2 {
        assert_eq!(scene.send(Verb::Ask, Some(OTHERS[0])).await, None);
        let failure = scene.send(Verb::Tell, Some(OTHERS[0])).await;
        assert_eq!(failure, Some(denial(Verb::Tell, OTHERS[0])));
    }
}

#[tokio::test]
async fn senders_are_held_to_another_policy_with_the_next_message() -> Result {
    let mut scene = scene(Policy::exposed(), advertised()).await;
    for _ in 0..2 {
        for sender in [OTHERS[0], OWN] {
            assert_eq!(scene.send(Verb::Ask, Some(sender)).await, None);
        }
        scene.system.set_policy(only(clerks().own_senders_only()))?;
        let failure = scene.send(Verb::Ask, Some(OTHERS[0])).await;
        assert_eq!(failure, Some(denial(Verb::Ask, OTHERS[0])));
        assert_eq!(scene.send(Verb::Ask, Some(OWN)).await, None);
        scene.system.set_policy(only(clerks()))?;
    }
    Ok(())
}

/// Messages that mean something to other systems, or might to this one.
const FRAMEWORK: [&str; 14] = [
    "goaktpb.PoisonPill",
    "goaktpb.PostStart",
    "goaktpb.Terminated",
    "goaktpb.PausePassivation",
    "internalpb.HealthCheckRequest",
    "internalpb.AsyncRequest",
    "internalpb.AsyncResponse",
    "rakt.PoisonPill",
    "rakt.Terminated",
    "rakt.Stop",
    "rakt.system",
    "Terminated",
    "Stop",
    "",
];

#[tokio::test]
async fn messages_of_a_framework_change_nothing() -> Result {
    let role = clerks().messages("**").may([Verb::Lookup], "**");
    let mut scene = scene(only(role), advertised()).await;
    let mut events = scene.system.events();
    let before = scene.system.find("target").ok_or("it is there")?;
    for name in FRAMEWORK.into_iter().filter(|name| !name.is_empty()) {
        for kind in [MessageKind::Confirm { corr: 1 }, MessageKind::Ask { corr: 1 }] {
            scene.raw.message(kind, "target", name, &[]);
            scene.raw.flush().await;
            let failure = within(scene.raw.answer_to(1)).await.failure();
            assert_eq!(failure.code, Code::NotAccepted, "{name}: {failure}");
        }
        // The system's own actors are for nobody, whatever the message.
        scene.raw.message(MessageKind::Ask { corr: 1 }, "rakt.system", name, &[]);
        scene.raw.flush().await;
        let failure = within(scene.raw.answer_to(1)).await.failure();
        assert_eq!(failure.code, Code::Denied, "{name}: {failure}");
    }
    let (path, uid) = (|| "target".to_owned(), None);
    for operation in [
        Operation::Stop { path: path(), uid },
        Operation::Respawn { path: path(), uid },
        Operation::Reinstate { path: path(), uid },
    ] {
        scene.raw.request(1, &operation);
        scene.raw.flush().await;
        assert_eq!(within(scene.raw.answer_to(1)).await.failure().code, Code::Denied);
    }
    assert_eq!(scene.send(Verb::Ask, None).await, None, "it is well");
    assert_eq!(scene.system.find("target"), Some(before), "and the same");
    scene.system.shutdown().await;
    let mut ended = 0;
    while let Some(event) = events.next().await {
        match event {
            Event::ActorRestarted { path } | Event::ActorSuspended { path, .. } => panic!("{path}"),
            Event::ActorStopped { path, reason } if path == "target" => {
                ended += 1;
                assert_eq!(reason, rakt::StopReason::Shutdown);
            }
            _ => {}
        }
    }
    assert_eq!(ended, 1, "with its system");
    Ok(())
}
