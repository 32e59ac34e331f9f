//! Calls to actors on GoAkt nodes, which are played by a script here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message as _;
use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{
    Client, ClientConfig, Compression, GoAkt, Listener, Opening, Stream, Transport,
};
use rakt::{AskError, OperationError, Refusal};
use rakt_wire::goakt::{ErrorCode, Incoming, Request};
use tokio::sync::{Notify, Semaphore};

use crate::memory::Memory;
use crate::messages;
use crate::nodes::{self, dead_letter};
use crate::probe::{self, Number, number};
use crate::scripted::{self, Act, Scripted, Told, at_once, echoing};
use crate::support::{begun, within};

const HOUR: Duration = Duration::from_secs(3600);

/// Its reply has a name, as GoAkt needs.
#[derive(Clone, PartialEq, prost::Message)]
struct Question {
    #[prost(string, tag = "1")]
    text: String,
}

rakt::messages! { Question as "tests.Question" => Question as "tests.Question" }

fn question(text: impl Into<String>) -> Question {
    Question { text: text.into() }
}

fn client() -> Client {
    client_with(ClientConfig::new())
}

fn client_with(config: ClientConfig) -> Client {
    Client::new("caller", config).expect("valid options")
}

/// A client in `network` whose options are `options`.
fn client_in(network: &Memory, options: GoAkt) -> Client {
    client_with(ClientConfig::new().transport(network.clone()).goakt(options))
}

fn number_of(told: &Told) -> u64 {
    Number::decode(told.value.clone()).expect("a number").n
}

async fn told(node: &mut Scripted) -> Told {
    within(node.told.recv()).await.expect("the node lives")
}

fn refusal_of<M>(result: std::result::Result<impl std::fmt::Debug, AskError<M>>) -> Refusal {
    let error = result.expect_err("it fails");
    error.refusal().unwrap_or_else(|| panic!("not refused: {error}")).clone()
}

