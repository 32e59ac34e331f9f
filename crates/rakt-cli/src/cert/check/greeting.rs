//! The greeting, as a node makes it that dials.

use std::io;

use aws_lc_rs::rand;
use bytes::BytesMut;
use rakt_wire::native::{Handshake, HandshakeError, Hello, RefuseReason};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What came of it: what the node says of itself, or why one end refuses the other.
pub(super) type Greeted = Result<Hello, HandshakeError>;

/// Greets as a system of this name. `check` sees what the node says of itself; if it refuses that, the node is told.
///
/// # Errors
/// The connection has broken, or TLS has: the node judges our certificate only now.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    system: &str,
    mut check: impl FnMut(&Hello) -> Result<(), RefuseReason>,
) -> io::Result<Greeted> {
    let mut incarnation = [0; 16];
    rand::fill(&mut incarnation).map_err(|_| io::Error::other("there is no randomness"))?;
    let mut handshake = Handshake::dial(Hello::new(system, incarnation));
    let mut read = BytesMut::new();
    loop {
        send(stream, &mut handshake).await?;
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let handled = handshake.handle_bytes_with(&mut read, &mut check);
        send(stream, &mut handshake).await?;
        match handled {
            Ok(Some(session)) => return Ok(Ok(session.peer)),
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, handshake: &mut Handshake) -> io::Result<()> {
    if let Some(bytes) = handshake.poll_transmit() {
        stream.write_all(&bytes).await?;
        stream.flush().await?;
    }
    Ok(())
}
