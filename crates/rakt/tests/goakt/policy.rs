//! What Go nodes may do: every verb under every rule, by each request and message that stands for it.

use std::time::Duration;

use rakt::prelude::*;
use rakt::remote::{GoAkt, Policy, Role, Verb};
use rakt::{Event, StopReason};
use rakt_wire::goakt::{Answer, Call, ErrorCode, proto};

use crate::goakt::{Node, Peer, Seen, Sent, echoes, error, saw};
use crate::support::lines::Lines;
use crate::support::{event, stopped, within};

const PEER: &str = "address:memory";
/// Of an actor on the host that the peer's connections come from.
const OWN: &str = "goakt://go@memory:9/clerk";
const OTHER: &str = "goakt://go@10.9.9.9:9/boss";
const NOBODY: &str = "goakt://@:0/";

async fn scene(policy: Policy) -> (Node, Peer) {
    let node = Node::with(|config| config.goakt(GoAkt::new()).policy(policy)).await;
    let peer = node.dial().await;
    (node, peer)
}

fn only(role: Role) -> Policy {
    Policy::new().role("some", role).grant("address:mem*", "some")
}

/// What a Go node can do to an actor here.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Tell,
    Ask,
    /// An ask whose answer comes as a message.
    AskAsync,
    AnswerAsync,
    PausePassivation,
    ResumePassivation,
    CheckHealth,
    Lookup,
    Spawn,
    Stop,
    PoisonPill,
    Respawn,
    Reinstate,
}

/// What it is a case of, and what is said of it if it is denied. Watching, pinging and asking for kinds is nothing that a
/// Go node does.
const DEEDS: [(Deed, Verb, &str); 13] = [
    (Deed::Tell, Verb::Tell, "told \"test.Say\""),
    (Deed::Ask, Verb::Ask, "asked \"tests.Echo\""),
    (Deed::AskAsync, Verb::Ask, "asked \"tests.Echo\""),
    (Deed::AnswerAsync, Verb::Tell, "told \"internalpb.AsyncResponse\""),
    (Deed::PausePassivation, Verb::Tell, "told \"goaktpb.PausePassivation\""),
    (Deed::ResumePassivation, Verb::Tell, "told \"goaktpb.ResumePassivation\""),
    (Deed::CheckHealth, Verb::Lookup, "looked up"),
    (Deed::Lookup, Verb::Lookup, "looked up"),
    (Deed::Spawn, Verb::Spawn, "spawned as \"main.worker\""),
    (Deed::Stop, Verb::Stop, "stopped"),
    (Deed::PoisonPill, Verb::Stop, "stopped"),
    (Deed::Respawn, Verb::Respawn, "respawned"),
    (Deed::Reinstate, Verb::Reinstate, "reinstated"),
];

/// A message of GoAkt itself.
fn framework(peer: &Peer, path: &str, type_name: &str, bytes: Vec<u8>) -> Sent {
    let say = peer.say(path, "");
    Sent { type_name: type_name.to_owned(), bytes, ..say }
}

fn ask_async(peer: &Peer, path: &str, reply_to: &str) -> Sent {
    let echo = peer.echo(path, "later");
    let request = proto::AsyncRequest {
        correlation_id: "1".to_owned(),
        reply_to: reply_to.to_owned(),
        message: Some(proto::Any::pack(&echo.type_name, echo.bytes.into())),
    };
    framework(peer, path, "internalpb.AsyncRequest", request.to_bytes())
}

/// Does something to a path.
async fn attempt(peer: &mut Peer, deed: Deed, path: &str) -> Answer {
    let own = |name: &str| framework(peer, path, name, Vec::new());
    let target = peer.target(path);
    match deed {
        Deed::Tell => peer.tell(&[peer.say(path, "told")]).await,
        Deed::Ask => peer.ask(&[peer.echo(path, "asked")]).await,
        Deed::AskAsync => peer.tell(&[ask_async(peer, path, OWN)]).await,
        Deed::AnswerAsync => peer.tell(&[own("internalpb.AsyncResponse")]).await,
        Deed::PausePassivation => peer.tell(&[own("goaktpb.PausePassivation")]).await,
        Deed::ResumePassivation => peer.tell(&[own("goaktpb.ResumePassivation")]).await,
        Deed::PoisonPill => peer.tell(&[own("goaktpb.PoisonPill")]).await,
        Deed::CheckHealth => peer.ask(&[own("internalpb.HealthCheckRequest")]).await,
        Deed::Lookup => peer.call(&Call::Lookup(target)).await,
        Deed::Spawn => peer.call(&peer.spawn_call(path, "main.worker")).await,
        Deed::Stop => peer.call(&Call::Stop(target)).await,
        Deed::Respawn => peer.call(&Call::Respawn(target)).await,
        Deed::Reinstate => peer.call(&Call::Reinstate(target)).await,
    }
}

