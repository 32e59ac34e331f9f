//! One Go node: where it is, and when it is dialed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rakt_wire::{Compression, Dialect};

use crate::error::{Cause, Refusal};
use crate::events::Outlet;
use crate::remote::dialer::Dialer;
use crate::remote::links::LinkOf;
use crate::remote::redial::{BriefConns, Place};
use crate::timers::now;

pub(super) struct GoNode {
    pub(super) dialer: Arc<Dialer>,
    pub(super) place: Place,
    /// The place as text.
    pub(super) peer: Arc<str>,
    pub(super) compression: Compression,
    /// It may be among those that could not be reached lately.
    may_be_unreached: AtomicBool,
}

impl GoNode {
    pub(super) fn new(
        dialer: Arc<Dialer>,
        host: &str,
        port: u16,
        compression: Compression,
    ) -> Arc<Self> {
        let place = Place { dialect: Dialect::GoAkt, host: host.into(), port };
        let (peer, may_be_unreached) = (place.to_string().into(), AtomicBool::new(true));
        Arc::new(Self { dialer, place, peer, compression, may_be_unreached })
    }

    /// The link that all connections to it are. A Go node does not say which life of it answers.
    pub(super) fn link(&self) -> LinkOf {
        LinkOf::dialed(&self.peer, &self.peer, [0; 16])
    }

    /// Where dead letters go.
    pub(super) fn outlet(&self) -> &Outlet {
        &self.dialer.resources.outlet
    }

    pub(super) fn max_frame_len(&self) -> usize {
        self.dialer.resources.options.max_frame_size as usize
    }

    pub(super) fn unreachable(&self, source: impl Into<Cause>) -> Refusal {
        Refusal::Unreachable { peer: self.peer.as_ref().into(), source: source.into() }
    }

    pub(super) fn incompatible(&self, source: impl Into<Cause>) -> Refusal {
        Refusal::Incompatible { peer: self.peer.as_ref().into(), source: source.into() }
    }

    /// Whether it may be dialed now.
    pub(super) fn may_dial(&self) -> Result<(), Refusal> {
        if self.dialer.is_closed() {
            return Err(Refusal::Closed);
        }
        if self.place.host.contains(':') {
            let source = "a GoAkt address has no room for an IPv6 host".into();
            return Err(Refusal::InvalidArgument { source });
        }
        self.dialer.unreached.lock().check(&self.place, now())
    }

    /// It cannot be reached, or does not understand what is sent. A pause precedes the next try.
    pub(super) fn failed(&self, why: Refusal) {
        self.dialer.failed(&self.place, why);
        self.may_be_unreached.store(true, Ordering::Release);
    }

    /// It has answered.
    pub(super) fn reached(&self) {
        if self.may_be_unreached.load(Ordering::Acquire)
            && self.may_be_unreached.swap(false, Ordering::AcqRel)
        {
            self.dialer.unreached.lock().reached(&self.place);
        }
    }

    /// Waits where earlier connections were brief.
    pub(super) async fn pause(&self, brief: BriefConns) {
        if let Some(pause) = brief.pause(&|pause| self.dialer.random.jittered(pause)) {
            tokio::time::sleep(pause).await;
        }
    }
}
