//! What every connection to a Go node has, whatever it is for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rakt_wire::goakt::{Client, ClientConfig, ClientError};

use super::node::GoNode;
use super::standing::Standing;
use crate::error::{Cause, Refusal};
use crate::peer::Peer;
use crate::remote::account::Account;
use crate::remote::goakt::limits::Held;
use crate::remote::known::Known;
use crate::remote::resources::log_peer;
use crate::remote::transport::Stream;

/// Most that is read at once, in bytes.
pub(super) const READ_LEN: usize = 16 * 1024;

/// How long tells may be without an outcome before the node is asked for a sign that it has left none of
/// them out. 100 ms.
const FENCE_AFTER: Duration = Duration::from_millis(100);

/// What a connection is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    /// Each request waits for the answer to the one before.
    OneByOne,
    /// Tells are sent without waiting.
    Pipeline { max_in_flight: usize },
}

/// The state of an open connection. The link is down when this is dropped.
pub(super) struct Link {
    pub(super) node: Arc<GoNode>,
    pub(super) client: Client,
    pub(super) account: Arc<Account>,
    /// Bytes that count against the budget for as long as the peer leaves them here.
    held: Held,
    /// Whether the node has answered anything here.
    pub(super) has_answered: bool,
    /// Whom it leads to.
    _peer: Peer,
    /// Whether it may still be used.
    pub(super) standing: Arc<Standing>,
    /// Why it is closed, once that is so.
    pub(super) why: Cause,
}

/// Why a request got no answer over a connection.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing of it has left, and the connection is as good as before.
    Refused(Refusal),
    /// Nothing of it has left; another connection may do.
    Unsent(Cause),
    /// The node does not understand what is sent here.
    Incompatible(Cause),
    /// The node may have acted on it.
    Lost(Cause),
    /// As `Lost`; there was no answer in time.
    TimedOut,
}

/// Opens a connection. A Go node does not greet: it is there once it has answered something.
pub(super) async fn dial(
    node: &Arc<GoNode>,
    use_as: Use,
) -> Result<(Link, Box<dyn Stream>), Refusal> {
    node.may_dial()?;
    let options = &node.dialer.resources.options;
    let greet = |stream, known: Known| {
        std::future::ready(Link::new(node, use_as, &known).map(|link| (link, stream)))
    };
    let dialed = crate::remote::io::dial(options, &node.place, greet).await;
    dialed.inspect_err(|why| node.failed(why.clone()))
}

impl Link {
    fn new(node: &Arc<GoNode>, use_as: Use, known: &Known) -> Result<Self, Refusal> {
        let (max_in_flight, fence_after) = match use_as {
            Use::OneByOne => (1, None),
            Use::Pipeline { max_in_flight } => (max_in_flight, Some(FENCE_AFTER)),
        };
        let config = ClientConfig {
            compression: node.compression,
            max_frame_len: node.max_frame_len(),
            max_in_flight,
            fence_after,
            checks_version: true,
        };
        let client = Client::new(config).map_err(|error| node.incompatible(Cause::new(error)))?;
        let standing = Arc::default();
        #[cfg(feature = "_tls")]
        known.guard(&standing);
        let resources = &node.dialer.resources;
        resources.link_up(&node.link(), node.compression);
        Ok(Self {
            node: node.clone(),
            client,
            account: Account::new(resources.clone()),
            held: Held::default(),
            has_answered: false,
            standing,
            _peer: known.peer.clone(),
            why: "no longer needed".into(),
        })
    }

    /// Counts what the peer has here of an answer, and what it has the decoder keep.
    pub(super) fn count(&mut self, unread: usize) -> Result<(), Failed> {
        let (partial, compression) = self.client.held_len();
        let held = self.held.hold(&self.account, unread + partial, compression);
        held.map_err(|why| Failed::Lost(why.into()))
    }

    /// The peer has closed the connection.
    pub(super) fn ended(&mut self) -> Failed {
        match self.client.handle_eof() {
            Err(error) => Failed::of(error),
            Ok(()) => Failed::Lost("the peer closed the connection".into()),
        }
    }

    /// The connection has failed.
    pub(super) fn broken(&self, source: io::Error) -> Failed {
        Failed::Lost(self.cause_of(source))
    }

    /// What its failure means. On a first request that most likely is what a node does that does not understand it.
    pub(super) fn cause_of(&self, source: io::Error) -> Cause {
        #[cfg(feature = "_tls")]
        if let Some(why) = crate::remote::tls::of_io(&source) {
            return why.into();
        }
        match self.has_answered {
            true => Cause::new(source),
            false => {
                Cause::new(FirstBroken { hint: ClientError::Closed { is_first: true }, source })
            }
        }
    }

    /// The node is not to be trusted any more: the connection is closed.
    pub(super) fn log_forbidden(&self, why: &Cause) {
        let (peer, resources) = (&*self.node.peer, &self.node.dialer.resources);
        log_peer!(resources, peer, warn, "closing a connection", %peer, reason = %why);
    }

    /// The node has answered, so it is there and understood.
    pub(super) fn note_answer(&mut self) {
        if !std::mem::replace(&mut self.has_answered, true) {
            self.node.reached();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Tells without an answer are dead letters here.
        self.node.dialer.resources.link_down(&self.node.link(), self.why.clone(), 0);
    }
}

impl Failed {
    pub(super) fn of(error: ClientError) -> Self {
        match error {
            ClientError::Opening { .. } => Self::Incompatible(Cause::new(error)),
            ClientError::TimedOut { .. } => Self::TimedOut,
            error => Self::Lost(Cause::new(error)),
        }
    }

    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Refused(refusal) => Cause::new(refusal.clone()),
            Self::Unsent(cause) | Self::Incompatible(cause) | Self::Lost(cause) => cause.clone(),
            Self::TimedOut => "no response in time".into(),
        }
    }
}

/// A connection failed over which the node had answered nothing yet.
#[derive(Debug, thiserror::Error)]
#[error("{hint}")]
struct FirstBroken {
    hint: ClientError,
    source: io::Error,
}
