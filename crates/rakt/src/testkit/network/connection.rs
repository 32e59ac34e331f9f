//! A single connection, for tests that harm one and not the others.

use std::fmt;
use std::sync::Arc;

use super::state::{Connected, Shared, Wakers};

/// One connection of a [`Network`](super::Network), found by [`connections`](super::Network::connections).
#[derive(Clone)]
pub struct Connection {
    pub(super) id: u64,
    pub(super) network: Arc<Shared>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Connection {
    /// Breaks both ends: reading and writing fail with
    /// [`ConnectionReset`](std::io::ErrorKind::ConnectionReset). What was under way is lost.
    pub fn reset(&self) {
        self.change(|conn| conn.is_broken = [true; 2]);
    }

    /// Breaks the end of one host alone. The other learns of it when that end is closed, and only after it has
    /// received what was under way: after a [stall](Self::stall_from) that may be late.
    ///
    /// # Panics
    /// If the connection is open and the host is at neither end.
    pub fn reset_at(&self, host: &str) {
        self.change(|conn| conn.is_broken[side(conn, host)] = true);
    }

    /// Holds up both directions of this connection, until [`release`](Self::release). Neither end is told.
    pub fn stall(&self) {
        self.change(|conn| conn.pipes.iter_mut().for_each(|pipe| pipe.is_stalled = true));
    }

    /// Holds up what one host sends over this connection, until [`release`](Self::release).
    ///
    /// # Panics
    /// If the connection is open and the host is at neither end.
    pub fn stall_from(&self, host: &str) {
        self.change(|conn| conn.pipes[side(conn, host)].is_stalled = true);
    }

    /// As [`stall`](Self::stall), and takes nothing more either, as if it held all that it has room for.
    pub fn freeze(&self) {
        self.change(|conn| {
            conn.pipes.iter_mut().for_each(|pipe| (pipe.is_stalled, pipe.is_full) = (true, true));
        });
    }

    /// Delivers what was held up, and takes more.
    pub fn release(&self) {
        self.change(|conn| {
            conn.pipes.iter_mut().for_each(|pipe| (pipe.is_stalled, pipe.is_full) = (false, false));
        });
    }

    /// Whether a host has closed its end.
    pub fn is_closed_at(&self, host: &str) -> bool {
        let state = self.network.state.lock();
        let of = |conn: &Connected| conn.end_of(host).is_none_or(|side| conn.is_closed[side]);
        state.connections.get(&self.id).is_none_or(of)
    }

    /// Changes the connection, if an end of it is left, and wakes who waits at it.
    fn change(&self, change: impl FnOnce(&mut Connected)) {
        let mut state = self.network.state.lock();
        let woken = state.connections.get_mut(&self.id).map(|conn| {
            change(conn);
            conn.wakers()
        });
        drop(state);
        woken.into_iter().for_each(Wakers::wake);
    }
}

fn side(conn: &Connected, host: &str) -> usize {
    let side = conn.end_of(host);
    side.unwrap_or_else(|| panic!("{host:?} is at neither end: {:?}", conn.hosts))
}
