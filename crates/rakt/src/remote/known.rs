//! What is known of the other end of a connection before it has said a word of its dialect.

use rakt_wire::native::{Hello, RefuseReason};

use super::handshake::HandshakeFailure;
#[cfg(feature = "_tls")]
use super::tls::{Credential, Guarded, Proof, TlsLayer};
use crate::error::Cause;
use crate::peer::Peer;

/// What is known of the other end of a connection before it has said a word of its dialect.
pub(crate) struct Known {
    pub(crate) peer: Peer,
    #[cfg(feature = "_tls")]
    secured: Option<Secured>,
}

/// Of an encrypted connection.
#[cfg(feature = "_tls")]
struct Secured {
    layer: std::sync::Arc<TlsLayer>,
    proof: Proof,
    /// It has agreed to speak rakt's own protocol.
    is_native: bool,
}

/// A certificate that was shown to this node, which goes by the options of that.
#[cfg(feature = "_tls")]
struct Shown {
    layer: std::sync::Arc<TlsLayer>,
    credential: std::sync::Arc<Credential>,
}

#[cfg(feature = "_tls")]
impl crate::peer::Proof for Shown {
    fn is_of_host(&self, host: &str) -> bool {
        self.layer.is_of_host(&self.credential, host)
    }
}

impl Known {
    /// Nothing but where the connection comes from, or leads to.
    pub(crate) fn plain(from: &str) -> Self {
        Self {
            peer: Peer::unproven(from),
            #[cfg(feature = "_tls")]
            secured: None,
        }
    }

    /// What it has proven.
    #[cfg(feature = "_tls")]
    pub(crate) fn secured(
        from: &str,
        layer: &std::sync::Arc<TlsLayer>,
        proof: Proof,
        is_native: bool,
    ) -> Self {
        let identity = proof.identity.clone();
        let peer = match proof.credential() {
            Some(credential) => {
                let shown = Shown { layer: layer.clone(), credential };
                Peer::with_proof(identity, from, std::sync::Arc::new(shown))
            }
            None => Peer::new(identity, from),
        };
        Self { peer, secured: Some(Secured { layer: layer.clone(), proof, is_native }) }
    }

    /// Whether the dialect that the peer begins with is the one that both sides have agreed on. Without encryption
    /// there is no agreement.
    pub(crate) fn agreed_on(&self, _is_native: bool) -> bool {
        #[cfg(feature = "_tls")]
        if let Some(secured) = &self.secured {
            return secured.is_native == _is_native;
        }
        true
    }

    /// Whether a peer is the one in its hello, as far as it had to prove that.
    pub(crate) fn check(&self, _hello: &Hello) -> Result<(), RefuseReason> {
        #[cfg(feature = "_tls")]
        if let Some(Secured { layer, proof, .. }) = &self.secured {
            let advertised = _hello.advertised.as_ref().map(|(host, _)| &**host);
            let checked = layer.check_hello(proof, &_hello.system, advertised);
            return checked.map_err(|wrong| RefuseReason::Denied(wrong.to_string()));
        }
        Ok(())
    }

    /// Why a greeting came to nothing, where the peer was dialed: whether it accepts this node it says only then.
    pub(crate) fn why_broken(&self, failure: HandshakeFailure) -> Cause {
        #[cfg(feature = "_tls")]
        if let Some(Secured { layer, .. }) = &self.secured
            && let HandshakeFailure::Io(error) = &failure
            && let Some(fault) = layer.fault_of(error)
        {
            return Cause::new(fault);
        }
        Cause::new(failure)
    }

    /// Has a connection be told when its peer is not to be trusted any more.
    #[cfg(feature = "_tls")]
    pub(crate) fn guard<T: Guarded + 'static>(&self, conn: &std::sync::Arc<T>) {
        if let Some(secured) = &self.secured {
            let conn: std::sync::Weak<T> = std::sync::Arc::downgrade(conn);
            secured.layer.guard(&secured.proof, conn);
        }
    }
}
