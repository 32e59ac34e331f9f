//! What a node of GoAkt can say, procedure by procedure, in every compression.

use std::time::Duration;

use bytes::Bytes;
use rakt::Metadata;
use rakt_wire::Compression;
use rakt_wire::goakt::{Call, NO_SENDER, Outgoing, Payload, Procedure, proto};

use crate::node::{self, SYSTEM};
use crate::phrase::{At, Opening, Phrase, Size};

/// Bytes of a frame, with room for its names.
const FRAME: usize = 16 * 1024 * 1024;
const LARGE_PAYLOAD: usize = FRAME - 4 * 1024;
/// The longest request that starts something, with room for its names.
const SETUP: usize = 250 * 1024;
/// Messages in one request.
const BATCH: usize = 64;

/// Everything that can be said about a procedure to the node at `port`. A new procedure needs an arm here.
pub(crate) fn phrases(procedure: Procedure, compression: Compression, port: u16) -> Vec<Phrase> {
    let about = About { procedure, compression, port };
    match procedure {
        Procedure::Tell | Procedure::Ask => about.messages(),
        Procedure::Lookup => vec![about.target("", Call::Lookup)],
        Procedure::Respawn => vec![about.target("", Call::Respawn)],
        Procedure::Stop => vec![about.target("", Call::Stop)],
        Procedure::Reinstate => vec![about.target("", Call::Reinstate)],
        Procedure::Spawn => vec![
            about.spawn("", node::KIND, |_| Vec::new()),
            about.spawn("with argument", node::KIND_WITH_ARGUMENT, |size| {
                vec![dependency(size.of(64, SETUP))]
            }),
            about.spawn("with many dependencies", node::KIND_WITH_ARGUMENT, |size| {
                vec![proto::Dependency::default(); size.of(2, SETUP / 2)]
            }),
        ],
        Procedure::AskGrain | Procedure::TellGrain | Procedure::ActivateGrain => {
            vec![about.grain()]
        }
        Procedure::PersistPeerState => vec![about.phrase("", |_, size| {
            // An unknown field of bytes, which any reader passes over.
            let mut body = vec![0x7a];
            let len = size.of(64, LARGE_PAYLOAD);
            rakt_wire::put_varint(&mut body, len as u64);
            body.resize(body.len() + len, 0);
            Call::PersistPeerState(body.into())
        })],
        Procedure::GetNodeMetric => {
            vec![about.phrase("", move |_, _| Call::GetNodeMetric(about.node()))]
        }
        Procedure::GetKinds => vec![about.phrase("", move |_, _| Call::GetKinds(about.node()))],
    }
}

/// What all requests for a procedure have in common.
#[derive(Clone, Copy)]
struct About {
    procedure: Procedure,
    compression: Compression,
    port: u16,
}

impl About {
    fn phrase(
        self,
        manner: &str,
        make: impl Fn(At, Size) -> Call<'static> + Send + Sync + 'static,
    ) -> Phrase {
        self.raw(manner, move |at, size| encoded(&make(at, size)))
    }

    fn raw(
        self,
        manner: &str,
        say: impl Fn(At, Size) -> Vec<u8> + Send + Sync + 'static,
    ) -> Phrase {
        let kind = format!("{:?}", self.procedure);
        Phrase::new(kind, manner, Opening::GoAkt(self.compression), say)
    }

    fn target(self, manner: &str, make: fn(proto::Target) -> Call<'static>) -> Phrase {
        self.phrase(manner, move |at, size| {
            let host = "127.0.0.1".to_owned();
            make(proto::Target { host, port: self.port.into(), name: name(at, size) })
        })
    }

    fn spawn(
        self,
        manner: &str,
        kind: &'static str,
        dependencies: fn(Size) -> Vec<proto::Dependency>,
    ) -> Phrase {
        self.phrase(manner, move |at, size| {
            Call::Spawn(Box::new(proto::SpawnRequest {
                host: "127.0.0.1".to_owned(),
                port: self.port.into(),
                actor_name: name(at, size),
                actor_type: kind.to_lowercase(),
                dependencies: dependencies(size),
                ..Default::default()
            }))
        })
    }

    fn grain(self) -> Phrase {
        self.raw("", move |at, size| {
            let value = format!("kind/{}", name(at, size));
            let grain = Box::new(proto::Grain {
                grain_id: Some(proto::GrainId { value, ..Default::default() }),
                host: "127.0.0.1".to_owned(),
                port: self.port.into(),
                dependencies: vec![proto::Dependency::default(); size.of(1, SETUP / 2)],
                ..Default::default()
            });
            let bytes = vec![0; size.of(64, LARGE_PAYLOAD - SETUP)];
            let message = Payload { type_name: "siege.Echo", bytes: &bytes };
            let timeout = Duration::from_secs(60);
            encoded(&match self.procedure {
                Procedure::AskGrain => Call::AskGrain { grain, message, timeout },
                Procedure::TellGrain => Call::TellGrain { grain, message },
                _ => Call::ActivateGrain(grain),
            })
        })
    }

