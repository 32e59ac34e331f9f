//! Runs the seed corpus of every fuzz target on stable, so that what a fuzzer once found stays fixed; and
//! random bytes, which reach less.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "the seeds are files, and a test tells which it reads"
)]

#[expect(unreachable_pub, reason = "for fuzz/, which includes the file too")]
#[path = "../fuzz/mod.rs"]
mod fuzz;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use rakt_wire::native::{
    Feature, FrameKind, Handshake, Head, Hello, Limits, MAGIC, MessageKind, Outbound, Payload,
    Role, put_failure, put_operation, put_outcome, put_terminated,
};
use rakt_wire::{
    Address, Code, Compression, Compressor, Dialect, Failure, Metadata, Operation, Outcome,
    SpawnArgument, Terminated, put_string, put_varint,
};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

#[test]
fn every_seed_passes() {
    for (target, run) in fuzz::TARGETS {
        let folder = corpus().join(target);
        let mut count = 0;
        for entry in fs::read_dir(&folder).expect("every target has a corpus") {
            let path = entry.expect("the folder can be read").path();
            let data = fs::read(&path).expect("the seed can be read");
            // Shown only when the target panics.
            println!("{}", path.display());
            run(&data);
            count += 1;
        }
        assert!(count >= 3, "{target} has {count} seeds");
    }
}

#[test]
fn seeds_of_every_length_pass() {
    // Cut seeds are the cheapest way to reach "not enough bytes yet" everywhere.
    for (target, run) in fuzz::TARGETS.iter().filter(|(target, _)| *target != "sessions") {
        for entry in fs::read_dir(corpus().join(target)).expect("every target has a corpus") {
            let data = fs::read(entry.expect("the folder can be read").path()).expect("a seed");
            for len in 0..data.len().min(300) {
                run(&data[..len]);
            }
        }
    }
}

proptest! {
    #[test]
    fn random_frames_do_no_harm(
        setup: u8,
        frames in vec((any::<u8>(), vec(any::<u8>(), 0..40)), 0..12),
    ) {
        let mut bytes = vec![setup];
        for (kind, body) in frames {
            // Mostly kinds that exist.
            let kinds = FrameKind::ALL;
            let kind = kinds.get(usize::from(kind % 32)).map_or(kind, |kind| kind.as_u8());
            bytes.push(kind);
            bytes.extend((body.len() as u32).to_be_bytes());
            bytes.extend(body);
        }
        fuzz::inbound(&bytes);
    }

    #[test]
    fn random_fields_do_no_harm(bytes in vec(any::<u8>(), 0..100)) {
        fuzz::operations(&bytes);
        fuzz::metadata(&bytes);
        fuzz::address(&bytes);
    }

    #[test]
    fn random_greetings_do_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        fuzz::hello(&bytes);
        let header = [1, 1, FrameKind::Hello.as_u8(), 0, 0, 0, bytes.len() as u8];
        let greeting = [&MAGIC[..], &header, &bytes].concat();
        fuzz::hello(&greeting);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_of_two_sides_ends_well(history in vec(any::<u8>(), 0..600)) {
        fuzz::sessions(&history);
    }

    /// With as many steps as a history may have, and nothing that ends it early.
    #[test]
    fn long_histories_end_well(
        setup: u8,
        steps in vec((0..18_u8, any::<u8>()), 300..600),
    ) {
        let mut history = vec![setup];
        history.extend(steps.iter().flat_map(|(what, argument)| [*what, *argument]));
        fuzz::sessions(&history);
    }
}

/// Writes the seeds anew: `cargo test -p rakt-wire --all-features --test corpus -- --ignored`.
#[test]
#[ignore = "writes to the source tree"]
fn write_seeds() {
    for (target, seeds) in seeds() {
        let folder = corpus().join(target);
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (name, bytes) in seeds {
            fs::write(folder.join(name), bytes).expect("the seed can be written");
        }
    }
}

#[cfg(feature = "goakt")]
mod goakt;

type Seeds = Vec<(String, Vec<u8>)>;

