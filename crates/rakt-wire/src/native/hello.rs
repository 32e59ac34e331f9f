//! What both sides say first, and what comes of it.
//!
//! A hello is a list of fields, each a tag, a length and a value, so that newer peers can add some.

use std::fmt;

use bytes::Bytes;

use super::bounds::MAX_REASON_LEN;
use super::role::Role;
use crate::address::{self, MAX_NAME_LEN};
use crate::base::text::{Quoted, Shown, cut_text};
use crate::base::varint::{DecodeError, Reader, at_most, put_bytes, put_string, put_varint};
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

    pub(super) const NAMES: [(u64, &str); 8] = [
        (SYSTEM, "system"),
        (INCARNATION, "incarnation"),
        (ADVERTISED, "advertised"),
        (COMPRESSIONS, "compressions"),
        (FEATURES, "features"),
        (LIMITS, "limits"),
        (AUTH, "auth"),
        (LANE, "lane"),
    ];
    pub(super) const MANDATORY: [u64; 3] = [SYSTEM, INCARNATION, LIMITS];
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

/// Declares the limits. A line holds the name of one, its default, the least a peer may offer, and its doc;
/// the lines are in the order in which the limits cross the wire.
macro_rules! limits {
    ($($name:ident: $default:expr, at least $min:expr, $doc:literal;)+) => {
        /// What one side is ready to hold for a connection. The lower of both sides counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Limits {
            $(#[doc = $doc] pub $name: u32,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Limits {
            /// The least a peer may offer; with less, a link could not work.
            pub const MIN: Self = Self { $($name: $min,)+ };

            /// The lower of both, limit by limit.
            #[must_use]
            pub fn lower(self, other: Self) -> Self {
                Self { $($name: self.$name.min(other.$name),)+ }
            }

            /// The name and value of the first limit that is below [`Limits::MIN`].
            pub fn below_minimum(&self) -> Option<(&'static str, u32)> {
                let all = [$((stringify!($name), self.$name, Self::MIN.$name),)+];
                let below = all.into_iter().find(|(_, value, least)| value < least);
                below.map(|(name, value, _)| (name, value))
            }

            fn encode(&self, out: &mut Vec<u8>) {
                $(put_varint(out, self.$name.into());)+
            }

            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let limits = Self { $($name: reader.varint_u32("limit")?,)+ };
                match limits.below_minimum() {
                    None => Ok(limits),
                    Some((what, _)) => Err(DecodeError::Invalid { what }),
                }
            }
        }
    };
}

limits! {
    max_frame_len: 16 * 1024 * 1024, at least 16 * 1024,
        "Largest body of a frame, in bytes. Default 16 MiB, at least 16 KiB.";
    max_message_len: 16 * 1024 * 1024, at least 1024,
        "Largest payload of a message or reply, raw and compressed, in bytes. Default 16 MiB, at least 1 KiB.";
    receiver_window: 4 * 1024 * 1024, at least 1024,
        "Credit of a receiver that has taken everything, in bytes. Default 4 MiB, at least 1 KiB.";
    max_receivers: 65_536, at least 4,
        "Most receivers with a number at a time. Default 65 536, at least 4. Each costs its path in memory.";
    max_senders: 65_536, at least 4,
        "Most senders with a number at a time. Default 65 536, at least 4. Each costs its address in memory.";
    max_types: 4_096, at least 4,
        "Most message types with a number at a time. Default 4 096, at least 4.";
    max_in_flight: 65_536, at least 1,
        "Most asks, confirms and requests in flight. Default 65 536, at least 1.";
}

