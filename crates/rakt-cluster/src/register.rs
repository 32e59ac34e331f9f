//! The register that holds the view: what it must do, as outcomes. The trait with the I/O lives where I/O is.
//!
//! Three operations, and a hint that something has changed:
//!
//! - **read** returns the newest view, and misses nothing that was complete before the call began;
//! - **confirm** says whether a version is still the newest, as strongly as a read;
//! - **swap** replaces exactly the version that it names.
//!
//! An outcome that is unknown is one: the operation may have happened, may happen yet, or never. Only what the register has
//! returned or acknowledged is a view.

/// What the register calls a state of its own. It is compared, and nothing else is read into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// The outcome of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Confirmed {
    /// The version was the newest at some time after the call began.
    Newest,
    /// There is a newer one: read it.
    Older,
    /// No answer, or none that tells.
    Unknown,
}

/// The outcome of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Swapped {
    /// It happened.
    Done(Version),
    /// It did not happen, and never will: another version was there.
    Conflict,
    /// It may have happened, may happen yet, or never: [`Attempt::settle`] tells by what is read next.
    Unknown,
}

/// A swap that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// What it replaces.
    pub over: Version,
    /// The bytes that it proposes. Until the register has acknowledged or returned them they are no view: they are neither
    /// acted on nor sent on.
    pub bytes: Vec<u8>,
}

/// What a read says of a swap of unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settled {
    /// It happened, and is the newest.
    Won,
    /// It has not happened, and still may. Another attempt over the same version cannot happen beside it.
    Open,
    /// Something else is the newest. Whether this attempt was there in between only the newest view tells: what is
    /// still wanted is proposed over that.
    Superseded,
}

impl Attempt {
    /// What a read that began after the attempt says of it.
    #[must_use]
    pub fn settle(&self, version: Version, bytes: &[u8]) -> Settled {
        if version == self.over {
            Settled::Open
        } else if bytes == self.bytes {
            Settled::Won
        } else {
            Settled::Superseded
        }
    }
}
