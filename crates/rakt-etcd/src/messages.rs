//! The messages of etcd's API that are needed here, of `rpc.proto` and `kv.proto`, with no more than the fields that are
//! used. Written by hand, so that nobody needs a compiler of protocol buffers to build this.

use bytes::Bytes;
use http::uri::PathAndQuery;

/// A call that has one answer.
pub(crate) trait Call: prost::Message + Clone + Default + 'static {
    type Answer: Answer;
    const PATH: &'static str;

    fn path() -> PathAndQuery {
        PathAndQuery::from_static(Self::PATH)
    }
}

pub(crate) trait Answer: prost::Message + Default + 'static {
    fn header(&self) -> Option<&Header>;
}

macro_rules! calls {
    ($($call:ty, $answer:ty, $path:literal;)*) => {$(
        impl Call for $call {
            type Answer = $answer;
            const PATH: &'static str = $path;
        }
        impl Answer for $answer {
            fn header(&self) -> Option<&Header> {
                self.header.as_ref()
            }
        }
    )*};
}

calls! {
    Range, Ranged, "/etcdserverpb.KV/Range";
    Txn, Done, "/etcdserverpb.KV/Txn";
    Status, State, "/etcdserverpb.Maintenance/Status";
    Authenticate, Authenticated, "/etcdserverpb.Auth/Authenticate";
}

pub(crate) const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// `ResponseHeader`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Header {
    #[prost(uint64, tag = "1")]
    pub(crate) cluster: u64,
    #[prost(int64, tag = "3")]
    pub(crate) revision: i64,
}

/// `KeyValue`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KeyValue {
    #[prost(int64, tag = "3")]
    pub(crate) mod_revision: i64,
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) value: Bytes,
}

/// `RangeRequest`. `serializable` is left out, and so it is linearizable.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Range {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bool, tag = "8")]
    pub(crate) keys_only: bool,
}

/// `RangeResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ranged {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<Header>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) found: Vec<KeyValue>,
}

/// `TxnRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Txn {
    #[prost(message, repeated, tag = "1")]
    pub(crate) compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) success: Vec<Op>,
}

/// `Compare`, for equality. Of `target_union` one is there, which is written like a field of its own.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Compare {
    #[prost(int32, tag = "2")]
    pub(crate) target: i32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) key: Bytes,
    #[prost(int64, optional, tag = "5")]
    pub(crate) create_revision: Option<i64>,
    #[prost(int64, optional, tag = "6")]
    pub(crate) mod_revision: Option<i64>,
}

impl Compare {
    /// The key is not there.
    pub(crate) fn absent(key: Bytes) -> Self {
        Self { target: 1, key, create_revision: Some(0), mod_revision: None }
    }

    /// The key was written last in this revision.
    pub(crate) fn written(key: Bytes, revision: i64) -> Self {
        Self { target: 2, key, create_revision: None, mod_revision: Some(revision) }
    }
}

/// `RequestOp`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Op {
    #[prost(message, optional, tag = "2")]
    pub(crate) put: Option<Put>,
}

/// `PutRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Put {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

/// `TxnResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Done {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<Header>,
    #[prost(bool, tag = "2")]
    pub(crate) succeeded: bool,
}

/// `StatusRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Status {}

/// `StatusResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<Header>,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    #[prost(uint64, tag = "4")]
    pub(crate) leader: u64,
}

/// `AuthenticateRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Authenticate {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) password: String,
}

/// `AuthenticateResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Authenticated {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<Header>,
    #[prost(string, tag = "2")]
    pub(crate) token: String,
}

/// `WatchRequest`, of which one part is there.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Watch {
    #[prost(message, optional, tag = "1")]
    pub(crate) create: Option<Create>,
    #[prost(message, optional, tag = "3")]
    pub(crate) progress: Option<Progress>,
}

/// `WatchCreateRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Create {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(int64, tag = "3")]
    pub(crate) start_revision: i64,
}

/// `WatchProgressRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Progress {}

/// `WatchResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Watched {
    #[prost(bool, tag = "4")]
    pub(crate) canceled: bool,
    #[prost(int64, tag = "5")]
    pub(crate) compact_revision: i64,
    #[prost(string, tag = "6")]
    pub(crate) cancel_reason: String,
    #[prost(message, repeated, tag = "11")]
    pub(crate) events: Vec<Event>,
}

/// `Event`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Event {
    /// 1: it was deleted.
    #[prost(int32, tag = "1")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) kv: Option<KeyValue>,
}
