//! What a node checks before it does what a peer asks: is it meant, and may a peer ask that?

use std::borrow::Cow;
use std::fmt;

use super::address::{GoAddress, GrainIdentity, canonical_kind};
use super::error::{ErrorCode, GoError};
use super::procedure::Procedure;
use super::proto;
use super::request::Request;
use super::system::is_framework;
use crate::address::is_reserved;

/// The names under which this node is reached.
///
/// A Go node knows itself by one text, its IP address and port, and refuses all others. This one takes as
/// many as it is given.
#[derive(Clone, Debug)]
pub struct Local {
    system: String,
    places: Vec<(String, u16)>,
}

impl Local {
    /// A node that calls itself by this host and port.
    pub fn new(system: impl Into<String>, host: impl Into<String>, port: u16) -> Self {
        Self { system: system.into(), places: vec![(host.into(), port)] }
    }

    /// Adds another host and port that mean this node.
    #[must_use]
    pub fn alias(mut self, host: impl Into<String>, port: u16) -> Self {
        self.places.push((host.into(), port));
        self
    }

    /// The address of an actor here, which [`Local::receiver`] reads back.
    pub fn address(&self, path: &str) -> String {
        let (host, port) = self.places.first().map_or(("", 0), |(host, port)| (host, *port));
        GoAddress { system: &self.system, host, port: port.into(), path }.to_string()
    }

    /// Whether this host and port mean this node. A host may stand in brackets, as Go writes IPv6.
    pub fn is_here(&self, host: &str, port: i32) -> bool {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        self.places
            .iter()
            .any(|(ours, at)| i32::from(*at) == port && ours.eq_ignore_ascii_case(host))
    }

    /// Which actor a message is for: the path below this node.
    ///
    /// # Errors
    /// The answer: the address cannot be read, or it is not one of this node. A Go node tells the
    /// latter apart for an ask only.
    pub fn receiver<'a>(
        &self,
        procedure: Procedure,
        text: &'a str,
    ) -> Result<Cow<'a, str>, GoError> {
        let address = GoAddress::parse(text).map_err(|error| {
            let error = GoError::new(ErrorCode::InvalidArgument, error.to_string());
            GoError::of_name("address", text).err().unwrap_or(error)
        })?;
        let is_here = self.is_here(address.host, address.port);
        if !is_here || address.system != self.system {
            GoError::of_name("address", text)?;
        }
        if !is_here && procedure == Procedure::Ask {
            return Err(GoError::invalid_host());
        }
        if !is_here || address.system != self.system {
            return Err(GoError::not_found(address));
        }
        Ok(address.actor_path())
    }

    /// Who a message is from; `None` when it is from no actor, in either spelling.
    ///
    /// # Errors
    /// The answer to a message whose sender cannot be read. It comes after all that
    /// [`Local::receiver`] and the receiver itself have to say.
    pub fn sender<'a>(
        &self,
        procedure: Procedure,
        text: &'a str,
    ) -> Result<Option<GoAddress<'a>>, GoError> {
        match GoAddress::parse(text) {
            Ok(address) if address.is_no_sender() => Ok(None),
            Ok(address) => GoError::of_name("sender", text).map(|()| Some(address)),
            Err(error) => Err(GoError::invalid_message(procedure, error)),
        }
    }

    /// Whether a message of this type may go to that actor: what belongs to GoAkt itself is kept from
    /// the system's own actors, which a Go node does not do.
    ///
    /// # Errors
    /// The answer.
    pub fn admit_message(&self, path: &str, type_name: &str) -> Result<(), GoError> {
        match is_reserved(path) && is_framework(type_name) {
            true => Err(GoError::reserved(path)),
            false => Ok(()),
        }
    }

    /// Whether a request that is not a message may be carried out: it means this node, and no name of
    /// the system. Messages pass, since each has its own receiver.
    ///
    /// # Errors
    /// The answer.
    pub fn admit(&self, request: &Request) -> Result<(), GoError> {
        match request {
            Request::Lookup(target) => self.admit_here(&target.host, target.port),
            Request::Stop(target) | Request::Respawn(target) | Request::Reinstate(target) => {
                self.admit_here(&target.host, target.port)?;
                admit_name(&target.name)
            }
            Request::Spawn(spawn) => {
                self.admit_here(&spawn.host, spawn.port)?;
                admit_name(&spawn.actor_name)
            }
            Request::AskGrain { grain, .. }
            | Request::TellGrain { grain, .. }
            | Request::ActivateGrain(grain) => self.grain(grain).map(drop),
            Request::GetNodeMetric(node) | Request::GetKinds(node) => {
                let is_here = node.node_address.rsplit_once(':').is_some_and(|(host, port)| {
                    port.parse().is_ok_and(|port| self.is_here(host, port))
                });
                if is_here { Ok(()) } else { Err(GoError::invalid_host()) }
            }
            Request::Tell(_) | Request::Ask { .. } | Request::PersistPeerState(_) => Ok(()),
        }
    }

    /// Which grain a request is about.
    ///
    /// # Errors
    /// The answer: it is not of this node, not an identity, or one of the system.
    pub fn grain(&self, grain: &proto::Grain) -> Result<GrainIdentity, GoError> {
        self.admit_here(&grain.host, grain.port)?;
        let value = grain.grain_id.as_ref().map_or("", |identity| &identity.value);
        let identity = GrainIdentity::parse(value)
            .map_err(|error| GoError::new(ErrorCode::InvalidArgument, error.to_string()))?;
        match identity.is_reserved() {
            true => Err(GoError::reserved_grain(&identity)),
            false => Ok(identity),
        }
    }

    fn admit_here(&self, host: &str, port: i32) -> Result<(), GoError> {
        if self.is_here(host, port) { Ok(()) } else { Err(GoError::invalid_host()) }
    }
}

