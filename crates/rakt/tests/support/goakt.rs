//! What the tests of GoAkt share: a node with actors to talk to, and a peer that speaks as a Go node does.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rakt::prelude::*;
use rakt::remote::{Compression, Config, GoAkt, Stream, Transport};
use rakt::{Events, Kind, Mailbox, Metadata, ReplyLater};
use rakt_wire::goakt::{
    Answer, Call, Client, ClientConfig, Deadline, ErrorCode, GoError, Outgoing, Payload, proto,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::memory::Memory;
use crate::messages::{Echo, Want, Wanted};
use crate::support::{Gate, LIMIT, within};

/// Passed on to the test.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Say {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

/// Waits at the gate, and is then answered with an [`Echo`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Hold {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) payload: Vec<u8>,
}

/// Is never answered, and keeps nobody else waiting.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ignore {}

/// The handler fails.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Fail {}

/// Has a reply without a name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Nameless {}

rakt::messages! {
    Say as "test.Say",
    Hold as "test.Hold" => Echo as "tests.Echo",
    Ignore as "test.Ignore" => Echo as "tests.Echo",
    Fail as "test.Fail" => Echo as "tests.Echo",
    Nameless as "test.Nameless" => Echo,
}

/// What an actor saw of a [`Say`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) sender: Option<String>,
    pub(crate) metadata: Vec<(String, String)>,
}

pub(crate) fn saw(path: &str, text: &str) -> Seen {
    let (path, text) = (path.to_owned(), text.to_owned());
    Seen { path, text, sender: None, metadata: Vec::new() }
}

#[derive(Clone)]
pub(crate) struct Probe {
    seen: mpsc::UnboundedSender<Seen>,
    gate: Gate,
    /// Replies that are never given.
    kept: Arc<Mutex<Vec<ReplyLater<Echo>>>>,
}

impl Probe {
    /// Passes what it sees on to `seen`.
    pub(crate) fn new(seen: mpsc::UnboundedSender<Seen>) -> Self {
        Self { seen, gate: Gate::default(), kept: Arc::default() }
    }
}

impl Actor for Probe {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts
            .remote::<Say>()
            .remote::<Echo>()
            .remote::<Hold>()
            .remote::<Ignore>()
            .remote::<Want>()
            .remote::<Fail>()
            .remote::<Nameless>();
    }
}

impl Handler<Say> for Probe {
    async fn handle(&mut self, say: Say, ctx: &mut Context<Self>) -> Result {
        let metadata = ctx.metadata().map(|metadata| {
            metadata.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        });
        let _ = self.seen.send(Seen {
            path: ctx.path().to_owned(),
            text: say.text,
            sender: ctx.sender().map(|sender| sender.to_string()),
            metadata: metadata.unwrap_or_default(),
        });
        Ok(())
    }
}

impl Handler<Echo> for Probe {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Result<Echo> {
        Ok(echo)
    }
}

impl Handler<Hold> for Probe {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result<Echo> {
        self.gate.pass().await;
        Ok(Echo { text: "held".to_owned() })
    }
}

impl Handler<Ignore> for Probe {
    async fn handle(&mut self, _: Ignore, ctx: &mut Context<Self>) -> Result<Echo> {
        let (later, deferred) = ctx.defer();
        self.kept.lock().expect("not poisoned").push(later);
        deferred
    }
}

impl Handler<Want> for Probe {
    async fn handle(&mut self, want: Want, _: &mut Context<Self>) -> Result<Wanted> {
        Ok(want.granted())
    }
}

impl Handler<Fail> for Probe {
    async fn handle(&mut self, _: Fail, _: &mut Context<Self>) -> Result<Echo> {
        Err("asked to fail".into())
    }
}

impl Handler<Nameless> for Probe {
    async fn handle(&mut self, _: Nameless, _: &mut Context<Self>) -> Result<Echo> {
        Ok(Echo::default())
    }
}

