//! Bytes that nodes of GoAkt v3.14.0 were seen to send, read and written anew.

use std::time::Duration;

use rakt_wire::goakt::{
    Answer, Call, Deadline, ErrorCode, Frame, FrameError, GoError, Outgoing, Payload, Procedure,
    Request, Response, Section, SectionError, ServerError, SystemMessage, proto,
};
use rakt_wire::{Compression, Metadata};

use super::*;

const LOOKUP: &str = "00000048 0000001e 0000000a
    696e7465726e616c70622e52656d6f74654c6f6f6b757052657175657374 0000 0000000000000000
    0a093132372e302e302e311085201a046563686f";
const INVALID_HOST: &str = "00000028 00000010 696e7465726e616c70622e4572726f72
    0803120c696e76616c696420686f7374";
const PLAIN_LOOKUP: &str = "0000003a 0000001e
    696e7465726e616c70622e52656d6f74654c6f6f6b757052657175657374
    0a093132372e302e302e3110a11f1a046563686f";
const LOOKUP_RESPONSE: &str = "00000048 0000001f
    696e7465726e616c70622e52656d6f74654c6f6f6b7570526573706f6e7365
    0a1f676f616b743a2f2f737973403132372e302e302e313a343030312f6563686f";
const TELL: &str = "0000008f 0000001c 0000000a
    696e7465726e616c70622e52656d6f746554656c6c52657175657374 0000 0000000000000000
    0a5b0a0c676f616b743a2f2f403a302f121f676f616b743a2f2f737973403132372e302e302e313a343030312f6563
    686f1a2a0a22747970652e676f6f676c65617069732e636f6d2f7465737470622e546573744c6f6712040a026869";
const TELL_RESPONSE: &str = "00000025 0000001d
    696e7465726e616c70622e52656d6f746554656c6c526573706f6e7365";
const ASK: &str = "000000a4 0000001b 0000001b
    696e7465726e616c70622e52656d6f746541736b52657175657374
    0001 000a582d54726163652d4964 0003616263 38eecfcf5e01cd15
    0a560a0c676f616b743a2f2f403a302f121f676f616b743a2f2f737973403132372e302e302e313a343030312f6563
    686f1a250a23747970652e676f6f676c65617069732e636f6d2f7465737470622e5465737450696e67
    120808011080cab5ee01";
const ASK_RESPONSE: &str = "0000004b 0000001c
    696e7465726e616c70622e52656d6f746541736b526573706f6e7365
    0a250a23747970652e676f6f676c65617069732e636f6d2f7465737470622e54657374506f6e67";
const ASYNC_REPLY: &str = "000000d8 0000001c 0000000a
    696e7465726e616c70622e52656d6f746554656c6c52657175657374 0000 0000000000000000
    0aa3010a21676f616b743a2f2f737973403132372e302e302e313a343030312f706172656e74
    1221676f616b743a2f2f70656572403132372e302e302e313a343737372f61736b6572
    1a5b0a2c747970652e676f6f676c65617069732e636f6d2f696e7465726e616c70622e4173796e63526573706f6e7365
    122b0a02633112250a23747970652e676f6f676c65617069732e636f6d2f7465737470622e54657374506f6e67";

/// Sends a call the way a Go client would, and reads it the way a Go server would.
fn assert_request(
    vector: &str,
    call: &Call<'_>,
    headers: &Metadata,
    deadline: Option<Deadline>,
) -> Incoming {
    let vector = hex(vector);
    let mut out = Vec::new();
    call.encode(&mut out, headers, deadline, MAX).expect("it fits");
    assert_eq!(out, vector);
    let mut list = requests(&mut server(), &vector).expect("Go wrote it");
    assert_eq!(list.len(), 1);
    let incoming = list.pop().expect("there is one");
    assert_eq!(incoming.deadline, deadline);
    assert_eq!(incoming.request.procedure(), call.procedure());
    incoming
}

fn target(port: i32) -> proto::Target {
    proto::Target { host: "127.0.0.1".into(), port, name: "echo".into() }
}

