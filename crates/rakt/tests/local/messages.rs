//! Declaring messages: codecs, wire names, and the forms of the derive and of `messages!`.

use rakt::prelude::*;

/// The name of a message on the wire.
fn wire_name<M: Message>() -> Option<&'static str> {
    M::wire().map(|wire| wire.name())
}

#[cfg(feature = "prost")]
fn reply_name<M: Message>() -> Option<&'static str> {
    M::wire().and_then(|wire| wire.reply_name())
}

struct Tick;
struct Count;

rakt::messages! {}
rakt::messages! { Tick, Count => u64 }

#[test]
fn a_local_message_has_no_wire_name() {
    fn replies_with<M: Message<Reply = R>, R>() {}
    replies_with::<Tick, ()>();
    replies_with::<Count, u64>();
    assert_eq!(wire_name::<Tick>(), None);
    assert_eq!(wire_name::<Count>(), None);
}

#[test]
fn a_derived_message_without_a_name_stays_in_the_process() {
    #[derive(Message)]
    struct Plain;
    #[derive(Message)]
    #[rakt(reply = Vec<(u64, String)>)]
    enum Either {
        _Left(u64),
        _Right { _text: String },
    }
    fn replies_with<M: Message<Reply = R>, R>() {}
    replies_with::<Plain, ()>();
    replies_with::<Either, Vec<(u64, String)>>();
    assert_eq!(wire_name::<Plain>(), None);
    assert_eq!(wire_name::<Either>(), None);
}

/// The names that the macros use are those of rakt, whatever else goes by them.
#[test]
fn what_the_macros_write_depends_on_no_name_around_it() {
    #[allow(dead_code, reason = "they only stand in the way")]
    mod shadowed {
        struct Option;
        mod rakt {}
        mod core {}
        mod std {}
        struct Some;
        trait Message {}

        #[derive(::rakt::Message)]
        #[rakt(reply = u64)]
        pub(crate) struct Derived;
        pub(crate) struct Listed;
        ::rakt::messages! { Listed => u64 }
    }
    mod renamed {
        pub(crate) use rakt as actors;

        #[derive(Clone, PartialEq, actors::Message)]
        #[rakt(crate = actors)]
        pub(crate) struct Renamed;
    }
    assert_eq!(wire_name::<shadowed::Derived>(), None);
    assert_eq!(wire_name::<shadowed::Listed>(), None);
    assert_eq!(wire_name::<renamed::Renamed>(), None);
}

#[cfg(feature = "prost")]
mod protobuf {
    use rakt::{SpawnError, StartError};

    use super::*;
    use crate::system;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Request {
        #[prost(string, tag = "1")]
        pub job: String,
    }

    impl prost::Name for Request {
        const NAME: &'static str = "Request";
        const PACKAGE: &'static str = "demo.v1";
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Response {
        #[prost(string, tag = "1")]
        pub result: String,
    }

    impl prost::Name for Response {
        const NAME: &'static str = "Response";
        const PACKAGE: &'static str = "demo.v1";
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Event {}

    impl prost::Name for Event {
        const NAME: &'static str = "Event";
        const PACKAGE: &'static str = "demo.v1";
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Named {}

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct NamedRequest {}

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct NamedBoth {}

    rakt::messages! {
        Request as _ => Response as _,
        Event as _,
        Named as "demo.named",
        NamedRequest as "demo.named-request" => Response,
        NamedBoth as "demo.named-both" => Response as "demo.named-response",
    }

    #[test]
    fn a_prost_type_goes_by_its_full_name_or_the_one_given() {
        assert_eq!(wire_name::<Request>(), Some("demo.v1.Request"));
        assert_eq!(wire_name::<Event>(), Some("demo.v1.Event"));
        assert_eq!(wire_name::<Named>(), Some("demo.named"));
        assert_eq!(wire_name::<NamedRequest>(), Some("demo.named-request"));
        assert_eq!(wire_name::<NamedBoth>(), Some("demo.named-both"));
    }

    #[test]
    fn a_reply_goes_by_its_full_name_or_the_one_given() {
        assert_eq!(reply_name::<Request>(), Some("demo.v1.Response"));
        assert_eq!(reply_name::<Event>(), Some("google.protobuf.Empty"));
        assert_eq!(reply_name::<Named>(), Some("google.protobuf.Empty"));
        assert_eq!(reply_name::<NamedRequest>(), None);
        assert_eq!(reply_name::<NamedBoth>(), Some("demo.named-response"));
    }

