use bytes::BytesMut;
use proptest::prelude::*;
use rakt_wire::native::{
    Feature, FrameKind, Handshake, HandshakeError, Hello, Lane, Limits, MAX_AUTH_LEN,
    MAX_FEATURE_LEN, MAX_FEATURES, MAX_HELLO_LEN, MAX_REASON_LEN, NO_TLS_HERE, RefuseReason,
    Session,
};
use rakt_wire::{Compression, DecodeError, put_bytes, put_string, put_varint};

fn hello(system: &str) -> Hello {
    let mut hello = Hello::new(system, [system.len() as u8; 16]);
    hello.advertised = Some(("127.0.0.1".into(), 3321));
    hello
}

type Ended = Result<Option<Session>, HandshakeError>;

/// Sends what `from` has to `to`, a few bytes at a time.
fn carry(from: &mut Handshake, to: &mut Handshake, cut: usize) -> Ended {
    let mut buf = BytesMut::new();
    let bytes = from.poll_transmit().unwrap_or_default();
    for piece in bytes.chunks(cut) {
        buf.extend_from_slice(piece);
        if let Some(session) = to.handle_bytes(&mut buf)? {
            return Ok(Some(session));
        }
    }
    Ok(None)
}

fn greet(dialer: Hello, acceptor: Hello) -> (Ended, Ended) {
    let (mut dialer, mut acceptor) = (Handshake::dial(dialer), Handshake::accept(acceptor));
    let at_acceptor = carry(&mut dialer, &mut acceptor, usize::MAX);
    let at_dialer = carry(&mut acceptor, &mut dialer, usize::MAX);
    (at_dialer, at_acceptor)
}

fn refused(reason: RefuseReason) -> Ended {
    Err(HandshakeError::RefusedByPeer(reason))
}

/// The preface of the dialer followed by a frame.
fn opening(kind: FrameKind, body: &[u8]) -> BytesMut {
    let bytes = [b"\xf7rakt\x0a\x01\x01", &super::frame(kind, body)[..]].concat();
    BytesMut::from(&bytes[..])
}

#[test]
fn both_sides_come_to_the_same_session() {
    let (mut ours, mut theirs) = (hello("near"), hello("far-away"));
    ours.limits.max_message_len = 5_000;
    theirs.limits.receiver_window = 6_000;
    let (near, far) = greet(ours.clone(), theirs.clone());
    let (near, far) = (near.unwrap().unwrap(), far.unwrap().unwrap());
    let lower = Limits { max_message_len: 5_000, receiver_window: 6_000, ..Limits::default() };
    assert_eq!((near.limits, far.limits), (lower, lower));
    assert_eq!((near.version, far.version), (1, 1));
    assert_eq!((near.peer, far.peer), (theirs, ours));
}

#[test]
fn the_dialers_first_wish_that_the_acceptor_offers_is_taken() {
    let available = |list: &[Compression]| -> Vec<_> {
        list.iter().copied().filter(|compression| compression.is_available()).collect()
    };
    let [_, gzip, zstd, brotli] = Compression::ALL;
    for (wishes, offers) in [
        (vec![brotli, zstd], vec![zstd, brotli]),
        (vec![gzip], vec![zstd]),
        (vec![], vec![zstd]),
        (vec![gzip, zstd, brotli], available(&[brotli, gzip])),
    ] {
        let expected = wishes
            .iter()
            .copied()
            .find(|wish| wish.is_available() && offers.contains(wish))
            .unwrap_or(Compression::None);
        let (mut ours, mut theirs) = (hello("a"), hello("b"));
        (ours.compressions, theirs.compressions) = (wishes, offers);
        let (near, far) = greet(ours, theirs);
        assert_eq!(near.unwrap().unwrap().compression, expected);
        assert_eq!(far.unwrap().unwrap().compression, expected);
    }
}

