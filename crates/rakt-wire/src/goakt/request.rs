//! Requests: as they go out, as they arrive, and what they ask for.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::address::canonical_kind;
use super::error::{ErrorCode, GoError};
use super::fields::{Field, Fields, Malformed, Out};
use super::frame::{EncodeError, put_frame};
use super::messages::{Outgoing, Packed, Payload, RemoteMessages};
use super::metadata::Deadline;
use super::procedure::Procedure;
use super::proto;
use crate::failure::{Code, Failure};
use crate::metadata::Metadata;
use crate::operation::{Operation, SpawnArgument};

/// How long an ask waits for its reply when it does not say: what a Go node grants.
pub const DEFAULT_ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest request that starts something, and longest description of a grain, in bytes; 256 KiB. Lists in
/// them grow when they are read, and stay below one frame this way.
pub const MAX_SETUP_LEN: usize = 256 * 1024;
/// What an actor knows the [`SpawnArgument`] by, which crosses as its only dependency.
pub const ARGUMENT_ID: &str = "argument";

/// What a node can be asked for. `M` are messages to actors, and `P` is one to a grain: as they arrive, or
/// as they go out, which is a [`Call`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Request<M = RemoteMessages, P = Packed> {
    /// Messages to actors: in order, until one fails; those before it stay delivered.
    Tell(M),
    /// Messages to actors that reply: one after another, until one fails; replies before it are lost.
    Ask {
        /// The messages.
        messages: M,
        /// How long each of them may take. Zero when the sender asks for no time at all, in which case
        /// a Go node delivers the message and answers at once that time is up.
        timeout: Duration,
    },
    /// Is there an actor of this name?
    Lookup(proto::Target),
    /// Start an actor.
    Spawn(Box<proto::SpawnRequest>),
    /// Restart an actor.
    Respawn(proto::Target),
    /// Stop an actor.
    Stop(proto::Target),
    /// Let a suspended actor go on.
    Reinstate(proto::Target),
    /// A message to a grain that replies.
    AskGrain {
        /// Which grain.
        grain: Box<proto::Grain>,
        /// What it is told.
        message: P,
        /// How long it may take. Here, nothing said is no time at all.
        timeout: Duration,
    },
    /// A message to a grain, which acknowledges it.
    TellGrain {
        /// Which grain.
        grain: Box<proto::Grain>,
        /// What it is told.
        message: P,
    },
    /// Bring a grain into memory.
    ActivateGrain(Box<proto::Grain>),
    /// Keep what another node of the cluster runs; the body is not looked into.
    PersistPeerState(Bytes),
    /// How busy is the node?
    GetNodeMetric(proto::NodeRequest),
    /// Which kinds can it run?
    GetKinds(proto::NodeRequest),
}