/// Refuses to start.
pub(crate) struct Refuser;

impl Actor for Refuser {
    async fn started(&mut self, _: &mut Context<Self>) -> Result {
        Err("refusing to start".into())
    }
}

/// The name of the node's actor system.
pub(crate) const SYSTEM: &str = "goakt-tests";

/// The port that a node listens on: the first one in a network of its own.
pub(crate) const LISTENED: u16 = 1;

/// A node in a network in memory, with the actors `probe` and `other`, and the kinds `main.worker` and
/// `main.refuser`.
pub(crate) struct Node {
    pub(crate) system: ActorSystem,
    pub(crate) memory: Memory,
    pub(crate) events: Events,
    pub(crate) gate: Gate,
    seen: mpsc::UnboundedReceiver<Seen>,
    probe: Probe,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(|config| config.goakt(GoAkt::new())).await
    }

    pub(crate) async fn with(set: impl FnOnce(Config) -> Config) -> Self {
        Self::built(set, |builder| builder).await
    }

    pub(crate) async fn built(
        set: impl FnOnce(Config) -> Config,
        build: impl FnOnce(rakt::SystemBuilder) -> rakt::SystemBuilder,
    ) -> Self {
        let memory = Memory::default();
        let (sender, seen) = mpsc::unbounded_channel();
        let probe = Probe::new(sender);
        let gate = probe.gate.clone();
        let of_kind = probe.clone();
        let config = set(Config::new("127.0.0.1", 0).transport(memory.clone()));
        let system = ActorSystem::builder(SYSTEM)
            .register("main.Worker", Kind::new(move || of_kind.clone()))
            .register("main.refuser", Kind::new(|| Refuser))
            .remoting(config);
        let system = build(system).start().await.expect("a system starts");
        let node = Self { events: system.events(), system, memory, gate, seen, probe };
        for name in ["probe", "other"] {
            node.spawn(name).await;
        }
        node
    }

    pub(crate) fn port(&self) -> u16 {
        self.system.advertised().1
    }

    /// What the node's actors are made of.
    pub(crate) fn probe(&self) -> Probe {
        self.probe.clone()
    }

    /// Another actor of the same sort.
    pub(crate) async fn spawn(&self, name: &str) -> ActorRef<Probe> {
        self.spawn_with(name, Mailbox::default()).await
    }

    pub(crate) async fn spawn_with(&self, name: &str, mailbox: Mailbox) -> ActorRef<Probe> {
        let probe = self.probe.clone();
        let spawn = self.system.spawn(name, move || probe.clone()).mailbox(mailbox);
        spawn.await.expect("an actor starts")
    }

    /// What the next [`Say`] was.
    pub(crate) async fn seen(&mut self) -> Seen {
        within(self.seen.recv()).await.expect("the actors are there")
    }

    /// What has been seen so far and not taken.
    pub(crate) fn seen_by_now(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }

    pub(crate) async fn dial(&self) -> Peer {
        self.dial_with(Compression::None).await
    }

    pub(crate) async fn dial_with(&self, compression: Compression) -> Peer {
        let stream = self.memory.dial("127.0.0.1", LISTENED, Duration::ZERO).await;
        Peer::new(stream.expect("the node takes connections"), self.port(), compression)
    }

    /// Waits until an actor has handled all that it was sent.
    pub(crate) async fn is_idle(&self, name: &str) {
        let mut peer = self.dial().await;
        let echo = peer.echo(name, "last");
        assert_eq!(echoes(peer.ask(&[echo]).await), ["last"]);
    }

    /// Fails unless a connection of its own is served.
    pub(crate) async fn is_well(&self) {
        let mut peer = self.dial().await;
        assert_eq!(peer.ask_echo("well").await, "well");
    }
}

/// The address of an actor of the node.
pub(crate) fn address(port: u16, path: &str) -> String {
    format!("goakt://{SYSTEM}@127.0.0.1:{port}/{path}")
}

