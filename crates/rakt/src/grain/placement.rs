//! Where a grain is brought to life in a cluster.

/// How the node is chosen on which a grain is brought to life: see [`GrainKind::placement`](super::GrainKind::placement).
///
/// All choose among members that are up and have the [role](super::GrainKind::role) of the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placement {
    /// The node that keeps track of where the grain lives, which saves a step. Spread evenly, by a hash of the key.
    #[default]
    Owner,
    /// The node that sends the message. Else as `Owner`.
    Local,
    /// Any, of the same zone as the node that keeps track of it if there is one.
    Random,
    /// One after the other.
    RoundRobin,
    /// The less loaded of two that are drawn.
    LeastLoad,
}
