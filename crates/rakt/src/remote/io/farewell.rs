//! The last bytes of a connection.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::remote::transport::Stream;

/// How long a connection that ends with a reason waits for the peer to take it.
const FAREWELL: Duration = Duration::from_secs(1);
/// How much a peer may still send meanwhile, in bytes.
pub(crate) const FAREWELL_LEN: usize = 1024 * 1024;

/// Room for what a peer sends meanwhile, which is thrown away.
const SCRATCH_LEN: usize = 4 * 1024;

/// What a peer is told last.
pub(crate) struct Farewell {
    bytes: Vec<u8>,
    /// Something of ours may still be under way.
    lingers: bool,
    /// For the bytes.
    _charge: Option<Box<dyn Send>>,
}

impl Farewell {
    /// With `charge` dropped once the bytes are taken or given up.
    pub(crate) fn new(bytes: Vec<u8>, charge: impl Send + 'static) -> Self {
        Self { bytes, lingers: true, _charge: Some(Box::new(charge)) }
    }

    /// Nothing is left to say, or it has been said.
    pub(crate) fn silent(lingers: bool) -> Self {
        Self { bytes: Vec::new(), lingers, _charge: None }
    }
}

/// Sends the last bytes, as far as the peer takes them in time, and closes the stream.
pub(crate) async fn say_goodbye(stream: Box<dyn Stream>, farewell: Farewell) {
    // Nobody is left to hear of an error.
    drop(tokio::time::timeout(FAREWELL, write_last(stream, farewell)).await);
}

/// Where something of ours may still be under way, it reads on until the peer has closed too: closing
/// with unread input would reset the connection, and the peer might never see what was sent last.
async fn write_last(mut stream: Box<dyn Stream>, farewell: Farewell) -> io::Result<()> {
    stream.write_all(&farewell.bytes).await?;
    stream.shutdown().await?;
    if farewell.lingers {
        let mut scratch = BytesMut::with_capacity(SCRATCH_LEN);
        let mut left = FAREWELL_LEN;
        while left > 0 {
            scratch.clear();
            let n = stream.read_buf(&mut scratch).await?;
            if n == 0 {
                break;
            }
            left = left.saturating_sub(n);
        }
    }
    Ok(())
}
