//! Nodes that speak GoAkt over encrypted connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{Compression, Config, GoAkt, Tls};
use rakt::{AskError, Event, Events, Refusal};
use rakt_wire::goakt::{Payload, Request, Response, Server, ServerConfig};
use rcgen::SerialNumber;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::breaking::Breaking;
use crate::certificates::{Ca, Issued};
use crate::memory::Memory;
use crate::renewal::{Add, Counter, Files, brief};
use crate::revoked::List;
use crate::strangers;
use crate::support::{Gate, LIMIT, event, within};

async fn node(name: &str, tls: Tls) -> Result<ActorSystem> {
    let goakt = GoAkt::new().idle_timeout(10 * LIMIT);
    let remoting = Config::new("127.0.0.1", 0).tls(tls).goakt(goakt);
    Ok(ActorSystem::builder(name).remoting(remoting).start().await?)
}

/// Both nodes get a certificate every two seconds that is good for four, and connections never rest: each has to be
/// replaced while tells are under way on it.
#[tokio::test(flavor = "multi_thread")]
async fn no_tell_is_lost_while_certificates_are_renewed() -> Result {
    let ca = Ca::new("ca");
    let issue = |name| brief(&ca, name, 4);
    let files =
        ["one", "other"].map(|name| Files::new(&format!("go-{name}"), &issue(name), &ca.pem));
    let [one, other] = files;
    let (one, other) = (one?, other?);
    let (server, client) = (node("one", one.tls()).await?, node("other", other.tls()).await?);
    let counter = server.spawn("counter", Counter::default).await?;
    let (host, port) = server.advertised();
    let remote = client.actor(&format!("goakt://one@{host}:{port}/counter").parse()?);
    let is_over = Arc::new(AtomicBool::new(false));
    let tellers: Vec<tokio::task::JoinHandle<Result<u64>>> = (0..8)
        .map(|_| {
            let (remote, is_over) = (remote.clone(), is_over.clone());
            tokio::spawn(async move {
                let mut told = 0;
                while !is_over.load(Ordering::Relaxed) {
                    remote.tell(Add { n: 1 }).await?;
                    remote.tell(Add { n: 1 }).confirmed().await?;
                    told += 2;
                }
                Ok(told)
            })
        })
        .collect();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        for (files, name) in [(&one, "one"), (&other, "other")] {
            files.put(&issue(name), &ca.pem)?;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let mut told = 0;
    for teller in tellers {
        match within(teller).await? {
            Ok(by_one) => told += by_one,
            Err(error) => panic!("{}", Chain(&*error)),
        }
    }
    // Confirmed tells come behind the others.
    assert_eq!(counter.ask(Add { n: 0 }).await?, told, "each counts once");
    assert_eq!(client.dead_letter_count() + server.dead_letter_count(), 0);
    println!("{told} tells, none lost");
    client.shutdown().await;
    server.shutdown().await;
    Ok(())
}

/// Answered by "quick", and by nobody else.
#[derive(Clone, PartialEq, prost::Message)]
struct Hold {}

#[derive(Clone, PartialEq, prost::Message)]
struct Held {}

#[derive(Clone, PartialEq, prost::Message)]
struct Large {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
}

rakt::messages! {
    Large as "tests.Large",
    Hold as "tests.Hold" => Held as "tests.Held",
}

struct Keeper(Gate);

impl Actor for Keeper {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Hold>();
    }
}

impl Handler<Hold> for Keeper {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result<Held> {
        self.0.pass().await;
        Ok(Held {})
    }
}

/// A Go node of which the test hears what arrives.
struct GoNode {
    port: u16,
    arrived: mpsc::UnboundedReceiver<String>,
}