fn denial(what: &str, path: &str) -> (ErrorCode, String) {
    let text = format!("denied: \"{path}\" may not be {what} by {PEER}");
    (ErrorCode::FailedPrecondition, text)
}

/// Whether a path is like a pattern.
type IsLike = fn(&str) -> bool;

/// The patterns of the rules, and what they are like, in other words.
const PATTERNS: [(&str, IsLike); 4] = [
    ("probe", |path| path == "probe"),
    ("probe/*", |path| path.starts_with("probe/")),
    ("*", |path| !path.contains('/')),
    ("**", |_| true),
];

#[tokio::test(start_paused = true)]
async fn every_verb_is_allowed_by_its_own_rule_on_its_own_paths_and_by_no_other() {
    for granted in Verb::ALL {
        for (pattern, is_like) in PATTERNS {
            let (_node, mut peer) = scene(only(Role::new().may([*granted], pattern))).await;
            for (deed, verb, what) in DEEDS {
                for path in ["probe", "other", "absent"] {
                    let answer = attempt(&mut peer, deed, path).await;
                    let case = format!("{deed:?} {path} where {granted} {pattern} is allowed");
                    let denied = matches!(&answer, Answer::Error(error) if error.message.starts_with("denied: "));
                    if verb == *granted && is_like(path) {
                        assert!(!denied, "{case}: {answer:?}");
                    } else {
                        assert_eq!(error(answer), denial(what, path), "{case}");
                    }
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_system_s_own_actors_are_for_no_go_node() {
    let (_node, mut peer) = scene(Policy::open()).await;
    for path in ["rakt.system", "GoAktOne", "GoAktSystemGuardian"] {
        for (deed, ..) in DEEDS {
            let answer = attempt(&mut peer, deed, path).await;
            assert!(matches!(answer, Answer::Error(_)), "{deed:?} {path}: {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_does_not_tell_a_go_node_whether_a_forbidden_actor_exists() {
    let (_node, mut peer) = scene(Policy::new()).await;
    for (deed, ..) in DEEDS {
        let mut answers = Vec::new();
        // Of one length.
        for path in ["probe", "ghost"] {
            let (code, text) = error(attempt(&mut peer, deed, path).await);
            answers.push((code, text.replace(path, "PATH")));
        }
        assert_eq!(answers[0], answers[1], "{deed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_and_kinds_are_allowed_by_their_names() {
    let role = Role::new().may([Verb::Tell, Verb::Ask], "probe").messages("tests.E*");
    let (_node, mut peer) = scene(only(role.may_spawn("other*"))).await;
    assert_eq!(peer.ask_echo("hello").await, "hello");
    assert_eq!(attempt(&mut peer, Deed::AskAsync, "probe").await, Answer::Done);
    for deed in [Deed::Tell, Deed::PausePassivation, Deed::AnswerAsync, Deed::Spawn] {
        let (_, _, what) = DEEDS.into_iter().find(|(of, ..)| *of == deed).expect("it is there");
        assert_eq!(error(attempt(&mut peer, deed, "probe").await), denial(what, "probe"));
    }
}

/// Messages of GoAkt itself, some of which no node sends to another.
const FRAMEWORK: [&str; 12] = [
    "goaktpb.PoisonPill",
    "goaktpb.PausePassivation",
    "goaktpb.ResumePassivation",
    "goaktpb.PostStart",
    "goaktpb.Terminated",
    "goaktpb.Mayday",
    "goaktpb.PanicSignal",
    "internalpb.HealthCheckRequest",
    "internalpb.AsyncResponse",
    "internalpb.RemoteStop",
    "internalpb.Panicking",
    "rakt.Terminated",
];

#[tokio::test(start_paused = true)]
async fn messages_of_the_framework_change_nothing_without_a_right_to() -> Result {
    let tells = Role::new().may([Verb::Tell, Verb::Ask, Verb::Lookup], "**");
    for policy in [Policy::exposed(), only(tells), Policy::new()] {
        let (mut node, mut peer) = scene(policy).await;
        let mut events = node.system.events();
        let before = node.system.find("probe").ok_or("it is there")?;
        for name in FRAMEWORK {
            let sent = framework(&peer, "probe", name, Vec::new());
            let told = peer.tell(std::slice::from_ref(&sent)).await;
            let is_harmless = name.ends_with("Passivation") || name.starts_with("internalpb.");
            assert!(matches!(told, Answer::Error(_)) || is_harmless, "{name}: {told:?}");
            // Some have no reply.
            peer.send_ask(&[sent], Duration::from_secs(1)).await;
            drop(peer.answer().await);
        }
        assert_eq!(node.system.find("probe"), Some(before), "it is the same");
        assert_eq!(node.seen_by_now(), None, "and has seen nothing");
        node.system.shutdown().await;
        while let Some(event) = events.next().await {
            match event {
                Event::ActorRestarted { path } | Event::ActorSuspended { path, .. } => {
                    panic!("{path}")
                }
                Event::ActorStopped { path, reason } => {
                    assert_eq!(reason, StopReason::Shutdown, "{path}");
                }
                _ => {}
            }
        }
    }
    // With the right it does what it says.
    let (node, mut peer) = scene(only(Role::new().may([Verb::Stop], "probe"))).await;
    let mut events = node.system.events();
    assert_eq!(attempt(&mut peer, Deed::PoisonPill, "probe").await, Answer::Done);
    assert_eq!(stopped(&mut events, "probe").await, StopReason::Stopped);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_role_may_allow_messages_of_own_senders_alone() -> Result {
    let role = Role::new().may([Verb::Tell, Verb::Ask], "**").own_senders_only();
    let (mut node, mut peer) = scene(only(role)).await;
    let mut events = node.system.events();
    let own = format!("goakt://goakt-tests@127.0.0.1:{}/other", node.port());
    for _ in 0..2 {
        for other in [OTHER, &own] {
            let say = peer.say("probe", "forged").from(other);
            let expected = |what| {
                let (code, text) = denial(what, "probe");
                (code, format!("{text} in the name of {other}"))
            };
            assert_eq!(error(peer.tell(&[say]).await), expected("told \"test.Say\""));
            let denied = event(&mut events, |event| match event {
                Event::Denied { verb: Verb::Tell, path, what, .. } => Some((path, what)),
                _ => None,
            });
            assert_eq!(denied.await, ("probe".to_owned(), "test.Say".to_owned()));
            let echo = peer.echo("probe", "forged").from(other);
            assert_eq!(error(peer.ask(&[echo]).await), expected("asked \"tests.Echo\""));
            let later = ask_async(&peer, "probe", other);
            assert_eq!(error(peer.tell(&[later]).await), expected("asked \"tests.Echo\""));
        }
        for sender in [OWN, NOBODY] {
            let say = peer.say("probe", "own").from(sender);
            assert_eq!(peer.tell(&[say]).await, Answer::Done);
            let sender = (sender == OWN).then(|| OWN.to_owned());
            assert_eq!(node.seen().await, goakt_seen(sender));
        }
        assert_eq!(attempt(&mut peer, Deed::AskAsync, "probe").await, Answer::Done);
    }
    node.system.set_policy(only(Role::new().may([Verb::Ask], "**")))?;
    let echo = peer.echo("probe", "any").from(OTHER);
    assert_eq!(echoes(peer.ask(std::slice::from_ref(&echo)).await), ["any"]);
    node.system.set_policy(only(Role::new().may([Verb::Ask], "**").own_senders_only()))?;
    assert!(matches!(peer.ask(&[echo]).await, Answer::Error(_)), "from then on");
    Ok(())
}

fn goakt_seen(sender: Option<String>) -> Seen {
    Seen { sender, ..saw("probe", "own") }
}

/// What a terminal obeys, what begins another line, and what turns text around.
const TEXTS: [&str; 5] =
    ["a\nINFO all is well", "a\u{1b}[2J", "a\u{9b}1mINFO", "a\u{202e}llew", "a\u{2028}INFO\u{0}"];

#[tokio::test]
async fn what_a_go_node_writes_stays_in_one_line() {
    let (lines, _guard) = Lines::capture();
    for policy in [Policy::open(), Policy::new()] {
        let (node, peer) = scene(policy).await;
        let mut events = node.system.events();
        for text in TEXTS {
            let say = peer.say("probe", text);
            let named = peer.target(text);
            let messages = [
                say.clone().from(text),
                say.clone().from(&format!("goakt://{text}@h:1/a")),
                Sent { type_name: text.to_owned(), ..say.clone() },
                Sent { receiver: text.to_owned(), ..say.clone() },
                Sent { receiver: format!("{}{text}", say.receiver), ..say },
                ask_async(&peer, "probe", text),
            ];
            for message in messages {
                let mut peer = node.dial().await;
                peer.send_tell(&[message]).await;
                drop(within(peer.next()).await);
            }
            for call in [
                Call::Lookup(named.clone()),
                Call::Stop(named.clone()),
                Call::Respawn(named),
                peer.spawn_call(text, "main.worker"),
                peer.spawn_call("new", text),
            ] {
                let mut peer = node.dial().await;
                peer.send(&call).await;
                drop(within(peer.next()).await);
            }
        }
        drop(peer);
        node.system.shutdown().await;
        while let Some(event) = events.next().await {
            let shown = format!("{event:?}");
            assert_eq!(rakt_wire::controls_at(&shown), None, "{shown:?}");
        }
    }
    for line in lines.all() {
        assert_eq!(rakt_wire::controls_at(line.trim_end_matches('\n')), None, "{line:?}");
    }
}