#[test]
fn an_unknown_feature_matters_only_when_it_is_required() {
    let feature = |required| vec![Feature { name: "time-travel".into(), required }];
    let with = |features| Hello { features, ..hello("a") };
    let (near, far) = greet(with(feature(false)), hello("b"));
    assert!(near.unwrap().unwrap().features.is_empty());
    assert!(far.unwrap().is_some());

    let (near, far) = greet(with(feature(true)), hello("b"));
    assert_eq!(near, refused(RefuseReason::UnknownRequiredFeature("time-travel".into())));
    assert_eq!(far, Err(HandshakeError::Feature("time-travel".into())));

    let (near, far) = greet(with(feature(true)), with(feature(false)));
    assert_eq!(near.unwrap().unwrap().features, ["time-travel"]);
    assert_eq!(far.unwrap().unwrap().features, ["time-travel"]);
}

#[test]
fn a_dialer_that_cannot_use_the_answer_says_so_on_the_open_link() {
    let features = vec![Feature { name: "time-travel".into(), required: true }];
    let mut dialer = Handshake::dial(hello("a"));
    let mut acceptor = Handshake::accept(Hello { features, ..hello("b") });
    carry(&mut dialer, &mut acceptor, 1).unwrap().expect("the acceptor is content");
    assert!(matches!(carry(&mut acceptor, &mut dialer, 1), Err(HandshakeError::Feature(_))));
    let last_words = dialer.poll_transmit().unwrap();
    assert_eq!(super::kinds(&last_words)[0].0, FrameKind::Close);
}

#[test]
fn no_common_version_is_told_to_both() {
    let mut dialer = Handshake::dial(hello("a"));
    let mut acceptor = Handshake::accept(hello("b"));
    let mut bytes = BytesMut::from(&dialer.poll_transmit().unwrap()[..]);
    (bytes[6], bytes[7]) = (2, 9);
    let error = acceptor.handle_bytes(&mut bytes).unwrap_err();
    assert_eq!(error, HandshakeError::Version { ours: (1, 1), theirs: (2, 9) });
    let reason = RefuseReason::IncompatibleVersion { ours: (1, 1), theirs: (2, 9) };
    assert_eq!(carry(&mut acceptor, &mut dialer, 3), refused(reason));
}

#[test]
fn a_dialer_of_a_newer_version_that_still_speaks_ours_is_welcome() {
    let mut dialer = Handshake::dial(hello("a"));
    let mut acceptor = Handshake::accept(hello("b"));
    let mut bytes = BytesMut::from(&dialer.poll_transmit().unwrap()[..]);
    bytes[7] = 9;
    assert_eq!(acceptor.handle_bytes(&mut bytes).unwrap().unwrap().version, 1);
}

#[test]
fn a_stranger_is_recognised_at_once_and_hears_nothing_but_that_there_is_no_tls() {
    for (first, name) in [
        (&b"GET / HTTP/1.1\r\n"[..], Some("HTTP")),
        (b"PRI * HTTP/2.0", Some("HTTP")),
        (b"SSH-2.0-OpenSSH_9.6", Some("SSH")),
        (b"\x16\x03\x01\x02\0\x01\0\x01", Some("TLS")),
        (b"\0\0\0\x40\0\0\0\x1c", Some("GoAkt")),
        (b"\x28\xb5\x2f\xfd", Some("GoAkt with zstd")),
        (b"\xf7ralph", None),
        (b"h", None),
    ] {
        let mut acceptor = Handshake::accept(hello("b"));
        let error = acceptor.handle_bytes(&mut BytesMut::from(first)).unwrap_err();
        let first = first[..first.len().min(8)].to_vec();
        assert_eq!(error, HandshakeError::NotRakt { first, looks_like: name });
        let heard = (name == Some("TLS")).then_some(&NO_TLS_HERE[..]);
        assert_eq!(acceptor.poll_transmit().as_deref(), heard);
    }
}

#[test]
fn a_refusal_waits_until_the_peer_has_shown_that_it_speaks_rakt() {
    let mut acceptor = Handshake::accept(hello("b"));
    acceptor.refuse(RefuseReason::TooManyConnections);
    assert_eq!(acceptor.poll_transmit(), None);
    let mut dialer = Handshake::dial(hello("a"));
    let error = carry(&mut dialer, &mut acceptor, 1).unwrap_err();
    assert_eq!(error, HandshakeError::Refused(RefuseReason::TooManyConnections));
    let told = carry(&mut acceptor, &mut dialer, 1);
    assert_eq!(told, refused(RefuseReason::TooManyConnections));
}

