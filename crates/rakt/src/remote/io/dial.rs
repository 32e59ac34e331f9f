//! The way to a peer: the transport, what lies between it and a dialect, and the greeting.

use std::sync::atomic::{AtomicBool, Ordering};

use rakt_wire::Dialect;

use crate::error::{Cause, Refusal};
use crate::remote::config::Options;
use crate::remote::known::Known;
use crate::remote::redial::Place;
use crate::remote::transport::Stream;

/// Connects to a peer and has `greet` begin to speak its dialect, all within the limit for dialing.
pub(crate) async fn dial<T, F>(
    options: &Options,
    place: &Place,
    greet: impl FnOnce(Box<dyn Stream>, Known) -> F,
) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let (Place { host, port, dialect }, limit) = (place, options.dial_timeout);
    let (host, port): (&str, u16) = (host, *port);
    let has_opened = AtomicBool::new(false);
    let opened = async {
        let dialed = options.transport.dial(host, port, options.keep_alive).await;
        let stream = dialed.map_err(|error| unreachable(host, port, Cause::new(error)))?;
        has_opened.store(true, Ordering::Relaxed);
        let (stream, known) = secure(options, (host, port), *dialect, stream).await?;
        greet(stream, known).await
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

/// What lies between the transport and the dialect.
async fn secure(
    _options: &Options,
    (host, port): (&str, u16),
    _dialect: Dialect,
    stream: Box<dyn Stream>,
) -> Result<(Box<dyn Stream>, Known), Refusal> {
    let from = format!("{host}:{port}");
    #[cfg(feature = "_tls")]
    if let Some(layer) = &_options.layer {
        let connected =
            layer.connect((host, _options.server_name_of(_dialect)), _dialect, stream).await;
        let secured = connected.map_err(|fault| unreachable(host, port, Cause::new(fault)))?;
        let known = Known::secured(&from, layer, secured.proof, secured.is_native);
        return Ok((secured.stream, known));
    }
    Ok((stream, Known::plain(&from)))
}

fn unreachable(host: &str, port: u16, source: Cause) -> Refusal {
    Refusal::Unreachable { peer: format!("{host}:{port}").into(), source }
}
