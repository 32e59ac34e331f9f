//! What a peer does with an actor or a node, whichever dialect it speaks: what rules about peers are made of.

use std::fmt;

/// Defines verbs with their names and what may not be done to whom, and checks that no verb is left out of [`Verb::ALL`].
macro_rules! verbs {
    ($($(#[doc = $doc:literal])+ $verb:ident $name:literal)+) => {
        /// What a peer does with an actor, or with a node.
        ///
        /// Every message and every [`Operation`](crate::Operation) is one of these, in each dialect. More of them come
        /// with what else peers can do: with virtual actors, and with what observes a node.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Verb {
            $($(#[doc = $doc])+ $verb,)+
        }

        impl Verb {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$verb),+];

            /// Its name, as it is written in files and labels: `tell`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$verb => $name,)+
                }
            }
        }
    };
}

verbs! {
    /// Sends a message that has no reply, or whose reply nobody wants.
    Tell "tell"
    /// Sends a message and waits for the reply.
    Ask "ask"
    /// Asks whether there is an actor with a path.
    Lookup "lookup"
    /// Asks to be told when an actor ends.
    Watch "watch"
    /// Asks whether the node is there.
    Ping "ping"
    /// Asks which kinds it may spawn.
    Kinds "kinds"
    /// Starts an actor of a kind.
    Spawn "spawn"
    /// Stops an actor, by an operation or by a message that means it, such as a `PoisonPill` of GoAkt.
    Stop "stop"
    /// Restarts an actor with fresh state.
    Respawn "respawn"
    /// Lets a suspended actor go on.
    Reinstate "reinstate"
}

impl Verb {
    /// Whether it is done with an actor that has a path; else it is done with the node.
    pub fn has_path(self) -> bool {
        !matches!(self, Self::Ping | Self::Kinds)
    }

    /// The verb of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verb| verb.name() == name)
    }
}

/// The name.
impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_found_by_its_name() {
        for verb in Verb::ALL {
            assert_eq!(Verb::from_name(&verb.to_string()), Some(*verb));
        }
        assert_eq!(Verb::from_name("Tell"), None);
        assert_eq!(Verb::from_name(""), None);
    }
}
