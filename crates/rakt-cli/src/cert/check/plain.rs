//! Whether a node speaks rakt without TLS.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A preface of versions that nobody speaks, and an empty HELLO: a node that speaks plain rakt answers with its own
/// preface, and a refusal for the versions. `docs/PROTOCOL.md` has both.
const GREETING: &[u8] = b"\xf7rakt\n\xff\xff\x01\0\0\0\0";
const MAGIC: &[u8] = b"\xf7rakt\n";
/// Where the code of the refusal is, behind the preface and the header of a frame.
const CODE_AT: usize = 13;
const INCOMPATIBLE: u8 = 1;
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the node refuses these versions. One that takes TLS alone refuses everything, with another code.
pub(super) async fn speaks_rakt(host: &str, port: u16) -> bool {
    timeout(PATIENCE, answer(host, port)).await.is_ok_and(|answer| answer.is_some())
}

async fn answer(host: &str, port: u16) -> Option<()> {
    let mut stream = TcpStream::connect((host, port)).await.ok()?;
    stream.write_all(GREETING).await.ok()?;
    let mut answer = [0; CODE_AT + 1];
    stream.read_exact(&mut answer).await.ok()?;
    (answer.starts_with(MAGIC) && answer[CODE_AT] == INCOMPATIBLE).then_some(())
}
