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
use crate::contestant::{Contestant, EVERYWHERE, Halves, SAME};
use crate::measured::Measured;
use crate::message::Note;
use crate::workload::{Job, TARGETS, Workload};
use crate::{Result, drive};

/// Messages that wait in each channel.
const CAPACITY: usize = 1024;

pub(crate) const CONTESTANT: Contestant = Contestant {
    name: "raw-channel",
    about: "tokio TCP with bounded channels and a codec on both sides: the shape of a library",
    marks: "bounded at 1024 messages a channel",
    workloads: &[
        Workload::Ask1,
        Workload::Ask64,
        Workload::Tell,
        Workload::Fan,
        Workload::Bulk,
        Workload::Mixed,
        Workload::Links,
    ],
    scale: SAME,
    check: EVERYWHERE,
    halves: Halves::Rust {
        serve: |ready| Box::pin(async { accept(listen(ready).await?, serve).await }),
        run: |job| Box::pin(run(job)),
    },
};

async fn run(job: Job) -> Result<Measured> {
    let port = job.port;
    match job.workload {
        Workload::Fan => {
            let outbox = Client::connect(port).await?.outbox;
            let client = |actor| Client { actor, outbox: outbox.clone() };
            drive::fan((0..TARGETS as u16).map(client).collect(), job).await
        }
        // One stream would let the asks wait behind whole messages of the bulk.
        Workload::Mixed => {
            drive::mixed(Client::connect(port).await?, Client::connect(port).await?, job).await
        }
        Workload::Links => drive::links(|| Client::connect(port), job).await,
        _ => drive::run(Client::connect(port).await?, job).await,
    }
}

/// A decoded message on its way to the actor.
struct Letter {
    kind: Kind,
    id: u32,
    note: Note,
}

async fn serve(stream: TcpStream) -> Result {
    let (mut reader, writer) = stream.into_split();
    let (outbox, replies) = mpsc::channel(CAPACITY);
    tokio::spawn(write(writer, replies, |out, (actor, id, reply)| match reply {
        Reply::Echo(note) => put_note(out, Kind::Reply, actor, id, &note),
        Reply::Counted(notes) => frame::put(out, Kind::Reply, actor, id, &u64::to_be_bytes(notes)),
    }));
    let mut mailboxes = HashMap::new();
    let mut inbox = BytesMut::new();
    while frame::read_more(&mut reader, &mut inbox).await? {
        while let Some(Frame { kind, actor, id, body }) = frame::take(&mut inbox)? {
            if usize::from(actor) >= TARGETS {
                return Err("no such actor".into());
            }
            let mailbox = mailboxes.entry(actor).or_insert_with(|| {
                let (mailbox, letters) = mpsc::channel(CAPACITY);
                tokio::spawn(act(actor, letters, outbox.clone()));
                mailbox
            });
            let letter = Letter { kind, id, note: Note::decode(body)? };
            mailbox.send(letter).await.map_err(|_| "the actor has ended")?;
        }
    }
    Ok(())
}

/// What an actor says to whom.
type Said = (u16, u32, Reply);

enum Reply {
    Echo(Note),
    Counted(u64),
}

/// The actor: one message at a time.
async fn act(actor: u16, mut letters: mpsc::Receiver<Letter>, outbox: mpsc::Sender<Said>) {
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
        if outbox.send((actor, id, reply)).await.is_err() {
            return;
        }
    }
}

/// Writes what has piled up at once, about [`CHUNK_LEN`] at most.
async fn write<T>(
    mut writer: OwnedWriteHalf,
    mut queue: mpsc::Receiver<T>,
    mut put: impl FnMut(&mut BytesMut, T),
) -> Result {
    let mut out = BytesMut::with_capacity(2 * CHUNK_LEN);
    while let Some(item) = queue.recv().await {
        put(&mut out, item);
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

fn put_note(out: &mut BytesMut, kind: Kind, actor: u16, id: u32, note: &Note) {
    frame::put_header(out, kind, actor, id, note.encoded_len());
    note.encode(out).expect("a BytesMut grows");
}

/// The questions under way, by id.
type Asked = Arc<Mutex<HashMap<u32, oneshot::Sender<Bytes>>>>;

struct Outgoing {
    kind: Kind,
    actor: u16,
    note: Note,
    reply: Option<oneshot::Sender<Bytes>>,
}

/// One actor behind a connection.
#[derive(Clone)]
struct Client {
    actor: u16,
    outbox: mpsc::Sender<Outgoing>,
}

impl Client {
    async fn connect(port: u16) -> Result<Self> {
        let (reader, writer) = connect(port).await?.into_split();
        let (outbox, queue) = mpsc::channel(CAPACITY);
        let asked = Asked::default();
        tokio::spawn(read_replies(reader, asked.clone()));
        let mut last_id = 0_u32;
        let put = move |out: &mut BytesMut, Outgoing { kind, actor, note, reply }| {
            let id = reply.map_or(0, |reply| {
                last_id = last_id.wrapping_add(1);
                asked.lock().unwrap_or_else(PoisonError::into_inner).insert(last_id, reply);
                last_id
            });
            put_note(out, kind, actor, id, &note);
        };
        tokio::spawn(write(writer, queue, put));
        Ok(Self { actor: 0, outbox })
    }

    async fn ask(&self, kind: Kind, note: Note) -> Result<Bytes> {
        let (reply, answer) = oneshot::channel();
        self.send(kind, note, Some(reply)).await?;
        answer.await.map_err(|_| "the connection was lost".into())
    }

    async fn send(&self, kind: Kind, note: Note, reply: Option<oneshot::Sender<Bytes>>) -> Result {
        let outgoing = Outgoing { kind, actor: self.actor, note, reply };
        self.outbox.send(outgoing).await.map_err(|_| "the connection was lost".into())
    }
}

impl drive::Client for Client {
    async fn tell(&self, payload: Bytes) -> Result {
        self.send(Kind::Note, Note { payload }, None).await
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
