//! A connection that was taken, up to the greeting of its dialect.

use bytes::BytesMut;
#[cfg(feature = "goakt")]
use rakt_wire::goakt::Opening;
use rakt_wire::native::RefuseReason;

use super::config::Options;
use super::handshakes::{Entering, Gate};
use super::known::Known;
#[cfg(feature = "_tls")]
use super::tls::{Fault, Taken};
use super::transport::Stream;
use crate::error::BoxError;

/// A connection that was taken, up to the greeting of its dialect.
pub(crate) struct Opened {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) known: Known,
    /// What was read of it.
    pub(crate) early: BytesMut,
    pub(crate) opening: Opening,
    /// Why its peer is not served, whatever it says.
    pub(crate) refusal: Option<RefuseReason>,
}

/// What a connection begins with: without the other dialect there is only one way.
#[cfg(not(feature = "goakt"))]
pub(crate) enum Opening {
    Native,
}

/// What a peer hears that does not encrypt.
#[cfg(feature = "_tls")]
const TLS_ONLY: &str = "this node takes TLS only: whoever dials it needs `Config::tls` too";
/// What a peer hears that has agreed to speak something else.
const ALPN_FIRST: &str = "what is spoken is not what TLS has agreed on: native peers offer the protocol \"rakt/1\", Go nodes none";

impl Opened {
    /// Has a peer prove who it is, where it has to, and finds out which dialect it speaks; `None` if it leaves before.
    /// It comes in by `gate`.
    ///
    /// # Errors
    /// It has not proven it.
    pub(crate) async fn of(
        stream: Box<dyn Stream>,
        from: &str,
        options: &Options,
        gate: &dyn Gate,
        _may_be_go: bool,
    ) -> Result<Option<Self>, BoxError> {
        let entering = Entering::new(gate);
        let secured = secure(stream, from, options, entering).await?;
        let Some(secured) = secured else { return Ok(None) };
        let (stream, known, early, mut refusal) = secured;
        let opened = Opened { stream, known, early, opening: Opening::Native, refusal: None };
        #[cfg(feature = "goakt")]
        let mut opened = opened;
        #[cfg(feature = "goakt")]
        if _may_be_go {
            match super::goakt::open(&mut *opened.stream, &mut opened.early).await? {
                Some(opening) => opened.opening = opening,
                None => return Ok(None),
            }
        }
        if refusal.is_none() && !opened.known.agreed_on(matches!(opened.opening, Opening::Native)) {
            refusal = Some(RefuseReason::Denied(ALPN_FIRST.to_owned()));
        }
        Ok(Some(Opened { refusal, ..opened }))
    }
}

/// A connection, what is known of its peer, what was read of it, and why it is not served.
type SecuredStream = (Box<dyn Stream>, Known, BytesMut, Option<RefuseReason>);

/// What lies between the transport and the dialect. A peer that leaves it out is told that.
async fn secure(
    stream: Box<dyn Stream>,
    from: &str,
    _options: &Options,
    _entering: Entering<'_>,
) -> Result<Option<SecuredStream>, BoxError> {
    #[cfg(feature = "_tls")]
    if let Some(layer) = &_options.layer {
        return Ok(layer.accept(stream, _entering).await?.map(|taken| match taken {
            Taken::Secured(secured) => {
                let known = Known::secured(from, layer, secured.proof, secured.is_native);
                (secured.stream, known, BytesMut::new(), None)
            }
            Taken::Plain(stream, early) => {
                let refusal = RefuseReason::Denied(TLS_ONLY.to_owned());
                (stream, Known::plain(from), early, Some(refusal))
            }
        }));
    }
    Ok(Some((stream, Known::plain(from), BytesMut::new(), None)))
}

/// Whether a connection came to nothing because the peer does not accept this node.
pub(crate) fn is_by_peer(_error: &BoxError) -> bool {
    #[cfg(feature = "_tls")]
    return matches!(_error.downcast_ref(), Some(Fault::RefusedByPeer(_)));
    #[cfg(not(feature = "_tls"))]
    false
}
