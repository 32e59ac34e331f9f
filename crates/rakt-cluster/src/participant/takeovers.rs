//! What a node takes over from members that were removed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Do, Participant, Taking};
use crate::node::Seat;
use crate::view::{Member, State, View};

impl Participant {
    /// Takes note of who was removed, as this node goes on to a view.
    pub(super) fn note_deaths(&mut self, before: Option<&View>, view: &View) {
        let (Some(listed), Some(before)) = (&mut self.listed, before) else { return };
        let is_dead = |state| matches!(state, State::Dead { .. });
        let has_died = |member: &&Member| {
            is_dead(member.state) && before.state(member.seat()).is_some_and(|was| !is_dead(was))
        };
        let dead = view.members().iter().filter(has_died).map(|member| {
            let node = (member.host.clone(), member.port);
            (member.seat(), Taking { node, slots: Vec::new(), grains: 0 })
        });
        let mut dead: BTreeMap<Seat, Taking> = dead.collect();
        if dead.is_empty() {
            return;
        }
        for slot in listed.directory.owned() {
            let taking = before.owner(slot).and_then(|before| dead.get_mut(&before));
            taking.into_iter().for_each(|taking| taking.slots.push(slot));
        }
        for host in listed.directory.hosts() {
            let taking = dead.get_mut(&host);
            taking.into_iter().for_each(|taking| taking.grains = taking.grains.saturating_add(1));
        }
        listed.taking.append(&mut dead);
    }

    /// Tells what was taken over from those whose time is over.
    pub(super) fn tell_takeovers(&mut self, now: Duration, out: &mut Vec<Do>) {
        let Some(listed) = &mut self.listed else { return };
        let (directory, view) = (&listed.directory, listed.directory.view());
        listed.taking.retain(|seat, taking| {
            // What comes here late is told of with the rest, and what has gone on to others is theirs.
            taking.slots.retain(|slot| view.owner(*slot) == Some(directory.seat()));
            let is_over = directory.waits().over(view, *seat, now);
            if !is_over || taking.slots.iter().any(|slot| !directory.holds(*slot)) {
                return true;
            }
            let (slots, grains) = (taking.slots.len(), taking.grains);
            if slots > 0 || grains > 0 {
                out.push(Do::TookOver { node: taking.node.clone(), slots, grains });
            }
            false
        });
    }
}