fn admit_name(name: &str) -> Result<(), GoError> {
    if is_reserved(name) { Err(GoError::reserved(name)) } else { Ok(()) }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address(""))
    }
}

/// A grain as it is named in requests to the node that calls itself `host` and `port`.
pub fn grain(kind: &str, name: &str, host: &str, port: u16) -> proto::Grain {
    let (kind, name) = (canonical_kind(kind), name.trim().to_owned());
    let value = format!("{kind}/{name}");
    proto::Grain {
        grain_id: Some(proto::GrainId { kind, name, value }),
        host: host.to_owned(),
        port: port.into(),
        activation_timeout: Some(proto::Duration { seconds: 1, nanos: 0 }),
        activation_retries: 5,
        mailbox_capacity: Some(0),
        ..proto::Grain::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> Local {
        Local::new("sys", "127.0.0.1", 4001).alias("node-a.example.com", 4001)
    }

    fn target(host: &str, port: i32, name: &str) -> proto::Target {
        proto::Target { host: host.into(), port, name: name.into() }
    }

    #[test]
    fn a_message_finds_its_receiver_under_every_name_of_the_node() {
        let path = |text| local().receiver(Procedure::Tell, text);
        assert_eq!(path("goakt://sys@127.0.0.1:4001/echo"), Ok("echo".into()));
        assert_eq!(path("goakt://sys@127.0.0.1:04001/parent/echo"), Ok("parent/echo".into()));
        assert_eq!(path("goakt://sys@NODE-A.example.com:4001/echo"), Ok("echo".into()));
        for of_actor in ["a", "a/b", "a/b/c", "a/b/c/d"] {
            let text = local().address(of_actor);
            assert_eq!(local().receiver(Procedure::Tell, &text), Ok(of_actor.into()));
        }
    }

    #[test]
    fn a_tell_and_an_ask_to_another_node_fail_as_a_go_node_lets_them() {
        let text = "goakt://sys@localhost:4001/echo";
        let error = local().receiver(Procedure::Ask, text).unwrap_err();
        assert_eq!(error, GoError::invalid_host());
        let error = local().receiver(Procedure::Tell, text).unwrap_err();
        assert_eq!(error.code, ErrorCode::NotFound);
        assert_eq!(error.message, format!("(actor address={text}) address not found"));
        for procedure in [Procedure::Tell, Procedure::Ask] {
            let error = local().receiver(procedure, "goakt://other@127.0.0.1:4001/echo");
            assert_eq!(error.unwrap_err().code, ErrorCode::NotFound);
            let error = local().receiver(procedure, "echo").unwrap_err();
            assert_eq!(
                error,
                GoError::new(ErrorCode::InvalidArgument, "address format is invalid")
            );
        }
    }

    #[test]
    fn a_sender_is_an_actor_or_nobody_but_never_empty() {
        let local = local();
        let sender = |text| local.sender(Procedure::Ask, text);
        assert_eq!(sender("goakt://@:0/"), Ok(None));
        assert_eq!(sender("goakt://s@h:1/GoAktNoSender"), Ok(None));
        assert_eq!(sender("goakt://s@h:1/a").unwrap().unwrap().name(), "a");
        let error = sender("").unwrap_err();
        let text = "remote send failed\ninvalid remote message\naddress is required";
        assert_eq!(error, GoError::new(ErrorCode::InternalError, text));
    }

    #[test]
    fn requests_for_another_node_or_for_system_actors_are_refused() {
        let admit = |request| local().admit(&request);
        assert_eq!(admit(Request::Stop(target("127.0.0.1", 4001, "echo"))), Ok(()));
        assert_eq!(admit(Request::Lookup(target("127.0.0.1", 4001, "GoAktRootGuardian"))), Ok(()));
        let refused = admit(Request::Lookup(target("localhost", 4001, "echo")));
        assert_eq!(refused, Err(GoError::invalid_host()));
        let refused = admit(Request::Lookup(target("127.0.0.1", 4002, "echo")));
        assert_eq!(refused, Err(GoError::invalid_host()));
        for request in [Request::Stop, Request::Respawn, Request::Reinstate] {
            let refused = admit(request(target("127.0.0.1", 4001, "GoAktDeathWatch")));
            assert_eq!(refused, Err(GoError::reserved("GoAktDeathWatch")));
        }
        let grain_of = |kind: &str, name: &str| {
            admit(Request::ActivateGrain(Box::new(grain(kind, name, "127.0.0.1", 4001))))
        };
        assert_eq!(grain_of(" Main.Cart", "42"), Ok(()));
        assert_eq!(grain_of("cart", "GoAktX"), Err(GoError::reserved_grain("cart/GoAktX")));
        assert_eq!(grain_of("cart", "").unwrap_err().message, "invalid graind identity");
        let nothing = Request::ActivateGrain(Box::default());
        assert_eq!(admit(nothing), Err(GoError::invalid_host()));
        let node =
            |text: &str| admit(Request::GetKinds(proto::NodeRequest { node_address: text.into() }));
        assert_eq!(node("127.0.0.1:4001"), Ok(()));
        assert_eq!(node("127.0.0.1"), Err(GoError::invalid_host()));
    }

    #[test]
    fn framework_messages_do_not_reach_system_actors() {
        let local = local();
        assert_eq!(local.admit_message("echo", "goaktpb.PoisonPill"), Ok(()));
        assert_eq!(local.admit_message("GoAktTopicActor", "shop.Order"), Ok(()));
        for type_name in ["goaktpb.PoisonPill", "internalpb.Rebalance"] {
            let refused = local.admit_message("GoAktRootGuardian", type_name).unwrap_err();
            assert_eq!(refused, GoError::reserved("GoAktRootGuardian"));
        }
    }
}
