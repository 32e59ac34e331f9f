//! Frames straight to and from the socket, in one task on each side, no-delay.
//!
//! Bodies are encoded once and never decoded, so this is the floor: framing, tokio, the kernel.

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::frame::{self, Kind};
use super::{CHUNK_LEN, accept, body, connect, listen};
use crate::Result;
use crate::contestant::Contestant;
use crate::workload::{ASKERS, Job, Measured, Workload, check_count};

pub(crate) const CONTESTANT: Contestant = Contestant {
    name: "raw",
    about: "tokio TCP, one task a side, nothing decoded: the floor",
    serve: |ready| Box::pin(async { accept(listen(ready).await?, serve).await }),
    run: |job| Box::pin(run(job)),
};

/// Answers what one read brought with one write.
async fn serve(mut stream: TcpStream) -> Result {
    let (mut inbox, mut out) = (BytesMut::new(), BytesMut::new());
    let mut notes = 0_u64;
    while frame::read_more(&mut stream, &mut inbox).await? {
        while let Some(frame) = frame::take(&mut inbox)? {
            match frame.kind {
                Kind::Note => notes += 1,
                Kind::Echo => frame::put(&mut out, Kind::Reply, frame.id, &frame.body),
                Kind::Count => frame::put(&mut out, Kind::Reply, frame.id, &notes.to_be_bytes()),
                Kind::Reply => return Err("a reply to no question".into()),
            }
        }
        stream.write_all_buf(&mut out).await?;
    }
    Ok(())
}

async fn run(job: Job) -> Result<Measured> {
    let client = Client { stream: connect(job.port).await?, inbox: BytesMut::new() };
    match job.workload {
        Workload::Ask1 => client.ask_1(job).await,
        Workload::Ask64 => client.ask_64(job).await,
        Workload::Tell => client.tell(job).await,
        Workload::Bulk => client.bulk(job).await,
    }
}

struct Client {
    stream: TcpStream,
    inbox: BytesMut,
}

impl Client {
    /// One frame a write, then its reply: the naive ping-pong.
    async fn ask_1(mut self, job: Job) -> Result<Measured> {
        let body = body(job.workload);
        let mut out = BytesMut::new();
        for _ in 0..job.warm_up() {
            self.ask(&mut out, &body).await?;
        }
        let mut nanos = Vec::with_capacity(job.count as usize);
        let run = job.start()?;
        for _ in 0..job.count {
            let asked = std::time::Instant::now();
            self.ask(&mut out, &body).await?;
            nanos.push(asked.elapsed().as_nanos() as u64);
        }
        run.finish_with_latencies(nanos)
    }

    async fn ask(&mut self, out: &mut BytesMut, body: &[u8]) -> Result {
        frame::put(out, Kind::Echo, 0, body);
        self.stream.write_all_buf(out).await?;
        frame::read(&mut self.stream, &mut self.inbox).await?;
        Ok(())
    }

    /// 64 frames under way; the replies that one read brings are asked again with one write.
    async fn ask_64(mut self, job: Job) -> Result<Measured> {
        self.keep_asking(job, job.warm_up()).await?;
        let run = job.start()?;
        self.keep_asking(job, job.count).await?;
        run.finish()
    }

    async fn keep_asking(&mut self, job: Job, count: u64) -> Result {
        let (body, mut out) = (body(job.workload), BytesMut::new());
        let (mut asked, mut answered) = (0, 0);
        while answered < count {
            while asked < count && asked - answered < ASKERS as u64 {
                frame::put(&mut out, Kind::Echo, asked as u32, &body);
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

    /// Writes of [`CHUNK_LEN`], full of small frames.
    async fn tell(mut self, job: Job) -> Result<Measured> {
        self.send_notes(job, job.warm_up()).await?;
        let before = self.count().await?;
        let run = job.start()?;
        self.send_notes(job, job.count).await?;
        check_count(self.count().await? - before, job.count)?;
        run.finish()
    }

    async fn send_notes(&mut self, job: Job, count: u64) -> Result {
        let body = body(job.workload);
        let mut out = BytesMut::with_capacity(2 * CHUNK_LEN);
        for _ in 0..count {
            frame::put(&mut out, Kind::Note, 0, &body);
            if out.len() >= CHUNK_LEN {
                self.stream.write_all(&out).await?;
                out.clear();
            }
        }
        Ok(self.stream.write_all(&out).await?)
    }

    /// One large frame a write; its body is not copied.
    async fn bulk(mut self, job: Job) -> Result<Measured> {
        self.send_bulk(job, job.warm_up()).await?;
        let before = self.count().await?;
        let run = job.start()?;
        self.send_bulk(job, job.count).await?;
        check_count(self.count().await? - before, job.count)?;
        run.finish()
    }

    async fn send_bulk(&mut self, job: Job, count: u64) -> Result {
        let body = body(job.workload);
        let mut header = BytesMut::with_capacity(frame::HEADER_LEN);
        frame::put_header(&mut header, Kind::Note, 0, body.len());
        for _ in 0..count {
            self.stream.write_all_buf(&mut (&header[..]).chain(&body[..])).await?;
        }
        Ok(())
    }

    async fn count(&mut self) -> Result<u64> {
        let mut out = BytesMut::new();
        frame::put(&mut out, Kind::Count, 0, &[]);
        self.stream.write_all_buf(&mut out).await?;
        frame::counted(&frame::read(&mut self.stream, &mut self.inbox).await?.body)
    }
}
