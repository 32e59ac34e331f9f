//! What the tests of hostile peers share: a node with a well-behaved client that must not notice
//! anything, and a peer that speaks the protocol and then sends what it likes.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Config};
use rakt::{Event, Events};
use rakt_wire::native::{
    CloseCode, FrameKind, HEADER_LEN, Handshake, Head, Hello, MessageKind, Outbound, Payload, Role,
    Session, put_operation, read_failure, read_outcome,
};
use rakt_wire::{Failure, Operation, Outcome, Reader, put_string, put_varint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::messages::{Echo, Unlisted, Want, Wanted};
use crate::support::{LIMIT, within};

/// The handler never comes back.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Block {}

rakt::messages! { Block as "hostile.Block" }

pub(crate) const ECHO: &str = "tests.Echo";
pub(crate) const BLOCK: &str = "hostile.Block";

/// Accepts [`Echo`], [`Want`] and [`Block`] from peers.
#[derive(Default)]
pub(crate) struct Target;

impl Actor for Target {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>().remote::<Want>().remote::<Block>().local::<Unlisted>();
    }
}

impl Handler<Echo> for Target {
    async fn handle(&mut self, echo: Echo, _: &mut Context<Self>) -> Result<Echo> {
        Ok(echo)
    }
}

impl Handler<Want> for Target {
    async fn handle(&mut self, want: Want, _: &mut Context<Self>) -> Result<Wanted> {
        Ok(want.granted())
    }
}

impl Handler<Block> for Target {
    async fn handle(&mut self, _: Block, _: &mut Context<Self>) -> Result {
        std::future::pending().await
    }
}

impl Handler<Unlisted> for Target {
    async fn handle(&mut self, _: Unlisted, _: &mut Context<Self>) -> Result {
        panic!("a peer must not get here")
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(LIMIT, waiting).await;
    waited.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// A node with the actors `target` and `other`, and a client that keeps asking the latter.
pub(crate) struct Node {
    pub(crate) system: ActorSystem,
    events: Events,
    calm: Calm,
}

impl Node {
    pub(crate) async fn start(config: Config) -> Self {
        capture_log();
        let system = ActorSystem::builder("victim")
            .kind::<Target>("Target")
            .remoting(config)
            .start()
            .await
            .expect("a system starts");
        for name in ["target", "other"] {
            system.spawn(name, Target::default).await.expect("an actor starts");
        }
        let events = system.events();
        let calm = Calm::start(system.advertised().1).await;
        Self { system, events, calm }
    }

    pub(crate) fn port(&self) -> u16 {
        self.system.advertised().1
    }

    pub(crate) async fn dial(&self) -> Raw {
        Raw::dial(self.port(), hello()).await.expect("the node takes the connection")
    }

    /// Why the next link to the hostile peer ended, as the node's events tell it.
    pub(crate) async fn link_down(&mut self) -> String {
        let ended = self.events.find(|event| match event {
            Event::LinkDown { peer, reason, .. } if peer.starts_with("mallory") => {
                Some(Chain(&reason).to_string())
            }
            _ => None,
        });
        within(ended).await.expect("the system is there")
    }

    /// Both ends hear that the connection has ended for a reason that says all of `what`.
    pub(crate) async fn ended(&mut self, raw: &mut Raw, code: CloseCode, what: &[&str]) {
        let (told, text) = raw.farewell().await;
        assert_eq!(told, code, "{text}");
        let reason = self.link_down().await;
        for part in what {
            assert!(text.contains(part), "the peer is told {text:?}, without {part:?}");
            assert!(reason.contains(part), "the link is down for {reason:?}, without {part:?}");
        }
    }

    /// How many asks of the well-behaved client have succeeded; fails if one has not.
    pub(crate) fn calm_count(&self) -> u64 {
        self.calm.count()
    }

    /// The well-behaved client is still served, and was all the time.
    pub(crate) async fn is_unharmed(&self) {
        let before = self.calm.count();
        until("the other client is served", || self.calm.count() >= before + 3).await;
    }

    pub(crate) async fn stop_unharmed(self) {
        self.is_unharmed().await;
        self.calm.stop.store(true, Ordering::Relaxed);
        self.calm.task.await.expect("the other client does not panic");
    }
}

/// A well-behaved client.
struct Calm {
    asked: Arc<AtomicU64>,
    failed: Arc<Mutex<Option<String>>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Calm {
    async fn start(port: u16) -> Self {
        let asked = Arc::new(AtomicU64::new(0));
        let failed = Arc::new(Mutex::new(None));
        let stop = Arc::new(AtomicBool::new(false));
        let client = Client::new("calm", ClientConfig::new()).expect("the options are valid");
        let address = Address::new("other", "victim", "127.0.0.1", port).expect("it is valid");
        let task = tokio::spawn({
            let (asked, failed, stop) = (asked.clone(), failed.clone(), stop.clone());
            async move {
                while !stop.load(Ordering::Relaxed) {
                    let echo = Echo { text: "calm".to_owned() };
                    let answer = client.ask(&address, echo).timeout(LIMIT).await;
                    match answer {
                        Ok(_) => asked.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            failed.lock().expect("no panic").get_or_insert(error.to_string());
                            break;
                        }
                    };
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                client.close().await;
            }
        });
        let calm = Self { asked, failed, stop, task };
        until("the first answer", || calm.count() > 0).await;
        calm
    }

    fn count(&self) -> u64 {
        let failed = self.failed.lock().expect("no panic").clone();
        assert_eq!(failed, None, "the other client noticed");
        self.asked.load(Ordering::Relaxed)
    }
}

/// What the hostile peer says of itself.
pub(crate) fn hello() -> Hello {
    let mut hello = Hello::new("mallory", [13; 16]);
    hello.compressions.clear();
    hello
}

/// A peer that has got through the handshake, or says nothing of the kind.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    read: BytesMut,
    /// For what is well-formed.
    pub(crate) out: Outbound,
    pub(crate) session: Session,
}

/// An answer to a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Bytes),
    Fail(Failure),
    Outcome(Outcome),
}

impl Answer {
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Fail(failure) => failure,
            other => panic!("it succeeded: {other:?}"),
        }
    }
}

