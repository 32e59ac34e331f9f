//! Who opened the connection, and who took it.

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opened the connection. Sends messages and requests.
    Dialer,
    /// Took the connection. Sends replies, credit and news of watched actors.
    Acceptor,
}

impl Role {
    /// The other end.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}
