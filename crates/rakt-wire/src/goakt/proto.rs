//! The messages of GoAkt v3.14.0 that carry no hot payload, as generated types.
//!
//! Field numbers follow `protos/internal/*.proto` of that version. Lists in here come out larger than
//! they are on the wire, so what holds lists is decoded only up to
//! [`MAX_SETUP_LEN`](super::request::MAX_SETUP_LEN) bytes.

use bytes::Bytes;

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Duration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// The rest, with the sign of the seconds.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Duration {
    /// A span as it is written; one too long to be written is as good as endless.
    pub fn from_std(duration: std::time::Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self { seconds, nanos: duration.subsec_nanos() as i32 }
    }

    /// The span it stands for. A negative one is over, so it is zero.
    pub fn to_std(self) -> std::time::Duration {
        let whole = i128::from(self.seconds).saturating_mul(1_000_000_000);
        let nanos = whole.saturating_add(self.nanos.into()).max(0);
        let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
        let rest = (nanos % 1_000_000_000) as u32;
        std::time::Duration::new(seconds, rest)
    }
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Any {
    /// What it is: everything after the last `/` is the full name of the type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// Which actor a request is about: `RemoteLookupRequest`, `RemoteStopRequest`, `RemoteReSpawnRequest` and
/// `RemoteReinstateRequest` all look like this.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Target {
    /// The host, as the node that is asked writes it.
    #[prost(string, tag = "1")]
    pub host: String,
    /// Its port.
    #[prost(int32, tag = "2")]
    pub port: i32,
    /// The name of the actor.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// `RemoteLookupResponse`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct LookupResponse {
    /// Where the actor is, as a `goakt://` address.
    #[prost(string, tag = "1")]
    pub address: String,
}

/// `RemoteSpawnRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SpawnRequest {
    /// The host, as the node that is asked writes it.
    #[prost(string, tag = "1")]
    pub host: String,
    /// Its port.
    #[prost(int32, tag = "2")]
    pub port: i32,
    /// The name the actor shall have.
    #[prost(string, tag = "3")]
    pub actor_name: String,
    /// Its kind, in its canonical form.
    #[prost(string, tag = "4")]
    pub actor_type: String,
    /// Set for one actor in the whole cluster.
    #[prost(message, optional, tag = "5")]
    pub singleton: Option<SingletonSpec>,
    /// Whether the cluster starts it elsewhere when its node is gone. Go's actors say so unless told otherwise.
    #[prost(bool, tag = "6")]
    pub relocatable: bool,
    /// When it is stopped for being idle.
    #[prost(message, optional, tag = "7")]
    pub passivation_strategy: Option<PassivationStrategy>,
    /// What it is started with.
    #[prost(message, repeated, tag = "8")]
    pub dependencies: Vec<Dependency>,
    /// Whether it can put messages aside.
    #[prost(bool, tag = "9")]
    pub enable_stash: bool,
    /// The sort of nodes in a cluster that it belongs on.
    #[prost(string, optional, tag = "10")]
    pub role: Option<String>,
    /// What happens when it fails.
    #[prost(message, optional, tag = "11")]
    pub supervisor: Option<SupervisorSpec>,
    /// Whether it handles messages while its own requests are under way.
    #[prost(message, optional, tag = "12")]
    pub reentrancy: Option<ReentrancyConfig>,
}

/// `ReentrancyConfig`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ReentrancyConfig {
    /// `ReentrancyMode`: 0 off, 1 all messages, 2 puts aside those of users.
    #[prost(int32, tag = "1")]
    pub mode: i32,
    /// Most requests under way; 0 for any number.
    #[prost(uint32, tag = "2")]
    pub max_in_flight: u32,
}

/// `PassivationStrategy`, which is one of these.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct PassivationStrategy {
    /// After a time without messages.
    #[prost(message, optional, tag = "1")]
    pub time_based: Option<TimeBasedPassivation>,
    /// After a number of messages.
    #[prost(message, optional, tag = "2")]
    pub messages_count_based: Option<MessagesCountBasedPassivation>,
    /// Never.
    #[prost(message, optional, tag = "3")]
    pub long_lived: Option<LongLivedPassivation>,
}

/// `TimeBasedPassivation`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct TimeBasedPassivation {
    /// How long an actor may be idle.
    #[prost(message, optional, tag = "1")]
    pub passivate_after: Option<Duration>,
}

/// `MessagesCountBasedPassivation`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct MessagesCountBasedPassivation {
    /// How many messages an actor handles.
    #[prost(int64, tag = "1")]
    pub max_messages: i64,
}

/// `LongLivedPassivation`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct LongLivedPassivation {}

