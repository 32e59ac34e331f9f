//! The options of remoting, checked once: those of a node, and those of a client, which listens nowhere.
//!
//! - `options`: what concerns connections, whoever dials them
//! - `listening`: what concerns the connections that a node takes

mod listening;
mod options;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rakt_wire::Compression;

use self::listening::BACKLOG;
pub(crate) use self::listening::Listening;
pub(crate) use self::options::Options;
use super::admission::Slots;
use super::handshakes::HandshakeLimits;
use super::policy::Policy;
#[cfg(feature = "_tls")]
use super::tls::Tls;
use super::transport::{Tcp, Transport};
use crate::propagate::ContextPropagator;
use crate::system::ConfigError;

/// The options of a node's remoting.
///
/// ```
/// use rakt::remote::{Compression, Config};
/// use std::time::Duration;
///
/// let config = Config::new("127.0.0.1", 3321)
///     .max_frame_size(1024 * 1024)
///     .read_idle_timeout(Duration::from_secs(5))
///     .compression(Compression::None);
/// ```
#[derive(Clone)]
#[must_use = "it has an effect only where it is given to a system"]
pub struct Config {
    pub(crate) options: Options,
    listening: Listening,
}

/// The options of a [`Client`](super::Client).
///
/// ```
/// use rakt::remote::ClientConfig;
/// use std::time::Duration;
///
/// let config = ClientConfig::new().max_idle_conns(16).dial_timeout(Duration::from_secs(2));
/// ```
#[derive(Clone)]
#[must_use = "it has an effect only where it is given to a client"]
pub struct ClientConfig {
    options: Options,
    propagator: Option<Arc<dyn ContextPropagator>>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("host", &self.listening.host)
            .field("port", &self.listening.port)
            .field("advertised", &self.listening.advertised)
            .field("max_frame_size", &self.options.max_frame_size)
            .field("compression", &self.options.compression)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("max_frame_size", &self.options.max_frame_size)
            .field("compression", &self.options.compression)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Listens on `port` of 127.0.0.1, for nodes on one machine; port 0 takes a free one.
    pub fn default_for(port: u16) -> Self {
        Self::new("127.0.0.1", port)
    }