    /// Messages to every sort of actor.
    fn messages(self) -> Vec<Phrase> {
        let to = |manner, receiver: &'static str, type_name, body: fn(Size) -> Vec<u8>| {
            self.message(manner, receiver, type_name, move |_, size| (1, body(size)))
        };
        let large: fn(Size) -> Vec<u8> = |size| echo(size.of(64, LARGE_PAYLOAD));
        let mut phrases = vec![
            to("fast", node::FAST, "siege.Echo", large),
            to("slow", node::SLOW, "siege.Echo", large),
            to("stuck", node::STUCK, "siege.Echo", large),
            to("silent", node::SILENT, "siege.Echo", large),
            to("absent", "absent", "siege.Echo", large),
            to("unknown type", node::FAST, "siege.Unknown", large),
            to("decoded larger", node::STUCK, "siege.Many", |size| {
                // It takes long to be decoded, and the time is not what is judged.
                let medium = size == Size::Medium;
                [0x0a, 0].repeat(if medium { 16 * 1024 } else { size.of(8, LARGE_PAYLOAD / 2) })
            }),
            self.message("in batches", node::STUCK, "siege.Echo", |_, size| {
                (size.of(BATCH, BATCH * 512), echo(64))
            }),
            self.empty_messages(),
            self.headers(),
        ];
        if self.procedure == Procedure::Ask {
            phrases.push(to("large reply", node::FAST, "siege.Want", |size| {
                let mut want = vec![8];
                rakt_wire::put_varint(&mut want, size.of(1024, LARGE_PAYLOAD) as u64);
                want
            }));
        }
        phrases
    }

    fn message(
        self,
        manner: &str,
        receiver: &'static str,
        type_name: &'static str,
        make: impl Fn(At, Size) -> (usize, Vec<u8>) + Send + Sync + 'static,
    ) -> Phrase {
        let receiver = self.address(receiver);
        self.raw(manner, move |at, size| {
            let (count, bytes) = make(at, size);
            let sender = match size.is_small() {
                true => NO_SENDER.to_owned(),
                false => format!("goakt://{}@h{:x}:1/x", "s".repeat(255), at.unique),
            };
            let payload = Payload { type_name, bytes: &bytes };
            let message = Outgoing { sender: &sender, receiver: &receiver, payload };
            self.call(&vec![message; count])
        })
    }

    /// A list whose elements take two bytes each.
    fn empty_messages(self) -> Phrase {
        let procedure = self.procedure;
        self.raw("of nothing", move |_, size| {
            let body = [0x0a, 0].repeat(size.of(64, LARGE_PAYLOAD / 2));
            plain_frame(procedure.request_name(), &body)
        })
    }

    /// As many headers as there may be, with their largest values.
    fn headers(self) -> Phrase {
        let receiver = self.address(node::STUCK);
        self.raw("headers", move |_, size| {
            let mut headers = Metadata::new();
            let (pairs, len) = if size.is_small() { (64, 16) } else { (60, 200) };
            for n in 0..pairs {
                // What does not fit is left out.
                let _ = headers.insert(format!("k{n}"), "v".repeat(len));
            }
            let bytes = echo(64);
            let payload = Payload { type_name: "siege.Echo", bytes: &bytes };
            let message = Outgoing { sender: NO_SENDER, receiver: &receiver, payload };
            let mut out = Vec::new();
            let call = self.call_of(std::slice::from_ref(&message));
            // A call within the limits can be encoded.
            let _ = call.encode(&mut out, &headers, None, FRAME);
            out
        })
    }

    fn call(self, messages: &[Outgoing<'_>]) -> Vec<u8> {
        encoded(&self.call_of(messages))
    }

    fn call_of<'a>(self, messages: &'a [Outgoing<'a>]) -> Call<'a> {
        match self.procedure {
            Procedure::Ask => Call::Ask { messages, timeout: Duration::from_secs(60) },
            _ => Call::Tell(messages),
        }
    }

    fn address(self, path: &str) -> String {
        format!("goakt://{SYSTEM}@127.0.0.1:{}/{path}", self.port)
    }

    fn node(self) -> proto::NodeRequest {
        proto::NodeRequest { node_address: format!("127.0.0.1:{}", self.port) }
    }
}

fn encoded(call: &Call<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    // What is longer than a frame may be is left out.
    let _ = call.encode(&mut out, &Metadata::new(), None, FRAME);
    out
}

/// A frame in the form without metadata.
fn plain_frame(name: &str, body: &[u8]) -> Vec<u8> {
    let len = 8 + name.len() + body.len();
    let mut frame = (len as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&(name.len() as u32).to_be_bytes());
    frame.extend_from_slice(name.as_bytes());
    frame.extend_from_slice(body);
    frame
}

fn dependency(len: usize) -> proto::Dependency {
    let bytea = Bytes::from(echo(len));
    proto::Dependency { id: "argument".to_owned(), type_name: "siege.Echo".to_owned(), bytea }
}

/// An encoded [`node::Echo`].
fn echo(len: usize) -> Vec<u8> {
    let mut bytes = vec![0x0a];
    rakt_wire::put_varint(&mut bytes, len.saturating_sub(5) as u64);
    let left = len.saturating_sub(5);
    bytes.resize(bytes.len() + left, 0);
    bytes
}

/// The name of an actor that nobody has.
fn name(at: At, size: Size) -> String {
    format!("p{:0>width$x}", at.unique, width = size.of(1, 254))
}