/// Answers a request and reads the answer.
fn assert_response(
    request: &str,
    vector: &str,
    response: &Response<'_>,
    call: &Call<'_>,
) -> Answer {
    let mut server = server();
    let list = requests(&mut server, &hex(request)).expect("Go wrote it");
    server.respond(list[0].id, response).expect("it waits");
    assert_eq!(transmitted(&mut server), hex(vector));

    let mut client = client(Compression::None);
    client.send(call, &Metadata::new(), None, start()).expect("it fits");
    client.poll_transmit(start(), &mut Vec::new()).expect("there is memory");
    let (id, answer) = client
        .poll_answer(&mut BytesMut::from(&hex(vector)[..]))
        .expect("Go wrote it")
        .expect("it is whole");
    assert_eq!(id, 0);
    answer.expect("it has one")
}

#[test]
fn a_lookup_and_its_refusal() {
    let call = Call::Lookup(target(4101));
    let incoming = assert_request(LOOKUP, &call, &Metadata::new(), None);
    assert_eq!(incoming.request, Request::Lookup(target(4101)));
    let response = Response::Error(GoError::invalid_host());
    let answer = assert_response(LOOKUP, INVALID_HOST, &response, &call);
    assert_eq!(answer, Answer::Error(GoError::new(ErrorCode::InvalidArgument, "invalid host")));
}

#[test]
fn a_lookup_in_the_plain_form_and_its_address() {
    let list = requests(&mut server(), &hex(PLAIN_LOOKUP)).unwrap();
    assert_eq!(list[0].request, Request::Lookup(target(4001)));
    let call = Call::Lookup(target(4001));
    let answer = assert_response(PLAIN_LOOKUP, LOOKUP_RESPONSE, &Response::Address(ECHO), &call);
    assert_eq!(answer, Answer::Address(ECHO.into()));
}

#[test]
fn a_tell_and_its_empty_response() {
    let messages = [outgoing("testpb.TestLog", b"\x0a\x02hi")];
    let call = Call::Tell(&messages);
    let incoming = assert_request(TELL, &call, &Metadata::new(), None);
    let Request::Tell(read) = &incoming.request else { panic!("{incoming:?}") };
    assert_eq!(read.len(), 1);
    let message = read.iter().next().unwrap();
    assert_eq!((message.sender, message.receiver), ("goakt://@:0/", ECHO));
    assert_eq!(message.message.type_name(), "testpb.TestLog");
    assert_eq!(message.message.type_url(), "type.googleapis.com/testpb.TestLog");
    assert_eq!(message.message.value, &b"\x0a\x02hi"[..]);
    let answer = assert_response(TELL, TELL_RESPONSE, &Response::Done, &call);
    assert_eq!(answer, Answer::Done);
}

#[test]
fn an_ask_with_a_header_and_a_deadline_and_its_reply() {
    let messages = [outgoing("testpb.TestPing", b"")];
    let call = Call::Ask { messages: &messages, timeout: Duration::from_millis(1500) };
    let mut headers = Metadata::new();
    headers.append("X-Trace-Id", "abc").unwrap();
    let deadline = Deadline::from_unix_nanos(4_102_444_800_123_456_789);
    let incoming = assert_request(ASK, &call, &headers, deadline);
    assert_eq!(incoming.metadata.iter().collect::<Vec<_>>(), [("x-trace-id", "abc")]);
    let Request::Ask { messages: read, timeout } = &incoming.request else { panic!() };
    assert_eq!((read.len(), *timeout), (1, Duration::from_millis(1500)));

    let replies = [Payload { type_name: "testpb.TestPong", bytes: b"" }];
    let answer = assert_response(ASK, ASK_RESPONSE, &Response::Replies(&replies), &call);
    let Answer::Replies(replies) = answer else { panic!("{answer:?}") };
    assert_eq!(replies.len(), 1);
    let names: Vec<_> = replies.iter().map(|reply| reply.type_name()).collect();
    assert_eq!(names, ["testpb.TestPong"]);
}