#[test]
fn the_check_sees_the_hello_and_its_refusal_reaches_the_peer() {
    let (mut dialer, mut acceptor) = (Handshake::dial(hello("a")), Handshake::accept(hello("b")));
    let mut bytes = BytesMut::from(&dialer.poll_transmit().unwrap()[..]);
    let denied = RefuseReason::Denied("unknown system".into());
    let result = acceptor.handle_bytes_with(&mut bytes, |peer| {
        assert_eq!(peer.system, "a");
        Err(denied.clone())
    });
    assert_eq!(result, Err(HandshakeError::Refused(denied.clone())));
    assert_eq!(carry(&mut acceptor, &mut dialer, 1), refused(denied));
}

#[test]
fn a_greeting_that_has_not_left_can_still_become_a_refusal() {
    let (mut dialer, mut acceptor) = (Handshake::dial(hello("a")), Handshake::accept(hello("b")));
    carry(&mut dialer, &mut acceptor, 1).unwrap().expect("a session");
    acceptor.refuse(RefuseReason::ShuttingDown);
    assert_eq!(carry(&mut acceptor, &mut dialer, 1), refused(RefuseReason::ShuttingDown));

    let (mut dialer, mut acceptor) = (Handshake::dial(hello("a")), Handshake::accept(hello("b")));
    carry(&mut dialer, &mut acceptor, 1).unwrap().expect("a session");
    acceptor.poll_transmit().expect("the greeting leaves");
    acceptor.refuse(RefuseReason::ShuttingDown);
    assert_eq!(acceptor.poll_transmit(), None);
}

#[test]
fn a_hello_of_more_than_4_kib_is_refused_by_its_header() {
    let claim = [b"\xf7rakt\x0a\x01\x01\x01", &(MAX_HELLO_LEN + 1).to_be_bytes()[..]].concat();
    let mut acceptor = Handshake::accept(hello("b"));
    let error = acceptor.handle_bytes(&mut BytesMut::from(&claim[..])).unwrap_err();
    assert_eq!(error, HandshakeError::TooLong { len: 4097, limit: 4096 });
    assert!(acceptor.poll_transmit().is_some(), "a peer that speaks rakt is told why");
}

#[test]
fn the_longest_hello_is_taken_and_one_byte_more_is_not() {
    // Filled up with a field of some newer peer.
    let body = |len: usize| {
        let mut body = Vec::new();
        hello("a").encode(&mut body);
        put_varint(&mut body, 99);
        let room = len - body.len() - 2;
        put_bytes(&mut body, &vec![0; room]);
        body
    };
    let limit = MAX_HELLO_LEN as usize;
    assert_eq!(body(limit).len(), limit);
    let mut acceptor = Handshake::accept(hello("b"));
    let taken = acceptor.handle_bytes(&mut opening(FrameKind::Hello, &body(limit)));
    assert_eq!(taken.unwrap().unwrap().peer.system, "a");
    let error = DecodeError::TooLarge { what: "hello", value: 4097, limit: 4096 };
    assert_eq!(Hello::decode(&body(limit + 1)), Err(error));
}

#[test]
fn a_long_reason_is_cut_where_it_is_written_and_refused_where_it_is_read() {
    let denied = |len: usize| RefuseReason::Denied("x".repeat(len));
    // By the acceptor, in a REFUSE.
    let (mut dialer, mut acceptor) = (Handshake::dial(hello("a")), Handshake::accept(hello("b")));
    acceptor.refuse(denied(MAX_REASON_LEN + 1));
    carry(&mut dialer, &mut acceptor, 1).unwrap_err();
    assert_eq!(carry(&mut acceptor, &mut dialer, 1), refused(denied(MAX_REASON_LEN)));
    // By the dialer, in a CLOSE.
    let (mut dialer, mut acceptor) = (Handshake::dial(hello("a")), Handshake::accept(hello("b")));
    carry(&mut dialer, &mut acceptor, 1).unwrap();
    let mut answer = BytesMut::from(&acceptor.poll_transmit().unwrap()[..]);
    dialer.handle_bytes_with(&mut answer, |_| Err(denied(MAX_REASON_LEN + 1))).unwrap_err();
    let last_words = dialer.poll_transmit().unwrap();
    // The code, the length in two bytes, the text.
    assert_eq!(super::kinds(&last_words), [(FrameKind::Close, MAX_REASON_LEN + 3)]);

    let body = |len: usize| {
        let mut body = b"\x04\0\0\0\0".to_vec();
        put_string(&mut body, &"x".repeat(len));
        body
    };
    assert!(RefuseReason::decode(&body(MAX_REASON_LEN)).is_ok());
    let error = DecodeError::TooLarge { what: "text", value: 1025, limit: 1024 };
    assert_eq!(RefuseReason::decode(&body(MAX_REASON_LEN + 1)), Err(error));
}