/// A request that goes out.
pub type Call<'a> = Request<&'a [Outgoing<'a>], Payload<'a>>;

/// What a request that has arrived wants.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Purpose<'a> {
    /// To bring messages to actors.
    Messages,
    /// Something about actors.
    Operation(Operation),
    /// Something of a grain.
    Grain(&'a proto::Grain),
    /// What only a node of a cluster can do.
    Cluster,
    /// A spawn that cannot be expressed here, of a singleton, or with other dependencies than one; this is
    /// its answer.
    Refused(GoError),
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Its body does not decode, which ends the connection.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is understood and refused; this is its answer.
    #[error(transparent)]
    Refused(#[from] GoError),
}

impl<M, P> Request<M, P> {
    /// Which kind of request it is.
    pub fn procedure(&self) -> Procedure {
        match self {
            Self::Tell(_) => Procedure::Tell,
            Self::Ask { .. } => Procedure::Ask,
            Self::Lookup(_) => Procedure::Lookup,
            Self::Spawn(_) => Procedure::Spawn,
            Self::Respawn(_) => Procedure::Respawn,
            Self::Stop(_) => Procedure::Stop,
            Self::Reinstate(_) => Procedure::Reinstate,
            Self::AskGrain { .. } => Procedure::AskGrain,
            Self::TellGrain { .. } => Procedure::TellGrain,
            Self::ActivateGrain(_) => Procedure::ActivateGrain,
            Self::PersistPeerState(_) => Procedure::PersistPeerState,
            Self::GetNodeMetric(_) => Procedure::GetNodeMetric,
            Self::GetKinds(_) => Procedure::GetKinds,
        }
    }
}

impl Call<'static> {
    /// The request for an operation at the node that calls itself `host` and `port`.
    ///
    /// A ping becomes a lookup: any answer shows that the node is there. Actors have no incarnations on
    /// the wire, so `uid`s are left out. A spawn argument becomes the only dependency, with the id
    /// [`ARGUMENT_ID`].
    ///
    /// # Errors
    /// [`Code::Unsupported`] for what has no counterpart: watching an actor.
    pub fn from_operation(operation: &Operation, host: &str, port: u16) -> Result<Self, Failure> {
        let target = |name: &str| proto::Target {
            host: host.to_owned(),
            port: port.into(),
            name: name.to_owned(),
        };
        Ok(match operation {
            Operation::Lookup { path } => Self::Lookup(target(path)),
            Operation::Stop { path, .. } => Self::Stop(target(path)),
            Operation::Respawn { path, .. } => Self::Respawn(target(path)),
            Operation::Reinstate { path, .. } => Self::Reinstate(target(path)),
            Operation::Ping => Self::Lookup(target("GoAktRootGuardian")),
            Operation::Kinds => {
                Self::GetKinds(proto::NodeRequest { node_address: format!("{host}:{port}") })
            }
            Operation::Spawn { path, kind, argument } => {
                let dependency = |argument: &SpawnArgument| proto::Dependency {
                    id: ARGUMENT_ID.to_owned(),
                    type_name: argument.type_name.clone(),
                    bytea: argument.payload.clone(),
                };
                Self::Spawn(Box::new(proto::SpawnRequest {
                    host: host.to_owned(),
                    port: port.into(),
                    actor_name: path.trim().to_owned(),
                    actor_type: canonical_kind(kind),
                    dependencies: argument.iter().map(dependency).collect(),
                    ..proto::SpawnRequest::default()
                }))
            }
            Operation::Watch { .. } | Operation::Unwatch { .. } => {
                let detail = "GoAkt v3 has no way to watch an actor on another node";
                return Err(Failure::with_detail(Code::Unsupported, detail));
            }
        })
    }
}

impl Call<'_> {
    /// Appends the request as one frame, in the form with metadata. On error `out` is as it was.
    ///
    /// # Errors
    /// [`EncodeError`] for what the protocol or the limit has no room for.
    pub fn encode(
        &self,
        out: &mut Vec<u8>,
        headers: &Metadata,
        deadline: Option<Deadline>,
        max_frame_len: usize,
    ) -> Result<(), EncodeError> {
        let put_timeout = |out: &mut Out<'_>, number, timeout: &Duration| {
            let timeout = proto::Duration::from_std(*timeout);
            out.nested(number, |out| out.message(&timeout));
        };
        let put_grain = |out: &mut Out<'_>, grain: &proto::Grain, message: Option<&Payload<'_>>| {
            out.nested(1, |out| out.message(grain));
            if let Some(message) = message {
                out.nested(2, |out| message.put(out));
            }
        };
        let name = self.procedure().request_name();
        put_frame(out, name, Some((headers, deadline)), max_frame_len, |out| match self {
            Self::Tell(messages) => Outgoing::put_all(messages, out),
            Self::Ask { messages, timeout } => {
                Outgoing::put_all(messages, out);
                put_timeout(out, 2, timeout);
            }
            Self::Lookup(target) | Self::Respawn(target) => out.message(target),
            Self::Stop(target) | Self::Reinstate(target) => out.message(target),
            Self::Spawn(spawn) => out.message(&**spawn),
            Self::GetNodeMetric(node) | Self::GetKinds(node) => out.message(node),
            Self::PersistPeerState(body) => out.raw(body),
            Self::AskGrain { grain, message, timeout } => {
                put_grain(out, grain, Some(message));
                put_timeout(out, 3, timeout);
            }
            Self::TellGrain { grain, message } => put_grain(out, grain, Some(message)),
            Self::ActivateGrain(grain) => put_grain(out, grain, None),
        })
    }
}

impl Request {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn decode(procedure: Procedure, body: Bytes) -> Result<Self, RequestError> {
        let is_setup = !matches!(
            procedure,
            Procedure::Tell
                | Procedure::Ask
                | Procedure::AskGrain
                | Procedure::TellGrain
                | Procedure::PersistPeerState
        );
        if is_setup && body.len() > MAX_SETUP_LEN {
            Fields::new(&body).check()?;
            return Err(too_large(body.len()).into());
        }
        Ok(match procedure {
            Procedure::Tell => Self::Tell(RemoteMessages::decode(body, |_, _| Ok(()))?),
            Procedure::Ask => {
                let mut timeout = None;
                let messages = RemoteMessages::decode(body, |number, field| {
                    merge_if(2, number, field, &mut timeout)
                })?;
                let timeout = timeout.map_or(DEFAULT_ASK_TIMEOUT, proto::Duration::to_std);
                Self::Ask { messages, timeout }
            }
            Procedure::Lookup => Self::Lookup(read(body)?),
            Procedure::Spawn => Self::Spawn(Box::new(read(body)?)),
            Procedure::Respawn => Self::Respawn(read(body)?),
            Procedure::Stop => Self::Stop(read(body)?),
            Procedure::Reinstate => Self::Reinstate(read(body)?),
            Procedure::AskGrain => {
                let GrainMessage { grain, message, timeout } = GrainMessage::decode(&body)?;
                let timeout = timeout.unwrap_or_default().to_std();
                Self::AskGrain { grain, message, timeout }
            }
            Procedure::TellGrain => {
                let GrainMessage { grain, message, .. } = GrainMessage::decode(&body)?;
                Self::TellGrain { grain, message }
            }
            Procedure::ActivateGrain => {
                let grain = read::<proto::ActivateGrainRequest>(body)?.grain;
                Self::ActivateGrain(Box::new(grain.unwrap_or_default()))
            }
            Procedure::PersistPeerState => {
                Fields::new(&body).check()?;
                Self::PersistPeerState(body)
            }
            Procedure::GetNodeMetric => Self::GetNodeMetric(read(body)?),
            Procedure::GetKinds => Self::GetKinds(read(body)?),
        })
    }

