//! One Go node: where it is, and when it is dialed.

use std::sync::Arc;

use rakt_wire::Compression;

use crate::error::{Cause, Chain, Refusal};
use crate::events::Outlet;
use crate::remote::dialer::Dialer;
use crate::remote::redial::{BriefConns, Failures};
use crate::remote::resources::log_peer;
use crate::sync::Mutex;
use crate::timers::now;

pub(super) struct GoNode {
    pub(super) dialer: Arc<Dialer>,
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    /// `host:port`.
    pub(super) peer: Arc<str>,
    pub(super) compression: Compression,
    failures: Mutex<Failures>,
}

impl GoNode {
    pub(super) fn new(
        dialer: Arc<Dialer>,
        host: &str,
        port: u16,
        compression: Compression,
    ) -> Arc<Self> {
        let (peer, host) = (format!("{host}:{port}").into(), host.into());
        Arc::new(Self { dialer, host, port, peer, compression, failures: Mutex::default() })
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
            return Err(Refusal::ShuttingDown);
        }
        if self.host.contains(':') {
            let source = "a GoAkt address has no room for an IPv6 host".into();
            return Err(Refusal::InvalidArgument { source });
        }
        self.failures.lock().check(now())
    }

    /// It cannot be reached, or does not understand what is sent. A pause precedes the next try.
    pub(super) fn failed(&self, why: Refusal) {
        let jitter = |pause| self.dialer.random.jittered(pause);
        let pause = self.failures.lock().failed(now(), why.clone(), &jitter);
        if let Some(pause) = pause {
            let resources = &self.dialer.resources;
            log_peer!(resources, &self.peer, info, "no link", why = %Chain(&why), ?pause);
        }
    }

    /// It has answered.
    pub(super) fn reached(&self) {
        self.failures.lock().clear();
    }

    /// Waits where earlier connections were brief.
    pub(super) async fn pause(&self, brief: BriefConns) {
        if let Some(pause) = brief.pause(&|pause| self.dialer.random.jittered(pause)) {
            tokio::time::sleep(pause).await;
        }
    }
}