#[test]
fn nothing_but_a_hello_opens_a_link() {
    for kind in FrameKind::ALL.into_iter().filter(|kind| *kind != FrameKind::Hello) {
        let mut acceptor = Handshake::accept(hello("b"));
        let error = acceptor.handle_bytes(&mut opening(kind, b"")).unwrap_err();
        assert!(matches!(error, HandshakeError::Malformed(_)), "{kind}: {error}");
        let again = acceptor.handle_bytes(&mut opening(FrameKind::Hello, b""));
        assert!(again.is_err(), "a failed handshake stays failed");
    }
}

#[test]
fn bytes_after_the_handshake_are_left_alone() {
    let (mut dialer, mut acceptor) = (Handshake::dial(hello("a")), Handshake::accept(hello("b")));
    let mut bytes = BytesMut::from(&dialer.poll_transmit().unwrap()[..]);
    bytes.extend_from_slice(b"what comes next");
    assert!(acceptor.handle_bytes(&mut bytes).unwrap().is_some());
    assert_eq!(&bytes[..], b"what comes next");
}

#[test]
fn limits_below_the_minimum_are_refused() {
    type Field = fn(&mut Limits) -> &mut u32;
    let fields: [Field; 7] = [
        |limits| &mut limits.max_frame_len,
        |limits| &mut limits.max_message_len,
        |limits| &mut limits.receiver_window,
        |limits| &mut limits.max_receivers,
        |limits| &mut limits.max_senders,
        |limits| &mut limits.max_types,
        |limits| &mut limits.max_in_flight,
    ];
    for field in fields {
        let mut poor = hello("a");
        poor.limits = Limits::MIN;
        assert_eq!(poor.check(), Ok(()));
        *field(&mut poor.limits) -= 1;
        assert!(matches!(poor.check(), Err(DecodeError::Invalid { .. })));
        let (near, far) = greet(poor, hello("b"));
        assert!(matches!(far, Err(HandshakeError::Malformed(_))));
        let Err(HandshakeError::RefusedByPeer(refusal)) = near else { panic!("{near:?}") };
        assert!(matches!(refusal, RefuseReason::BadHello(_)));
    }
}

#[test]
fn the_lists_of_a_hello_are_bounded() {
    let with = |change: fn(&mut Hello)| {
        let mut hello = hello("a");
        change(&mut hello);
        hello.check()
    };
    fn features(count: usize, len: usize) -> Vec<Feature> {
        vec![Feature { name: "f".repeat(len), required: false }; count]
    }
    assert_eq!(with(|hello| hello.features = features(MAX_FEATURES, MAX_FEATURE_LEN)), Ok(()));
    assert!(with(|hello| hello.features = features(MAX_FEATURES + 1, 1)).is_err());
    assert!(with(|hello| hello.features = features(1, MAX_FEATURE_LEN + 1)).is_err());
    assert_eq!(with(|hello| hello.auth = vec![0; MAX_AUTH_LEN].into()), Ok(()));
    assert!(with(|hello| hello.auth = vec![0; MAX_AUTH_LEN + 1].into()).is_err());
    assert_eq!(with(|hello| hello.compressions = vec![Compression::Gzip; 16]), Ok(()));
    assert!(with(|hello| hello.compressions = vec![Compression::Gzip; 17]).is_err());
    assert!(with(|hello| hello.system = "s".repeat(256)).is_err());
    assert!(with(|hello| hello.advertised = Some(("no host".into(), 1))).is_err());
    assert_eq!(with(|hello| hello.advertised = Some(("h".repeat(255), 1))), Ok(()));
    let error = DecodeError::TooLarge { what: "host", value: 256, limit: 255 };
    assert_eq!(with(|hello| hello.advertised = Some(("h".repeat(256), 1))), Err(error));
}

