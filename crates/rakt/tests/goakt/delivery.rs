//! What becomes of the messages of Go nodes: order, time, failures in the middle.

use std::time::{Duration, SystemTime};

use rakt::prelude::*;
use rakt::remote::{Compression, GoAkt};
use rakt::supervision::Directive;
use rakt::{Event, Mailbox, Metadata};
use rakt_wire::goakt::{Answer, Call, Deadline, ErrorCode as E, proto};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::goakt::{self, Hold, Ignore, Node, Peer, Sent, address, echoes, error, outgoing, saw};
use crate::messages::{self, Echo};
use crate::support::{event, within};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_reply_that_a_go_node_could_not_read_is_an_error() {
    let node = Node::with(|config| config.goakt(GoAkt::new()).max_frame_size(64 * 1024)).await;
    let mut peer = node.dial().await;
    let nameless = peer.message("probe", &goakt::Nameless {});
    let (code, text) = error(peer.ask(&[nameless]).await);
    assert_eq!(code, E::InternalError);
    assert!(text.contains("no wire name"), "{text}");

    // The reply itself, one that is only too long as a frame, and two that are so together.
    for lens in [vec![70_000], vec![64 * 1024 - 20], vec![40_000, 40_000]] {
        let wants: Vec<_> =
            lens.iter().map(|len| peer.message("probe", &messages::Want { len: *len })).collect();
        let (code, text) = error(peer.ask(&wants).await);
        assert!(matches!(code, E::InvalidArgument | E::InternalError), "{code:?}");
        assert!(text.contains("65536"), "{text}");
    }
    let want = peer.message("probe", &messages::Want { len: 60_000 });
    assert!(matches!(peer.ask(&[want]).await, Answer::Replies(_)));
}

#[tokio::test]
async fn a_batch_of_tells_ends_where_one_fails() {
    let mut node = Node::start().await;
    let mut peer = node.dial().await;
    let bad = |peer: &Peer, how: &str| match how {
        "absent" => peer.say("absent", "x"),
        "unknown" => Sent { type_name: "nobody.Knows".to_owned(), ..peer.say("probe", "x") },
        "undecodable" => Sent { bytes: vec![0xff], ..peer.say("probe", "x") },
        _ => peer.say("probe", "x").from("nonsense"),
    };
    for how in ["absent", "unknown", "undecodable", "sender"] {
        let batch = [
            peer.say("probe", "1"),
            peer.say("probe", "2"),
            peer.say("other", "3"),
            peer.say("probe", "4"),
            bad(&peer, how),
            peer.say("probe", "5"),
            peer.say("other", "6"),
        ];
        error(peer.tell(&batch).await);
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(node.seen().await);
        }
        seen.sort_by(|a, b| a.text.cmp(&b.text));
        assert_eq!(seen[0..2], [saw("probe", "1"), saw("probe", "2")]);
        assert_eq!(seen[2..4], [saw("other", "3"), saw("probe", "4")]);
        // Whatever comes after it was not delivered: a later message is the next that is seen.
        let next = [peer.say("probe", "next"), peer.say("other", "next")];
        assert_eq!(peer.tell(&next).await, Answer::Done);
        for _ in 0..2 {
            assert_eq!(node.seen().await.text, "next", "{how}");
        }
    }
    assert_eq!(peer.tell(&[]).await, Answer::Done);
}

#[tokio::test]
async fn a_large_batch_of_tells_arrives_whole_and_in_order() {
    let mut node = Node::start().await;
    let mut peer = node.dial_with(Compression::default()).await;
    let batch: Vec<_> = (0..5000).map(|n| peer.say("probe", &n.to_string())).collect();
    assert_eq!(peer.tell(&batch).await, Answer::Done);
    for n in 0..5000 {
        assert_eq!(node.seen().await.text, n.to_string());
    }
}