#[tokio::test]
async fn a_message_is_told_and_a_question_answered() -> Result {
    let mut node = Scripted::tcp(at_once(echoing)).await;
    let client = client();
    let actor = client.actor(&node.address("parent/echo"));

    within(actor.tell(number(7))).await?;
    let seen = told(&mut node).await;
    assert_eq!((&*seen.sender, number_of(&seen)), ("goakt://@:0/", 7));
    let address = format!("goakt://go@127.0.0.1:{}/parent/echo", node.port);
    assert_eq!((seen.receiver, &*seen.type_name), (address.clone(), "tests.Number"));

    within(actor.tell(number(8)).confirmed()).await?;
    assert_eq!(within(actor.ask(question("why?"))).await?, question("why?"));
    assert_eq!(actor.to_string(), address);
    within(client.close()).await;
    assert_eq!(refusal_of(actor.ask(question("still there?")).await), Refusal::Closed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tells_arrive_in_order_over_one_connection() -> Result {
    let mut node = Scripted::tcp(at_once(echoing)).await;
    let actor = client().actor(&node.address("counter"));
    for n in 0..10_000 {
        within(actor.tell(number(n))).await?;
    }
    within(actor.ask(question("all there?"))).await?;
    let mut requests = 0;
    for n in 0..10_000 {
        let seen = told(&mut node).await;
        assert_eq!((number_of(&seen), seen.conn), (n, 0));
        requests = seen.request + 1;
    }
    assert!(requests < 10_000, "what waits for a write becomes one request: {requests}");
    // The question had a connection to itself and came behind all of it.
    let last = told(&mut node).await;
    assert_eq!((&*last.type_name, last.conn, last.request), ("tests.Question", 1, requests));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_joined_and_fails_as_one() -> Result {
    let network = Memory::default();
    let first = Arc::new(Notify::new());
    let held = first.clone();
    // The first request is held until the test lets it go, and the second fails.
    let count = AtomicUsize::new(0);
    let script = move |_: Incoming| -> scripted::Doing {
        let (nth, held) = (count.fetch_add(1, Ordering::SeqCst), held.clone());
        Box::pin(async move {
            match nth {
                0 => held.notified().await,
                1 => return Act::Error(ErrorCode::NotFound, "(actor address=x) address not found"),
                _ => {}
            }
            Act::Done
        })
    };
    let mut node = Scripted::on(&network, 0, None, script).await;
    let client = client_in(&network, GoAkt::new());
    let mut events = client.events();
    let actor = client.actor(&node.address("gone"));
    within(actor.tell(number(0))).await?;
    assert_eq!(number_of(&told(&mut node).await), 0);
    // No turn for the driver between these: they wait together.
    for n in 1..=100 {
        actor.try_tell(number(n))?;
    }
    let other = client.actor(&node.address("there"));
    let confirmed = tokio::spawn(async move { other.tell(number(101)).confirmed().await });
    first.notify_one();
    let letter = dead_letter(&mut events).await;
    assert_eq!((letter.count, &*letter.message), (100, "tests.Number"));
    assert_eq!((letter.target, letter.reason), (actor.address().into(), Refusal::NotFound));
    assert_eq!(client.dead_letter_count(), 100);
    within(confirmed).await??;
    let seen: Vec<_> = std::iter::from_fn(|| node.told.try_recv().ok()).collect();
    assert_eq!(seen.iter().map(number_of).collect::<Vec<_>>(), (1..=101).collect::<Vec<_>>());
    assert!(seen[..100].iter().all(|told| told.request == 1));
    Ok(())
}

#[tokio::test]
async fn every_error_of_a_node_is_a_refusal_of_its_own() -> Result {
    use ErrorCode as E;
    let text = |text: &str| text.to_owned();
    let send = "remote send failed\n";
    type Case = (ErrorCode, String, fn(&Refusal) -> bool);
    let cases: [Case; 12] = [
        (E::NotFound, text("(actor address=x) address not found"), |r| *r == Refusal::NotFound),
        (E::AlreadyExists, text("actor=(x) actor already exists"), |r| *r == Refusal::NameTaken),
        (
            E::InvalidArgument,
            text("invalid host"),
            |r| matches!(r, Refusal::InvalidArgument { source } if Chain(source).to_string().contains("bound to")),
        ),
        (E::Unavailable, text("quorum"), |r| matches!(r, Refusal::Internal { .. })),
        (E::FailedPrecondition, text("cluster is not enabled"), |r| {
            matches!(r, Refusal::Unsupported { .. })
        }),
        (E::FailedPrecondition, text("actor type is not registered"), |r| {
            matches!(r, Refusal::KindNotRegistered { .. })
        }),
        (E::FailedPrecondition, text("(actor=GoAktX) actor not found"), |r| {
            matches!(r, Refusal::Denied { .. })
        }),
        (E::FailedPrecondition, text("remoting is not enabled"), |r| *r == Refusal::RemotingOff),
        (E::InternalError, format!("{send}actor is not alive"), |r| *r == Refusal::Stopped),
        (
            E::InternalError,
            format!("{send}invalid remote message\nproto: not found"),
            |r| matches!(r, Refusal::Undecodable { source } if Chain(source).to_string().contains("registered")),
        ),
        (E::InternalError, text("panic"), |r| matches!(r, Refusal::Internal { .. })),
        (E::DeadlineExceeded, format!("{send}request timed out"), |r| {
            *r == Refusal::DeadlineExceeded
        }),
    ];
    for (code, text, expected) in cases {
        let answer: &'static str = String::leak(text.clone());
        let node = Scripted::tcp(at_once(move |_| Act::Error(code, answer))).await;
        let client = client();
        let actor = client.actor(&node.address("x"));
        let refusal = refusal_of(within(actor.ask(question("?"))).await);
        assert!(expected(&refusal), "asked: {text}: {refusal:?}");
        let refusal = refusal_of(within(actor.tell(number(1)).confirmed()).await);
        assert!(expected(&refusal), "told: {text}: {refusal:?}");
        match (within(actor.respawn()).await, within(actor.stop()).await) {
            // An actor that is gone has stopped.
            (Err(OperationError::Refused { refusal, .. }), Ok(())) => {
                assert!(matches!(refusal, Refusal::NotFound | Refusal::Stopped), "{refusal:?}");
            }
            (Err(respawn), Err(stop)) => {
                assert!(respawn.refusal().is_some_and(expected), "{text}: {respawn}");
                assert!(stop.refusal().is_some_and(expected), "{text}: {stop}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn operations_reach_the_node_as_a_go_client_would_send_them() -> Result {
    let mut node = Scripted::tcp(at_once(echoing)).await;
    let (host, port) = ("127.0.0.1", node.port);
    let client = client_with(ClientConfig::new().goakt(GoAkt::new().peer(host, port)));

    let found = within(client.node(host, port).lookup::<AnyActor>("echo")).await?;
    let found = found.expect("it is there");
    assert_eq!(found.to_string(), node.address("echo").to_string());
    let spawned: ActorRef =
        within(client.node(host, port).spawn("w-1", " main.Worker ").into_future()).await?;
    assert_eq!(spawned.address(), node.address("w-1"));
    within(found.stop()).await?;
    within(found.respawn()).await?;
    within(found.reinstate()).await?;
    within(client.node(host, port).ping()).await?;
    within(client.actor(&node.address("parent/child")).stop()).await?;
    within(client.node(host, port).stop("w-1")).await?;

    let mut seen = Vec::new();
    while let Ok(incoming) = node.requests.try_recv() {
        seen.push(match incoming.request {
            Request::Lookup(target) => format!("lookup {}", target.name),
            Request::Spawn(spawn) => format!("spawn {} {}", spawn.actor_name, spawn.actor_type),
            Request::Stop(target) => format!("stop {}:{}", target.host, target.name),
            Request::Respawn(target) => format!("respawn {}", target.name),
            Request::Reinstate(target) => format!("reinstate {}", target.name),
            other => panic!("{other:?}"),
        });
    }
    let expected = [
        "lookup echo",
        "spawn w-1 main.worker",
        "lookup w-1",
        "stop 127.0.0.1:echo",
        "respawn echo",
        "reinstate echo",
        "lookup GoAktRootGuardian",
        "stop 127.0.0.1:parent/child",
        "stop 127.0.0.1:w-1",
    ];
    assert_eq!(seen, expected);
    assert_eq!(node.dialed(), 1, "one after the other they share a connection");
    Ok(())
}

#[tokio::test]
async fn what_a_node_does_not_have_is_said_clearly() -> Result {
    use ErrorCode as E;
    let node = Scripted::tcp(at_once(|incoming| match incoming.request {
        Request::Lookup(target) if target.name == "elsewhere" => {
            Act::Address("goakt://other@10.9.8.7:65000/elsewhere".to_owned())
        }
        Request::Lookup(target) if target.name == "nonsense" => Act::Address("nonsense".to_owned()),
        Request::Lookup(_) => Act::Error(E::NotFound, "(actor address=x) address not found"),
        Request::Spawn(_) => Act::Error(E::FailedPrecondition, "actor type is not registered"),
        _ => Act::Error(E::InvalidArgument, "invalid host"),
    }))
    .await;
    let (host, port) = ("127.0.0.1", node.port);
    let client = client_with(ClientConfig::new().goakt(GoAkt::new().peer(host, port)));
    assert!(within(client.node(host, port).lookup::<AnyActor>("x")).await?.is_none());
    let elsewhere = within(client.node(host, port).lookup::<AnyActor>("elsewhere")).await?;
    let elsewhere = elsewhere.expect("it is on another node").to_string();
    assert_eq!(elsewhere, "goakt://other@10.9.8.7:65000/elsewhere");
    let nonsense = within(client.node(host, port).lookup::<AnyActor>("nonsense")).await;
    assert!(nonsense.is_err_and(|error| Chain(&error).to_string().contains("no address")));
    let spawn = client.node(host, port).spawn::<AnyActor>("w", "main.unknown").into_future();
    let error = within(spawn).await.expect_err("no such kind");
    let error = Chain(&error).to_string();
    assert!(error.contains("\"main.unknown\" is not registered"), "{error}");
    // Any answer but this one: nobody has the name that a ping asks for.
    within(client.node(host, port).ping()).await?;
    let error = within(client.node(host, port).kinds()).await.expect_err("no cluster");
    assert!(matches!(error.refusal(), Some(Refusal::Unsupported { .. })), "{error}");
    let error = within(client.actor(&node.address("x")).stop()).await.expect_err("wrong host");
    let error = Chain(&error).to_string();
    assert!(error.contains("only the IP address and port that it is bound to"), "{error}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_times_out_takes_its_connection_along() -> Result {
    let network = Memory::default();
    let late = Arc::new(Notify::new());
    let held = late.clone();
    let script = move |incoming: Incoming| -> scripted::Doing {
        let held = held.clone();
        Box::pin(async move {
            let act = echoing(incoming);
            if let Act::Reply(_, value) = &act
                && Question::decode(value.clone()).is_ok_and(|question| question.text == "late")
            {
                held.notified().await;
            }
            act
        })
    };
    let node = Scripted::on(&network, 0, None, script).await;
    let client = client_in(&network, GoAkt::new());
    let actor = client.actor(&node.address("slow"));
    let limit = Duration::from_millis(200);
    let error = actor.ask(question("late")).timeout(limit).await.expect_err("too late");
    assert!(matches!(error, AskError::Timeout { .. }), "{error}");
    late.notify_one();
    // The reply that comes now belongs to nobody.
    for n in 0..10 {
        let reply = within(actor.ask(question(n.to_string()))).await?;
        assert_eq!(reply, question(n.to_string()));
    }
    assert_eq!(node.dialed(), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_dropped_ask_takes_its_connection_along() -> Result {
    let network = Memory::default();
    let mut node = Scripted::on(
        &network,
        0,
        None,
        at_once(|incoming| {
            let act = echoing(incoming);
            match &act {
                Act::Reply(_, value) if value.is_empty() => Act::Never,
                _ => act,
            }
        }),
    )
    .await;
    let client = client_in(&network, GoAkt::new());
    let actor = client.actor(&node.address("silent"));
    {
        let asked = actor.ask(question("")).timeout(Duration::from_secs(3600));
        tokio::select! {
            _ = asked => panic!("nobody answers"),
            _ = told(&mut node) => {}
        }
    }
    within(async {
        while node.open() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(within(actor.ask(question("b"))).await?, question("b"));
    assert_eq!(node.dialed(), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn at_most_eight_connections_stay_and_for_thirty_seconds() -> Result {
    let network = Memory::default();
    let gate = Arc::new(Semaphore::new(0));
    let mut node = Scripted::on(&network, 0, None, echoing_past(&gate)).await;
    let client = client_in(&network, GoAkt::new().max_connections_per_peer(24));
    let actor = client.actor(&node.address("slow"));
    let asked = |count: usize| {
        let asks = (0..count).map(|n| {
            let actor = actor.clone();
            tokio::spawn(async move { actor.ask(question(n.to_string())).timeout(HOUR).await })
        });
        asks.collect::<Vec<_>>()
    };
    let asks = asked(30);
    // Four of the connections are for tells, the others can be in use at one time.
    for _ in 0..20 {
        told(&mut node).await;
    }
    assert_eq!(node.dialed(), 20);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((node.dialed(), node.told.try_recv().is_err()), (20, true), "ten are waiting");
    gate.add_permits(30);
    for (n, ask) in asks.into_iter().enumerate() {
        assert_eq!(within(ask).await??, question(n.to_string()));
    }
    within(settled(|| node.open() == 8)).await;
    assert_eq!(node.dialed(), 20);

    // The one used last is used next.
    gate.add_permits(3);
    while node.told.try_recv().is_ok() {}
    let mut used = Vec::new();
    for _ in 0..3 {
        within(actor.ask(question("again"))).await?;
        used.push(told(&mut node).await.conn);
        tokio::time::sleep(Duration::from_secs(12)).await;
    }
    assert!(used.iter().all(|conn| *conn == used[0]), "{used:?}");
    // 36 s later the seven others are gone, and after 30 s without use this one as well.
    assert_eq!(node.open(), 1);
    tokio::time::sleep(Duration::from_secs(17)).await;
    assert_eq!(node.open(), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(node.open(), 0);
    Ok(())
}

/// A script that lets one request pass for each permit.
fn echoing_past(gate: &Arc<Semaphore>) -> impl Fn(Incoming) -> scripted::Doing + use<> {
    let gate = gate.clone();
    move |incoming| {
        let gate = gate.clone();
        Box::pin(async move {
            gate.acquire().await.expect("open").forget();
            echoing(incoming)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_connections_are_kept_than_max_idle_conns() -> Result {
    let network = Memory::default();
    let gate = Arc::new(Semaphore::new(0));
    let mut node = Scripted::on(&network, 0, None, echoing_past(&gate)).await;
    let client = client_in(&network, GoAkt::new().max_idle_conns(3));
    let actor = client.actor(&node.address("echo"));
    let asks: Vec<_> = (0..5)
        .map(|_| {
            let actor = actor.clone();
            tokio::spawn(async move { actor.ask(question("now")).await })
        })
        .collect();
    for _ in 0..5 {
        told(&mut node).await;
    }
    assert_eq!((node.dialed(), node.open()), (5, 5));
    gate.add_permits(5);
    for ask in asks {
        within(ask).await??;
    }
    within(settled(|| node.open() <= 3)).await;
    assert_eq!(node.open(), 3);
    Ok(())
}

/// Lets others go on until something is so.
async fn settled(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_lane_is_closed_and_opened_again() -> Result {
    let network = Memory::default();
    let mut node = Scripted::on(&network, 0, None, at_once(echoing)).await;
    let client = client_in(&network, GoAkt::new().idle_timeout(Duration::from_secs(7)));
    let actor = client.actor(&node.address("a"));
    within(actor.tell(number(1))).await?;
    told(&mut node).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(node.open(), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(node.open(), 0);
    within(actor.tell(number(2)).confirmed()).await?;
    assert_eq!((told(&mut node).await.conn, client.dead_letter_count()), (1, 0));
    Ok(())
}

#[tokio::test]
async fn after_a_restart_of_the_node_calls_go_on() -> Result {
    let node = Scripted::tcp(at_once(echoing)).await;
    let (port, address) = (node.port, node.address("echo"));
    let options = GoAkt::new().peer("127.0.0.1", port);
    let client = client_with(ClientConfig::new().goakt(options));
    let actor = client.actor(&address);
    within(actor.ask(question("before"))).await?;
    within(actor.tell(number(1)).confirmed()).await?;
    drop(node);

    // Either the old connections end, or new ones are refused; whatever it is, it is one of these.
    let failed = within(async {
        loop {
            match actor.ask(question("meanwhile")).await {
                Err(error @ AskError::NotSent { .. }) => break error,
                Err(AskError::ConnectionLost { .. } | AskError::Refused { .. }) | Ok(_) => {}
                Err(other) => panic!("{other}"),
            }
        }
    })
    .await;
    assert!(matches!(failed.refusal(), Some(Refusal::Unreachable { .. })), "{failed}");
    let tell = within(actor.tell(number(2))).await.expect_err("nobody listens");
    assert!(matches!(tell.refusal, Refusal::Unreachable { .. }), "{}", tell.refusal);

    let network = scripted::Tcp;
    let mut node = Scripted::on(&network, port, None, at_once(echoing)).await;
    within(async { while actor.ask(question("after")).await.is_err() {} }).await;
    within(async { while actor.tell(number(3)).confirmed().await.is_err() {} }).await;
    assert_eq!(told(&mut node).await.type_name, "tests.Question");
    Ok(())
}

#[tokio::test]
async fn a_lookup_over_a_connection_that_has_died_meanwhile_is_tried_again() -> Result {
    let count = AtomicUsize::new(0);
    let node = Scripted::tcp(at_once(move |incoming| {
        // The second request over the first connection finds it closed under its hands.
        match count.fetch_add(1, Ordering::SeqCst) {
            1 | 3 => Act::Close,
            _ => echoing(incoming),
        }
    }))
    .await;
    let (host, port) = ("127.0.0.1", node.port);
    let client = client_with(ClientConfig::new().goakt(GoAkt::new().peer(host, port)));
    for _ in 0..2 {
        let found = within(client.node(host, port).lookup::<AnyActor>("echo")).await?;
        assert!(found.is_some());
    }
    assert_eq!(node.dialed(), 2);
    // What is not a question only is not repeated: the node may have acted on it.
    let actor = client.actor(&node.address("echo"));
    let error = within(actor.stop()).await.expect_err("closed");
    assert!(matches!(error, OperationError::ConnectionLost { .. }), "{error}");
    assert_eq!(node.dialed(), 2);
    Ok(())
}

#[tokio::test]
async fn connections_that_end_or_carry_nonsense_end_the_request_once() -> Result {
    let garbage = [
        Act::Close,
        Act::Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        Act::Raw(vec![0, 0, 0, 7, 0, 0, 0, 0]),
        Act::Raw(vec![1, 0, 0, 1, 0, 0, 0, 0]),
        Act::Raw(vec![0, 0, 0, 14, 0, 0, 0, 6, b'f', b'o', b'o', b'.', b'B', b'a']),
    ];
    for act in garbage {
        let doing = act.clone();
        let node = Scripted::tcp(at_once(move |_| doing.clone())).await;
        let options = GoAkt::new().compression(Compression::None);
        let client = client_with(ClientConfig::new().goakt(options));
        let mut events = client.events();
        let actor = client.actor(&node.address("a"));
        let asked = within(actor.ask(question("?"))).await.expect_err("no answer");
        assert!(
            matches!(asked, AskError::ConnectionLost { .. })
                || matches!(asked.refusal(), Some(Refusal::Incompatible { .. })),
            "{act:?}: {asked:?}"
        );
        if let Act::Raw(bytes) = &act
            && bytes[0] > 1
        {
            // It is not dialed again at once, and everybody hears why.
            let error = within(actor.tell(number(1))).await.expect_err("not now").refusal;
            assert!(Chain(&error).to_string().contains("both must be set alike"), "{error}");
            assert!(Chain(&error).to_string().contains("GoAkt v3.14 is needed"), "{error}");
            continue;
        }
        within(actor.tell(number(1))).await?;
        let letter = dead_letter(&mut events).await;
        assert_eq!(letter.count, 1);
        assert!(matches!(letter.reason, Refusal::Unreachable { .. }), "{letter:?}");
    }
    Ok(())
}

#[tokio::test]
async fn every_compression_works_and_a_wrong_one_is_named() -> Result {
    let all = [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Brotli];
    let all = all.into_iter().filter(|compression| compression.is_available());
    for (theirs, ours) in all.clone().flat_map(|a| all.clone().map(move |b| (a, b))) {
        let mut node = Scripted::on(&scripted::Tcp, 0, Some(theirs), at_once(echoing)).await;
        let peer = GoAkt::new().peer_with("127.0.0.1", node.port, ours);
        let client = client_with(ClientConfig::new().goakt(peer));
        let actor = client.actor(&node.address("echo"));
        let asked = within(actor.ask(question("x".repeat(100_000)))).await;
        if theirs == ours {
            assert_eq!(asked?, question("x".repeat(100_000)));
            for n in 0..100 {
                within(actor.tell(number(n))).await?;
            }
            within(actor.tell(number(100)).confirmed()).await?;
            told(&mut node).await;
            for n in 0..=100 {
                assert_eq!(number_of(&told(&mut node).await), n);
            }
            continue;
        }
        let error = asked.expect_err("they do not understand each other");
        let error = Chain(&error).to_string();
        let names_cause = error.contains("set alike") || error.contains("compression");
        assert!(names_cause, "{theirs} asked with {ours}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_frame_of_sixteen_mebibytes_passes_and_one_byte_more_is_refused_here() -> Result {
    const LIMIT: usize = 16 * 1024 * 1024;
    let mut node = Scripted::tcp(at_once(echoing)).await;
    let options = GoAkt::new().compression(Compression::None);
    let client = client_with(ClientConfig::new().goakt(options));
    let actor = client.actor(&node.address("echo"));
    // A little over it, to learn how much the frame adds.
    let refusal = refusal_of(within(actor.ask(question("x".repeat(LIMIT)))).await);
    let Refusal::TooLarge { size, limit } = refusal else { panic!("{refusal:?}") };
    assert_eq!(limit, LIMIT as u64);
    let fits = LIMIT - (size - limit) as usize;
    let reply = within(actor.ask(question("x".repeat(fits)))).await;
    // The reply has the same payload and fewer names.
    assert_eq!(reply?.text.len(), fits);
    let one_more = actor.ask(question("x".repeat(fits + 1)));
    let refusal = refusal_of(within(one_more).await);
    assert_eq!(refusal, Refusal::TooLarge { size: limit + 1, limit });

    let told_more = within(actor.tell(question("x".repeat(LIMIT)))).await.expect_err("too large");
    let Refusal::TooLarge { size, .. } = told_more.refusal else { panic!("{told_more}") };
    let fits = LIMIT - (size - limit) as usize;
    within(actor.tell(question("x".repeat(fits))).confirmed()).await?;
    let one_more = within(actor.tell(question("x".repeat(fits + 1)))).await;
    let refusal = one_more.expect_err("too large").refusal;
    assert_eq!(refusal, Refusal::TooLarge { size: limit + 1, limit });
    assert_eq!(client.dead_letter_count(), 0);
    let lens = [told(&mut node).await, told(&mut node).await].map(|told| told.value.len());
    assert!(node.told.try_recv().is_err(), "nothing else was sent: {lens:?}");
    Ok(())
}

#[tokio::test]
async fn replies_that_are_not_what_was_asked_for_are_told_apart() -> Result {
    let node = Scripted::tcp(at_once(|incoming| {
        let Request::Ask { messages, .. } = &incoming.request else { return Act::Done };
        let receiver = messages.iter().next().expect("one").receiver.to_owned();
        match receiver.rsplit('/').next() {
            Some("other") => Act::Reply("tests.Other", bytes::Bytes::from_static(b"\x0a\x01x")),
            Some("nil") => Act::Reply("", bytes::Bytes::new()),
            Some("none") => Act::NoReplies,
            Some("broken") => Act::Reply("tests.Question", bytes::Bytes::from_static(b"\x0a")),
            _ => Act::Done,
        }
    }))
    .await;
    let client = client();
    let at = |name: &str| client.actor(&node.address(name));
    let error = within(at("other").ask(question("?"))).await.expect_err("another type");
    assert!(matches!(error, AskError::BadReply { .. }), "{error}");
    assert!(Chain(&error).to_string().contains("tests.Other"), "{error}");
    for name in ["nil", "none"] {
        assert_eq!(refusal_of(within(at(name).ask(question("?"))).await), Refusal::NoReply);
        // Who expects nothing is content with it.
        within(at(name).ask(number(1))).await?;
    }
    let error = within(at("broken").ask(question("?"))).await.expect_err("it does not decode");
    assert!(matches!(error, AskError::BadReply { .. }), "{error}");
    // A reply without a name could not be recognised, so nothing is sent.
    let error = within(at("nil").ask(crate::goakt::Nameless {})).await.expect_err("no name");
    assert!(matches!(error, AskError::NotSent { .. }), "{error}");
    assert!(Chain(&error).to_string().contains("has no wire name"), "{error}");
    Ok(())
}

#[tokio::test]
async fn senders_are_named_as_go_nodes_can_read_them() -> Result {
    let mut node = Scripted::tcp(at_once(echoing)).await;
    let system = nodes::node("rust").await;
    let (probe, _seen) = probe::Probe::spawn(&system, "probe").await;
    let (host, port) = system.advertised();
    let actor = system.actor(&node.address("a"));
    within(actor.tell(number(1)).sender(&probe)).await?;
    assert_eq!(told(&mut node).await.sender, format!("goakt://rust@{host}:{port}/probe"));
    within(actor.ask(question("?")).sender(&probe)).await?;
    assert_eq!(told(&mut node).await.sender, format!("goakt://rust@{host}:{port}/probe"));
    // Of another node's actor deep down, all ancestors stand where Go nodes read one parent.
    let deep = system.actor(&"rakt://r@10.0.0.1:7/a/b/c".parse()?);
    within(actor.tell(number(2)).sender(&deep)).await?;
    assert_eq!(told(&mut node).await.sender, "goakt://r@10.0.0.1:7/a~b/c");
    // One that nobody can reach is nobody.
    let alone = ActorSystem::builder("alone").start().await?;
    let (hermit, _seen) = probe::Probe::spawn(&alone, "hermit").await;
    for sender in [hermit.untyped(), system.actor(&"rakt://r@[::1]:7/a".parse()?)] {
        within(actor.tell(number(3)).sender(&sender)).await?;
        assert_eq!(told(&mut node).await.sender, "goakt://@:0/");
    }
    system.shutdown().await;
    alone.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn the_options_tell_which_addresses_are_those_of_go_nodes() -> Result {
    let mut node = Scripted::tcp(at_once(echoing)).await;
    let client = client_with(ClientConfig::new().goakt(GoAkt::new().peer("127.0.0.1", node.port)));
    let address = Address::new("a", "go", "127.0.0.1", node.port)?;
    within(client.tell(&address, number(1)).confirmed()).await?;
    assert_eq!(told(&mut node).await.receiver, format!("goakt://go@127.0.0.1:{}/a", node.port));
    let system = ActorSystem::builder("home")
        .remoting(nodes::config().goakt(GoAkt::new().peer("127.0.0.1", node.port)))
        .start()
        .await?;
    within(system.actor(&address).tell(number(2)).confirmed()).await?;
    assert_eq!(number_of(&told(&mut node).await), 2);
    within(client.close()).await;
    system.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn headers_the_timeout_and_if_wanted_the_deadline_go_along() -> Result {
    for wanted in [false, true] {
        let mut node = Scripted::tcp(at_once(echoing)).await;
        let options = GoAkt::new().send_deadlines(wanted);
        let client = client_with(ClientConfig::new().goakt(options));
        let actor = client.actor(&node.address("a"));
        let mut metadata = rakt::Metadata::new();
        metadata.insert("traceparent", "00-abc")?;
        within(actor.tell(number(1)).metadata(metadata.clone())).await?;
        let limit = Duration::from_secs(17);
        within(actor.ask(question("?")).metadata(metadata).timeout(limit)).await?;
        for _ in 0..2 {
            let incoming = within(node.requests.recv()).await.expect("a request");
            assert_eq!(incoming.metadata.get("traceparent"), Some("00-abc"));
            let now = std::time::SystemTime::now();
            let remaining = incoming.deadline.map(|deadline| deadline.remaining(now));
            match incoming.request {
                Request::Ask { timeout, .. } => {
                    assert!(timeout <= limit && timeout > limit / 2, "{timeout:?}");
                    assert_eq!(remaining.is_some(), wanted);
                    let is_near = |left: Duration| left <= limit && left > limit / 2;
                    assert!(remaining.is_none_or(is_near), "{remaining:?}");
                }
                _ => assert_eq!(remaining, None),
            }
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_down_is_not_talked_to_any_more() -> Result {
    let network = Memory::default();
    let is_down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let down = is_down.clone();
    let node = Scripted::on(
        &network,
        0,
        None,
        at_once(move |incoming| match down.load(Ordering::SeqCst) {
            true => Act::Error(ErrorCode::FailedPrecondition, "remoting is not enabled"),
            false => echoing(incoming),
        }),
    )
    .await;
    let client = client_in(&network, GoAkt::new());
    let actor = client.actor(&node.address("a"));
    assert_eq!(refusal_of(within(actor.ask(question("?"))).await), Refusal::RemotingOff);
    let confirmed = within(actor.tell(number(1)).confirmed()).await;
    assert_eq!(refusal_of(confirmed), Refusal::RemotingOff);
    within(settled(|| node.open() == 0)).await;
    is_down.store(false, Ordering::SeqCst);
    within(actor.ask(question("?"))).await?;
    within(actor.tell(number(1)).confirmed()).await?;
    assert_eq!(node.dialed(), 4);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_tell_that_is_never_acknowledged_ends_its_connection() -> Result {
    let network = Memory::default();
    let node = Scripted::on(&network, 0, None, at_once(|_| Act::Never)).await;
    let options = GoAkt::new().answer_timeout(Duration::from_secs(3));
    let client = client_in(&network, options);
    let mut events = client.events();
    let actor = client.actor(&node.address("silent"));
    let before = tokio::time::Instant::now();
    within(actor.tell(number(1))).await?;
    let confirmed = within(actor.tell(number(2)).confirmed().timeout(HOUR)).await;
    assert!(matches!(confirmed, Err(AskError::ConnectionLost { .. })), "{confirmed:?}");
    assert_eq!(before.elapsed().as_secs(), 3);
    let letter = dead_letter(&mut events).await;
    assert_eq!((letter.count, &*letter.message), (1, "tests.Number"));
    Ok(())
}

/// A node that holds the first tell until it is told to go on, and leaves that of `number` unanswered. What
/// it acknowledges it notes.
async fn forgetful(
    network: &Memory,
    number: u64,
) -> (Scripted, Arc<Notify>, Arc<std::sync::Mutex<Vec<u64>>>) {
    let go = Arc::new(Notify::new());
    let acknowledged = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (held, noted) = (go.clone(), acknowledged.clone());
    let script = move |incoming: Incoming| -> scripted::Doing {
        let (held, noted) = (held.clone(), noted.clone());
        Box::pin(async move {
            let Request::Tell(messages) = &incoming.request else { return echoing(incoming) };
            let value = messages.iter().next().expect("one").message.value;
            let n = Number::decode(value).expect("a number").n;
            match n {
                0 => held.notified().await,
                n if n == number => return Act::Unanswered,
                _ => {}
            }
            noted.lock().expect("not poisoned").push(n);
            Act::Done
        })
    };
    (Scripted::on(network, 0, Some(Compression::None), script).await, go, acknowledged)
}

#[tokio::test(start_paused = true)]
async fn no_tell_is_confirmed_that_was_not_acknowledged() -> Result {
    for unanswered in [1, 3, 5, 8] {
        let network = Memory::default();
        let (mut node, go, acknowledged) = forgetful(&network, unanswered).await;
        let client = client_in(&network, GoAkt::new().compression(Compression::None));
        let actor = client.actor(&node.address("a"));
        let confirm = |n: u64| {
            let actor = actor.clone();
            tokio::spawn(async move { actor.tell(number(n)).confirmed().timeout(HOUR).await })
        };
        let first = confirm(0);
        told(&mut node).await;
        // These leave while the node is busy with the first, in two writes.
        let mut tells = vec![first];
        for wave in [1..5, 5..9] {
            tells.extend(wave.map(confirm));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let before = tokio::time::Instant::now();
        go.notify_one();
        let mut lost = Vec::new();
        for (n, tell) in tells.into_iter().enumerate() {
            let n = n as u64;
            match within(tell).await? {
                Ok(()) => assert!(acknowledged.lock().expect("not poisoned").contains(&n), "{n}"),
                Err(error @ AskError::ConnectionLost { .. }) => {
                    assert!(Chain(&error).to_string().contains("without an answer"), "{error}");
                    lost.push(n);
                }
                Err(error) => panic!("{n}: {error}"),
            }
        }
        assert!(lost.contains(&unanswered) && lost.len() < 9, "{lost:?}");
        assert!(before.elapsed() < Duration::from_millis(300), "{:?}", before.elapsed());
        // The connection is as good as before, and in step.
        within(actor.tell(number(9)).confirmed()).await?;
        assert_eq!((node.dialed(), client.dead_letter_count()), (1, 0));
        let seen: Vec<_> = std::iter::from_fn(|| node.told.try_recv().ok()).collect();
        assert_eq!(seen.iter().map(number_of).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_plain_tell_without_an_answer_is_a_dead_letter_soon_and_asks_go_on() -> Result {
    let network = Memory::default();
    let (mut node, _, _) = forgetful(&network, 2).await;
    let client = client_in(&network, GoAkt::new().compression(Compression::None));
    let mut events = client.events();
    let actor = client.actor(&node.address("a"));
    within(actor.tell(number(1)).confirmed()).await?;
    let before = tokio::time::Instant::now();
    within(actor.tell(number(2))).await?;
    // It waits for the end of what was told before.
    within(actor.ask(question("?"))).await?;
    let letter = dead_letter(&mut events).await;
    assert!(before.elapsed() < Duration::from_millis(300), "{:?}", before.elapsed());
    let Refusal::Unreachable { source, .. } = &letter.reason else { panic!("{letter:?}") };
    assert!(source.to_string().contains("without an answer"), "{source}");
    assert_eq!((letter.count, client.dead_letter_count()), (1, 1));
    told(&mut node).await;
    assert_eq!(number_of(&told(&mut node).await), 2, "it has arrived, which nobody can know");
    within(actor.tell(number(3)).confirmed()).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn senders_wait_when_the_node_takes_nothing() -> Result {
    let network = Memory::default();
    let gate = Arc::new(Notify::new());
    let held = gate.clone();
    let mut node = Scripted::on(&network, 0, None, move |incoming| {
        let held = held.clone();
        Box::pin(async move {
            held.notified().await;
            held.notify_one();
            echoing(incoming)
        })
    })
    .await;
    let client = client_in(&network, GoAkt::new().compression(Compression::None));
    let actor = client.actor(&node.address("slow"));
    let text = "x".repeat(10_000);
    let limit = Duration::from_secs(1);
    let mut sent = 0_usize;
    let refusal = loop {
        match actor.tell(question(&*text)).timeout(limit).await {
            Ok(()) => sent += 1,
            Err(error) => break error.refusal,
        }
    };
    assert_eq!(refusal, Refusal::DeadlineExceeded);
    assert!((200..2000).contains(&sent), "bounded by bytes: {sent}");
    let refusal = actor.try_tell(question(&*text)).expect_err("no room").refusal;
    assert!(matches!(refusal, Refusal::ResourceExhausted { limit: 0x10_0000, .. }), "{refusal:?}");
    // A question waits behind all of that.
    let asked = actor.ask(question("?")).timeout(limit).await.expect_err("not yet");
    assert!(matches!(asked, AskError::NotSent { .. }), "{asked}");
    gate.notify_one();
    within(actor.ask(question("?"))).await?;
    for _ in 0..sent {
        assert_eq!(told(&mut node).await.value.len(), 10_003);
    }
    assert_eq!(client.dead_letter_count(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_not_held_up_by_what_others_tell_after_it() -> Result {
    let node = Scripted::tcp(at_once(echoing)).await;
    let actor = client().actor(&node.address("busy"));
    let busy = actor.clone();
    let telling = tokio::spawn(async move { while busy.tell(number(1)).await.is_ok() {} });
    for n in 0..20 {
        let text = n.to_string();
        assert_eq!(within(actor.ask(question(&*text))).await?, question(text));
    }
    telling.abort();
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn every_one_of_several_has_an_outcome_of_its_own() -> Result {
    let network = Memory::default();
    let node = Scripted::on(
        &network,
        0,
        None,
        at_once(|incoming| {
            let (Request::Tell(messages) | Request::Ask { messages, .. }) = &incoming.request
            else {
                return Act::Done;
            };
            let value = messages.iter().next().expect("one").message.value;
            let n = Number::decode(value).map_or(0, |number| number.n);
            match n % 3 {
                1 => Act::Error(ErrorCode::NotFound, "address not found"),
                _ if matches!(incoming.request, Request::Tell(_)) => Act::Done,
                _ => Act::Reply("google.protobuf.Empty", bytes::Bytes::new()),
            }
        }),
    )
    .await;
    let client = client_in(&network, GoAkt::new());
    let actor = client.actor(&node.address("a"));
    let told = within(actor.tell_all((0..100).map(number))).await;
    let asked = within(actor.ask_all((0..100).map(number))).await;
    for (n, (told, asked)) in told.into_iter().zip(asked).enumerate() {
        if n % 3 == 1 {
            assert_eq!(
                (refusal_of(told), refusal_of(asked)),
                (Refusal::NotFound, Refusal::NotFound)
            );
        } else {
            told?;
            asked?;
        }
    }
    // One is for tells, and of those for asks 60 may be open.
    assert!(node.most_open() <= 61, "{} connections", node.most_open());
    Ok(())
}

#[tokio::test]
async fn closing_sends_what_was_told_before() -> Result {
    let mut node = Scripted::tcp(at_once(echoing)).await;
    let client = client();
    let actor = client.actor(&node.address("a"));
    for n in 0..1000 {
        within(actor.tell(number(n))).await?;
    }
    within(client.close()).await;
    for n in 0..1000 {
        assert_eq!(number_of(&told(&mut node).await), n);
    }
    within(settled(|| node.open() == 0)).await;
    assert_eq!(client.dead_letter_count(), 0);
    Ok(())
}

#[tokio::test]
async fn shutting_down_a_system_sends_what_was_told_before() -> Result {
    let mut node = Scripted::tcp(at_once(echoing)).await;
    let system = nodes::node("rust").await;
    let actor = system.actor(&node.address("a"));
    for n in 0..1000 {
        within(actor.tell(number(n))).await?;
    }
    within(system.shutdown()).await;
    for n in 0..1000 {
        assert_eq!(number_of(&told(&mut node).await), n);
    }
    within(settled(|| node.open() == 0)).await;
    let refusal = within(actor.tell(number(1))).await.expect_err("too late").refusal;
    assert_eq!(refusal, Refusal::Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn closing_waits_five_seconds_for_a_node_that_does_not_answer() -> Result {
    let network = Memory::default();
    let mut node = Scripted::on(&network, 0, None, at_once(|_| Act::Never)).await;
    let client = client_in(&network, GoAkt::new());
    let mut events = client.events();
    let actor = client.actor(&node.address("silent"));
    within(actor.tell(number(1))).await?;
    let waiting = actor.clone();
    let confirmed =
        tokio::spawn(async move { waiting.tell(number(2)).confirmed().timeout(HOUR).await });
    told(&mut node).await;
    let before = tokio::time::Instant::now();
    client.close().await;
    assert!(before.elapsed() <= Duration::from_secs(5), "{:?}", before.elapsed());
    // By then everybody has heard what became of it.
    assert!(confirmed.is_finished());
    let error = confirmed.await?.expect_err("no answer");
    assert!(matches!(error, AskError::ConnectionLost { .. }), "{error}");
    assert_eq!(dead_letter(&mut events).await.count, 1);
    assert_eq!(client.dead_letter_count(), 1);
    within(settled(|| node.open() == 0)).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_a_node_that_is_being_dialed() -> Result {
    let dial = ClientConfig::new().dial_timeout(HOUR).transport(Unreachable).goakt(GoAkt::new());
    let client = client_with(dial);
    let actor = client.actor(&"goakt://go@127.0.0.1:1/a".parse()?);
    let telling = begun(async move { actor.tell(number(1)).timeout(HOUR).await }).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let before = tokio::time::Instant::now();
    client.close().await;
    assert!(before.elapsed() < Duration::from_millis(10), "{:?}", before.elapsed());
    let refusal = within(telling).await.expect_err("it is closed").refusal;
    assert_eq!(refusal, Refusal::Closed);
    Ok(())
}

/// A network in which nobody ever answers a dial.
#[derive(Clone)]
struct Unreachable;

impl Transport for Unreachable {
    fn bind<'a>(&'a self, _: &'a str, _: u16) -> Opening<'a, Box<dyn Listener>> {
        Box::pin(std::future::pending())
    }

    fn dial<'a>(&'a self, _: &'a str, _: u16, _: Duration) -> Opening<'a, Box<dyn Stream>> {
        Box::pin(std::future::pending())
    }
}

/// A node of rakt that serves Go nodes, and a client that takes it for one.
async fn rust_node() -> Result<(ActorSystem, Client, String, u16)> {
    let system = nodes::node_with("rust", nodes::open().goakt(GoAkt::new())).await;
    let (host, port) = system.advertised();
    let client = client_with(ClientConfig::new().goakt(GoAkt::new().peer(host, port)));
    let host = host.to_owned();
    Ok((system, client, host, port))
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_rakt_understand_each_other_this_way_too() -> Result {
    let (system, client, host, port) = rust_node().await?;
    let (_probe, mut seen) = probe::Probe::spawn(&system, "probe").await;
    let probe = within(client.node(&host, port).lookup::<probe::Probe>("probe")).await?;
    let probe = probe.expect("it is there");
    assert_eq!(probe.to_string(), format!("goakt://rust@{host}:{port}/probe"));
    for n in 0..10_000 {
        within(probe.tell(number(n))).await?;
    }
    within(probe.tell(number(10_000)).confirmed()).await?;
    // What is confirmed is in the mailbox, behind all that came before.
    assert_eq!(seen.take(10_001).await, (0..=10_000).collect::<Vec<_>>());
    within(probe.ask(number(1))).await?;
    assert_eq!(seen.next().await, 1);
    within(client.node(&host, port).ping()).await?;
    assert!(within(client.node(&host, port).lookup::<probe::Probe>("nobody")).await?.is_none());

    // The probe has a handler for it, and does not accept it from peers.
    let refusal = refusal_of(within(probe.tell(messages::Unlisted {}).confirmed()).await);
    assert!(matches!(refusal, Refusal::Undecodable { .. }), "{refusal:?}");
    let fail = probe::Fail { why: "asked to".to_owned() };
    let refusal = refusal_of(within(probe.ask(fail)).await);
    assert!(matches!(refusal, Refusal::Internal { .. }), "{refusal:?}");

    within(probe.stop()).await?;
    assert_eq!(refusal_of(within(probe.ask(number(2))).await), Refusal::NotFound);
    let mut events = client.events();
    within(probe.tell(number(3))).await?;
    assert_eq!(dead_letter(&mut events).await.reason, Refusal::NotFound);
    within(client.close()).await;
    system.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_sender_is_answered_by_an_actor_of_another_system() -> Result {
    let (system, client, host, port) = rust_node().await?;
    let (_probe, _) = probe::Probe::spawn(&system, "probe").await;
    let home = nodes::node_with("home", nodes::config().goakt(GoAkt::new())).await;
    let (asker, mut answers) = probe::Probe::spawn(&home, "asker").await;
    let remote = home.actor(&format!("goakt://rust@{host}:{port}/replier").parse()?);

    /// Tells its sender what it is told.
    struct Replier;
    impl Actor for Replier {
        fn accepts(accepts: &mut Accepts<Self>) {
            accepts.remote::<Number>();
        }
    }
    impl Handler<Number> for Replier {
        async fn handle(&mut self, number: Number, ctx: &mut Context<Self>) -> Result {
            let sender = ctx.sender().ok_or("no sender")?.clone();
            sender.tell(Number { n: number.n + 1 }).await?;
            Ok(())
        }
    }
    system.spawn("replier", || Replier).await?;
    within(remote.tell(number(41)).sender(&asker)).await?;
    assert_eq!(answers.next().await, 42);

    /// Has a child of the name that it is told, down to `c`, which asks the replier.
    struct Nested(ActorRef, &'static str);
    impl Actor for Nested {
        fn accepts(accepts: &mut Accepts<Self>) {
            accepts.remote::<Number>();
        }
        async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
            let (replier, below) = (self.0.clone(), self.1);
            if let Some((name, below)) = below.split_once('/') {
                ctx.spawn(name, move || Nested(replier.clone(), below)).await?;
            } else if ctx.path() == "a/b/c" {
                ctx.tell(&replier, number(7)).await?;
            }
            Ok(())
        }
    }
    impl Handler<Number> for Nested {
        async fn handle(&mut self, number: Number, ctx: &mut Context<Self>) -> Result {
            let asker = ctx.system().find("asker").ok_or("no asker")?;
            let n = if ctx.path() == "a/b/c" { number.n } else { 0 };
            asker.tell(Number { n }).await?;
            Ok(())
        }
    }
    // The other one is who was answered where only two names were written.
    for (name, below) in [("b", "c/"), ("a", "b/c/")] {
        let replier = remote.clone();
        home.spawn(name, move || Nested(replier.clone(), below)).await?;
    }
    assert_eq!(answers.next().await, 8);
    drop(client);
    home.shutdown().await;
    system.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn an_actor_of_a_go_node_cannot_be_watched() -> Result {
    /// Watches whoever it is told of, and says what becomes of that.
    struct Watcher(tokio::sync::mpsc::UnboundedSender<Terminated>);
    struct Watch(ActorRef);
    rakt::messages! { Watch }
    impl Actor for Watcher {
        async fn terminated(&mut self, ended: &Terminated, _: &mut Context<Self>) -> Result {
            drop(self.0.send(ended.clone()));
            Ok(())
        }
    }
    impl Handler<Watch> for Watcher {
        async fn handle(&mut self, Watch(whom): Watch, ctx: &mut Context<Self>) -> Result {
            ctx.watch(&whom);
            Ok(())
        }
    }
    let node = Scripted::tcp(at_once(echoing)).await;
    let system = nodes::node("rust").await;
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let watcher = system.spawn("watcher", move || Watcher(said.clone())).await?;
    let actor = system.actor(&node.address("a"));
    within(watcher.tell(Watch(actor.clone()))).await?;
    let ended = within(heard.recv()).await.expect("it hears at once that it cannot");
    assert_eq!((ended.address, ended.reason), (actor.address(), rakt::StopReason::NotFound));
    system.shutdown().await;
    Ok(())
}

/// Nobody hears of the end of a Go actor, so a router keeps it until it is told otherwise.
#[tokio::test]
async fn an_actor_of_a_go_node_stays_a_member_of_a_router() -> Result {
    use rakt::routing::{Add, Remove, Router, Size, Strategy};
    let node = Scripted::tcp(at_once(echoing)).await;
    let system = nodes::node("rust").await;
    let member: Recipient<Question> = system.actor(&node.address("a")).recipient();
    let router = || Router::new(Strategy::<Question>::round_robin(), []);
    let router = system.spawn("router", router).await?;
    assert_eq!(within(router.ask(Add(member.clone()))).await?, 1);
    for _ in 0..3 {
        within(router.ask(question("hello"))).await?;
        assert_eq!(within(router.ask(Size::now())).await?, 1);
    }
    assert_eq!(within(router.ask(Remove(member))).await?, 0);
    system.shutdown().await;
    Ok(())
}

/// Answers that never end: what has arrived of all of them counts, and the node is not made to hold more.
#[tokio::test]
async fn what_arrives_of_answers_counts_against_the_memory_budget() -> Result {
    const MIB: u32 = 1024 * 1024;
    let name = "internalpb.RemoteAskResponse";
    let mut begun = [MIB, name.len() as u32].map(u32::to_be_bytes).concat();
    begun.extend(name.bytes());
    begun.resize(700 * 1024, 0);
    let script = move |incoming: Incoming| match &incoming.request {
        Request::Ask { messages, .. }
            if messages.iter().any(|m| m.receiver.ends_with("endless")) =>
        {
            Act::Raw(begun.clone())
        }
        _ => echoing(incoming),
    };
    let node = Scripted::tcp(at_once(script)).await;
    let goakt = GoAkt::new().compression(Compression::None);
    let config = ClientConfig::new().max_frame_size(MIB).memory_budget(16 * u64::from(MIB));
    let client = client_with(config.goakt(goakt));
    let endless = client.actor(&node.address("endless"));
    let mut asks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let endless = endless.clone();
        asks.spawn(async move { endless.ask(question("well?")).timeout(HOUR).await });
    }
    // However many of them there is room for, it is not all.
    let first = within(asks.join_next()).await.ok_or("one of sixteen")?;
    let error = first?.expect_err("there is no room for it");
    let error = Chain(&error).to_string();
    assert!(error.contains("8388608 bytes"), "{error}");
    within(asks.shutdown()).await;
    // They have let go of what they held.
    let echo = client.actor(&node.address("echo"));
    assert_eq!(within(echo.ask(question("and now?"))).await?, question("and now?"));
    Ok(())
}
