//! The end of connections when this side shuts down: not before nothing is under way, if that takes not long.
//!
//! An acceptor that has asked its peer to send nothing new (GOAWAY) reads on until the peer says that it has
//! sent its last, also with GOAWAY: so whatever was sent is handled or refused, and no asker is left without
//! knowing which. A dialer waits for the answers to its requests.

use std::sync::Arc;
use std::time::Duration;

use rakt_wire::native::CloseCode;
use tokio::time::timeout;

use super::conn::{Conn, Half};

/// How long connections have until nothing is under way on them. 2 s.
pub(crate) const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Ends connections, each as soon as nothing is under way, and waits until they are gone. Those that are not
/// when the time is up say goodbye as they are.
pub(crate) async fn leave<H: Half>(conns: &[Arc<Conn<H>>], code: CloseCode, reason: &str) {
    conns.iter().for_each(|conn| conn.leave(code, reason));
    if timeout(LEAVE_TIMEOUT, gone(conns)).await.is_err() {
        conns.iter().for_each(|conn| conn.finish(code, reason));
        gone(conns).await;
    }
}

async fn gone<H: Half>(conns: &[Arc<Conn<H>>]) {
    for conn in conns {
        conn.gone.opened().await;
    }
}
