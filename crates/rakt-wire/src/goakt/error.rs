//! `internalpb.Error`: how failures travel, and what each side makes of the other's.
//!
//! A Go client tells most failures by the code, and two codes by English words in the text, so both are
//! those of a Go node of v3.14.0 (`actor/remote_server.go`, `remote/remoting.go`, `errors/`). Where rakt
//! knows more than a Go node would say, the rest of the text is ours.

use std::fmt;

use super::procedure::Procedure;
use crate::address::validate_text;
use crate::base::codes::codes;
use crate::base::text::{Shown, cut_text};
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
#[error("{code:?}: {}", Shown(message))]
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

    /// Nothing, if a name holds no control character.
    ///
    /// # Errors
    /// What the peer is told of one that does.
    pub fn of_name(what: &'static str, name: &str) -> Result<(), Self> {
        validate_text(what, name)
            .map_err(|error| Self::new(ErrorCode::InvalidArgument, error.to_string()))
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
        use ErrorCode as E;
        let detail = match failure.detail.is_empty() {
            true => failure.to_string(),
            false => cut_text(&failure.detail, MAX_DETAIL_LEN).to_owned(),
        };
        let (code, text) = match (failure.code, procedure) {
            (Code::RemotingOff | Code::ShuttingDown, _) => {
                (E::FailedPrecondition, REMOTING_OFF.to_owned())
            }
            (Code::ResourceExhausted | Code::MailboxFull | Code::Dropped, _) => {
                (E::ResourceExhausted, failure.to_string())
            }
            (Code::Cancelled, _) => (E::Canceled, failure.to_string()),
            (Code::Denied, _) => (E::FailedPrecondition, failure.to_string()),
            (Code::TooLarge, _) => (E::InvalidArgument, failure.to_string()),
            (code, _) if procedure.is_grain() => Self::of_grain(code, detail),
            (Code::NotFound | Code::StaleIncarnation, _) => return Self::not_found(subject),
            (Code::KindNotRegistered, _) => (E::FailedPrecondition, KIND_NOT_REGISTERED.to_owned()),
            (Code::NameTaken, _) => {
                (E::AlreadyExists, format!("actor=({subject}) actor already exists"))
            }
            (code, Procedure::Tell | Procedure::Ask) => {
                return Self::of_message(procedure, code, detail);
            }
            (_, Procedure::Stop) => {
                (E::InternalError, format!("failed to stop actor={subject}: {detail}"))
            }
            (_, Procedure::Respawn) => {
                (E::InternalError, format!("failed to restart actor={subject}: {detail}"))
            }
            _ => (E::InternalError, detail),
        };
        Self::new(code, text)
    }

    fn of_message(procedure: Procedure, code: Code, detail: String) -> Self {
        match code {
            Code::Stopped | Code::Suspended => Self::send(NOT_ALIVE),
            Code::DeadlineExceeded => {
                Self { code: ErrorCode::DeadlineExceeded, ..Self::send(REQUEST_TIMEOUT) }
            }
            Code::NotAccepted | Code::Undecodable => Self::invalid_message(procedure, detail),
            Code::InvalidArgument => Self::new(ErrorCode::InvalidArgument, detail),
            _ => Self::send(detail),
        }
    }

    /// A Go node has one code for all that goes wrong with grains, time running out included.
    fn of_grain(code: Code, detail: String) -> (ErrorCode, String) {
        match code {
            Code::InvalidArgument => (ErrorCode::InvalidArgument, detail),
            Code::KindNotRegistered => (ErrorCode::InternalError, GRAIN_NOT_REGISTERED.to_owned()),
            Code::DeadlineExceeded => (ErrorCode::InternalError, REQUEST_TIMEOUT.to_owned()),
            _ => (ErrorCode::InternalError, detail),
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
        Failure::with_detail(code, format!("{}{hint}", cut_text(without_code(text, code), room)))
    }

    /// Whether the node that says so is going down, or has never served: its connections are of no use.
    pub fn is_node_down(&self) -> bool {
        self.code == ErrorCode::FailedPrecondition && self.message.contains(REMOTING_OFF)
    }
}

