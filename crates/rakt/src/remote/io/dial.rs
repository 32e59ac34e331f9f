//! The way to a peer: the transport, what lies between it and a dialect, and the greeting.

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
    let opened = async {
        let dialed = options.transport.dial(host, port, options.keep_alive).await;
        let stream = dialed.map_err(|error| unreachable(host, port, Cause::new(error)))?;
        // What lies between the transport and the dialect, such as encryption, goes on here.
        greet(stream).await
    };
    let limit: Duration = options.dial_timeout;
    let late = |_| Err(unreachable(host, port, format!("no answer within {limit:?}").into()));
    tokio::time::timeout(limit, opened).await.unwrap_or_else(late)
}

fn unreachable(host: &str, port: u16, source: Cause) -> Refusal {
    Refusal::Unreachable { peer: format!("{host}:{port}").into(), source }
}
