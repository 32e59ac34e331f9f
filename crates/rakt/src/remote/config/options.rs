//! What concerns connections, whoever dials them: the options that nodes and clients have in common.

use std::sync::Arc;
use std::time::Duration;

use rakt_wire::Compression;
#[cfg(feature = "_tls")]
use rakt_wire::Dialect;

use super::listening::BACKLOG;
use crate::remote::memory::{MIN_BUDGET, default_budget};
use crate::remote::policy::Policy;
use crate::remote::quota::Quota;
use crate::remote::refuse::refuse;
#[cfg(feature = "_tls")]
use crate::remote::tls::{Tls, TlsLayer};
#[cfg(feature = "_tls")]
use crate::remote::transport::unbracketed;
use crate::remote::transport::{Tcp, Transport};
use crate::system::ConfigError;
#[cfg(feature = "_tls")]
use crate::system::StartError;

/// What concerns connections, whoever dials them.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) max_frame_size: u32,
    pub(super) max_message_size: Option<u32>,
    pub(super) set_budget: Option<u64>,
    /// As it was set or found when the options were checked, in bytes.
    pub(crate) memory_budget: u64,
    pub(super) max_decoded: Option<u64>,
    pub(crate) max_in_flight: u32,
    pub(crate) write_timeout: Duration,
    pub(crate) min_rate: u32,
    pub(crate) control_rate: u32,
    pub(crate) read_idle_timeout: Duration,
    pub(crate) compression: Compression,
    pub(crate) compress_from: u32,
    pub(crate) max_idle_conns: u32,
    pub(crate) idle_timeout: Duration,
    pub(crate) dial_timeout: Duration,
    pub(crate) keep_alive: Duration,
    pub(super) own_transport: Option<Arc<dyn Transport>>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) seed: Option<u64>,
    pub(crate) quota: Quota,
    #[cfg(feature = "_tls")]
    pub(crate) tls: Option<Tls>,
    /// What came of it, once the node or the client has started.
    #[cfg(feature = "_tls")]
    pub(crate) layer: Option<Arc<TlsLayer>>,
    /// Moved to where it can be replaced when a node starts.
    pub(crate) policy: Policy,
    /// `None` when Go nodes are not served.
    #[cfg(feature = "goakt")]
    pub(crate) goakt: Option<crate::remote::GoAkt>,
}

/// 1 MiB a second, in bytes.
const MAX_MIN_RATE: u32 = 1024 * 1024;
/// A limit longer than this is as good as none, and can be added to any point in time. A year.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Signs of life and what becomes of a burst have room in this.
const MIN_CONTROL_RATE: u32 = 100;
/// By how much what is decoded may be larger than its encoding, besides a mebibyte.
const DECODED_FACTOR: u64 = 8;
/// 1 MiB, in bytes.
const MIN_DECODED: u64 = 1024 * 1024;
/// 16 KiB, in bytes.
const MIN_FRAME_SIZE: u32 = 16 * 1024;
/// A request's number has 16 bits for its place.
const MAX_IN_FLIGHT: u32 = 65_536;
/// Connections to one peer address.
const MAX_IDLE_CONNS: u32 = 1024;
/// 16 MiB, in bytes.
const MAX_FRAME_SIZE: u32 = 16 * 1024 * 1024;

impl Default for Options {
    fn default() -> Self {
        Self {
            max_frame_size: MAX_FRAME_SIZE,
            max_message_size: None,
            set_budget: None,
            memory_budget: MIN_BUDGET,
            max_decoded: None,
            max_in_flight: 65_536,
            write_timeout: Duration::from_secs(10),
            min_rate: 1024,
            control_rate: 100_000,
            read_idle_timeout: Duration::from_secs(10),
            compression: Compression::default(),
            compress_from: 1024,
            max_idle_conns: 8,
            idle_timeout: Duration::from_secs(30),
            dial_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(15),
            own_transport: None,
            transport: Arc::new(Tcp { backlog: BACKLOG }),
            seed: None,
            quota: Quota::default(),
            #[cfg(feature = "_tls")]
            tls: None,
            #[cfg(feature = "_tls")]
            layer: None,
            policy: Policy::default(),
            #[cfg(feature = "goakt")]
            goakt: None,
        }
    }
}

impl Options {
    pub(crate) fn max_message_size(&self) -> u32 {
        self.max_message_size.unwrap_or(self.max_frame_size)
    }