fn named<const N: usize>(seeds: [(&str, Vec<u8>); N]) -> Seeds {
    seeds.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

fn seeds() -> Vec<(&'static str, Seeds)> {
    let mut all = vec![
        ("address", address_seeds()),
        ("metadata", metadata_seeds()),
        ("operations", operation_seeds()),
        ("hello", hello_seeds()),
        ("inbound", inbound_seeds()),
        ("sessions", sessions_seeds()),
    ];
    #[cfg(feature = "goakt")]
    all.extend(goakt::seeds());
    for (target, compression) in
        [("zstd", Compression::Zstd), ("gzip", Compression::Gzip), ("brotli", Compression::Brotli)]
    {
        all.push((target, compressed_seeds(compression)));
    }
    all
}

fn address_seeds() -> Seeds {
    let address = Address::new("orders/42", "shop", "127.0.0.1", 3321).expect("it is valid");
    named([
        ("rakt", address.to_string().into_bytes()),
        ("goakt", address.with_dialect(Dialect::GoAkt).to_string().into_bytes()),
        ("ipv6", b"rakt://s@[fe80::1%eth0]:65535/a.b-c_d".to_vec()),
        ("no-port", b"rakt://s@h/a".to_vec()),
    ])
}

fn metadata() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.append("traceparent", "00-0af7651916cd43dd8448eb211c80319c-01").expect("it fits");
    metadata.append("tenant", "ä").expect("it fits");
    metadata
}

fn metadata_seeds() -> Seeds {
    let mut bytes = Vec::new();
    metadata().encode(&mut bytes);
    named([("empty", vec![0]), ("two-pairs", bytes), ("lying-count", vec![64, 1, b'a'])])
}

fn operation_seeds() -> Seeds {
    let path = || "orders/42".to_owned();
    let operation_list = [
        Operation::Lookup { path: path() },
        Operation::Spawn { path: path(), kind: "Order".into(), argument: None },
        Operation::Spawn {
            path: path(),
            kind: "Order".into(),
            argument: Some(SpawnArgument {
                type_name: "shop.Start".into(),
                payload: b"\x08\x01".to_vec().into(),
            }),
        },
        Operation::Stop { path: path(), uid: Some(7) },
        Operation::Watch { path: path(), uid: None, watch_id: 300 },
        Operation::Unwatch { watch_id: 300 },
        Operation::Ping,
        Operation::Kinds,
    ];
    let mut seeds = Seeds::new();
    for (n, operation) in operation_list.iter().enumerate() {
        let mut bytes = vec![0];
        put_operation(&mut bytes, operation);
        seeds.push((format!("operation-{n}"), bytes));
    }
    let outcomes = [
        Outcome::Found { uid: 1, kind: "Order".into() },
        Outcome::Done,
        Outcome::Kinds(vec!["Order".into(), "Cart".into()]),
    ];
    for (n, outcome) in outcomes.iter().enumerate() {
        let mut bytes = vec![1];
        put_outcome(&mut bytes, outcome);
        seeds.push((format!("outcome-{n}"), bytes));
    }
    let mut failure = vec![2];
    put_failure(&mut failure, &Failure::with_detail(Code::Denied, "spawn"));
    let mut terminated = vec![3];
    put_terminated(&mut terminated, &Terminated::Failed("bug".into()));
    seeds.extend(named([("failure", failure), ("terminated", terminated)]));
    seeds
}

