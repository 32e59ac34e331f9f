//! Whether a [register](crate::cluster::Register) keeps its promises.
//!
//! - here: what runs the rules
//! - `trial`: what one rule works with: the nodes of a register, and their calls, which are written down
//! - `plain`, `races`: the rules
//! - `history`: whether the answers to all calls can be one order
//! - `faulty`: a register that fails when the test says so

pub(super) mod faulty;
mod history;
mod plain;
mod races;
mod trial;

use std::hash::{BuildHasher, Hasher, RandomState};

pub use self::faulty::{Call, Fault, Odds, Swap};
pub use self::history::{History, Recorded};
use self::trial::Trial;
use crate::cluster::{Discovery, Register, Starting};
use crate::system::core::ActorSystem;
pub use crate::testkit::violation::Violation;

/// Tries out whether a register keeps every promise of [`Register`].
///
/// `open` is called with names. What it returns for one name, three times, is the register of three nodes; for another name,
/// it is one of which nobody has read or written anything.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use rakt::cluster::MemoryRegister;
/// use rakt::testkit::register;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mine: Mutex<HashMap<String, MemoryRegister>> = Mutex::default();
/// register::check(async |name| mine.lock().unwrap().entry(name).or_default().clone()).await;
/// # }
/// ```
///
/// It makes some thousand calls on about 20 registers, whose names begin with `check-` and are other ones in each run. All
/// calls have to be answered: what a register does in an outage it cannot see, and [`History`] can.
/// [`Register::start`] is not called: if there has to be one, `open` does it, with [`starting`].
///
/// Every rule has [a minute](super::LIMIT) at most. A register that does I/O needs a clock that is not paused.
///
/// # Panics
/// If a rule is broken: with [each](Violation) that is.
pub async fn check<R: Register>(open: impl AsyncFn(String) -> R) {
    let found = violations(open).await;
    let texts: Vec<_> = found.iter().map(|violation| format!("\n{violation}")).collect();
    assert!(
        found.is_empty(),
        "the register breaks {} of its promises:{}",
        found.len(),
        texts.concat()
    );
}

/// What a register is given to start with, for tests that start one without a cluster.
pub fn starting(system: &ActorSystem, discovery: impl Discovery) -> Starting {
    Starting::new(system.clone(), discovery)
}

macro_rules! rules {
    ($($module:ident::$rule:ident)*) => {
        /// The names of all rules.
        pub const RULES: &[&str] = &[$(stringify!($rule)),*];

        /// The same as [`check`], for who wants to look at what is broken: nothing where it is empty. If the nodes do not
        /// reach the same register, that is all that is told.
        pub async fn violations<R: Register>(open: impl AsyncFn(String) -> R) -> Vec<Violation> {
            // Not what a simulation has seeded: two runs in one database must differ.
            let run = RandomState::new().build_hasher().finish();
            let mut found = Vec::new();
            let mut numbers = 0..;
            $(
                let number = numbers.next().unwrap_or_default();
                let trial = Trial::new(&open, stringify!($rule), run, number);
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
    plain::nodes_reach_the_same_register
    plain::version_0_is_nothing
    plain::a_swap_is_seen_by_all_at_once
    plain::a_swap_over_another_version_changes_nothing
    plain::only_the_newest_version_is_confirmed
    plain::versions_never_repeat
    plain::views_of_all_sizes_come_back
    races::of_swaps_over_nothing_one_is_taken
    races::of_swaps_over_one_version_one_is_taken
    races::a_read_beside_a_swap_goes_with_it_or_before_it
    races::operations_at_once_have_one_order
    races::a_call_that_is_given_up_does_no_harm
    races::hints_hold_up_nothing
}
