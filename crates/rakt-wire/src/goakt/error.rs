//! `internalpb.Error`: how failures travel, and what each side makes of the other's.
//!
//! A Go client tells most failures by the code, and two codes by English words in the text, so both are
//! those of a Go node of v3.14.0 (`actor/remote_server.go`, `remote/remoting.go`, `errors/`). Where rakt
//! knows more than a Go node would say, the rest of the text is ours.

use std::fmt;

use super::procedure::Procedure;
use crate::base::codes::codes;
use crate::base::text::cut_text;
use crate::failure::{Code, Failure, MAX_DETAIL_LEN};

codes! {
    /// What kind of failure it is, as a number.
    pub enum ErrorCode(i32: as_i32, from_i32 or Unknown) {
        0 Internal "internal" "Not sent by v3.14.0.";
        1 NotFound "not found" "There is no such actor.";
        2 AlreadyExists "already exists" "The name is taken.";
        3 InvalidArgument "invalid argument" "The request makes no sense to this node.";
        4 Unavailable "unavailable" "Try elsewhere or later.";
        5 FailedPrecondition "failed precondition" "This node is not set up for it.";
        6 InternalError "internal error" "It went wrong.";
        7 DeadlineExceeded "deadline exceeded" "There was no answer in time.";
        8 ResourceExhausted "resource exhausted" "Not sent by v3.14.0.";
        9 Canceled "canceled" "Not sent by v3.14.0.";
        10 Unknown "unknown" "Anything else.";
    }
}

const REMOTE_SEND: &str = "remote send failed";
const REQUEST_TIMEOUT: &str = "request timed out";
const NOT_ALIVE: &str = "actor is not alive";
const INVALID_MESSAGE: &str = "invalid remote message";
const REMOTING_OFF: &str = "remoting is not enabled";
const CLUSTER_OFF: &str = "cluster is not enabled";
const KIND_NOT_REGISTERED: &str = "actor type is not registered";
const GRAIN_NOT_REGISTERED: &str = "grain type is not registered";
const DEPENDENCY_NOT_REGISTERED: &str = "dependency type is not registered";
const INVALID_HOST: &str = "invalid host";

/// A failure as it travels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code:?}: {message}")]
pub struct GoError {
    /// What kind.
    pub code: ErrorCode,
    /// What happened. Nested causes follow in lines of their own.
    pub message: String,
}

impl GoError {
    /// A failure.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The request names another host or port than this node's.
    pub fn invalid_host() -> Self {
        Self::new(ErrorCode::InvalidArgument, INVALID_HOST)
    }

    /// There is no actor at `address`, or of that name.
    pub fn not_found(address: impl fmt::Display) -> Self {
        Self::new(ErrorCode::NotFound, format!("(actor address={address}) address not found"))
    }

    /// The name belongs to the system.
    pub fn reserved(name: &str) -> Self {
        Self::new(ErrorCode::FailedPrecondition, format!("(actor={name}) actor not found"))
    }

    /// The kind or name of the grain belongs to the system.
    pub fn reserved_grain(identity: impl fmt::Display) -> Self {
        let text = format!("name=({identity}) actor name is reserved");
        Self::new(ErrorCode::FailedPrecondition, text)
    }

    /// What only a node of a cluster can do.
    pub fn cluster_off() -> Self {
        Self::new(ErrorCode::FailedPrecondition, CLUSTER_OFF)
    }

    /// A singleton, which takes a cluster; a Go node has another code for this one.
    pub fn singleton_without_cluster() -> Self {
        Self::new(ErrorCode::InternalError, CLUSTER_OFF)
    }

    /// An actor is to be started with something that is not known here.
    pub fn unknown_dependency() -> Self {
        Self::new(ErrorCode::InternalError, DEPENDENCY_NOT_REGISTERED)
    }

    /// The message's type, bytes or sender are not understood.
    pub fn invalid_message(procedure: Procedure, cause: impl fmt::Display) -> Self {
        let text = format!("{INVALID_MESSAGE}\n{cause}");
        match procedure {
            Procedure::Ask => Self::send(text),
            _ => Self::new(ErrorCode::InternalError, text),
        }
    }

    fn send(cause: impl fmt::Display) -> Self {
        Self::new(ErrorCode::InternalError, format!("{REMOTE_SEND}\n{cause}"))
    }

