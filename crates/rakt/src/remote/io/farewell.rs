//! The last bytes of a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::remote::account::{Account, Charge};
use crate::remote::budget::Part;
use crate::remote::transport::Stream;

/// How long a connection that ends with a reason waits for the peer to take it.
const FAREWELL: Duration = Duration::from_secs(1);
/// How much a peer may still send meanwhile, in bytes.
const FAREWELL_LEN: usize = 1024 * 1024;

/// Room for what a peer sends meanwhile, which is thrown away.
const SCRATCH_LEN: usize = 4 * 1024;

/// What a peer is told last.
pub(crate) struct Farewell {
    bytes: Vec<u8>,
    /// Something of ours may still be under way.
    lingers: bool,
    _charge: Option<Charge>,
}

impl Farewell {
    /// `bytes` for the peer of `account`, which count until they are taken or given up; `None` where there is
    /// no room for them any more.
    pub(crate) fn new(account: &Arc<Account>, bytes: Vec<u8>) -> Option<Self> {
        let charge = account.charged(Part::Replies, bytes.len() as u64).ok()?;
        Some(Self { bytes, lingers: true, _charge: Some(charge) })
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
