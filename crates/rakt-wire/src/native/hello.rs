//! What both sides say first, and what comes of it.
//!
//! A hello is a list of fields, each a tag, a length and a value, so that newer peers can add some.

use std::fmt;

use bytes::Bytes;

use super::bounds::MAX_REASON_LEN;
use crate::address::{self, MAX_NAME_LEN};
use crate::base::text::cut_text;
use crate::base::varint::{DecodeError, Reader, put_bytes, put_string, put_varint};
use crate::compress::Compression;

/// Largest body of a HELLO or REFUSE, in bytes. Nothing larger is read before the peer is admitted.
pub const MAX_HELLO_LEN: u32 = 4 * 1024;
/// Most features in a hello.
pub const MAX_FEATURES: usize = 16;
/// Longest name of a feature, in bytes.
pub const MAX_FEATURE_LEN: usize = 64;
/// Longest authentication data in a hello, in bytes.
pub const MAX_AUTH_LEN: usize = 1024;
/// Most compressions in a hello.
pub(crate) const MAX_COMPRESSIONS: usize = 16;

mod tag {
    pub(super) const SYSTEM: u64 = 1;
    pub(super) const INCARNATION: u64 = 2;
    pub(super) const ADVERTISED: u64 = 3;
    pub(super) const COMPRESSIONS: u64 = 4;
    pub(super) const FEATURES: u64 = 5;
    pub(super) const LIMITS: u64 = 6;
    pub(super) const AUTH: u64 = 7;
    pub(super) const LANE: u64 = 8;
}

/// Who a node is and what it can. `Debug` hides the authentication data.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// The name of its actor system.
    pub system: String,
    /// Drawn anew at every start of the node.
    pub incarnation: [u8; 16],
    /// Host and port under which others reach it; `None` for a pure client.
    pub advertised: Option<(String, u16)>,
    /// The compressions it can do, the preferred one first.
    pub compressions: Vec<Compression>,
    /// The features it knows.
    pub features: Vec<Feature>,
    /// What it is ready to hold.
    pub limits: Limits,
    /// Opaque data for a later authentication step; at most [`MAX_AUTH_LEN`] bytes.
    pub auth: Bytes,
    /// Which of the dialer's connections this one follows, so that nothing of those comes after it.
    pub lane: Option<Lane>,
}

/// A line of connections, of which each takes the place of the one before.
///
/// The acceptor takes nothing from a connection before those of earlier turns in its lane have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Drawn by the dialer for this acceptor alone: who knows it may end the connections of the lane.
    pub id: [u8; 16],
    /// Higher for every further connection.
    pub turn: u64,
}

/// An extension of the protocol, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name; at most [`MAX_FEATURE_LEN`] bytes.
    pub name: String,
    /// Whether a peer that does not know it is of no use.
    pub required: bool,
}

/// What one side is ready to hold for a connection. The lower of both sides counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body of a frame, in bytes. Default 16 MiB, at least 16 KiB.
    pub max_frame_len: u32,
    /// Largest payload of a message or reply, raw and compressed, in bytes. Default 16 MiB, at least 1 KiB.
    pub max_message_len: u32,
    /// Credit of a receiver that has taken everything, in bytes. Default 4 MiB, at least 1 KiB.
    pub receiver_window: u32,
    /// Most receivers with a number at a time. Default 65 536, at least 4. Each costs its path in memory.
    pub max_receivers: u32,
    /// Most senders with a number at a time. Default 65 536, at least 4. Each costs its address in memory.
    pub max_senders: u32,
    /// Most message types with a number at a time. Default 4 096, at least 4.
    pub max_types: u32,
    /// Most asks, confirms and requests in flight. Default 65 536, at least 1.
    pub max_in_flight: u32,
}

impl Limits {
    /// The least a peer may offer; with less, a link could not work.
    pub const MIN: Self = Self {
        max_frame_len: 16 * 1024,
        max_message_len: 1024,
        receiver_window: 1024,
        max_receivers: 4,
        max_senders: 4,
        max_types: 4,
        max_in_flight: 1,
    };

    /// The lower of both, limit by limit.
    #[must_use]
    pub fn lower(self, other: Self) -> Self {
        self.zip(other, u32::min)
    }

    /// The name and value of the first limit that is below [`Limits::MIN`].
    pub fn below_minimum(&self) -> Option<(&'static str, u32)> {
        let names = [
            "max_frame_len",
            "max_message_len",
            "receiver_window",
            "max_receivers",
            "max_senders",
            "max_types",
            "max_in_flight",
        ];
        let pairs = self.as_array().into_iter().zip(Self::MIN.as_array());
        names
            .into_iter()
            .zip(pairs)
            .find(|(_, (value, minimum))| value < minimum)
            .map(|(name, (value, _))| (name, value))
    }

