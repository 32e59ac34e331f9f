//! The first round trip of a connection.
//!
//! ```text
//!   dialer                                    acceptor
//!   preface(min, max) HELLO ───────────────►  AwaitPreface ► AwaitHello
//!   AwaitPreface ► AwaitHello  ◄───────────   preface(chosen) HELLO    Open
//!   Open                        or ◄───────   preface REFUSE           Failed
//! ```

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::bounds::{VERSION_MAX, VERSION_MIN};
use super::error::{CloseCode, LinkError};
use super::frame::{FrameKind, HEADER_LEN, begin_frame, end_frame};
use super::hello::{Hello, MAX_HELLO_LEN, RefuseReason, Session};
use super::outbound::put_reason;
use super::role::Role;
use crate::base::cause::Chain;
use crate::base::magic::MAGIC;
use crate::base::text::Quoted;
use crate::base::varint::DecodeError;

/// Magic, lowest and highest version, in bytes.
pub(crate) const PREFACE_LEN: usize = 8;

/// One side of a handshake. Pure: bytes in, bytes and a [`Session`] out.
pub struct Handshake {
    role: Role,
    hello: Hello,
    phase: Phase,
    /// What to send, until [`Handshake::poll_transmit`] takes it.
    transmit: Option<Bytes>,
    /// Set by [`Handshake::refuse`] while it is not yet known whether the peer speaks rakt.
    refusing: Option<RefuseReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    AwaitPreface,
    AwaitHello { min: u8, max: u8 },
    Open,
    Failed,
}

/// Why a handshake came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer does not speak rakt.
    #[error("the peer does not speak rakt{}: it starts with \"{}\"", looks(*looks_like), first.escape_ascii())]
    NotRakt {
        /// Its first bytes, eight at most.
        first: Vec<u8>,
        /// A guess at what it speaks.
        looks_like: Option<&'static str>,
    },
    /// No version is spoken by both.
    #[error("no common version: {}..={} here, {}..={} there", ours.0, ours.1, theirs.0, theirs.1)]
    Version {
        /// Lowest and highest spoken here.
        ours: (u8, u8),
        /// Lowest and highest spoken there.
        theirs: (u8, u8),
    },
    /// A frame longer than anything the handshake needs.
    #[error("a handshake frame claims {len} bytes, the limit is {limit}")]
    TooLong {
        /// The claim in bytes.
        len: u32,
        /// The limit in bytes.
        limit: u32,
    },
    /// The peer speaks rakt, but badly.
    #[error("malformed handshake")]
    Malformed(#[from] LinkError),
    /// It has come to its end before.
    #[error("the handshake is over")]
    Over,
    /// The peer requires a feature that is not known here.
    #[error("the peer requires the unknown feature {}", Quoted(.0))]
    Feature(String),
    /// The peer refused.
    #[error("the peer refused: {}", .0.seen_by_the_refused())]
    RefusedByPeer(RefuseReason),
    /// This side refused.
    #[error("refused: {0}")]
    Refused(RefuseReason),
}

impl HandshakeError {
    /// Whether the peer is sent the reason, in a form that it understands.
    pub fn is_told(&self) -> bool {
        match self {
            // The beginning of a handshake of TLS.
            Self::NotRakt { first, .. } => first.starts_with(&[0x16, 0x03]),
            Self::RefusedByPeer(_) | Self::Over => false,
            _ => true,
        }
    }
}

fn looks(guess: Option<&'static str>) -> String {
    guess.map(|name| format!(" (it looks like {name})")).unwrap_or_default()
}

impl Handshake {
    /// The side that opened the connection. Its preface and hello are ready to be sent.
    pub fn dial(hello: Hello) -> Self {
        let greeting = greeting(VERSION_MIN, VERSION_MAX, &hello);
        Self { transmit: Some(greeting), ..Self::new(Role::Dialer, hello) }
    }

    /// The side that took the connection. It stays silent until the peer has shown that it speaks rakt.
    pub fn accept(hello: Hello) -> Self {
        Self::new(Role::Acceptor, hello)
    }

    fn new(role: Role, hello: Hello) -> Self {
        let phase = Phase::AwaitPreface;
        Self { role, hello, phase, transmit: None, refusing: None }
    }

