//! What peers may do: every verb under every rule, and what they hear of what they may not.

use rakt::Event;
use rakt::prelude::*;
use rakt::remote::{Policy, Role, Verb};
use rakt_wire::native::{FrameKind, MessageKind};
use rakt_wire::{Code, Failure, Operation, Outcome, Reader};

use crate::hostile::{Answer, ECHO, Raw, Target, encoded, hello};
use crate::messages::Echo;
use crate::nodes::{config, node, remote};
use crate::support::{event, within};

const PEER: &str = "address:127.0.0.1";

/// A node with `target`, its sibling `other`, and kinds; and a peer of it that speaks for itself.
async fn scene(policy: Policy) -> (ActorSystem, Raw) {
    let builder = ActorSystem::builder("victim").kind::<Target>("Target").kind::<Target>("Hidden");
    let system = builder.remoting(config().policy(policy)).start().await.expect("it starts");
    for name in ["target", "other"] {
        system.spawn(name, Target::default).await.expect("it starts");
    }
    let raw = Raw::dial(system.advertised().1, hello()).await.expect("it is taken");
    (system, raw)
}

fn only(verb: Verb, path: &str) -> Policy {
    Policy::new().role("some", Role::new().may([verb], path)).grant("address:127.0.0.*", "some")
}

/// Does something to a path, and returns the failure if it is one.
pub(crate) async fn attempt(raw: &mut Raw, verb: Verb, path: &str) -> Option<Failure> {
    let (to, uid) = (path.to_owned(), None);
    let body = encoded(&Echo { text: "hello".to_owned() });
    match verb {
        Verb::Tell => raw.message(MessageKind::Confirm { corr: 1 }, path, ECHO, &body),
        Verb::Ask => raw.ask(1, path, ECHO, &body),
        Verb::Lookup => raw.request(1, &Operation::Lookup { path: to }),
        Verb::Watch => raw.request(1, &Operation::Watch { path: to, uid, watch_id: 1 }),
        Verb::Ping => raw.request(1, &Operation::Ping),
        Verb::Kinds => raw.request(1, &Operation::Kinds),
        Verb::Spawn => {
            let kind = "Target".to_owned();
            raw.request(1, &Operation::Spawn { path: to, kind, argument: None });
        }
        Verb::Stop => raw.request(1, &Operation::Stop { path: to, uid }),
        Verb::Respawn => raw.request(1, &Operation::Respawn { path: to, uid }),
        Verb::Reinstate => raw.request(1, &Operation::Reinstate { path: to, uid }),
        verb => panic!("how is {verb} done?"),
    }
    raw.flush().await;
    match within(raw.answer_to(1)).await {
        Answer::Fail(failure) => Some(failure),
        Answer::Reply(_) | Answer::Outcome(_) => None,
    }
}

/// What is said of it.
fn denial(verb: Verb, path: &str) -> String {
    let what = match verb {
        Verb::Tell => "told \"tests.Echo\"",
        Verb::Ask => "asked \"tests.Echo\"",
        Verb::Lookup => "looked up",
        Verb::Watch => "watched",
        Verb::Spawn => "spawned as \"Target\"",
        Verb::Stop => "stopped",
        Verb::Respawn => "respawned",
        Verb::Reinstate => "reinstated",
        Verb::Ping => return format!("this node may not be pinged by {PEER}"),
        Verb::Kinds => return format!("this node may not be asked for its kinds by {PEER}"),
        verb => panic!("what is said of {verb}?"),
    };
    format!("\"{path}\" may not be {what} by {PEER}")
}

/// Whether a path is like a pattern.
type IsLike = fn(&str) -> bool;

/// The patterns of the rules, and what they are like, in other words.
const PATTERNS: [(&str, IsLike); 4] = [
    ("target", |path| path == "target"),
    ("target/*", |path| path.split_once('/').is_some_and(|(first, _)| first == "target")),
    ("*", |path| !path.contains('/')),
    ("**", |_| true),
];

