//! The guards of the protocol by name, so that the model can take one out and has to find what it is for.

/// One rule whose absence is a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Guard {
    /// Who answered a new owner refuses what older owners grant.
    FloorOnAsk,
    /// Who handed a slot over refuses what older owners grant.
    FloorOnPull,
    /// Who answered a new owner does not answer older ones.
    FloorOnQuestion,
    /// "It does not live" is a promise.
    FloorOnNo,
    /// A slot is handed over once.
    GiveOnce,
    /// Only what is complete is handed over.
    OnlyWhole,
    /// What nobody has reported waits for all that are dead, not for the owner before alone.
    WaitForAll,
    /// An owner waits for a dead host from its own first sight, even where nobody else could take the grain.
    OwnFirstSight,
    /// Answers outlive a newer view only if none was skipped.
    KeepInRow,
    /// Grants only in the first half of a lease.
    Half,
    /// Nothing is granted without a lease.
    LeaseToGrant,
    /// Nothing is activated without a lease.
    LeaseToHost,
    /// A grant names the seat that is meant.
    NamedHost,
    /// Only who owns the slot, by the newest view of the host, has a grain brought to life or asks for it.
    OwnerOnly,
    /// A node refuses what was granted before it was admitted.
    FloorAtJoin,
    /// A node whose clock runs wrong has itself removed, long before a lease by it is too long.
    Rates,
}

/// Which guards are in: all of them, except in the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Guards {
    #[cfg(test)]
    pub(crate) without: &'static [Guard],
}

impl Guards {
    #[cfg(not(test))]
    #[inline]
    pub(crate) fn hold(self, _guard: Guard) -> bool {
        true
    }

    #[cfg(test)]
    pub(crate) fn hold(self, guard: Guard) -> bool {
        !self.without.contains(&guard)
    }
}