    fn zip(self, other: Self, pick: impl Fn(u32, u32) -> u32) -> Self {
        Self {
            max_frame_len: pick(self.max_frame_len, other.max_frame_len),
            max_message_len: pick(self.max_message_len, other.max_message_len),
            receiver_window: pick(self.receiver_window, other.receiver_window),
            max_receivers: pick(self.max_receivers, other.max_receivers),
            max_senders: pick(self.max_senders, other.max_senders),
            max_types: pick(self.max_types, other.max_types),
            max_in_flight: pick(self.max_in_flight, other.max_in_flight),
        }
    }

    /// In the order in which they cross the wire.
    fn as_array(&self) -> [u32; 7] {
        [
            self.max_frame_len,
            self.max_message_len,
            self.receiver_window,
            self.max_receivers,
            self.max_senders,
            self.max_types,
            self.max_in_flight,
        ]
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame_len: 16 * 1024 * 1024,
            max_message_len: 16 * 1024 * 1024,
            receiver_window: 4 * 1024 * 1024,
            max_receivers: 65_536,
            max_senders: 65_536,
            max_types: 4_096,
            max_in_flight: 65_536,
        }
    }
}

impl Hello {
    /// A hello with default limits, the compressions of this build, no features and no address.
    pub fn new(system: impl Into<String>, incarnation: [u8; 16]) -> Self {
        let compression = Compression::default();
        Self {
            system: system.into(),
            incarnation,
            advertised: None,
            compressions: Some(compression)
                .filter(|compression| *compression != Compression::None)
                .into_iter()
                .collect(),
            features: Vec::new(),
            limits: Limits::default(),
            auth: Bytes::new(),
            lane: None,
        }
    }

    /// Checks that a peer would accept this hello. Call it once, when the configuration is built.
    ///
    /// # Errors
    /// Names the field that a peer would refuse.
    pub fn check(&self) -> Result<(), DecodeError> {
        let mut body = Vec::new();
        self.encode(&mut body);
        Self::decode(&body).map(drop)
    }

    /// Writes the body of a HELLO.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut value = Vec::new();
        put_field(out, tag::SYSTEM, self.system.as_bytes());
        put_field(out, tag::INCARNATION, &self.incarnation);
        if let Some((host, port)) = &self.advertised {
            put_string(&mut value, host);
            value.extend_from_slice(&port.to_be_bytes());
            put_field(out, tag::ADVERTISED, &value);
        }
        value.clear();
        value.extend(self.compressions.iter().map(|compression| compression.as_u8()));
        put_field(out, tag::COMPRESSIONS, &value);
        value.clear();
        for feature in &self.features {
            value.push(u8::from(feature.required));
            put_string(&mut value, &feature.name);
        }
        put_field(out, tag::FEATURES, &value);
        value.clear();
        self.limits.as_array().into_iter().for_each(|limit| put_varint(&mut value, limit.into()));
        put_field(out, tag::LIMITS, &value);
        if !self.auth.is_empty() {
            put_field(out, tag::AUTH, &self.auth);
        }
        if let Some(lane) = &self.lane {
            value.clear();
            value.extend_from_slice(&lane.id);
            put_varint(&mut value, lane.turn);
            put_field(out, tag::LANE, &value);
        }
    }

    /// Reads the body of a HELLO. Fields, compressions and limits of newer peers are passed over.
    ///
    /// # Errors
    /// Says which field is missing, malformed or over its bound.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        if body.len() as u64 > u64::from(MAX_HELLO_LEN) {
            let value = body.len() as u64;
            return Err(DecodeError::TooLarge {
                what: "hello",
                value,
                limit: MAX_HELLO_LEN.into(),
            });
        }
        let (mut system, mut incarnation, mut advertised) = (None, None, None);
        let (mut compressions, mut features) = (None, None);
        let (mut limits, mut auth, mut lane) = (None, None, None);
        let mut reader = Reader::new(body);
        while !reader.is_empty() {
            let tag = reader.varint("tag")?;
            let value = Reader::new(reader.bytes("field", MAX_HELLO_LEN as usize)?);
            match tag {
                tag::SYSTEM => once(&mut system, "system", read_system(value)?)?,
                tag::INCARNATION => {
                    once(&mut incarnation, "incarnation", read_incarnation(value)?)?;
                }
                tag::ADVERTISED => once(&mut advertised, "advertised", read_advertised(value)?)?,
                tag::COMPRESSIONS => {
                    once(&mut compressions, "compressions", read_compressions(value)?)?;
                }
                tag::FEATURES => once(&mut features, "features", read_features(value)?)?,
                tag::LIMITS => once(&mut limits, "limits", read_limits(value)?)?,
                tag::AUTH => once(&mut auth, "auth", read_auth(value)?)?,
                tag::LANE => once(&mut lane, "lane", read_lane(value)?)?,
                _ => {}
            }
        }
        Ok(Self {
            system: system.ok_or(DecodeError::Occurrence { what: "system" })?,
            incarnation: incarnation.ok_or(DecodeError::Occurrence { what: "incarnation" })?,
            advertised,
            compressions: compressions.unwrap_or_default(),
            features: features.unwrap_or_default(),
            limits: limits.ok_or(DecodeError::Occurrence { what: "limits" })?,
            auth: auth.unwrap_or_default(),
            lane,
        })
    }

    /// The first feature that `peer` requires and this side does not know.
    pub(crate) fn unknown_required<'a>(&self, peer: &'a Self) -> Option<&'a str> {
        peer.features
            .iter()
            .find(|feature| feature.required && !self.knows(&feature.name))
            .map(|feature| feature.name.as_str())
    }

    fn knows(&self, name: &str) -> bool {
        self.features.iter().any(|feature| feature.name == name)
    }
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("system", &self.system)
            .field("incarnation", &format_args!("{:032x}", u128::from_be_bytes(self.incarnation)))
            .field("advertised", &self.advertised)
            .field("compressions", &self.compressions)
            .field("features", &self.features)
            .field("limits", &self.limits)
            .field("auth_len", &self.auth.len())
            .field("turn", &self.lane.map(|lane| lane.turn))
            .finish()
    }
}