const TARGETS: [&str; 6] = ["target", "target/child", "other", "absent", "rakt.system", "GoAktOne"];

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_is_allowed_by_its_own_rule_on_its_own_paths_and_by_no_other() {
    for granted in Verb::ALL {
        for (pattern, is_like) in PATTERNS {
            let (_system, mut raw) = scene(only(*granted, pattern)).await;
            for verb in Verb::ALL {
                for path in TARGETS {
                    let is_node = matches!(verb, Verb::Ping | Verb::Kinds);
                    let is_reserved = path.starts_with("rakt.") || path.starts_with("GoAkt");
                    let allowed = verb == granted && (is_node || (is_like(path) && !is_reserved));
                    let failure = attempt(&mut raw, *verb, path).await;
                    let denied = failure.as_ref().filter(|failure| failure.code == Code::Denied);
                    let case = format!("{verb} {path} where {granted} {pattern} is allowed");
                    if *verb == Verb::Spawn && path.contains('/') {
                        let code = failure.map(|failure| failure.code);
                        assert_eq!(code, Some(Code::InvalidArgument), "{case}");
                    } else if allowed {
                        assert_eq!(denied, None, "{case}");
                    } else {
                        let text = denied.map(|failure| &*failure.detail);
                        assert_eq!(text, Some(&*denial(*verb, path)), "{case}: {failure:?}");
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_does_not_tell_whether_a_forbidden_actor_exists() {
    let (_system, mut raw) = scene(Policy::new()).await;
    for verb in Verb::ALL {
        let mut answers = Vec::new();
        // Of one length.
        for path in ["target", "nobody"] {
            let failure = attempt(&mut raw, *verb, path).await.expect("it is denied");
            answers.push(format!("{failure:?}").replace(path, "PATH"));
        }
        assert_eq!(answers[0], answers[1], "{verb}");
    }
}

#[tokio::test]
async fn messages_and_kinds_are_allowed_by_their_names() {
    let role = Role::new().may([Verb::Ask], "target").messages("tests.W*").may_spawn("tar*");
    let policy = Policy::new().role("some", role).grant("address:*.*.*.*", "some");
    let (_system, mut raw) = scene(policy).await;
    raw.ask(1, "target", "tests.Want", &[]);
    raw.flush().await;
    assert!(matches!(raw.answer_to(1).await, Answer::Reply(_)));
    let failure = attempt(&mut raw, Verb::Ask, "target").await.expect("another message");
    assert_eq!(failure.detail, denial(Verb::Ask, "target"));
    // The same message, told: another verb.
    raw.message(MessageKind::Confirm { corr: 1 }, "target", "tests.Want", &[]);
    raw.flush().await;
    assert_eq!(raw.answer_to(1).await.failure().code, Code::Denied);
    raw.request(1, &Operation::Kinds);
    raw.flush().await;
    match raw.answer_to(1).await {
        Answer::Outcome(Outcome::Kinds(kinds)) => assert_eq!(kinds, ["Target"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(attempt(&mut raw, Verb::Spawn, "new").await, None);
    let (path, kind) = ("newer".to_owned(), "hidden".to_owned());
    raw.request(1, &Operation::Spawn { path, kind, argument: None });
    raw.flush().await;
    assert_eq!(raw.answer_to(1).await.failure().code, Code::Denied);
}

#[tokio::test]
async fn by_default_peers_stop_what_they_have_spawned_and_nothing_else() -> Result {
    let (_system, mut raw) = scene(Policy::default()).await;
    assert_eq!(attempt(&mut raw, Verb::Spawn, "own").await, None);
    for verb in [Verb::Respawn, Verb::Stop] {
        let failure = attempt(&mut raw, verb, "target").await.expect("it is not its own");
        assert_eq!((failure.code, failure.detail), (Code::Denied, denial(verb, "target")));
        assert_eq!(attempt(&mut raw, verb, "own").await, None);
    }
    // Whom it may look up it may hear of.
    let failure = attempt(&mut raw, Verb::Stop, "own").await.expect("it is gone");
    assert_eq!(failure.code, Code::NotFound);
    assert_eq!(attempt(&mut raw, Verb::Ask, "target").await, None);
    Ok(())
}

#[tokio::test]
async fn a_name_that_was_spawned_by_a_peer_is_its_own_for_that_life_alone() -> Result {
    let (system, mut raw) = scene(Policy::default()).await;
    assert_eq!(attempt(&mut raw, Verb::Spawn, "own").await, None);
    system.find("own").ok_or("it is there")?.stop().await?;
    system.spawn("own", Target::default).await?;
    let failure = attempt(&mut raw, Verb::Stop, "own").await.expect("it is another's");
    assert_eq!(failure.code, Code::Denied);
    Ok(())
}

#[tokio::test]
async fn a_denial_is_an_event_that_says_who_wanted_what() -> Result {
    let there = crate::nodes::node_with("there", config().policy(Policy::exposed())).await;
    there.spawn("target", Target::default).await?;
    let (here, mut events) = (node("here").await, there.events());
    let target: ActorRef<Target> = remote(&here, &there, "target").await;
    let error = within(target.stop()).await.expect_err("it is not its own");
    let text = rakt::error::Chain(&error).to_string();
    assert!(text.ends_with(&denial(Verb::Stop, "target")), "{text}");
    let denied = event(&mut events, |event| match event {
        Event::Denied { peer, verb, path, what } => {
            Some((peer.identity().to_string(), verb, path, what))
        }
        _ => None,
    });
    let expected = (PEER.to_owned(), Verb::Stop, "target".to_owned(), String::new());
    assert_eq!(denied.await, expected);
    Ok(())
}

#[tokio::test]
async fn all_that_peers_can_reach_is_printed() {
    let (system, _raw) = scene(only(Verb::Tell, "target")).await;
    let exposed = system.exposed();
    let printed: Vec<_> = exposed.actors.iter().map(ToString::to_string).collect();
    let accepts = exposed.kinds[0].accepts.join(", ");
    assert_eq!(printed, [format!("other, target accept {accepts}")]);
    let text = exposed.to_string();
    for line in [
        format!("kind Target() accepts {accepts}"),
        format!("actors other, target accept {accepts}"),
        "everybody (nobody): nothing".to_owned(),
        "role some: tell target".to_owned(),
        "grant address:127.0.0.*: some".to_owned(),
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn another_policy_holds_for_what_is_read_next() -> Result {
    let (system, mut raw) = scene(Policy::exposed()).await;
    for _ in 0..2 {
        assert_eq!(attempt(&mut raw, Verb::Ask, "target").await, None);
    }
    system.set_policy(only(Verb::Tell, "target"))?;
    let failure = attempt(&mut raw, Verb::Ask, "target").await.expect("it is denied");
    assert_eq!((failure.code, failure.detail), (Code::Denied, denial(Verb::Ask, "target")));
    assert_eq!(attempt(&mut raw, Verb::Tell, "target").await, None);
    system.set_policy(only(Verb::Ask, "target"))?;
    assert_eq!(attempt(&mut raw, Verb::Ask, "target").await, None);
    let wrong = Policy::new().grant("dns:one", "unknown");
    assert!(system.set_policy(wrong).is_err());
    assert_eq!(attempt(&mut raw, Verb::Ask, "target").await, None, "the old one stays");
    Ok(())
}

#[tokio::test]
async fn watches_that_another_policy_does_not_allow_are_dropped() -> Result {
    let (system, mut raw) = scene(Policy::exposed()).await;
    let mut events = system.events();
    for (watch_id, path) in [(1, "target"), (2, "other")] {
        let path = path.to_owned();
        raw.request(1, &Operation::Watch { path, uid: None, watch_id });
        raw.flush().await;
        assert!(matches!(within(raw.answer_to(1)).await, Answer::Outcome(_)));
    }
    let role = Role::new().may([Verb::Watch], "target").may([Verb::Ping], "**");
    system.set_policy(Policy::new().role("some", role).grant("address:127.0.0.*", "some"))?;
    // It is with the next read that they are looked at.
    assert_eq!(attempt(&mut raw, Verb::Ping, "").await, None);
    let denied = event(&mut events, |event| match event {
        Event::Denied { verb, path, .. } => Some((verb, path)),
        _ => None,
    });
    assert_eq!(denied.await, (Verb::Watch, "other".to_owned()));
    for name in ["other", "target"] {
        system.find(name).ok_or("it is there")?.stop().await?;
    }
    let ended = async {
        loop {
            let (kind, body) = raw.frame().await.expect("the connection is there");
            if kind == FrameKind::Terminated {
                return Reader::new(&body).varint("watch id").expect("a number");
            }
        }
    };
    assert_eq!(within(ended).await, 1, "of the other it hears nothing");
    Ok(())
}
