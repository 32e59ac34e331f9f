//! Bare TCP: what the kernel and tokio cost before any library is involved.
//!
//! - [`frame`]: the smallest framing that does the work
//! - [`plain`]: frames straight to and from the socket
//! - [`mux`]: the same for many tasks that ask on one connection
//! - [`channel`]: frames with bounded channels and tasks between, the shape of an actor library

pub(crate) mod channel;
mod frame;
pub(crate) mod mux;
pub(crate) mod plain;

use std::net::Ipv4Addr;

use tokio::net::{TcpListener, TcpStream};

use crate::Result;
use crate::contestant::Ready;

/// Room for what one read may bring, and how much is gathered before a write, in bytes.
const CHUNK_LEN: usize = 64 * 1024;

async fn listen(ready: Ready) -> Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    ready(listener.local_addr()?.port(), &[])?;
    Ok(listener)
}

/// Runs `serve` for every connection; one that fails says so and ends alone.
async fn accept<F: Future<Output = Result> + Send + 'static>(
    listener: TcpListener,
    serve: fn(TcpStream) -> F,
) -> Result {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            if let Err(error) = serve(stream).await {
                eprintln!("compare: a connection failed: {error}");
            }
        });
    }
}

async fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