/// A message that has not been put into a request.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) sender: String,
    pub(crate) receiver: String,
    pub(crate) type_name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn from(mut self, sender: &str) -> Self {
        self.sender = sender.to_owned();
        self
    }
}

/// A connection as a Go node has it.
pub(crate) struct Peer {
    stream: Box<dyn Stream>,
    client: Client,
    unread: BytesMut,
    pub(crate) port: u16,
}

impl Peer {
    pub(crate) fn new(stream: Box<dyn Stream>, port: u16, compression: Compression) -> Self {
        let config = ClientConfig { compression, max_in_flight: 100_000, ..Default::default() };
        let client = Client::new(config).expect("compiled in");
        Self { stream, client, unread: BytesMut::new(), port }
    }

    pub(crate) fn target(&self, name: &str) -> proto::Target {
        proto::Target {
            host: "127.0.0.1".to_owned(),
            port: self.port.into(),
            name: name.to_owned(),
        }
    }

    pub(crate) fn spawn_call(&self, name: &str, kind: &str) -> Call<'static> {
        Call::Spawn(Box::new(proto::SpawnRequest {
            host: "127.0.0.1".to_owned(),
            port: self.port.into(),
            actor_name: name.to_owned(),
            actor_type: kind.to_owned(),
            ..Default::default()
        }))
    }

    /// A message to an actor of the node, from nobody.
    pub(crate) fn message<M: Message + prost::Message>(&self, path: &str, message: &M) -> Sent {
        Sent {
            sender: "goakt://@:0/".to_owned(),
            receiver: address(self.port, path),
            type_name: M::wire().expect("it has one").name().to_owned(),
            bytes: message.encode_to_vec(),
        }
    }

    pub(crate) fn say(&self, path: &str, text: &str) -> Sent {
        self.message(path, &Say { text: text.to_owned() })
    }

    pub(crate) fn echo(&self, path: &str, text: &str) -> Sent {
        self.message(path, &Echo { text: text.to_owned() })
    }

    pub(crate) fn hold(&self, path: &str) -> Sent {
        self.message(path, &Hold::default())
    }

    /// Puts a request behind those that are under way.
    pub(crate) fn queue(
        &mut self,
        call: &Call<'_>,
        headers: &Metadata,
        deadline: Option<Deadline>,
    ) {
        let expires = Instant::now() + Duration::from_secs(1_000_000);
        self.client.send(call, headers, deadline, expires).expect("it can be sent");
    }

    pub(crate) async fn flush(&mut self) {
        let mut out = Vec::new();
        while self.client.poll_transmit(Instant::now(), &mut out).expect("it can be compressed") {}
        self.write(&out).await;
    }

    pub(crate) async fn send(&mut self, call: &Call<'_>) {
        self.queue(call, &Metadata::new(), None);
        self.flush().await;
    }

    pub(crate) async fn send_tell(&mut self, messages: &[Sent]) {
        self.send(&Call::Tell(&outgoing(messages))).await;
    }

    pub(crate) async fn send_ask(&mut self, messages: &[Sent], timeout: Duration) {
        self.send(&Call::Ask { messages: &outgoing(messages), timeout }).await;
    }

    /// Writes bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.expect("the node takes it");
    }

    /// Writes as much as the node takes.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> bool {
        within(self.stream.write_all(bytes)).await.is_ok()
    }

    /// Closes this side alone.
    pub(crate) async fn end(&mut self) {
        within(self.stream.shutdown()).await.expect("it can be closed");
    }

    /// The next answer, which nobody waits for longer than a test may take.
    pub(crate) async fn answer(&mut self) -> Answer {
        within(self.next()).await.expect("the node answers")
    }

    /// The next answer; `None` if the node closes the connection.
    pub(crate) async fn next(&mut self) -> Option<Answer> {
        loop {
            let next = self.client.poll_answer(&mut self.unread).expect("the node speaks GoAkt");
            if let Some((_, answer)) = next {
                return answer;
            }
            match self.stream.read_buf(&mut self.unread).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// An answer that is here or arrives before the clock, which is paused, moves.
    pub(crate) async fn answer_by_now(&mut self) -> Option<Answer> {
        tokio::time::timeout(Duration::from_millis(1), self.next()).await.ok().flatten()
    }

    /// What the node answers, as it is: the bytes of one frame.
    pub(crate) async fn raw_answer(&mut self) -> Vec<u8> {
        let mut len = [0; 4];
        within(self.stream.read_exact(&mut len)).await.expect("the node answers");
        let mut frame = len.to_vec();
        frame.resize(u32::from_be_bytes(len) as usize, 0);
        within(self.stream.read_exact(&mut frame[4..])).await.expect("a whole frame");
        frame
    }

    /// Whatever the node still says before it closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is as good.
        let _ = within(self.stream.read_to_end(&mut rest)).await;
        rest
    }

    /// Whether the node has not closed the connection when the clock, which is paused, moves.
    pub(crate) async fn is_open(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.unread);
        tokio::time::timeout(Duration::from_millis(1), read).await.is_err()
    }

    /// Waits until the node closes the connection, however long that takes.
    pub(crate) async fn closed_at_last(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.expect("it ends");
        assert!(rest.is_empty(), "{} bytes are left", rest.len());
    }

    /// Fails unless the node closes the connection without a further word.
    pub(crate) async fn closed(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "{} bytes are left", rest.len());
    }

    pub(crate) async fn call(&mut self, call: &Call<'_>) -> Answer {
        self.send(call).await;
        self.answer().await
    }

    pub(crate) async fn tell(&mut self, messages: &[Sent]) -> Answer {
        self.send_tell(messages).await;
        self.answer().await
    }

    pub(crate) async fn ask(&mut self, messages: &[Sent]) -> Answer {
        self.send_ask(messages, LIMIT).await;
        self.answer().await
    }

    pub(crate) async fn ask_echo(&mut self, text: &str) -> String {
        let message = self.echo("probe", text);
        echoes(self.ask(&[message]).await).remove(0)
    }
}