/// A text without the code that a node of rakt has put before it, which the failure says itself.
fn without_code(text: &str, code: Code) -> &str {
    match text.strip_prefix(code.as_str()) {
        Some("") => "",
        Some(rest) => rest.strip_prefix(": ").unwrap_or(text),
        None => text,
    }
}

/// The first text of a table that occurs in `text` tells what it means, and its likely cause.
fn meaning(
    text: &str,
    table: &[(&str, Code, &'static str)],
    otherwise: Code,
) -> (Code, &'static str) {
    let found = table.iter().find(|(part, ..)| text.contains(part));
    found.map_or((otherwise, ""), |(_, code, hint)| (*code, *hint))
}

fn precondition(text: &str) -> (Code, &'static str) {
    // The order is that of a Go client.
    let table = [
        (KIND_NOT_REGISTERED, Code::KindNotRegistered, ": a Go kind is package.type in lower case"),
        (REMOTING_OFF, Code::RemotingOff, ""),
        (CLUSTER_OFF, Code::Unsupported, ""),
    ];
    // Else it is a reserved name.
    meaning(text, &table, Code::Denied)
}

fn internal(procedure: Procedure, text: &str) -> (Code, &'static str) {
    let unregistered = ": is the type of the message registered with the Go node?";
    let table = [
        (NOT_ALIVE, Code::Stopped, ""),
        (INVALID_MESSAGE, Code::Undecodable, unregistered),
        (GRAIN_NOT_REGISTERED, Code::KindNotRegistered, ""),
        (DEPENDENCY_NOT_REGISTERED, Code::InvalidArgument, ""),
        (CLUSTER_OFF, Code::Unsupported, ""),
        (REQUEST_TIMEOUT, Code::DeadlineExceeded, ""),
    ];
    let otherwise = match procedure.is_grain() {
        true if text.contains("unhandled message") => Code::NotAccepted,
        true => Code::HandlerFailed,
        false => Code::Internal,
    };
    meaning(text, &table, otherwise)
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
        use {Code as C, ErrorCode as E, Procedure as P};
        let says = |procedure, subject, code, detail, expected: (E, &str)| {
            let told = told(procedure, subject, Failure::with_detail(code, detail));
            assert_eq!(told, (expected.0, expected.1.to_owned()), "{procedure} {code}");
        };
        let not_found =
            (E::NotFound, "(actor address=goakt://sys@127.0.0.1:4001/echo) address not found");
        says(P::Tell, ADDRESS, C::NotFound, "", not_found);
        says(P::Ask, ADDRESS, C::NotFound, "", not_found);
        says(P::Ask, ADDRESS, C::StaleIncarnation, "", not_found);
        let text = "(actor address=echo) address not found";
        says(P::Lookup, "echo", C::NotFound, "", (E::NotFound, text));
        let not_alive = (E::InternalError, "remote send failed\nactor is not alive");
        says(P::Tell, ADDRESS, C::Stopped, "", not_alive);
        says(P::Ask, ADDRESS, C::Suspended, "", not_alive);
        let text = "remote send failed\nrequest timed out";
        says(P::Ask, ADDRESS, C::DeadlineExceeded, "", (E::DeadlineExceeded, text));
        let text = "remote send failed\ninvalid remote message\nproto: not found";
        says(P::Ask, ADDRESS, C::NotAccepted, "proto: not found", (E::InternalError, text));
        let text = "invalid remote message\nproto: not found";
        says(P::Tell, ADDRESS, C::Undecodable, "proto: not found", (E::InternalError, text));
        let text = "remote send failed\nno";
        says(P::Ask, ADDRESS, C::HandlerFailed, "no", (E::InternalError, text));
        let text = "remote send failed\nno reply";
        says(P::Ask, ADDRESS, C::NoReply, "", (E::InternalError, text));
        let off = (E::FailedPrecondition, "remoting is not enabled");
        says(P::Tell, ADDRESS, C::RemotingOff, "", off);
        says(P::Stop, "echo", C::ShuttingDown, "", off);
        let text = "actor type is not registered";
        says(P::Spawn, "echo", C::KindNotRegistered, "", (E::FailedPrecondition, text));
        let text = "actor=(echo) actor already exists";
        says(P::Spawn, "echo", C::NameTaken, "", (E::AlreadyExists, text));
        let text = "the [name] is required";
        says(P::Spawn, "echo", C::InvalidArgument, text, (E::InternalError, text));
        let text = "failed to stop actor=echo: why";
        says(P::Stop, "echo", C::Internal, "why", (E::InternalError, text));
        let text = "failed to restart actor=echo: why";
        says(P::Respawn, "echo", C::Internal, "why", (E::InternalError, text));
        let text = "request timed out";
        says(P::AskGrain, "cart/1", C::DeadlineExceeded, "", (E::InternalError, text));
        let text = "grain type is not registered";
        says(P::TellGrain, "cart/1", C::KindNotRegistered, "", (E::InternalError, text));
        says(P::AskGrain, "cart/1", C::HandlerFailed, "no", (E::InternalError, "no"));
        assert_eq!(GoError::reserved("GoAktX").message, "(actor=GoAktX) actor not found");
        let reserved = GoError::reserved_grain("c/GoAktX").message;
        assert_eq!(reserved, "name=(c/GoAktX) actor name is reserved");
    }

    #[test]
    fn what_a_go_node_says_is_understood() {
        use {Code as C, ErrorCode as E, Procedure as P};
        let means = |procedure, code, text: &str, expected| {
            let failure = GoError::new(code, text).into_failure(procedure);
            assert_eq!(failure.code, expected, "{text}");
            assert!(failure.detail.starts_with(text), "{failure}");
        };
        means(P::Lookup, E::NotFound, "(actor address=x) address not found", C::NotFound);
        let text = "remote send failed\nrequest timed out";
        means(P::Ask, E::DeadlineExceeded, text, C::DeadlineExceeded);
        let text = "remote send failed\nactor is not alive";
        means(P::Ask, E::InternalError, text, C::Stopped);
        let text = "remote send failed\ninvalid remote message\nproto: not found";
        means(P::Ask, E::InternalError, text, C::Undecodable);
        let text = "actor type is not registered";
        means(P::Spawn, E::FailedPrecondition, text, C::KindNotRegistered);
        means(P::Tell, E::FailedPrecondition, "remoting is not enabled", C::RemotingOff);
        means(P::GetKinds, E::FailedPrecondition, "cluster is not enabled", C::Unsupported);
        means(P::Stop, E::FailedPrecondition, "(actor=GoAktX) actor not found", C::Denied);
        means(P::Spawn, E::AlreadyExists, "actor=(x) actor already exists", C::NameTaken);
        let text = "dependency type is not registered";
        means(P::Spawn, E::InternalError, text, C::InvalidArgument);
        means(P::Ask, E::InvalidArgument, "invalid host", C::InvalidArgument);
        means(P::AskGrain, E::InternalError, "request timed out", C::DeadlineExceeded);
        let text = "grain type is not registered";
        means(P::AskGrain, E::InternalError, text, C::KindNotRegistered);
        let text = "unhandled message\nunhandled message type X";
        means(P::AskGrain, E::InternalError, text, C::NotAccepted);
        means(P::TellGrain, E::InternalError, "sold out", C::HandlerFailed);
        means(P::Stop, E::InternalError, "failed to stop actor=x: y", C::Internal);
        means(P::Spawn, E::Unavailable, "quorum", C::Internal);
        let hint = GoError::invalid_host().into_failure(P::Ask).to_string();
        assert!(hint.contains("the IP address and port that it is bound to"), "{hint}");
        assert!(GoError::new(E::FailedPrecondition, REMOTING_OFF).is_node_down());
        assert!(!GoError::cluster_off().is_node_down());
        for failure in [
            Failure::with_detail(C::Denied, "to stop it"),
            Failure::with_detail(C::ResourceExhausted, "no room"),
            Failure::new(C::Cancelled),
        ] {
            let (code, text) = told(P::Ask, ADDRESS, failure.clone());
            assert_eq!(GoError::new(code, text).into_failure(P::Ask), failure);
        }
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
