//! What a Go node finds when it talks to a node of rakt.

use std::time::Duration;

use rakt::prelude::*;
use rakt::propagate::{ContextPropagator, Extensions};
use rakt::remote::{Compression, GoAkt, Policy, Transport};
use rakt::supervision::Directive;
use rakt::{BoxError, Event, Metadata, StopReason};
use rakt_wire::goakt::{Answer, Call, ErrorCode as E, Payload, proto};

use crate::goakt::{self, Node, Peer, SYSTEM, Sent, address, echoes, error, outgoing, saw};
use crate::messages;
use crate::support::{event, stopped, within};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn every_operation_is_carried_out() {
    let mut node = Node::start().await;
    let mut peer = node.dial().await;
    let found = peer.call(&Call::Lookup(peer.target("probe"))).await;
    assert_eq!(found, Answer::Address(address(node.port(), "probe")));

    let say = peer.say("probe", "hello");
    assert_eq!(peer.tell(&[say]).await, Answer::Done);
    assert_eq!(node.seen().await, saw("probe", "hello"));
    assert_eq!(peer.ask_echo("who is there?").await, "who is there?");

    // Kinds are compared without regard to case and blanks.
    let spawn = peer.spawn_call("spawned", " MAIN.worker ");
    assert_eq!(peer.call(&spawn).await, Answer::Done);
    let spawned = node.system.find("spawned").expect("it is there");
    // As a Go node without a cluster has it, a name that is taken is no error.
    assert_eq!(peer.call(&spawn).await, Answer::Done);
    assert_eq!(node.system.find("spawned"), Some(spawned));

    let mut events = node.system.events();
    assert_eq!(peer.call(&Call::Respawn(peer.target("spawned"))).await, Answer::Done);
    event(&mut events, |event| matches!(event, Event::ActorRestarted { .. }).then_some(())).await;
    assert_eq!(peer.call(&Call::Reinstate(peer.target("spawned"))).await, Answer::Done);
    assert_eq!(peer.call(&Call::Stop(peer.target("spawned"))).await, Answer::Done);
    assert!(node.system.find("spawned").is_none());
}

fn spawn_with(
    peer: &Peer,
    name: &str,
    set: impl FnOnce(&mut proto::SpawnRequest),
) -> Call<'static> {
    let mut call = peer.spawn_call(name, "main.worker");
    if let Call::Spawn(request) = &mut call {
        set(request);
    }
    call
}