pub(crate) fn outgoing(messages: &[Sent]) -> Vec<Outgoing<'_>> {
    messages
        .iter()
        .map(|sent| Outgoing {
            sender: &sent.sender,
            receiver: &sent.receiver,
            payload: Payload { type_name: &sent.type_name, bytes: &sent.bytes },
        })
        .collect()
}

/// A frame in the form without metadata.
pub(crate) fn frame(name: &str, body: &[u8]) -> Vec<u8> {
    let len = 8 + name.len() + body.len();
    let mut frame = (len as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&(name.len() as u32).to_be_bytes());
    frame.extend_from_slice(name.as_bytes());
    frame.extend_from_slice(body);
    frame
}

/// A tell of one message, in the form with metadata that Go nodes send.
pub(crate) fn tell_frame(message: &Sent) -> Vec<u8> {
    let mut frame = Vec::new();
    let messages = outgoing(std::slice::from_ref(message));
    let call = Call::Tell(&messages);
    call.encode(&mut frame, &Metadata::new(), None, 1 << 24).expect("it can be written");
    frame
}

/// The texts of replies that are all [`Echo`]s.
pub(crate) fn echoes(answer: Answer) -> Vec<String> {
    let Answer::Replies(replies) = answer else { panic!("not replies: {answer:?}") };
    replies
        .iter()
        .map(|reply| {
            assert_eq!(reply.type_name(), "tests.Echo");
            let echo: Echo = prost::Message::decode(reply.value).expect("an echo");
            echo.text
        })
        .collect()
}

/// The error that a request was answered with.
pub(crate) fn error(answer: Answer) -> (ErrorCode, String) {
    match answer {
        Answer::Error(GoError { code, message }) => (code, message),
        other => panic!("no error: {other:?}"),
    }
}