#[tokio::test]
async fn a_batch_of_asks_has_a_reply_for_each_in_order() {
    let mut node = Node::start().await;
    let mut peer = node.dial().await;
    let batch: Vec<_> = (0..300)
        .map(|n: u32| {
            peer.echo(if n.is_multiple_of(3) { "other" } else { "probe" }, &n.to_string())
        })
        .collect();
    let expected: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    assert_eq!(echoes(peer.ask(&batch).await), expected);
    assert_eq!(echoes(peer.ask(&[]).await), Vec::<String>::new());

    // One after another: what follows a failure is not delivered, what came before it has been.
    let batch = [peer.say("probe", "before"), peer.echo("absent", ""), peer.say("probe", "after")];
    assert_eq!(error(peer.ask(&batch).await).0, E::NotFound);
    assert_eq!(node.seen().await, saw("probe", "before"));
    assert_eq!(peer.ask_echo("last").await, "last");
    assert_eq!(node.seen_by_now(), None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_ask_holds_up_its_own_connection_and_nothing_else() {
    let mut node = Node::start().await;
    let mut peer = node.dial().await;
    let (hold, say, echo) =
        (peer.hold("probe"), peer.say("other", "meanwhile"), peer.echo("other", "x"));
    peer.send_ask(&[hold], 5 * SECOND).await;
    peer.send_tell(&[say]).await;
    peer.send_ask(&[echo], 5 * SECOND).await;
    node.gate.entered().await;
    // It is handed on, though its answer has to wait.
    assert_eq!(node.seen().await, saw("other", "meanwhile"));
    let mut second = node.dial().await;
    let echo = second.echo("other", "elsewhere");
    assert_eq!(echoes(second.ask(&[echo]).await), ["elsewhere"]);
    assert_eq!(peer.answer_by_now().await, None);
    node.gate.open();
    assert_eq!(echoes(peer.answer().await), ["held"]);
    assert_eq!(peer.answer().await, Answer::Done);
    assert_eq!(echoes(peer.answer().await), ["x"]);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mut node = Node::start().await;
    let mut peer = node.dial().await;
    for n in 0..1000 {
        let text = n.to_string();
        let (say, echo) = (peer.say("probe", &text), peer.echo("other", &text));
        peer.queue(&Call::Tell(&outgoing(&[say])), &Metadata::new(), None);
        let echo = [echo];
        let ask = Call::Ask { messages: &outgoing(&echo), timeout: 60 * SECOND };
        peer.queue(&ask, &Metadata::new(), None);
    }
    peer.flush().await;
    for n in 0..1000 {
        assert_eq!(peer.answer().await, Answer::Done);
        assert_eq!(echoes(peer.answer().await), [n.to_string()]);
        assert_eq!(node.seen().await.text, n.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn an_ask_runs_out_of_time_exactly_when_it_says() {
    let node = Node::start().await;
    let mut peer = node.dial().await;
    for millis in [1, 50, 1500, 60_000] {
        let (start, timeout) = (Instant::now(), Duration::from_millis(millis));
        let ignore = peer.message("probe", &Ignore {});
        peer.send_ask(&[ignore], timeout).await;
        let answer = peer.next().await.expect("an answer");
        let expected = "remote send failed\nrequest timed out".to_owned();
        assert_eq!(error(answer), (E::DeadlineExceeded, expected));
        assert_eq!(start.elapsed(), timeout);
    }
    assert_eq!(peer.ask_echo("the connection is of use").await, "the connection is of use");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_batch_is_that_of_each_ask() {
    let node = Node::start().await;
    let mut peer = node.dial().await;
    let start = Instant::now();
    let batch = [peer.hold("probe"), peer.hold("probe"), peer.message("probe", &Ignore {})];
    peer.send_ask(&batch, 2 * SECOND).await;
    for _ in 0..2 {
        node.gate.entered().await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        node.gate.open();
    }
    assert_eq!(error(peer.next().await.expect("an answer")).0, E::DeadlineExceeded);
    assert_eq!(start.elapsed(), 5 * SECOND);
}

/// Go clients always say how long; others need not.
#[tokio::test(start_paused = true)]
async fn an_ask_that_does_not_say_how_long_has_five_seconds() {
    let node = Node::start().await;
    let mut peer = node.dial().await;
    let ignore = peer.message("probe", &Ignore {});
    let start = Instant::now();
    peer.write(&frame_of_ask(&ignore)).await;
    let answer = peer.raw_answer().await;
    assert!(String::from_utf8_lossy(&answer).contains("request timed out"));
    assert_eq!(start.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn no_time_at_all_is_over_at_once() {
    let node = Node::start().await;
    let mut peer = node.dial().await;
    let start = Instant::now();
    let echo = peer.echo("probe", "too late");
    peer.send_ask(std::slice::from_ref(&echo), Duration::ZERO).await;
    assert_eq!(error(peer.next().await.expect("an answer")).0, E::DeadlineExceeded);

    let past = Deadline::after(SystemTime::now() - SECOND, Duration::ZERO);
    let messages = [echo];
    let messages = outgoing(&messages);
    let ask = Call::Ask { messages: &messages, timeout: 5 * SECOND };
    peer.queue(&ask, &Metadata::new(), Some(past));
    // A tell has no deadline, and an actor that is not there is not there, in time or not.
    peer.queue(&Call::Tell(&messages), &Metadata::new(), Some(past));
    let absent = [peer.echo("absent", "")];
    let absent = Call::Ask { messages: &outgoing(&absent), timeout: Duration::ZERO };
    peer.queue(&absent, &Metadata::new(), Some(past));
    peer.flush().await;
    assert_eq!(error(peer.next().await.expect("an answer")).0, E::DeadlineExceeded);
    assert_eq!(peer.next().await, Some(Answer::Done));
    assert_eq!(error(peer.next().await.expect("an answer")).0, E::NotFound);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// The earlier of timeout and deadline counts.
#[tokio::test(start_paused = true)]
async fn a_deadline_cuts_an_ask_short() {
    let node = Node::start().await;
    let mut peer = node.dial().await;
    let ignore = [peer.message("probe", &Ignore {})];
    let ask = Call::Ask { messages: &outgoing(&ignore), timeout: 1000 * SECOND };
    let soon = Deadline::after(SystemTime::now(), 600 * SECOND);
    let start = Instant::now();
    peer.queue(&ask, &Metadata::new(), Some(soon));
    peer.flush().await;
    assert_eq!(error(peer.next().await.expect("an answer")).0, E::DeadlineExceeded);
    let took = start.elapsed();
    // A deadline is a time of day: what this machine has taken until it was read has gone by.
    assert!(took > 540 * SECOND && took <= 600 * SECOND, "{took:?}");
}

/// GoAkt never closes one side of a connection alone.
#[tokio::test]
async fn an_asker_that_is_gone_is_not_waited_for() {
    struct Patient(mpsc::UnboundedSender<&'static str>);
    impl Actor for Patient {
        fn accepts(accepts: &mut Accepts<Self>) {
            accepts.remote::<Hold>();
        }
    }
    impl Handler<Hold> for Patient {
        async fn handle(&mut self, _: Hold, ctx: &mut Context<Self>) -> Result<Echo> {
            let _ = self.0.send("waiting");
            ctx.cancelled().await;
            let _ = self.0.send("cancelled");
            assert!(ctx.is_cancelled());
            Ok(Echo::default())
        }
    }
    let node = Node::with(|config| config.goakt(GoAkt::new()).max_connections(1)).await;
    let (sender, mut told) = mpsc::unbounded_channel();
    let patient = move || Patient(sender.clone());
    node.system.spawn("patient", patient).await.expect("an actor starts");
    let mut events = node.system.events();
    for _ in 0..3 {
        // The place of the one before is free once its task is done.
        let mut peer = within(async {
            loop {
                let mut peer = node.dial().await;
                peer.send(&Call::Lookup(peer.target("probe"))).await;
                if peer.next().await.is_some() {
                    return peer;
                }
            }
        })
        .await;
        let (say, hold) = (peer.say("probe", "before"), peer.hold("patient"));
        peer.send_tell(&[say]).await;
        peer.send_ask(&[hold], 600 * SECOND).await;
        assert_eq!(within(told.recv()).await, Some("waiting"));
        peer.end().await;
        // What is answered by then is still said.
        assert_eq!(peer.answer().await, Answer::Done);
        peer.closed().await;
        assert_eq!(within(told.recv()).await, Some("cancelled"));
        let down = event(&mut events, |event| match event {
            Event::LinkDown { reason, .. } => Some(reason.to_string()),
            _ => None,
        });
        assert_eq!(down.await, "the peer closed the connection");
    }
}

/// Nor for room in a mailbox, which is what a tell waits for.
#[tokio::test]
async fn a_teller_that_is_gone_is_not_waited_for() {
    let mut node = Node::start().await;
    node.spawn_with("narrow", Mailbox::bounded(1)).await;
    let mut events = node.system.events();
    let mut peer = node.dial().await;
    let (hold, batch) = (peer.hold("narrow"), ["1", "2", "3"].map(|n| peer.say("narrow", n)));
    let mut holder = node.dial().await;
    holder.send_ask(&[hold], 600 * SECOND).await;
    node.gate.entered().await;
    for say in batch {
        peer.send_tell(&[say]).await;
    }
    assert_eq!(peer.answer().await, Answer::Done, "there is room for one");
    drop(peer);
    event(&mut events, |event| match event {
        Event::LinkDown { reason, .. } => {
            reason.to_string().contains("the peer closed").then_some(())
        }
        _ => None,
    })
    .await;
    // What was in line stays there.
    node.gate.open();
    for n in ["1", "2", "3"] {
        assert_eq!(node.seen().await.text, n);
    }
}

#[tokio::test]
async fn senders_are_actors_of_go_nodes_or_nobody() {
    let mut node = Node::start().await;
    let mut peer = node.dial().await;
    let own = address(node.port(), "other");
    let own_native = node.system.address("other").expect("valid").to_string();
    for (sender, expected) in [
        ("goakt://go@10.0.0.7:3322/actor", Some("goakt://go@10.0.0.7:3322/actor")),
        ("goakt://go@10.0.0.7:3322/parent/child", Some("goakt://go@10.0.0.7:3322/parent/child")),
        (own.as_str(), Some(own_native.as_str())),
        ("goakt://@:0/", None),
        ("goakt://go@10.0.0.7:3322/GoAktNoSender", None),
        // Nobody is to talk to these in the name of somebody else.
        ("goakt://go@10.0.0.7:3322/GoAktRootGuardian", None),
        ("goakt://go@10.0.0.7:99999/actor", None),
    ] {
        let say = peer.say("probe", "hello").from(sender);
        // Twice: the second time the sender is known.
        assert_eq!(peer.tell(&[say.clone(), say]).await, Answer::Done);
        for _ in 0..2 {
            assert_eq!(node.seen().await.sender.as_deref(), expected, "{sender}");
        }
    }
    // Several of them in one batch.
    let senders = ["goakt://a@10.0.0.7:1/x", "goakt://@:0/", "goakt://b@10.0.0.7:1/x"];
    let batch = senders.map(|sender| peer.say("probe", "hello").from(sender));
    assert_eq!(peer.tell(&batch).await, Answer::Done);
    for expected in [Some(senders[0]), None, Some(senders[2])] {
        assert_eq!(node.seen().await.sender.as_deref(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tell_is_acknowledged_once_it_is_in_the_mailbox() {
    let mut node = Node::start().await;
    node.spawn_with("tight", Mailbox::bounded(1)).await;
    let mut peer = node.dial().await;
    let hold = peer.hold("tight");
    peer.send_ask(&[hold], 60 * SECOND).await;
    node.gate.entered().await;
    // One finds room, the next does not, and what is for others waits behind it.
    let batch = [peer.say("tight", "1"), peer.say("tight", "2"), peer.say("other", "3")];
    let mut second = node.dial().await;
    second.send_tell(&batch).await;
    second.send_tell(&[peer.say("other", "4")]).await;
    assert_eq!(second.answer_by_now().await, None);
    assert_eq!(node.seen_by_now(), None);
    node.gate.open();
    assert_eq!(second.answer().await, Answer::Done);
    assert_eq!(second.answer().await, Answer::Done);
    assert_eq!(echoes(peer.answer().await), ["held"]);
    let mut texts = Vec::new();
    for _ in 0..4 {
        texts.push(node.seen().await.text);
    }
    let place = |text: &str| texts.iter().position(|other| other == text).expect("seen");
    assert!(place("1") < place("2") && place("3") < place("4"), "{texts:?}");
}

#[tokio::test]
async fn a_full_mailbox_that_refuses_says_so() {
    let mut node = Node::start().await;
    node.spawn_with("strict", Mailbox::bounded(1).overflow(Overflow::Refuse)).await;
    let mut peer = node.dial().await;
    let hold = peer.hold("strict");
    peer.send_ask(&[hold], 60 * SECOND).await;
    node.gate.entered().await;
    let mut second = node.dial().await;
    let batch = [peer.say("strict", "1"), peer.say("strict", "2"), peer.say("other", "3")];
    assert_eq!(error(second.tell(&batch).await).0, E::ResourceExhausted);
    let say = peer.say("strict", "4");
    assert_eq!(error(second.ask(&[say]).await).0, E::ResourceExhausted);
    node.gate.open();
    assert_eq!(echoes(peer.answer().await), ["held"]);
    assert_eq!(node.seen().await, saw("strict", "1"));
    assert_eq!(second.ask_echo("x").await, "x");
    assert_eq!(node.seen_by_now(), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_when_an_actor_fails_for_good_is_not_lost_silently() -> Result {
    let node = Node::start().await;
    let mut events = node.system.events();
    let probe = node.probe();
    let stopping = Supervision::always(Directive::Stop);
    node.system.spawn("mortal", move || probe.clone()).supervision(stopping).await?;
    let (mut first, mut second, mut third) =
        (node.dial().await, node.dial().await, node.dial().await);
    let (hold, fail) = (first.hold("mortal"), first.message("mortal", &goakt::Fail {}));
    first.send_ask(&[hold], 60 * SECOND).await;
    node.gate.entered().await;
    first.send_tell(&[fail]).await;
    // In its mailbox, behind what makes it fail.
    assert_eq!(first.answer_by_now().await, None);
    let (say, echo) = (second.say("mortal", "lost"), second.echo("mortal", "lost"));
    assert_eq!(second.tell(&[say]).await, Answer::Done);
    third.send_ask(&[echo], 60 * SECOND).await;
    assert_eq!(third.answer_by_now().await, None);
    node.gate.open();
    assert_eq!(echoes(first.answer().await), ["held"]);
    assert_eq!(first.answer().await, Answer::Done);
    let not_alive = "remote send failed\nactor is not alive".to_owned();
    assert_eq!(error(third.answer().await), (E::InternalError, not_alive));
    // The tell was acknowledged: it becomes a dead letter here.
    let letter = event(&mut events, |event| match event {
        Event::DeadLetter(letter) => Some(letter),
        _ => None,
    })
    .await;
    assert_eq!(
        (letter.target.address().map(Address::path), letter.message.as_str()),
        (Some("mortal"), "test.Say")
    );
    assert_eq!(letter.reason, Refusal::Stopped);
    Ok(())
}

/// An ask of one message without a timeout, in the form without metadata.
fn frame_of_ask(sent: &Sent) -> Vec<u8> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct AskRequest {
        #[prost(message, repeated, tag = "1")]
        messages: Vec<RemoteMessage>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct RemoteMessage {
        #[prost(string, tag = "1")]
        sender: String,
        #[prost(string, tag = "2")]
        receiver: String,
        #[prost(message, optional, tag = "3")]
        message: Option<proto::Any>,
    }
    let message = RemoteMessage {
        sender: sent.sender.clone(),
        receiver: sent.receiver.clone(),
        message: Some(proto::Any::pack(&sent.type_name, sent.bytes.clone().into())),
    };
    let body = prost::Message::encode_to_vec(&AskRequest { messages: vec![message] });
    goakt::frame("internalpb.RemoteAskRequest", &body)
}
