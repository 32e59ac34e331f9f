//! What is read and written in place, against a protobuf library that knows nothing of it.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use rakt_wire::Metadata;
use rakt_wire::goakt::{Call, Request, Response, proto};

use super::*;

#[derive(Clone, PartialEq, Message)]
struct RemoteMessage {
    #[prost(string, tag = "1")]
    sender: String,
    #[prost(string, tag = "2")]
    receiver: String,
    #[prost(message, optional, tag = "3")]
    message: Option<proto::Any>,
}

#[derive(Clone, PartialEq, Message)]
struct AskRequest {
    #[prost(message, repeated, tag = "1")]
    remote_messages: Vec<RemoteMessage>,
    #[prost(message, optional, tag = "2")]
    timeout: Option<proto::Duration>,
}

#[derive(Clone, PartialEq, Message)]
struct AskResponse {
    #[prost(message, repeated, tag = "1")]
    messages: Vec<proto::Any>,
}

fn message() -> impl Strategy<Value = RemoteMessage> {
    let any = ("[a-z.]{1,20}", vec(any::<u8>(), 0..200));
    (".{0,20}", ".{0,20}", any).prop_map(|(sender, receiver, (type_name, value))| {
        let message = Some(proto::Any::pack(&type_name, value.into()));
        RemoteMessage { sender, receiver, message }
    })
}

proptest! {
    #[test]
    fn an_ask_is_the_same_to_both(messages in vec(message(), 0..5), millis in 0_u64..100_000) {
        let duration = Duration::from_millis(millis);
        let timeout = Some(proto::Duration::from_std(duration));
        let body = AskRequest { remote_messages: messages.clone(), timeout }.encode_to_vec();

        let outgoing: Vec<_> = messages.iter().map(|message| {
            let any = message.message.as_ref().unwrap();
            let payload = Payload { type_name: any.type_name(), bytes: &any.value };
            Outgoing { sender: &message.sender, receiver: &message.receiver, payload }
        }).collect();
        let call = Call::Ask { messages: &outgoing, timeout: duration };
        let mut out = Vec::new();
        call.encode(&mut out, &Metadata::new(), None, MAX).unwrap();
        prop_assert_eq!(&frame(&out).into_body()[..], &body[..]);

        let list = requests(&mut server(), &out).unwrap();
        let Request::Ask { messages: read, timeout } = &list[0].request else { panic!() };
        prop_assert_eq!(*timeout, duration);
        let read: Vec<_> = read.iter().map(|message| RemoteMessage {
            sender: message.sender.to_owned(),
            receiver: message.receiver.to_owned(),
            message: Some(proto::Any {
                type_url: message.message.type_url().to_owned(),
                value: message.message.value,
            }),
        }).collect();
        prop_assert_eq!(read, messages);
    }

    #[test]
    fn replies_are_the_same_to_both(replies in vec(("[a-z.]{1,20}", vec(any::<u8>(), 0..200)), 0..5)) {
        let messages =
            replies.iter().map(|(name, value)| proto::Any::pack(name, value.clone().into()));
        let body = AskResponse { messages: messages.collect() }.encode_to_vec();
        let payloads: Vec<_> =
            replies.iter().map(|(type_name, bytes)| Payload { type_name, bytes }).collect();
        let mut server = server();
        let call = Call::Ask { messages: &[], timeout: Duration::ZERO };
        let mut out = Vec::new();
        call.encode(&mut out, &Metadata::new(), None, MAX).unwrap();
        requests(&mut server, &out).unwrap();
        server.respond(0, &Response::Replies(&payloads)).unwrap();
        prop_assert_eq!(&frame(&transmitted(&mut server)).into_body()[..], &body[..]);
    }

    #[test]
    fn both_agree_on_what_is_a_message(bytes in vec(any::<u8>(), 0..60)) {
        let name = "internalpb.RemoteAskRequest";
        let mut framed = ((8 + name.len() + bytes.len()) as u32).to_be_bytes().to_vec();
        framed.extend((name.len() as u32).to_be_bytes());
        framed.extend(name.as_bytes());
        framed.extend(&bytes);
        let read = requests(&mut server(), &framed);
        // The library is stricter about a known field with another wire type.
        if AskRequest::decode(&bytes[..]).is_ok() {
            prop_assert!(read.is_ok(), "{:?}", read);
        }
    }
}
