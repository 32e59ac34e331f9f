//! What a peer can say in rakt's own protocol, frame kind by frame kind.
//!
//! All of it is well-formed. Kinds that the dialer may not send are said as well: they end the connection.

use rakt_wire::native::{FrameKind, put_operation};
use rakt_wire::{Operation, SpawnArgument, put_bytes, put_string, put_varint};

use crate::node;
use crate::phrase::{At, Opening, Phrase, Size};

/// Numbers that the prelude gives to receivers.
const FAST: u64 = 0;
const SLOW: u64 = 1;
const STUCK: u64 = 2;
const SILENT: u64 = 3;
const ABSENT: u64 = 4;
const RECEIVERS: [&str; 5] = [node::FAST, node::SLOW, node::STUCK, node::SILENT, "absent"];
/// Numbers that the prelude gives to types.
const ECHO: u64 = 0;
const WANT: u64 = 1;
const MANY: u64 = 2;
const UNKNOWN: u64 = 3;
const TYPES: [&str; 4] = ["siege.Echo", "siege.Want", "siege.Many", "siege.Unknown"];

/// Names that are defined at a time, besides those of the prelude.
const NAMES: u64 = 65_000;
const TYPE_NAMES: u64 = 4_000;
/// Messages before the numbers are given anew, and the credit with them: fewer than a window has room for.
const MESSAGES: u64 = 2_000;
/// A payload that fills a frame.
const LARGE_PAYLOAD: usize = 16 * 1024 * 1024 - 64;
/// Payload bytes in the first chunk of a large body, and in each further one.
const FIRST_PAYLOAD: usize = 16 * 1024 - 64;
const MORE_PAYLOAD: usize = 64 * 1024;
/// Bodies that may come in chunks at a time.
const STREAMS: u64 = 1_024;
/// The longest text of a farewell, a cause and the like.
const TEXT: usize = 1_024;

/// Everything that can be said about a kind of frame. A new kind needs an arm here.
pub(crate) fn phrases(kind: FrameKind) -> Vec<Phrase> {
    match kind {
        FrameKind::Hello | FrameKind::Refuse | FrameKind::Auth => vec![out_of_place(kind)],
        FrameKind::Reply
        | FrameKind::Fail
        | FrameKind::Nack
        | FrameKind::Response
        | FrameKind::Terminated
        | FrameKind::Credit => vec![out_of_place(kind)],
        FrameKind::Receiver => vec![
            phrase(kind, "", |at, size| {
                renewed(at, NAMES, || define_receiver(5 + at.n % NAMES, None, &path(at, size)))
            }),
            phrase(kind, "with uid", |at, size| {
                renewed(at, NAMES, || {
                    define_receiver(5 + at.n % NAMES, Some(at.unique), &path(at, size))
                })
            }),
        ],
        FrameKind::Sender => vec![phrase(kind, "", |at, size| {
            renewed(at, NAMES, || define(FrameKind::Sender, at.n % NAMES, &address(at, size)))
        })],
        FrameKind::Type => vec![phrase(kind, "", |at, size| {
            renewed(at, TYPE_NAMES, || {
                define(FrameKind::Type, 4 + at.n % TYPE_NAMES, &name(at, size))
            })
        })],
        FrameKind::Reset => vec![phrase(kind, "", reset)],
        FrameKind::Tell => messages(kind),
        FrameKind::Confirm => messages(kind),
        FrameKind::Ask => messages(kind),
        FrameKind::Cancel => vec![
            phrase(kind, "of an ask", |at, size| {
                let mut bytes = message(FrameKind::Ask, at, SILENT, ECHO, &echo(size, 1024));
                bytes.extend(frame(FrameKind::Cancel, &varints(&[at.n])));
                bytes
            }),
            phrase(kind, "of a stuck ask", |at, size| {
                let mut bytes = message(FrameKind::Ask, at, STUCK, ECHO, &echo(size, 1024));
                bytes.extend(frame(FrameKind::Cancel, &varints(&[at.n])));
                bytes
            }),
            phrase(kind, "of nothing", |at, _| frame(FrameKind::Cancel, &varints(&[at.unique]))),
        ],
        FrameKind::First => chunked(),
        FrameKind::More => vec![
            phrase(kind, "", |at, size| {
                let step = size.of(1, MORE_PAYLOAD);
                in_chunks(FrameKind::Tell, at, FAST, size.of(64, LARGE_PAYLOAD), step)
            })
            .unfinished(|at| {
                let mut bytes = first(FrameKind::Tell, at, 0, FAST, LARGE_PAYLOAD, 0);
                for _ in 0..LARGE_PAYLOAD / MORE_PAYLOAD / 8 {
                    bytes.extend(more(0, MORE_PAYLOAD));
                }
                bytes
            }),
        ],
        FrameKind::Abort => vec![phrase(kind, "", |at, size| {
            let here = size.of(0, FIRST_PAYLOAD);
            let mut bytes = first(FrameKind::Tell, at, 0, FAST, LARGE_PAYLOAD, here);
            (0..size.of(0, 100)).for_each(|_| bytes.extend(more(0, MORE_PAYLOAD)));
            bytes.extend(frame(FrameKind::Abort, &varints(&[0])));
            bytes
        })],
        FrameKind::Request => operations(),
        FrameKind::Ping | FrameKind::Pong => {
            vec![phrase(kind, "", move |at, _| frame(kind, &at.unique.to_be_bytes()))]
        }
        FrameKind::GoAway | FrameKind::Close => {
            vec![phrase(kind, "", move |_, size| {
                let mut body = vec![1];
                put_string(&mut body, &"g".repeat(size.of(1, TEXT)));
                frame(kind, &body)
            })]
        }
    }
}