fn put_field(out: &mut Vec<u8>, tag: u64, value: &[u8]) {
    put_varint(out, tag);
    put_bytes(out, value);
}

fn once<T>(slot: &mut Option<T>, what: &'static str, value: T) -> Result<(), DecodeError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::Occurrence { what }),
    }
}

fn read_system(value: Reader<'_>) -> Result<String, DecodeError> {
    let invalid = DecodeError::Invalid { what: "system" };
    let name = std::str::from_utf8(value.rest()).map_err(|_| invalid.clone())?;
    address::validate_system_name(name).map_err(|_| invalid)?;
    Ok(name.to_owned())
}

fn read_incarnation(value: Reader<'_>) -> Result<[u8; 16], DecodeError> {
    <[u8; 16]>::try_from(value.rest()).map_err(|_| DecodeError::Invalid { what: "incarnation" })
}

fn read_advertised(mut value: Reader<'_>) -> Result<(String, u16), DecodeError> {
    let host = value.string("host", MAX_NAME_LEN)?;
    address::validate_host(host).map_err(|_| DecodeError::Invalid { what: "host" })?;
    let port = value.array("port").map(u16::from_be_bytes)?;
    value.finish()?;
    Ok((host.to_owned(), port))
}

fn read_compressions(value: Reader<'_>) -> Result<Vec<Compression>, DecodeError> {
    if value.len() > MAX_COMPRESSIONS {
        return Err(DecodeError::TooLarge {
            what: "compressions",
            value: value.len() as u64,
            limit: MAX_COMPRESSIONS as u64,
        });
    }
    Ok(value.rest().iter().filter_map(|number| Compression::from_u8(*number)).collect())
}

fn read_features(mut value: Reader<'_>) -> Result<Vec<Feature>, DecodeError> {
    let mut features = Vec::new();
    while !value.is_empty() {
        if features.len() >= MAX_FEATURES {
            return Err(DecodeError::TooLarge {
                what: "features",
                value: features.len().saturating_add(1) as u64,
                limit: MAX_FEATURES as u64,
            });
        }
        let required = match value.u8("feature flag")? {
            0 => false,
            1 => true,
            flag => {
                return Err(DecodeError::Unknown { what: "feature flag", value: flag.into() });
            }
        };
        let name = value.string("feature", MAX_FEATURE_LEN)?.to_owned();
        features.push(Feature { name, required });
    }
    Ok(features)
}

