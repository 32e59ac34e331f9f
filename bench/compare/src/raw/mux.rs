//! Many tasks that ask on one connection: what multiplexing costs, with nothing else of a library.
//!
//! ```text
//! askers ─▶ shared buffer ─▶ writer ══▶ one task that answers
//!    ▲                                        ║
//!    └── oneshot of the id ── reader ◀══════╝
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};

use super::frame::{self, Frame, Kind};
use super::{accept, connect, listen};
use crate::contestant::{Contestant, EVERYWHERE, Halves, SAME};
use crate::measured::Measured;
use crate::message::Note;
use crate::workload::{Job, Workload};
use crate::{Result, drive};

pub(crate) const CONTESTANT: Contestant = Contestant {
    name: "raw-mux",
    about: "tokio TCP, an id and a oneshot for each ask, a writer that coalesces what has piled up",
    marks: "bounded by its askers",
    workloads: &[Workload::Ask1, Workload::Ask64],
    scale: SAME,
    check: EVERYWHERE,
    halves: Halves::Rust {
        serve: |ready| Box::pin(async { accept(listen(ready).await?, serve).await }),
        run: |job| Box::pin(run(job, Turn::Now)),
    },
};

pub(crate) const YIELDING: Contestant = Contestant {
    name: "raw-mux-yield",
    about: "raw-mux whose writer lets the tasks that are ready to ask do so first",
    halves: Halves::Rust {
        serve: |ready| Box::pin(async { accept(listen(ready).await?, serve).await }),
        run: |job| Box::pin(run(job, Turn::Last)),
    },
    ..CONTESTANT
};

/// When a writer that was woken looks at what there is to write.
///
/// The runtime runs a woken task next, ahead of all that wait. So a writer that looks at once takes the
/// first of 64 questions to the kernel before the other 63 tasks could add theirs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Now,
    Last,
}

async fn run(job: Job, turn: Turn) -> Result<Measured> {
    drive::run(Client::connect(job.port, turn).await?, job).await
}

/// Answers what one read brought with one write.
async fn serve(mut stream: TcpStream) -> Result {
    let (mut inbox, mut out) = (BytesMut::new(), BytesMut::new());
    let mut notes = 0_u64;
    while frame::read_more(&mut stream, &mut inbox).await? {
        while let Some(Frame { kind, actor, id, body }) = frame::take(&mut inbox)? {
            let note = Note::decode(body)?;
            match kind {
                Kind::Note => notes += 1,
                Kind::Echo => put_note(&mut out, Kind::Reply, id, &note),
                Kind::Count => frame::put(&mut out, Kind::Reply, actor, id, &notes.to_be_bytes()),
                Kind::Reply => return Err("a reply to no question".into()),
            }
        }
        stream.write_all_buf(&mut out).await?;
    }
    Ok(())
}

fn put_note(out: &mut BytesMut, kind: Kind, id: u32, note: &Note) {
    frame::put_header(out, kind, 0, id, note.encoded_len());
    note.encode(out).expect("a BytesMut grows");
}

/// What the askers share with the two tasks of their connection.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write.
    written: Notify,
}

#[derive(Default)]
struct State {
    out: BytesMut,
    asked: Asked,
}

/// The questions under way. The id of one is its place; free places are used again.
#[derive(Default)]
struct Asked {
    places: Vec<Option<oneshot::Sender<Bytes>>>,
    free: Vec<u32>,
}

impl Asked {
    fn insert(&mut self, reply: oneshot::Sender<Bytes>) -> u32 {
        let id = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        self.places[id as usize] = Some(reply);
        id
    }

    fn remove(&mut self, id: u32) -> Option<oneshot::Sender<Bytes>> {
        let reply = self.places.get_mut(id as usize)?.take()?;
        self.free.push(id);
        Some(reply)
    }
}

#[derive(Clone)]
struct Client(Arc<Shared>);

impl Client {
    async fn connect(port: u16, turn: Turn) -> Result<Self> {
        let (reader, writer) = connect(port).await?.into_split();
        let shared = Arc::<Shared>::default();
        tokio::spawn(write(writer, shared.clone(), turn));
        tokio::spawn(read_replies(reader, shared.clone()));
        Ok(Self(shared))
    }

    async fn ask(&self, kind: Kind, note: Note) -> Result<Bytes> {
        let (reply, answer) = oneshot::channel();
        {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            let id = state.asked.insert(reply);
            put_note(&mut state.out, kind, id, &note);
        }
        self.0.written.notify_one();
        Ok(answer.await.map_err(|_| "the connection was lost")?)
    }
}

impl drive::Client for Client {
    async fn tell(&self, _: Bytes) -> Result {
        Err("raw-mux only asks".into())
    }

    async fn echo(&self, payload: Bytes) -> Result<Bytes> {
        Ok(Note::decode(self.ask(Kind::Echo, Note { payload }).await?)?.payload)
    }

    async fn count(&self) -> Result<u64> {
        frame::counted(&self.ask(Kind::Count, Note::default()).await?)
    }
}

/// Writes what has piled up at once.
async fn write(mut writer: OwnedWriteHalf, shared: Arc<Shared>, turn: Turn) -> Result {
    let mut out = BytesMut::new();
    loop {
        shared.written.notified().await;
        if turn == Turn::Last {
            tokio::task::yield_now().await;
        }
        std::mem::swap(
            &mut out,
            &mut shared.state.lock().unwrap_or_else(PoisonError::into_inner).out,
        );
        writer.write_all(&out).await?;
        out.clear();
    }
}

/// Hands each reply to its asker.
async fn read_replies(mut reader: OwnedReadHalf, shared: Arc<Shared>) -> Result {
    let mut inbox = BytesMut::new();
    while frame::read_more(&mut reader, &mut inbox).await? {
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Frame { id, body, .. }) = frame::take(&mut inbox)? {
            // An asker that is gone needs no reply.
            let _ = state.asked.remove(id).map(|asker| asker.send(body));
        }
    }
    shared.state.lock().unwrap_or_else(PoisonError::into_inner).asked = Asked::default();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_answered_question_is_used_again() {
        let mut asked = Asked::default();
        let question = || oneshot::channel().0;
        assert_eq!([asked.insert(question()), asked.insert(question())], [0, 1]);
        assert!(asked.remove(0).is_some());
        assert!(asked.remove(0).is_none(), "it was answered");
        assert!(asked.remove(7).is_none(), "it was never asked");
        assert_eq!([asked.insert(question()), asked.insert(question())], [0, 2]);
    }
}
