//! What a node can be asked, by the names that stand in the frames.

use std::fmt;

/// The name of the message that stands for a failure in place of a response.
pub const ERROR_NAME: &str = "internalpb.Error";

macro_rules! procedures {
    ($($(#[$doc:meta])* $variant:ident: $request:literal => $response:literal,)*) => {
        /// One kind of request. The full name of the request message selects it; there is no other sign.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Procedure {
            $($(#[$doc])* $variant,)*
        }

        impl Procedure {
            /// Every procedure.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The full name of its request.
            pub fn request_name(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("internalpb.", $request),)*
                }
            }

            /// The full name of its response, when it succeeds.
            pub fn response_name(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("internalpb.", $response),)*
                }
            }

            /// The procedure that a request of this name selects.
            pub fn from_request_name(name: &[u8]) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.request_name().as_bytes() == name)
            }
        }
    };
}

// The most frequent ones come first.
procedures! {
    /// Messages to actors, acknowledged once they are in the mailbox.
    Tell: "RemoteTellRequest" => "RemoteTellResponse",
    /// Messages to actors, each answered with a reply.
    Ask: "RemoteAskRequest" => "RemoteAskResponse",
    /// Is there an actor of this name?
    Lookup: "RemoteLookupRequest" => "RemoteLookupResponse",
    /// Start an actor.
    Spawn: "RemoteSpawnRequest" => "RemoteSpawnResponse",
    /// Restart an actor.
    Respawn: "RemoteReSpawnRequest" => "RemoteReSpawnResponse",
    /// Stop an actor.
    Stop: "RemoteStopRequest" => "RemoteStopResponse",
    /// Let a suspended actor go on.
    Reinstate: "RemoteReinstateRequest" => "RemoteReinstateResponse",
    /// A message to a grain, answered with a reply.
    AskGrain: "RemoteAskGrainRequest" => "RemoteAskGrainResponse",
    /// A message to a grain, acknowledged once it is handled.
    TellGrain: "RemoteTellGrainRequest" => "RemoteTellGrainResponse",
    /// Bring a grain into memory.
    ActivateGrain: "RemoteActivateGrainRequest" => "RemoteActivateGrainResponse",
    /// Keep what another node of the cluster runs. Clusters only.
    PersistPeerState: "PersistPeerStateRequest" => "PersistPeerStateResponse",
    /// How busy is the node? Clusters only.
    GetNodeMetric: "GetNodeMetricRequest" => "GetNodeMetricResponse",
    /// Which kinds can it run? Clusters only.
    GetKinds: "GetKindsRequest" => "GetKindsResponse",
}

impl Procedure {
    /// Whether the headers of a request reach the propagator; they are ignored in all others.
    pub fn takes_headers(self) -> bool {
        matches!(self, Self::Tell | Self::Ask | Self::AskGrain | Self::TellGrain)
    }

    /// Whether only a node in a cluster has an answer.
    pub fn is_cluster_only(self) -> bool {
        matches!(self, Self::PersistPeerState | Self::GetNodeMetric | Self::GetKinds)
    }

    /// Whether it is about a grain.
    pub fn is_grain(self) -> bool {
        matches!(self, Self::AskGrain | Self::TellGrain | Self::ActivateGrain)
    }
}

impl fmt::Display for Procedure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.request_name();
        f.write_str(name.strip_prefix("internalpb.").unwrap_or(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_procedure_is_found_by_its_name() {
        assert_eq!(Procedure::ALL.len(), 13);
        for &procedure in Procedure::ALL {
            let name = procedure.request_name();
            assert_eq!(Procedure::from_request_name(name.as_bytes()), Some(procedure));
            assert_eq!(procedure.response_name(), name.replace("Request", "Response"));
            assert_eq!(Procedure::from_request_name(procedure.response_name().as_bytes()), None);
        }
        assert_eq!(Procedure::Respawn.to_string(), "RemoteReSpawnRequest");
    }
}