impl Hello {
    /// A hello with default limits, the compressions of this build, no features and no address.
    pub fn new(system: impl Into<String>, incarnation: [u8; 16]) -> Self {
        let compression = Some(Compression::default()).filter(|it| *it != Compression::None);
        Self {
            system: system.into(),
            incarnation,
            advertised: None,
            compressions: compression.into_iter().collect(),
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
        self.limits.encode(&mut value);
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
        at_most("hello", body.len() as u64, MAX_HELLO_LEN.into())?;
        let (mut hello, mut seen) = (Self::new("", [0; 16]), 0_u16);
        hello.compressions.clear();
        let mut reader = Reader::new(body);
        while !reader.is_empty() {
            let tag = reader.varint("tag")?;
            let mut value = Reader::new(reader.bytes("field", MAX_HELLO_LEN as usize)?);
            let Some((_, what)) = tag::NAMES.into_iter().find(|(known, _)| *known == tag) else {
                continue;
            };
            if seen & 1 << tag != 0 {
                return Err(DecodeError::Occurrence { what });
            }
            seen |= 1 << tag;
            match tag {
                tag::SYSTEM => hello.system = read_system(value)?,
                tag::INCARNATION => {
                    hello.incarnation = value.array(what)?;
                    value.finish()?;
                }
                tag::ADVERTISED => hello.advertised = Some(read_advertised(value)?),
                tag::COMPRESSIONS => hello.compressions = read_compressions(value)?,
                tag::FEATURES => hello.features = read_features(value)?,
                tag::LIMITS => hello.limits = Limits::decode(&mut value)?,
                tag::AUTH => {
                    at_most(what, value.len() as u64, MAX_AUTH_LEN as u64)?;
                    hello.auth = Bytes::copy_from_slice(value.rest());
                }
                _ => {
                    hello.lane = Some(Lane { id: value.array(what)?, turn: value.varint("turn")? });
                    value.finish()?;
                }
            }
        }
        let is_missing = |(tag, _): &(u64, _)| tag::MANDATORY.contains(tag) && seen & 1 << tag == 0;
        match tag::NAMES.into_iter().find(is_missing) {
            Some((_, what)) => Err(DecodeError::Occurrence { what }),
            None => Ok(hello),
        }
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

fn read_system(value: Reader<'_>) -> Result<String, DecodeError> {
    let invalid = DecodeError::Invalid { what: "system" };
    let name = std::str::from_utf8(value.rest()).map_err(|_| invalid.clone())?;
    address::validate_system_name(name).map_err(|_| invalid)?;
    Ok(name.to_owned())
}

fn read_advertised(mut value: Reader<'_>) -> Result<(String, u16), DecodeError> {
    let host = value.string("host", MAX_NAME_LEN)?;
    address::validate_host(host).map_err(|_| DecodeError::Invalid { what: "host" })?;
    let port = value.array("port").map(u16::from_be_bytes)?;
    value.finish()?;
    Ok((host.to_owned(), port))
}

fn read_compressions(value: Reader<'_>) -> Result<Vec<Compression>, DecodeError> {
    at_most("compressions", value.len() as u64, MAX_COMPRESSIONS as u64)?;
    Ok(value.rest().iter().filter_map(|number| Compression::from_u8(*number)).collect())
}

fn read_features(mut value: Reader<'_>) -> Result<Vec<Feature>, DecodeError> {
    let mut features = Vec::new();
    while !value.is_empty() {
        at_most("features", features.len().saturating_add(1) as u64, MAX_FEATURES as u64)?;
        let required = value.flag("feature flag")?;
        let name = value.name("feature", MAX_FEATURE_LEN)?.to_owned();
        features.push(Feature { name, required });
    }
    Ok(features)
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
    pub(crate) fn new(version: u8, role: Role, ours: &Hello, peer: Hello) -> Self {
        let (dialer, acceptor) = match role {
            Role::Dialer => (ours, &peer),
            Role::Acceptor => (&peer, ours),
        };
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
    #[error("unknown required feature {}", Quoted(.0))]
    UnknownRequiredFeature(String),
    /// The hello was malformed or offered too little.
    #[error("bad hello: {}", Shown(.0))]
    BadHello(String),
    /// The peer may not be here.
    #[error("denied: {}", Shown(.0))]
    Denied(String),
    /// There are as many connections as there may be.
    #[error("too many connections")]
    TooManyConnections,
    /// The node is shutting down.
    #[error("shutting down")]
    ShuttingDown,
    /// A reason of a newer peer.
    #[error("reason {code}: {}", Shown(text))]
    Other {
        /// Its number.
        code: u8,
        /// Its text.
        text: String,
    },
}

impl RefuseReason {
    /// The reason with "here" for the one who is refused.
    pub(super) fn seen_by_the_refused(&self) -> Self {
        match self.clone() {
            Self::IncompatibleVersion { ours, theirs } => {
                Self::IncompatibleVersion { ours: theirs, theirs: ours }
            }
            other => other,
        }
    }

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
