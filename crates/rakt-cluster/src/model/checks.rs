//! What is checked: that nothing goes wrong with all guards, and that something does with each one taken out.
//!
//! The bounds are small, so that every change of the crate can be checked; those of the tests that are ignored are larger, and
//! for who changes the protocol: `cargo test --release -p rakt-cluster --lib -- --ignored --nocapture model`.

use stateright::{Checker, HasDiscoveries};

use super::*;
use crate::slots::SlotRule;

const NONE: Most = Most {
    versions: 0,
    kills: 0,
    drops: 0,
    moves: 0,
    restarts: 0,
    joins: 0,
    leaves: 0,
    raises: 0,
    rejoins: 0,
    wipes: 0,
    recoveries: 0,
    grants: 1,
    looks: 0,
};
const KILL: Most = Most { versions: 1, kills: 1, ..NONE };
const MOVE: Most = Most { versions: 1, moves: 1, ..NONE };
const MOVES: Most = Most { versions: 2, moves: 2, grants: 2, ..NONE };
const MOVE_AND_KILL: Most = Most { versions: 2, moves: 1, kills: 1, ..NONE };
const REJOIN: Most = Most { versions: 3, kills: 1, drops: 1, rejoins: 1, ..NONE };
const RESTART: Most = Most { versions: 2, restarts: 1, moves: 1, ..NONE };
const JOIN: Most = Most { versions: 3, joins: 1, moves: 2, grants: 2, ..NONE };
const LEAVE: Most = Most { versions: 3, leaves: 1, joins: 1, ..NONE };
const RAISE: Most = Most { versions: 2, raises: 1, moves: 1, ..NONE };
/// After which nobody is a member, and one restarts.
const RECOVER: Most = Most { versions: 1, recoveries: 1, restarts: 1, ..NONE };
/// And a request to join of one that joined after the copy comes again.
const RECOVER_AND_REJOIN: Most = Most { versions: 2, rejoins: 1, ..RECOVER };

/// A grain in a slot that these nodes own in this order, if those before have no weight; one more node would own it.
fn grain(order: &[u128]) -> Grain {
    let owner = |slot: Slot, ids: &[u128]| {
        SlotRule::One.owner(slot, ids.iter().map(|id| (NodeId(*id), 100))).map(|id| id.0)
    };
    let spare = order.len() as u128;
    let with_spare = [order, &[spare]].concat();
    let fits = |grain: &Grain| {
        let slot = grain.slot(SlotRule::One);
        let owns = |at: usize| owner(slot, &order[at..]) == Some(order[at]);
        (0..order.len()).all(owns) && owner(slot, &with_spare) == Some(spare)
    };
    (0..).map(|key| Grain::new("g", &key.to_string())).find(fits).expect("one of them")
}

/// A cluster in which lives end, owners ask, and time passes.
fn cluster(founders: u8, most: Most) -> Cluster {
    let order: Vec<u128> = (0..founders.into()).collect();
    let grains = vec![grain(&order)];
    let slots = grains.iter().map(|grain| grain.slot(SlotRule::One)).collect();
    let (ticks, ends, settles, alive, joined) = (true, true, false, true, false);
    Cluster {
        founders,
        grains,
        slots,
        ticks,
        ends,
        settles,
        alive,
        joined,
        most,
        faults: Faults::default(),
    }
}

/// One in which no time passes.
fn still(founders: u8, most: Most) -> Cluster {
    Cluster { ticks: false, ..cluster(founders, most) }
}

/// One in which lives do not end but with their node.
fn endless(founders: u8, most: Most) -> Cluster {
    Cluster { ends: false, ..cluster(founders, most) }
}

impl Cluster {
    fn without(mut self, guards: &'static [Guard]) -> Self {
        self.faults.without = guards;
        self
    }

    fn with(mut self, fault: impl FnOnce(&mut Faults)) -> Self {
        fault(&mut self.faults);
        self
    }

    fn settling(self) -> Self {
        Self { settles: true, ..self }
    }

    /// With one more node, which the first view does not have.
    fn joined(self) -> Self {
        Self { joined: true, ..self }
    }

    /// With a second grain, whose slot the nodes own in another order.
    fn two_slots(mut self) -> Self {
        let nodes = u128::from(self.founders);
        let order: Vec<_> = (0..nodes).map(|id| (id + 1) % nodes).collect();
        self.grains.push(grain(&order));
        let slots = self.grains.iter().map(|grain| grain.slot(SlotRule::One));
        self.slots = slots.collect::<BTreeSet<_>>().into_iter().collect();
        self
    }