fn phrase(
    kind: FrameKind,
    manner: &str,
    say: impl Fn(At, Size) -> Vec<u8> + Send + Sync + 'static,
) -> Phrase {
    Phrase::new(kind.to_string(), manner, Opening::Native, say).after(prelude())
}

/// A frame that a dialer may not send on an open link.
fn out_of_place(kind: FrameKind) -> Phrase {
    phrase(kind, "out of place", move |at, size| {
        let mut body = varints(&[at.n, 0, 0]);
        body.resize(size.of(8, 4_096), 0);
        frame(kind, &body)
    })
}

/// Messages of one kind, to every sort of actor.
fn messages(kind: FrameKind) -> Vec<Phrase> {
    let mut phrases = Vec::new();
    for (manner, receiver) in
        [("fast", FAST), ("slow", SLOW), ("stuck", STUCK), ("silent", SILENT), ("absent", ABSENT)]
    {
        phrases.push(phrase(kind, manner, move |at, size| {
            message(kind, at, receiver, ECHO, &echo(size, LARGE_PAYLOAD))
        }));
    }
    phrases.push(phrase(kind, "unknown type", move |at, size| {
        message(kind, at, FAST, UNKNOWN, &echo(size, LARGE_PAYLOAD))
    }));
    if kind == FrameKind::Ask {
        phrases.push(phrase(kind, "large reply", move |at, size| {
            let mut want = vec![8];
            put_varint(&mut want, size.of(1024, LARGE_PAYLOAD) as u64);
            message(kind, at, FAST, WANT, &want)
        }));
    }
    phrases.push(phrase(kind, "decoded larger", move |at, size| {
        message(kind, at, STUCK, MANY, &many(size))
    }));
    phrases.push(phrase(kind, "metadata", move |at, size| {
        let (pairs, len) = match size {
            Size::Small => (64, 100),
            Size::Medium | Size::Large => (1, 16_000),
        };
        let mut metadata = varints(&[pairs]);
        for _ in 0..pairs {
            put_string(&mut metadata, "k");
            put_string(&mut metadata, &"v".repeat(len));
        }
        let mut fields = vec![1, STUCK as u8, 0, ECHO as u8];
        put_bytes(&mut fields, &metadata);
        with_number(kind, at, &[], &fields)
    }));
    phrases.push(phrase(kind, "a receiver each", move |at, size| {
        renewed(at, NAMES, || {
            let alias = 5 + at.n % NAMES;
            let mut bytes = define_receiver(alias, None, node::STUCK);
            let mut fields = vec![0];
            [alias, 0, ECHO].iter().for_each(|n| put_varint(&mut fields, *n));
            bytes.extend(numbered(kind, at, &fields, &echo(size, 64 * 1024)));
            bytes
        })
    }));
    phrases
}

/// Bodies that come in chunks, of every kind that may.
fn chunked() -> Vec<Phrase> {
    let kinds = FrameKind::ALL.into_iter().filter(|kind| kind.may_be_chunked());
    kinds
        .map(|inner| {
            let say = move |at: At, size: Size| {
                let receiver = if size.is_small() { FAST } else { STUCK };
                in_chunks(inner, at, receiver, size.of(64, LARGE_PAYLOAD), MORE_PAYLOAD)
            };
            phrase(FrameKind::First, inner.as_str(), say).unfinished(move |at| {
                let begun = (0..STREAMS).flat_map(|stream| {
                    first(inner, at, stream, stream % 5, LARGE_PAYLOAD, FIRST_PAYLOAD / 4)
                });
                begun.collect()
            })
        })
        .collect()
}