    /// What a Go client is told when `procedure` failed on `subject`: the name for a spawn,
    /// `KIND/NAME` for grains, the whole address for everything else.
    pub fn from_failure(procedure: Procedure, subject: &str, failure: &Failure) -> Self {
        let detail = || match failure.detail.is_empty() {
            true => failure.to_string(),
            false => cut_text(&failure.detail, MAX_DETAIL_LEN).to_owned(),
        };
        match failure.code {
            Code::RemotingOff | Code::ShuttingDown => {
                Self::new(ErrorCode::FailedPrecondition, REMOTING_OFF)
            }
            Code::ResourceExhausted | Code::MailboxFull | Code::Dropped => {
                Self::new(ErrorCode::ResourceExhausted, failure.to_string())
            }
            Code::Cancelled => Self::new(ErrorCode::Canceled, failure.to_string()),
            Code::Denied => Self::new(ErrorCode::FailedPrecondition, failure.to_string()),
            Code::TooLarge => Self::new(ErrorCode::InvalidArgument, failure.to_string()),
            _ if procedure.is_grain() => Self::from_grain_failure(failure, detail()),
            Code::NotFound | Code::StaleIncarnation => Self::not_found(subject),
            Code::KindNotRegistered => {
                Self::new(ErrorCode::FailedPrecondition, KIND_NOT_REGISTERED)
            }
            Code::NameTaken => {
                let text = format!("actor=({subject}) actor already exists");
                Self::new(ErrorCode::AlreadyExists, text)
            }
            code => match procedure {
                Procedure::Tell | Procedure::Ask => {
                    Self::from_message_failure(procedure, code, detail())
                }
                Procedure::Stop => {
                    let text = format!("failed to stop actor={subject}: {}", detail());
                    Self::new(ErrorCode::InternalError, text)
                }
                Procedure::Respawn => {
                    let text = format!("failed to restart actor={subject}: {}", detail());
                    Self::new(ErrorCode::InternalError, text)
                }
                _ => Self::new(ErrorCode::InternalError, detail()),
            },
        }
    }

    fn from_message_failure(procedure: Procedure, code: Code, detail: String) -> Self {
        match code {
            Code::Stopped | Code::Suspended => Self::send(NOT_ALIVE),
            Code::DeadlineExceeded => {
                let text = format!("{REMOTE_SEND}\n{REQUEST_TIMEOUT}");
                Self::new(ErrorCode::DeadlineExceeded, text)
            }
            Code::NotAccepted | Code::Undecodable => Self::invalid_message(procedure, detail),
            Code::InvalidArgument => Self::new(ErrorCode::InvalidArgument, detail),
            _ => Self::send(detail),
        }
    }

    /// A Go node has one code for all that goes wrong with grains, time running out included.
    fn from_grain_failure(failure: &Failure, detail: String) -> Self {
        match failure.code {
            Code::InvalidArgument => Self::new(ErrorCode::InvalidArgument, detail),
            Code::KindNotRegistered => Self::new(ErrorCode::InternalError, GRAIN_NOT_REGISTERED),
            Code::DeadlineExceeded => Self::new(ErrorCode::InternalError, REQUEST_TIMEOUT),
            _ => Self::new(ErrorCode::InternalError, detail),
        }
    }

    /// What a failure of a Go node means here, with its likely cause where that is known.
    pub fn into_failure(self, procedure: Procedure) -> Failure {
        let text = self.message.as_str();
        let (code, hint) = match self.code {
            ErrorCode::NotFound => (Code::NotFound, ""),
            ErrorCode::AlreadyExists => (Code::NameTaken, ""),
            ErrorCode::DeadlineExceeded => (Code::DeadlineExceeded, ""),
            ErrorCode::ResourceExhausted => (Code::ResourceExhausted, ""),
            ErrorCode::Canceled => (Code::Cancelled, ""),
            ErrorCode::InvalidArgument if text.contains(INVALID_HOST) => (
                Code::InvalidArgument,
                ": a Go node takes only the IP address and port that it is bound to, as text",
            ),
            ErrorCode::InvalidArgument => (Code::InvalidArgument, ""),
            ErrorCode::FailedPrecondition => precondition(text),
            ErrorCode::InternalError => internal(procedure, text),
            ErrorCode::Internal | ErrorCode::Unavailable | ErrorCode::Unknown => {
                (Code::Internal, "")
            }
        };
        let room = MAX_DETAIL_LEN.saturating_sub(hint.len());
        Failure::with_detail(code, format!("{}{hint}", cut_text(text, room)))
    }

    /// Whether the node that says so is going down, or has never served: its connections are of no use.
    pub fn is_node_down(&self) -> bool {
        self.code == ErrorCode::FailedPrecondition && self.message.contains(REMOTING_OFF)
    }
}

