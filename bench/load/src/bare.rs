//! A task and a socket for each link, which brings back what comes: the least that so many links cost on this runtime.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::Result;
use crate::node::HOST;
use crate::work::PAYLOAD_LEN;

/// Says `ready PORT` and works until it is killed.
pub(crate) async fn serve() -> Result {
    let listener = TcpListener::bind((HOST, 0)).await?;
    println!("ready {}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> Result {
    let mut bytes = [0; PAYLOAD_LEN];
    loop {
        stream.read_exact(&mut bytes).await?;
        stream.write_all(&bytes).await?;
    }
}

/// A link to it.
pub(crate) struct Link(Mutex<TcpStream>);

impl Link {
    pub(crate) async fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((HOST, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self(Mutex::new(stream)))
    }

    pub(crate) async fn ask(&self) -> Result {
        let (mut stream, mut bytes) = (self.0.lock().await, [7; PAYLOAD_LEN]);
        stream.write_all(&bytes).await?;
        stream.read_exact(&mut bytes).await?;
        Ok(())
    }
}