    /// What a payload of `encoded` bytes may take up when it is decoded, in bytes.
    pub(crate) fn max_decoded(&self, encoded: usize) -> u64 {
        self.max_decoded.unwrap_or(encoded as u64 * DECODED_FACTOR + MIN_DECODED)
    }

    /// Whether connections are encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        #[cfg(feature = "_tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "_tls"))]
        false
    }

    /// The name that the nodes of a dialect have in their certificates, where they have one in common.
    #[cfg(feature = "_tls")]
    pub(crate) fn server_name_of(&self, _dialect: Dialect) -> Option<&str> {
        #[cfg(feature = "goakt")]
        if _dialect == Dialect::GoAkt {
            return self.goakt.as_ref()?.server_name.as_deref();
        }
        None
    }

    /// Reads what it takes to encrypt the connections of a system that is reached by those hosts.
    #[cfg(feature = "_tls")]
    pub(crate) fn start_tls(&mut self, system: &str, hosts: &[&str]) -> Result<(), StartError> {
        let hosts = hosts.iter().map(|host| unbracketed(host).to_owned()).collect();
        let started = self.tls.take().map(|tls| TlsLayer::start(tls, system, hosts));
        self.layer = started.transpose()?;
        Ok(())
    }

    pub(super) fn check(mut self) -> Result<Self, ConfigError> {
        self.quota.check()?;
        #[cfg(feature = "_tls")]
        if let Some(tls) = &mut self.tls {
            if tls.reload_every.is_zero() {
                return refuse("reload_every", &tls.reload_every, "more than zero");
            }
            if tls.replace_every < Duration::from_secs(1) {
                let option = "replace_connections_every";
                return refuse(option, &tls.replace_every, "at least 1 s");
            }
            tls.reload_every = tls.reload_every.min(LONGEST);
            if let Some((value, allowed)) = tls.fault() {
                return refuse("verify", &value, allowed);
            }
        }
        self.policy.check()?;
        if let Some(own) = self.own_transport.take() {
            self.transport = own;
        }
        if let Some(size) = self.max_decoded.filter(|size| *size < MIN_DECODED) {
            return refuse("max_decoded", &size, "at least 1 MiB");
        }
        if !(MIN_FRAME_SIZE..=MAX_FRAME_SIZE).contains(&self.max_frame_size) {
            return refuse("max_frame_size", &self.max_frame_size, "16 KiB ..= 16 MiB");
        }
        self.memory_budget = self.set_budget.unwrap_or_else(default_budget);
        if self.memory_budget < MIN_BUDGET {
            return refuse("memory_budget", &self.memory_budget, "at least 1 MiB");
        }
        if let Some(size) = self.max_message_size {
            if size < self.max_frame_size {
                return refuse("max_message_size", &size, "at least max_frame_size");
            }
            if u64::from(size) > self.memory_budget / 4 {
                return refuse("max_message_size", &size, "at most a quarter of memory_budget");
            }
        }
        for (option, count, most, allowed) in [
            ("max_in_flight", self.max_in_flight, MAX_IN_FLIGHT, "at most 65536"),
            ("max_idle_conns", self.max_idle_conns, MAX_IDLE_CONNS, "at most 1024"),
        ] {
            match count {
                0 => return refuse(option, &count, "at least 1"),
                _ if count > most => return refuse(option, &count, allowed),
                _ => {}
            }
        }
        if self.min_rate > MAX_MIN_RATE {
            return refuse("min_rate", &self.min_rate, "at most 1 MiB");
        }
        if (1..MIN_CONTROL_RATE).contains(&self.control_rate) {
            return refuse("control_rate", &self.control_rate, "at least 100, or 0");
        }
        for (option, time) in [
            ("write_timeout", &mut self.write_timeout),
            ("read_idle_timeout", &mut self.read_idle_timeout),
            ("idle_timeout", &mut self.idle_timeout),
            ("dial_timeout", &mut self.dial_timeout),
        ] {
            if time.is_zero() {
                return refuse(option, time, "more than zero");
            }
            *time = (*time).min(LONGEST);
        }
        if !self.compression.is_available() {
            let allowed = "one that is compiled in: see the features of the crate";
            return refuse("compression", &self.compression, allowed);
        }
        #[cfg(feature = "goakt")]
        if let Some(goakt) = &mut self.goakt {
            goakt.read_idle_timeout = goakt.read_idle_timeout.min(LONGEST);
            goakt.idle_timeout = goakt.idle_timeout.min(LONGEST);
            goakt.answer_timeout = goakt.answer_timeout.min(LONGEST);
            goakt.check()?;
        }
        Ok(self)
    }
}
