//! What becomes of grains while their node is cut off from its cluster.

/// What grains do while their node cannot know whether they live elsewhere: see
/// [`GrainKind::consistency`](super::GrainKind::consistency).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Consistency {
    /// They stand still: at most one life at a time.
    #[default]
    Consistent,
    /// They serve on, and come to life there as well: a grain may have several lives until its node is back, each with a state of
    /// its own. Then one is left.
    Available,
}
