//! Bare TCP with bounded channels and tasks between socket and user: the shape of an actor library.
//!
//! ```text
//! askers ─▶ outbox ─▶ writer ══▶ reader ─▶ mailbox ─▶ actor
//!    ▲                                                  │
//!    └────── reader ◀══ writer ◀──── outbox ◀───────────┘
//! ```
//!
//! Every message is encoded and decoded. What a library adds to this is its own cost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::frame::{self, Frame, Kind};
use super::{CHUNK_LEN, accept, connect, listen};
use crate::Result;
use crate::contestant::Contestant;
use crate::drive;
use crate::message::Note;
use crate::workload::{Job, Measured};

/// Messages that wait in each channel.
const CAPACITY: usize = 1024;

pub(crate) const CONTESTANT: Contestant = Contestant {
    name: "raw-channel",
    about: "tokio TCP with bounded channels and a codec on both sides: the shape of a library",
    serve: |ready| Box::pin(async { accept(listen(ready).await?, serve::<AT_ONCE>).await }),
    run: |job| Box::pin(run::<AT_ONCE>(job)),
};

pub(crate) const YIELDING: Contestant = Contestant {
    name: "raw-yield",
    about: "raw-channel whose writers yield once before they gather what to write",
    serve: |ready| Box::pin(async { accept(listen(ready).await?, serve::<YIELD>).await }),
    run: |job| Box::pin(run::<YIELD>(job)),
};

/// Whether a writer that was woken lets other tasks run before it looks at what there is to write.
///
/// The runtime runs a woken task next, ahead of all that wait. Without the yield a writer so takes the
/// first of 64 messages to the kernel before the other 63 tasks could send theirs.
const YIELD: bool = true;
const AT_ONCE: bool = false;

async fn run<const YIELDS: bool>(job: Job) -> Result<Measured> {
    drive::run(Client::start::<YIELDS>(connect(job.port).await?), job).await
}

/// A decoded message on its way to the actor.
struct Letter {
    kind: Kind,
    id: u32,
    note: Note,
}

async fn serve<const YIELDS: bool>(stream: TcpStream) -> Result {
    let (mut reader, writer) = stream.into_split();
    let (mailbox, letters) = mpsc::channel(CAPACITY);
    let (outbox, replies) = mpsc::channel(CAPACITY);
    tokio::spawn(act(letters, outbox));
    let put = |out: &mut BytesMut, (id, reply)| match reply {
        Reply::Echo(note) => put_note(out, Kind::Reply, id, &note),
        Reply::Counted(notes) => frame::put(out, Kind::Reply, id, &u64::to_be_bytes(notes)),
    };
    tokio::spawn(write::<YIELDS, _>(writer, replies, put));
    let mut inbox = BytesMut::new();
    while frame::read_more(&mut reader, &mut inbox).await? {
        while let Some(Frame { kind, id, body }) = frame::take(&mut inbox)? {
            let letter = Letter { kind, id, note: Note::decode(body)? };
            mailbox.send(letter).await.map_err(|_| "the actor has ended")?;
        }
    }
    Ok(())
}

enum Reply {
    Echo(Note),
    Counted(u64),
}

/// The actor: one message at a time.
async fn act(mut letters: mpsc::Receiver<Letter>, outbox: mpsc::Sender<(u32, Reply)>) {
    let mut notes = 0;
    while let Some(Letter { kind, id, note }) = letters.recv().await {
        let reply = match kind {
            Kind::Echo => Reply::Echo(note),
            Kind::Count => Reply::Counted(notes),
            Kind::Note | Kind::Reply => {
                notes += 1;
                continue;
            }
        };
        if outbox.send((id, reply)).await.is_err() {
            return;
        }
    }
}

/// Writes what has piled up at once, about [`CHUNK_LEN`] at most.
async fn write<const YIELDS: bool, T>(
    mut writer: OwnedWriteHalf,
    mut queue: mpsc::Receiver<T>,
    mut put: impl FnMut(&mut BytesMut, T),
) -> Result {
    let mut out = BytesMut::with_capacity(2 * CHUNK_LEN);
    while let Some(item) = queue.recv().await {
        put(&mut out, item);
        if YIELDS {
            tokio::task::yield_now().await;
        }
        while out.len() < CHUNK_LEN
            && let Ok(item) = queue.try_recv()
        {
            put(&mut out, item);
        }
        writer.write_all(&out).await?;
        out.clear();
    }
    Ok(())
}

fn put_note(out: &mut BytesMut, kind: Kind, id: u32, note: &Note) {
    frame::put_header(out, kind, id, note.encoded_len());
    note.encode(out).expect("a BytesMut grows");
}

/// The questions under way, by id.
type Asked = Arc<Mutex<HashMap<u32, oneshot::Sender<Bytes>>>>;

struct Outgoing {
    kind: Kind,
    note: Note,
    reply: Option<oneshot::Sender<Bytes>>,
}

#[derive(Clone)]
struct Client {
    outbox: mpsc::Sender<Outgoing>,
}

impl Client {
    fn start<const YIELDS: bool>(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        let (outbox, queue) = mpsc::channel(CAPACITY);
        let asked = Asked::default();
        tokio::spawn(read_replies(reader, asked.clone()));
        let mut last_id = 0_u32;
        let put = move |out: &mut BytesMut, Outgoing { kind, note, reply }| {
            let id = reply.map_or(0, |reply| {
                last_id = last_id.wrapping_add(1);
                asked.lock().unwrap_or_else(PoisonError::into_inner).insert(last_id, reply);
                last_id
            });
            put_note(out, kind, id, &note);
        };
        tokio::spawn(write::<YIELDS, _>(writer, queue, put));
        Self { outbox }
    }

    async fn ask(&self, kind: Kind, note: Note) -> Result<Bytes> {
        let (reply, answer) = oneshot::channel();
        self.send(Outgoing { kind, note, reply: Some(reply) }).await?;
        answer.await.map_err(|_| "the connection was lost".into())
    }

    async fn send(&self, outgoing: Outgoing) -> Result {
        self.outbox.send(outgoing).await.map_err(|_| "the connection was lost".into())
    }
}

impl drive::Client for Client {
    async fn tell(&self, payload: Bytes) -> Result {
        self.send(Outgoing { kind: Kind::Note, note: Note { payload }, reply: None }).await
    }

    async fn echo(&self, payload: Bytes) -> Result<Bytes> {
        Ok(Note::decode(self.ask(Kind::Echo, Note { payload }).await?)?.payload)
    }

    async fn count(&self) -> Result<u64> {
        frame::counted(&self.ask(Kind::Count, Note::default()).await?)
    }
}

/// Hands each reply to its asker. At the end the questions left are dropped, which tells the askers.
async fn read_replies(mut reader: OwnedReadHalf, asked: Asked) -> Result {
    let mut inbox = BytesMut::new();
    let outcome = loop {
        match frame::read(&mut reader, &mut inbox).await {
            Ok(Frame { id, body, .. }) => {
                let asker = asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                // An asker that is gone needs no reply.
                let _ = asker.map(|asker| asker.send(body));
            }
            Err(error) => break Err(error),
        }
    };
    asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    outcome
}