    #[test]
    fn a_derived_message_goes_by_the_names_given() {
        #[derive(Clone, PartialEq, prost::Message, rakt::Message)]
        #[rakt(name = "demo.ping", reply = Pong as "demo.pong")]
        struct Ping {}
        #[derive(Clone, PartialEq, prost::Message)]
        struct Pong {}

        #[derive(Clone, PartialEq, prost::Message, rakt::Message)]
        #[rakt(name = _)]
        #[rakt(reply = Response as _)]
        struct Known {
            #[prost(string, tag = "1")]
            text: String,
        }
        impl prost::Name for Known {
            const NAME: &'static str = "Known";
            const PACKAGE: &'static str = "demo.v1";
        }

        #[derive(Clone, PartialEq, prost::Message, rakt::Message)]
        #[rakt(name = "demo.quiet", codec = "prost")]
        struct Quiet {}

        #[derive(Clone, PartialEq, prost::Message, rakt::Message)]
        #[rakt(name = "demo.own", codec = rakt::message::Prost, reply = u32)]
        struct Own {}

        let names = |wire: Option<&'static str>, reply| (wire.expect("a name"), reply);
        let both = |message, reply| (message, Some(reply));
        assert_eq!(
            names(wire_name::<Ping>(), reply_name::<Ping>()),
            both("demo.ping", "demo.pong")
        );
        let known = both("demo.v1.Known", "demo.v1.Response");
        assert_eq!(names(wire_name::<Known>(), reply_name::<Known>()), known);
        let quiet = both("demo.quiet", "google.protobuf.Empty");
        assert_eq!(names(wire_name::<Quiet>(), reply_name::<Quiet>()), quiet);
        assert_eq!(names(wire_name::<Own>(), reply_name::<Own>()), ("demo.own", None));
    }

    #[derive(Default)]
    struct Worker;

    impl Actor for Worker {
        fn accepts(accepts: &mut Accepts<Self>) {
            accepts.local::<Tick>().remote::<Request>().local::<Event>().remote::<Event>();
        }
    }

    impl Handler<Request> for Worker {
        async fn handle(&mut self, request: Request, _: &mut Context<Self>) -> Result<Response> {
            Ok(Response { result: format!("{} done", request.job) })
        }
    }

    impl Handler<Event> for Worker {
        async fn handle(&mut self, _: Event, _: &mut Context<Self>) -> Result {
            Ok(())
        }
    }

    impl Handler<Tick> for Worker {
        async fn handle(&mut self, _: Tick, _: &mut Context<Self>) -> Result {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_prost_message_works_like_any_other() -> Result {
        let worker = system().await.spawn("worker", Worker::default).await?;
        let reply = crate::support::within(worker.ask(Request { job: "a".to_owned() })).await?;
        assert_eq!(reply.result, "a done");
        Ok(())
    }

    #[tokio::test]
    async fn what_peers_may_spawn_and_send_can_be_printed() -> Result {
        let system = ActorSystem::builder("tests").kind::<Worker>("Worker").start().await?;
        let lines: Vec<_> = system.exposed().kinds.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["Worker() accepts demo.v1.Request, demo.v1.Event"]);
        Ok(())
    }