fn read_limits(mut value: Reader<'_>) -> Result<Limits, DecodeError> {
    let mut next = || value.varint_u32("limit");
    let limits = Limits {
        max_frame_len: next()?,
        max_message_len: next()?,
        receiver_window: next()?,
        max_receivers: next()?,
        max_senders: next()?,
        max_types: next()?,
        max_in_flight: next()?,
    };
    match limits.below_minimum() {
        None => Ok(limits),
        Some((what, _)) => Err(DecodeError::Invalid { what }),
    }
}

fn read_lane(mut value: Reader<'_>) -> Result<Lane, DecodeError> {
    let lane = Lane { id: value.array("lane")?, turn: value.varint("turn")? };
    value.finish()?;
    Ok(lane)
}

fn read_auth(value: Reader<'_>) -> Result<Bytes, DecodeError> {
    match value.len() {
        len if len > MAX_AUTH_LEN => Err(DecodeError::TooLarge {
            what: "auth",
            value: len as u64,
            limit: MAX_AUTH_LEN as u64,
        }),
        _ => Ok(Bytes::copy_from_slice(value.rest())),
    }
}

/// What two hellos come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The protocol version in use.
    pub version: u8,
    /// What the peer said.
    pub peer: Hello,
    /// The lower limits of both sides.
    pub limits: Limits,
    /// The dialer's first preference that the acceptor offers; else [`Compression::None`].
    pub compression: Compression,
    /// The features that both sides know.
    pub features: Vec<String>,
}

impl Session {
    pub(crate) fn new(version: u8, dialer: &Hello, acceptor: &Hello, peer: Hello) -> Self {
        let compression = dialer
            .compressions
            .iter()
            .find(|wanted| wanted.is_available() && acceptor.compressions.contains(wanted));
        let common = dialer.features.iter().filter(|feature| acceptor.knows(&feature.name));
        Self {
            version,
            limits: dialer.limits.lower(acceptor.limits),
            compression: compression.copied().unwrap_or(Compression::None),
            features: common.map(|feature| feature.name.clone()).collect(),
            peer,
        }
    }
}

/// Why a node does not talk to a peer, which it says instead of a hello.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefuseReason {
    /// No version is spoken by both.
    #[error("no common version: {}..={} here, {}..={} there", ours.0, ours.1, theirs.0, theirs.1)]
    IncompatibleVersion {
        /// Lowest and highest of the one who refuses.
        ours: (u8, u8),
        /// Lowest and highest of the one who is refused.
        theirs: (u8, u8),
    },
    /// The peer requires a feature that is not known.
    #[error("unknown required feature {0:?}")]
    UnknownRequiredFeature(String),
    /// The hello was malformed or offered too little.
    #[error("bad hello: {0}")]
    BadHello(String),
    /// The peer may not be here.
    #[error("denied: {0}")]
    Denied(String),
    /// There are as many connections as there may be.
    #[error("too many connections")]
    TooManyConnections,
    /// The node is shutting down.
    #[error("shutting down")]
    ShuttingDown,
    /// A reason of a newer peer.
    #[error("reason {code}: {text}")]
    Other {
        /// Its number.
        code: u8,
        /// Its text.
        text: String,
    },
}

impl RefuseReason {
    /// Writes the body of a REFUSE: a code, four versions (0 where they do not matter), a text.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (code, text) = match self {
            Self::IncompatibleVersion { .. } => (1, ""),
            Self::UnknownRequiredFeature(name) => (2, name.as_str()),
            Self::BadHello(text) => (3, text.as_str()),
            Self::Denied(text) => (4, text.as_str()),
            Self::TooManyConnections => (5, ""),
            Self::ShuttingDown => (6, ""),
            Self::Other { code, text } => (*code, text.as_str()),
        };
        let versions = match self {
            Self::IncompatibleVersion { ours, theirs } => [ours.0, ours.1, theirs.0, theirs.1],
            _ => [0; 4],
        };
        out.push(code);
        out.extend_from_slice(&versions);
        put_string(out, cut_text(text, MAX_REASON_LEN));
    }

    /// Reads the body of a REFUSE. What a newer peer adds at the end is passed over.
    ///
    /// # Errors
    /// Says which field is malformed.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let code = reader.u8("reason")?;
        let [a, b, c, d] = reader.array("versions")?;
        let text = reader.string("text", MAX_REASON_LEN)?.to_owned();
        Ok(match code {
            1 => Self::IncompatibleVersion { ours: (a, b), theirs: (c, d) },
            2 => Self::UnknownRequiredFeature(text),
            3 => Self::BadHello(text),
            4 => Self::Denied(text),
            5 => Self::TooManyConnections,
            6 => Self::ShuttingDown,
            code => Self::Other { code, text },
        })
    }
}