fn precondition(text: &str) -> (Code, &'static str) {
    // The order is that of a Go client.
    if text.contains(KIND_NOT_REGISTERED) {
        (Code::KindNotRegistered, ": a Go kind is package.type in lower case")
    } else if text.contains(REMOTING_OFF) {
        (Code::RemotingOff, "")
    } else if text.contains(CLUSTER_OFF) {
        (Code::Unsupported, "")
    } else {
        // A reserved name.
        (Code::Denied, "")
    }
}

fn internal(procedure: Procedure, text: &str) -> (Code, &'static str) {
    if text.contains(NOT_ALIVE) {
        (Code::Stopped, "")
    } else if text.contains(INVALID_MESSAGE) {
        (Code::Undecodable, ": is the type of the message registered with the Go node?")
    } else if text.contains(GRAIN_NOT_REGISTERED) {
        (Code::KindNotRegistered, "")
    } else if text.contains(DEPENDENCY_NOT_REGISTERED) {
        (Code::InvalidArgument, "")
    } else if text.contains(CLUSTER_OFF) {
        (Code::Unsupported, "")
    } else if text.contains(REQUEST_TIMEOUT) {
        (Code::DeadlineExceeded, "")
    } else if procedure.is_grain() && text.contains("unhandled message") {
        (Code::NotAccepted, "")
    } else if procedure.is_grain() {
        (Code::HandlerFailed, "")
    } else {
        (Code::Internal, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "goakt://sys@127.0.0.1:4001/echo";

    fn told(procedure: Procedure, subject: &str, failure: Failure) -> (ErrorCode, String) {
        let error = GoError::from_failure(procedure, subject, &failure);
        (error.code, error.message)
    }

    #[test]
    fn a_go_client_is_told_what_a_go_node_would_say() {
        use ErrorCode as E;
        use Procedure as P;
        let new = Failure::new;
        let with = |code, detail: &str| Failure::with_detail(code, detail);
        let not_found = "(actor address=goakt://sys@127.0.0.1:4001/echo) address not found";
        for (procedure, subject, failure, code, text) in [
            (P::Tell, ADDRESS, new(Code::NotFound), E::NotFound, not_found),
            (P::Ask, ADDRESS, new(Code::NotFound), E::NotFound, not_found),
            (P::Ask, ADDRESS, new(Code::StaleIncarnation), E::NotFound, not_found),
            (
                P::Lookup,
                "echo",
                new(Code::NotFound),
                E::NotFound,
                "(actor address=echo) address not found",
            ),
            (
                P::Tell,
                ADDRESS,
                new(Code::Stopped),
                E::InternalError,
                "remote send failed\nactor is not alive",
            ),
            (
                P::Ask,
                ADDRESS,
                new(Code::Suspended),
                E::InternalError,
                "remote send failed\nactor is not alive",
            ),
            (
                P::Ask,
                ADDRESS,
                new(Code::DeadlineExceeded),
                E::DeadlineExceeded,
                "remote send failed\nrequest timed out",
            ),
            (
                P::Ask,
                ADDRESS,
                with(Code::NotAccepted, "proto: not found"),
                E::InternalError,
                "remote send failed\ninvalid remote message\nproto: not found",
            ),
            (
                P::Tell,
                ADDRESS,
                with(Code::Undecodable, "proto: not found"),
                E::InternalError,
                "invalid remote message\nproto: not found",
            ),
            (
                P::Ask,
                ADDRESS,
                with(Code::HandlerFailed, "no"),
                E::InternalError,
                "remote send failed\nno",
            ),
            (
                P::Tell,
                ADDRESS,
                new(Code::RemotingOff),
                E::FailedPrecondition,
                "remoting is not enabled",
            ),
            (
                P::Stop,
                "echo",
                new(Code::ShuttingDown),
                E::FailedPrecondition,
                "remoting is not enabled",
            ),
            (
                P::Spawn,
                "echo",
                new(Code::KindNotRegistered),
                E::FailedPrecondition,
                "actor type is not registered",
            ),
            (
                P::Spawn,
                "echo",
                new(Code::NameTaken),
                E::AlreadyExists,
                "actor=(echo) actor already exists",
            ),
            (
                P::Spawn,
                "echo",
                with(Code::InvalidArgument, "the [name] is required"),
                E::InternalError,
                "the [name] is required",
            ),
            (
                P::Stop,
                "echo",
                with(Code::Internal, "why"),
                E::InternalError,
                "failed to stop actor=echo: why",
            ),
            (
                P::Respawn,
                "echo",
                with(Code::Internal, "why"),
                E::InternalError,
                "failed to restart actor=echo: why",
            ),
            (
                P::AskGrain,
                "cart/1",
                new(Code::DeadlineExceeded),
                E::InternalError,
                "request timed out",
            ),
            (
                P::TellGrain,
                "cart/1",
                new(Code::KindNotRegistered),
                E::InternalError,
                "grain type is not registered",
            ),
            (P::AskGrain, "cart/1", with(Code::HandlerFailed, "no"), E::InternalError, "no"),
        ] {
            assert_eq!(told(procedure, subject, failure), (code, text.to_owned()), "{procedure}");
        }
        let (code, text) = told(P::Ask, ADDRESS, new(Code::NoReply));
        assert_eq!((code, text.as_str()), (E::InternalError, "remote send failed\nno reply"));
        assert_eq!(GoError::reserved("GoAktX").message, "(actor=GoAktX) actor not found");
        assert_eq!(
            GoError::reserved_grain("c/GoAktX").message,
            "name=(c/GoAktX) actor name is reserved"
        );
    }

    #[test]
    fn what_a_go_node_says_is_understood() {
        use ErrorCode as E;
        use Procedure as P;
        for (procedure, code, text, expected) in [
            (P::Lookup, E::NotFound, "(actor address=x) address not found", Code::NotFound),
            (
                P::Ask,
                E::DeadlineExceeded,
                "remote send failed\nrequest timed out",
                Code::DeadlineExceeded,
            ),
            (P::Ask, E::InternalError, "remote send failed\nactor is not alive", Code::Stopped),
            (
                P::Ask,
                E::InternalError,
                "remote send failed\ninvalid remote message\nproto: not found",
                Code::Undecodable,
            ),
            (
                P::Spawn,
                E::FailedPrecondition,
                "actor type is not registered",
                Code::KindNotRegistered,
            ),
            (P::Tell, E::FailedPrecondition, "remoting is not enabled", Code::RemotingOff),
            (P::GetKinds, E::FailedPrecondition, "cluster is not enabled", Code::Unsupported),
            (P::Stop, E::FailedPrecondition, "(actor=GoAktX) actor not found", Code::Denied),
            (P::Spawn, E::AlreadyExists, "actor=(x) actor already exists", Code::NameTaken),
            (
                P::Spawn,
                E::InternalError,
                "dependency type is not registered",
                Code::InvalidArgument,
            ),
            (P::Ask, E::InvalidArgument, "invalid host", Code::InvalidArgument),
            (P::AskGrain, E::InternalError, "request timed out", Code::DeadlineExceeded),
            (
                P::AskGrain,
                E::InternalError,
                "grain type is not registered",
                Code::KindNotRegistered,
            ),
            (
                P::AskGrain,
                E::InternalError,
                "unhandled message\nunhandled message type X",
                Code::NotAccepted,
            ),
            (P::TellGrain, E::InternalError, "sold out", Code::HandlerFailed),
            (P::Stop, E::InternalError, "failed to stop actor=x: y", Code::Internal),
            (P::Spawn, E::Unavailable, "quorum", Code::Internal),
        ] {
            let failure = GoError::new(code, text).into_failure(procedure);
            assert_eq!(failure.code, expected, "{text}");
            assert!(failure.detail.starts_with(text), "{failure}");
        }
        let hint = GoError::invalid_host().into_failure(P::Ask).to_string();
        assert!(hint.contains("the IP address and port that it is bound to"), "{hint}");
        assert!(GoError::new(E::FailedPrecondition, REMOTING_OFF).is_node_down());
        assert!(!GoError::cluster_off().is_node_down());
        let long = GoError::new(E::InvalidArgument, format!("invalid host{}", "x".repeat(5000)));
        assert_eq!(long.into_failure(P::Ask).detail.len(), MAX_DETAIL_LEN);
    }

    #[test]
    fn a_go_node_is_told_no_more_than_a_native_one() {
        let failure = Failure::with_detail(Code::HandlerFailed, "x".repeat(5000));
        for procedure in [Procedure::Ask, Procedure::Stop, Procedure::TellGrain] {
            let told = GoError::from_failure(procedure, "a", &failure).message;
            assert_eq!(told.matches('x').count(), MAX_DETAIL_LEN, "{procedure}");
        }
    }

    #[test]
    fn codes_are_known_by_their_numbers() {
        for (number, code) in (0..).zip(ErrorCode::ALL) {
            assert_eq!((code.as_i32(), ErrorCode::from_i32(number)), (number, code));
        }
        assert_eq!(ErrorCode::from_i32(11), ErrorCode::Unknown);
        assert_eq!(ErrorCode::from_i32(-1), ErrorCode::Unknown);
    }
}