#[test]
fn an_asynchronous_reply_of_a_go_actor() {
    let response = proto::AsyncResponse {
        correlation_id: "c1".into(),
        message: Some(proto::Any::pack("testpb.TestPong", Bytes::new())),
        error: String::new(),
    };
    let bytes = response.to_bytes();
    let messages = [Outgoing {
        sender: "goakt://sys@127.0.0.1:4001/parent",
        receiver: "goakt://peer@127.0.0.1:4777/asker",
        payload: Payload { type_name: "internalpb.AsyncResponse", bytes: &bytes },
    }];
    let incoming = assert_request(ASYNC_REPLY, &Call::Tell(&messages), &Metadata::new(), None);
    let Request::Tell(read) = &incoming.request else { panic!("{incoming:?}") };
    let message = read.iter().next().unwrap().message;
    let read = SystemMessage::read(&message).unwrap().unwrap();
    assert_eq!(read, SystemMessage::AsyncResponse(response));
}

#[test]
fn malformed_requests_end_the_connection() {
    let result = |bytes: &[u8]| requests(&mut server(), bytes).unwrap_err();
    let framing = |bytes: &str, error: FrameError| {
        let mut buf = BytesMut::from(&hex(bytes)[..]);
        assert_eq!(Frame::decode(&mut buf, MAX), Err(error));
        assert!(matches!(result(&hex(bytes)), ServerError::Read(_)));
    };
    framing("0000000700000000", FrameError::TooShort { len: 7 });
    framing("0100000100000000", FrameError::TooLong { len: MAX + 1, limit: MAX });
    framing("0000000c 00000005 ffffffff", FrameError::Name { len: 5, total: 12 });
    let unknown = result(&hex("0000000e00000006666f6f2e4261"));
    assert_eq!(unknown, ServerError::Unknown { name: "foo.Ba".into() });
    // A message that exists and is no request is treated alike.
    let response = result(&hex(TELL_RESPONSE));
    let name = Procedure::Tell.response_name().to_owned();
    assert_eq!(response, ServerError::Unknown { name });

    let mut short = hex("00000031 0000001c 00000005");
    short.extend(b"internalpb.RemoteTellRequest\0\0\0\0\0");
    short[3] = short.len() as u8;
    assert_eq!(result(&short), ServerError::Metadata(SectionError::CutShort));

    for procedure in Procedure::ALL {
        let name = procedure.request_name();
        let mut bytes = (8 + name.len() as u32 + 2).to_be_bytes().to_vec();
        bytes.extend((name.len() as u32).to_be_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend([0xff; 2]);
        assert!(matches!(result(&bytes), ServerError::Malformed { .. }), "{procedure}");
    }
}

#[test]
fn a_frame_of_exactly_the_limit_is_taken_and_nothing_reads_ahead_of_what_arrives() {
    let mut bytes = (MAX as u32).to_be_bytes().to_vec();
    bytes.extend(5_u32.to_be_bytes());
    bytes.extend(b"a.b.c");
    let mut buf = BytesMut::from(&bytes[..]);
    assert_eq!(Frame::decode(&mut buf, MAX), Ok(None));
    assert!(buf.capacity() < 1024, "a length reserves nothing");
    bytes.resize(MAX, 7);
    let frame = frame(&bytes);
    assert_eq!((frame.name(), frame.total_len()), (&b"a.b.c"[..], MAX));
    assert_eq!(frame.metadata(), None);
    assert_eq!(frame.into_body().len(), MAX - 13);
}

#[test]
fn a_frame_with_an_empty_metadata_section_has_no_metadata() {
    let frame = frame(&hex("00000013 00000005 00000000 612e622e63 0102"));
    assert_eq!((frame.name(), frame.metadata()), (&b"a.b.c"[..], None));
    assert_eq!(frame.into_body(), &[1, 2][..]);
    let section = hex(&LOOKUP.replace(char::is_whitespace, ""));
    let read = super::frame(&section);
    assert_eq!(Section::decode(read.metadata().unwrap()).unwrap().deadline, None);
}
