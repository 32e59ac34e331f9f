//! The greeting of a native connection: what this side says of itself, and how both sides agree.

use bytes::BytesMut;
use rakt_wire::Compression;
use rakt_wire::native::{Handshake, HandshakeError, Hello, Limits, RefuseReason, Role, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::config::Options;
use super::random::Random;
use super::transport::Stream;

/// What this side says of itself at the start of a connection. Each call is a new life of it.
pub(crate) fn hello(name: &str, options: &Options, random: &Random) -> Hello {
    let mut hello = Hello::new(name, random.id());
    hello.compressions = compressions(options.compression);
    hello.limits = Limits {
        max_frame_len: options.max_frame_size,
        max_message_len: options.max_message_size(),
        max_in_flight: options.max_in_flight,
        ..Limits::default()
    };
    hello
}

/// The compressions to offer, the preferred one first; none where none is wanted.
fn compressions(preferred: Compression) -> Vec<Compression> {
    if preferred == Compression::None {
        return Vec::new();
    }
    let others = [Compression::Zstd, Compression::Gzip, Compression::Brotli];
    let others = others.into_iter().filter(|c| *c != preferred && c.is_available());
    std::iter::once(preferred).chain(others).collect()
}

/// Runs a handshake that may have begun with the bytes in `read`; returns the session, and bytes that
/// belong to what follows.
///
/// `greeted` decides whether the peer is taken, once its greeting is there. `agreed` is told of the
/// session before the peer is, which it may still refuse: what it does comes before anything that the peer sends
/// over the connection.
pub(crate) async fn shake_hands(
    stream: &mut dyn Stream,
    mut handshake: Handshake,
    mut read: BytesMut,
    mut greeted: impl FnMut(&Hello) -> Result<(), RefuseReason> + Send,
    mut agreed: impl FnMut(&Session) -> Result<(), RefuseReason> + Send,
) -> Result<(Session, BytesMut), HandshakeFailure> {
    let mut has_read = !read.is_empty();
    let mut has_heard = has_read;
    loop {
        while let Some(bytes) = handshake.poll_transmit() {
            stream.write_all(&bytes).await.map_err(HandshakeFailure::Io)?;
            stream.flush().await.map_err(HandshakeFailure::Io)?;
        }
        if !std::mem::take(&mut has_read) {
            read.reserve(4 * 1024);
            let heard = stream.read_buf(&mut read).await;
            match heard {
                // Whoever was dialed and has nothing to say may have said why below: in TLS.
                Err(error) if !has_heard && handshake.role() == Role::Dialer => {
                    return Err(HandshakeFailure::Io(error));
                }
                Ok(0) | Err(_) if !has_heard => return Err(HandshakeFailure::Silent),
                Ok(0) => {
                    return Err(HandshakeFailure::Io(std::io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(_) => has_heard = true,
                Err(error) => return Err(HandshakeFailure::Io(error)),
            }
        }
        let mut handled = handshake.handle_bytes_with(&mut read, &mut greeted);
        if let Ok(Some(session)) = &handled
            && let Err(reason) = agreed(session)
        {
            handshake.refuse(reason.clone());
            handled = Err(HandshakeError::Refused(reason));
        }
        if let Some(bytes) = handshake.poll_transmit() {
            stream.write_all(&bytes).await.map_err(HandshakeFailure::Io)?;
            stream.flush().await.map_err(HandshakeFailure::Io)?;
        }
        match handled {
            Ok(Some(session)) => return Ok((session, read)),
            Ok(None) => {}
            Err(error) => return Err(HandshakeFailure::Protocol(error)),
        }
    }
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeFailure {
    /// As health checks do.
    #[error("the peer left without a word")]
    Silent,
    #[error("{}", what_broke(.0))]
    Io(std::io::Error),
    #[error(transparent)]
    Protocol(HandshakeError),
}

/// What the stream says, where that is more than that it is over.
fn what_broke(error: &std::io::Error) -> String {
    #[cfg(feature = "_tls")]
    if let Some(text) = super::tls::of_io(error) {
        return text;
    }
    error.to_string()
}
