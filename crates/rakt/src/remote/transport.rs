//! Where connections come from.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A future that a transport returns.
pub type Opening<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Both directions of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Takes connections.
pub trait Listener: Send {
    /// Waits for the next connection, and returns it with the peer's address, for the log and for the
    /// [limits of one source](super::Config::max_connections_per_source). These hold where it is an IP
    /// address, with or without a port.
    ///
    /// # Errors
    /// An error is taken as passing, such as too many open files: it is logged, and after a pause
    /// this is called again.
    ///
    /// # Cancel safety
    /// The future is dropped when the system shuts down; a connection may be lost then.
    fn accept(&mut self) -> Opening<'_, (Box<dyn Stream>, String)>;

    /// The port that is listened on.
    fn port(&self) -> u16;
}

/// Opens and takes connections. TCP is the default; tests bring a simulated network.
pub trait Transport: Send + Sync + 'static {
    /// Listens; port 0 takes a free one.
    ///
    /// # Errors
    /// Why the address cannot be listened on; the system then does not start.
    fn bind<'a>(&'a self, host: &'a str, port: u16) -> Opening<'a, Box<dyn Listener>>;

    /// Connects to a peer. `keep_alive` is the interval of TCP keep-alive, zero for none. The future is
    /// dropped after [`dial_timeout`](super::Config::dial_timeout).
    ///
    /// # Errors
    /// Why the peer cannot be reached; what waited for the connection is refused with it.
    fn dial<'a>(
        &'a self,
        host: &'a str,
        port: u16,
        keep_alive: Duration,
    ) -> Opening<'a, Box<dyn Stream>>;
}

/// How long a connection that was taken is silent before the system probes the peer: Go nodes have no
/// pings, and one whose machine is gone while it waits for an answer would stay for ever. 15 s, as in Go.
const ACCEPTED_KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) struct Tcp {
    /// Connections that wait to be taken.
    pub(crate) backlog: u32,
}

impl Transport for Tcp {
    fn bind<'a>(&'a self, host: &'a str, port: u16) -> Opening<'a, Box<dyn Listener>> {
        Box::pin(async move {
            let listener = self.listen(unbracketed(host), port).await?;
            let port = listener.local_addr()?.port();
            let listener: Box<dyn Listener> = Box::new(Accepting { listener, port });
            Ok(listener)
        })
    }

    fn dial<'a>(
        &'a self,
        host: &'a str,
        port: u16,
        keep_alive: Duration,
    ) -> Opening<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect((unbracketed(host), port)).await?;
            stream.set_nodelay(true)?;
            set_keep_alive(&stream, keep_alive)?;
            let stream: Box<dyn Stream> = Box::new(stream);
            Ok(stream)
        })
    }
}

impl Tcp {
    /// Listens on the first address of the host where that is possible.
    async fn listen(&self, host: &str, port: u16) -> io::Result<TcpListener> {
        let mut failed = None;
        for address in tokio::net::lookup_host((host, port)).await? {
            match self.listen_on(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => failed = Some(error),
            }
        }
        let nowhere = || io::Error::new(io::ErrorKind::InvalidInput, "the host has no address");
        Err(failed.unwrap_or_else(nowhere))
    }

    fn listen_on(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A port that was just in use is free; on Windows this would mean that two may use it at once.
        #[cfg(not(windows))]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        // A runtime without I/O panics, which is the one way in which it tells.
        let listening = std::panic::catch_unwind(AssertUnwindSafe(|| socket.listen(self.backlog)));
        let without_io = || io::Error::new(io::ErrorKind::Unsupported, NO_IO);
        listening.unwrap_or_else(|_| Err(without_io()))
    }
}

const NO_IO: &str = "the runtime has no I/O: build it with `enable_io` or `enable_all`";

struct Accepting {
    listener: TcpListener,
    port: u16,
}

impl Listener for Accepting {
    fn accept(&mut self) -> Opening<'_, (Box<dyn Stream>, String)> {
        Box::pin(async move {
            let (stream, peer) = accept(&self.listener).await?;
            let stream: Box<dyn Stream> = Box::new(stream);
            Ok((stream, peer.to_string()))
        })
    }

    fn port(&self) -> u16 {
        self.port
    }
}

async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = loop {
        match listener.accept().await {
            // That peer has gone already; it is none of the others' concern.
            Err(error) if is_its_own(&error) => {}
            accepted => break accepted?,
        }
    };
    // Fails where the peer has gone, which the first read will tell.
    let _ = stream.set_nodelay(true);
    let _ = set_keep_alive(&stream, ACCEPTED_KEEP_ALIVE);
    Ok((stream, peer))
}

/// Whether an error of `accept` is about the connection, not about accepting.
fn is_its_own(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Has the system probe a silent peer after `interval`, and every `interval` from then on.
fn set_keep_alive(stream: &TcpStream, interval: Duration) -> io::Result<()> {
    if interval.is_zero() {
        return Ok(());
    }
    // Systems count in whole seconds, and Linux up to 32767 of them.
    let interval = interval.clamp(Duration::from_secs(1), Duration::from_secs(32_767));
    let keep_alive = socket2::TcpKeepalive::new().with_time(interval);
    #[cfg(not(any(target_os = "openbsd", target_os = "haiku")))]
    let keep_alive = keep_alive.with_interval(interval);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keep_alive)
}

/// An IPv6 address as the resolver wants it.
pub(crate) fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn keep_alive_is_set_in_whole_seconds_and_zero_leaves_it_off() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let probe = |asked: Duration| {
            let address = listener.local_addr();
            async move {
                let stream = TcpStream::connect(address?).await?;
                set_keep_alive(&stream, asked)?;
                let socket = socket2::SockRef::from(&stream);
                let times = (socket.tcp_keepalive_time()?, socket.tcp_keepalive_interval()?);
                io::Result::Ok(socket.keepalive()?.then_some(times))
            }
        };
        let seconds = |n| Some((Duration::from_secs(n), Duration::from_secs(n)));
        assert_eq!(probe(Duration::ZERO).await?, None);
        assert_eq!(probe(Duration::from_secs(7)).await?, seconds(7));
        assert_eq!(probe(Duration::from_millis(500)).await?, seconds(1));
        assert_eq!(probe(Duration::from_secs(100_000)).await?, seconds(32_767));
        Ok(())
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_connection_that_is_taken_is_kept_alive_and_does_not_gather_bytes() -> io::Result<()>
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let dialed = TcpStream::connect(listener.local_addr()?).await?;
        let (taken, peer) = accept(&listener).await?;
        assert_eq!(peer, dialed.local_addr()?);
        let socket = socket2::SockRef::from(&taken);
        assert!(socket.keepalive()? && taken.nodelay()?);
        assert_eq!(socket.tcp_keepalive_time()?, ACCEPTED_KEEP_ALIVE);
        Ok(())
    }
}