impl Raw {
    pub(crate) async fn dial(port: u16, hello: Hello) -> Result<Self, String> {
        Self::greet(connect(port).await, hello).await
    }

    pub(crate) async fn greet(mut stream: TcpStream, hello: Hello) -> Result<Self, String> {
        let mut handshake = Handshake::dial(hello);
        let first = handshake.poll_transmit().expect("the dialer speaks first");
        stream.write_all(&first).await.expect("a connection takes a hello");
        let mut read = BytesMut::new();
        let session = loop {
            if within(stream.read_buf(&mut read)).await.unwrap_or(0) == 0 {
                return Err("closed without a word".to_owned());
            }
            match handshake.handle_bytes(&mut read) {
                Ok(Some(session)) => break session,
                Ok(None) => {}
                Err(error) => return Err(error.to_string()),
            }
        };
        let out = Outbound::new(Role::Dialer, session.limits);
        Ok(Self { stream, read, out, session })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.expect("the node reads");
    }

    pub(crate) async fn flush(&mut self) {
        let mut bytes = Vec::new();
        while self.out.poll_transmit(&mut bytes) {
            self.send(&bytes).await;
            bytes.clear();
        }
    }

    /// Writes a message that follows the rules, credit aside. `flush` sends it.
    pub(crate) fn message(&mut self, kind: MessageKind, path: &str, type_name: &str, body: &[u8]) {
        let payload = Payload::Ready { bytes: Bytes::copy_from_slice(body), raw_len: None };
        self.payload(kind, path, type_name, payload);
    }

    pub(crate) fn payload(
        &mut self,
        kind: MessageKind,
        path: &str,
        type_name: &str,
        payload: Payload<'_>,
    ) {
        let receiver = self.out.receiver(path, None).id;
        let type_id = self.out.message_type(type_name).id;
        let head = Head { receiver, sender: None, type_id, remaining: None, metadata: None };
        self.out.message(kind, &head, payload).expect("the message can be sent");
    }

    pub(crate) fn ask(&mut self, corr: u64, path: &str, type_name: &str, body: &[u8]) {
        self.message(MessageKind::Ask { corr }, path, type_name, body);
    }

    pub(crate) fn request(&mut self, corr: u64, operation: &Operation) {
        self.out.request(corr, None, None, operation).expect("the request can be sent");
    }

