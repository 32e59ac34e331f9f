//! Frames straight to and from the socket, in one task on each side, no-delay.
//!
//! Bodies are never decoded, so this is the floor: framing, tokio, the kernel.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::frame::{self, Frame, Kind};
use super::{CHUNK_LEN, accept, connect, listen};
use crate::contestant::{Contestant, EVERYWHERE, Halves};
use crate::measured::Measured;
use crate::message::payload;
use crate::workload::{ASKERS, Job, TARGETS, Workload, check_count};
use crate::{Result, drive};

pub(crate) const CONTESTANT: Contestant = Contestant {
    name: "raw",
    about: "tokio TCP, one task a side, nothing decoded: the floor",
    marks: "a socket's own bound; nothing decoded; one task for all askers and all producers",
    workloads: &[
        Workload::Ask1,
        Workload::Ask64,
        Workload::Tell,
        Workload::Fan,
        Workload::Bulk,
        Workload::Mixed,
        Workload::Links,
    ],
    scale: |workload| match workload {
        Workload::Tell | Workload::Fan => 10.0,
        _ => 1.0,
    },
    check: EVERYWHERE,
    halves: Halves::Rust {
        serve: |ready| Box::pin(async { accept(listen(ready).await?, serve).await }),
        run: |job| Box::pin(run(job)),
    },
};

/// Answers what one read brought with one write. Each actor is a number of notes.
async fn serve(mut stream: TcpStream) -> Result {
    let (mut inbox, mut out) = (BytesMut::new(), BytesMut::new());
    // Grows with the actors that are told something: an idle connection has none.
    let mut notes: Vec<u64> = Vec::new();
    while frame::read_more(&mut stream, &mut inbox).await? {
        while let Some(Frame { kind, actor, id, body }) = frame::take(&mut inbox)? {
            match kind {
                Kind::Note => {
                    let actor = usize::from(actor);
                    if actor >= TARGETS {
                        return Err("no such actor".into());
                    }
                    notes.resize(notes.len().max(actor + 1), 0);
                    notes[actor] += 1;
                }
                Kind::Echo => frame::put(&mut out, Kind::Reply, actor, id, &body),
                Kind::Count => {
                    let sum: u64 = notes.iter().sum();
                    frame::put(&mut out, Kind::Reply, actor, id, &sum.to_be_bytes());
                }
                Kind::Reply => return Err("a reply to no question".into()),
            }
        }
        stream.write_all_buf(&mut out).await?;
    }
    Ok(())
}

async fn run(job: Job) -> Result<Measured> {
    let port = job.port;
    match job.workload {
        Workload::Ask64 => Client::connect(port).await?.ask_64(job).await,
        Workload::Tell => Client::connect(port).await?.tell(job, 1).await,
        Workload::Fan => Client::connect(port).await?.tell(job, TARGETS).await,
        // One stream would let the asks wait behind whole messages of the bulk.
        Workload::Mixed => {
            drive::mixed(Shared::connect(port).await?, Shared::connect(port).await?, job).await
        }
        Workload::Links => drive::links(|| Shared::connect(port), job).await,
        _ => drive::run(Shared::connect(port).await?, job).await,
    }
}

struct Client {
    stream: TcpStream,
    inbox: BytesMut,
}

impl Client {
    async fn connect(port: u16) -> Result<Self> {
        Ok(Self { stream: connect(port).await?, inbox: BytesMut::new() })
    }

    /// 64 frames under way; the replies that one read brings are asked again with one write.
    async fn ask_64(mut self, job: Job) -> Result<Measured> {
        self.keep_asking(job.warm_up()).await?;
        let run = job.start()?;
        self.keep_asking(job.count).await?;
        run.finish()
    }

    async fn keep_asking(&mut self, count: u64) -> Result {
        let (body, mut out) = (payload(Workload::Ask64.payload_len()), BytesMut::new());
        let (mut asked, mut answered) = (0, 0);
        while answered < count {
            while asked < count && asked - answered < ASKERS as u64 {
                frame::put(&mut out, Kind::Echo, 0, asked as u32, &body);
                asked += 1;
            }
            self.stream.write_all_buf(&mut out).await?;
            frame::read(&mut self.stream, &mut self.inbox).await?;
            answered += 1;
            while frame::take(&mut self.inbox)?.is_some() {
                answered += 1;
            }
        }
        Ok(())
    }

    /// Writes of [`CHUNK_LEN`], full of small frames, to one actor after the other.
    async fn tell(mut self, job: Job, actors: usize) -> Result<Measured> {
        self.send_notes(job.warm_up(), actors).await?;
        let before = self.count().await?;
        let run = job.start()?;
        self.send_notes(job.count, actors).await?;
        check_count(self.count().await? - before, job.count)?;
        run.finish()
    }

    async fn send_notes(&mut self, count: u64, actors: usize) -> Result {
        let body = payload(Workload::Tell.payload_len());
        let mut out = BytesMut::with_capacity(2 * CHUNK_LEN);
        for actor in (0..actors as u16).cycle().take(count as usize) {
            frame::put(&mut out, Kind::Note, actor, 0, &body);
            if out.len() >= CHUNK_LEN {
                self.stream.write_all(&out).await?;
                out.clear();
            }
        }
        Ok(self.stream.write_all(&out).await?)
    }

    /// One frame in one write; the body is not copied.
    async fn send(&mut self, kind: Kind, body: &[u8]) -> Result {
        let mut header = BytesMut::with_capacity(frame::HEADER_LEN);
        frame::put_header(&mut header, kind, 0, 0, body.len());
        Ok(self.stream.write_all_buf(&mut header.chain(body)).await?)
    }

    /// A frame, then its reply: the naive ping-pong.
    async fn ask(&mut self, kind: Kind, body: &[u8]) -> Result<Bytes> {
        self.send(kind, body).await?;
        Ok(frame::read(&mut self.stream, &mut self.inbox).await?.body)
    }

    async fn count(&mut self) -> Result<u64> {
        frame::counted(&self.ask(Kind::Count, &[]).await?)
    }
}

/// A connection that one task uses at a time.
#[derive(Clone)]
struct Shared(Arc<Mutex<Client>>);

impl Shared {
    async fn connect(port: u16) -> Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Client::connect(port).await?))))
    }
}

impl drive::Client for Shared {
    async fn tell(&self, payload: Bytes) -> Result {
        self.0.lock().await.send(Kind::Note, &payload).await
    }

    async fn echo(&self, payload: Bytes) -> Result<Bytes> {
        self.0.lock().await.ask(Kind::Echo, &payload).await
    }

    async fn count(&self) -> Result<u64> {
        self.0.lock().await.count().await
    }
}
