//! What concerns the connections that a node takes.

use std::net::IpAddr;

use rakt_wire::validate_host;

use crate::remote::admission::Slots;
use crate::remote::handshakes::HandshakeLimits;
use crate::remote::refuse::refuse;
use crate::remote::transport::unbracketed;
use crate::system::ConfigError;

/// What concerns the connections that a node takes.
#[derive(Clone)]
pub(crate) struct Listening {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) advertised: Option<(String, Option<u16>)>,
    pub(crate) allow_plaintext: bool,
    pub(crate) receiver_window: u32,
    pub(super) backlog: u32,
    pub(crate) slots: Slots,
    pub(crate) handshakes: HandshakeLimits,
}

/// Connections that wait to be taken.
pub(super) const BACKLOG: u32 = 4096;

impl Listening {
    pub(super) fn check(&mut self, is_encrypted: bool) -> Result<(), ConfigError> {
        match &mut self.advertised {
            None if is_host(unbracketed(&self.host)) => {}
            Some(_) if !self.host.is_empty() => {}
            _ => return refuse("host", &self.host, HOST),
        }
        if let Some((host, port)) = &mut self.advertised {
            if !is_host(unbracketed(host)) {
                return refuse("advertised host", host, HOST);
            }
            *host = unbracketed(host).to_owned();
            if host.parse().is_ok_and(|address: IpAddr| address.is_unspecified()) {
                return refuse("advertised host", host, "one that peers can reach");
            }
            if *port == Some(0) {
                return refuse("advertised port", &0, "the one that peers can reach");
            }
        }
        self.allow_plaintext &= !is_encrypted;
        if !is_encrypted && !self.allow_plaintext && !is_loopback(&self.host) {
            let allowed =
                "a loopback address unless tls(..) or allow_plaintext_beyond_loopback() is set";
            return refuse("host", &self.host, allowed);
        }
        if self.receiver_window < 1024 {
            return refuse("receiver_window", &self.receiver_window, "at least 1 KiB");
        }
        if self.backlog == 0 {
            return refuse("backlog", &self.backlog, "at least 1");
        }
        self.handshakes.check()?;
        self.slots.check()
    }
}

/// What a host may be.
const HOST: &str = "an IP address or a host name in ASCII (`xn--` for others), without a port";

fn is_host(host: &str) -> bool {
    validate_host(host).is_ok()
}

fn is_loopback(host: &str) -> bool {
    match unbracketed(host).parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}
