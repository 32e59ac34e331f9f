//! A host as nodes and clients use it, and the ends of its connections.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, Sleep};

use super::pipe::Found;
use super::state::{Connected, Dialed, Shared, State, Way};
use crate::remote::{Listener, Opening, Stream, Transport};

/// A machine of a [`Network`](super::Network), as a transport for the nodes and clients on it.
///
/// It listens under its own name, whatever host a configuration names, and dials other hosts by theirs.
#[derive(Clone)]
pub struct Host {
    pub(super) name: Arc<str>,
    /// How often it had crashed before.
    pub(super) life: u64,
    pub(super) network: Arc<Shared>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Host {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn end(&self, id: u64, side: usize) -> Box<dyn Stream> {
        let network = self.network.clone();
        Box::new(End { id, side, network, reading: Timer(None), writing: Timer(None) })
    }

    /// Waits until there is a way to the host.
    async fn find_way(&self, to: &str) -> io::Result<()> {
        let mut is_there = false;
        loop {
            let mut changed = pin!(self.network.changed.notified());
            // In line before the look: a change between the two is not missed.
            changed.as_mut().enable();
            let way = self.network.state.lock().way(&self.name, self.life, to)?;
            match way {
                Way::Open(takes) if takes.is_zero() || is_there => return Ok(()),
                Way::Open(takes) => {
                    tokio::time::sleep(takes).await;
                    // Whether the line is still open is looked at once more.
                    is_there = true;
                }
                Way::Waits => changed.await,
            }
        }
    }
}

impl Transport for Host {
    fn bind<'a>(&'a self, _: &'a str, port: u16) -> Opening<'a, Box<dyn Listener>> {
        Box::pin(async move {
            let (dialed, accepting) = unbounded_channel();
            let mut state = self.network.state.lock();
            let port = state.listen(&self.name, self.life, port, dialed)?;
            let listener: Box<dyn Listener> =
                Box::new(Accepting { host: self.clone(), port, accepting });
            Ok(listener)
        })
    }

    fn dial<'a>(&'a self, host: &'a str, port: u16, _: Duration) -> Opening<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let unreachable = io::ErrorKind::HostUnreachable;
            {
                let mut state = self.network.state.lock();
                let is_known = state.host_names().iter().any(|name| **name == *host);
                state.line(&self.name, is_known.then_some(host).ok_or(unreachable)?).dials += 1;
            }
            self.find_way(host).await?;
            let id = self.network.state.lock().connect(&self.name, host, port)?;
            Ok(self.end(id, 0))
        })
    }
}

struct Accepting {
    host: Host,
    port: u16,
    accepting: UnboundedReceiver<Dialed>,
}

impl Listener for Accepting {
    fn accept(&mut self) -> Opening<'_, (Box<dyn Stream>, String)> {
        Box::pin(async move {
            match self.accepting.recv().await {
                Some((id, from)) => Ok((self.host.end(id, 1), from.to_string())),
                // The host has crashed: nobody comes any more, and that is no error of anybody's.
                None => std::future::pending().await,
            }
        })
    }

    fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        let Host { name, life, network } = &self.host;
        network.state.lock().stop_listening(name, *life, self.port);
        self.accepting.close();
        // Those who were never taken find nobody.
        while let Ok((id, _)) = self.accepting.try_recv() {
            drop(self.host.end(id, 1));
        }
    }
}

/// One end of a connection.
struct End {
    id: u64,
    /// 0 for who dialed, 1 for who accepted.
    side: usize,
    network: Arc<Shared>,
    reading: Timer,
    writing: Timer,
}

/// Made when it is first needed: most lines are quick.
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn poll(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(cx)
    }
}

/// What an end is told to do next.
enum Next {
    Done(usize),
    WaitUntil(Instant),
    Wait,
}

impl Next {
    /// Carries it out; `None` where the caller is to look again.
    fn follow(self, timer: &mut Timer, cx: &mut Context<'_>) -> Option<Poll<usize>> {
        match self {
            Self::Done(count) => Some(Poll::Ready(count)),
            Self::Wait => Some(Poll::Pending),
            Self::WaitUntil(at) => timer.poll(at, cx).is_pending().then_some(Poll::Pending),
        }
    }
}

