//! What a peer can say over and over.

use rakt_wire::Compression;

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// With the handshake of rakt's own protocol.
    Native,
    /// As a node of GoAkt does that is set to this compression.
    GoAkt(Compression),
    /// With nothing: the phrase itself is what comes first.
    Nothing,
}

/// How large a part is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// As small as it is of use.
    Small,
    /// With names as long as they may be, and 256 KiB of payload at most.
    Medium,
    /// As large as it may be.
    Large,
}

/// Payload bytes of a medium part.
const MEDIUM: usize = 256 * 1024;
/// Bytes of a part that is not finished.
const BEGUN: usize = 2 * 1024 * 1024;

impl Size {
    /// How long something is that has this length at least and at most.
    pub(crate) fn of(self, small: usize, large: usize) -> usize {
        match self {
            Self::Small => small,
            Self::Medium => large.min(MEDIUM),
            Self::Large => large,
        }
    }

    pub(crate) fn is_small(self) -> bool {
        self == Self::Small
    }
}

/// Which part of a conversation it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// How many parts came before it on its connection.
    pub(crate) n: u64,
    /// A number that no other part has.
    pub(crate) unique: u64,
}

/// A part of a conversation.
type Say = Box<dyn Fn(At, Size) -> Vec<u8> + Send + Sync>;
/// A part without its end.
type Begin = Box<dyn Fn(At) -> Vec<u8> + Send + Sync>;

/// One thing to say, of which there is no end.
pub(crate) struct Phrase {
    /// The kind of frame or the procedure that it is about.
    pub(crate) kind: String,
    /// What is special about it.
    pub(crate) manner: String,
    pub(crate) opening: Opening,
    /// What a connection needs to have said before.
    pub(crate) prelude: Vec<u8>,
    say: Say,
    begin: Option<Begin>,
}

impl Phrase {
    pub(crate) fn new(
        kind: impl Into<String>,
        manner: impl Into<String>,
        opening: Opening,
        say: impl Fn(At, Size) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self {
            kind: kind.into(),
            manner: manner.into(),
            opening,
            prelude: Vec::new(),
            say: Box::new(say),
            begin: None,
        }
    }

    pub(crate) fn after(mut self, prelude: Vec<u8>) -> Self {
        self.prelude = prelude;
        self
    }

    /// What a part without an end is, where that is more than the beginning of a large one.
    pub(crate) fn unfinished(
        mut self,
        begin: impl Fn(At) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        self.begin = Some(Box::new(begin));
        self
    }

    /// A part.
    pub(crate) fn say(&self, at: At, size: Size) -> Vec<u8> {
        (self.say)(at, size)
    }

    /// A part without its end.
    pub(crate) fn begin(&self, at: At) -> Vec<u8> {
        match &self.begin {
            Some(begin) => begin(at),
            None => {
                let mut whole = self.say(at, Size::Large);
                whole.truncate(whole.len().saturating_sub(1).min(BEGUN));
                whole.shrink_to_fit();
                whole
            }
        }
    }

    /// Whether it stands for its kind: one of those that go to an actor that is there.
    pub(crate) fn is_plain(&self) -> bool {
        ["", "fast", "stuck"].contains(&&*self.manner)
    }

    pub(crate) fn name(&self) -> String {
        match self.opening {
            Opening::Native => format!("{} {}", self.kind, self.manner),
            Opening::GoAkt(compression) => {
                format!("{} {} {compression}", self.kind, self.manner)
            }
            Opening::Nothing => self.kind.clone(),
        }
    }
}
