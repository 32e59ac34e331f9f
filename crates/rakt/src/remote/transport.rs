//! Where connections come from.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A future that a transport returns.
pub type Opening<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Both directions of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Takes connections.
pub trait Listener: Send {
    /// Waits for the next connection, and returns it with the peer's address for the log.
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

pub(crate) struct Tcp;

impl Transport for Tcp {
    fn bind<'a>(&'a self, host: &'a str, port: u16) -> Opening<'a, Box<dyn Listener>> {
        Box::pin(async move {
            let listener = TcpListener::bind((unbracketed(host), port)).await?;
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
            if !keep_alive.is_zero() {
                let keep_alive = socket2::TcpKeepalive::new().with_time(keep_alive);
                socket2::SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
            }
            let stream: Box<dyn Stream> = Box::new(stream);
            Ok(stream)
        })
    }
}

struct Accepting {
    listener: TcpListener,
    port: u16,
}

impl Listener for Accepting {
    fn accept(&mut self) -> Opening<'_, (Box<dyn Stream>, String)> {
        Box::pin(async move {
            let (stream, peer) = loop {
                match self.listener.accept().await {
                    // That peer has gone already; it is none of the others' concern.
                    Err(error) if is_its_own(&error) => {}
                    accepted => break accepted?,
                }
            };
            // Fails where the peer has gone, which the first read will tell.
            let _ = stream.set_nodelay(true);
            let stream: Box<dyn Stream> = Box::new(stream);
            Ok((stream, peer.to_string()))
        })
    }

    fn port(&self) -> u16 {
        self.port
    }
}

/// Whether an error of `accept` is about the connection, not about accepting.
fn is_its_own(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// An IPv6 address as the resolver wants it.
fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}