/// `SupervisorSpec`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SupervisorSpec {
    /// 0: one for one, 1: one for all.
    #[prost(int32, tag = "1")]
    pub strategy: i32,
    /// How often an actor may be restarted within `timeout`; 0 where nothing was said.
    #[prost(uint32, tag = "2")]
    pub max_retries: u32,
    /// Over which time restarts are counted; -1 ns where nothing was said.
    #[prost(message, optional, tag = "3")]
    pub timeout: Option<Duration>,
    /// Directives by the type of the error.
    #[prost(message, repeated, tag = "4")]
    pub directives: Vec<SupervisorDirectiveRule>,
    /// The directive for all errors, in place of those by type. 0: stop, 1: resume, 2: restart, 3: escalate.
    #[prost(int32, optional, tag = "5")]
    pub any_error_directive: Option<i32>,
}

/// `SupervisorDirectiveRule`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SupervisorDirectiveRule {
    /// The Go type of the error.
    #[prost(string, tag = "1")]
    pub error_type: String,
    /// As [`SupervisorSpec::any_error_directive`].
    #[prost(int32, tag = "2")]
    pub directive: i32,
}

/// How a singleton is started.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct SingletonSpec {
    /// How long that may take.
    #[prost(message, optional, tag = "1")]
    pub spawn_timeout: Option<Duration>,
    /// How long to wait between tries.
    #[prost(message, optional, tag = "2")]
    pub wait_interval: Option<Duration>,
    /// How often to try.
    #[prost(int32, tag = "3")]
    pub max_retries: i32,
}

/// A value that an actor is started with. Its bytes mean what its type says; across languages that takes
/// an agreement.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Dependency {
    /// What the actor knows it by.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The lower-case name of its type, registered where it is received.
    #[prost(string, tag = "2")]
    pub type_name: String,
    /// The value.
    #[prost(bytes = "bytes", tag = "3")]
    pub bytea: Bytes,
}

/// The identity of a grain.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct GrainId {
    /// Its kind; not read by a server.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Its name; not read by a server.
    #[prost(string, tag = "2")]
    pub name: String,
    /// `KIND/NAME`: what counts.
    #[prost(string, tag = "3")]
    pub value: String,
}

/// A grain, and how it is activated.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Grain {
    /// Its identity.
    #[prost(message, optional, tag = "1")]
    pub grain_id: Option<GrainId>,
    /// The host of the node that is asked.
    #[prost(string, tag = "2")]
    pub host: String,
    /// Its port.
    #[prost(int32, tag = "3")]
    pub port: i32,
    /// What it is started with.
    #[prost(message, repeated, tag = "4")]
    pub dependencies: Vec<Dependency>,
    /// How long activation may take.
    #[prost(message, optional, tag = "5")]
    pub activation_timeout: Option<Duration>,
    /// How often it is tried.
    #[prost(int32, tag = "6")]
    pub activation_retries: i32,
    /// How many messages may wait.
    #[prost(int64, optional, tag = "7")]
    pub mailbox_capacity: Option<i64>,
    /// Whether it stays on its node for good.
    #[prost(bool, tag = "8")]
    pub disable_relocation: bool,
}

/// `RemoteActivateGrainRequest`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ActivateGrainRequest {
    /// Which grain.
    #[prost(message, optional, tag = "1")]
    pub grain: Option<Grain>,
}

/// `GetNodeMetricRequest` and `GetKindsRequest`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct NodeRequest {
    /// `host:port` of the node that is asked.
    #[prost(string, tag = "1")]
    pub node_address: String,
}

/// `GetKindsResponse`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct KindsResponse {
    /// Lower-case names.
    #[prost(string, repeated, tag = "1")]
    pub kinds: Vec<String>,
}

/// `Error`: how a failure comes back.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Error {
    /// See [`ErrorCode`](super::ErrorCode).
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What happened.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// `AsyncRequest`: a request that is answered by a message of its own.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AsyncRequest {
    /// Comes back in the answer.
    #[prost(string, tag = "1")]
    pub correlation_id: String,
    /// Where the answer is to go, as a `goakt://` address.
    #[prost(string, tag = "2")]
    pub reply_to: String,
    /// The user's message.
    #[prost(message, optional, tag = "3")]
    pub message: Option<Any>,
}

/// `AsyncResponse`: the answer to an [`AsyncRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AsyncResponse {
    /// As in the request.
    #[prost(string, tag = "1")]
    pub correlation_id: String,
    /// The answer, when there is one.
    #[prost(message, optional, tag = "2")]
    pub message: Option<Any>,
    /// What went wrong; empty when nothing did.
    #[prost(string, tag = "3")]
    pub error: String,
}
