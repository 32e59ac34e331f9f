//! Lanes: which of the connections that a peer has dialed one after another is the newest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Weak};

use rakt_wire::native::{Lane, RefuseReason};

use super::native::{Accepted, Conn};
use super::weak_map::shrink;

/// The newest connection of each lane.
#[derive(Default)]
pub(crate) struct Lanes(HashMap<[u8; 16], (u64, Weak<Conn<Accepted>>)>);

impl Lanes {
    /// Puts a connection into its lane.
    ///
    /// # Errors
    /// Another identity is in it: a connection that it opened would be ended by this one.
    pub(crate) fn enter(
        &mut self,
        lane: Lane,
        conn: &Arc<Conn<Accepted>>,
    ) -> Result<Turn, RefuseReason> {
        let mut taken = match self.0.entry(lane.id) {
            Entry::Vacant(free) => {
                free.insert((lane.turn, Arc::downgrade(conn)));
                return Ok(Turn::First);
            }
            Entry::Occupied(taken) => taken,
        };
        let earlier = taken.get().1.upgrade();
        if let Some(earlier) = &earlier {
            let (of, who) = (earlier.peer.who.identity(), conn.peer.who.identity());
            if !who.may_continue(of) {
                let text = format!("the lane in this hello is of another identity than {who}");
                return Err(RefuseReason::Denied(text));
            }
        }
        if taken.get().0 > lane.turn {
            return Ok(Turn::TooLate);
        }
        taken.insert((lane.turn, Arc::downgrade(conn)));
        Ok(earlier.map_or(Turn::First, Turn::After))
    }

    /// A connection has ended: its lane is empty, unless a newer one is there.
    pub(crate) fn leave(&mut self, lane: &[u8; 16], conn: &Arc<Conn<Accepted>>) {
        let is_last = |(_, last): &(u64, Weak<_>)| std::ptr::eq(last.as_ptr(), Arc::as_ptr(conn));
        if self.0.get(lane).is_some_and(is_last) {
            self.0.remove(lane);
            shrink(&mut self.0);
        }
    }
}

/// When a connection has its turn.
pub(crate) enum Turn {
    First,
    /// Once this one has ended.
    After(Arc<Conn<Accepted>>),
    /// Never: its dialer has given up on it and has a newer one.
    TooLate,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Identity, Peer};
    use crate::remote::native::tests::{accepted, accepted_from};
    use crate::remote::resources::tests::resources;

    #[tokio::test]
    async fn connections_that_have_ended_are_forgotten() {
        let (resources, mut lanes) = (resources(), Lanes::default());
        for n in 0..100 {
            let conn = accepted(&resources);
            assert!(lanes.enter(Lane { id: [n; 16], turn: 1 }, &conn).is_ok());
            assert_eq!(lanes.0.len(), 1);
            lanes.leave(&[n; 16], &conn);
            assert_eq!(lanes.0.len(), 0);
        }
        // What came after it in its lane stays.
        let (earlier, later) = (accepted(&resources), accepted(&resources));
        assert!(lanes.enter(Lane { id: [1; 16], turn: 1 }, &earlier).is_ok());
        let turn = lanes.enter(Lane { id: [1; 16], turn: 2 }, &later);
        assert!(matches!(turn, Ok(Turn::After(before)) if Arc::ptr_eq(&before, &earlier)));
        lanes.leave(&[1; 16], &earlier);
        assert_eq!(lanes.0.len(), 1);
        lanes.leave(&[1; 16], &later);
        assert_eq!(lanes.0.len(), 0);
    }

    #[tokio::test]
    async fn a_lane_is_entered_by_the_identity_that_opened_it_alone() {
        let (resources, mut lanes) = (resources(), Lanes::default());
        let of = |name: &str| {
            let identity = Identity::proven([name.to_owned()]);
            accepted_from(&resources, Peer::new(identity, "10.0.0.8:1"))
        };
        let (own, thief, again) = (of("dns:own"), of("dns:thief"), of("dns:own"));
        assert!(matches!(lanes.enter(Lane { id: [1; 16], turn: 1 }, &own), Ok(Turn::First)));
        // Whatever its turn: it hears nothing of the other.
        for turn in [0, 1, 2, u64::MAX] {
            let Err(reason) = lanes.enter(Lane { id: [1; 16], turn }, &thief) else {
                panic!("it is another")
            };
            assert!(reason.to_string().ends_with("another identity than dns:thief"), "{reason}");
        }
        let turn = lanes.enter(Lane { id: [1; 16], turn: 2 }, &again);
        assert!(matches!(turn, Ok(Turn::After(before)) if Arc::ptr_eq(&before, &own)));
    }
}