#[tokio::test(start_paused = true)]
async fn what_a_go_node_wants_of_an_actor_is_carried_out_or_refused_by_name() {
    let node = Node::start().await;
    let mut events = node.system.events();
    let mut peer = node.dial().await;
    let start = tokio::time::Instant::now();
    let passivated = proto::PassivationStrategy {
        time_based: Some(proto::TimeBasedPassivation {
            passivate_after: Some(proto::Duration { seconds: 2, nanos: 0 }),
        }),
        ..Default::default()
    };
    let spawn = spawn_with(&peer, "idle", |spawn| spawn.passivation_strategy = Some(passivated));
    assert_eq!(peer.call(&spawn).await, Answer::Done);
    assert_eq!(stopped(&mut events, "idle").await, StopReason::Passivated);
    assert!(start.elapsed() >= 2 * SECOND);

    // The kind itself restarts such an actor.
    let stops = proto::SupervisorSpec { any_error_directive: Some(0), ..Default::default() };
    let spawn = spawn_with(&peer, "frail", |spawn| spawn.supervisor = Some(stops));
    assert_eq!(peer.call(&spawn).await, Answer::Done);
    let fail = peer.message("frail", &goakt::Fail {});
    error(peer.ask(&[fail]).await);
    assert!(matches!(stopped(&mut events, "frail").await, StopReason::Failed(_)));

    let counted = proto::PassivationStrategy {
        messages_count_based: Some(proto::MessagesCountBasedPassivation { max_messages: 7 }),
        ..Default::default()
    };
    let spawn = spawn_with(&peer, "counted", |spawn| spawn.passivation_strategy = Some(counted));
    let (code, text) = error(peer.call(&spawn).await);
    assert_eq!(
        (code, &*text),
        (E::InvalidArgument, "this node does not carry out passivation by a number of messages",)
    );
    let rule = |error_type: &str| proto::SupervisorSpec {
        directives: vec![proto::SupervisorDirectiveRule {
            error_type: error_type.to_owned(),
            directive: 2,
        }],
        ..Default::default()
    };
    let spawn =
        spawn_with(&peer, "ruled", |spawn| spawn.supervisor = Some(rule("shop.OutOfStock")));
    let (code, text) = error(peer.call(&spawn).await);
    assert_eq!(code, E::InvalidArgument);
    assert!(text.contains("shop.OutOfStock"), "{text}");
    // These two are what GoAkt names by default.
    for (name, error_type) in [("a", "errors.PanicError"), ("b", "runtime.PanicNilError")] {
        let spawn = spawn_with(&peer, name, |spawn| spawn.supervisor = Some(rule(error_type)));
        assert_eq!(peer.call(&spawn).await, Answer::Done);
    }
    let role = |spawn: &mut proto::SpawnRequest| spawn.role = Some("worker".to_owned());
    let (code, text) = error(peer.call(&spawn_with(&peer, "role", role)).await);
    let expected = "this node does not carry out the role worker: this node is in no cluster";
    assert_eq!((code, &*text), (E::InvalidArgument, expected));
    for (mode, max_in_flight) in [(1, 0), (2, 3)] {
        let reentrancy = Some(proto::ReentrancyConfig { mode, max_in_flight });
        let spawn = spawn_with(&peer, "reentrant", |spawn| spawn.reentrancy = reentrancy);
        let (code, text) = error(peer.call(&spawn).await);
        assert_eq!((code, &*text), (E::InvalidArgument, "this node does not carry out reentrancy"));
    }
    // What is the same here, or what Go says unless told otherwise.
    let as_here = |spawn: &mut proto::SpawnRequest| {
        (spawn.enable_stash, spawn.relocatable, spawn.role) = (true, true, Some(String::new()));
        spawn.reentrancy = Some(proto::ReentrancyConfig::default());
    };
    assert_eq!(peer.call(&spawn_with(&peer, "as-here", as_here)).await, Answer::Done);
    let endless = proto::SupervisorSpec { max_retries: 1001, ..Default::default() };
    let spawn = spawn_with(&peer, "endless", |spawn| spawn.supervisor = Some(endless));
    assert_eq!(error(peer.call(&spawn).await).0, E::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_waited_for_as_long_as_an_ask_and_goes_on() {
    let mut node = Node::with(|config| config.goakt(GoAkt::new()).policy(Policy::open())).await;
    let mut events = node.system.events();
    let (mut busy, mut peer) = (node.dial().await, node.dial().await);
    let hold = peer.hold("probe");
    busy.send_ask(&[hold], 60 * SECOND).await;
    node.gate.entered().await;
    let queued: Vec<_> = (0..1000).map(|_| peer.say("probe", "queued")).collect();
    assert_eq!(peer.tell(&queued).await, Answer::Done);

    let start = tokio::time::Instant::now();
    let (code, text) = error(peer.call(&Call::Stop(peer.target("probe"))).await);
    assert_eq!(code, E::InternalError, "{text}");
    assert!(
        text.starts_with("failed to stop actor=") && text.ends_with("deadline exceeded"),
        "{text}"
    );
    assert_eq!(start.elapsed(), 5 * SECOND);
    // What was queued is handled all the same.
    node.gate.open();
    assert_eq!(stopped(&mut events, "probe").await, StopReason::Stopped);
    for _ in 0..1000 {
        assert_eq!(node.seen().await, saw("probe", "queued"));
    }
}

#[tokio::test]
async fn a_suspended_actor_is_not_alive_until_it_is_reinstated() -> Result {
    let node = Node::with(|config| config.goakt(GoAkt::new()).policy(Policy::open())).await;
    let (probe, mut events) = (node.probe(), node.system.events());
    let suspending = Supervision::always(Directive::Suspend);
    node.system.spawn("fragile", move || probe.clone()).supervision(suspending).await?;
    let mut peer = node.dial().await;
    let fail = peer.message("fragile", &goakt::Fail {});
    let (code, text) = error(peer.ask(&[fail]).await);
    assert_eq!((code, text.as_str()), (E::InternalError, "remote send failed\nasked to fail"));
    event(&mut events, |event| matches!(event, Event::ActorSuspended { .. }).then_some(())).await;

    let echo = peer.echo("fragile", "still there?");
    let not_alive = (E::InternalError, "remote send failed\nactor is not alive".to_owned());
    assert_eq!(error(peer.ask(std::slice::from_ref(&echo)).await), not_alive);
    assert_eq!(error(peer.tell(std::slice::from_ref(&echo)).await), not_alive);
    assert_eq!(peer.call(&Call::Reinstate(peer.target("fragile"))).await, Answer::Done);
    assert_eq!(echoes(peer.ask(&[echo]).await), ["still there?"]);
    Ok(())
}

/// The answers that Go clients tell apart, by what is wrong with the request.
#[tokio::test]
async fn errors_have_the_codes_and_texts_that_go_clients_look_for() {
    let mut node = Node::start().await;
    let mut peer = node.dial().await;
    let at = |host: &str, port: u16, path: &str| format!("goakt://{SYSTEM}@{host}:{port}/{path}");
    let port = node.port();
    let absent_address = format!("(actor address={}) address not found", address(port, "absent"));
    let absent = absent_address.as_str();
    let reserved = "(actor=GoAktAnything) actor not found";

    let operations = |name: &str| {
        let target = peer.target(name);
        [Call::Stop(target.clone()), Call::Respawn(target.clone()), Call::Reinstate(target)]
    };
    let mut cases = vec![(Call::Lookup(peer.target("absent")), E::NotFound, absent)];
    let system_actor =
        format!("(actor address={}) address not found", address(port, "GoAktTopicActor"));
    cases.push((Call::Lookup(peer.target("GoAktTopicActor")), E::NotFound, &system_actor));
    cases.extend(operations("absent").map(|call| (call, E::NotFound, absent)));
    cases.extend(operations("GoAktAnything").map(|call| (call, E::FailedPrecondition, reserved)));
    let elsewhere = proto::Target { host: "127.0.0.9".to_owned(), ..peer.target("probe") };
    let other_port = proto::Target { port: 2, ..peer.target("probe") };
    for target in [elsewhere, other_port] {
        let calls = [Call::Lookup, Call::Stop, Call::Respawn, Call::Reinstate];
        let calls = calls.map(|call| (call(target.clone()), E::InvalidArgument, "invalid host"));
        cases.extend(calls);
    }
    let grain = |kind, name| Box::new(rakt_wire::goakt::grain(kind, name, "127.0.0.1", port));
    let message = Payload { type_name: "test.Say", bytes: &[] };
    let unknown = (E::InternalError, "grain type is not registered");
    let grains = [
        (Call::ActivateGrain(grain("main.nobody", "one")), unknown),
        (Call::TellGrain { grain: grain("main.nobody", "one"), message }, unknown),
        (
            Call::AskGrain { grain: grain("main.nobody", "one"), message, timeout: 60 * SECOND },
            unknown,
        ),
        (
            Call::ActivateGrain(grain("main.nobody", "GoAktOne")),
            (E::FailedPrecondition, "name=(main.nobody/GoAktOne) actor name is reserved"),
        ),
    ];
    cases.extend(grains.map(|(call, (code, text))| (call, code, text)));
    let node_address = format!("127.0.0.1:{port}");
    for call in [Call::GetKinds, Call::GetNodeMetric] {
        let call = call(proto::NodeRequest { node_address: node_address.clone() });
        cases.push((call, E::FailedPrecondition, "cluster is not enabled"));
    }
    for (name, kind, code, text) in [
        ("GoAktAnything", "main.worker", E::FailedPrecondition, reserved),
        ("a", "main.nobody", E::FailedPrecondition, "actor type is not registered"),
        ("a", "", E::FailedPrecondition, "actor type is not registered"),
        ("", "main.worker", E::InternalError, ""),
        ("a/b", "main.worker", E::InternalError, ""),
        ("refused", "main.refuser", E::InternalError, "refusing to start"),
    ] {
        cases.push((peer.spawn_call(name, kind), code, text));
    }
    for (call, code, text) in cases {
        let told = error(peer.call(&call).await);
        assert_eq!(told.0, code, "{call:?}: {}", told.1);
        let is_exact = code != E::InternalError;
        assert!(
            if is_exact { told.1 == text } else { told.1.contains(text) },
            "{call:?}: {told:?}"
        );
    }
    assert!(node.system.find("refused").is_none());

    let good = peer.echo("probe", "x");
    let to = |receiver: String| Sent { receiver, ..good.clone() };
    let of_type = |type_name: &str, bytes: &[u8]| Sent {
        type_name: type_name.to_owned(),
        bytes: bytes.to_vec(),
        ..good.clone()
    };
    let invalid = "invalid remote message";
    for (sent, told, asked) in [
        (to(address(port, "absent")), E::NotFound, E::NotFound),
        (to(at("127.0.0.9", port, "probe")), E::NotFound, E::InvalidArgument),
        (to(format!("goakt://other@127.0.0.1:{port}/probe")), E::NotFound, E::NotFound),
        (to(String::new()), E::InvalidArgument, E::InvalidArgument),
        (to("probe".to_owned()), E::InvalidArgument, E::InvalidArgument),
        (
            to(format!("http://{SYSTEM}@127.0.0.1:{port}/probe")),
            E::InvalidArgument,
            E::InvalidArgument,
        ),
        (good.clone().from(""), E::InternalError, E::InternalError),
        (of_type("nobody.Knows", &[]), E::InternalError, E::InternalError),
        (of_type("", &[]), E::InternalError, E::InternalError),
        (of_type("tests.Echo", b"\xff\xff"), E::InternalError, E::InternalError),
    ] {
        let (code, text) = error(peer.tell(std::slice::from_ref(&sent)).await);
        assert_eq!(code, told, "tell {sent:?}: {text}");
        let (ask_code, ask_text) = error(peer.ask(std::slice::from_ref(&sent)).await);
        assert_eq!(ask_code, asked, "ask {sent:?}: {ask_text}");
        match (told, asked) {
            (E::NotFound, E::NotFound) => assert!(text.contains("address not found"), "{text}"),
            (_, E::InvalidArgument) if told == E::NotFound => assert_eq!(ask_text, "invalid host"),
            (E::InternalError, _) => assert!(
                text.starts_with(invalid)
                    && ask_text.starts_with(&format!("remote send failed\n{invalid}")),
                "{text}, {ask_text}"
            ),
            _ => {}
        }
    }
    let absent = to(address(port, "absent"));
    assert_eq!(error(peer.tell(&[absent]).await).1, absent_address);
    assert_eq!(node.seen_by_now(), None, "nothing was delivered");
    assert_eq!(
        peer.ask_echo("all of that on one connection").await,
        "all of that on one connection"
    );
}

#[tokio::test]
async fn every_compression_is_recognized_beside_native_peers() -> Result {
    let node = Node::start().await;
    let mut peers = Vec::new();
    for compression in Compression::ALL.into_iter().filter(|c| c.is_available()) {
        let mut peer = node.dial_with(compression).await;
        for n in 0..3 {
            let text = format!("{compression} {n}");
            assert_eq!(peer.ask_echo(&text).await, text);
        }
        peers.push(peer);
    }
    let config = remote::ClientConfig::new().transport(node.memory.clone());
    let native = remote::Client::new("native", config)?;
    let probe = native.node("127.0.0.1", node.port()).lookup::<goakt::Probe>("probe").await?;
    let probe = probe.expect("it is there");
    let echo = messages::Echo { text: "native".to_owned() };
    assert_eq!(within(probe.ask(echo.clone())).await?, echo);
    for mut peer in peers {
        assert_eq!(peer.ask_echo("still open").await, "still open");
    }
    Ok(())
}

#[tokio::test]
async fn go_nodes_are_refused_unless_asked_for() {
    let node = Node::with(|config| config).await;
    let mut peer = node.dial().await;
    let lookup = Call::Lookup(peer.target("probe"));
    peer.send(&lookup).await;
    peer.closed().await;
}

#[tokio::test]
async fn native_peers_can_be_refused() -> Result {
    let node = Node::with(|config| config.goakt(GoAkt::new().native(false))).await;
    let config = remote::ClientConfig::new().transport(node.memory.clone());
    let native = remote::Client::new("native", config)?;
    let there = native.node("127.0.0.1", node.port());
    let lookup = there.lookup::<goakt::Probe>("probe");
    let refused = within(lookup).await.expect_err("refused");
    let refused = rakt::error::Chain(&refused).to_string();
    assert!(refused.contains("only peers that speak GoAkt"), "{refused}");
    node.is_well().await;
    Ok(())
}

/// Over TCP, where bytes arrive as they please.
#[tokio::test(flavor = "multi_thread")]
async fn a_go_node_and_a_native_one_share_a_listener() -> Result {
    let (sender, _seen) = tokio::sync::mpsc::unbounded_channel();
    let probe = goakt::Probe::new(sender);
    let config = remote::Config::new("127.0.0.1", 0).goakt(GoAkt::new());
    let system = ActorSystem::builder(SYSTEM).remoting(config).start().await?;
    let of_actor = probe.clone();
    system.spawn("probe", move || of_actor.clone()).await?;
    let port = system.advertised().1;
    let native = remote::Client::new("native", remote::ClientConfig::new())?;
    let native = native.actor(&system.address("probe")?);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        let mut peer = Peer::new(Box::new(stream), port, Compression::default());
        tasks.spawn(async move {
            for i in 0..200 {
                let text = format!("{n} {i}");
                assert_eq!(peer.ask_echo(&text).await, text);
            }
        });
    }
    for n in 0..200 {
        let echo = messages::Echo { text: n.to_string() };
        assert_eq!(within(native.ask(echo.clone())).await?, echo);
    }
    while let Some(done) = within(tasks.join_next()).await {
        done?;
    }
    // A frame that comes byte by byte.
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut peer = Peer::new(Box::new(stream), port, Compression::None);
    for byte in LOOKUP_OF_NOBODY {
        peer.write(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    peer.end().await;
    assert_eq!(peer.raw_answer().await, INVALID_HOST);
    Ok(())
}

/// What a Go node sent to port 4101 of another, and what that answered: the two vectors of the
/// protocol that fit every node.
const LOOKUP_OF_NOBODY: &[u8] = b"\0\0\0\x48\0\0\0\x1e\0\0\0\x0ainternalpb.RemoteLookupRequest\
    \0\0\0\0\0\0\0\0\0\0\x0a\x09127.0.0.1\x10\x85\x20\x1a\x04echo";
const INVALID_HOST: &[u8] = b"\0\0\0\x28\0\0\0\x10internalpb.Error\x08\x03\x12\x0cinvalid host";

#[tokio::test]
async fn a_node_answers_to_its_hosts_and_aliases_alone() {
    let config = |config: remote::Config| {
        config.goakt(GoAkt::new().alias("Node-A.example.com")).advertised("localhost", 4444)
    };
    let node = Node::with(config).await;
    let mut peer = node.dial().await;
    for (host, port, is_here) in [
        ("localhost", 4444, true),
        ("node-a.example.com", 4444, true),
        // What it listens on, and what `localhost` stands for.
        ("127.0.0.1", 4444, true),
        ("127.0.0.1", goakt::LISTENED, true),
        ("127.0.0.9", 4444, false),
        ("node-b.example.com", 4444, false),
        ("localhost", 4445, false),
    ] {
        let target = proto::Target { host: host.into(), port: port.into(), name: "probe".into() };
        let answer = peer.call(&Call::Lookup(target)).await;
        if is_here {
            let text = format!("goakt://{SYSTEM}@localhost:4444/probe");
            assert_eq!(answer, Answer::Address(text), "{host}:{port}");
        } else {
            let told = error(answer);
            assert_eq!(told, (E::InvalidArgument, "invalid host".to_owned()), "{host}:{port}");
        }
    }
}

#[tokio::test]
async fn an_ip_address_does_not_answer_to_names() {
    let node = Node::start().await;
    let mut peer = node.dial().await;
    let target = proto::Target { host: "localhost".into(), ..peer.target("probe") };
    assert_eq!(error(peer.call(&Call::Lookup(target)).await).1, "invalid host");
}

#[tokio::test]
async fn a_child_is_reached_through_its_parents_name() -> Result {
    struct Parent(goakt::Probe);
    impl Actor for Parent {
        async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
            let probe = self.0.clone();
            ctx.spawn("child", move || probe.clone()).await?;
            Ok(())
        }
    }
    let node = Node::start().await;
    let probe = node.probe();
    node.system.spawn("parent", move || Parent(probe.clone())).await?;
    let mut peer = node.dial().await;
    let echo = peer.echo("parent/child", "x");
    assert_eq!(echoes(peer.ask(&[echo]).await), ["x"]);
    let found = peer.call(&Call::Lookup(peer.target("parent/child"))).await;
    assert_eq!(found, Answer::Address(address(node.port(), "parent/child")));
    Ok(())
}

/// Has a child `b` that has a child `c`, and so on down the path.
struct Ancestor {
    below: &'static str,
    probe: goakt::Probe,
}

impl Actor for Ancestor {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        let probe = self.probe.clone();
        match self.below.split_once('/') {
            None => drop(ctx.spawn(self.below, move || probe.clone()).await?),
            Some((name, below)) => {
                drop(ctx.spawn(name, move || Ancestor { below, probe: probe.clone() }).await?);
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn an_actor_at_any_depth_has_an_address_that_leads_back_to_it_alone() -> Result {
    let mut node = Node::start().await;
    for (name, below) in [("a", "b/c/d"), ("b", "c/d"), ("c", "d")] {
        let probe = node.probe();
        node.system.spawn(name, move || Ancestor { below, probe: probe.clone() }).await?;
    }
    let mut peer = node.dial().await;
    for path in ["c/d", "b/c/d", "a/b/c/d"] {
        let Answer::Address(address) = peer.call(&Call::Lookup(peer.target(path))).await else {
            panic!("{path} is there");
        };
        // As a Go node reads it: at most one parent.
        assert!(address.matches('/').count() <= 4, "{address}");
        let to = Sent { receiver: address.clone(), ..peer.say("", "found") };
        assert_eq!(peer.tell(&[to]).await, Answer::Done);
        assert_eq!(node.seen().await.path, path);
        // It is the same as a sender: whom the actor is answered by.
        assert_eq!(peer.tell(&[peer.say("probe", "sent").from(&address)]).await, Answer::Done);
        let own = node.system.address(path)?.to_string();
        assert_eq!(node.seen().await.sender, Some(own));
    }
    // Names of the system stay out of reach in this spelling too.
    let hidden = Sent { receiver: address(node.port(), "a~GoAktX/d"), ..peer.say("", "x") };
    assert_eq!(error(peer.tell(&[hidden]).await).0, E::FailedPrecondition);
    Ok(())
}

fn of_goakt(peer: &Peer, path: &str, type_name: &str, bytes: &[u8]) -> Sent {
    Sent { type_name: type_name.to_owned(), bytes: bytes.to_vec(), ..peer.say(path, "") }
}

#[tokio::test(start_paused = true)]
async fn messages_of_goakt_itself_mean_what_they_mean_in_go() {
    let mut node = Node::with(|config| config.goakt(GoAkt::new()).policy(Policy::open())).await;
    let mut peer = node.dial().await;
    let health = of_goakt(&peer, "probe", "internalpb.HealthCheckRequest", &[]);
    let Answer::Replies(replies) = peer.ask(std::slice::from_ref(&health)).await else {
        panic!("no reply")
    };
    let names: Vec<_> = replies.iter().map(|reply| reply.type_name()).collect();
    assert_eq!(names, ["internalpb.HealthCheckResponse"]);
    assert_eq!(peer.tell(&[health]).await, Answer::Done);

    for name in ["goaktpb.PausePassivation", "goaktpb.ResumePassivation"] {
        let message = of_goakt(&peer, "probe", name, &[]);
        assert_eq!(peer.tell(&[message]).await, Answer::Done, "{name}");
    }
    let response = proto::AsyncResponse { correlation_id: "c1".into(), ..Default::default() };
    let response = of_goakt(&peer, "probe", "internalpb.AsyncResponse", &response.to_bytes());
    assert_eq!(peer.tell(&[response]).await, Answer::Done, "a Go actor would be suspended");
    assert_eq!(peer.ask_echo("last").await, "last");
    assert_eq!(node.seen_by_now(), None, "nobody here has asked");

    // What is queued is handled before the actor stops, and what follows is not.
    let pill = of_goakt(&peer, "probe", "goaktpb.PoisonPill", &[]);
    let batch = [peer.say("probe", "before"), pill.clone()];
    assert_eq!(peer.tell(&batch).await, Answer::Done);
    assert_eq!(node.seen().await, saw("probe", "before"));
    stopped(&mut node.events, "probe").await;
    let say = peer.say("probe", "after");
    assert_eq!(error(peer.tell(&[say]).await).0, E::NotFound);

    // Asked, it has no reply.
    let pill = Sent { receiver: address(node.port(), "other"), ..pill };
    peer.send_ask(&[pill], SECOND).await;
    stopped(&mut node.events, "other").await;
    assert_eq!(error(peer.next().await.expect("an answer")).0, E::DeadlineExceeded);
}

#[tokio::test]
async fn messages_of_goakt_do_not_reach_actors_of_the_system() {
    let mut node = Node::start().await;
    let mut peer = node.dial().await;
    for path in ["GoAktDeathWatch", "GoAktRootGuardian", "rakt.anything", "probe/GoAktX"] {
        for name in ["goaktpb.PoisonPill", "internalpb.HealthCheckRequest", "tests.Echo"] {
            let message = of_goakt(&peer, path, name, &[]);
            let (code, text) = error(peer.tell(std::slice::from_ref(&message)).await);
            assert_eq!(code, E::FailedPrecondition, "{path} {name}: {text}");
            assert_eq!(error(peer.ask(&[message]).await).0, E::FailedPrecondition);
        }
    }
    // Others of GoAkt's own are messages like any other, and no actor here takes them.
    let started = of_goakt(&peer, "probe", "goaktpb.PostStart", &[]);
    assert_eq!(error(peer.tell(&[started]).await).0, E::InternalError);
    assert_eq!(node.seen_by_now(), None);
}

#[tokio::test]
async fn an_asynchronous_request_reaches_its_actor_in_the_name_of_the_asker() {
    let mut node = Node::start().await;
    let mut peer = node.dial().await;
    let numbered = |correlation_id: &str, type_name: &str, reply_to: &str| {
        let message = proto::Any::pack(type_name, prost_bytes("wrapped"));
        let request = proto::AsyncRequest {
            correlation_id: correlation_id.into(),
            reply_to: reply_to.into(),
            message: Some(message),
        };
        of_goakt(&peer, "probe", "internalpb.AsyncRequest", &request.to_bytes())
    };
    let request = |type_name: &str, reply_to: &str| numbered("c1", type_name, reply_to);
    let asker = "goakt://go@127.0.0.1:9/asker";
    let good = request("test.Say", asker);
    let bad =
        [request("nobody.Knows", asker), request("test.Say", "asker"), request("test.Say", "")];
    let long = [1024, 1025].map(|len| numbered(&"c".repeat(len), "test.Say", asker));
    let [longest, too_long] = long;
    for good in [good, longest] {
        assert_eq!(peer.tell(&[good]).await, Answer::Done);
        let seen = node.seen().await;
        assert_eq!((seen.text.as_str(), seen.sender.as_deref()), ("wrapped", Some(asker)));
    }
    let (code, text) = error(peer.tell(&[too_long]).await);
    assert_eq!(code, E::InvalidArgument);
    assert!(text.contains("1025 bytes, the limit is 1024"), "{text}");
    for bad in bad {
        let (code, text) = error(peer.tell(&[bad]).await);
        assert_eq!(code, E::InternalError);
        assert!(text.starts_with("invalid remote message"), "{text}");
    }
    assert_eq!(node.seen_by_now(), None);
}

fn prost_bytes(text: &str) -> bytes::Bytes {
    prost::Message::encode_to_vec(&goakt::Say { text: text.to_owned() }).into()
}

/// Carries `x-trace`, and refuses what has an `x-refuse`.
struct Tracer;

impl ContextPropagator for Tracer {
    fn inject(&self, _: &Extensions, _: &mut Metadata) -> Result<(), BoxError> {
        Ok(())
    }

    fn extract(&self, carrier: &Metadata, _: &mut Extensions) -> Result<(), BoxError> {
        match carrier.get("x-refuse") {
            Some("panic") => panic!("as it was told"),
            Some(text) => Err(text.into()),
            None => Ok(()),
        }
    }
}

#[tokio::test]
async fn headers_reach_the_propagator_and_the_actor() -> Result {
    let mut node = Node::built(
        |config| config.goakt(GoAkt::new()),
        |builder| builder.context_propagator(Tracer),
    )
    .await;
    let mut peer = node.dial().await;
    let batch = [peer.say("probe", "1"), peer.say("probe", "2")];
    let (messages, mut headers) = (outgoing(&batch), Metadata::new());
    headers.insert("X-Trace", "abc")?;
    peer.queue(&Call::Tell(&messages), &headers, None);
    peer.flush().await;
    assert_eq!(peer.answer().await, Answer::Done);
    for _ in 0..2 {
        assert_eq!(node.seen().await.metadata, [("x-trace".to_owned(), "abc".to_owned())]);
    }

    for (text, expected) in [("not like this", "not like this"), ("panic", "panicked")] {
        headers.insert("X-Refuse", text)?;
        peer.queue(&Call::Tell(&messages), &headers, None);
        peer.queue(&Call::Ask { messages: &messages, timeout: 60 * SECOND }, &headers, None);
        peer.flush().await;
        for _ in 0..2 {
            let (code, text) = error(peer.answer().await);
            assert_eq!(code, E::InvalidArgument);
            assert!(text.contains(expected), "{text}");
        }
    }
    let lookup = Call::Lookup(peer.target("probe"));
    peer.queue(&lookup, &headers, None);
    peer.flush().await;
    assert!(matches!(peer.answer().await, Answer::Address(_)), "only messages have headers");
    assert_eq!(node.seen_by_now(), None);
    Ok(())
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_under_way_and_refuses_the_rest() {
    let node = Node::start().await;
    let mut events = node.system.events();
    let (mut busy, mut idle) = (node.dial().await, node.dial().await);
    assert_eq!(idle.ask_echo("before").await, "before");
    let hold = busy.hold("probe");
    busy.send_ask(&[hold], 60 * SECOND).await;
    node.gate.entered().await;
    let system = node.system.clone();
    let shutdown = tokio::spawn(async move { system.shutdown().await });
    stopped(&mut events, "other").await;

    let off = (E::FailedPrecondition, "remoting is not enabled".to_owned());
    // Sent together: a client that has heard it once sends nothing more.
    let say = [idle.say("probe", "x")];
    let ask = Call::Ask { messages: &outgoing(&say), timeout: 60 * SECOND };
    for call in [Call::Tell(&outgoing(&say)), ask, Call::Lookup(idle.target("probe"))] {
        idle.queue(&call, &Metadata::new(), None);
    }
    idle.flush().await;
    for _ in 0..3 {
        assert_eq!(error(idle.answer().await), off);
    }
    let dialed = node.memory.dial("127.0.0.1", goakt::LISTENED, SECOND).await;
    assert!(dialed.is_err(), "nobody listens any more");

    node.gate.open();
    assert_eq!(echoes(busy.answer().await), ["held"]);
    busy.closed().await;
    idle.closed().await;
    let report = within(shutdown).await.expect("it ends");
    assert_eq!(report.unfinished, Vec::<String>::new());
}

#[tokio::test]
async fn links_to_go_nodes_are_events() {
    let node = Node::start().await;
    let mut events = node.system.events();
    let mut peer = node.dial().await;
    assert_eq!(peer.ask_echo("x").await, "x");
    let up = event(&mut events, |event| match event {
        Event::LinkUp { peer } => Some(peer),
        _ => None,
    });
    assert_eq!(up.await, "memory");
    drop(peer);
    let down = event(&mut events, |event| match event {
        Event::LinkDown { peer, reason, .. } => Some((peer, reason)),
        _ => None,
    });
    assert_eq!(down.await.0, "memory");
}