    #[tokio::test]
    async fn a_kind_is_registered_once() {
        let builder =
            ActorSystem::builder("tests").kind::<Worker>("Worker").kind::<Worker>(" worker");
        let error = builder.start().await.expect_err("twice");
        assert!(matches!(error, StartError::DuplicateKind(_)), "{error:?}");
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct One {}

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Two {}

    rakt::messages! {
        One as "demo.the-same",
        Two as "demo.the-same",
    }

    #[derive(Default)]
    struct TakesOne;

    impl Actor for TakesOne {
        fn accepts(accepts: &mut Accepts<Self>) {
            accepts.remote::<One>();
        }
    }

    impl Handler<One> for TakesOne {
        async fn handle(&mut self, _: One, _: &mut Context<Self>) -> Result {
            Ok(())
        }
    }

    #[derive(Default)]
    struct TakesTwo;

    impl Actor for TakesTwo {
        fn accepts(accepts: &mut Accepts<Self>) {
            accepts.remote::<Two>();
        }
    }

    impl Handler<Two> for TakesTwo {
        async fn handle(&mut self, _: Two, _: &mut Context<Self>) -> Result {
            Ok(())
        }
    }

    // One test, because the first to claim a name in the process has it.
    #[tokio::test]
    async fn a_wire_name_that_is_taken_is_an_error_at_start_and_at_spawn() -> Result {
        let builder = ActorSystem::builder("tests").kind::<TakesOne>("One").kind::<TakesTwo>("Two");
        let error = builder.start().await.expect_err("the same name twice");
        let text = error.to_string();
        assert!(matches!(error, StartError::DuplicateName(_)));
        assert!(["demo.the-same", "One", "Two"].iter().all(|part| text.contains(part)), "{text}");

        let system = system().await;
        system.spawn("one", TakesOne::default).await?;
        let error = system.spawn("two", TakesTwo::default).await.expect_err("taken by One");
        assert!(
            matches!(&error, SpawnError::DuplicateName { source, .. }
                if source.name == "demo.the-same"),
            "{error:?}"
        );
        assert!(system.find("two").is_none());
        Ok(())
    }
}

#[cfg(feature = "serde")]
mod serde_types {
    use super::*;
    use crate::system;

    #[derive(serde::Serialize, serde::Deserialize)]
    pub(crate) struct Move {
        from: u8,
        to: u8,
    }

    #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
    pub(crate) struct Position(pub Vec<u8>);

    #[derive(serde::Serialize, serde::Deserialize)]
    pub(crate) struct Resign;

    rakt::messages! {
        Move as "chess.Move" with "serde" => Position,
        Resign as "chess.Resign" with "serde",
    }

    #[test]
    fn a_serde_type_goes_by_the_name_given() {
        assert_eq!(wire_name::<Move>(), Some("chess.Move"));
        assert_eq!(wire_name::<Resign>(), Some("chess.Resign"));
    }

    #[test]
    fn a_derived_serde_type_goes_by_the_name_given() {
        #[derive(serde::Serialize, serde::Deserialize, Message)]
        #[rakt(name = "chess.Offer", codec = "serde", reply = bool)]
        enum Offer {
            _Draw,
        }
        assert_eq!(wire_name::<Offer>(), Some("chess.Offer"));
        assert_eq!(Offer::wire().and_then(|wire| wire.reply_name()), None);
    }

    struct Board;

    impl Actor for Board {}

    impl Handler<Move> for Board {
        async fn handle(&mut self, it: Move, _: &mut Context<Self>) -> Result<Position> {
            Ok(Position(vec![it.from, it.to]))
        }
    }

    #[tokio::test]
    async fn a_serde_message_works_like_any_other() -> Result {
        let board = system().await.spawn("board", || Board).await?;
        let position = crate::support::within(board.ask(Move { from: 12, to: 28 })).await?;
        assert_eq!(position, Position(vec![12, 28]));
        Ok(())
    }
}

#[cfg(all(feature = "prost", feature = "serde"))]
#[test]
fn codecs_round_trip_and_refuse_what_is_no_value() {
    use rakt::message::{Codec, Prost, Serde};

    fn round_trip<C: Codec<T>, T>(value: &T) -> Result<T> {
        let mut bytes = Vec::new();
        C::encode(value, &mut bytes)?;
        if let Some(len) = C::encoded_len(value) {
            assert_eq!(len, bytes.len());
        }
        Ok(C::decode(bytes.into())?)
    }
    let request = protobuf::Request { job: "a".repeat(300) };
    assert_eq!(round_trip::<Prost, _>(&request).expect("it round-trips"), request);
    let position = serde_types::Position((0..200).collect());
    assert_eq!(round_trip::<Serde, _>(&position).expect("it round-trips"), position);

    let junk = bytes::Bytes::from_static(b"\x0a\xff");
    <Prost as Codec<protobuf::Request>>::decode(junk.clone()).expect_err("cut short");
    <Serde as Codec<serde_types::Position>>::decode(junk).expect_err("cut short");
    let more = bytes::Bytes::from_static(b"\x01\x02\x03");
    <Serde as Codec<serde_types::Position>>::decode(more).expect_err("a byte follows");
}