    /// Nothing goes wrong, and something happens.
    fn holds(self) {
        let checked = self.check();
        for (fault, path) in checked.discoveries() {
            assert!(fault == "taken over", "{fault} does not hold: {:#?}", path.into_actions());
        }
        assert!(checked.discovery("taken over").is_some(), "nothing was taken over");
    }

    fn breaks(self) {
        let found = self.check().discoveries();
        assert!(found.keys().any(|fault| *fault != "taken over"), "nothing goes wrong");
    }

    /// A guard that another one makes needless: without it, nothing goes wrong either.
    fn holds_also_without(self, guards: &'static [Guard]) {
        self.without(guards).holds();
    }

    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_macros,
        reason = "says how much was checked"
    )]
    fn check(self) -> impl Checker<Self> {
        let only = HasDiscoveries::AnyFailures;
        let checked = self.checker().threads(2).finish_when(only).spawn_bfs().join();
        let (states, deep) = (checked.unique_state_count(), checked.max_depth());
        let test = std::thread::current();
        eprintln!("{}: {states} states, {deep} deep", test.name().unwrap_or_default());
        checked
    }
}

#[test]
fn a_death() {
    cluster(2, Most { grants: 2, ..KILL }).holds();
    endless(3, KILL).holds();
}

#[test]
fn late_answers_of_the_register() {
    endless(2, Most { looks: 1, grants: 2, ..KILL }).holds();
}

#[test]
fn two_moves_of_a_slot() {
    still(3, Most { grants: 1, ..MOVE }).holds();
    Cluster { ends: false, ..still(3, MOVES) }.holds();
}

#[test]
fn a_move_and_a_death() {
    endless(2, Most { versions: 3, moves: 2, ..MOVE_AND_KILL }).holds();
}

#[test]
fn one_lets_a_third_in_while_a_slot_moves() {
    Cluster { ends: false, ..still(2, JOIN) }.holds();
}

#[test]
fn a_node_restarts_under_a_new_incarnation() {
    Cluster { ends: false, ..still(3, RESTART) }.holds();
    still(2, Most { versions: 2, restarts: 2, ..NONE }).holds();
}

#[test]
fn a_node_leaves_and_another_joins() {
    still(2, LEAVE).holds();
}

#[test]
fn a_node_is_dropped_and_listed_again() {
    endless(2, REJOIN).holds();
}

#[test]
fn the_generation_is_raised() {
    Cluster { ends: false, ..still(3, Most { grants: 2, ..RAISE }) }.holds();
}

