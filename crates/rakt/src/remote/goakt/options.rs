//! The options of the GoAkt dialect, checked with those of remoting.

use std::time::Duration;

use rakt_wire::Compression;

use crate::remote::refuse::refuse;
use crate::system::ConfigError;

/// The options for peers that are nodes of GoAkt v3.14. Give it to
/// [`Config::goakt`](crate::remote::Config::goakt).
///
/// Such a node is served on the same host and port as rakt's own: the first bytes of a connection tell
/// them apart, and which compression a Go node is set to. A Go node that is dialed cannot be told what
/// compression is used, so there both sides must be set alike.
///
/// GoAkt compresses a connection as a whole, so each keeps what it needs for that as long as it is open:
/// about 2 MiB with zstd, 10 MiB with brotli, and less where only tells come in, whose acknowledgements are
/// not compressed. What a peer makes a decoder keep beyond the needs of a Go node counts against the
/// [memory budget](crate::remote::Config::memory_budget).
///
/// # What differs from nodes of rakt
///
/// - Messages and their replies are protobuf, and both have names that the Go node knows: an ask whose
///   reply has none is refused.
/// - What a Go node greets with is its first request, which must be there as a whole within
///   [`dial_timeout`](crate::remote::Config::dial_timeout) of the connection.
/// - A message is at most a frame of 16 MiB, or [`max_frame_size`](crate::remote::Config::max_frame_size),
///   with all its names.
/// - What is told to an actor arrives in order, and an ask or a `stop` arrives behind what was told
///   before. Asks that are under way at one time have a connection each, and no order among them.
/// - A node of v3.14 may leave a request without an answer. Which of several tells it was nobody can know, so
///   none of them is confirmed.
/// - Tells that wait for the connection travel together. If the node refuses one of them, the others of
///   the same request are dead letters as well, although those before it have arrived.
/// - A reference has no life: it refers to whoever has the name.
/// - An actor there cannot be watched; whoever tries hears at once that it is not found.
/// - A sender that has no address of its own, or one with an IPv6 host, is unknown there.
///
/// ```
/// use rakt::remote::{Compression, Config, GoAkt};
///
/// let config = Config::new("127.0.0.1", 3321)
///     .goakt(GoAkt::new().peer("127.0.0.1", 3322).alias("node-a.example.com"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "it has an effect only where it is given to a `Config`"]
pub struct GoAkt {
    pub(crate) compression: Compression,
    pub(crate) aliases: Vec<String>,
    pub(crate) native: bool,
    pub(crate) max_pipelined: u32,
    pub(crate) read_idle_timeout: Duration,
    pub(crate) peers: Vec<GoPeer>,
    pub(crate) max_connections_per_peer: u32,
    pub(crate) max_idle_conns: u32,
    pub(crate) idle_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) send_deadlines: bool,
    #[cfg(feature = "_tls")]
    pub(crate) server_name: Option<String>,
}

/// A host and port where a Go node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GoPeer {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `None` is the one for all.
    pub(crate) compression: Option<Compression>,
}

/// Most requests that one connection may have without a response.
const MAX_PIPELINED: u32 = 65_536;
/// Most connections to one Go node.
const MAX_CONNECTIONS: u32 = 1024;

impl GoAkt {
    /// The defaults: every peer is taken, Go nodes and native ones.
    pub fn new() -> Self {
        Self {
            compression: Compression::default(),
            aliases: Vec::new(),
            native: true,
            max_pipelined: 64,
            read_idle_timeout: rakt_wire::goakt::IDLE_TIMEOUT,
            peers: Vec::new(),
            max_connections_per_peer: 64,
            max_idle_conns: 8,
            idle_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(30),
            send_deadlines: false,
            #[cfg(feature = "_tls")]
            server_name: None,
        }
    }

    /// The name that all Go nodes have in their certificates, which is looked for there instead of the host that is
    /// dialed. Default: the host, which addresses of GoAkt name by its IP address as a rule, so that has to be in the
    /// certificate then.
    ///
    /// A Go node has one TLS configuration for all that it dials, with one `ServerName`. Where the nodes share such a
    /// name, this is it.
    #[cfg(feature = "_tls")]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The compression of the Go nodes that are dialed here; theirs must be the same. Default zstd,
    /// where it is compiled in, which is GoAkt's default too.
    ///
    /// Peers that connect here may use any that is compiled in: their first bytes tell which.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Another host by which Go nodes mean this one, in upper or lower case. Default: none besides the
    /// host that is listened on, the advertised one, and the IP addresses that these stand for.
    ///
    /// Requests of GoAkt name the host and port they are for, as text; those for another are refused.
    pub fn alias(mut self, host: impl Into<String>) -> Self {
        self.aliases.push(host.into());
        self
    }

    /// Whether native peers are served as well. Default true.
    pub fn native(mut self, served: bool) -> Self {
        self.native = served;
        self
    }

    /// Requests that one connection of a Go node may have without a response; it is not read from while
    /// it has as many. Default 64, from 1 to 65536. Go nodes themselves have one at a time.
    pub fn max_pipelined(mut self, requests: u32) -> Self {
        self.max_pipelined = requests;
        self
    }

    /// A connection of a Go node that sends nothing for this long is closed. Default 1200 s, more than
    /// zero. Go nodes keep connections without using them, and have no pings.
    pub fn read_idle_timeout(mut self, limit: Duration) -> Self {
        self.read_idle_timeout = limit;
        self
    }