    /// Listens on `host` and `port`; port 0 takes a free one, which
    /// [`ActorSystem::advertised`](crate::ActorSystem::advertised) then tells.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let listening = Listening {
            host: host.into(),
            port,
            advertised: None,
            allow_plaintext: false,
            receiver_window: 4 * 1024 * 1024,
            backlog: BACKLOG,
            slots: Slots { all: 10_000, ungreeted: 64, greeted: 1024, limits_loopback: false },
            handshakes: HandshakeLimits::default(),
        };
        Self { options: Options::default(), listening }
    }

    /// The host that peers use to reach this node, and that addresses show: an IP address, or a host name in
    /// ASCII, in its `xn--` form where it has other letters. Default: the host it listens on; for `0.0.0.0` and
    /// `::` the address that this machine would use to reach others.
    pub fn advertised_host(mut self, host: impl Into<String>) -> Self {
        let port = self.listening.advertised.and_then(|(_, port)| port);
        self.listening.advertised = Some((host.into(), port));
        self
    }

    /// The host and port that peers use to reach this node, where that is not the port it listens on.
    pub fn advertised(mut self, host: impl Into<String>, port: u16) -> Self {
        self.listening.advertised = Some((host.into(), Some(port)));
        self
    }

    /// Allows listening without encryption on an address that other machines can reach. Default: not
    /// allowed, so that it is never an accident. It is logged when the system starts.
    pub fn allow_plaintext_beyond_loopback(mut self) -> Self {
        self.listening.allow_plaintext = true;
        self
    }

    /// Bytes that one connection may have under way to one actor here, each message counting 256 bytes
    /// more than its payload. Default 4 MiB, at least 1 KiB. One message may exceed it.
    ///
    /// Go nodes have a connection for each call that waits, so from them it is what all connections together may
    /// have waiting for one actor. Whoever sends it more waits, first come, first served: its connection is not read
    /// on before the actor takes messages, within the time limit of the request.
    pub fn receiver_window(mut self, bytes: u32) -> Self {
        self.listening.receiver_window = bytes;
        self
    }

    /// Connections that the operating system holds until they are taken here, for when many peers come at once.
    /// Default 4096, at least 1. The system may have a lower limit, `net.core.somaxconn` on Linux.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.listening.backlog = connections;
        self
    }

    /// Connections that this node takes from peers, all together. Default 10000, at least 1.
    ///
    /// One in 16, 256 at most, is kept for addresses whose peers have greeted within the last half hour.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.listening.slots.all = connections;
        self
    }

    /// Connections from one IP address that have greeted. Default 1024, at least 1. The 64 bits of the
    /// network count as the address where it is one of IPv6. Many peers that come through one gateway have
    /// its address, and share this number.
    ///
    /// What a [`Transport`] of your own says of a peer counts where it is an IP address.
    pub fn max_connections_per_source(mut self, connections: u32) -> Self {
        self.listening.slots.greeted = connections;
        self
    }

    /// Connections from one IP address that have not greeted yet, which they must within
    /// [`dial_timeout`](Self::dial_timeout). Default 64, at least 1.
    ///
    /// A peer has greeted with a complete handshake, a Go node with a complete first request.
    pub fn max_ungreeted_per_source(mut self, connections: u32) -> Self {
        self.listening.slots.ungreeted = connections;
        self
    }

    /// TLS handshakes of peers that may be under way, all together. Default 256, at least 1. A connection beyond them is
    /// closed before any cryptography; it may hold up to 100 KiB until its handshake is over, which counts in
    /// [`memory_budget`](Self::memory_budget) beyond 4 KiB.
    ///
    /// One in eight is kept for addresses whose peers have greeted within the last half hour. A peer whose first message is
    /// not there as a whole has no handshake, and is given up after 2 s.
    #[cfg(feature = "_tls")]
    pub fn max_handshakes(mut self, handshakes: u32) -> Self {
        self.listening.handshakes.all = handshakes;
        self
    }

    /// TLS handshakes from one IP address that may be under way. Default 32, at least 1. What an address is is the same
    /// as [for connections](Self::max_connections_per_source).
    #[cfg(feature = "_tls")]
    pub fn max_handshakes_per_source(mut self, handshakes: u32) -> Self {
        self.listening.handshakes.each = handshakes;
        self
    }

    /// TLS handshakes that peers from one IP address may begin within a second. Default 100, at least 1.
    #[cfg(feature = "_tls")]
    pub fn max_handshake_rate(mut self, handshakes: u32) -> Self {
        self.listening.handshakes.rate = handshakes;
        self
    }

    /// Living actors that peers have spawned here, all together. Default 100000, at least 1. One counts until it
    /// ends, however that comes about; what is beyond is refused.
    pub fn max_spawned(mut self, actors: u32) -> Self {
        self.options.quota.all = actors;
        self
    }

    /// Living actors that one peer has spawned here. Default 10000, at least 1. A peer is the identity that it has
    /// proven; where it has proven none, its IP address.
    pub fn max_spawned_per_peer(mut self, actors: u32) -> Self {
        self.options.quota.each = actors;
        self
    }

    /// Spawns of one peer in a second, failed ones included. Default 1000, at least 1.
    pub fn max_spawn_rate(mut self, spawns: u32) -> Self {
        self.options.quota.rate = spawns;
        self
    }

    /// What peers may do here. Default: [`Policy::exposed`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.options.policy = policy;
        self
    }

    /// Whether the limits of one source hold for loopback addresses as well. Default false: processes of
    /// one machine, and all peers behind a proxy on it, have one address.
    pub fn limit_loopback_sources(mut self, limited: bool) -> Self {
        self.listening.slots.limits_loopback = limited;
        self
    }

    /// Checks every option against its range.
    pub(crate) fn check(self) -> Result<(Options, Listening), ConfigError> {
        let Self { mut options, mut listening } = self;
        listening.check(options.is_encrypted())?;
        options.transport = Arc::new(Tcp { backlog: listening.backlog });
        Ok((options.check()?, listening))
    }
}

