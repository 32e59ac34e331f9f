//! Which peers are there: the connections of one, in one direction, are one link.
//!
//! A node spreads its receivers over several connections, which is nobody's business but its own: what is told is
//! that the first of them is up, and that the last one is gone.

use std::collections::HashMap;

use super::admission::Source;
use crate::sync::Mutex;

/// Whose connections, in which direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LinkOf {
    /// What the peer calls itself.
    pub(crate) peer: Box<str>,
    /// Where it is.
    pub(crate) from: Box<str>,
    which: Which,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Which {
    /// All that were dialed to this life of the peer.
    Dialed([u8; 16]),
    /// All that this life of a node has dialed from there: nobody can take part in the link of another.
    Accepted([u8; 16], Source),
    /// One connection, of a peer that cannot be told from others: the place of it in memory.
    Single(usize),
}

/// The links that are up.
#[derive(Default)]
pub(crate) struct Links(Mutex<HashMap<(Box<str>, Which), Link>>);

#[derive(Default)]
struct Link {
    conns: usize,
    unconfirmed: u64,
}

impl LinkOf {
    pub(crate) fn dialed(peer: &str, from: &str, incarnation: [u8; 16]) -> Self {
        Self { peer: peer.into(), from: from.into(), which: Which::Dialed(incarnation) }
    }

    pub(crate) fn accepted(peer: &str, from: &str, incarnation: [u8; 16]) -> Self {
        let which = Which::Accepted(incarnation, Source::of(from));
        Self { peer: peer.into(), from: from.into(), which }
    }

    /// This connection alone, which stays where it is for as long as it is up.
    pub(crate) fn single<T>(peer: &str, from: &str, conn: &T) -> Self {
        let which = Which::Single(std::ptr::from_ref(conn).addr());
        Self { peer: peer.into(), from: from.into(), which }
    }

    fn key(&self) -> (Box<str>, Which) {
        (self.peer.clone(), self.which.clone())
    }
}

impl Links {
    /// A connection is up. Calls `first` if it is the only one, before anybody can hear of its end.
    pub(crate) fn up(&self, of: &LinkOf, first: impl FnOnce()) {
        let mut links = self.0.lock();
        let link = links.entry(of.key()).or_default();
        link.conns += 1;
        if link.conns == 1 {
            first();
        }
    }

    /// A connection is gone. Calls `last` if there is no other, with all tells that those since the first have
    /// left unconfirmed.
    pub(crate) fn down(&self, of: &LinkOf, unconfirmed: u64, last: impl FnOnce(u64)) {
        let (mut links, key) = (self.0.lock(), of.key());
        let Some(link) = links.get_mut(&key) else { return };
        link.conns -= 1;
        link.unconfirmed = link.unconfirmed.saturating_add(unconfirmed);
        if link.conns == 0 {
            let unconfirmed = link.unconfirmed;
            links.remove(&key);
            last(unconfirmed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a sequence of connections that come and go.
    fn told(steps: &[(&LinkOf, Option<u64>)]) -> Vec<Option<u64>> {
        let (links, mut told) = (Links::default(), Vec::new());
        for (of, unconfirmed) in steps {
            match unconfirmed {
                None => links.up(of, || told.push(None)),
                Some(count) => links.down(of, *count, |sum| told.push(Some(sum))),
            }
        }
        assert!(links.0.lock().is_empty(), "nothing is kept of a peer that is gone");
        told
    }

    #[test]
    fn the_first_connection_and_the_last_are_told_with_the_sum() {
        let a = LinkOf::dialed("a@h:1", "h:1", [1; 16]);
        let steps =
            [(&a, None), (&a, None), (&a, Some(3)), (&a, None), (&a, Some(4)), (&a, Some(0))];
        assert_eq!(told(&steps), [None, Some(7)]);
        assert_eq!(told(&[(&a, None), (&a, Some(2)), (&a, None), (&a, Some(0))]).len(), 4);
    }

    #[test]
    fn directions_lives_and_places_are_told_apart() {
        let dialed = LinkOf::dialed("a@h:1", "10.0.0.1:1", [1; 16]);
        let accepted = LinkOf::accepted("a@h:1", "10.0.0.1:70", [1; 16]);
        let of_another_port = LinkOf::accepted("a@h:1", "10.0.0.1:71", [1; 16]);
        let pretender = LinkOf::accepted("a@h:1", "10.0.0.2:70", [1; 16]);
        let next_life = LinkOf::accepted("a@h:1", "10.0.0.1:70", [2; 16]);
        for (one, other, count) in [
            (&dialed, &accepted, 4),
            (&accepted, &of_another_port, 2),
            (&accepted, &pretender, 4),
            (&accepted, &next_life, 4),
            (&LinkOf::single("a", "m", &dialed), &LinkOf::single("a", "m", &accepted), 4),
        ] {
            let told = told(&[(one, None), (other, None), (one, Some(0)), (other, Some(0))]);
            assert_eq!(told.len(), count, "{one:?} {other:?}");
        }
    }
}
