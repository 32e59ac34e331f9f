//! What a node tells operators: events, lines of the log, and figures.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rakt_cluster::directory::Grain;
use rakt_cluster::participant::Counts;

use super::grains::of_core;
use super::members::{MemberState, Members};
use super::node::Node;
use crate::events::Event;
use crate::grain::Epoch;
use crate::metrics::of_cluster;
use crate::system::core::ActorSystem;

impl Node {
    /// Reports what the participant has counted since the last time.
    pub(super) fn report_counts(&self) {
        let (before, counts, held) = {
            let mut state = self.state.lock();
            let (counts, held) = (state.participant.counts(), state.participant.slots_held());
            (std::mem::replace(&mut state.reported, counts), counts, held)
        };
        of_cluster::slots(held);
        let more = |of: fn(&Counts) -> u64| of(&counts) - of(&before);
        for (cause, count) in [
            ("new", more(|counts| counts.granted_new)),
            ("again", more(|counts| counts.granted_again)),
            ("taken_over", more(|counts| counts.granted_over)),
        ] {
            if count > 0 {
                of_cluster::granted(cause, count);
            }
        }
        let again = more(|counts| counts.asked_again);
        if again > 0 {
            of_cluster::asked_again(again);
        }
    }

    /// Says once that the lease is over, if it is: by the clock, or since the node was removed, as it has found out.
    pub(super) fn report_lease_lost(&self) {
        let (until, now) = (self.progress.borrow().hosts_until, self.now());
        let is_over = until > Duration::ZERO && now >= until;
        if !is_over || self.is_leaving.load(Ordering::Relaxed) {
            return;
        }
        if self.state.lock().fenced_since.replace(until).is_none() {
            tracing::warn!(
                "the lease of this node is over: its grains stand still until the register says that it is a member"
            );
        }
    }

    /// Says that there is a lease again, and how long there was none.
    pub(super) fn report_lease_back(&self) {
        let since = self.state.lock().fenced_since.take();
        if let Some(since) = since {
            let after = self.now().saturating_sub(since);
            tracing::info!(?after, "this node has a lease again: its grains go on");
        }
    }

    pub(super) fn report_members(&self, members: &Members) {
        of_cluster::view(members.view);
        for (name, state) in [
            ("joining", MemberState::Joining),
            ("up", MemberState::Up),
            ("leaving", MemberState::Leaving),
            ("dead", MemberState::Dead),
        ] {
            let of_state = members.members.iter().filter(|member| member.state == state);
            of_cluster::members(name, of_state.count());
        }
    }

    pub(super) fn took_over(
        &self,
        system: &ActorSystem,
        (host, port): &(String, u16),
        slots: usize,
        grains: usize,
    ) {
        let node = format!("{host}:{port}");
        tracing::info!(%node, slots, grains, "what a removed node had is taken over");
        of_cluster::took_over(slots);
        system.publish(|| Event::TookOver { node, slots, grains });
    }

    pub(super) fn raised(&self, system: &ActorSystem, from: u64, to: u64) {
        tracing::warn!(from, to, "the epochs of grains begin with a higher generation");
        system.publish(|| Event::GenerationRaised { from, to });
    }

    pub(super) fn duplicate(
        &self,
        system: &ActorSystem,
        grain: &Grain,
        granted: rakt_cluster::Epoch,
        living: rakt_cluster::Epoch,
    ) {
        let (granted, living) = (of_core(granted), of_core(living));
        let grain = format!("{}/{}", grain.kind, grain.key.escape_debug());
        tracing::error!(%grain, %granted, %living, "another life of a grain was granted that lives here");
        of_cluster::duplicate();
        system.publish(|| Event::DuplicateSeen { grain, granted, living });
    }

    /// The same of a life that was here while the node was cut off, and that was to be expected.
    pub(super) fn stray(
        &self,
        system: &ActorSystem,
        grain: &Grain,
        granted: rakt_cluster::Epoch,
        living: Epoch,
    ) {
        let granted = of_core(granted);
        let grain = format!("{}/{}", grain.kind, grain.key.escape_debug());
        tracing::warn!(%grain, %granted, %living, "a grain has lived here and on another node: this life ends");
        of_cluster::duplicate();
        system.publish(|| Event::DuplicateSeen { grain, granted, living });
    }
}