    /// What it wants.
    pub fn purpose(&self) -> Purpose<'_> {
        let path = |target: &proto::Target| target.name.clone();
        Purpose::Operation(match self {
            Self::Tell(_) | Self::Ask { .. } => return Purpose::Messages,
            Self::Lookup(target) => Operation::Lookup { path: path(target) },
            Self::Stop(target) => Operation::Stop { path: path(target), uid: None },
            Self::Respawn(target) => Operation::Respawn { path: path(target), uid: None },
            Self::Reinstate(target) => Operation::Reinstate { path: path(target), uid: None },
            Self::Spawn(spawn) => match spawn_operation(spawn) {
                Ok(operation) => operation,
                Err(error) => return Purpose::Refused(error),
            },
            Self::AskGrain { grain, .. }
            | Self::TellGrain { grain, .. }
            | Self::ActivateGrain(grain) => return Purpose::Grain(grain),
            Self::PersistPeerState(_) | Self::GetNodeMetric(_) | Self::GetKinds(_) => {
                return Purpose::Cluster;
            }
        })
    }

    /// What the texts of failures call it: a name, or `KIND/NAME`. Messages have a receiver each.
    pub fn subject(&self) -> &str {
        match self {
            Self::Lookup(target)
            | Self::Respawn(target)
            | Self::Stop(target)
            | Self::Reinstate(target) => &target.name,
            Self::Spawn(spawn) => &spawn.actor_name,
            Self::AskGrain { grain, .. }
            | Self::TellGrain { grain, .. }
            | Self::ActivateGrain(grain) => {
                grain.grain_id.as_ref().map_or("", |identity| &identity.value)
            }
            Self::Tell(_) | Self::Ask { .. } | Self::PersistPeerState(_) => "",
            Self::GetNodeMetric(node) | Self::GetKinds(node) => &node.node_address,
        }
    }
}

/// Reads a message that is not part of another.
fn read<M: Message + Default>(body: Bytes) -> Result<M, Malformed> {
    Ok(M::decode(body)?)
}

fn spawn_operation(spawn: &proto::SpawnRequest) -> Result<Operation, GoError> {
    if spawn.singleton.is_some() {
        return Err(GoError::singleton_without_cluster());
    }
    let argument = match spawn.dependencies.as_slice() {
        [] => None,
        [only] => {
            Some(SpawnArgument { type_name: only.type_name.clone(), payload: only.bytea.clone() })
        }
        _ => return Err(GoError::unknown_dependency()),
    };
    let kind = canonical_kind(&spawn.actor_type);
    let spawn = Operation::Spawn { path: spawn.actor_name.clone(), kind, argument };
    match spawn.check_names() {
        Ok(()) => Ok(spawn),
        Err(error) => Err(GoError::new(ErrorCode::InvalidArgument, error.to_string())),
    }
}

fn too_large(size: usize) -> GoError {
    let failure = Failure::too_large(size as u64, MAX_SETUP_LEN as u64);
    GoError::from_failure(Procedure::Spawn, "", &failure)
}

/// Adds a field to a duration, if it is the one with that number.
fn merge_if(
    wanted: u32,
    number: u32,
    field: Field<'_>,
    timeout: &mut Option<proto::Duration>,
) -> Result<(), Malformed> {
    if let Field::Bytes(bytes) = field
        && number == wanted
    {
        timeout.get_or_insert_default().merge(bytes)?;
    }
    Ok(())
}

/// A message to a grain. The message itself may be as long as a frame and stays where it is.
struct GrainMessage {
    grain: Box<proto::Grain>,
    message: Packed,
    timeout: Option<proto::Duration>,
}

impl GrainMessage {
    fn decode(body: &Bytes) -> Result<Self, RequestError> {
        let mut grain = Box::<proto::Grain>::default();
        let (mut message, mut timeout, mut grain_len) = (Packed::default(), None, 0_usize);
        let mut fields = Fields::new(body);
        while let Some(field) = fields.next()? {
            match field {
                (1, Field::Bytes(bytes)) => {
                    grain_len = grain_len.saturating_add(bytes.len());
                    if grain_len > MAX_SETUP_LEN {
                        fields.check()?;
                        return Err(too_large(grain_len).into());
                    }
                    grain.merge(body.slice_ref(bytes)).map_err(Malformed::from)?;
                }
                (2, Field::Bytes(bytes)) => message = message.merge(body.slice_ref(bytes))?,
                (number, field) => merge_if(3, number, field, &mut timeout)?,
            }
        }
        Ok(Self { grain, message, timeout })
    }
}