fn hello_seeds() -> Seeds {
    let mut hello = Hello::new("shop", *b"0123456789abcdef");
    hello.advertised = Some(("127.0.0.1".into(), 3321));
    hello.compressions = vec![Compression::Zstd, Compression::Gzip];
    hello.auth = b"token".to_vec().into();
    let mut body = Vec::new();
    hello.encode(&mut body);
    let greeting = |hello| Handshake::dial(hello).poll_transmit().expect("a greeting").to_vec();
    let mut required = hello.clone();
    required.features = vec![Feature { name: "time-travel".into(), required: true }];
    let mut future = greeting(hello.clone());
    future[6] = 9;
    future[7] = 9;
    named([
        ("body", body),
        ("greeting", greeting(hello)),
        ("required-feature", greeting(required)),
        ("future-version", future),
        ("http", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("tls", b"\x16\x03\x01\x02\0\x01\0".to_vec()),
    ])
}

fn inbound_seeds() -> Seeds {
    let mut dialer = Outbound::new(Role::Dialer, Limits::default());
    let receiver = dialer.receiver("orders/42", Some(7)).id;
    let sender = dialer.sender("rakt://shop@127.0.0.1:3321/clerk").id;
    let type_id = dialer.message_type("shop.Order").id;
    let metadata = metadata();
    let kinds =
        [MessageKind::Tell, MessageKind::Confirm { corr: 1 }, MessageKind::Ask { corr: 300 }];
    for kind in kinds {
        let head = Head {
            receiver,
            sender: Some(sender),
            type_id,
            remaining: Some(std::time::Duration::from_secs(5)),
            metadata: Some(&metadata),
        };
        dialer.message(kind, &head, Payload::Encode(&&b"payload"[..])).expect("it fits");
    }
    dialer.request(2, None, Some(&metadata), &Operation::Kinds).expect("it fits");
    dialer.cancel(300);
    dialer.ping(9);
    // Setup byte: acceptor, no prelude, whole pieces.
    let mut from_dialer = vec![0x02 | 0xa0];
    dialer.poll_transmit(&mut from_dialer);

    let mut acceptor = Outbound::new(Role::Acceptor, Limits::default());
    acceptor.reply(1, Payload::Encode(&&b"reply"[..])).expect("it fits");
    acceptor.fail(300, &Failure::too_large(9, 8));
    acceptor.nack(0, None, 0, 0, &Failure::new(Code::MailboxFull));
    acceptor.respond(2, &Outcome::Spawned { uid: 3 });
    acceptor.terminated(5, &Terminated::NodeLost);
    acceptor.grant(0, 0, 1 << 20);
    acceptor.goaway(rakt_wire::native::CloseCode::ShuttingDown, "bye");
    let mut from_acceptor = vec![0x01 | 0x1c];
    acceptor.poll_transmit(&mut from_acceptor);

    let mut small_chunks = vec![0];
    for (kind, body) in
        [(0x28, chunk(1, Some((0x20, 10)), b"\0\0\0\0ab")), (0x29, chunk(1, None, b"cdef"))]
    {
        small_chunks.push(kind);
        small_chunks.extend(u32::try_from(body.len()).expect("it is short").to_be_bytes());
        small_chunks.extend(body);
    }
    let mut aborted = small_chunks.clone();
    aborted.truncate(aborted.len() - 10);
    aborted.extend([0x2a, 0, 0, 0, 1, 1]);
    named([
        ("from-dialer", from_dialer),
        ("from-acceptor", from_acceptor),
        ("chunks", small_chunks),
        ("aborted", aborted),
        ("too-long", vec![0, 0x20, 0xff, 0xff, 0xff, 0xff]),
    ])
}

fn chunk(stream: u64, first: Option<(u8, u64)>, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_varint(&mut body, stream);
    if let Some((inner, total)) = first {
        body.push(inner);
        put_varint(&mut body, total);
    }
    body.extend(bytes);
    body
}

/// What a step is: `tests/fuzz/sessions.rs`, `Pair::step`.
fn sessions_seeds() -> Seeds {
    let history = |setup: u8, steps: &[[u8; 2]]| [&[setup], steps.as_flattened()].concat();
    let every: Vec<_> = (0..240).map(|n: u8| [n % 19, n.wrapping_mul(37)]).collect();
    let refused_after_reset = [[3, 55], [0, 45], [2, 90], [7, 83], [3, 202], [4, 209]];
    let mut operation_overtakes_cancel = vec![[6, 208]];
    operation_overtakes_cancel.extend([[10, 255]; 8]);
    operation_overtakes_cancel.extend([
        [9, 85],
        [9, 66],
        [4, 3],
        [11, 255],
        [8, 3],
        [9, 74],
        [11, 255],
    ]);
    named([
        ("every-step", history(0, &every)),
        ("every-step-default-limits", history(7, &every)),
        ("large-then-small", history(1, &[[6, 0xf0], [0, 0xf0], [10, 255], [7, 0xf8], [8, 0]])),
        ("many-receivers", history(0, &[0, 1, 2, 3, 4, 5, 6].map(|n| [0, n]))),
        ("cancel-half-sent", history(1, &[[7, 0xf8], [10, 255], [8, 0], [0, 0xf8]])),
        ("cut-half-sent", history(1, &[[7, 0xf8], [4, 1], [10, 255], [19, 0]])),
        ("refused-after-reset", history(0, &refused_after_reset)),
        ("operation-overtakes-cancel", history(13, &operation_overtakes_cancel)),
    ])
}

fn compressed_seeds(compression: Compression) -> Seeds {
    let mut seeds = Seeds::new();
    let mut text = Vec::new();
    put_string(&mut text, &"rakt carries messages between actors. ".repeat(20));
    let mut compressor = Compressor::new(compression).expect("run with --all-features");
    for (name, input) in [("text", text), ("zeros", vec![0; 70_000])] {
        let mut packed = Vec::new();
        assert!(compressor.compress(&input, &mut packed).expect("it compresses"));
        for (suffix, raw_len) in [("", input.len()), ("-lying", input.len() * 2)] {
            let mut seed = u32::try_from(raw_len).expect("it is short").to_be_bytes()[1..].to_vec();
            seed.extend(&packed);
            seeds.push((format!("{name}{suffix}"), seed));
        }
    }
    seeds
}