    /// Which side this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What to send now. After an error there may be something too: the reason, for the peer's log.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmit.take()
    }

    /// Takes the handshake off the front of `buf`, and nothing after it.
    ///
    /// `Ok(None)` means "come back with more bytes". The acceptor gets its session once its answer is
    /// ready in [`Handshake::poll_transmit`], and must send that before anything else.
    ///
    /// # Errors
    /// The connection is of no use. Send what `poll_transmit` still has, then close.
    pub fn handle_bytes(&mut self, buf: &mut BytesMut) -> Result<Option<Session>, HandshakeError> {
        self.handle_bytes_with(buf, |_| Ok(()))
    }

    /// As [`Handshake::handle_bytes`]; `check` sees the peer's hello before it is answered.
    ///
    /// # Errors
    /// As `handle_bytes`, and [`HandshakeError::Refused`] when `check` refuses.
    pub fn handle_bytes_with(
        &mut self,
        buf: &mut BytesMut,
        check: impl FnOnce(&Hello) -> Result<(), RefuseReason>,
    ) -> Result<Option<Session>, HandshakeError> {
        let result = self.advance(buf, check);
        if let Err(error) = &result {
            self.phase = Phase::Failed;
            self.tell_peer(error);
        }
        result
    }

    /// Refuses the peer instead of greeting it. Only the acceptor can, and only before it has greeted.
    ///
    /// A peer that has not yet shown that it speaks rakt is refused once it has; then, and with every
    /// later call, [`Handshake::handle_bytes`] fails.
    pub fn refuse(&mut self, reason: RefuseReason) {
        match self.phase {
            Phase::AwaitPreface if self.role == Role::Acceptor => self.refusing = Some(reason),
            Phase::AwaitHello { .. } if self.role == Role::Acceptor => self.fail(reason),
            // The greeting has been made up but not yet sent.
            Phase::Open if self.role == Role::Acceptor && self.transmit.is_some() => {
                self.fail(reason);
            }
            _ => {}
        }
    }

    fn fail(&mut self, reason: RefuseReason) {
        self.phase = Phase::Failed;
        self.transmit = Some(refusal(reason));
    }

    fn advance(
        &mut self,
        buf: &mut BytesMut,
        check: impl FnOnce(&Hello) -> Result<(), RefuseReason>,
    ) -> Result<Option<Session>, HandshakeError> {
        if self.phase == Phase::AwaitPreface {
            let Some((min, max)) = take_preface(buf)? else { return Ok(None) };
            self.phase = Phase::AwaitHello { min, max };
            if let Some(reason) = self.refusing.take() {
                return Err(HandshakeError::Refused(reason));
            }
            if self.role == Role::Acceptor {
                common_version(min, max)?;
            }
        }
        let Phase::AwaitHello { min, max } = self.phase else { return Err(HandshakeError::Over) };
        let Some((kind, body)) = take_frame(buf)? else { return Ok(None) };
        let peer = self.read_hello(kind, &body)?;
        let version = match self.role {
            Role::Dialer if min != max => {
                let what = "the version in the preface of an answer";
                return Err(malformed(FrameKind::Hello)(DecodeError::Occurrence { what }));
            }
            _ => common_version(min, max)?,
        };
        if let Some(name) = self.hello.unknown_required(&peer) {
            return Err(HandshakeError::Feature(name.to_owned()));
        }
        check(&peer).map_err(HandshakeError::Refused)?;
        self.phase = Phase::Open;
        if self.role == Role::Acceptor {
            self.transmit = Some(greeting(version, version, &self.hello));
        }
        Ok(Some(Session::new(version, self.role, &self.hello, peer)))
    }

    fn read_hello(&self, kind: u8, body: &[u8]) -> Result<Hello, HandshakeError> {
        match FrameKind::from_u8(kind) {
            Some(kind @ FrameKind::Hello) => Hello::decode(body).map_err(malformed(kind)),
            Some(kind @ FrameKind::Refuse) if self.role == Role::Dialer => {
                let reason = RefuseReason::decode(body).map_err(malformed(kind))?;
                Err(HandshakeError::RefusedByPeer(reason))
            }
            _ => Err(LinkError::BeforeHello { kind }.into()),
        }
    }

    /// Leaves the reason in `transmit`, in a form that the peer understands at this point.
    fn tell_peer(&mut self, error: &HandshakeError) {
        let reason = match error {
            HandshakeError::NotRakt { .. } if error.is_told() && self.role == Role::Acceptor => {
                self.transmit = Some(Bytes::from_static(&NO_TLS_HERE));
                return;
            }
            HandshakeError::NotRakt { .. }
            | HandshakeError::RefusedByPeer(_)
            | HandshakeError::Over => return,
            HandshakeError::Version { ours, theirs } => {
                RefuseReason::IncompatibleVersion { ours: *ours, theirs: *theirs }
            }
            HandshakeError::Feature(name) => RefuseReason::UnknownRequiredFeature(name.clone()),
            HandshakeError::Refused(reason) => reason.clone(),
            HandshakeError::TooLong { .. } | HandshakeError::Malformed(_) => {
                RefuseReason::BadHello(Chain(error).to_string())
            }
        };
        self.transmit = Some(match self.role {
            Role::Acceptor => refusal(reason),
            // The acceptor's side is open since it sent its hello, so it expects frames of an open link.
            Role::Dialer => {
                let code = match reason {
                    RefuseReason::Denied(_) => CloseCode::Denied,
                    _ => CloseCode::Protocol,
                };
                let mut out = Vec::new();
                put_reason(&mut out, FrameKind::Close, code, &reason.to_string());
                out.into()
            }
        });
    }
}