/// Requests for every operation.
fn operations() -> Vec<Phrase> {
    let spawn = |argument: fn(Size) -> Option<SpawnArgument>, kind: &'static str| {
        move |at, size| Operation::Spawn {
            path: path(at, size),
            kind: kind.to_owned(),
            argument: argument(size),
        }
    };
    let argument = |size| {
        let payload = echo(size, LARGE_PAYLOAD - 2_048).into();
        Some(SpawnArgument { type_name: "siege.Echo".to_owned(), payload })
    };
    let fast = || node::FAST.to_owned();
    vec![
        request("lookup", |_, _| Operation::Lookup { path: node::FAST.to_owned() }),
        request("lookup of nobody", |at, size| Operation::Lookup { path: path(at, size) }),
        request("spawn", spawn(|_| None, node::KIND)),
        request("spawn with argument", spawn(argument, node::KIND_WITH_ARGUMENT)),
        request("spawn of no kind", |at, size| Operation::Spawn {
            path: path(at, size),
            kind: name(at, size),
            argument: None,
        }),
        request("stop", |at, size| Operation::Stop { path: path(at, size), uid: None }),
        request("respawn", |at, size| Operation::Respawn { path: path(at, size), uid: None }),
        request("respawn of somebody", |_, _| Operation::Respawn {
            path: node::SILENT.to_owned(),
            uid: None,
        }),
        request("reinstate", move |_, _| Operation::Reinstate { path: fast(), uid: None }),
        request("watch", |at, _| Operation::Watch {
            path: node::FAST.to_owned(),
            uid: None,
            watch_id: at.n,
        }),
        request("watch of nobody", |at, size| Operation::Watch {
            path: path(at, size),
            uid: None,
            watch_id: at.n,
        }),
        phrase(FrameKind::Request, "watch and unwatch", |at, _| {
            let (path, watch_id) = (node::STUCK.to_owned(), at.n);
            let watch = Operation::Watch { path, uid: None, watch_id };
            let mut bytes = operation(2 * at.n, &watch);
            bytes.extend(operation(2 * at.n + 1, &Operation::Unwatch { watch_id }));
            bytes
        }),
        request("unwatch of nothing", |at, _| Operation::Unwatch { watch_id: at.n }),
        request("ping", |_, _| Operation::Ping),
        request("kinds", |_, _| Operation::Kinds),
    ]
}

fn request(manner: &str, make: impl Fn(At, Size) -> Operation + Send + Sync + 'static) -> Phrase {
    phrase(FrameKind::Request, manner, move |at, size| operation(at.n, &make(at, size)))
}

/// REQUEST without a time limit.
fn operation(corr: u64, operation: &Operation) -> Vec<u8> {
    let mut body = varints(&[corr, 0, 0]);
    put_operation(&mut body, operation);
    frame(FrameKind::Request, &body)
}

/// What is said before everything else: receivers and types get their numbers.
fn prelude() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (alias, path) in (0..).zip(RECEIVERS) {
        bytes.extend(define_receiver(alias, None, path));
    }
    for (alias, name) in (0..).zip(TYPES) {
        bytes.extend(define(FrameKind::Type, alias, name));
    }
    bytes
}

/// RESET and the prelude again, before every part with a number that is divisible by `period`, but the first.
fn renewed(at: At, period: u64, say: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if at.n > 0 && at.n.is_multiple_of(period) {
        bytes.extend(frame(FrameKind::Reset, &[]));
        bytes.extend(prelude());
    }
    bytes.extend(say());
    bytes
}

fn reset(at: At, size: Size) -> Vec<u8> {
    let mut bytes = frame(FrameKind::Reset, &[]);
    if !size.is_small() {
        for alias in 0..1_000 {
            let unique = at.unique * 1_000 + alias;
            bytes.extend(define_receiver(alias, None, &path(At { unique, ..at }, size)));
        }
    }
    bytes
}

/// A message with a payload. The numbers are given anew often enough for the credit to last.
fn message(kind: FrameKind, at: At, receiver: u64, type_id: u64, payload: &[u8]) -> Vec<u8> {
    let fields = [0, receiver as u8, 0, type_id as u8];
    with_number(kind, at, payload, &fields)
}

fn with_number(kind: FrameKind, at: At, payload: &[u8], fields: &[u8]) -> Vec<u8> {
    let period = if payload.len() > 1024 { 1 } else { MESSAGES };
    renewed(at, period, || numbered(kind, at, fields, payload))
}

fn numbered(kind: FrameKind, at: At, fields: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = number(kind, at.n);
    body.extend_from_slice(fields);
    body.extend_from_slice(payload);
    frame(kind, &body)
}