    /// The next frame; `None` once the connection has ended.
    pub(crate) async fn frame(&mut self) -> Option<(FrameKind, Bytes)> {
        loop {
            if let Some(&[kind, ref len @ ..]) = self.read.first_chunk::<HEADER_LEN>() {
                let len = u32::from_be_bytes(*len) as usize;
                if self.read.len() >= HEADER_LEN + len {
                    let frame = self.read.split_to(HEADER_LEN + len).freeze();
                    let kind = FrameKind::from_u8(kind).expect("the node sends known frames");
                    let body = frame.slice(HEADER_LEN..);
                    if kind == FrameKind::Credit {
                        let mut reader = Reader::new(&body);
                        let mut next = || reader.varint("field").expect("a field");
                        let (receiver, epoch, bytes) = (next() as u32, next() as u32, next());
                        self.out.handle_credit(receiver, epoch, bytes);
                    }
                    return Some((kind, body));
                }
            }
            match within(self.stream.read_buf(&mut self.read)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The last word of the node, after which it closes.
    pub(crate) async fn farewell(&mut self) -> (CloseCode, String) {
        loop {
            let (kind, body) = self.frame().await.expect("the node says why it closes");
            if kind == FrameKind::Close {
                let mut reader = Reader::new(&body);
                let code = CloseCode::from_u8(reader.u8("code").expect("a code"));
                let text = reader.string("text", 1024).expect("a text").to_owned();
                assert!(self.frame().await.is_none(), "nothing follows CLOSE");
                return (code, text);
            }
        }
    }

    /// Answers in the order in which they come.
    pub(crate) async fn answer(&mut self) -> (u64, Answer) {
        loop {
            let (kind, body) = self.frame().await.expect("the connection is there");
            let mut reader = Reader::new(&body);
            let mut corr = || reader.varint("corr").expect("a number");
            match kind {
                FrameKind::Reply => {
                    let corr = corr();
                    assert_eq!(reader.u8("flags").expect("flags"), 0, "nothing is compressed");
                    return (corr, Answer::Reply(Bytes::copy_from_slice(reader.rest())));
                }
                FrameKind::Fail => {
                    let corr = corr();
                    return (corr, Answer::Fail(read_failure(&mut reader).expect("a failure")));
                }
                FrameKind::Response => {
                    let corr = corr();
                    return (corr, Answer::Outcome(read_outcome(&mut reader).expect("an outcome")));
                }
                FrameKind::Close => panic!("the node closed: {body:?}"),
                _ => {}
            }
        }
    }

    /// The answer to one request, when no other is open.
    pub(crate) async fn answer_to(&mut self, expected: u64) -> Answer {
        let (corr, answer) = self.answer().await;
        assert_eq!(corr, expected);
        answer
    }

    /// The next tell that failed: how many did, and why.
    pub(crate) async fn nack(&mut self) -> (u64, Failure) {
        loop {
            let (kind, body) = self.frame().await.expect("the connection is there");
            if kind == FrameKind::Nack {
                let mut reader = Reader::new(&body);
                for field in ["receiver", "sender", "type", "epoch"] {
                    reader.varint(field).expect("a field");
                }
                let count = reader.varint("count").expect("a count");
                return (count, read_failure(&mut reader).expect("a failure"));
            }
        }
    }

    /// Waits until the receiver takes another message.
    pub(crate) async fn credit(&mut self, path: &str) {
        let receiver = self.out.receiver(path, None);
        while self.out.credit(receiver) <= 0 {
            self.frame().await.expect("the connection is there");
        }
    }

    /// The connection works: the node answers on it.
    pub(crate) async fn works(&mut self, corr: u64) {
        self.request(corr, &Operation::Ping);
        self.flush().await;
        while !matches!(self.answer().await, (other, Answer::Outcome(Outcome::Done)) if other == corr)
        {
        }
    }
}

pub(crate) async fn connect(port: u16) -> TcpStream {
    within(TcpStream::connect(("127.0.0.1", port))).await.expect("the node listens")
}

/// A frame of any kind and body.
pub(crate) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

/// A body of numbers.
pub(crate) fn varints(values: &[u64]) -> Vec<u8> {
    let mut body = Vec::new();
    values.iter().for_each(|value| put_varint(&mut body, *value));
    body
}

/// RECEIVER without a uid.
pub(crate) fn define_receiver(alias: u64, path: &str) -> Vec<u8> {
    let mut body = varints(&[alias, 0]);
    put_string(&mut body, path);
    frame(FrameKind::Receiver.as_u8(), &body)
}

pub(crate) fn define(kind: FrameKind, alias: u64, name: &str) -> Vec<u8> {
    let mut body = varints(&[alias]);
    put_string(&mut body, name);
    frame(kind.as_u8(), &body)
}

/// Receiver 0 is `path`, type 0 is `type_name`.
pub(crate) fn define_one(path: &str, type_name: &str) -> Vec<u8> {
    let mut bytes = define_receiver(0, path);
    bytes.extend(define(FrameKind::Type, 0, type_name));
    bytes
}

/// REQUEST without a time limit.
pub(crate) fn request(corr: u64, remaining_micros: u64, operation: &Operation) -> Vec<u8> {
    let mut body = varints(&[corr, remaining_micros, 0]);
    put_operation(&mut body, operation);
    frame(FrameKind::Request.as_u8(), &body)
}

pub(crate) fn encoded(message: &impl prost::Message) -> Vec<u8> {
    message.encode_to_vec()
}

/// Resident memory of this process in bytes.
pub(crate) fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: usize = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}

pub(crate) const MIB: usize = 1024 * 1024;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Tee;

impl io::Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn capture_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(|| Tee)
            .init();
    });
}

/// Waits until the log has a line with all these parts.
pub(crate) async fn logged(parts: &[&str]) {
    let has_line = || {
        let log = LOG.lock().expect("no panic");
        let text = String::from_utf8_lossy(&log);
        text.lines().any(|line| parts.iter().all(|part| line.contains(part)))
    };
    until(&format!("a line in the log with {parts:?}"), has_line).await;
}