impl ClientConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self { options: Options::default(), propagator: None }
    }

    /// Carries context along with messages, as
    /// [`SystemBuilder::context_propagator`](crate::SystemBuilder::context_propagator) does for a system.
    /// Default: none.
    pub fn context_propagator(mut self, propagator: impl ContextPropagator) -> Self {
        self.propagator = Some(Arc::new(propagator));
        self
    }

    /// Checks every option against its range.
    pub(crate) fn check(
        self,
    ) -> Result<(Options, Option<Arc<dyn ContextPropagator>>), ConfigError> {
        Ok((self.options.check()?, self.propagator))
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// The options that nodes and clients have in common.
macro_rules! common_options {
    ($config:ty) => {
        impl $config {
            /// Largest frame in bytes. Default 16 MiB, from 16 KiB to 16 MiB. The lower of both sides counts.
            pub fn max_frame_size(mut self, bytes: u32) -> Self {
                self.options.max_frame_size = bytes;
                self
            }

            /// Largest message in bytes. Default: as large as a frame, and at least that. The lower of both
            /// sides counts. A larger message travels in chunks; what has arrived of it counts against the
            /// [memory budget](Self::memory_budget), of which it may be a quarter.
            pub fn max_message_size(mut self, bytes: u32) -> Self {
                self.options.max_message_size = Some(bytes);
                self
            }

            /// Bytes of memory that all peers together can make this side hold. Default: a quarter of what the
            /// process may use (machine, control groups, `ulimit`; looked up when the options are checked),
            /// 256 MiB at most. At least 1 MiB.
            ///
            /// What a peer has this side hold counts until it is gone. Of the whole,
            ///
            /// | part | is for | what is beyond it |
            /// | --- | --- | --- |
            /// | half | messages and replies that have arrived, until they are handled, and what they take up when they are decoded | is refused |
            /// | half | replies that wait for peers to take them, and requests without one | is refused |
            /// | five eighths | what connections of Go nodes take up to compress, 2 MiB each as a rule | ends its connection |
            /// | a quarter | names that peers have given numbers | ends its connection |
            /// | a quarter, set apart | beginnings of frames and of large messages | ends its connection |
            /// | an eighth | watches, and what else is remembered of requests | is refused |
            /// | an eighth | operations that are being carried out, arguments of actors that peers have spawned | is refused |
            ///
            /// Nobody shuts out the others: a connection and its address together get four times what they leave
            /// free of a part and of the whole, so two thirds for one connection alone, and four fifths for
            /// many. Besides, an eighth is kept for addresses that use next to nothing. Loopback is no address in
            /// this unless it is [one for limits](Config::limit_loopback_sources), nor is the other side of a
            /// connection that was dialed: each connection counts for itself. A few KiB of each open connection
            /// do not count; [`max_connections`](Config::max_connections) bounds them.
            pub fn memory_budget(mut self, bytes: u64) -> Self {
                self.options.set_budget = Some(bytes);
                self
            }

            /// Bytes of memory that one message or reply may take up when it is decoded. Default: 8 times its
            /// encoded size, and 1 MiB. At least 1 MiB.
            ///
            /// It is estimated before the message is decoded, or counted as that goes on: see
            /// [`Codec::decode_within`](crate::message::Codec::decode_within). What is larger is refused with
            /// [`DecodedTooLarge`](crate::message::DecodedTooLarge). What a message takes up beyond its encoded
            /// size counts against the [memory budget](Self::memory_budget) until it is handled, where its
            /// encoding has 8 KiB or more.
            pub fn max_decoded(mut self, bytes: u64) -> Self {
                self.options.max_decoded = Some(bytes);
                self
            }

            /// Requests that one connection may have in flight. Default 65536, from 1 to 65536. The lower of both
            /// sides counts.
            pub fn max_in_flight(mut self, requests: u32) -> Self {
                self.options.max_in_flight = requests;
                self
            }

            /// A peer that takes none of our bytes for this long is disconnected. Default 10 s, more than zero.
            pub fn write_timeout(mut self, limit: Duration) -> Self {
                self.options.write_timeout = limit;
                self
            }

            /// Bytes a second that a peer sends at least of a frame that it has begun, on average over 30 s. One
            /// that is slower is disconnected. Default 1 KiB, at most 1 MiB; zero asks for none. Between two
            /// frames a peer may be silent.
            pub fn min_rate(mut self, bytes: u32) -> Self {
                self.options.min_rate = bytes;
                self
            }

            /// Frames a second that a peer sends here over one connection and that are cheap for it: pings,
            /// cancellations, operations such as lookups and watches, and messages that are refused as they come,
            /// since there is no such actor or it does not accept the type. Default 100000, at least 100; zero sets
            /// no limit.
            ///
            /// A second's worth may come at once. Who sends more is read from more slowly, and is disconnected after
            /// 30 s of that without a pause. It is more than a caller sends that gives up on every request, and costs
            /// this node a fifth of a core at most.
            pub fn control_rate(mut self, frames: u32) -> Self {
                self.options.control_rate = frames;
                self
            }

            /// After this long without a byte from the peer it is pinged, and after as long again without an
            /// answer the connection is dead. Default 10 s, more than zero.
            pub fn read_idle_timeout(mut self, limit: Duration) -> Self {
                self.options.read_idle_timeout = limit;
                self
            }

            /// The compression that this node prefers. Default zstd, where it is compiled in.
            ///
            /// It is negotiated: with a peer that cannot do it, nothing is compressed, and that is logged.
            pub fn compression(mut self, compression: Compression) -> Self {
                self.options.compression = compression;
                self
            }

            /// Payloads from this size in bytes up are compressed, where it pays. Default 1 KiB, from 0.
            pub fn compress_from(mut self, bytes: u32) -> Self {
                self.options.compress_from = bytes;
                self
            }

            /// Connections to one peer address. Default 8, from 1 to 1024. One carries control, and messages to
            /// actors are spread over the others by receiver; each is opened when it is first needed.
            pub fn max_idle_conns(mut self, connections: u32) -> Self {
                self.options.max_idle_conns = connections;
                self
            }

            /// A connection that was dialed here and not used for this long is closed. Default 30 s, more than
            /// zero. One that a watch depends on is used.
            pub fn idle_timeout(mut self, limit: Duration) -> Self {
                self.options.idle_timeout = limit;
                self
            }

            /// Time for connecting and the handshake, also for peers that connect here: a Go node has it for
            /// its first request. Default 5 s, more than zero.
            pub fn dial_timeout(mut self, limit: Duration) -> Self {
                self.options.dial_timeout = limit;
                self
            }

            /// Interval of TCP keep-alive. Default 15 s; zero turns it off. Taken in whole seconds, at least 1.
            pub fn keep_alive(mut self, interval: Duration) -> Self {
                self.options.keep_alive = interval;
                self
            }

            /// Where connections come from. Default: TCP. Tests put a simulated network here.
            pub fn transport(mut self, transport: impl Transport) -> Self {
                self.options.own_transport = Some(Arc::new(transport));
                self
            }

            /// Encrypts all connections, and has both sides prove who they are. Default: connections are plain.
            #[cfg(feature = "_tls")]
            pub fn tls(mut self, tls: Tls) -> Self {
                self.options.tls = Some(tls);
                self
            }

            /// Says how nodes of GoAkt v3.14 are dialed, and has a node serve them as well. Default: such
            /// peers are refused; an actor with a `goakt://` address is reached all the same, by the
            /// defaults of [`GoAkt`](super::GoAkt).
            #[cfg(feature = "goakt")]
            pub fn goakt(mut self, options: super::GoAkt) -> Self {
                self.options.goakt = Some(options);
                self
            }

            /// Seeds the randomness of this node (its incarnation, the jitter of its back-off), for tests that
            /// must repeat. Default: drawn from the operating system.
            pub fn seed(mut self, seed: u64) -> Self {
                self.options.seed = Some(seed);
                self
            }
        }
    };
}

common_options!(Config);
common_options!(ClientConfig);

#[cfg(test)]
mod tests;