/// What the body of this kind begins with.
fn number(kind: FrameKind, corr: u64) -> Vec<u8> {
    match kind {
        FrameKind::Tell => Vec::new(),
        _ => varints(&[corr]),
    }
}

/// FIRST of a body whose payload has `len` bytes, with so many of them.
fn first(inner: FrameKind, at: At, stream: u64, receiver: u64, len: usize, here: usize) -> Vec<u8> {
    let mut fields = number(inner, at.n * STREAMS + stream);
    match inner {
        FrameKind::Tell | FrameKind::Confirm | FrameKind::Ask => {
            fields.extend([0, receiver as u8, 0, ECHO as u8]);
        }
        FrameKind::Reply => fields.push(0),
        // A request for a spawn, of which the argument is what is large.
        _ => {
            fields.extend([0, 0, 2]);
            put_string(&mut fields, &format!("chunked-{}-{stream}", at.unique));
            put_string(&mut fields, node::KIND_WITH_ARGUMENT);
            fields.push(1);
            put_string(&mut fields, "siege.Echo");
            put_varint(&mut fields, len as u64);
        }
    }
    let mut body = varints(&[stream]);
    body.push(inner.as_u8());
    put_varint(&mut body, (fields.len() + len) as u64);
    body.extend(fields);
    // A whole payload would be made for a few bytes of it.
    let mut payload = echo_head(len);
    payload.resize(here, 0);
    body.extend(payload);
    frame(FrameKind::First, &body)
}

fn more(stream: u64, len: usize) -> Vec<u8> {
    let mut body = varints(&[stream]);
    body.resize(body.len() + len, 0);
    frame(FrameKind::More, &body)
}

/// A whole body in chunks of `step` bytes.
fn in_chunks(inner: FrameKind, at: At, receiver: u64, len: usize, step: usize) -> Vec<u8> {
    let here = 8.min(len);
    let period = if len > 1024 { 1 } else { MESSAGES };
    renewed(at, period, || {
        let mut bytes = first(inner, at, 0, receiver, len, here);
        let mut left = len - here;
        while left > 0 {
            bytes.extend(more(0, left.min(step)));
            left -= left.min(step);
        }
        bytes
    })
}

/// An encoded [`node::Echo`].
fn echo(size: Size, large: usize) -> Vec<u8> {
    echo_of(size.of(64, large))
}

fn echo_of(len: usize) -> Vec<u8> {
    let mut bytes = echo_head(len);
    bytes.resize(len, 0);
    bytes
}

/// What one of so many bytes begins with.
fn echo_head(len: usize) -> Vec<u8> {
    let mut bytes = vec![0x0a];
    put_varint(&mut bytes, len.saturating_sub(5) as u64);
    bytes
}

/// An encoded [`node::Many`]: two bytes for each of its items. It takes long to be decoded, and the time is not
/// what is judged, so many of them are not too large.
fn many(size: Size) -> Vec<u8> {
    let items = if size == Size::Medium { 16 * 1024 } else { size.of(8, LARGE_PAYLOAD / 2) };
    [0x0a, 0].repeat(items)
}

/// A path that nobody has.
fn path(at: At, size: Size) -> String {
    if size.is_small() {
        return format!("p{:x}", at.unique);
    }
    // Four names of 255 bytes at most.
    let name = format!("{:0>255x}", at.unique);
    [&*name; 4].join("/")
}

fn address(at: At, size: Size) -> String {
    let system = "s".repeat(size.of(1, 255));
    format!("rakt://{system}@h{:x}:1/{}", at.unique, path(at, size))
}

/// The name of a type or a kind.
fn name(at: At, size: Size) -> String {
    format!("t{:0>width$x}", at.unique, width = size.of(1, 254))
}

/// A frame of any kind and body.
pub(crate) fn frame(kind: FrameKind, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(5 + body.len());
    frame.push(kind.as_u8());
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

fn varints(values: &[u64]) -> Vec<u8> {
    let mut body = Vec::new();
    values.iter().for_each(|value| put_varint(&mut body, *value));
    body
}

fn define_receiver(alias: u64, uid: Option<u64>, path: &str) -> Vec<u8> {
    let mut body = varints(&[alias, u64::from(uid.is_some())]);
    body.extend(uid.into_iter().flat_map(u64::to_be_bytes));
    put_string(&mut body, path);
    frame(FrameKind::Receiver, &body)
}

fn define(kind: FrameKind, alias: u64, name: &str) -> Vec<u8> {
    let mut body = varints(&[alias]);
    put_string(&mut body, name);
    frame(kind, &body)
}
