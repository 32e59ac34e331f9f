//! Whether a node speaks rakt without TLS.

use std::time::Duration;

use rakt_wire::native::{HandshakeError, RefuseReason};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::greeting::{Greeted, greet};

const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the node greets, or has another reason not to than who asks. One that takes TLS alone lets nobody in.
pub(super) async fn speaks_rakt(host: &str, port: u16, system: &str) -> bool {
    let answer = timeout(PATIENCE, answer(host, port, system)).await;
    match answer.ok().flatten() {
        None => false,
        Some(Ok(_)) => true,
        Some(Err(HandshakeError::RefusedByPeer(RefuseReason::Denied(_)))) => false,
        Some(Err(error)) => !matches!(error, HandshakeError::NotRakt { .. }),
    }
}

async fn answer(host: &str, port: u16, system: &str) -> Option<Greeted> {
    let mut stream = TcpStream::connect((host, port)).await.ok()?;
    let greeted = greet(&mut stream, system, |_| Ok(())).await.ok()?;
    // The node sees an orderly end.
    let _ = stream.shutdown().await;
    Some(greeted)
}