/// Leaves out the bytes to be sent, which hold authentication data.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .field("hello", &self.hello)
            .finish_non_exhaustive()
    }
}

fn malformed(kind: FrameKind) -> impl Fn(DecodeError) -> HandshakeError {
    move |source| LinkError::Malformed { kind, source }.into()
}

fn preface(min: u8, max: u8) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[min, max]);
    out
}

fn greeting(min: u8, max: u8, hello: &Hello) -> Bytes {
    let mut out = preface(min, max);
    let start = begin_frame(&mut out, FrameKind::Hello);
    hello.encode(&mut out);
    end_frame(&mut out, start);
    out.into()
}

fn refusal(reason: RefuseReason) -> Bytes {
    let mut out = preface(VERSION_MIN, VERSION_MAX);
    let start = begin_frame(&mut out, FrameKind::Refuse);
    reason.encode(&mut out);
    end_frame(&mut out, start);
    out.into()
}

/// The highest version that both sides speak.
fn common_version(min: u8, max: u8) -> Result<u8, HandshakeError> {
    let version = max.min(VERSION_MAX);
    if min > max || version < min || version < VERSION_MIN {
        return Err(HandshakeError::Version {
            ours: (VERSION_MIN, VERSION_MAX),
            theirs: (min, max),
        });
    }
    Ok(version)
}

/// Fails at the first byte that is not the magic's, so that a foreign peer is not waited for.
fn take_preface(buf: &mut BytesMut) -> Result<Option<(u8, u8)>, HandshakeError> {
    if buf.iter().zip(&MAGIC).any(|(byte, magic)| byte != magic) {
        let first = buf.iter().copied().take(PREFACE_LEN).collect::<Vec<_>>();
        let looks_like = guess(&first);
        return Err(HandshakeError::NotRakt { first, looks_like });
    }
    let Some(&[.., min, max]) = buf.first_chunk::<PREFACE_LEN>() else { return Ok(None) };
    buf.advance(PREFACE_LEN);
    Ok(Some((min, max)))
}

fn take_frame(buf: &mut BytesMut) -> Result<Option<(u8, BytesMut)>, HandshakeError> {
    let Some(&[kind, ref len @ ..]) = buf.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let len = u32::from_be_bytes(*len);
    if len > MAX_HELLO_LEN {
        return Err(HandshakeError::TooLong { len, limit: MAX_HELLO_LEN });
    }
    let len = len as usize;
    if buf.len().saturating_sub(HEADER_LEN) < len {
        return Ok(None);
    }
    buf.advance(HEADER_LEN);
    Ok(Some((kind, buf.split_to(len))))
}

/// What a peer is sent that begins with TLS where it is not spoken: the alert `unexpected_message`, which ends its
/// handshake at once.
pub const NO_TLS_HERE: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x0a];

/// What a stream that starts like this may be. GoAkt starts with a frame's length in four bytes, then
/// the length of a type name in four bytes, both small.
fn guess(first: &[u8]) -> Option<&'static str> {
    const HTTP: [&[u8]; 9] =
        [b"GET ", b"POST", b"PUT ", b"HEAD", b"OPTI", b"DELE", b"PATC", b"PRI ", b"HTTP"];
    match first {
        [0x14..=0x17, 0x03, ..] => Some("TLS"),
        [b'S', b'S', b'H', b'-', ..] => Some("SSH"),
        _ if HTTP.iter().any(|start| first.starts_with(start)) => Some("HTTP"),
        [0..=1, _, _, _, 0, 0, ..] => Some("GoAkt"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("GoAkt with zstd"),
        [0x1f, 0x8b, ..] => Some("GoAkt with gzip"),
        _ => None,
    }
}
