//! What is counted.

use rakt::remote::Compression;

use crate::{Result, actors, wire};

/// One way through the code.
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Messages of the shorter run; the longer one has twice as many.
    pub(crate) count: u64,
    /// Does the work for so many messages.
    pub(crate) run: fn(u64) -> Result,
}

/// Payloads are of 64 bytes.
pub(crate) static ALL: [Path; 20] = [
    Path {
        name: "wire-encode",
        about: "a tell into the outbound buffer, and out of it",
        count: 20_000,
        run: wire::encode,
    },
    Path {
        name: "wire-decode",
        about: "a tell out of the bytes that were read",
        count: 20_000,
        run: wire::decode,
    },
    Path {
        name: "link-tell",
        about: "a tell from the dialing session to the accepting one, credit included",
        count: 5_000,
        run: wire::link_tell,
    },
    Path {
        name: "link-ask",
        about: "an ask and its reply between the two sessions of a connection",
        count: 2_000,
        run: wire::link_ask,
    },
    Path {
        name: "codec",
        about: "the message as protobuf, written and read",
        count: 20_000,
        run: actors::codec,
    },
    Path {
        name: "local-tell",
        about: "a tell into a mailbox, and its handler",
        count: 20_000,
        run: actors::local_tell,
    },
    Path {
        name: "local-ask",
        about: "an ask and its reply in one process",
        count: 5_000,
        run: actors::local_ask,
    },
    Path {
        name: "channel-tell",
        about: "what a local tell is measured against: a task behind a channel of tokio",
        count: 20_000,
        run: actors::channel_tell,
    },
    Path {
        name: "channel-ask",
        about: "the same for a local ask: the channel, and a oneshot for the reply",
        count: 5_000,
        run: actors::channel_ask,
    },
    Path {
        name: "spawn",
        about: "an actor, up to where it rests",
        count: 2_000,
        run: actors::spawn,
    },
    Path {
        name: "grain-ask",
        about: "the same as local-ask, to a grain that lives",
        count: 5_000,
        run: actors::grain_ask,
    },
    Path {
        name: "grain-activate",
        about: "an ask that brings a grain to life, found by its key, and its reply",
        count: 2_000,
        run: actors::grain_activate,
    },
    Path {
        name: "remote-tell",
        about: "a tell from node to node, by batches, and its handler",
        count: 20_000,
        run: |count| actors::remote_tell(count, Compression::Zstd),
    },
    Path {
        name: "remote-tell-plain",
        about: "the same between nodes without compression",
        count: 20_000,
        run: |count| actors::remote_tell(count, Compression::None),
    },
    Path {
        name: "remote-tell-tls",
        about: "the same as remote-tell over mutual TLS",
        count: 20_000,
        run: actors::remote_tell_tls,
    },
    Path {
        name: "remote-fan",
        about: "the same as remote-tell from 20 tasks to 2,000 actors, each in its turn",
        count: 20_000,
        run: actors::remote_fan,
    },
    Path {
        name: "remote-ask",
        about: "an ask and its reply from node to node, one at a time",
        count: 2_000,
        run: actors::remote_ask,
    },
    Path {
        name: "remote-ask-tls",
        about: "the same as remote-ask over mutual TLS",
        count: 2_000,
        run: actors::remote_ask_tls,
    },
    Path {
        name: "remote-ask-64",
        about: "the same with 64 under way",
        count: 6_400,
        run: actors::remote_ask_64,
    },
    Path {
        name: "remote-grain-ask-64",
        about: "the same to a grain that lives on the other node of a cluster",
        count: 6_400,
        run: actors::remote_grain_ask_64,
    },
];

pub(crate) fn find(name: &str) -> Result<&'static Path> {
    ALL.iter()
        .find(|path| path.name == name)
        .ok_or_else(|| format!("there is no path {name:?}").into())
}
