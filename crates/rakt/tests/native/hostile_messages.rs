//! Peers whose frames are well-formed and whose messages are not welcome. Each is refused by itself,
//! with a reason, and nobody else notices.

use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Wake, Waker};

use bytes::{Bytes, BytesMut};
use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig};
use rakt::{AskError, Refusal};
use rakt_wire::native::{Handshake, Hello, Limits, MessageKind, Payload};
use rakt_wire::{Code, Compression, Operation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::hostile::{self, Answer, ECHO, Node, Raw, encoded, hello, until};
use crate::messages::Echo;
use crate::nodes::config;
use crate::support::{LIMIT, within};

/// The three ways to send a message that is refused, and how the peer hears of each.
async fn refused(raw: &mut Raw, path: &str, type_name: &str, body: &[u8], code: Code, what: &str) {
    raw.ask(1, path, type_name, body);
    raw.message(MessageKind::Confirm { corr: 2 }, path, type_name, body);
    raw.message(MessageKind::Tell, path, type_name, body);
    raw.flush().await;
    let mut answered = Vec::new();
    for _ in 0..2 {
        let (corr, answer) = raw.answer().await;
        let failure = answer.failure();
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(failure.detail.contains(what), "{failure:?}");
        answered.push(corr);
    }
    answered.sort_unstable();
    assert_eq!(answered, [1, 2]);
    raw.message(MessageKind::Tell, path, type_name, body);
    raw.flush().await;
    let (count, failure) = raw.nack().await;
    assert!(count >= 1);
    assert_eq!(failure.code, code, "{failure:?}");
    assert!(failure.detail.contains(what), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_not_welcome_are_refused_one_by_one() {
    let node = Node::start(config()).await;
    let mut raw = node.dial().await;
    let unlisted = "tests.Unlisted";
    refused(&mut raw, "target", unlisted, &[], Code::NotAccepted, unlisted).await;
    refused(&mut raw, "target", "made.up", &[], Code::NotAccepted, "made.up").await;
    refused(&mut raw, "target", "", &[], Code::NotAccepted, "").await;
    refused(&mut raw, "target", ECHO, &[0xff; 20], Code::Undecodable, "").await;
    refused(&mut raw, "nobody", ECHO, &[], Code::NotFound, "").await;
    refused(&mut raw, "target/child", ECHO, &[], Code::NotFound, "").await;
    refused(&mut raw, "rakt.system", ECHO, &[], Code::Denied, "by address:127.0.0.1").await;
    refused(&mut raw, "GoAktRootGuardian", ECHO, &[], Code::Denied, "by address:127.0.0.1").await;
    refused(&mut raw, "target/rakt.deadletters", ECHO, &[], Code::Denied, "by address:127.0.0.1")
        .await;
    raw.works(9).await;
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_message_among_good_ones_has_an_outcome_of_its_own() {
    let node = Node::start(config()).await;
    let mut raw = node.dial().await;
    let good = encoded(&Echo { text: "good".to_owned() });
    for corr in 0..30 {
        match corr {
            10 => raw.ask(corr, "target", ECHO, &[0xff; 9]),
            20 => raw.ask(corr, "target", "made.up", &good),
            _ => raw.ask(corr, "target", ECHO, &good),
        }
    }
    raw.flush().await;
    let mut outcomes = vec![None; 30];
    for _ in 0..30 {
        let (corr, answer) = raw.answer().await;
        let outcome = match answer {
            Answer::Reply(reply) if reply == good => "good",
            Answer::Fail(failure) if failure.code == Code::Undecodable => "undecodable",
            Answer::Fail(failure) if failure.code == Code::NotAccepted => "not accepted",
            other => panic!("{other:?}"),
        };
        assert_eq!(outcomes[corr as usize].replace(outcome), None, "one outcome each");
    }
    for (corr, outcome) in outcomes.into_iter().enumerate() {
        let expected = match corr {
            10 => "undecodable",
            20 => "not accepted",
            _ => "good",
        };
        assert_eq!(outcome, Some(expected), "{corr}");
    }
    node.stop_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_reserved_is_out_of_reach_of_every_operation() {
    let node = Node::start(config()).await;
    let mut raw = node.dial().await;
    for path in ["rakt.system", "GoAktX", "target/rakt.x"] {
        let (path, uid) = (path.to_owned(), None);
        let (kind, argument) = ("Target".to_owned(), None);
        for operation in [
            Operation::Lookup { path: path.clone() },
            Operation::Spawn { path: path.clone(), kind, argument },
            Operation::Stop { path: path.clone(), uid },
            Operation::Respawn { path: path.clone(), uid },
            Operation::Reinstate { path: path.clone(), uid },
            Operation::Watch { path: path.clone(), uid, watch_id: 1 },
        ] {
            raw.request(1, &operation);
            raw.flush().await;
            let code = raw.answer_to(1).await.failure().code;
            let is_child = path.contains('/') && matches!(operation, Operation::Spawn { .. });
            let expected = if is_child { Code::InvalidArgument } else { Code::Denied };
            assert_eq!(code, expected, "{operation:?}");
        }
    }
    let unknown = Operation::Spawn { path: "x".into(), kind: "Shell".into(), argument: None };
    raw.request(2, &unknown);
    raw.flush().await;
    assert_eq!(raw.answer_to(2).await.failure().code, Code::KindNotRegistered);
    node.stop_unharmed().await;
}

/// Who a message claims to come from.
struct Sender(tokio::sync::mpsc::UnboundedSender<Option<String>>);

impl Actor for Sender {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>();
    }
}

impl Handler<Echo> for Sender {
    async fn handle(&mut self, echo: Echo, ctx: &mut Context<Self>) -> Result<Echo> {
        self.0.send(ctx.sender().map(ToString::to_string))?;
        Ok(echo)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_in_the_name_of_the_system() -> Result {
    let node = Node::start(config()).await;
    let (sender, mut senders) = tokio::sync::mpsc::unbounded_channel();
    node.system.spawn("sender", move || Sender(sender.clone())).await?;
    let mut raw = node.dial().await;
    let own = format!("rakt://victim@127.0.0.1:{}/rakt.system", node.port());
    let other = "rakt://shop@127.0.0.1:1/clerk".to_owned();
    for (claimed, seen) in
        [(own, None), ("nonsense".to_owned(), None), (other.clone(), Some(other))]
    {
        let receiver = raw.out.receiver("sender", None).id;
        let sender = Some(raw.out.sender(&claimed).id);
        let type_id = raw.out.message_type(ECHO).id;
        let head =
            rakt_wire::native::Head { receiver, sender, type_id, remaining: None, metadata: None };
        let payload = Payload::Ready { bytes: Bytes::new(), raw_len: None };
        raw.out.message(MessageKind::Tell, &head, payload)?;
        raw.flush().await;
        assert_eq!(within(senders.recv()).await, Some(seen), "{claimed}");
    }
    node.stop_unharmed().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_client_may_ask_nobody_any_number_of_times() -> Result {
    let node = Node::start(config().max_in_flight(64)).await;
    let client = Client::new("asker", ClientConfig::new())?;
    let nobody = Address::new("nobody", "victim", "127.0.0.1", node.port())?;
    for _ in 0..1000 {
        match client.ask(&nobody, Echo::default()).await {
            Err(AskError::Refused { refusal: Refusal::NotFound, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert!(
            client.node("127.0.0.1", node.port()).lookup::<AnyActor>("nobody").await?.is_none()
        );
    }
    client.close().await;
    node.stop_unharmed().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_message_where_none_was_agreed_is_refused() {
    let node = Node::start(config()).await;
    let mut raw = node.dial().await;
    assert_eq!(raw.session.compression, Compression::None);
    let payload = || Payload::Ready { bytes: Bytes::from_static(b"whatever"), raw_len: Some(100) };
    raw.payload(MessageKind::Ask { corr: 1 }, "target", ECHO, payload());
    raw.flush().await;
    let failure = raw.answer_to(1).await.failure();
    assert_eq!(failure.code, Code::Undecodable);
    assert!(failure.detail.contains("no compression is in use"), "{failure:?}");
    node.stop_unharmed().await;
}

/// Lets one node in, and leaves the rest to the caller.
async fn welcome(listener: TcpListener, hello: Hello) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("we connect");
    let mut handshake = Handshake::accept(hello);
    let mut read = BytesMut::new();
    while handshake.handle_bytes(&mut read).expect("a greeting").is_none() {
        stream.read_buf(&mut read).await.expect("it is open");
    }
    let answer = handshake.poll_transmit().expect("a greeting");
    stream.write_all(&answer).await.expect("it is open");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_claims_of_refused_messages_is_counted_with_care() {
    // A node that listens, and lies about what came of our messages.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let liar = tokio::spawn(async move {
        let mut stream = welcome(listener, hello()).await;
        // NACK: receiver, no sender, type, epoch, count, code, size, limit, detail.
        let nack = hostile::varints(&[7, 0, 7, 0, u64::MAX, 1, 0, 0, 0]);
        for _ in 0..3 {
            stream.write_all(&hostile::frame(0x25, &nack)).await.expect("it is open");
        }
        stream
    });
    let node = Node::start(config()).await;
    let address = Address::new("x", "mallory", "127.0.0.1", port).expect("it is valid");
    node.system.tell(&address, Echo::default()).await.expect("it is sent");
    until("the claim is counted", || node.system.dead_letter_count() > 0).await;
    drop(within(liar).await.expect("the liar does not panic"));
    let system = node.system.clone();
    node.stop_unharmed().await;
    within(system.shutdown()).await;
}

/// Uses the connection when it is woken, and tells whether it could.
struct SendsWhenWoken {
    system: ActorSystem,
    runtime: tokio::runtime::Handle,
    to: Address,
    outcomes: std::sync::mpsc::Sender<bool>,
}

impl Wake for SendsWhenWoken {
    fn wake(self: Arc<Self>) {
        let (done, sent) = std::sync::mpsc::channel();
        let sender = self.clone();
        // Another thread: waiting here for a lock that the waker of this one holds would be for ever.
        std::thread::spawn(move || {
            let _context = sender.runtime.enter();
            let mut tell = pin!(sender.system.tell(&sender.to, Echo::default()));
            let polled = tell.as_mut().poll(&mut task::Context::from_waker(Waker::noop()));
            done.send(polled.is_ready())
        });
        let outcome = sent.recv_timeout(LIMIT).unwrap_or(false);
        self.outcomes.send(outcome).expect("the test waits");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_woken_as_names_are_forgotten_may_use_the_connection_at_once() {
    // Four receivers have numbers at a time, and one message uses up the window of each.
    let limits = Limits { max_in_flight: 16, max_message_len: 16 * 1024, ..Limits::MIN };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let peer = tokio::spawn(welcome(listener, Hello { limits, ..hello() }));
    let node = Node::start(config().max_idle_conns(1)).await;
    let address = |path: &str| Address::new(path, "mallory", "127.0.0.1", port).expect("valid");
    let large = || Echo { text: "x".repeat(1024) };
    within(node.system.tell(&address("slow"), large())).await.expect("it is sent");

    let (outcomes, woken) = std::sync::mpsc::channel();
    let waker = Waker::from(Arc::new(SendsWhenWoken {
        system: node.system.clone(),
        runtime: tokio::runtime::Handle::current(),
        to: address("other"),
        outcomes,
    }));
    let mut waiting = Box::pin(node.system.tell(&address("slow"), large()));
    assert!(waiting.as_mut().poll(&mut task::Context::from_waker(&waker)).is_pending());
    for path in ["b", "c", "d"] {
        within(node.system.tell(&address(path), Echo::default())).await.expect("it is sent");
    }
    assert!(woken.try_recv().is_err(), "there is room for four names");
    within(node.system.tell(&address("e"), Echo::default())).await.expect("it is sent");
    assert_eq!(woken.try_recv(), Ok(true), "woken once no lock is held");
    drop((waiting, within(peer).await.expect("the peer does not panic")));
    node.stop_unharmed().await;
}
