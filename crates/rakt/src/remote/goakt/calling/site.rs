//! One Go node: where it is, and how it is dialed.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use rakt_wire::Compression;

use super::link::{Link, Use};
use crate::error::Refusal;
use crate::events::Outlet;
use crate::remote::dialer::Dialer;
use crate::remote::native::backoff;
use crate::sync::Lock;
use crate::timers::now;

pub(super) struct Site {
    pub(super) dialer: Arc<Dialer>,
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    /// `host:port`.
    pub(super) peer: Arc<str>,
    pub(super) compression: Compression,
    /// After failures it is not dialed before a time.
    trouble: Mutex<Option<Trouble>>,
}

struct Trouble {
    times: u32,
    until: Instant,
    why: Refusal,
}

impl Site {
    pub(super) fn new(
        dialer: Arc<Dialer>,
        host: &str,
        port: u16,
        compression: Compression,
    ) -> Arc<Self> {
        let (peer, host) = (format!("{host}:{port}").into(), host.into());
        Arc::new(Self { dialer, host, port, peer, compression, trouble: Mutex::default() })
    }

    /// Where dead letters go.
    pub(super) fn outlet(&self) -> &Outlet {
        &self.dialer.resources.outlet
    }

    pub(super) fn max_frame_len(&self) -> usize {
        self.dialer.resources.options.max_frame_size as usize
    }

    /// Opens a connection.
    pub(super) async fn dial(self: &Arc<Self>, use_as: Use) -> Result<Link, Refusal> {
        self.may_dial()?;
        let options = &self.dialer.resources.options;
        let (host, limit) = (&self.host, options.dial_timeout);
        let dialed = options.transport.dial(host, self.port, options.keep_alive);
        let unreachable = |detail| Err(Refusal::Unreachable { detail });
        let link = match tokio::time::timeout(limit, dialed).await {
            Ok(Ok(stream)) => Link::new(self, stream, use_as),
            Ok(Err(error)) => unreachable(format!("{}: {error}", self.peer)),
            Err(_) => unreachable(format!("{} did not answer within {limit:?}", self.peer)),
        };
        link.inspect_err(|why| self.failed(why.clone()))
    }

    /// Whether it may be dialed now.
    pub(super) fn may_dial(&self) -> Result<(), Refusal> {
        if self.dialer.is_closed() {
            return Err(Refusal::ShuttingDown);
        }
        if self.host.contains(':') {
            let detail = "a GoAkt address has no room for an IPv6 host".to_owned();
            return Err(Refusal::InvalidArgument { detail });
        }
        match &*self.trouble.hold() {
            Some(trouble) if trouble.until > now() => Err(trouble.why.clone()),
            _ => Ok(()),
        }
    }

    /// It cannot be reached, or does not understand what is sent. A pause precedes the next try.
    pub(super) fn failed(&self, why: Refusal) {
        let mut trouble = self.trouble.hold();
        let times = trouble.as_ref().map_or(0, |trouble| trouble.times);
        // Several connections may fail at once; that counts as one.
        if trouble.as_ref().is_some_and(|trouble| trouble.until > now()) {
            return;
        }
        let pause = backoff(&self.dialer.random, times);
        tracing::info!(peer = %self.peer, %why, ?pause, "no link");
        *trouble = Some(Trouble { times: times + 1, until: now() + pause, why });
    }

    /// It has answered.
    pub(super) fn reached(&self) {
        *self.trouble.hold() = None;
    }
}