    /// A Go node listens on this host and port: the
    /// [node](crate::remote::NodeRef) there is spoken to as one, and so are actors whose
    /// [`Address`](crate::Address) names it, however that begins. Default: native ones listen everywhere.
    /// Addresses that begin with `goakt://` need no such word.
    ///
    /// The host must be written as the Go node writes it, which is the IP address it is bound to.
    pub fn peer(mut self, host: impl Into<String>, port: u16) -> Self {
        self.peers.push(GoPeer { host: host.into(), port, compression: None });
        self
    }

    /// Like [`peer`](Self::peer), with a compression of its own.
    pub fn peer_with(
        mut self,
        host: impl Into<String>,
        port: u16,
        compression: Compression,
    ) -> Self {
        self.peers.push(GoPeer { host: host.into(), port, compression: Some(compression) });
        self
    }

    /// Connections to one Go node, in use or not; a request that would need one more waits. Default 64,
    /// from 8 to 1024.
    pub fn max_connections_per_peer(mut self, connections: u32) -> Self {
        self.max_connections_per_peer = connections;
        self
    }

    /// Connections to one Go node that are kept for the next request. Default 8, from 1 to 1024.
    pub fn max_idle_conns(mut self, connections: u32) -> Self {
        self.max_idle_conns = connections;
        self
    }

    /// A connection to a Go node that was not used for this long is closed. Default 30 s, more than zero.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = limit;
        self
    }

    /// A Go node that acknowledges nothing for this long after a tell is disconnected; what it has not
    /// acknowledged becomes dead letters. Default 30 s, more than zero. A single acknowledgement that it
    /// leaves out is noticed sooner: 100 ms after the tell, or a round trip later. Asks and operations have
    /// limits of their own.
    pub fn answer_timeout(mut self, limit: Duration) -> Self {
        self.answer_timeout = limit;
        self
    }

    /// Whether an ask tells a Go node, besides how long its reply may take, at what time of day it is
    /// over. Default false: that is of use only where the clocks of both machines agree, and a clock that
    /// is ahead there makes the ask fail early.
    pub fn send_deadlines(mut self, sent: bool) -> Self {
        self.send_deadlines = sent;
        self
    }

    /// The Go node that listens there, where one was named.
    pub(crate) fn peer_at(&self, host: &str, port: u16) -> Option<&GoPeer> {
        self.peers.iter().find(|peer| peer.port == port && peer.host == host)
    }

    /// Checks every option against its range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let peers = self.peers.iter().filter_map(|peer| peer.compression);
        for compression in peers.chain([self.compression]) {
            if !compression.is_available() {
                let allowed = "one that is compiled in: see the features of the crate";
                return refuse("goakt compression", &compression, allowed);
            }
        }
        let hosts = self.peers.iter().map(|peer| &peer.host).chain(&self.aliases);
        for host in hosts {
            // GoAkt has no way to write an address with a colon in its host.
            if !rakt_wire::goakt::is_host(host) {
                return refuse("goakt host", host, "a host name or IPv4 address");
            }
        }
        if !(1..=MAX_PIPELINED).contains(&self.max_pipelined) {
            return refuse("goakt max_pipelined", &self.max_pipelined, "1 ..= 65536");
        }
        if !(8..=MAX_CONNECTIONS).contains(&self.max_connections_per_peer) {
            let value = &self.max_connections_per_peer;
            return refuse("goakt max_connections_per_peer", value, "8 ..= 1024");
        }
        if !(1..=MAX_CONNECTIONS).contains(&self.max_idle_conns) {
            return refuse("goakt max_idle_conns", &self.max_idle_conns, "1 ..= 1024");
        }
        for (option, time) in [
            ("goakt read_idle_timeout", self.read_idle_timeout),
            ("goakt idle_timeout", self.idle_timeout),
            ("goakt answer_timeout", self.answer_timeout),
        ] {
            if time.is_zero() {
                return refuse(option, &time, "more than zero");
            }
        }
        Ok(())
    }
}

impl Default for GoAkt {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::Config;

    fn refused(options: GoAkt) -> &'static str {
        let config = Config::new("127.0.0.1", 0).goakt(options);
        config.check().map(drop).expect_err("out of range").option
    }

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        let options = GoAkt::new;
        assert!(Config::new("127.0.0.1", 0).goakt(options()).check().is_ok());
        for (refused_options, option) in [
            (options().alias(""), "goakt host"),
            (options().alias("::1"), "goakt host"),
            (options().peer("", 1), "goakt host"),
            (options().max_pipelined(0), "goakt max_pipelined"),
            (options().max_pipelined(MAX_PIPELINED + 1), "goakt max_pipelined"),
            (options().max_connections_per_peer(7), "goakt max_connections_per_peer"),
            (options().max_connections_per_peer(1025), "goakt max_connections_per_peer"),
            (options().max_idle_conns(0), "goakt max_idle_conns"),
            (options().max_idle_conns(1025), "goakt max_idle_conns"),
            (options().read_idle_timeout(Duration::ZERO), "goakt read_idle_timeout"),
            (options().idle_timeout(Duration::ZERO), "goakt idle_timeout"),
            (options().answer_timeout(Duration::ZERO), "goakt answer_timeout"),
        ] {
            assert_eq!(refused(refused_options), option);
        }
    }

    #[cfg(not(feature = "gzip"))]
    #[test]
    fn a_compression_that_is_not_compiled_in_is_refused() {
        assert_eq!(refused(GoAkt::new().compression(Compression::Gzip)), "goakt compression");
        let peer = GoAkt::new().peer_with("127.0.0.1", 1, Compression::Gzip);
        assert_eq!(refused(peer), "goakt compression");
    }
}