impl State {
    /// The connection of an end that is not broken.
    fn whole(&mut self, id: u64, side: usize) -> io::Result<&mut Connected> {
        let conn = self.connections.get_mut(&id).filter(|conn| !conn.is_broken[side]);
        conn.ok_or(io::ErrorKind::ConnectionReset.into())
    }

    fn read(
        &mut self,
        (id, side): (u64, usize),
        buf: &mut ReadBuf<'_>,
        waker: &Waker,
    ) -> io::Result<(Next, Option<Waker>)> {
        let [from, to] = self.whole(id, side)?.hosts.clone();
        let (from, to) = if side == 0 { (to, from) } else { (from, to) };
        let is_stalled = self.line(&from, &to).is_stalled;
        let pipe = &mut self.whole(id, side)?.pipes[1 - side];
        pipe.reader = Some(waker.clone());
        if is_stalled {
            return Ok((Next::Wait, None));
        }
        let found = pipe.receive(Instant::now(), |bytes| {
            let len = bytes.len().min(buf.remaining());
            buf.put_slice(&bytes[..len]);
            len
        });
        Ok(match found {
            Found::Bytes(count) => (Next::Done(count), pipe.writer.take()),
            Found::End => (Next::Done(0), None),
            Found::Later(due) => (Next::WaitUntil(due), None),
            Found::Nothing => (Next::Wait, None),
        })
    }

    fn write(
        &mut self,
        (id, side): (u64, usize),
        bytes: &[u8],
        waker: &Waker,
    ) -> io::Result<(Next, Option<Waker>)> {
        let now = Instant::now();
        let hosts = self.whole(id, side)?.hosts.clone();
        let (from, to) = (&hosts[side], &hosts[1 - side]);
        let back_is_stalled = self.line(to, from).is_stalled;
        let line = self.line(from, to);
        let (rate, is_lossy) = (line.rate, line.is_lossy);
        let allowance =
            line.allowance.map_or(usize::MAX, |left| left.try_into().unwrap_or(usize::MAX));
        let conn = self.whole(id, side)?;
        let nobody_reads = conn.is_closed[1 - side] || conn.is_broken[1 - side];
        if nobody_reads && conn.pipes[1 - side].has_ended(now) && !back_is_stalled {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let pipe = &mut conn.pipes[side];
        pipe.writer = Some(waker.clone());
        pipe.is_dead |= is_lossy;
        let room = match pipe.room(rate, now) {
            Ok(room) => room.min(allowance).min(bytes.len()),
            Err(free_at) => return Ok((Next::WaitUntil(free_at), None)),
        };
        if room == 0 && !bytes.is_empty() {
            return Ok((Next::Wait, None));
        }
        let delay = self.draw_delay(from, to);
        let line = self.line(from, to);
        line.written += room as u64;
        if let Some(left) = &mut line.allowance {
            *left -= room as u64;
        }
        let pipe = &mut self.whole(id, side)?.pipes[side];
        // Who has gone without a word that has arrived is still written to; it goes nowhere.
        if !nobody_reads {
            pipe.send(&bytes[..room], rate, delay, now);
        }
        Ok((Next::Done(room), pipe.reader.take()))
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { id, side, network, reading, .. } = &mut *self;
        loop {
            let read = network.state.lock().read((*id, *side), buf, cx.waker());
            let (next, waker) = read?;
            waker.into_iter().for_each(Waker::wake);
            if let Some(poll) = next.follow(reading, cx) {
                return poll.map(|_| Ok(()));
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { id, side, network, writing, .. } = &mut *self;
        loop {
            let written = network.state.lock().write((*id, *side), bytes, cx.waker());
            let (next, waker) = written?;
            waker.into_iter().for_each(Waker::wake);
            if let Some(poll) = next.follow(writing, cx) {
                return Poll::Ready(Ok(ready!(poll)));
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let reader = self.network.state.lock().finish(self.id, self.side, Instant::now());
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let wakers = self.network.state.lock().close(self.id, self.side, Instant::now());
        if let Some(wakers) = wakers {
            wakers.wake();
        }
    }
}
