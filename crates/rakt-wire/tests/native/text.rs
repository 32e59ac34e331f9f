//! Text of peers: names hold no control characters, and what is shown of all other text is harmless.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;
use rakt_wire::native::{
    Feature, FrameKind, Handshake, HandshakeError, Hello, Inbound, Limits, LinkError, RefuseReason,
    Role, put_operation, read_failure, read_operation, read_terminated,
};
use rakt_wire::{
    Address, Bound, Cause, Chain, Code, DecodeError, Failure, MAX_SHOWN_LEN, Operation, OtherBound,
    Reader, SpawnArgument, Terminated, controls_at, put_string, validate_name, validate_text,
};

use super::{On, frame};

/// A name with a character in it that clears a screen, breaks a line, turns text around, or is not seen.
const NAMES: [&str; 8] = [
    "a\x1b[2J",
    "a\nb",
    "a\u{9b}b",
    "a\u{202e}b",
    "a\u{2066}",
    "\u{200b}",
    "a\u{2028}b",
    "a\u{61c}",
];

#[test]
fn a_definition_with_a_control_character_is_malformed() {
    for name in NAMES {
        for (kind, head) in [
            (FrameKind::Receiver, &b"\0\0"[..]),
            (FrameKind::Sender, b"\0"),
            (FrameKind::Type, b"\0"),
        ] {
            let mut body = head.to_vec();
            put_string(&mut body, name);
            let bytes = frame(kind, &body);
            let mut sink = On::new(&bytes, |event| panic!("{event:?}"));
            let result = Inbound::new(Role::Acceptor, Limits::MIN).handle_bytes(&bytes, &mut sink);
            let Err(LinkError::Malformed { source, .. }) = result else { panic!("{result:?}") };
            assert!(matches!(source, DecodeError::Control { .. }), "{source}");
            assert!(source.to_string().contains("may hold no control character"), "{source}");
        }
    }
}

#[test]
fn an_operation_with_a_control_character_is_malformed_and_known_before_it_is_sent() {
    for name in NAMES.map(str::to_owned) {
        let spawn = |path: &str, kind: &str, type_name: &str| Operation::Spawn {
            path: path.to_owned(),
            kind: kind.to_owned(),
            argument: Some(SpawnArgument {
                type_name: type_name.to_owned(),
                payload: Default::default(),
            }),
        };
        for operation in [
            Operation::Lookup { path: name.clone() },
            Operation::Stop { path: name.clone(), uid: None },
            Operation::Respawn { path: name.clone(), uid: Some(1) },
            Operation::Reinstate { path: name.clone(), uid: None },
            Operation::Watch { path: name.clone(), uid: None, watch_id: 1 },
            spawn(&name, "k", "t"),
            spawn("p", &name, "t"),
            spawn("p", "k", &name),
        ] {
            let mut bytes = Vec::new();
            put_operation(&mut bytes, &operation);
            let read = read_operation(&mut Reader::new(&bytes));
            assert!(matches!(read, Err(DecodeError::Control { .. })), "{read:?}");
            assert!(operation.check_names().is_err(), "{operation:?}");
        }
    }
    assert_eq!(Operation::Lookup { path: "größe/ü".to_owned() }.check_names(), Ok(()));
}

/// The texts that peers send are as hostile as this.
fn any_text() -> impl Strategy<Value = String> {
    let control = prop::sample::select(&NAMES[..]).prop_map(str::to_owned);
    prop_oneof![any::<String>(), control, "(?s).{0,1100}", "[\\x00-\\x1f\\x7f-\\u{9f}]{0,900}"]
}

fn is_harmless(shown: &str) {
    assert_eq!(controls_at(shown), None, "{shown:?}");
}

/// Neither the text of an error nor that of any of its causes holds a control character.
fn tells_no_harm(error: &(dyn Error + 'static)) {
    let mut next = Some(error);
    while let Some(link) = next {
        is_harmless(&link.to_string());
        next = link.source();
    }
    let chain = Chain(error).to_string();
    is_harmless(&chain);
    assert!(chain.len() <= MAX_SHOWN_LEN, "{}", chain.len());
}

proptest! {
    #[test]
    fn no_error_that_came_from_a_peer_shows_a_control_character(
        text in any_text(),
        code in prop::sample::select(&Code::ALL[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let failure = Failure { size: 99, ..Failure::with_detail(code, text.clone()) };
        tells_no_harm(&failure);
        tells_no_harm(&failure.cause());
        is_harmless(&failure.into_bound().to_string());
        let other = OtherBound { number: 99, name: text.clone() };
        is_harmless(&Bound::Other(Box::new(other)).to_string());
        is_harmless(&Terminated::Failed(Cause::from_lines(&text)).to_string());
        for reason in [
            RefuseReason::UnknownRequiredFeature(text.clone()),
            RefuseReason::BadHello(text.clone()),
            RefuseReason::Denied(text.clone()),
            RefuseReason::Other { code: 99, text: text.clone() },
        ] {
            tells_no_harm(&reason);
            tells_no_harm(&HandshakeError::RefusedByPeer(reason));
        }
        tells_no_harm(&HandshakeError::Feature(text.clone()));
        for error in [
            text.parse::<Address>().map(drop),
            format!("rakt://{text}@h:1/a").parse::<Address>().map(drop),
            validate_name(&text),
            validate_text("kind", &text),
        ] {
            let _ = error.inspect_err(|error| tells_no_harm(error));
        }
        // Whatever else can be read from bytes.
        let _ = read_operation(&mut Reader::new(&bytes)).inspect_err(|error| tells_no_harm(error));
        let _ = read_failure(&mut Reader::new(&bytes)).inspect(|failure| tells_no_harm(failure));
        let _ = read_terminated(&mut Reader::new(&bytes)).inspect(|end| is_harmless(&end.to_string()));
        for mut side in [Handshake::accept(Hello::new("a", [0; 16])), Handshake::dial(Hello::new("a", [0; 16]))] {
            let mut read = BytesMut::from(&b"\xf7rakt\n\x01\x01\x02"[..]);
            read.put_u32(bytes.len() as u32);
            read.put_slice(&bytes);
            let _ = side.handle_bytes(&mut read).inspect_err(|error| tells_no_harm(error));
        }
    }

    #[test]
    fn the_wire_keeps_the_text_of_a_cause_as_it_is(texts in prop::collection::vec(any_text(), 1..4)) {
        #[derive(Debug)]
        struct Link(String, Option<Box<Link>>);
        impl std::fmt::Display for Link {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Error for Link {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.1.as_deref().map(|source| source as _)
            }
        }
        // On the wire a cause that begins with a tab goes on with the one before.
        prop_assume!(!texts.iter().any(|text| text.starts_with('\t')));
        let own = texts.into_iter().rev().fold(None, |below, text| Some(Box::new(Link(text, below))));
        let own = Cause::new(*own.expect("one at least"));
        let sent = Failure::with_cause(Code::HandlerFailed, &own);
        prop_assert_eq!(sent.cause(), own);
        prop_assert_eq!(Failure::with_cause(Code::HandlerFailed, &sent.cause()), sent);
    }
}

#[test]
fn a_name_of_a_hello_holds_no_control_character() {
    for name in NAMES {
        let system = Hello::new(name, [0; 16]);
        assert!(system.check().is_err(), "{name:?}");
        let mut hello = Hello::new("a", [0; 16]);
        hello.features.push(Feature { name: name.to_owned(), required: false });
        assert!(matches!(hello.check(), Err(DecodeError::Control { .. })), "{name:?}");
    }
}
