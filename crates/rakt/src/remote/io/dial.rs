//! The way to a peer: the transport, what lies between it and a dialect, and the greeting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Cause, Refusal};
use crate::remote::config::Options;
use crate::remote::transport::Stream;

/// Connects to a peer and has `greet` begin to speak its dialect, all within the limit for dialing.
pub(crate) async fn dial<T, F>(
    options: &Options,
    host: &str,
    port: u16,
    greet: impl FnOnce(Box<dyn Stream>) -> F,
) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let limit: Duration = options.dial_timeout;
    let has_opened = AtomicBool::new(false);
    let opened = async {
        let dialed = options.transport.dial(host, port, options.keep_alive).await;
        let stream = dialed.map_err(|error| unreachable(host, port, Cause::new(error)))?;
        has_opened.store(true, Ordering::Relaxed);
        // What lies between the transport and the dialect, such as encryption, goes on here.
        greet(stream).await
    };
    let late = |_| {
        let what = match has_opened.load(Ordering::Relaxed) {
            false => "the connection was not open",
            true => "the peer has taken the connection and not answered the greeting",
        };
        Err(unreachable(host, port, format!("{what} within {limit:?}").into()))
    };
    tokio::time::timeout(limit, opened).await.unwrap_or_else(late)
}

fn unreachable(host: &str, port: u16, source: Cause) -> Refusal {
    Refusal::Unreachable { peer: format!("{host}:{port}").into(), source }
}