impl GoNode {
    async fn start(issued: &Issued) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let acceptor = TlsAcceptor::from(Arc::new(strangers::server(issued, None)));
        let (sender, arrived) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, sender.clone()));
            }
        });
        Self { port, arrived }
    }

    /// Waits until something for that actor has arrived.
    async fn heard(&mut self, path: &str) {
        let next = within(self.arrived.recv()).await.expect("it listens");
        assert!(next.ends_with(&format!("/{path}")), "{next}");
    }

    fn actor(&self, client: &ActorSystem, path: &str) -> ActorRef {
        let address = format!("goakt://go@127.0.0.1:{}/{path}", self.port);
        client.actor(&address.parse().expect("an address"))
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    arrived: mpsc::UnboundedSender<String>,
) -> Result {
    let mut stream = acceptor.accept(stream).await?;
    let (mut server, mut unread) = (Server::new(ServerConfig::default()), BytesMut::new());
    loop {
        let Some(incoming) = server.poll_request(&mut unread)? else {
            if stream.read_buf(&mut unread).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let (Request::Tell(messages) | Request::Ask { messages, .. }) = incoming.request else {
            continue;
        };
        for message in messages.iter() {
            let receiver = message.receiver.to_owned();
            let is_answered = receiver.ends_with("/quick");
            arrived.send(receiver)?;
            if is_answered {
                let reply = [Payload { type_name: "tests.Held", bytes: &[] }];
                server.respond(incoming.id, &Response::Replies(&reply))?;
            }
        }
        let mut bytes = Vec::new();
        server.poll_transmit(&mut bytes)?;
        stream.write_all(&bytes).await?;
        stream.flush().await?;
    }
}

/// A connection is open that nobody uses, and over others an ask and a tell are under way, when the certificate of the
/// node is not good any more.
async fn is_cut_off(mut node: GoNode, client: ActorSystem, withdraw: impl FnOnce(), why: &str) {
    let mut events = client.events();
    let actor = |path| node.actor(&client, path);
    let (slow, quick, told) = (actor("slow"), actor("quick"), actor("told"));
    let limit = 10 * LIMIT;
    let asked = {
        let slow = slow.clone();
        tokio::spawn(async move { slow.ask(Hold {}).timeout(limit).await })
    };
    node.heard("slow").await;
    within(quick.ask(Hold {})).await.expect("it is answered");
    node.heard("quick").await;
    let confirmed = {
        let told = told.clone();
        tokio::spawn(async move { told.tell(Hold {}).confirmed().timeout(limit).await })
    };
    node.heard("told").await;
    told.tell(Hold {}).await.expect("it is under way");
    node.heard("told").await;
    withdraw();
    client.reload_tls().await.expect("it can be used");
    let asked = within(asked).await.expect("no panic").expect_err("it is not answered");
    let confirmed = within(confirmed).await.expect("no panic").expect_err("nor is it");
    for (error, chain) in [
        (is_lost(&asked), Chain(&asked).to_string()),
        (is_lost(&confirmed), Chain(&confirmed).to_string()),
    ] {
        assert!(
            error && chain.contains("not trusted any more: ") && chain.contains(why),
            "{chain}"
        );
    }
    let reason = link_down(&mut events).await;
    assert!(reason.contains("not trusted any more: ") && reason.contains(why), "{reason}");
    assert_eq!(client.dead_letter_count(), 1, "the tell that nobody waits for");
    // Nothing more is sent over any of them, nor over new ones.
    for target in [slow, quick] {
        let error = within(target.ask(Hold {})).await.expect_err("it is not trusted");
        let refusal = error.refusal();
        assert!(matches!(refusal, Some(Refusal::Unreachable { .. })), "{}", Chain(&error));
        assert!(Chain(&error).to_string().contains(why), "{}", Chain(&error));
    }
    assert!(node.arrived.try_recv().is_err());
    client.shutdown().await;
}

fn is_lost<M>(error: &AskError<M>) -> bool {
    matches!(error, AskError::ConnectionLost { .. })
}

/// Why the last connection has ended.
async fn link_down(events: &mut Events) -> String {
    event(events, |event| match event {
        Event::LinkDown { reason, .. } => Some(Chain(&reason).to_string()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_node_whose_ca_is_removed_is_cut_off_at_once() -> Result {
    let (ca, next) = (Ca::new("ca"), Ca::new("next"));
    let go = GoNode::start(&ca.node("go")).await;
    let both = [ca.pem.as_str(), &next.pem].concat();
    let issued = next.node("client");
    let files = Files::new("go-removed", &issued, &both)?;
    let client = node("client", files.tls()).await?;
    let withdraw = || files.put(&issued, &next.pem).expect("there is room");
    is_cut_off(go, client, withdraw, "not issued by a CA that this node trusts").await;
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_revoked_is_cut_off_at_once() -> Result {
    let ca = Ca::new("ca");
    let issued = ca.issue("go", |params| {
        params.serial_number = Some(SerialNumber::from_slice(&[7]));
    });
    let go = GoNode::start(&issued).await;
    let until = SystemTime::now() + Duration::from_secs(3600);
    let list = List::new(&ca.revokes(&[], until));
    let client = node("client", list.of(ca.tls("client"))).await?;
    is_cut_off(go, client, || list.put(&ca.revokes(&[&[7]], until)), "was revoked").await;
    Ok(())
}

/// The same from the other end.
#[tokio::test]
async fn a_dialer_whose_ca_is_removed_is_not_heard_any_more() -> Result {
    let (ca, next) = (Ca::new("ca"), Ca::new("next"));
    let both = [ca.pem.as_str(), &next.pem].concat();
    let issued = next.node("server");
    let files = Files::new("go-dialer", &issued, &both)?;
    let server = node("server", files.tls()).await?;
    let client = node("client", ca.node("client").tls(&both)).await?;
    let mut events = server.events();
    let gate = Gate::default();
    let keeper = gate.clone();
    server.spawn("keeper", move || Keeper(keeper.clone())).await?;
    let (host, port) = server.advertised();
    let remote = client.actor(&format!("goakt://server@{host}:{port}/keeper").parse()?);
    let asked = {
        let remote = remote.clone();
        tokio::spawn(async move { remote.ask(Hold {}).timeout(10 * LIMIT).await })
    };
    gate.entered().await;
    files.put(&issued, &next.pem)?;
    server.reload_tls().await?;
    let error = within(asked).await?.expect_err("it is not answered");
    assert!(is_lost(&error), "{}", Chain(&error));
    let reason = link_down(&mut events).await;
    assert!(reason.contains("not trusted any more: "), "{reason}");
    let error = within(remote.ask(Hold {})).await.expect_err("it is not trusted");
    assert!(Chain(&error).to_string().contains("does not trust the CA"), "{}", Chain(&error));
    gate.open();
    client.shutdown().await;
    server.shutdown().await;
    Ok(())
}

/// The node closes while more is written than it reads, and why it does is read only after that.
#[tokio::test(start_paused = true)]
async fn why_a_node_hangs_up_is_told_though_no_more_can_be_written() -> Result {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let memory = Memory::default();
    let node = async |name: &str, tls: Tls, transport: Breaking| {
        let goakt = GoAkt::new().compression(Compression::None);
        let remoting = Config::new("127.0.0.1", 0).tls(tls).goakt(goakt);
        ActorSystem::builder(name).remoting(remoting.transport(transport)).start().await
    };
    let line = |takes| Breaking { memory: memory.clone(), takes };
    let server = node("server", ca.tls("server"), line(usize::MAX)).await?;
    let both = [ca.pem.as_str(), &other.pem].concat();
    // More than a handshake takes.
    let client = node("client", other.node("client").tls(&both), line(64 * 1024)).await?;
    let (host, port) = server.advertised();
    let far = client.actor(&format!("goakt://server@{host}:{port}/nobody").parse()?);
    let error = far.ask(Large { bytes: vec![7; 1024 * 1024] }).await.expect_err("it is refused");
    let why = Chain(&error).to_string();
    assert!(why.contains("it does not trust the CA of this node's certificate"), "{why}");
    Ok(())
}
