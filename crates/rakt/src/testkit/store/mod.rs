//! Whether a [store of grains](crate::grain::GrainStore) keeps its promises.
//!
//! - here: what runs the rules
//! - `trial`: what one rule works with: the calls, which are written down
//! - `claims`, `saves`, `races`, `exact`, `reminders`: the rules
//! - `order`: what follows from the writes that a store took
//! - `faulty`: a store that fails when the test says so

mod claims;
mod exact;
pub(super) mod faulty;
mod order;
mod races;
mod reminders;
mod saves;
mod trial;

use std::hash::{BuildHasher, Hasher, RandomState};

pub use self::faulty::{Call, Fault, Odds};
pub use self::order::Write;
use self::trial::Trial;
use crate::grain::GrainStore;
pub use crate::testkit::violation::Violation;

/// Tries out whether a store keeps every promise of [`GrainStore`].
///
/// `open` is called twice, for the stores of two nodes: both have to reach the same data. Where one store is all
/// there can be, it is shared:
///
/// ```
/// use std::sync::Arc;
/// use rakt::grain::MemoryStore;
/// use rakt::testkit::store;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mine = Arc::new(MemoryStore::new());
/// store::check(|| async { mine.clone() }).await;
/// # }
/// ```
///
/// It makes some thousand calls, and may run in a database that is in use: it has kinds of its own, other ones in each run,
/// whose names begin with `check-`. Their rows stay there, some 20 MiB; no reminder does if all went well. What
/// it cannot see is whether what was saved outlives a crash: kill what you save to, and look.
///
/// Every rule has [a minute](super::LIMIT) at most. A store that does I/O needs a clock that is not paused.
///
/// # Panics
/// If a rule is broken: with [each](Violation) that is.
pub async fn check<S: GrainStore>(open: impl AsyncFn() -> S) {
    let found = violations(open).await;
    let texts: Vec<_> = found.iter().map(|violation| format!("\n{violation}")).collect();
    assert!(
        found.is_empty(),
        "the store breaks {} of its promises:{}",
        found.len(),
        texts.concat()
    );
}

macro_rules! rules {
    ($($module:ident::$rule:ident)*) => {
        /// The names of all rules.
        pub const RULES: &[&str] = &[$(stringify!($rule)),*];

        /// The same as [`check`], for who wants to look at what is broken: nothing where it is empty. If the two stores
        /// do not reach the same data, that is all that is told.
        pub async fn violations<S: GrainStore>(open: impl AsyncFn() -> S) -> Vec<Violation> {
            let stores = [open().await, open().await];
            // Not what a simulation has seeded: two runs in one database must differ.
            let run = RandomState::new().build_hasher().finish();
            let mut found = Vec::new();
            let mut numbers = 0..;
            $(
                let number = numbers.next().unwrap_or_default();
                let trial = Trial::new(&stores, stringify!($rule), run, number);
                found.extend(trial.judge($module::$rule(&trial)).await);
                if found.first().is_some_and(|first| first.rule == RULES[0]) {
                    return found;
                }
            )*
            found
        }
    };
}

rules! {
    claims::both_stores_reach_the_same_data
    claims::a_claim_reads_what_was_saved
    claims::a_later_epoch_takes_over
    claims::an_older_epoch_is_refused
    claims::an_equal_epoch_of_another_writer_is_refused
    claims::a_claim_may_be_repeated
    claims::epochs_are_compared_part_by_part
    claims::a_claim_of_what_was_never_stored_fences
    saves::nothing_is_saved_without_a_claim
    saves::a_save_needs_the_epoch_of_the_claim
    saves::a_save_needs_the_writer_of_the_claim
    saves::a_save_needs_the_version_that_is_stored
    saves::versions_never_repeat
    saves::a_deleted_state_leaves_its_claim
    saves::a_deleted_state_leaves_its_version
    races::a_claim_fences_a_save_under_way
    races::of_saves_over_one_version_one_is_taken
    races::of_writers_with_one_epoch_one_has_the_grain
    races::claims_at_once_have_one_order
    exact::keys_and_kinds_are_told_apart
    exact::states_of_all_sizes_come_back
    exact::names_of_reminders_are_told_apart
    reminders::a_reminder_is_due_at_its_time
    reminders::a_reminder_replaces_the_one_of_its_name
    reminders::a_reminder_that_is_forgotten_is_gone
    reminders::due_reminders_come_in_order_and_as_many_as_asked_for
    reminders::kinds_have_reminders_of_their_own
    reminders::settling_moves_or_removes_a_reminder
    reminders::settling_leaves_what_was_set_anew
    reminders::reminders_are_kept_to_the_millisecond
    reminders::the_ends_of_time_are_no_fault
}