#[test]
fn a_field_must_not_occur_twice_and_three_must_occur() {
    let mut body = Vec::new();
    hello("a").encode(&mut body);
    let twice = [&body[..], &[1, 1, b'a']].concat();
    assert_eq!(Hello::decode(&twice), Err(DecodeError::Occurrence { what: "system" }));
    assert_eq!(Hello::decode(&[]), Err(DecodeError::Occurrence { what: "system" }));
    assert_eq!(Hello::decode(&body[3..]), Err(DecodeError::Occurrence { what: "system" }));
}

#[test]
fn fields_of_newer_peers_are_passed_over() {
    let mut body = Vec::new();
    let hello = hello("a");
    hello.encode(&mut body);
    body.extend_from_slice(&[99, 3, 1, 2, 3]);
    assert_eq!(Hello::decode(&body), Ok(hello));
}

#[test]
fn secrets_do_not_show_in_debug() {
    let hello = Hello { auth: b"s3cret".to_vec().into(), ..hello("a") };
    let text = format!("{hello:?} {:?}", Handshake::dial(hello.clone()));
    assert!(!text.contains("s3cret") && !text.contains("115, 51"), "{text}");
}

fn any_hello() -> impl Strategy<Value = Hello> {
    let feature =
        ("[a-z]{0,64}", any::<bool>()).prop_map(|(name, required)| Feature { name, required });
    let limits = any::<[u32; 7]>().prop_map(|[a, b, c, d, e, f, g]| Limits {
        max_frame_len: a.max(Limits::MIN.max_frame_len),
        max_message_len: b.max(Limits::MIN.max_message_len),
        receiver_window: c.max(Limits::MIN.receiver_window),
        max_receivers: d.max(Limits::MIN.max_receivers),
        max_senders: e.max(Limits::MIN.max_senders),
        max_types: f.max(Limits::MIN.max_types),
        max_in_flight: g.max(Limits::MIN.max_in_flight),
    });
    let compression = proptest::sample::select(&Compression::ALL[..]);
    (
        ("[a-z][a-zA-Z0-9._-]{0,254}", any::<[u8; 16]>()),
        proptest::option::of(("[a-z0-9.]{1,60}", any::<u16>())),
        proptest::collection::vec(compression, 0..16),
        proptest::collection::vec(feature, 0..16),
        limits,
        (
            proptest::collection::vec(any::<u8>(), 0..1024),
            proptest::option::of(any::<([u8; 16], u64)>()),
        ),
    )
        .prop_map(|(who, advertised, compressions, features, limits, (auth, lane))| {
            let ((system, incarnation), auth) = (who, auth.into());
            let lane = lane.map(|(id, turn)| Lane { id, turn });
            Hello { system, incarnation, advertised, compressions, features, limits, auth, lane }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn hellos_read_back(hello in any_hello()) {
        let mut body = Vec::new();
        hello.encode(&mut body);
        prop_assert!(body.len() <= MAX_HELLO_LEN as usize);
        prop_assert_eq!(Hello::decode(&body), Ok(hello));
    }

    #[test]
    fn a_handshake_survives_any_cutting(cut in 1..64_usize) {
        let (mut dialer, mut acceptor) =
            (Handshake::dial(hello("a")), Handshake::accept(hello("b")));
        let far = carry(&mut dialer, &mut acceptor, cut).unwrap().unwrap();
        let near = carry(&mut acceptor, &mut dialer, cut).unwrap().unwrap();
        prop_assert_eq!(far.limits, near.limits);
    }

    #[test]
    fn refusals_read_back(code in 7_u8.., text in ".{0,100}") {
        for reason in [
            RefuseReason::IncompatibleVersion { ours: (1, 2), theirs: (3, code) },
            RefuseReason::UnknownRequiredFeature(text.clone()),
            RefuseReason::BadHello(text.clone()),
            RefuseReason::Denied(text.clone()),
            RefuseReason::TooManyConnections,
            RefuseReason::ShuttingDown,
            RefuseReason::Other { code, text: text.clone() },
        ] {
            let mut body = Vec::new();
            reason.encode(&mut body);
            prop_assert_eq!(RefuseReason::decode(&body), Ok(reason));
        }
    }
}
