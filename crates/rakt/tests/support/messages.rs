//! Messages that several harnesses speak.

/// Comes back as it is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Echo {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

/// Asks for so many bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Want {
    #[prost(uint32, tag = "1")]
    pub(crate) len: u32,
}

/// The bytes that were asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Wanted {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) bytes: Vec<u8>,
}

impl Want {
    pub(crate) fn granted(&self) -> Wanted {
        Wanted { bytes: vec![7; self.len as usize] }
    }
}

/// Actors have a handler for it, and do not accept it from peers.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Unlisted {}

rakt::messages! {
    Echo as "tests.Echo" => Echo as "tests.Echo",
    Want as "tests.Want" => Wanted as "tests.Wanted",
    Unlisted as "tests.Unlisted",
}
