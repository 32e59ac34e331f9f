//! A network whose connections take no more bytes from whoever dials, from some point on, and still bring what the other
//! end sends: as those do whose peer has said its last word, closed, and left unread what it was sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rakt::remote::{Listener, Opening, Stream, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::memory::Memory;

/// The dialing side of a network in memory.
pub(crate) struct Breaking {
    pub(crate) memory: Memory,
    /// How many bytes each connection takes.
    pub(crate) takes: usize,
}

impl Transport for Breaking {
    fn bind<'a>(&'a self, host: &'a str, port: u16) -> Opening<'a, Box<dyn Listener>> {
        self.memory.bind(host, port)
    }

    fn dial<'a>(
        &'a self,
        host: &'a str,
        port: u16,
        keep_alive: Duration,
    ) -> Opening<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let inner = self.memory.dial(host, port, keep_alive).await?;
            let stream: Box<dyn Stream> =
                Box::new(Broken { inner, left: self.takes, is_noticed: false });
            Ok(stream)
        })
    }
}

struct Broken {
    inner: Box<dyn Stream>,
    left: usize,
    /// The runtime has looked at what there is to be read since it takes no more.
    is_noticed: bool,
}

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // As with a socket, of which the runtime has to hear first that it can be read.
        if self.left == 0 && !std::mem::replace(&mut self.is_noticed, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Broken {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = bytes.len().min(self.left);
        let polled = Pin::new(&mut self.inner).poll_write(cx, &bytes[..taken]);
        if let Poll::Ready(Ok(len)) = polled {
            self.left -= len;
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