#[test]
fn a_cluster_that_was_lost_is_founded_anew() {
    let checked = cluster(3, Most { wipes: 1, ..NONE }).check();
    assert_eq!(checked.discoveries().into_keys().collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_cluster_is_recovered_from_a_copy() {
    endless(1, RECOVER).joined().holds();
    endless(1, RECOVER_AND_REJOIN).joined().holds();
}

#[test]
fn two_slots_and_a_death() {
    Cluster { ticks: false, ..endless(3, KILL).two_slots() }.holds();
    endless(2, KILL).two_slots().holds();
}

#[test]
fn all_is_well_again_once_nothing_more_goes_wrong() {
    let deaths = endless(3, Most { grants: 0, ..KILL }).settling().check();
    assert_eq!(deaths.discoveries().into_keys().collect::<Vec<_>>(), [""; 0]);
    still(3, MOVE).settling().holds();
    still(2, Most { versions: 2, leaves: 1, ..NONE }).settling().holds();
    still(2, Most { versions: 2, restarts: 1, moves: 1, ..NONE }).settling().holds();
    endless(1, RECOVER).joined().settling().holds();
}

// What each guard is for.

#[test]
fn a_lease_counts_from_the_start_of_the_look() {
    endless(3, Most { looks: 1, ..KILL }).with(|faults| faults.lease_from_reply = true).breaks();
}

#[test]
fn a_taker_waits_as_long_as_a_lease_may_last() {
    cluster(3, KILL).with(|faults| faults.half_wait = true).breaks();
}

#[test]
fn a_lease_never_gets_shorter() {
    let most = Most { versions: 2, raises: 1, ..KILL };
    endless(3, most).with(|faults| faults.shorter = true).breaks();
}

#[test]
fn who_is_listed_again_is_another() {
    endless(3, REJOIN).with(|faults| faults.same_seat = true).breaks();
}

#[test]
fn a_new_cluster_counts_from_a_higher_generation() {
    cluster(3, Most { wipes: 1, ..NONE }).with(|faults| faults.same_generation = true).breaks();
}

#[test]
fn who_joined_after_the_copy_is_waited_for() {
    endless(1, RECOVER).joined().with(|faults| faults.forgets_the_lost = true).breaks();
}

#[test]
fn the_longest_lease_after_the_copy_is_waited_for() {
    endless(1, RECOVER).joined().with(|faults| faults.shorter_copy = true).breaks();
}

#[test]
fn who_joined_after_the_copy_is_another_in_the_history_from_there() {
    endless(1, RECOVER_AND_REJOIN).joined().with(|faults| faults.same_origin = true).breaks();
}

#[test]
fn who_has_answered_a_new_owner_refuses_grants_of_older_ones() {
    // They are not listened to as long as they do not own the slot again, which takes more views.
    endless(3, KILL).without(&[Guard::FloorOnAsk, Guard::OwnerOnly]).breaks();
}

#[test]
fn not_here_is_a_promise() {
    cluster(3, NONE).without(&[Guard::FloorOnNo]).breaks();
}

#[test]
fn a_slot_is_handed_over_once() {
    Cluster { ends: false, ..still(3, MOVES) }.without(&[Guard::GiveOnce]).breaks();
}

#[test]
fn only_what_is_complete_is_handed_over() {
    still(3, MOVE_AND_KILL).without(&[Guard::OnlyWhole]).breaks();
}

#[test]
fn what_nobody_reports_waits_for_all_that_are_dead() {
    let most = Most { versions: 2, kills: 2, ..NONE };
    endless(3, most).without(&[Guard::WaitForAll]).breaks();
}

#[test]
fn an_owner_waits_for_a_dead_host_from_its_own_first_sight() {
    cluster(3, KILL).without(&[Guard::OwnFirstSight]).breaks();
}

#[test]
fn answers_outlive_a_view_only_in_a_row() {
    let idle = Cluster { ends: false, alive: false, ..still(2, JOIN) };
    idle.without(&[Guard::KeepInRow]).breaks();
}

#[test]
fn nothing_is_activated_without_a_lease() {
    cluster(3, KILL).without(&[Guard::LeaseToHost]).breaks();
}

/// Each of the two would do: a grant names the seat that is meant, and a node refuses what is from before its admission.
#[test]
fn a_grant_for_one_run_of_a_node_is_none_for_the_next() {
    let most = Most { versions: 2, restarts: 1, ..NONE };
    still(3, most).without(&[Guard::NamedHost, Guard::FloorAtJoin]).breaks();
    still(3, most).holds_also_without(&[Guard::NamedHost]);
    still(3, most).holds_also_without(&[Guard::FloorAtJoin]);
}

/// These are a second line, within these bounds: floors and waits are enough.
#[test]
fn some_guards_are_a_second_line() {
    cluster(2, KILL).holds_also_without(&[Guard::LeaseToGrant]);
    cluster(2, KILL).holds_also_without(&[Guard::Half]);
    cluster(2, KILL).holds_also_without(&[Guard::FloorOnQuestion]);
    Cluster { ends: false, ..still(3, MOVES) }.holds_also_without(&[Guard::FloorOnPull]);
}

// Larger bounds.

#[test]
#[ignore = "takes minutes"]
fn a_death_in_large() {
    cluster(3, KILL).holds();
    endless(3, Most { looks: 1, ..KILL }).holds();
    endless(3, Most { versions: 2, kills: 2, ..NONE }).holds();
    endless(3, KILL).two_slots().holds();
}

#[test]
#[ignore = "takes minutes"]
fn moves_in_large() {
    still(3, Most { grants: 1, ..MOVES }).holds();
    still(2, Most { grants: 1, ..JOIN }).holds();
    endless(3, MOVE_AND_KILL).holds();
    still(3, RAISE).holds();
}

#[test]
#[ignore = "takes minutes"]
fn restarts_in_large() {
    endless(3, REJOIN).holds();
    endless(3, Most { versions: 2, kills: 1, restarts: 1, ..NONE }).holds();
}

#[test]
#[ignore = "takes minutes"]
fn recoveries_in_large() {
    endless(2, Most { versions: 2, restarts: 2, ..RECOVER }).joined().holds();
    cluster(1, RECOVER_AND_REJOIN).joined().holds();
}

#[test]
#[ignore = "takes minutes"]
fn second_lines_in_large() {
    cluster(3, KILL).holds_also_without(&[Guard::LeaseToGrant]);
    cluster(3, KILL).holds_also_without(&[Guard::Half]);
    cluster(3, KILL).holds_also_without(&[Guard::FloorOnQuestion]);
    endless(3, MOVE_AND_KILL).holds_also_without(&[Guard::FloorOnPull]);
}
